// A stand-in for Khipu's start library, https://js.khipu.com/v1/kws.js, with its surface: `Khipu` is a lexical global
// of a classic script, not a property of window. It opens the sandbox's bank in a frame over the shop's page.
"use strict";

class Khipu {
  /** The sandbox, from which this script came. */
  static #sandbox = new URL("..", document.currentScript.src);

  static #style = {
    dialog: {
      display: "grid",
      gridTemplateRows: "44px 1fr",
      width: "100%",
      boxSizing: "border-box",
      padding: "0",
      border: "0",
      borderRadius: "16px",
      overflow: "hidden",
      background: "Canvas",
      colorScheme: "light dark",
    },
    frame: { display: "block", width: "100%", height: "100%", border: "0" },
    close: {
      justifySelf: "end",
      width: "44px",
      border: "0",
      background: "none",
      color: "CanvasText",
      font: "24px/1 system-ui, sans-serif",
      cursor: "pointer",
      outlineOffset: "-3px",
    },
  };

  /** Ends the open operation without calling back. */
  #dispose = () => {};

  /**
   * Opens the bank for a payment and calls `callback` once, with the result, when the payer leaves it.
   * OK means authorised at the bank and WARNING that it may still complete; neither means that the payment is verified.
   * Of `settings`, `mountElement`, `modalOptions.maxWidth`, `modalOptions.maxHeight` and `options.skipExitPage` have an
   * effect.
   */
  startOperation(paymentId, callback, settings = {}) {
    this.close();
    const frame = document.createElement("iframe");
    frame.src = new URL(`embedded/${encodeURIComponent(paymentId)}`, Khipu.#sandbox).href;
    frame.title = "Khipu (simulador)";
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "×";
    close.setAttribute("aria-label", "Cerrar");
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-label", "Pago con Khipu (simulador)");
    dialog.append(close, frame);
    Object.assign(frame.style, Khipu.#style.frame);
    Object.assign(close.style, Khipu.#style.close);
    Object.assign(dialog.style, Khipu.#style.dialog, {
      maxWidth: `${settings.modalOptions?.maxWidth ?? 450}px`,
      height: `min(${settings.modalOptions?.maxHeight ?? 860}px, calc(100dvh - 32px))`,
    });

    let result = {
      operationId: paymentId,
      result: "ERROR",
      exitTitle: "No autorizaste el pago",
      exitMessage: "El cobro sigue pendiente: puedes retomarlo cuando quieras.",
      exitUrl: "",
      failureReason: "USER_CANCELED",
      events: [],
    };
    const leave = () => {
      this.close();
      callback(result);
    };
    const receive = (event) => {
      const isFromBank =
        event.origin === Khipu.#sandbox.origin &&
        event.source === frame.contentWindow &&
        event.data?.source === "khipu-sandbox" &&
        event.data.paymentId === paymentId;
      if (!isFromBank) return;
      if (event.data.type === "ended") {
        result = event.data.result;
        if (settings.options?.skipExitPage === true) leave();
      } else if (event.data.type === "exit") {
        leave();
      }
    };
    // Each page of the frame is greeted, since each has its own script.
    frame.addEventListener("load", () => {
      const greeting = { source: "khipu-sandbox", type: "greeting", paymentId };
      frame.contentWindow?.postMessage(greeting, Khipu.#sandbox.origin);
    });
    close.addEventListener("click", leave);
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      leave();
    });
    dialog.addEventListener("close", leave);
    window.addEventListener("message", receive);
    this.#dispose = () => {
      window.removeEventListener("message", receive);
      dialog.removeEventListener("close", leave);
      dialog.remove();
    };
    (settings.mountElement ?? document.body).append(dialog);
    dialog.showModal();
  }

  /** Closes the open operation, if any. Its callback is not called. */
  close() {
    this.#dispose();
    this.#dispose = () => {};
  }
}
