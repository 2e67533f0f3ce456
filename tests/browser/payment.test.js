// A payer buys in the demo's shop, pays at its bank, and sees the page change from verifying to confirmed.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { startCuttingProxy } from "./cutting_proxy.js";
import { startTestbed } from "./testbed.js";

describe("a payer", () => {
  let testbed;
  let demo, visit, buy, press, paymentId, until, behaviour, act;

  before(async () => {
    testbed = await startTestbed();
    ({ demo, visit, buy, press, paymentId, until, behaviour, act } = testbed);
  });

  after(() => testbed?.demo.stop());

  afterEach(() => testbed.endTest());

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

    // The shop's back end has the notification too.
    await page.locator("a.button[href^='/orders/']").click();
    await page.getByText(/Pagado/).filter({ visible: true }).first().waitFor();
  });

  test("who loses the connection while verifying still sees confirmed", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const proxy = await startCuttingProxy();
    testbed.atEnd(() => proxy.stop());
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

  test("who is behind a router that drops all data without closing sees confirmed within a minute", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const proxy = await startCuttingProxy();
    testbed.atEnd(() => proxy.stop());
    const page = await visit({ proxy: proxy.url });
    await buy(page);
    const id = paymentId(page);
    await press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/**`);
    await until("verifying", () => page.seen.includes("verifying"));
    await until("a tunnel for the WebSocket", () => proxy.tunnels() > 0);

    proxy.swallow();
    await act(id, "conciliate");
    await until("confirmed", () => page.seen.includes("confirmed"), 60_000);
    assert.deepEqual(page.seen, ["verifying", "confirmed"]);
    await page.locator("chasqui-status").getByText(/confirmado/i).filter({ visible: true }).first().waitFor();
  });

  test("who reloads the page still sees confirmed", async () => {
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

  test("who needs a second signature stays at verifying and is advised not to pay again", async () => {
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

  test("who gives up at the bank sees no failure and can resume", async () => {
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

  test("who rejects at the bank sees a link to resume, and the page updates after a payment", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const page = await visit();
    await buy(page);
    const id = paymentId(page);
    await press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/**`);
    await until("verifying", () => page.seen.includes("verifying"));
    await act(id, "reject");
    const resume = page.locator("chasqui-status a").filter({ visible: true, hasText: "Retomar el pago" });
    await resume.waitFor();
    assert.equal(page.seen.at(-1), "rejected");
    assert.ok(await page.locator("#order-link").isVisible(), "the shop offers its own link");

    // In another tab, while the page stays open.
    const bank = await page.context().newPage();
    await bank.goto(await resume.getAttribute("href"));
    await press(bank, "authorize");
    await until("verifying again", () => page.seen.at(-1) === "verifying");
    assert.equal(await resume.count(), 0);
    assert.equal(await page.locator("#order-link").isVisible(), false);
    await act(id, "conciliate");
    await until("confirmed", () => page.seen.includes("confirmed"));
    assert.deepEqual(page.seen, ["verifying", "rejected", "verifying", "confirmed"]);
    assert.deepEqual(page.errors, []);
  });

  test("who reloads the page of a settled order sees the shop's own state", async () => {
    await behaviour({ conciliation_delay_ms: 0 });
    const page = await visit();
    await buy(page);
    await press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/**`);
    await until("confirmed", () => page.seen.includes("confirmed"));
    const kept = () => page.evaluate(() => Object.keys(sessionStorage).filter((key) => key.startsWith("chasqui:")));
    assert.deepEqual(await kept(), []);
    // The shop learns it from the notification.
    const order = page.url().match(/orders\/(\w+)/)[1];
    await until("the shop has the notification", async () => /Pagado/.test(await (await fetch(`${demo.shop}/orders/${order}`)).text()));
    await page.reload();
    await page.locator("chasqui-status .notice").filter({ visible: true, hasText: "Pago confirmado" }).waitFor();
    await page.locator("#order-link").waitFor();
    assert.equal(page.seen.filter((status) => status === "confirmed").length, 1, "no token, no status");
  });

  test("who has a phone and reads English sees the whole page", async () => {
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
