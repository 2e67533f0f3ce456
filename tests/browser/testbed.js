// The demo with a payer's browser, the shop, and the sandbox's controls.
import assert from "node:assert/strict";
import { launch } from "./browser.js";
import { startDemo } from "./demo.js";

/** Only a failing test waits this long. */
const DEADLINE_MS = 30_000;

export async function startTestbed() {
  const demo = await startDemo();
  let open = [];

  /** Runs `end` when the test ends. */
  const atEnd = (end) => open.push(end);

  async function endTest() {
    for (const end of open.reverse()) await end();
    open = [];
  }

  async function visit(options = {}, context = {}) {
    const browser = await launch(options);
    atEnd(() => browser.close());
    const page = await (await browser.newContext({ locale: "es-CL", ...context })).newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    page.errors = [];
    page.on("pageerror", (error) => page.errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && page.errors.push(message.text()));
    // Every status event of the page's element, across reloads.
    page.seen = [];
    await page.exposeFunction("chasquiSeen", (status) => page.seen.push(status));
    await page.addInitScript(() =>
      addEventListener("chasqui:status", (event) => window.chasquiSeen(event.detail.status), true),
    );
    return page;
  }

  /** From the shop's front page to the checkout. */
  async function fillCart(page) {
    await page.goto(demo.shop);
    await page.locator("a.card[href^='/products/']").first().click();
    await page.locator("form.buy button[type=submit], form.buy button").first().click();
    await page.locator("a[href='/checkout']").click();
  }

  /** From the shop's front page to the bank's buttons. */
  async function buy(page) {
    await fillCart(page);
    await page.locator("form[action='/checkout'] button").click();
    await page.waitForURL(`${demo.sandbox}/payment/**`);
  }

  const press = (page, action) => page.locator(`form[action$='/${action}'] button`).click();
  const paymentId = (page) => page.url().match(/payment\/\w+\/(\w+)/)[1];

  async function until(what, happened, withinMs = DEADLINE_MS) {
    const deadline = Date.now() + withinMs;
    while (!(await happened())) {
      assert.ok(Date.now() < deadline, `${what} did not happen in time`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async function behaviour(settings) {
    const answer = await fetch(`${demo.sandbox}/sandbox/behaviour`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(settings),
    });
    assert.equal(answer.status, 200);
  }

  async function act(id, action) {
    const answer = await fetch(`${demo.sandbox}/sandbox/payments/${id}/actions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ action }),
    });
    assert.equal(answer.status, 200, await answer.text());
  }

  return { demo, atEnd, endTest, visit, fillCart, buy, press, paymentId, until, behaviour, act };
}
