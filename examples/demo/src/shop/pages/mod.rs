//! The shop's pages, one file for each step of the visit. They read and render; only `way_back` changes an order, by
//! recording the payer's return.

mod cart;
mod checkout;
mod front;
mod layout;
mod notice;
mod order;
mod product;
mod way_back;

pub(super) use self::{
    cart::cart,
    checkout::{checkout, unusable_form},
    front::front,
    notice::{missing, no_payment},
    order::{order, orders},
    product::product,
    way_back::{cancelled, returned},
};
