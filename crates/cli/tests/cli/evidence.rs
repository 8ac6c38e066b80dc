//! What was refused, as people read it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Device, Running, check};

/// Longest wait for a record to be written.
const PATIENCE: Duration = Duration::from_secs(30);

/// A WebSocket of its own make: it says what no client would.
struct Raw(TcpStream);

impl Raw {
    /// Connects and introduces itself.
    fn joined(url: &str, name: &str) -> Self {
        let mut stream = TcpStream::connect(url.strip_prefix("ws://").unwrap()).unwrap();
        let head = "GET / HTTP/1.1\r\nhost: relay\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        let mut raw = Self(stream);
        let mut join = vec![0xa2];
        for word in ["type", "join", "senderId", name] {
            join.push(0x60 | u8::try_from(word.len()).unwrap());
            join.extend(word.as_bytes());
        }
        raw.say(&join);
        // The answer has begun: whatever is said next is no first message.
        raw.0.read_exact(&mut [0; 2]).unwrap();
        raw
    }

    /// Sends one binary message of up to 65,535 bytes, masked with nothing.
    fn say(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap();
        let mut frame = vec![0x82, 0x80 | 126];
        frame.extend(length.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(message);
        self.0.write_all(&frame).unwrap();
    }

    /// Waits for the relay to hang up.
    fn closed(mut self) {
        // A reset is an end too.
        let _ = self.0.read_to_end(&mut Vec::new());
    }
}

/// Waits until so many records are there.
fn wait_for(device: &Device, records: usize) {
    let deadline = Instant::now() + PATIENCE;
    while device.run(&["evidence", "list", "--json"]).json()["records"].as_array().unwrap().len() < records {
        assert!(Instant::now() < deadline, "{records} records did not come");
    }
}

/// Makes a relay's folder with a message that is none and a frame that is too long in its evidence. The relay runs.
fn refusing() -> (Device, Running) {
    let home = Device::bare();
    home.write_config("[limits]\nmessage_bytes_max = 2_000_000\n");
    let (relay, url) = Running::relay(&home);
    let mut talker = Raw::joined(&url, "talker");
    talker.say(b"hello, relay: this is no message of yours");
    talker.closed();
    wait_for(&home, 1);
    let mut boaster = Raw::joined(&url, "boaster");
    // The head of a message of 5,000,000,000 bytes.
    let mut head = vec![0x82, 0xff];
    head.extend(5_000_000_000_u64.to_be_bytes());
    head.extend([0; 4]);
    boaster.0.write_all(&head).unwrap();
    boaster.closed();
    wait_for(&home, 2);
    (home, relay)
}

#[test]
fn what_was_refused_is_listed_and_shown_while_the_relay_runs() {
    let (home, relay) = refusing();
    check(
        "evidence",
        &home.session(&[
            &["evidence", "list"],
            &["evidence", "list", "--kind", "frame"],
            &["evidence", "list", "--limit", "1"],
            &["evidence", "list", "--kind", "panic"],
            &["evidence", "list", "--json"],
            &["evidence", "show", "1"],
            &["evidence", "show", "1", "--bytes", "5", "--json"],
            &["evidence", "show", "1", "--bytes", "20"],
            &["evidence", "show", "2"],
            &["evidence", "show", "9"],
            &["evidence", "show", "xyz"],
            &["evidence", "show", "1", "--raw"],
            &["evidence", "show", "1", "--raw", "--json"],
            &["evidence", "list", "--kind", "nonsense"],
        ]),
    );
    let digest = home.run(&["evidence", "show", "1", "--json"]).json()["sha256"].as_str().unwrap().to_owned();
    let by_digest = home.run(&["evidence", "show", &digest[..10]]).ok();
    assert!(by_digest.contains("number    1"), "{by_digest}");
    assert_eq!(relay.interrupt().1, 0);
    assert_eq!(home.run(&["evidence", "list", "--json"]).json()["records"].as_array().unwrap().len(), 2);
}

#[test]
fn a_record_that_was_altered_is_named_and_the_rest_is_listed() {
    let (home, relay) = refusing();
    relay.interrupt();
    let file = home.path("data/evidence/00000001.evidence");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    home.write("data/evidence/00000003.tmp", "half");
    home.write("data/evidence/holiday.jpg", "x");
    let listed = home.run(&["evidence", "list"]);
    assert_eq!(listed.code, 9, "{listed}");
    let of_a_kind = home.run(&["evidence", "list", "--kind", "panic"]);
    assert!(of_a_kind.code == 9 && !of_a_kind.err.contains("is kept"), "the altered one may be: {of_a_kind}");
    assert!(listed.out.contains("boaster") && !listed.out.contains("talker"), "{listed}");
    assert!(listed.err.contains("00000001.evidence: its bytes were altered"), "{listed}");
    assert!(listed.err.contains("holiday.jpg is no evidence"), "{listed}");
    assert!(!listed.err.contains("00000003"), "half a record is none: {listed}");
    assert_eq!(home.run(&["evidence", "show", "1"]).code, 9);
    assert_eq!(home.run(&["evidence", "show", "2"]).code, 0);
}

#[test]
fn a_flood_is_counted_and_not_written() {
    let home = Device::bare();
    home.write_config("[limits]\nevidence_max = 3\nevidence_per_minute = 1\n");
    let (relay, url) = Running::relay(&home);
    for i in 0..3 {
        let mut talker = Raw::joined(&url, "talker");
        talker.say(b"no message");
        wait_for(&home, i + 1);
    }
    let mut talkers: Vec<Raw> = (0..12).map(|_| Raw::joined(&url, "talker")).collect();
    talkers.iter_mut().for_each(|talker| talker.say(b"no message"));
    talkers.into_iter().for_each(Raw::closed);
    assert_eq!(relay.interrupt().1, 0);
    let listed = home.run(&["evidence", "list"]);
    assert!(listed.err.contains("refused and not kept, because it came too fast"), "{listed}");
    let listed = home.run(&["evidence", "list", "--json"]).json();
    let (last, dropped) =
        (listed["records"][2]["number"].as_u64().unwrap(), listed["dropped"]["count"].as_u64().unwrap());
    // One a minute may still be written, however slow the machine is.
    assert!(last + dropped == 15 && dropped >= 9, "{listed}");
    let ambiguous = home.run(&["evidence", "show", &digest(&home)]);
    assert_eq!(ambiguous.code, 6, "{ambiguous}");
    assert!(ambiguous.err.contains("use its number: "), "{ambiguous}");
}

fn digest(home: &Device) -> String {
    home.run(&["evidence", "list", "--json"]).json()["records"][0]["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn a_folder_without_evidence_says_so() {
    let device = Device::new();
    let listed = device.run(&["evidence", "list"]);
    assert_eq!((listed.code, listed.out.as_str(), listed.err.as_str()), (0, "", "nothing is kept\n"));
    let listed = device.run(&["evidence", "list", "--kind", "panic"]);
    assert_eq!((listed.code, listed.err.as_str()), (0, "nothing is kept\n"), "of no other kind either");
    assert_eq!(Device::bare().run(&["evidence", "list"]).code, 7);
}

#[test]
fn folders_that_the_store_set_aside_are_listed_by_age_and_nothing_else_is() {
    let device = Device::new();
    for (name, bytes) in [("damaged-1795269301", 3_000), ("damaged-900", 2), ("damaged-goods", 9), ("damaged-1-1", 9)] {
        std::fs::create_dir_all(device.path("data/store").join(name)).unwrap();
        device.write(&format!("data/store/{name}/db"), vec![0; bytes]);
    }
    let listed = device.run(&["evidence", "list", "--json"]).json();
    let aside: Vec<_> =
        listed["set_aside"].as_array().unwrap().iter().map(|aside| (&aside["time"], &aside["bytes"])).collect();
    assert_eq!(
        aside,
        [(&"1970-01-01T00:15:00.000Z".into(), &2.into()), (&"2026-11-21T13:55:01.000Z".into(), &3_000.into())]
    );
    let listed = device.run(&["evidence", "list"]);
    assert!(listed.out.contains("damaged-900") && !listed.err.contains("nothing"), "something is: {listed}");
}
