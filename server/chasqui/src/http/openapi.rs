//! `/openapi.json`: the description of the API, collected from the handlers.

use axum::body::Bytes;
use serde_json::{Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::api_schemas::{Problem, StatusObject};
use super::{
    deliveries, facade, listing, notification, operations, return_page, status, status_token,
    timeline,
};

/// The document. A test compares its paths with those that are routed.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chasqui",
        description = "Real-time payment status for Khipu. PROTOCOL.md in the source describes what a schema cannot: \
                       WebSocket messages, the order of statuses, deliveries.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        facade::create,
        facade::payment,
        facade::delete,
        facade::forward::banks,
        facade::forward::confirm,
        facade::forward::predict,
        facade::forward::receivers,
        facade::forward::payment_methods,
        facade::forward::balance,
        facade::refunds::of_payment,
        facade::refunds::from_wallet,
        listing::payments,
        timeline::timeline,
        timeline::erase,
        deliveries::list,
        deliveries::redeliver,
        deliveries::redeliver_dead,
        status_token::mint,
        status::status,
        notification::receive,
        return_page::returned,
        return_page::gave_up,
        operations::alive,
        operations::ready,
        operations::health
    ),
    components(schemas(StatusObject, Problem)),
    modifiers(&Credentials)
)]
struct ApiDescription;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let api_key = "a Chasqui key of the account, for the merchant's back end";
        components.add_security_scheme(
            "api_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "x-api-key",
                api_key,
            ))),
        );
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("the payment's status token, for a browser"));
        components.add_security_scheme("status_token", SecurityScheme::Http(bearer.build()));
    }
}

/// The document's text, with the deliveries to the merchant as webhooks.
#[expect(clippy::expect_used, reason = "the document has text alone")]
pub(super) fn description(public_url: &str) -> Bytes {
    let mut value = serde_json::to_value(ApiDescription::openapi()).expect("a document serialises");
    value["servers"] = json!([{ "url": public_url }]);
    value["webhooks"] = webhooks();
    value.to_string().into()
}

fn webhooks() -> Value {
    json!({
        "notification": {
            "post": {
                "summary": "Khipu's notification 3.0 of a confirmed payment, delivered to the merchant's notify_url",
                "description": "The bytes and the signature are Khipu's; the Standard Webhooks headers are there if the account has \
                                webhook_secrets.",
                "parameters": [
                    { "name": "x-khipu-signature", "in": "header", "required": true, "schema": { "type": "string" } },
                    { "name": "webhook-id", "in": "header", "schema": { "type": "string" } },
                    { "name": "webhook-timestamp", "in": "header", "schema": { "type": "string" } },
                    { "name": "webhook-signature", "in": "header", "schema": { "type": "string" } },
                    { "name": "chasqui-source", "in": "header", "required": true,
                      "schema": { "enum": ["notification", "reconciliation"] } },
                ],
                "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } },
                "responses": { "2XX": { "description": "Saved. Any other answer is retried for three days." } },
            }
        },
        "event": {
            "post": {
                "summary": "A change of a payment's status, sent to the account's events_url as Standard Webhooks",
                "parameters": [
                    { "name": "webhook-id", "in": "header", "required": true, "schema": { "type": "string" } },
                    { "name": "webhook-timestamp", "in": "header", "required": true, "schema": { "type": "string" } },
                    { "name": "webhook-signature", "in": "header", "required": true, "schema": { "type": "string" } },
                ],
                "requestBody": { "content": { "application/json": { "schema": {
                    "type": "object",
                    "required": ["type", "timestamp", "data"],
                    "properties": {
                        "type": { "type": "string", "description": "payment. and the status" },
                        "timestamp": { "type": "string", "format": "date-time" },
                        "data": { "allOf": [
                            { "$ref": "#/components/schemas/StatusObject" },
                            { "type": "object", "properties": { "transaction_id": { "type": "string" } } },
                        ] },
                    },
                } } } },
                "responses": { "2XX": { "description": "Saved. Any other answer is retried for three days." } },
            }
        }
    })
}
