//! A shard with a store in memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use comity_engine::Token;
use comity_model::{ActorId, DeviceTag, Limits, PeerId, Write};
use comity_store::{MemoryStore, WriterOptions};

use super::*;

#[tokio::test]
async fn so_many_bytes_wait_for_a_shard_and_not_one_frame_more() {
    let folder = tempfile::tempdir().unwrap();
    let shard = shard(folder.path(), Arc::new(MemoryStore::new()), Arc::default());
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = oneshot::channel();
    let visit: Visit = Box::new(move |_| {
        begin.send(()).unwrap();
        released.recv().unwrap();
    });
    let document = DocumentId::from_bytes([1; 16]);
    shard.request(Request::Visit { document, visit }).await;
    begun.await.unwrap();
    let frame = |kib: usize| {
        let (sender, target) = (PeerId::new("a").unwrap(), PeerId::new("b").unwrap());
        let data = vec![0; kib * 1_024].into();
        shard.frame(LinkId(1), Message::Sync { sender, target, document, data })
    };
    let half = QUEUE_KIB as usize / 2;
    assert!(frame(half).await);
    assert!(frame(half).await, "at the limit");
    assert!(tokio::time::timeout(Duration::ZERO, frame(1)).await.is_err(), "one above");
    release.send(()).unwrap();
    assert!(frame(1).await);
    shard.stop().await;
}

#[tokio::test]
async fn an_append_that_fails_is_remembered_so_that_the_session_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(MemoryStore::new());
    let has_lost = Arc::new(AtomicBool::new(false));
    let shard = shard(folder.path(), memory.clone(), Arc::clone(&has_lost));
    assert!(edit(&shard, "M050/status").await.is_ok());
    assert!(!has_lost.load(Ordering::Acquire));
    memory.set_full(true);
    assert!(matches!(edit(&shard, "M051/status").await, Err(EditFailure::NotSaved(_))));
    assert!(has_lost.load(Ordering::Acquire));
    assert!(shard.stop().await);
    assert!(!shard.stop().await, "it is gone already");
}

fn shard(folder: &std::path::Path, store: Arc<dyn Store>, has_lost: Arc<AtomicBool>) -> Shard {
    let surroundings = Surroundings {
        writer: Arc::new(Writer::start(Arc::clone(&store), WriterOptions::default()).unwrap()),
        store,
        evidence: Arc::new(Keeper::open(folder, &Limits::default(), None).unwrap()),
        events: Arc::new(|_| {}),
        runtime: tokio::runtime::Handle::current(),
        has_lost,
        started: std::time::Instant::now(),
        index: 0,
    };
    let config = EngineConfig {
        peer: PeerId::new("tablet").unwrap(),
        actor: ActorId::for_session(DeviceTag([1; 16]), [0; 8]),
        session: "run".to_owned(),
        policy: [0; 8],
        limits: Limits::default(),
        decode: false,
        rulebook: Box::new(comity_access::Everyone),
    };
    Shard::start("shard".to_owned(), config, surroundings).unwrap()
}

async fn edit(shard: &Shard, key: &'static str) -> EditOutcome {
    let document = DocumentId::from_bytes([1; 16]);
    let prepare: Prepare = Box::new(move |_| {
        let writes = vec![Write::Set { key: key.parse().unwrap(), value: "ok".into() }];
        Some(Edit { token: Token(0), document, kind: comity_model::ActKind::Edit, base: None, writes })
    });
    let (done, outcome) = oneshot::channel();
    shard.request(Request::Edit { document, prepare, done }).await;
    outcome.await.unwrap()
}
