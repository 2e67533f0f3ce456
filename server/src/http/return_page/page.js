// The link to resume is for those who have not paid: it goes as soon as there is news.
addEventListener("chasqui:status", ({ detail }) => {
  if (detail.status !== "pending") document.querySelector(".action")?.remove();
});
