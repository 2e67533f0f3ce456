// Khipu's operations through openapi-fetch, with the types that openapi-typescript made of /openapi.json.
//
// Commands and output are those of generated_client.py.

import createClient from "openapi-fetch";
import type { components, paths } from "./openapi.js";

type Schemas = components["schemas"];

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

const client = createClient<paths>({
  baseUrl: required("BASE_URL"),
  headers: { "x-api-key": required("API_KEY") },
});

class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem: Schemas["Problem"],
  ) {
    super(problem.message);
  }

  output() {
    const { message, errors } = this.problem;
    // Khipu itself omits `errors` where no field is at fault.
    const fields = (errors ?? []).map((error) => error.field);
    return { error: this.problem.code, status: this.status, message, fields };
  }
}

interface Result<T> {
  data?: T;
  error?: Schemas["Problem"];
  response: Response;
}

function answer<T>({ data, error, response }: Result<T>): T {
  if (error !== undefined) throw new Refused(response.status, error);
  if (data === undefined) throw new Error("no data");
  return data;
}

function refusal(result: Result<unknown>) {
  try {
    answer(result);
  } catch (error) {
    if (error instanceof Refused) return error.output();
    throw error;
  }
  throw new Error("it was not refused");
}

function check(holds: boolean, what: string) {
  if (!holds) throw new Error(what);
}

function order(transaction_id: string, more: Partial<Schemas["NewPayment"]> = {}): Schemas["NewPayment"] {
  return { amount: 24990, currency: "CLP", subject: "Zapatillas", transaction_id, ...more };
}

async function created(transaction_id: string): Promise<string> {
  return answer(await client.POST("/v3/payments", { body: order(transaction_id) })).payment_id;
}

async function found(id: string): Promise<Schemas["KhipuPayment"]> {
  return answer(await client.GET("/v3/payments/{id}", { params: { path: { id } } }));
}

/** A payment that the payer pays, at the sandbox. */
async function paid(transaction_id: string): Promise<string> {
  const id = await created(transaction_id);
  const url = `${required("SANDBOX_URL")}/sandbox/payments/${id}/actions`;
  const acted = await fetch(url, { method: "POST", body: '{"action":"conciliate"}' });
  check(acted.ok, "the sandbox refuses");
  return id;
}

async function walk() {
  check(answer(await client.GET("/v3/banks")).banks.length > 1, "banks");
  const receiver = { params: { path: { id: Number(required("RECEIVER_ID")) } } };
  const methods = answer(await client.GET("/v3/merchants/{id}/paymentMethods", receiver));
  check(methods.paymentMethods.some((method) => method.id === "SIMPLIFIED_TRANSFER"), "methods");
  const query = { payer_email: "a@b.example", bank_id: "Bawdf", amount: "1000", currency: "CLP" };
  check(answer(await client.GET("/v3/predict", { params: { query } })).result === "ok", "predict");

  const deleted = await created("deleted");
  const pending = await found(deleted);
  check(pending.status === "pending" && Number(pending.amount) === 24990, "read");
  answer(await client.DELETE("/v3/payments/{id}", { params: { path: { id: deleted } } }));
  check((await found(deleted)).status === "deleted", "deleted");

  const refunded = await paid("refunded");
  const path = { path: { id: refunded } };
  check((await found(refunded)).status_detail === "normal", "conciliated");
  answer(await client.POST("/v3/payments/{id}/confirm", { params: path }));
  answer(await client.POST("/v3/payments/{id}/refunds", { params: path, body: { amount: 990 } }));
  check(Number((await found(refunded)).total_refunded) === 990, "refund");

  const payment_id = await paid("refunded-from-wallet");
  const full = { type: "full", payment_id };
  check(Number(answer(await client.POST("/v3/refunds", { body: full })).remaining) === 0, "wallet");
  check(Number(answer(await client.GET("/v3/refund-wallet/balance")).balance) > 0, "balance");

  const person = { phone: "+56911111111", email: "ana@shop.example" };
  const body = {
    admin_first_name: "Ana",
    admin_last_name: "Soto",
    admin_email: person.email,
    country_code: "CL",
    business_identifier: "11111111-1",
    business_category: "calzado",
    business_name: "Zapatos",
    business_phone: person.phone,
    business_address_line_1: "Calle 12",
    business_address_line_2: "Piso 3",
    business_address_line_3: "Santiago",
    contact_full_name: "Ana Soto",
    contact_job_title: "dueña",
    contact_email: person.email,
    contact_phone: person.phone,
  };
  check(answer(await client.POST("/v3/receivers", { body })).secret !== "", "receiver");

  const unknown = { params: { path: { id: "unknown00000" } } };
  const invalid = { body: order("invalid", { notify_url: "ftp://x" }) };
  return {
    deleted,
    refunded,
    refunded_from_wallet: payment_id,
    unknown: refusal(await client.GET("/v3/payments/{id}", unknown)),
    invalid: refusal(await client.POST("/v3/payments", invalid)),
  };
}

async function create(transaction_id: string, key: string) {
  const notify_url = process.env["NOTIFY_URL"];
  const result = await client.POST("/v3/payments", {
    params: { header: { "idempotency-key": key } },
    body: order(transaction_id, notify_url === undefined ? {} : { notify_url }),
  });
  return { payment_id: answer(result).payment_id };
}

async function read(id: string) {
  const { payment_id, status } = await found(id);
  return { payment_id, status };
}

async function run([command, first = "", second = ""]: string[]) {
  switch (command) {
    case "walk":
      return walk();
    case "create":
      return create(first, second);
    case "read":
      return read(first);
    default:
      throw new Error(`no command ${command}`);
  }
}

try {
  console.log(JSON.stringify(await run(process.argv.slice(2))));
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.log(JSON.stringify(error.output()));
}
