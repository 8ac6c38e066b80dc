//! Sends every message back, over the relay's own accept loop: what `cargo xtask autobahn` tests.
//!
//! All is the relay's, with its own limits: accept loop, routes, upgrade, WebSocket, pump, keep-alive, goodbyes. Only
//! two things differ. There is no node behind the door, and text passes: links are binary and refuse it, but the
//! outside suite speaks it in most of its cases.
//!
//! `cargo run -p comity-relay --example echo -- 127.0.0.1:9001`. It prints its address as the first line, and stops, as
//! a relay does, when its standard input ends.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use bytes::Bytes;
use comity_net::pump::{self, Handler, Keepalive, Outgoing};
use comity_net::{Connection, Frame, Goodbye, LinkError, Meter, Transport};
use comity_relay::{Accepted, Acceptor, ServeError, Server, ServerConfig};
use tokio::sync::{mpsc, oneshot};

/// Messages on their way back, for each connection. While so many wait, nothing more is read.
const WAITING_MESSAGES_MAX: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    Ok(serve(listen.parse()?).await?)
}

async fn serve(listen: SocketAddr) -> Result<(), ServeError> {
    let config = ServerConfig::new(listen);
    let keepalive = Keepalive::from(&config.limits);
    let server = Server::bind(config).await?;
    println!("{}", server.local_addr());
    let (stop, stopped) = oneshot::channel();
    // A thread of its own: a blocking read would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = stop.send(());
    });
    let drained = server.run(Echo { keepalive }, |vitals| vitals, async {
        let _ = stopped.await;
    });
    drained.await;
    Ok(())
}

#[derive(Clone)]
struct Echo {
    keepalive: Keepalive,
}

impl Acceptor for Echo {
    async fn accept(&self, connection: Connection, _from: Accepted) {
        let (sender, outbound) = mpsc::channel(WAITING_MESSAGES_MAX);
        let connection = connection.wrapped(|inner| TextPasses { inner, text: VecDeque::new() });
        pump::run(connection, outbound, SendBack(sender), self.keepalive).await;
    }
}

struct SendBack(mpsc::Sender<Outgoing>);

impl Handler for SendBack {
    async fn message(&self, message: Bytes) -> ControlFlow<Goodbye> {
        let _ = self.0.send(Outgoing::Message(message)).await;
        ControlFlow::Continue(())
    }
}

/// Shows text to the pump as a message, and makes it text again on its way back.
///
/// Every message is sent back once and in order, so it is enough to remember which ones were text.
struct TextPasses {
    inner: Box<dyn Transport>,
    text: VecDeque<bool>,
}

impl Transport for TextPasses {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        self.inner.poll_receive(cx).map_ok(|frame| match frame {
            Frame::Text(bytes) => {
                self.text.push_back(true);
                Frame::Message(bytes)
            }
            Frame::Message(bytes) => {
                self.text.push_back(false);
                Frame::Message(bytes)
            }
            other => other,
        })
    }

    fn start_send(&mut self, frame: Frame) -> Result<(), LinkError> {
        self.inner.start_send(match frame {
            Frame::Message(bytes) if self.text.pop_front() == Some(true) => Frame::Text(bytes),
            other => other,
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_ready(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_flush(cx)
    }

    fn is_waiting(&self) -> bool {
        self.inner.is_waiting()
    }

    fn stop_receiving(&mut self) {
        self.inner.stop_receiving();
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_close(cx)
    }

    fn meter(&self) -> &Meter {
        self.inner.meter()
    }
}
