//! Broken and hostile frames are refused by name: no panic, no endless work, no allocation on a claim.
//!
//! Lying lengths go up to 2⁶⁴ − 1, so believing one would abort the process of this test.

use bytes::Bytes;
use comity_model::Limits;
use comity_wire::{DecodeError, Message};

use crate::samples::{all, frame, javascript, leave_with, unhex};

fn refused(frame: &[u8]) -> DecodeError {
    match Message::decode(&Bytes::copy_from_slice(frame), &Limits::default()) {
        Ok(message) => panic!("read as {message:?}"),
        Err(error) => error,
    }
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    for (name, frame) in all() {
        for length in 0..frame.len() {
            let error = refused(&frame[..length]);
            assert!(matches!(error, DecodeError::Truncated { .. }), "{name} cut to {length}: {error}");
        }
    }
}

#[test]
fn bytes_after_the_message_are_refused() {
    for (name, frame) in all() {
        let error = refused(&[frame.as_ref(), &[0xf6]].concat());
        assert_eq!(error, DecodeError::Trailing { bytes: 1 }, "{name}");
    }
}

#[test]
fn a_frame_with_any_bit_flipped_is_refused_or_still_round_trips() {
    for (name, frame) in all() {
        for position in 0..frame.len() {
            for bit in 0..8 {
                let mut bytes = frame.to_vec();
                bytes[position] ^= 1 << bit;
                if let Ok(message) = Message::decode(&bytes.into(), &Limits::default()) {
                    let again = Message::decode(&message.encode(), &Limits::default());
                    assert_eq!(again.as_ref(), Ok(&message), "{name}, bit {bit} of byte {position}");
                }
            }
        }
    }
}

#[test]
fn lengths_that_lie_are_found_out_without_allocating() {
    let lengths = ["1bffffffffffffffff", "1b7fffffffffffffff", "1b0000010000000000", "1affffffff", "1a03ffffff"];
    for length in lengths {
        let length = unhex(length);
        let lying = |major: u8| [&[length[0] | major << 5], &length[1..]].concat();
        for (key, major) in [("data", 2), ("x", 2), ("x", 3), ("x", 4), ("x", 5), ("targetId", 3), ("newHeads", 5)] {
            let error = refused(&leave_with(key, &lying(major)));
            assert!(matches!(error, DecodeError::Truncated { .. }), "{key} with major type {major}: {error}");
        }
        // The whole frame, its first key, and a list that is read into a vector.
        assert!(matches!(refused(&lying(5)), DecodeError::Truncated { .. }));
        assert!(matches!(refused(&[&[0xa1], lying(3).as_slice()].concat()), DecodeError::Truncated { .. }));
        for list in ["supportedProtocolVersions", "add"] {
            let name = if list == "add" { "remote-subscription-change" } else { "join" };
            let head = frame(|out| {
                out.map(4).unwrap().str("type").unwrap().str(name).unwrap().str("senderId").unwrap().str("a").unwrap();
                out.str("targetId").unwrap().str("b").unwrap().str(list).unwrap();
            });
            assert!(matches!(refused(&[&head, lying(4).as_slice()].concat()), DecodeError::Truncated { .. }));
        }
    }
}

#[test]
fn unknown_keys_may_nest_to_the_limit_and_no_deeper() {
    let limits = Limits::default();
    let n = limits.cbor_depth_max;
    // Arrays, indefinite arrays, maps (with key 0), tags.
    for (head, tail) in [("81", ""), ("9f", "ff"), ("a100", ""), ("bf00", "ff"), ("c1", "")] {
        let nested = |depth: usize| {
            let value = [head.repeat(depth), "00".to_owned(), tail.repeat(depth)].concat();
            Message::decode(&leave_with("x", &unhex(&value)), &limits)
        };
        assert!(nested(n).is_ok(), "{head}: {:?}", nested(n));
        assert_eq!(nested(n + 1), Err(DecodeError::TooDeep { what: "message", max: n }), "{head}");
        assert_eq!(nested(300_000), Err(DecodeError::TooDeep { what: "message", max: n }), "{head}");
    }
}

#[test]
fn every_kind_of_value_may_stand_under_an_unknown_key() {
    let values = [
        "00",
        "1818",
        "190100",
        "1a00010000",
        "1b0000000100000000",
        "20",
        "3bffffffffffffffff",
        "4101",
        "5f41014102ff",
        "6161",
        "7f61616162ff",
        "80",
        "9fff",
        "8301820203f6",
        "a0",
        "bfff",
        "bf0001ff",
        "c0",
        "f4",
        "f6",
        "f7",
        "f93c00",
        "fa3f800000",
        "fb3ff0000000000000",
        "e0",
        "f8ff",
        "d9010200",
    ];
    for value in values {
        let value = if value == "c0" { "c001" } else { value };
        let result = Message::decode(&leave_with("x", &unhex(value)), &Limits::default());
        assert!(result.is_ok(), "{value}: {result:?}");
    }
}

#[test]
fn ill_formed_values_are_refused_even_under_unknown_keys() {
    // Reserved heads, a break out of place, a break after a key, chunks of another type, a nested chunked string.
    for value in
        ["1c", "3d", "5e", "7c", "9d", "bc", "dc", "fc", "ff", "81ff", "bf00ff", "5f6161ff", "7f4101ff", "5f5f4101ffff"]
    {
        let error = refused(&leave_with("x", &unhex(value)));
        assert!(matches!(error, DecodeError::Malformed { .. }), "{value}: {error}");
    }
    let error = refused(&leave_with("x", &[0x61, 0xff]));
    assert_eq!(error, DecodeError::NotUtf8 { what: "message" });
}

#[test]
fn a_key_that_stands_twice_is_refused_known_or_not_null_or_not() {
    for (key, value) in [("type", "656c65617665"), ("senderId", "6161"), ("senderId", "f6")] {
        let error = refused(&leave_with(key, &unhex(value)));
        assert_eq!(error, DecodeError::Duplicate { what: "message", key: key.to_owned() });
    }
    let twice = frame(|out| {
        out.map(2).unwrap().str("novel").unwrap().u8(1).unwrap().str("novel").unwrap().u8(2).unwrap();
    });
    assert_eq!(refused(&twice), DecodeError::Duplicate { what: "message", key: "novel".to_owned() });
    let metadata = frame(|out| {
        out.map(3).unwrap().str("type").unwrap().str("join").unwrap().str("senderId").unwrap().str("a").unwrap();
        out.str("peerMetadata").unwrap().map(2).unwrap();
        out.str("isEphemeral").unwrap().bool(true).unwrap().str("isEphemeral").unwrap().bool(false).unwrap();
    });
    let twice = DecodeError::Duplicate { what: "peerMetadata", key: "isEphemeral".to_owned() };
    assert_eq!(refused(&metadata), twice);
    let storage = frame(|out| {
        out.map(2).unwrap().str("type").unwrap().str("remote-heads-changed").unwrap().str("newHeads").unwrap();
        out.map(2).unwrap();
        for _ in 0..2 {
            out.str("s").unwrap().map(2).unwrap().str("heads").unwrap().array(0).unwrap();
            out.str("timestamp").unwrap().u8(1).unwrap();
        }
    });
    assert_eq!(refused(&storage), DecodeError::Duplicate { what: "newHeads", key: "s".to_owned() });
}

#[test]
fn wrong_types_are_refused_by_the_name_of_the_key() {
    let cases = [
        ("join", "senderId", "01", "senderId must be a text"),
        ("join", "senderId", "f6", "senderId is missing"),
        ("join", "senderId", "60", "senderId: peer id must be 1 to 256 bytes of text, got 0"),
        ("join", "senderId", "7f6161ff", "senderId is a string of indefinite length: send it in one piece"),
        ("join", "supportedProtocolVersions", "6131", "supportedProtocolVersions must be an array"),
        ("join", "supportedProtocolVersions", "8101", "supportedProtocolVersions must be a text"),
        ("join", "peerMetadata", "80", "peerMetadata must be a map"),
        ("join", "peerMetadata", "a10101", "peerMetadata must be a map whose keys are texts"),
        ("sync", "targetId", "f7", "targetId is missing"),
        ("sync", "documentId", "01", "documentId must be a byte string"),
        ("sync", "documentId", "4101", "documentId: document id must be 16 bytes, got 1"),
        ("sync", "data", "f7", "data is missing"),
        ("sync", "data", "6161", "data must be a byte string"),
        ("sync", "data", "5f4101ff", "data is a string of indefinite length: send it in one piece"),
        ("sync", "data", "c14101", "data must be a byte string"),
        ("ephemeral", "count", "20", "count must be an unsigned integer or a float"),
        ("ephemeral", "count", "fb3fe0000000000000", "count must be a whole number from 0 to 2^53 - 1"),
        ("ephemeral", "count", "fb7ff8000000000000", "count must be a whole number from 0 to 2^53 - 1"),
        ("ephemeral", "count", "1b0020000000000000", "count must be a whole number from 0 to 2^53 - 1"),
        ("ephemeral", "sessionId", "f7", "sessionId is missing"),
        ("remote-subscription-change", "add", "81f6", "add must be a text"),
        ("remote-heads-changed", "newHeads", "f7", "newHeads is missing"),
        ("remote-heads-changed", "newHeads", "a16161a0", "heads is missing"),
        ("remote-heads-changed", "newHeads", "a16161a165686561647380", "timestamp is missing"),
        ("remote-heads-changed", "newHeads", "a16161a265686561647380617400", "timestamp is missing"),
        ("error", "message", "f7", "message is missing"),
        ("peer", "selectedProtocolVersion", "01", "selectedProtocolVersion must be a text"),
        ("x", "type", "01", "type must be a text"),
        ("x", "type", "f6", "type is missing"),
    ];
    for (name, key, value, expected) in cases {
        let value = unhex(value);
        let defaults: [(&str, Vec<u8>); 9] = [
            (
                "type",
                frame(|out| {
                    out.str(name).unwrap();
                })
                .to_vec(),
            ),
            ("senderId", unhex("6161").to_vec()),
            ("targetId", unhex("6162").to_vec()),
            ("documentId", [&[0x50], [7; 16].as_slice()].concat()),
            ("data", unhex("4101").to_vec()),
            ("sessionId", unhex("6173").to_vec()),
            ("count", vec![1]),
            ("newHeads", vec![0xa0]),
            ("message", unhex("6161").to_vec()),
        ];
        let mut keys: Vec<_> = defaults.into_iter().filter(|(known, _)| *known != key).collect();
        keys.push((key, value.to_vec()));
        let mut bytes = vec![0xa0 | keys.len() as u8];
        for (key, value) in keys {
            bytes.extend_from_slice(&frame(|out| {
                out.str(key).unwrap();
            }));
            bytes.extend_from_slice(&value);
        }
        assert_eq!(refused(&bytes).to_string(), expected, "{name} with {key} = {value:02x?}");
    }
}

#[test]
fn times_before_1970_and_infinite_ones_and_heads_with_a_typing_error_are_refused() {
    let heads = javascript("heads").to_vec();
    let at = heads.windows(10).position(|window| window == b"timestamp\xfb").unwrap() + 10;
    for time in [-1.0, f64::NAN, f64::INFINITY] {
        let mut bytes = heads.clone();
        bytes[at..at + 8].copy_from_slice(&time.to_be_bytes());
        assert!(matches!(refused(&bytes), DecodeError::OutOfRange { what: "timestamp", .. }));
    }
    let mut bytes = heads.clone();
    let at = bytes.windows(4).position(|window| window == b"8Wwp").unwrap();
    bytes[at] = b'9';
    assert!(matches!(refused(&bytes), DecodeError::InvalidHead { .. }));
}

#[test]
fn what_is_not_a_map_is_refused() {
    for hex in ["", "00", "80", "60", "40", "f6", "ff", "c0a0"] {
        let error = refused(&unhex(hex));
        let expected = matches!(error, DecodeError::Truncated { .. } | DecodeError::WrongType { .. });
        assert!(expected, "{hex}: {error}");
    }
    assert_eq!(refused(&[0xa0]), DecodeError::Missing { what: "type" });
}

#[test]
fn errors_quote_at_most_a_line_of_what_was_received() {
    let long = "é".repeat(100_000);
    let frames = [
        frame(|out| {
            out.map(1).unwrap().str("type").unwrap().str(&long).unwrap();
        }),
        frame(|out| {
            out.map(2).unwrap().str(&long).unwrap().u8(1).unwrap().str(&long).unwrap().u8(1).unwrap();
        }),
        leave_with(
            "documentId",
            &frame(|out| {
                out.str(&long).unwrap();
            }),
        ),
    ];
    for frame in &frames[..2] {
        assert!(refused(frame).to_string().len() < 160);
    }
    // A key that this type of message does not use is skipped like an unknown one.
    assert!(Message::decode(&frames[2], &Limits::default()).is_ok());
}
