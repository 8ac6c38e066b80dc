//! The other end of a link, and a place to collect what arrives.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use comity_net::pump::{Closed, Handler, Keepalive, Outgoing, Written, run};
use comity_net::{Connection, Goodbye, Meter, Metered, SocketOptions, upgraded};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

pub const CALM: Keepalive = Keepalive { ping_interval: Duration::from_secs(15), dead_after: Duration::from_secs(45) };

/// A client made of plain tungstenite, and our end of its connection.
pub async fn accepted(message_bytes_max: usize) -> (WebSocketStream<TcpStream>, Connection, Arc<Meter>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ours = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = Metered::new(stream);
        let meter = stream.meter();
        let stream = accept_async(stream).await.unwrap().into_inner();
        (upgraded(stream, meter.clone(), "client", &SocketOptions::new(message_bytes_max)).await, meter)
    };
    let theirs = async {
        let stream = TcpStream::connect(address).await.unwrap();
        client_async(format!("ws://{address}/"), stream).await.unwrap().0
    };
    let ((ours, meter), theirs) = tokio::join!(ours, theirs);
    (theirs, ours, meter)
}

/// The same without sockets, for a paused clock.
pub async fn piped(message_bytes_max: usize) -> (WebSocketStream<DuplexStream>, Connection) {
    let (near, far) = tokio::io::duplex(4 << 10);
    let near = Metered::new(near);
    let meter = near.meter();
    let ours = upgraded(near, meter, "pipe", &SocketOptions::new(message_bytes_max)).await;
    (WebSocketStream::from_raw_socket(far, Role::Client, None).await, ours)
}

/// A running pump.
pub struct Running {
    pub outbound: mpsc::Sender<Outgoing>,
    pub inbound: mpsc::Receiver<Bytes>,
    pub written: Arc<Mutex<Vec<Written>>>,
    pub task: JoinHandle<Closed>,
}

pub struct Collector {
    inbound: mpsc::Sender<Bytes>,
    written: Arc<Mutex<Vec<Written>>>,
}

impl Handler for Collector {
    async fn message(&self, message: Bytes) -> ControlFlow<Goodbye> {
        self.inbound.message(message).await
    }

    fn written(&self, written: Written) {
        self.written.lock().unwrap().push(written);
    }
}

/// Starts a pump whose queues hold `capacity` messages; `queued` are there before it starts.
pub fn start(connection: Connection, keepalive: Keepalive, capacity: usize, queued: Vec<Outgoing>) -> Running {
    let (outbound, to_write) = mpsc::channel(capacity.max(queued.len()));
    queued.into_iter().for_each(|outgoing| outbound.try_send(outgoing).unwrap());
    let (collect, inbound) = mpsc::channel(capacity);
    let written = Arc::default();
    let collector = Collector { inbound: collect, written: Arc::clone(&written) };
    let task = tokio::spawn(run(connection, to_write, collector, keepalive));
    Running { outbound, inbound, written, task }
}
