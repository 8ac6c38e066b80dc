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
use comity_tests::rust_client::over_websocket;
use samod::storage::TokioFilesystemStorage;
use samod::{AcceptorHandle, PeerId, Repo, ShareConfig, Url};
use tokio::net::{TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

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

async fn serve(socket: TcpStream, acceptor: AcceptorHandle) {
    // Whoever breaks off has seen to it.
    let _ = socket.set_nodelay(true);
    let Ok(socket) = tokio_tungstenite::accept_async(socket).await else { return };
    // A repo that has stopped takes no more connections.
    let _ = acceptor.accept(over_websocket(socket));
}
