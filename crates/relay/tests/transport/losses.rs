//! What a relay whose store was damaged tells whoever watches it.

use std::net::SocketAddr;

use comity_model::DocumentId;
use comity_node::{STORE_FOLDER, note_damage};
use comity_relay::{Relay, RelayConfig};
use comity_store::{Damage, DamagedDocument, OpenReport, Options, SledStore, Store};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::read_to_end;

/// Asks for the health of the relay at an address.
async fn health(address: SocketAddr) -> serde_json::Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn health_counts_all_that_was_lost_and_names_twenty() {
    let folder = tempfile::tempdir().unwrap();
    let lost = |byte| DamagedDocument {
        document: DocumentId::from_bytes([byte; 16]),
        heads: None,
        damage: vec![Damage::Gone],
    };
    for (count, named) in [(20, 20), (21, 20)] {
        let (store, _) = SledStore::open(&folder.path().join(STORE_FOLDER), Options::default()).unwrap();
        let mut report = OpenReport::default();
        report.damaged = (1..=count).map(lost).collect();
        note_damage(folder.path(), &store, &report).unwrap();
        store.close().unwrap();
        drop(store);
        let relay = Relay::start(RelayConfig::new("127.0.0.1:0".parse().unwrap(), folder.path())).await.unwrap();
        let health = health(relay.local_addr()).await;
        assert_eq!(health["lost_documents"], count);
        let names: Vec<&str> = health["lost"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!(names.len(), named);
        assert!(names.iter().all(|id| id.len() == 6), "only the beginnings: {names:?}");
        relay.shutdown().await.unwrap();
    }
}
