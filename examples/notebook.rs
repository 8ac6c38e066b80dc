//! Two devices keep one notebook: both write while apart, and have the same afterwards.
//!
//! Run it with `cargo run -p comity-examples --example notebook`.

use std::error::Error;
use std::time::Duration;

use comity_node::{DialOptions, NewDocument, Node, NodeConfig};
use comity_relay::{Relay, RelayConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;

    // A relay stores what passes through it and hands it on. It has no say over it.
    let relay = Relay::start(RelayConfig::new(([127, 0, 0, 1], 0).into(), folder.path().join("relay"))).await?;
    let url = format!("ws://{}", relay.local_addr());

    // Each device has its own folder, and works without any network.
    let (phone, _) = Node::open(NodeConfig::device(folder.path().join("phone"))).await?;
    let (laptop, _) = Node::open(NodeConfig::device(folder.path().join("laptop"))).await?;

    let notebook = phone.create(NewDocument::new("notebook".parse()?, "Field notes")).await?;
    notebook.set("monday", "text", "Row 4: first flowers").await?;

    // Linked, the laptop gets the notebook by its id.
    let phone_link = phone.connect(url.parse()?, DialOptions::default());
    let laptop_link = laptop.connect(url.parse()?, DialOptions::default());
    let copy = laptop.document(notebook.id());
    assert!(copy.available(Duration::from_secs(10)).await?, "the relay should have it");

    phone.synced().await?;
    laptop.synced().await?;

    // Apart, both go on writing. What was acknowledged is on the disk of its device.
    phone_link.stop().await;
    laptop_link.stop().await;
    notebook.set("tuesday", "text", "Row 5: aphids").await?;
    copy.set("wednesday", "text", "Ordered ladybirds").await?;
    println!("phone:  {}", phone.sync_state().await?);
    println!("laptop: {}", laptop.sync_state().await?);

    // Together again: first the phone brings its page to the relay, then the laptop fetches it and brings its own.
    let _phone_link = phone.connect(url.parse()?, DialOptions::default());
    phone.synced().await?;
    let _laptop_link = laptop.connect(url.parse()?, DialOptions::default());
    laptop.synced().await?;

    for (day, page) in copy.read(|view| view.entries()).await? {
        for (field, value) in page.fields {
            println!("{day}: {field} = {value}");
        }
    }
    assert_eq!(copy.read(|view| view.entries().len()).await?, 3);

    phone.close().await?;
    laptop.close().await?;
    relay.shutdown().await?;
    Ok(())
}
