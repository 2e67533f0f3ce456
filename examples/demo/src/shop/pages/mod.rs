//! The shop's pages, one file for each step of the visit. They read and draw; nothing is changed by a page, but
//! that `way_back` writes down that the payer is back.

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
