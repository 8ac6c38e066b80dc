//! Two ends of a link come into step.

use std::collections::BTreeSet;

use comity_crdt::{Document, SyncSession, admit};
use comity_model::Limits;

use crate::support::{End, about, edit, in_sync, set, settle};

#[test]
fn two_devices_come_into_step_and_fall_silent() {
    let (mut a, mut b) = (End::default(), End::default());
    a.edit(1, &[set("M1/status", "good")]);
    b.edit(2, &[set("M1/status", "dead")]);
    settle(&mut a, &mut b);
    in_sync(&a, &b);
    assert_eq!(a.document.disagreements().len(), 1);
    for round in 0..20 {
        a.edit(1, &[set("M1/status", round)]);
        b.edit(2, &[set("M2/status", round)]);
        assert!(settle(&mut a, &mut b) <= 4);
        in_sync(&a, &b);
    }
}

/// Two technicians make the audit of the same site offline: one document, both their values.
#[test]
fn two_devices_that_make_the_same_document_offline_share_its_containers() {
    let (mut a, mut b) = (End::default(), End::default());
    a.edit(1, &[about("kind", "audit"), about("key", "site-7"), set("M1/status", "good")]);
    b.edit(2, &[about("kind", "audit"), about("key", "site-7"), set("M2/status", "dead")]);
    settle(&mut a, &mut b);
    in_sync(&a, &b);
    assert_eq!(a.document.entries(None).len(), 2);
    assert_eq!(a.document.change_count(), 3, "one genesis");
    assert_eq!(a.document.kind().unwrap().as_str(), "audit");
    let kind = b.document.about_register("kind", None).unwrap();
    assert_eq!(kind.versions.len(), 2);
    assert!(!kind.is_disagreement());
    assert!(a.document.disagreements().is_empty());
}

#[test]
fn a_link_that_breaks_in_the_middle_is_resumed() {
    let (mut a, mut b) = (End::default(), End::default());
    a.edit(1, &[set("M1/status", "good")]);
    settle(&mut a, &mut b);
    for lost in 0..4 {
        for round in 0..5 {
            a.edit(1, &[set("M1/status", round + lost * 100)]);
            b.edit(2, &[set("M2/status", round + lost * 100)]);
        }
        // Some messages arrive, then the link is gone with what was on its way.
        for _ in 0..lost {
            let to_b = a.document.generate(&mut a.session);
            let to_a = b.document.generate(&mut b.session);
            if let Some(bytes) = to_b {
                b.take(&bytes);
            }
            if let Some(bytes) = to_a {
                a.take(&bytes);
            }
        }
        a.document.generate(&mut a.session);
        b.document.generate(&mut b.session);
        a.reconnect();
        b.reconnect();
        settle(&mut a, &mut b);
        in_sync(&a, &b);
    }
}

#[test]
fn a_device_restored_from_a_backup_gets_back_what_it_lost() {
    let (mut a, mut b) = (End::default(), End::default());
    a.edit(1, &[set("M1/status", "good")]);
    settle(&mut a, &mut b);
    let backup = a.document.save().unwrap();
    for round in 0..10 {
        a.edit(1, &[set("M1/status", round)]);
    }
    settle(&mut a, &mut b);
    in_sync(&a, &b);
    // The session was kept beside the document, and is newer than the backup.
    a.document = Document::load(Some(&backup), [b""; 0]).unwrap();
    a.reconnect();
    b.reconnect();
    assert!(settle(&mut a, &mut b) < 10);
    in_sync(&a, &b);
}

#[test]
fn a_device_that_lost_everything_gets_it_back_and_is_told_once() {
    let (mut a, mut b) = (End::default(), End::default());
    a.edit(1, &[set("M1/status", "good")]);
    settle(&mut a, &mut b);
    b.edit(2, &[set("M2/status", "good")]);
    settle(&mut a, &mut b);
    // Only one of the two remembers the other.
    b = End::default();
    a.reconnect();
    let bytes = a.document.generate(&mut a.session).unwrap();
    b.take(&bytes);
    // It is asked to begin anew, and not asked again before it answers.
    let reset = b.document.generate(&mut b.session).unwrap();
    assert!(b.document.generate(&mut b.session).is_none());
    a.take(&reset);
    settle(&mut a, &mut b);
    in_sync(&a, &b);
}

/// 50 readers in step get one payload, made once.
#[test]
fn readers_in_step_share_one_payload() {
    let limits = Limits::default();
    let mut relay = Document::new();
    edit(&mut relay, 1, &[set("M1/status", "good")]);
    let mut readers: Vec<_> = (0..50).map(|_| End::default()).collect();
    let mut sessions = vec![SyncSession::new(); readers.len()];
    for round in 0..10 {
        edit(&mut relay, 1, &[set("M1/status", round)]);
        loop {
            let payloads: Vec<_> = sessions.iter_mut().map(|session| relay.generate(session)).collect();
            let places: BTreeSet<_> =
                payloads.iter().map(|payload| payload.as_ref().map(|bytes| bytes.as_ptr())).collect();
            assert_eq!(places.len(), 1, "the same bytes in the same place");
            let mut quiet = true;
            for ((reader, session), payload) in readers.iter_mut().zip(&mut sessions).zip(payloads) {
                if let Some(bytes) = payload {
                    quiet = false;
                    reader.take(&bytes);
                }
                if let Some(answer) = reader.document.generate(&mut reader.session) {
                    quiet = false;
                    relay.receive(session, admit(&answer, &limits).unwrap(), &limits).unwrap();
                }
            }
            if quiet {
                break;
            }
        }
        assert!(readers.iter().all(|reader| reader.document.heads() == relay.heads()));
        assert!(sessions.iter().all(|session| session.peer_heads() == Some(relay.heads())));
    }
}

#[test]
fn a_slow_reader_gets_everything_though_many_edits_passed_it_by() {
    let (mut relay, mut slow, mut quick) = (End::default(), End::default(), End::default());
    let mut to_slow = SyncSession::new();
    for round in 0..30 {
        relay.edit(1, &[set("M1/status", round)]);
        settle(&mut relay, &mut quick);
        if round % 7 == 0 {
            std::mem::swap(&mut relay.session, &mut to_slow);
            settle(&mut relay, &mut slow);
            in_sync(&relay, &slow);
            std::mem::swap(&mut relay.session, &mut to_slow);
        }
    }
    in_sync(&relay, &quick);
}
