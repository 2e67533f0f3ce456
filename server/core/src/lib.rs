//! The use cases, and the one door through which a payment changes.

pub mod account;
pub mod clock;
pub mod gateway;
pub mod jobs;
pub mod push;

use chasqui_khipu as khipu;
use chasqui_payment as payment;
use chasqui_store as store;
