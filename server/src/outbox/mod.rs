//! Deliveries to merchants.
