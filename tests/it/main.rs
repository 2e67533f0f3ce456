//! Scenario tests: the real gateway against the real sandbox, over HTTP and WebSocket. One file for each part of the URL
//! tree or each kind of trouble.

mod crash;
mod facade;
mod khipu_trouble;
mod notifications;
mod return_hop;
mod status;
mod websocket;
mod whole_path;
