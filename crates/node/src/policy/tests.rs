use std::path::Path;

use comity_model::KindName;

use super::*;
use crate::{NewDocument, NodeConfig};

const STRICT: &str = "epoch = 1\n[kind.audit]\ndefault = [\"manual\"]\n";
const LOOSE: &str = "epoch = 2\n[kind.audit]\ndefault = [\"last-write-wins\"]\n";

async fn in_a_space(folder: &Path) -> (Node, SpaceId) {
    let (node, _) = Node::open(NodeConfig::device(folder)).await.unwrap();
    let space = node.create_space("West").await.unwrap();
    (node, space)
}

async fn put(node: &Node, space: SpaceId, entry: &str, text: Option<&str>, epoch: i64) {
    let (entry, text) = (entry.to_owned(), text.map(ToOwned::to_owned));
    let list = node.document(space.document());
    let written = list.edit(move |edit| {
        edit.set(&entry, "epoch", Value::Int(epoch))?;
        text.map_or(Ok(()), |text| edit.set(&entry, "text", text))
    });
    written.await.unwrap();
}

fn entry(text: &str) -> String {
    format!("{PREFIX}{}", name(&Policy::parse(text).unwrap()))
}

async fn epoch(node: &Node, space: SpaceId) -> Option<u64> {
    node.policy(space).await.unwrap().map(|policy| policy.epoch())
}

#[tokio::test]
async fn a_space_has_the_policy_that_was_set_last_and_lists_its_documents_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (node, space) = in_a_space(folder.path()).await;
    assert_eq!(epoch(&node, space).await, None);
    let kind = || KindName::new("audit").unwrap();
    let audit = node.create(NewDocument::new(kind(), "Roof 7").in_space(space)).await.unwrap();
    let alone = node.create(NewDocument::new(kind(), "Roof 8")).await.unwrap();

    assert!(node.set_policy(space, STRICT).await.unwrap().change.is_some());
    assert_eq!(epoch(&node, space).await, Some(1));
    node.set_policy(space, LOOSE).await.unwrap();
    assert_eq!(epoch(&node, space).await, Some(2));
    let same = format!("# the same, written otherwise\n{LOOSE}");
    assert_eq!(node.set_policy(space, &same).await.unwrap().change, None, "it is in force already");

    let standings: Vec<_> =
        node.policies(space).await.unwrap().into_iter().map(|one| (one.epoch, one.standing)).collect();
    assert_eq!(standings, [(Some(2), PolicyStanding::InForce), (Some(1), PolicyStanding::Replaced)]);
    assert_eq!(node.policy_of(&audit).await.unwrap().map(|policy| policy.epoch()), Some(2));
    assert_eq!(node.policy_of(&alone).await.unwrap(), None, "it is in no space");

    let listed = node.listed(space).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.title.as_str()).collect::<Vec<_>>(), ["Roof 7"]);
    node.close().await.unwrap();
    let (node, _) = Node::open(NodeConfig::device(folder.path())).await.unwrap();
    assert_eq!(epoch(&node, space).await, Some(2), "it is in the document, so it stays");
    assert_eq!(node.listed(space).await.unwrap(), listed);
    node.close().await.unwrap();
}

#[tokio::test]
async fn what_would_not_be_in_force_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let (node, space) = in_a_space(folder.path()).await;
    node.set_policy(space, LOOSE).await.unwrap();
    let old = node.set_policy(space, STRICT).await;
    assert!(matches!(old, Err(SetPolicyError::NotNewer { given: 1, in_force: 2 })), "{old:?}");
    assert!(old.unwrap_err().to_string().ends_with("use 3"));
    let equal = node.set_policy(space, &STRICT.replace('1', "2")).await;
    assert!(matches!(equal, Err(SetPolicyError::NotNewer { given: 2, in_force: 2 })), "{equal:?}");
    let wrong = node.set_policy(space, "[kind.audit]\ndefault = [\"lasst\"]").await;
    assert!(matches!(&wrong, Err(SetPolicyError::Policy(error)) if error.faults()[0].line == 2), "{wrong:?}");

    let audit = node.create(NewDocument::new(KindName::new("audit").unwrap(), "Roof 7")).await.unwrap();
    for not_here in [SpaceId::new(audit.id()), SpaceId::new(comity_model::DocumentId::from_bytes([7; 16]))] {
        let refused = node.set_policy(not_here, LOOSE).await;
        assert!(matches!(refused, Err(SetPolicyError::NoSpace { .. })), "{refused:?}");
    }
    let long = format!("{STRICT}#{}", "x".repeat(node.limits().value_bytes_max)).replace("epoch = 1", "epoch = 3");
    let refused = node.set_policy(space, &long).await;
    assert!(matches!(refused, Err(SetPolicyError::Node(NodeError::Refused(_)))), "{refused:?}");
    assert_eq!(node.policies(space).await.unwrap().len(), 1);
    node.close().await.unwrap();
}

#[tokio::test]
async fn of_two_that_were_set_at_once_every_device_takes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (node, space) = in_a_space(folder.path()).await;
    let texts = [STRICT.to_owned(), LOOSE.replace("epoch = 2", "epoch = 1")];
    for text in &texts {
        // As if by another device that had not heard of the first.
        put(&node, space, &entry(text), Some(text), 1).await;
    }
    let greatest = texts.iter().map(|text| Policy::parse(text).unwrap()).max_by_key(Policy::rank).unwrap();
    assert_eq!(node.policy(space).await.unwrap(), Some(greatest));
    node.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_listed_and_not_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let (node, space) = in_a_space(folder.path()).await;
    node.set_policy(space, STRICT).await.unwrap();
    put(&node, space, "policy:0000000000000001", Some("rules = \"of the future\""), 9).await;
    put(&node, space, "policy:0000000000000002", Some(LOOSE), 2).await;
    put(&node, space, "policy:0000000000000003", None, -1).await;
    assert_eq!(epoch(&node, space).await, Some(1));
    let all = node.policies(space).await.unwrap();
    let why = |one: &CarriedPolicy| match &one.standing {
        PolicyStanding::Unreadable { why } => why.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(all.iter().map(|one| one.epoch).collect::<Vec<_>>(), [Some(1), Some(9), Some(2), None]);
    assert!(why(&all[1]).starts_with("line 1, column 1"), "{}", why(&all[1]));
    assert!(
        why(&all[2]).contains(&format!("that of the policy {}", &entry(LOOSE)[PREFIX.len()..])),
        "{}",
        why(&all[2])
    );
    assert_eq!(why(&all[3]), "it has no text");
    assert_eq!(node.listed(space).await.unwrap(), []);
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_policy_that_was_removed_may_be_set_again() {
    let folder = tempfile::tempdir().unwrap();
    let (node, space) = in_a_space(folder.path()).await;
    node.set_policy(space, STRICT).await.unwrap();
    node.set_policy(space, LOOSE).await.unwrap();
    node.document(space.document()).edit(|edit| edit.delete(&entry(LOOSE))).await.unwrap();
    assert_eq!(epoch(&node, space).await, Some(1));
    assert_eq!(node.policies(space).await.unwrap()[1].standing, PolicyStanding::Removed);
    node.set_policy(space, LOOSE).await.unwrap();
    assert_eq!(epoch(&node, space).await, Some(2));
    node.close().await.unwrap();
}
