//! What is no message.

use bytes::Bytes;
use comity_model::PeerId;
use comity_net::code;
use comity_tests::raw::Raw;
use comity_wire::Message;

use crate::scene::Scene;

/// A map with the key `type` and this value, and after it whatever else.
fn typed(name: &str, rest: &[u8]) -> Vec<u8> {
    [&[0xa2, 0x64][..], b"type", &[0x60 | name.len() as u8], name.as_bytes(), rest].concat()
}

/// Bytes that no decoder may take for a message, by what is wrong with them.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |byte: u8, times: usize| typed("sync", &[&[0x61, b'x'][..], &vec![byte; times], &[0xf6]].concat());
    vec![
        ("nothing", Vec::new()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a text", b"\x65hello".to_vec()),
        ("a number", vec![0x18, 0x2a]),
        ("an array", vec![0x82, 1, 2]),
        ("endless arrays in each other", vec![0x9f; 100_000]),
        ("endless maps in each other", [0xbf, 0x61, b'a'].repeat(50_000)),
        ("an endless map that never ends", [&[0xbf][..], &[0x61, b'a', 1].repeat(10_000)].concat()),
        ("an endless text that never ends", typed("sync", &[&[0x7f][..], &[0x61, b'a'].repeat(10_000)].concat())),
        ("arrays in each other under an unknown key", deep(0x81, 100_000)),
        (
            "maps in each other under an unknown key",
            typed("sync", &[&[0x61, b'x'][..], &[0xa1, 0x61, b'a'].repeat(100_000)].concat()),
        ),
        ("tags on each other", deep(0xc1, 100_000)),
        ("seventeen arrays in each other", deep(0x81, 17)),
        ("a map of 2^64 - 1 pairs", b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("a map of 2^32 - 1 pairs", b"\xba\xff\xff\xff\xff".to_vec()),
        ("a key of 2^63 bytes", b"\xa1\x7b\x80\0\0\0\0\0\0\0abc".to_vec()),
        ("data of 2^32 bytes", typed("sync", b"\x64data\x5a\xff\xff\xff\xffabc")),
        ("data of 2^64 - 1 bytes", typed("sync", b"\x64data\x5b\xff\xff\xff\xff\xff\xff\xff\xffabc")),
        ("an array of 2^32 - 1 under an unknown key", typed("sync", b"\x61x\x9a\xff\xff\xff\xff")),
        ("a tag of 2^64 - 1 and then nothing", typed("sync", b"\x61x\xdb\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("a break where none belongs", typed("sync", &[0x61, b'x', 0xff])),
        ("a reserved length", typed("sync", &[0x61, b'x', 0x1c])),
        ("a reserved simple value", typed("sync", &[0x61, b'x', 0xf8, 0x01])),
        ("a text that is not UTF-8", typed("sync", &[0x61, b'x', 0x62, 0xff, 0xfe])),
        ("a number in place of a type", vec![0xa1, 0x64, b't', b'y', b'p', b'e', 7]),
        ("no type", vec![0xa1, 0x61, b'x', 7]),
        ("a type alone", typed("sync", &[0x61, b'x', 7])),
        (
            "bytes behind the message",
            [typed("leave", &[0x68, b's', b'e', b'n', b'd', b'e', b'r', b'I', b'd', 0x61, b'a']), vec![0; 9]].concat(),
        ),
    ]
}

// Issue: malformed, indefinite, deeply nested CBOR and lengths that lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_nonsense_is_closed_before_and_after_the_handshake() {
    let mut scene = Scene::new("").await;
    let nonsense = nonsense();
    for joined in [false, true] {
        for (name, bytes) in &nonsense {
            let url = scene.relay.url();
            let mut peer = if joined { Raw::joined(&url, "babbler").await } else { Raw::silent(&url, "babbler").await };
            peer.say_bytes(Bytes::copy_from_slice(bytes)).await;
            let (_, closed) = peer.closed().await;
            assert_eq!(closed.code, code::PROTOCOL, "{name}, joined: {joined}: {closed:?}");
            assert!(!closed.reason.is_empty(), "{name}");
        }
    }
    scene.memory_stayed();
    let attack = format!("malformed, indefinite, nested CBOR; lengths that lie: {} ways, twice", nonsense.len());
    scene.ends_well(&attack, "closed 1002 with what is wrong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_breaks_off_anywhere_is_refused() {
    let mut scene = Scene::new("").await;
    let peer = Raw::joined(&scene.relay.url(), "breaker").await;
    let whole = peer.sync(scene.audit, vec![0x42, 0, 0, 0, 0]).encode();
    for length in 0..whole.len() {
        let mut peer = Raw::joined(&scene.relay.url(), "breaker").await;
        peer.say_bytes(whole.slice(..length)).await;
        assert_eq!(peer.closed().await.1.code, code::PROTOCOL, "{length} of {} bytes", whole.len());
    }
    // The same for the first message of all.
    let sender = PeerId::new("breaker").unwrap();
    let join = Message::Join { sender, versions: vec!["1".into()], metadata: Default::default() }.encode();
    for length in 0..join.len() {
        let mut peer = Raw::silent(&scene.relay.url(), "breaker").await;
        peer.say_bytes(join.slice(..length)).await;
        assert_eq!(peer.closed().await.1.code, code::PROTOCOL, "{length} of {} bytes of `join`", join.len());
    }
    let attack = format!("messages that break off, at each of {} bytes", whole.len() + join.len());
    scene.ends_well(&attack, "closed 1002").await;
}
