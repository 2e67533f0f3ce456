//! What the handlers share.

use super::order::OrderBook;

/// A merchant's settings. URLs have no trailing slash.
#[derive(Clone)]
pub(crate) struct ShopConfig {
    /// Where payers and the gateway reach this shop.
    pub(crate) public_url: String,
    /// Where the shop and its pages reach the gateway.
    pub(crate) gateway_url: String,
    /// The origin of payment_url: the only foreign target of the shop's forms.
    pub(crate) bank_url: String,
    /// A merchant's key of the gateway, `chq_…`.
    pub(crate) api_key: String,
    /// The collection account's secret, which signs notifications.
    pub(crate) khipu_secret: String,
}

/// The state of every handler.
pub(super) struct Shop {
    pub(super) config: ShopConfig,
    pub(super) orders: OrderBook,
    pub(super) http: reqwest::Client,
}
