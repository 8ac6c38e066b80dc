//! An audit of photovoltaic modules: a range marked in one change, a remark, and two technicians who disagree.
//!
//! Run it with `cargo run -p comity-examples --example audit`.

use std::error::Error;

use comity_node::{DialOptions, HistoryFilter, NewDocument, Node, NodeConfig};
use comity_relay::{Relay, RelayConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let relay = Relay::start(RelayConfig::new(([127, 0, 0, 1], 0).into(), folder.path().join("relay"))).await?;
    let url = format!("ws://{}", relay.local_addr());
    let (adrien, _) = Node::open(NodeConfig::device(folder.path().join("adrien"))).await?;
    let (marie, _) = Node::open(NodeConfig::device(folder.path().join("marie"))).await?;

    // Within a space, a natural key makes two documents one: both create "the audit of roof 7" while offline.
    let space = adrien.create_space("Solar park").await?;
    marie.join_space(space).await?;
    let roof_7 = || NewDocument::new("audit".parse().expect("a kind"), "Roof 7").in_space(space).with_key("roof-7");
    let at_adrien = adrien.create(roof_7()).await?;
    let at_marie = marie.create(roof_7()).await?;
    assert_eq!(at_adrien.id(), at_marie.id());

    // Marking M030 to M040 is one change: everybody sees all of it or nothing.
    at_adrien
        .edit(|edit| {
            for i in 30..=40 {
                edit.set(&format!("M{i:03}"), "status", "dead")?;
            }
            edit.remark("string 3 looks burnt")
        })
        .await?;

    // The schema of the built-in kind `audit` knows the statuses.
    let refused = at_adrien.set("M041", "status", "ded").await;
    println!("refused: {}", refused.expect_err("a status that is not one"));

    // Both look at M050 and find different things.
    at_adrien.set("M050", "status", "microcracks").await?;
    at_marie.set("M050", "status", "string_open").await?;

    let _adrien_link = adrien.connect(url.parse()?, DialOptions::default());
    adrien.synced().await?;
    let _marie_link = marie.connect(url.parse()?, DialOptions::default());
    marie.synced().await?;

    let (entries, disagreements) = at_marie.read(|view| (view.entries().len(), view.disagreements())).await?;
    println!("{entries} modules, {} disagreement", disagreements.len());
    for disagreement in &disagreements {
        let sides: Vec<String> = disagreement.sides.iter().map(|side| side.value.to_string()).collect();
        println!("{}: {}", disagreement.register, sides.join(" or "));
    }
    assert_eq!((entries, disagreements.len()), (12, 1));

    let key = disagreements[0].register.clone();
    let writes = at_marie.read(move |view| view.history(&HistoryFilter::Field(key)).len()).await?;
    println!("{writes} changes in its history");

    adrien.close().await?;
    marie.close().await?;
    relay.shutdown().await?;
    Ok(())
}
