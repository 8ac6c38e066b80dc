//! Connections over real sockets, with an independent WebSocket implementation at the other end.

mod dialing;
mod keepalive;
mod moving;
mod support;
