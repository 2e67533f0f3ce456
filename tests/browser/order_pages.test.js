// One payer, several orders, one tab: no page shows another order's payment.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { startTestbed } from "./testbed.js";

const NOTHING = "Estado de tu pago";
const VERIFYING = "Estamos verificando tu transferencia";
const CONFIRMED = "Pago confirmado";

describe("the page of an order", () => {
  let testbed;

  before(async () => {
    testbed = await startTestbed();
    await testbed.behaviour({ conciliation_delay_ms: null });
  });

  after(() => testbed?.demo.stop());

  afterEach(() => testbed.endTest());

  /** A payment at `verifying`, and the token of its payer's return. */
  async function payment(page) {
    await testbed.buy(page);
    const id = testbed.paymentId(page);
    await testbed.press(page, "authorize");
    await page.waitForURL(`${testbed.demo.shop}/orders/**`);
    await testbed.until("verifying", () => page.seen.includes("verifying"));
    const token = await page.evaluate(() => sessionStorage.getItem(`chasqui:${location.pathname}${location.search}`));
    assert.ok(token, "the page keeps its token");
    return { id, token };
  }

  /** A tab with two payments made in it, and test pages at the shop's origin. */
  async function twoPayments(element = "<chasqui-status></chasqui-status>") {
    const page = await testbed.visit();
    const [first, second] = [await payment(page), await payment(page)];
    const { shop, gateway } = testbed.demo;
    const body = `<!doctype html><html lang="es"><meta charset="utf-8">
      <script type="module" src="${gateway}/js/chasqui.js"></script>${element}`;
    await page.route(`${shop}/try/**`, (route) => route.fulfill({ contentType: "text/html", body }));
    page.seen.length = 0;
    const open = (path, token) => page.goto(`${shop}/try/${path}${token ? `#chasqui=${token}` : ""}`);
    return { page, first, second, open };
  }

  const shows = (page, title) =>
    page.locator("chasqui-status .title").filter({ hasText: title }).waitFor();

  async function showsPayment(page, title, id) {
    await shows(page, title);
    assert.equal(await page.evaluate(() => document.querySelector("chasqui-status").status.payment_id), id);
  }

  /** Waits for the gateway's own status, apart from any page. */
  async function isConfirmed({ id, token }) {
    await testbed.until("the gateway's confirmation", async () => {
      const url = `${testbed.demo.gateway}/v1/payments/${id}/status`;
      const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
      return (await answer.json()).status === "confirmed";
    });
  }

  test("the same path with another query is another order's", async () => {
    const { page, first, open } = await twoPayments();
    await open("done?pedido=1", first.token);
    await showsPayment(page, VERIFYING, first.id);
    await open("done?pedido=2");
    await shows(page, NOTHING);
    assert.deepEqual(page.seen, ["verifying"]);
    await open("done?pedido=1");
    await showsPayment(page, VERIFYING, first.id);
  });

  test("a single-page application that moves to the next order shows nothing of the previous one", async () => {
    const { page, first, open } = await twoPayments();
    await open("orders/17", first.token);
    await showsPayment(page, VERIFYING, first.id);
    await page.evaluate(() => history.pushState(null, "", "/try/orders/18"));
    await shows(page, NOTHING);
    await testbed.act(first.id, "conciliate");
    await isConfirmed(first);
    await shows(page, NOTHING);
    assert.deepEqual(page.seen, ["verifying"]);
    await page.goBack();
    await showsPayment(page, CONFIRMED, first.id);
    await page.goForward();
    await shows(page, NOTHING);
    assert.deepEqual(page.seen, ["verifying", "confirmed"]);
    assert.deepEqual(page.errors, []);
  });

  test("a success page at a fixed address shows the order of the return, and nothing after it is settled", async () => {
    const { page, first, second, open } = await twoPayments();
    const success = "checkout/onepage/success";
    await open(success, first.token);
    await showsPayment(page, VERIFYING, first.id);
    // In the open page, where only the fragment changes.
    await open(success, second.token);
    await showsPayment(page, VERIFYING, second.id);
    // From another site, such as the bank.
    await page.goto("about:blank");
    await open(success, first.token);
    await showsPayment(page, VERIFYING, first.id);
    await testbed.act(first.id, "conciliate");
    await showsPayment(page, CONFIRMED, first.id);
    await page.goto("about:blank");
    await open(success);
    await shows(page, NOTHING);
  });

  test("back and forward between two orders show the payment of each", async () => {
    const { page, first, second, open } = await twoPayments();
    await open("orders/17", first.token);
    await showsPayment(page, VERIFYING, first.id);
    await open("orders/18", second.token);
    await showsPayment(page, VERIFYING, second.id);
    for (let i = 0; i < 2; i++) {
      await page.goBack();
      await showsPayment(page, VERIFYING, first.id);
      await page.goForward();
      await showsPayment(page, VERIFYING, second.id);
    }
    await testbed.act(second.id, "conciliate");
    await showsPayment(page, CONFIRMED, second.id);
    await page.goBack();
    await showsPayment(page, VERIFYING, first.id);
  });

  test("an element with a payment attribute shows no other payment, regardless of the token", async () => {
    const { page, first, second, open } = await twoPayments();
    await open("done", first.token);
    await showsPayment(page, VERIFYING, first.id);
    await page.evaluate((id) => document.querySelector("chasqui-status").setAttribute("payment", id), second.id);
    await shows(page, NOTHING);
    await page.evaluate((id) => document.querySelector("chasqui-status").setAttribute("payment", id), first.id);
    await showsPayment(page, VERIFYING, first.id);
  });
});
