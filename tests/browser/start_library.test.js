// A payer who pays without leaving the shop: Khipu's start library (kws.js) opens the bank over the shop's page.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { startTestbed } from "./testbed.js";

describe("a payer in the shop's own page", () => {
  let testbed;
  let demo, until, behaviour, act;

  before(async () => {
    testbed = await startTestbed();
    ({ demo, until, behaviour, act } = testbed);
  });

  after(() => testbed?.demo.stop());

  afterEach(() => testbed.endTest());

  const bank = (page) => page.frameLocator("dialog iframe");
  const press = (page, button) => bank(page).getByRole("button", { name: button, exact: true }).click();
  const shows = (page, text) => page.getByText(text).filter({ visible: true }).first().waitFor();

  async function chooseToPayHere(page) {
    await testbed.fillCart(page);
    await page.locator("input[name=way][value=here]").check();
    await page.locator("form[action='/checkout'] button").click();
  }

  /** At the bank's buttons. */
  async function atTheBank(context = {}) {
    const page = await testbed.visit({}, context);
    await chooseToPayHere(page);
    await page.waitForURL(`${demo.shop}/orders/*/pay`);
    await bank(page).getByRole("button", { name: "Autorizar el pago" }).waitFor();
    page.loads = 0;
    page.on("load", () => page.loads++);
    page.payment = await page.locator("chasqui-status").getAttribute("payment");
    return page;
  }

  test("who authorises sees verifying and then confirmed, and no other page", async () => {
    await behaviour({ conciliation_delay_ms: 1500 });
    const page = await atTheBank();
    await press(page, "Autorizar el pago");
    await until("confirmed", () => page.seen.includes("confirmed"));
    assert.deepEqual(page.seen, ["pending", "verifying", "confirmed"]);
    assert.equal(page.loads, 0);
    assert.equal(await page.locator("dialog").count(), 0);
    await shows(page, /Pago confirmado/);
    assert.ok(!page.url().includes("chasqui="), "the token has left the address bar");
    assert.deepEqual(page.errors, []);
    await page.locator("#order-link").click();
    await shows(page, /Pagado/);
  });

  test("who needs a second signature (WARNING) waits, and sees confirmed when it comes", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const page = await atTheBank();
    await press(page, "Autorizar, falta una segunda firma");
    await until("verifying", () => page.seen.includes("verifying"));
    await shows(page, /se actualiza solo/);
    assert.ok(!page.seen.includes("confirmed"));
    await act(page.payment, "conciliate");
    await until("confirmed", () => page.seen.includes("confirmed"));
    assert.equal(page.loads, 0);
  });

  for (const [what, leave] of [
    ["the bank fails (ERROR)", (page) => press(page, "El banco falla")],
    ["the payer closes the window (ERROR)", (page) => page.getByRole("button", { name: "Cerrar" }).click()],
  ]) {
    test(`where ${what} the words change, the status stays, and who pays later sees confirmed`, async () => {
      await behaviour({ conciliation_delay_ms: null });
      const page = await atTheBank();
      await until("a first status", () => page.seen.length > 0);
      await leave(page);
      await shows(page, /se cerró sin terminar/);
      assert.deepEqual(page.seen, ["pending"]);
      for (const untrue of [/rechazado/i, /confirmado/i, /fall[oó]/i]) {
        assert.equal(await page.locator("main").getByText(untrue).filter({ visible: true }).count(), 0, untrue);
      }
      await page.locator("#pay").click();
      await press(page, "Autorizar el pago");
      await act(page.payment, "conciliate");
      await until("confirmed", () => page.seen.includes("confirmed"));
      assert.equal(page.loads, 0);
      assert.ok(await page.locator("#pay").isHidden(), "nothing is left to pay");
    });
  }

  const words = (page) => page.locator("[data-words]").filter({ visible: true });

  test("whose payment is rejected after OK reads only the status's advice, and can resume", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const page = await atTheBank();
    await press(page, "Autorizar el pago");
    await until("verifying", () => page.seen.includes("verifying"));
    await shows(page, /se actualiza solo/);
    await act(page.payment, "reject");
    await until("rejected", () => page.seen.includes("rejected"));
    assert.equal(await words(page).count(), 0);
    const resume = page.locator("chasqui-status a").filter({ visible: true, hasText: "Retomar el pago" });
    await resume.waitFor();

    // In another tab, while the page stays open.
    await act(page.payment, "authorize");
    await act(page.payment, "conciliate");
    await until("confirmed", () => page.seen.includes("confirmed"));
    assert.equal(await resume.count(), 0);
    assert.equal(page.loads, 0);
  });

  test("whose payment expires after the window closed (ERROR) reads only the status's advice", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const page = await atTheBank();
    await page.getByRole("button", { name: "Cerrar" }).click();
    await shows(page, /se cerró sin terminar/);
    await act(page.payment, "expire");
    await until("expired", () => page.seen.includes("expired"));
    assert.equal(await words(page).count(), 0);
    assert.ok(await page.locator("#pay").isHidden());
    await page.locator("#order-link").waitFor();
  });

  test("who paid elsewhere and then closes the window (ERROR) is not asked to pay again", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const page = await atTheBank();
    await act(page.payment, "conciliate");
    await until("confirmed", () => page.seen.includes("confirmed"));
    await page.getByRole("button", { name: "Cerrar" }).click();
    await page.locator("dialog").waitFor({ state: "detached" });
    await shows(page, /Pago confirmado/);
    assert.ok(await page.locator("[data-words=error]").isHidden(), "the words deny a confirmed payment");
    assert.ok(await page.locator("#pay").isHidden(), "nothing is left to pay");
    assert.ok(await page.locator("#order-link").isVisible());
    assert.deepEqual(page.errors, []);
  });

  test("who goes on at the bank's own page (CONTINUE) pays there and returns to the status", async () => {
    await behaviour({ conciliation_delay_ms: 1500 });
    const page = await atTheBank();
    await press(page, "Seguir en la página del banco");
    await page.waitForURL(`${demo.sandbox}/payment/**`);
    await testbed.press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/*/return**`);
    await until("confirmed", () => page.seen.includes("confirmed"));
  });

  test("who cannot load the start library pays by redirect", async () => {
    await behaviour({ conciliation_delay_ms: 1500 });
    const page = await testbed.visit();
    await page.route("**/js/kws.js", (route) => route.abort());
    await chooseToPayHere(page);
    await page.waitForURL(`${demo.sandbox}/payment/**`);
    await testbed.press(page, "authorize");
    await page.waitForURL(`${demo.shop}/orders/*/return**`);
    await until("confirmed", () => page.seen.includes("confirmed"));
  });

  test("who reloads the page is not sent to the bank again", async () => {
    await behaviour({ conciliation_delay_ms: null });
    const page = await atTheBank();
    await press(page, "Autorizar el pago");
    await until("verifying", () => page.seen.includes("verifying"));
    await page.reload();
    await until("verifying again", () => page.seen.filter((status) => status === "verifying").length === 2);
    assert.equal(await page.locator("dialog").count(), 0);
    assert.ok(await page.locator("#pay").isHidden());
  });

  test("the page admits scripts and frames of the bank, and no page that does not need them does", async () => {
    const policy = async (path) => (await fetch(`${demo.shop}${path}`)).headers.get("content-security-policy");
    const page = await atTheBank();
    const pays = await policy(new URL(page.url()).pathname);
    assert.ok(pays.includes(`frame-src ${demo.sandbox};`) && pays.includes(` ${demo.sandbox}; frame-src`), pays);
    for (const path of ["/", "/checkout", "/orders"]) {
      const others = await policy(path);
      assert.ok(!others.includes("frame-src"), others);
      assert.ok(!others.split(";").find((part) => part.includes("script-src")).includes(demo.sandbox), others);
    }
  });
});
