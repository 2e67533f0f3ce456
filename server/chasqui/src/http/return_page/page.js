// The link to resume is for those who have not begun to pay. As soon as there is news, the element says what is to be done.
addEventListener("chasqui:status", ({ detail }) => {
  if (detail.version % 10 !== 1) document.querySelector(".action")?.remove();
});
