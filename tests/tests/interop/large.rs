//! A whole document in one message.

use comity_tests::device::{self, Device};
use comity_tests::javascript::Driver;
use comity_tests::relay::LocalRelay;
use comity_tests::rust_client::Samod;
use data_encoding::BASE64;
use serde_json::json;

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_megabytes_from_javascript_go_through_in_one_message() {
    const BYTES: usize = 5_000_000;
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    js.connected().await;
    let photo = BASE64.encode(&noise(BYTES));
    let id = js.create(json!({ "photo": { "$bytes": photo } })).await;
    let heads = js.heads(&id).await;

    let device = Device::online(&relay.url()).await;
    device::wait_heads(&device.fetch(&id).await, &heads).await;
    let traffic = js.traffic().await;
    assert!(traffic.bytes > BYTES as u64 && traffic.bytes < BYTES as u64 * 11 / 10, "{}", traffic.details);
    assert!(traffic.messages < 12, "{}", traffic.details);

    let reader = driver.open("reader", &relay.url()).await;
    reader.must_find(&id).await;
    reader.wait_heads(&id, &heads).await;
    assert_eq!(reader.read(&id, &["photo"]).await, json!({ "$bytes": photo }));
    let samod = Samod::connect("samod", &relay.url()).await;
    samod.must_find(&id).await.wait_heads(&heads).await;
    samod.stop().await;
}
