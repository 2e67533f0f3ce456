// Runs in the frame that kws.js opens: answers the page above with the operation's result. The origin to answer is
// that of its greeting, so that no other page learns the result.
(() => {
  "use strict";

  const ended = document.querySelector("[data-operation-result]");
  let shop;

  const answer = (message) => {
    if (shop !== undefined) {
      window.parent.postMessage({ source: "khipu-sandbox", paymentId: shop.paymentId, ...message }, shop.origin);
    }
  };

  window.addEventListener("message", (event) => {
    const isGreeting =
      window.parent !== window &&
      event.source === window.parent &&
      event.data?.source === "khipu-sandbox" &&
      event.data.type === "greeting";
    if (!isGreeting) return;
    shop = { origin: event.origin, paymentId: event.data.paymentId };
    if (ended) answer({ type: "ended", result: JSON.parse(ended.dataset.operationResult) });
  });

  document.querySelector("[data-exit]")?.addEventListener("click", () => answer({ type: "exit" }));
})();
