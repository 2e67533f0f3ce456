// A person buys in the demo's shop, pays at its bank, and watches the page turn from verifying to confirmed.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { startCuttingProxy } from "./cutting_proxy.js";
import { startStage } from "./stage.js";

describe("a payer", () => {
  let stage;
  let demo, visit, buy, press, paymentId, until, behaviour, act;

  before(async () => {
    stage = await startStage();
    ({ demo, visit, buy, press, paymentId, until, behaviour, act } = stage);
  });

  after(() => stage?.demo.stop());

  afterEach(() => stage.endTest());

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
    stage.atEnd(() => proxy.stop());
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

  test("who is behind a router that swallows everything without closing sees confirmed within a minute", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const proxy = await startCuttingProxy();
    stage.atEnd(() => proxy.stop());
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
