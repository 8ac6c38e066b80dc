//! A hardened WebSocket relay.
