//! A running relay whose acceptor sends every message back.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use comity_model::Limits;
use comity_net::pump::{CloseReason, Handler, Keepalive, Outgoing, run};
use comity_net::{Connection, DialOptions, Frame, Goodbye, dial};
use comity_relay::{Accepted, Acceptor, Drained, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How one connection went, as the relay saw it.
#[derive(Debug)]
pub struct Ended {
    pub from: Accepted,
    pub reason: CloseReason,
}

pub struct Relay {
    pub address: SocketAddr,
    pub ended: mpsc::UnboundedReceiver<Ended>,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<Drained>,
}

#[derive(Clone)]
struct Echo {
    keepalive: Keepalive,
    ended: mpsc::UnboundedSender<Ended>,
}

struct EchoHandler(mpsc::Sender<Outgoing>);

impl Handler for EchoHandler {
    async fn message(&self, message: Bytes) -> ControlFlow<Goodbye> {
        assert_ne!(message, "panic"[..], "as the test asked");
        let _ = self.0.send(Outgoing::Message(message)).await;
        ControlFlow::Continue(())
    }
}

impl Acceptor for Echo {
    async fn accept(&self, connection: Connection, from: Accepted) {
        let (sender, outbound) = mpsc::channel(16);
        let closed = run(connection, outbound, EchoHandler(sender), self.keepalive).await;
        let _ = self.ended.send(Ended { from, reason: closed.reason });
    }
}

pub fn config() -> ServerConfig {
    ServerConfig::new("127.0.0.1:0".parse().unwrap())
}

pub fn config_with(change: impl FnOnce(&mut Limits)) -> ServerConfig {
    let mut config = config();
    change(&mut config.limits);
    config
}

pub async fn start(config: ServerConfig) -> Relay {
    let keepalive = Keepalive::from(&config.limits);
    let server = Server::bind(config).await.unwrap();
    let address = server.local_addr();
    let (ended, seen) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run(Echo { keepalive, ended }, |vitals| vitals, async {
        let _ = stopped.await;
    }));
    Relay { address, ended: seen, stop: Some(stop), task }
}

impl Relay {
    pub async fn dial(&self) -> Result<Connection, comity_net::DialError> {
        dial(&format!("ws://{}/sync", self.address).parse().unwrap(), &DialOptions::default()).await
    }

    /// Sends bytes and reads until the relay closes; an error instead of an end counts as closed too.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        read_to_end(&mut stream).await
    }

    /// One request on its own connection.
    pub async fn get(&self, path: &str, headers: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n{headers}\r\n").as_bytes()).await
    }

    /// An upgrade request as a browser makes it; gives the answer's first line.
    pub async fn upgrade(&self, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("GET /sync HTTP/1.1\r\n{}{headers}\r\n", UPGRADE).as_bytes()).await.unwrap();
        let mut head = [0; 64];
        let length = stream.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned()
    }

    pub async fn vitals(&self) -> serde_json::Value {
        let answer = self.get("/health", "").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
        serde_json::from_str(body).unwrap()
    }

    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

pub const UPGRADE: &str = "host: relay\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the relay did not close the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one message and waits for it to come back.
pub async fn echo(connection: &mut Connection, bytes: impl Into<Bytes>) {
    let bytes = bytes.into();
    connection.send(Frame::Message(bytes.clone())).await.unwrap();
    loop {
        match connection.receive().await.unwrap().unwrap() {
            Frame::Message(back) => return assert!(back == bytes, "another message came back"),
            Frame::Text(_) | Frame::Ping(_) | Frame::Pong(_) => {}
            Frame::Close(goodbye) => panic!("closed: {goodbye:?}"),
        }
    }
}

/// Waits for the relay's goodbye.
pub async fn goodbye(connection: &mut Connection) -> Goodbye {
    loop {
        match connection.receive().await.unwrap().unwrap() {
            Frame::Close(goodbye) => return goodbye,
            _ => continue,
        }
    }
}
