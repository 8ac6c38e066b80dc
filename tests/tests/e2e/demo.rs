//! The main job, in one command.

use std::time::{Duration, Instant};

use comity_tests::comity;
use serde_json::{Value as Json, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_tells_its_story_in_less_than_half_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let output = comity::run(folder.path(), &["demo", "--json"]).await.ok();
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
    let outcome: Json = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(outcome["modules"], json!(242), "{outcome}");
    assert_eq!(outcome["equal_contents"], json!(true), "{outcome}");
    assert_eq!(outcome["disagreements"], json!(1), "{outcome}");
}
