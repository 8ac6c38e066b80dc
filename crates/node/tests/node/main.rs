//! Stories of a node on its own: a folder, documents, edits, restarts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod damage;
mod folder;
mod refusals;

use std::path::Path;

use comity_model::{ActKind, KindSchema, PeerId, Value};
use comity_net::{Frame, code, pair};
use comity_node::{
    Change, Document, Event, HistoryFilter, NewDocument, Node, NodeConfig, NodeError, NodeEvent, OpenError, Origin,
    SyncState,
};
use comity_wire::Message;

async fn open(folder: &Path) -> Node {
    Node::open(NodeConfig::device(folder)).await.unwrap().0
}

async fn audit(node: &Node) -> Document {
    node.create(NewDocument::new("audit".parse().unwrap(), "Roof 7")).await.unwrap()
}

async fn field(document: &Document, entry: &str, field: &str) -> Option<Value> {
    let key = format!("{entry}/{field}").parse().unwrap();
    let register = document.read(move |view| view.register(&key)).await.unwrap();
    register.and_then(|register| register.winner().map(|version| version.value.clone()))
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    document.set("M050", "status", "dead").await.unwrap();
    let id = document.id();
    node.close().await.unwrap();
    drop((node, document));

    let node = open(folder.path()).await;
    let document = node.document(id);
    assert_eq!(field(&document, "M050", "status").await, Some("dead".into()));
    document.set("M051", "status", "ok").await.unwrap();
    // Dropped without `close`, as a crash would leave it.
    drop((node, document));

    let node = open(folder.path()).await;
    let document = node.document(id);
    assert_eq!(field(&document, "M051", "status").await, Some("ok".into()));
    assert_eq!(document.read(|view| (view.title(), view.kind())).await.unwrap().0.as_deref(), Some("Roof 7"));
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_is_one_change_and_a_refused_batch_is_none() {
    // S2.4, S1.8
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    let before = document.read(|view| view.document().change_count()).await.unwrap();
    document.edit(|edit| (30..=40).try_for_each(|i| edit.set(&format!("M{i:03}"), "status", "dead"))).await.unwrap();
    assert_eq!(document.read(|view| view.document().change_count()).await.unwrap(), before + 1);

    let refused = document
        .edit(|edit| {
            edit.set("M041", "status", "dead")?;
            edit.set("M042", "status", "ded")
        })
        .await;
    assert!(matches!(refused, Err(NodeError::Value(_))), "{refused:?}");
    assert_eq!(document.read(|view| view.entries().len()).await.unwrap(), 11, "nothing of it was applied");
    assert_eq!(document.read(|view| view.document().change_count()).await.unwrap(), before + 1);
    let refused = document.edit(|edit| edit.delete("M999")).await;
    assert!(matches!(refused, Err(NodeError::NoSuchEntry { .. })), "{refused:?}");
    node.close().await.unwrap();
}

#[tokio::test]
async fn an_edit_at_the_heads_on_screen_disagrees_with_what_came_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    document.set("M050", "status", "ok").await.unwrap();
    let seen = document.read(|view| view.heads()).await.unwrap();
    document.set("M050", "status", "dead").await.unwrap();
    document.edit_at(seen, |edit| edit.set("M050", "status", "microcracks")).await.unwrap();
    let disagreements = document.read(|view| view.disagreements()).await.unwrap();
    assert_eq!(disagreements.len(), 1);
    assert_eq!(disagreements[0].sides.len(), 2);
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_subscriber_hears_of_each_change_with_who_and_what() {
    // S2.5
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    let mut changes = document.subscribe();
    let hash = document
        .edit(|edit| {
            edit.act(ActKind::Import);
            edit.set("M050", "status", "dead")
        })
        .await
        .unwrap();
    let (origin, heard) = loop {
        match changes.next().await.unwrap() {
            Change::Event(Event::Changed { origin, changes, .. }) => break (origin, changes),
            _ => continue,
        }
    };
    assert_eq!(origin, Origin::Here);
    assert_eq!(Some(heard[0].hash), hash);
    assert_eq!(heard[0].act.unwrap().kind, ActKind::Import);
    assert_eq!(heard[0].actor.device(), Some(node.device().tag()));
    node.close().await.unwrap();
}

#[tokio::test]
async fn deletion_is_a_mark_that_can_be_undone_and_all_of_it_is_in_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    document.set("M050", "status", "dead").await.unwrap();
    document.edit(|edit| edit.delete("M050")).await.unwrap();
    let entry = "M050".parse().unwrap();
    let deleted = document.read(move |view| view.entry(&entry)).await.unwrap().unwrap();
    assert!(deleted.deleted && deleted.fields.len() == 1, "marked, and its values stay");
    document.edit(|edit| edit.restore("M050")).await.unwrap();
    let entry = "M050".parse().unwrap();
    let history = document.read(move |view| view.history(&HistoryFilter::Entry(entry))).await.unwrap();
    assert_eq!(history.len(), 3);
    node.close().await.unwrap();
}

#[tokio::test]
async fn saying_the_same_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    assert!(document.set("M050", "status", "dead").await.unwrap().is_some());
    assert!(document.set("M050", "status", "dead").await.unwrap().is_none());
    node.close().await.unwrap();
}

#[tokio::test]
async fn everything_is_pending_until_there_was_a_relay() {
    // S1.3, S1.9
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    for i in 0..5 {
        document.set(&format!("M{i:03}"), "status", "ok").await.unwrap();
    }
    // The creation and five edits.
    assert_eq!(node.sync_state().await.unwrap(), SyncState::Offline { pending: 6 });
    assert_eq!(node.sync_state().await.unwrap().to_string(), "offline, 6 changes pending");
    node.close().await.unwrap();
    drop((node, document));
    let node = open(folder.path()).await;
    assert_eq!(node.sync_state().await.unwrap(), SyncState::Offline { pending: 6 }, "across a restart");
    node.close().await.unwrap();
}

#[tokio::test]
async fn whoever_waits_hears_when_the_list_of_a_space_has_been_read() {
    // Without this event, a device whose list changed last waited for ever to be synced.
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let mut events = node.events();
    node.create_space("Solar park").await.unwrap();
    loop {
        if let NodeEvent::SpacesFollowed = events.recv().await.unwrap() {
            break;
        }
    }
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_belongs_to_one_node_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let error = Node::open(NodeConfig::device(folder.path())).await.err().unwrap().to_string();
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_closure_that_panics_takes_nothing_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await;
    let read: Result<(), _> = document.read(|_| panic!("the application is wrong")).await;
    assert!(read.is_err());
    let edited = document.edit(|_| panic!("the application is wrong")).await;
    assert!(edited.is_err());
    assert!(document.set("M050", "status", "dead").await.unwrap().is_some(), "the node goes on");
    node.close().await.unwrap();
}

#[test]
fn thousands_of_edits_may_wait_for_one_document_to_load() {
    // A single thread reads the store, and it is kept busy until all edits wait.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let node = open(folder.path()).await;
        let id = audit(&node).await.id();
        node.close().await.unwrap();
        drop(node);

        let node = open(folder.path()).await;
        let document = node.document(id);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || released.recv());
        let edits: Vec<_> = (0..3_000)
            .map(|i| {
                let document = document.clone();
                tokio::spawn(async move { document.set(&format!("M{i:04}"), "status", "ok").await.unwrap() })
            })
            .collect();
        while node.load().await[0].waiting < edits.len() {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        for edit in edits {
            assert!(edit.await.unwrap().is_some());
        }
        assert_eq!(document.read(|view| view.entries().len()).await.unwrap(), 3_000);
        node.close().await.unwrap();
    });
}

#[tokio::test]
async fn a_node_that_could_not_be_opened_leaves_its_folder_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = NodeConfig::device(folder.path());
    config.schemas = KindSchema::built_in();
    let twice = config.schemas[0].fields[0].clone();
    config.schemas[0].fields.push(twice);
    assert!(matches!(Node::open(config).await, Err(OpenError::Schema { .. })));
    open(folder.path()).await.close().await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_closed_says_goodbye_on_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let (mut client, server) = pair(64);
    let serving = tokio::spawn({
        let node = node.clone();
        async move { node.accept(server).await }
    });
    let metadata = Default::default();
    let join = Message::Join { sender: PeerId::new("client").unwrap(), versions: vec!["1".to_owned()], metadata };
    client.send(Frame::Message(join.encode())).await.unwrap();
    assert!(matches!(client.receive().await, Some(Ok(Frame::Message(_)))));
    while node.load().await[0].links == 0 {
        tokio::task::yield_now().await;
    }
    node.close().await.unwrap();
    let Some(Ok(Frame::Close(goodbye))) = client.receive().await else { panic!("a goodbye") };
    assert_eq!(goodbye.code, code::GOING_AWAY);
    drop(client);
    serving.await.unwrap();
    assert!(node.links().is_empty());
}
