//! The shop's pages, one file for each step of the visit. They read and render; `cart` also changes the visitor's cart, and
//! `way_back` records the payer's return on the order.

mod cart;
mod checkout;
mod front;
mod layout;
mod notice;
mod order;
mod pay_here;
mod product;
mod way_back;

pub(super) use self::cart::{cart, change_cart};
pub(super) use self::checkout::{checkout, unusable_form};
pub(super) use self::front::front;
pub(super) use self::notice::{missing, no_payment};
pub(super) use self::order::{order, orders};
pub(super) use self::pay_here::pay_here;
pub(super) use self::product::product;
pub(super) use self::way_back::{cancelled, returned};
