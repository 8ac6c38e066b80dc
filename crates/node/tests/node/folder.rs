//! What a folder is for.

use comity_node::{Node, NodeConfig, OpenError};

use crate::open;

async fn open_relay(folder: &std::path::Path) -> Node {
    Node::open(NodeConfig::relay(folder)).await.unwrap().0
}

#[tokio::test]
async fn a_relay_does_not_serve_the_folder_of_a_device() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await.unwrap();
    let refused = Node::open(NodeConfig::relay(folder.path())).await.err().unwrap();
    assert!(matches!(refused, OpenError::OfADevice { .. }), "{refused}");
    assert!(refused.to_string().contains("is the data folder of a device"), "{refused}");
    open(folder.path()).await.close().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    open_relay(folder.path()).await.close().await.unwrap();
    open(folder.path()).await.close().await.unwrap();
    open_relay(folder.path()).await.close().await.unwrap();
}
