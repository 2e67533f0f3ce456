// A person buys in the demo's shop, pays at its bank, and watches the page turn from verifying to confirmed.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { launch } from "./browser.js";
import { startCuttingProxy } from "./cutting_proxy.js";
import { startDemo } from "./demo.js";

/** Only a failing test ever waits this long. */
const DEADLINE_MS = 30_000;

describe("a payer", () => {
  let demo;
  let open = [];

  before(async () => {
    demo = await startDemo();
  });

  after(() => demo?.stop());

  afterEach(async () => {
    for (const end of open.reverse()) await end();
    open = [];
  });

  async function visit(options = {}, context = {}) {
    const browser = await launch(options);
    open.push(() => browser.close());
    const page = await (await browser.newContext({ locale: "es-CL", ...context })).newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    page.errors = [];
    page.on("pageerror", (error) => page.errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && page.errors.push(message.text()));
    // Every status that the page's element ever announced, over reloads too.
    page.seen = [];
    await page.exposeFunction("chasquiSeen", (status) => page.seen.push(status));
    await page.addInitScript(() =>
      addEventListener("chasqui:status", (event) => window.chasquiSeen(event.detail.status), true),
    );
    return page;
  }

  /** From the shop's front page to the bank's buttons. */
  async function buy(page) {
    await page.goto(demo.shop);
    await page.locator("a.card[href^='/products/']").first().click();
    await page.locator("form.buy button[type=submit], form.buy button").first().click();
    await page.locator("a[href='/checkout']").click();
    await page.locator("form[action='/checkout'] button").click();
    await page.waitForURL(`${demo.sandbox}/payment/**`);
  }

  const press = (page, action) => page.locator(`form[action$='/${action}'] button`).click();
  const paymentId = (page) => page.url().match(/payment\/\w+\/(\w+)/)[1];

  async function until(what, happened) {
    const deadline = Date.now() + DEADLINE_MS;
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

  test("who pays sees verifying and then confirmed without reloading", async () => {
    await behaviour({ conciliation_delay_ms: 1500 });
    const page = await visit();
    await buy(page);
    await press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/**`);
    let loads = 0;
    page.on("load", () => loads++);
    await until("confirmed", () => page.seen.includes("confirmed"));
    assert.deepEqual(page.seen, ["verifying", "confirmed"]);
    assert.ok(loads <= 1, `the page loaded ${loads} times more`);
    await page.locator("chasqui-status").getByText(/confirmado/i).filter({ visible: true }).first().waitFor();
    assert.ok(!page.url().includes("chasqui="), "the token has left the address bar");
    assert.deepEqual(page.errors, []);

    // The shop's own back end was told too.
    await page.locator("a.button[href^='/orders/']").click();
    await page.getByText(/Pagado/).filter({ visible: true }).first().waitFor();
  });

  test("who loses the connection while it is verified sees confirmed all the same", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const proxy = await startCuttingProxy();
    open.push(() => proxy.stop());
    const page = await visit({ proxy: proxy.url });
    await buy(page);
    const id = paymentId(page);
    await press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/**`);
    await until("verifying", () => page.seen.includes("verifying"));
    await until("a tunnel for the WebSocket", () => proxy.tunnels() > 0);

    proxy.cut();
    await act(id, "conciliate");
    assert.deepEqual(page.seen, ["verifying"]);
    proxy.restore();
    await until("confirmed", () => page.seen.includes("confirmed"));
    assert.deepEqual(page.seen, ["verifying", "confirmed"]);
    await page.locator("chasqui-status").getByText(/confirmado/i).filter({ visible: true }).first().waitFor();
  });

  test("who reloads the page is still told", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const page = await visit();
    await buy(page);
    const id = paymentId(page);
    await press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/**`);
    await until("verifying", () => page.seen.includes("verifying"));
    await page.reload();
    await until("verifying again", () => page.seen.length === 2);
    await act(id, "conciliate");
    await until("confirmed", () => page.seen.includes("confirmed"));
    assert.deepEqual(page.seen, ["verifying", "verifying", "confirmed"]);
  });

  test("who needs a second signature stays at verifying and is told not to pay again", async () => {
    await behaviour({ conciliation_delay_ms: 0 });
    const page = await visit();
    await buy(page);
    const id = paymentId(page);
    await press(page, "second-signature");
    await page.waitForURL(`${demo.shop}/orders/**`);
    await until("verifying", () => page.seen.includes("verifying"));
    await page.locator("chasqui-status").getByText(/no pagues de nuevo/i).filter({ visible: true }).first().waitFor();
    await act(id, "conciliate");
    await until("confirmed", () => page.seen.includes("confirmed"));
  });

  test("who gives up at the bank is not told that anything failed, and can resume", async () => {
    await behaviour({ conciliation_delay_ms: 0 });
    const page = await visit();
    await buy(page);
    const bank = page.url();
    await press(page, "cancel");
    await page.waitForURL(`${demo.shop}/**`);
    const text = await page.locator("main").innerText();
    assert.doesNotMatch(text, /fall[óo]|rechazad|error/i);
    await page.goto(bank);
    await press(page, "authorize");
    await until("confirmed", () => page.seen.includes("confirmed"));
  });

  test("who has a phone and reads English sees the same, whole", async () => {
    await behaviour({ conciliation_delay_ms: 500 });
    const page = await visit({}, { locale: "en-US", viewport: { width: 360, height: 740 }, isMobile: true });
    await buy(page);
    await press(page, "authorize");
    await until("confirmed", () => page.seen.includes("confirmed"));
    await page.locator("chasqui-status").getByText(/confirmed/i).filter({ visible: true }).first().waitFor();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow}px too wide`);
  });
});
