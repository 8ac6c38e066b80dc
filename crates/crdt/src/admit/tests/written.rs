//! Everything that Automerge writes is admitted, and costs what it holds.

use automerge::sync::{self, SyncDoc};
use automerge::{Automerge, Change};
use comity_model::Limits;
use proptest::prelude::*;

use super::{document, message};
use crate::admit::{admit, admit_document};

fn operations(changes: &[Change]) -> u64 {
    changes.iter().map(|change| change.len() as u64).sum()
}

/// Synchronises through admission, until both are silent; gives how many bytes went over.
fn synchronise(left: &mut Automerge, right: &mut Automerge) -> usize {
    let (mut to_right, mut to_left) = (sync::State::new(), sync::State::new());
    let mut bytes = 0;
    for _ in 0..20 {
        let mut silent = true;
        if let Some(message) = left.generate_sync_message(&mut to_right) {
            silent = false;
            let encoded = message.clone().encode();
            bytes += encoded.len();
            let admitted = admit(&encoded, &Limits::default()).unwrap();
            assert_eq!(admitted.message, message);
            right.receive_sync_message(&mut to_left, admitted.message).unwrap();
        }
        if let Some(message) = right.generate_sync_message(&mut to_left) {
            silent = false;
            let encoded = message.clone().encode();
            bytes += encoded.len();
            let admitted = admit(&encoded, &Limits::default()).unwrap();
            assert_eq!(admitted.message, message);
            left.receive_sync_message(&mut to_right, admitted.message).unwrap();
        }
        if silent {
            return bytes;
        }
    }
    panic!("the peers do not come to rest");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_automerge_writes_is_admitted(seed in any::<u64>(), edits in 0_usize..60) {
        let written = document(seed, edits);
        let mut changes = written.get_changes(&[]);
        let wanted = operations(&changes);

        let plain: Vec<_> = changes.iter().map(|change| change.raw_bytes().to_vec()).collect();
        let admitted = admit(&message(&plain), &Limits::default()).unwrap();
        prop_assert_eq!(admitted.cost().operations, wanted);
        prop_assert_eq!(admitted.cost().chunks, changes.len());

        let compressed: Vec<_> = changes.iter_mut().map(|change| change.bytes().into_owned()).collect();
        let admitted = admit(&message(&compressed), &Limits::default()).unwrap();
        prop_assert_eq!(admitted.cost().operations, wanted);
        prop_assert_eq!(admit_document(&compressed.concat(), &Limits::default()).unwrap().cost().operations, wanted);

        for saved in [written.save(), written.save_nocompress()] {
            let admitted = admit_document(&saved, &Limits::default()).unwrap();
            prop_assert_eq!(admitted.cost().operations, wanted);
            prop_assert_eq!(admitted.as_bytes(), &saved[..]);
        }
    }

    #[test]
    fn peers_synchronise_through_admission(seed in any::<u64>(), edits in 0_usize..40, other_edits in 0_usize..40) {
        let mut left = document(seed, edits);
        let mut right = left.fork();
        right.merge(&mut document(seed ^ 1, other_edits)).unwrap();
        let mut third = Automerge::new();
        synchronise(&mut left, &mut third);
        synchronise(&mut left, &mut right);
        synchronise(&mut third, &mut right);
        prop_assert_eq!(left.get_heads(), right.get_heads());
        prop_assert_eq!(third.get_heads(), right.get_heads());
    }
}

#[test]
fn a_long_text_typed_letter_by_letter_is_admitted() {
    use automerge::transaction::Transactable;
    let mut document = Automerge::new();
    let text = document.transact(|t| t.put_object(automerge::ROOT, "text", automerge::ObjType::Text)).unwrap().result;
    for at in 0..5_000 {
        document.transact(|t| t.splice_text(&text, at, 0, if at % 7 == 0 { " " } else { "e" })).unwrap();
    }
    let admitted = admit_document(&document.save(), &Limits::default()).unwrap();
    assert_eq!(admitted.cost().operations, 5_001);
}
