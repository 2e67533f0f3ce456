//! The relay between instances: Redis carries each change to the instances that watch its payment.
//!
//! One channel for each payment, subscribed only while this instance has a watcher on it, so that Redis routes and no
//! instance filters. The store's scripts publish a change in the step that commits it; here changes are only received.
//! There is one `node_subscriber` for each master; `subscription_registry` is where subscriptions and subscribers meet.

mod node_subscriber;
mod redis_relay;
mod relay_state;
mod subscription_registry;
#[cfg(test)]
mod tests;

pub use redis_relay::RedisRelay;
