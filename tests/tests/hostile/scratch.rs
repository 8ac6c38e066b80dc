use crate::scene::Scene;
use comity_model::DocumentId;
use comity_tests::{attacks, memory, raw::Raw};
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scratch() {
    let scene = Scene::new("").await;
    println!("start {:?}", memory::of_process(scene.relay.pid()));
    for (i, n) in [1u8, 2, 4].into_iter().enumerate() {
        let mut raw = Raw::joined(&scene.relay.url(), "slow").await;
        let t = std::time::Instant::now();
        let document = DocumentId::from_bytes([i as u8; 16]);
        let changes: Vec<_> = (0..n).map(|actor| attacks::padded_change(990_000, actor, 62_000)).collect();
        let bytes = attacks::message(&changes);
        println!("{} bytes", bytes.len());
        raw.say_sync(document, bytes).await;
        let answered = raw.closed().await;
        println!("{n} {answered:?} {:?} {:?}", t.elapsed(), memory::of_process(scene.relay.pid()));
    }
}
