//! Each limit holds at its value and refuses one above.

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Limits, PeerId, StorageId};
use comity_wire::{DecodeError, Message, PeerMetadata, RemoteHeads};

use crate::samples::{frame, javascript, leave_with};

fn peer(text: &str) -> PeerId {
    PeerId::new(text).unwrap()
}

fn sync(data: usize) -> Message {
    Message::Sync {
        sender: peer("a"),
        target: peer("b"),
        document: DocumentId::from_bytes([7; 16]),
        data: vec![0; data].into(),
    }
}

fn ephemeral(data: usize, session: usize, count: u64) -> Message {
    Message::Ephemeral {
        sender: peer("a"),
        target: peer("b"),
        document: DocumentId::from_bytes([7; 16]),
        session: "s".repeat(session),
        count,
        data: vec![0; data].into(),
    }
}

fn read(frame: &Bytes) -> Result<Message, DecodeError> {
    Message::decode(frame, &Limits::default())
}

#[test]
fn a_whole_document_of_64_mib_passes_and_one_byte_more_does_not() {
    let limits = Limits::default();
    let envelope = sync(limits.message_bytes_max / 2).encode().len() - limits.message_bytes_max / 2;
    let largest = limits.message_bytes_max - envelope;
    let frame = sync(largest).encode();
    assert_eq!(frame.len(), limits.message_bytes_max);
    assert!(read(&frame).is_ok());
    let error = read(&sync(largest + 1).encode()).unwrap_err();
    let (max, actual) = (limits.message_bytes_max, limits.message_bytes_max + 1);
    assert_eq!(error, DecodeError::TooLong { what: "message", max, actual });
}

#[test]
fn a_frame_without_data_is_bounded_by_the_envelope() {
    let frame = javascript("leave");
    let mut limits = Limits::default();
    limits.envelope_bytes_max = frame.len();
    assert!(Message::decode(&frame, &limits).is_ok());
    limits.envelope_bytes_max -= 1;
    let (max, actual) = (frame.len() - 1, frame.len());
    assert_eq!(Message::decode(&frame, &limits), Err(DecodeError::TooLong { what: "envelope", max, actual }));
    // Data does not count as envelope where the type carries data, and does where it does not.
    let bytes = frame_of_bytes(2 << 20);
    assert!(read(&sync(2 << 20).encode()).is_ok());
    assert!(matches!(read(&leave_with("data", &bytes)), Err(DecodeError::TooLong { what: "envelope", .. })));
}

fn frame_of_bytes(length: usize) -> Bytes {
    frame(|out| {
        out.bytes(&vec![0; length]).unwrap();
    })
}

#[test]
fn the_envelope_around_data_is_bounded_too() {
    let mut limits = Limits::default();
    let frame = sync(100_000).encode();
    limits.envelope_bytes_max = frame.len() - 100_000;
    assert!(Message::decode(&frame, &limits).is_ok());
    limits.envelope_bytes_max -= 1;
    assert!(matches!(Message::decode(&frame, &limits), Err(DecodeError::TooLong { what: "envelope", .. })));
}

#[test]
fn sixty_megabytes_of_empty_arrays_cost_no_more_than_an_envelope_of_them() {
    let many = 60 << 20;
    let mut value = frame(|out| {
        out.array(many as u64).unwrap();
    })
    .to_vec();
    value.resize(value.len() + many, 0x80);
    let max = Limits::default().envelope_bytes_max;
    // One above: the walk ended there. Having walked them all it would know the true length.
    let error = DecodeError::TooLong { what: "envelope", max, actual: max + 1 };
    assert_eq!(read(&leave_with("x", &value)), Err(error));
}

#[test]
fn ephemeral_data_sessions_and_counts_are_bounded() {
    let max = Limits::default().ephemeral_bytes_max;
    assert!(read(&ephemeral(max, 1, 1).encode()).is_ok());
    let error = read(&ephemeral(max + 1, 1, 1).encode()).unwrap_err();
    assert_eq!(error, DecodeError::TooLong { what: "data of an ephemeral message", max, actual: max + 1 });
    let max = Message::SESSION_BYTES_MAX;
    assert!(read(&ephemeral(1, max, 1).encode()).is_ok());
    let error = read(&ephemeral(1, max + 1, 1).encode()).unwrap_err();
    assert_eq!(error, DecodeError::TooLong { what: "sessionId", max, actual: max + 1 });
    for count in [0, u64::from(u32::MAX), u64::from(u32::MAX) + 1, Message::COUNT_MAX] {
        let message = ephemeral(1, 1, count);
        assert_eq!(read(&message.encode()), Ok(message));
    }
    // One above would not be exact in JavaScript; what is written is the greatest that is.
    assert_eq!(read(&ephemeral(1, 1, u64::MAX).encode()), Ok(ephemeral(1, 1, Message::COUNT_MAX)));
}

#[test]
fn versions_are_bounded_in_number_and_length() {
    let join = |versions| Message::Join { sender: peer("a"), versions, metadata: PeerMetadata::default() }.encode();
    let what = "supportedProtocolVersions";
    let max = Message::VERSIONS_MAX;
    assert!(read(&join(vec!["1".to_owned(); max])).is_ok());
    assert_eq!(read(&join(vec!["1".to_owned(); max + 1])), Err(DecodeError::TooMany { what, max }));
    let max = Message::VERSION_BYTES_MAX;
    assert!(read(&join(vec!["1".repeat(max)])).is_ok());
    let too_long = DecodeError::TooLong { what, max, actual: max + 1 };
    assert_eq!(read(&join(vec!["1".repeat(max + 1)])), Err(too_long));
}

#[test]
fn keys_of_a_message_are_bounded_in_number() {
    let with_keys = |keys: usize| {
        frame(|out| {
            out.map(keys as u64).unwrap().str("type").unwrap().str("leave").unwrap();
            out.str("senderId").unwrap().str("a").unwrap();
            for key in 2..keys {
                out.str(&key.to_string()).unwrap().u8(0).unwrap();
            }
        })
    };
    let max = Message::KEYS_MAX;
    assert!(read(&with_keys(max)).is_ok());
    assert_eq!(read(&with_keys(max + 1)), Err(DecodeError::TooMany { what: "message", max }));
}

#[test]
fn storage_ids_of_gossip_are_bounded_in_number() {
    let max = Limits::default().storage_ids_max;
    let ids = |count: usize| (0..count).map(|i| StorageId::new(&format!("s{i}")).unwrap());
    let change = |add: usize, remove: usize| {
        let (add, remove) = (ids(add).collect(), ids(remove).collect());
        read(&Message::RemoteSubscriptionChange { sender: peer("a"), target: peer("b"), add, remove }.encode())
    };
    assert!(change(max, max).is_ok());
    assert_eq!(change(max + 1, 0), Err(DecodeError::TooMany { what: "add", max }));
    assert_eq!(change(0, max + 1), Err(DecodeError::TooMany { what: "remove", max }));
    let heads = |count: usize| {
        let new_heads = ids(count).map(|id| (id, RemoteHeads::default())).collect();
        let document = DocumentId::from_bytes([7; 16]);
        read(&Message::RemoteHeadsChanged { sender: peer("a"), target: peer("b"), document, new_heads }.encode())
    };
    assert!(heads(max).is_ok());
    assert_eq!(heads(max + 1), Err(DecodeError::TooMany { what: "newHeads", max }));
}

#[test]
fn heads_of_gossip_are_bounded_in_number() {
    let mut limits = Limits::default();
    limits.hashes_max = 100;
    let heads = |count: u8| {
        let heads = (0..count).map(|i| ChangeHash([i; 32])).collect();
        let row = RemoteHeads { heads, timestamp_ms: 1.0 };
        let new_heads = [(StorageId::new("s").unwrap(), row)].into();
        let document = DocumentId::from_bytes([7; 16]);
        let message = Message::RemoteHeadsChanged { sender: peer("a"), target: peer("b"), document, new_heads };
        Message::decode(&message.encode(), &limits)
    };
    assert!(heads(100).is_ok());
    assert_eq!(heads(101), Err(DecodeError::TooMany { what: "heads", max: 100 }));
}

#[test]
fn the_text_of_an_error_is_cut_and_not_refused() {
    let error = |length| Message::Error { message: "x".repeat(length), sender: None, target: None };
    let max = Message::ERROR_BYTES_MAX;
    assert_eq!(read(&error(max).encode()), Ok(error(max)));
    assert_eq!(read(&error(max + 1).encode()), Ok(error(max)));
    let foreign = frame(|out| {
        out.map(2).unwrap().str("type").unwrap().str("error").unwrap();
        // Two bytes a character, so that the cut must find a boundary.
        out.str("message").unwrap().str(&format!("x{}", "é".repeat(max))).unwrap();
    });
    let Ok(Message::Error { message, .. }) = read(&foreign) else { panic!("not an error message") };
    assert_eq!(message.len(), max - 1);
}

#[test]
fn abilities_have_a_version_of_32_bits() {
    let join = |version: u64| {
        frame(|out| {
            out.map(3).unwrap().str("type").unwrap().str("join").unwrap().str("senderId").unwrap().str("a").unwrap();
            out.str("peerMetadata").unwrap().map(1).unwrap().str("comity").unwrap().map(1).unwrap();
            out.str("version").unwrap().u64(version).unwrap();
        })
    };
    assert!(read(&join(u64::from(u32::MAX))).is_ok());
    let error = read(&join(u64::from(u32::MAX) + 1)).unwrap_err();
    assert!(matches!(error, DecodeError::OutOfRange { .. }), "{error}");
}
