//! A kind of document of your own: declared once, checked wherever it is written, deleted and restored.
//!
//! Run it with `cargo run -p comity-examples --example custom_kind`.

use std::error::Error;

use comity_model::{FieldSchema, FieldType, KindName, KindSchema, Value};
use comity_node::{NewDocument, Node, NodeConfig};

fn beehive() -> Result<KindSchema, Box<dyn Error>> {
    let field = |name: &str, field_type, values: &[&str]| FieldSchema {
        name: name.to_owned(),
        field_type,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    Ok(KindSchema {
        name: KindName::new("beehive")?,
        version: 1,
        fields: vec![
            field("mood", FieldType::Text, &["calm", "nervous", "swarming"]),
            field("frames", FieldType::Integer, &[]),
            field("honey_kg", FieldType::Number, &[]),
        ],
        // Fields that are not declared are refused.
        closed: true,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut config = NodeConfig::device(folder.path());
    config.schemas.push(beehive()?);
    let (node, _) = Node::open(config).await?;

    let hives = node.create(NewDocument::new("beehive".parse()?, "South meadow")).await?;
    hives
        .edit(|edit| {
            edit.set("hive-1", "mood", "calm")?;
            edit.set("hive-1", "frames", Value::Int(10))?;
            edit.set("hive-2", "mood", "swarming")
        })
        .await?;

    // Wrong values are refused before anything is written.
    for (field, value) in [("mood", Value::from("angry")), ("frames", Value::from("ten")), ("colour", "red".into())] {
        let refused = hives.set("hive-1", field, value).await;
        println!("refused: {}", refused.expect_err("the schema says no"));
    }

    // Deletion is a mark, not a loss: it can be undone, and others can disagree with it.
    hives.edit(|edit| edit.delete("hive-2")).await?;
    let gone = hives.read(|view| view.entries().values().filter(|hive| hive.deleted).count()).await?;
    hives.edit(|edit| edit.restore("hive-2")).await?;
    let back = hives.read(|view| view.entries().values().filter(|hive| !hive.deleted).count()).await?;
    println!("{gone} hive was deleted; after restoring there are {back}");
    assert_eq!((gone, back), (1, 2));

    node.close().await?;
    Ok(())
}
