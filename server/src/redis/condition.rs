//! Whether a Redis is fit to keep payments: its own settings, read at start.
