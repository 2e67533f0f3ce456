//! How a watcher follows a payment.

use crate::named_enum::named_enum;

named_enum! {
    WatchTransport {
        WebSocket = "websocket",
        /// Server-sent events.
        Sse = "sse",
        Polling = "polling",
    }
}
