//! Admission, then receive and generate: any bytes at all, and any chunk with its checksum put right.

use comity_crdt::{Document, SyncSession, admit, admit_document};
use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};

use crate::frame::{chunk, message};

/// Offers the bytes to the door in three ways: as a sync message, as a saved document, and, because no fuzzer guesses a
/// SHA-256, as type and content of a chunk that is then framed properly. What is admitted is received by an empty
/// document and by one with an edit; then both answer and save. Asserts that nothing gets past `catch_unwind`, and
/// that a document which is still whole can be saved.
pub fn run(data: &[u8]) {
    let limits = limits();
    offer(data, &limits);
    let _ = admit_document(data, &limits).map(|file| Document::import(&file));
    if let Some((kind, content)) = data.split_first() {
        offer(&message(&[chunk(*kind, content)]), &limits);
    }
    offer(&message(&[data.to_vec()]), &limits);
}

/// Small limits, so that a run takes milliseconds and the limits themselves are met.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.inflated_bytes_max = 1 << 20;
    limits.change_operations_max = 2_000;
    limits.message_operations_max = 4_000;
    limits.chunks_max = 100;
    limits.bloom_entries_max = 1_000;
    limits
}

fn offer(bytes: &[u8], limits: &Limits) {
    for mut document in [Document::new(), edited(limits)] {
        let admitted = match admit(bytes, limits) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                assert!(!refusal.to_string().is_empty());
                return;
            }
        };
        let cost = admitted.cost();
        assert!(cost.operations <= limits.message_operations_max);
        assert!(cost.inflated_bytes <= limits.inflated_bytes_max);
        assert!(cost.chunks <= limits.chunks_max);
        let mut session = SyncSession::new();
        let _ = document.receive(&mut session, admitted, limits);
        let _ = document.generate(&mut session);
        // What panics meanwhile breaks the document, and its owner loads it again.
        assert!(document.save().is_some() || document.is_broken());
    }
}

fn edited(limits: &Limits) -> Document {
    let mut document = Document::new();
    let actor = ActorId::for_session(DeviceTag([1; 16]), [0; 8]);
    let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
    let write = Write::Set { key: "M050/status".parse().expect("a key"), value: "dead".into() };
    document.edit(&actor, act, None, &[write], limits).expect("one small edit");
    document
}
