//! A relay made of samod, for the benchmark: its repo on tokio, its file storage, and WebSockets.
//!
//! ```text
//! samod-relay FOLDER
//! ```
//!
//! Prints one line, `{"url":"ws://127.0.0.1:PORT"}`, when it serves. SIGTERM stops the repo, which writes what is not
//! written yet, and ends it.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt, future};
use samod::storage::TokioFilesystemStorage;
use samod::{AcceptorHandle, PeerId, Repo, ShareConfig, Transport, Url};
use tokio::net::{TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: samod-relay FOLDER")?;
    let mut terminated = signal(SignalKind::terminate())?;
    let repo = Repo::build_tokio()
        .with_peer_id(PeerId::from("samod-relay"))
        .with_storage(TokioFilesystemStorage::new(folder))
        // As a relay: what nobody asks for is not offered.
        .with_share_policy(ShareConfig::read_write().with_announce(false))
        .load()
        .await;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    // As ours: a crowd comes at once.
    let listener = socket.listen(4_096)?;
    let url = format!("ws://{}", listener.local_addr()?);
    let acceptor = repo.make_acceptor(Url::parse(&url)?)?;
    println!("{}", serde_json::json!({ "url": url }));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted?;
                tokio::spawn(serve(socket, acceptor.clone()));
            }
            _ = terminated.recv() => {
                repo.stop().await;
                return Ok(());
            }
        }
    }
}

/// One binary message is one message of samod, nothing added and nothing left out.
async fn serve(socket: TcpStream, acceptor: AcceptorHandle) {
    // Whoever breaks off has seen to it.
    let _ = socket.set_nodelay(true);
    let Ok(socket) = tokio_tungstenite::accept_async(socket).await else { return };
    let (sink, stream) = socket.split();
    let messages = stream.filter_map(|message| {
        future::ready(match message {
            Ok(WsMessage::Binary(bytes)) => Some(Ok(bytes.to_vec())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    });
    let sink = sink.with(|bytes: Vec<u8>| future::ready(Ok::<_, WsError>(WsMessage::binary(bytes))));
    // A repo that has stopped takes no more connections.
    let _ = acceptor.accept(Transport::new(messages, sink));
}
