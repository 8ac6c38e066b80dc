//! The loops whose instructions `cargo xtask counts` counts.
//!
//! `counts` lists them, `counts LOOP` runs one and prints how many rounds it took. What is counted is what happens inside
//! [`counted`], which the counting program knows by its name; all else is preparation. There is no clock, no thread and no
//! randomness, so that two runs do the same; only the hash maps of libraries choose their own order each time.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::bail;
use bytes::Bytes;
use comity_benches::documents::{Room, Sheet};
use comity_crdt::{Document, admit};
use comity_model::{DocumentId, Limits, PeerId};
use comity_wire::Message;

/// Runs a loop for so many rounds.
type Body = fn(u32);

/// What can be counted.
const LOOPS: [(&str, u32, Body); 5] = [
    ("admit", 50, admission),
    ("receive", 50, receive),
    ("fan-out", 50, fan_out),
    ("load", 3, load),
    ("frame", 1_000, frame),
];

/// Rounds that are not counted: what is done once in the life of a process is no part of a round.
const WARM_UP_ROUNDS: u32 = 1;
/// Changes of the documents in which a change is received and passed on.
const HISTORY: u32 = 1_000;
/// Peers that stand at the same point and are told the same.
const READERS: usize = 50;
/// Operations in a snapshot that is loaded, and changes made since.
const LOADED_OPERATIONS: u32 = 10_000;
const LOADED_CHANGES: u32 = 50;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Some(wanted) = std::env::args().nth(1) else {
        LOOPS.iter().for_each(|(name, ..)| println!("{name}"));
        return Ok(());
    };
    let known = LOOPS.iter().find(|(name, ..)| *name == wanted);
    let Some((_, rounds, body)) = known else { bail!("there is no loop `{wanted}`; without arguments all are listed") };
    body(*rounds);
    println!("{rounds}");
    Ok(())
}

/// Does what is counted. Its name is part of the contract with `cargo xtask counts`.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

/// Runs what is counted in a round, after some rounds that are not.
fn count(round: u32, work: &mut dyn FnMut()) {
    if round < WARM_UP_ROUNDS { black_box(work)() } else { counted(black_box(work)) }
}

/// The message of a peer that brings one change is admitted.
fn admission(rounds: u32) {
    let limits = Limits::default();
    let mut room = Room::new(&Sheet::history(HISTORY));
    for round in 0..rounds + WARM_UP_ROUNDS {
        let message = room.written();
        let mut admitted = None;
        count(round, &mut || admitted = Some(admit(black_box(&message), &limits)));
        assert!(matches!(admitted, Some(Ok(admitted)) if admitted.has_changes()));
        room.deliver(&message);
        room.settle();
    }
}

/// A relay receives one change of a peer, which was admitted.
fn receive(rounds: u32) {
    let limits = Limits::default();
    let mut room = Room::new(&Sheet::history(HISTORY));
    for round in 0..rounds + WARM_UP_ROUNDS {
        let mut admitted = Some(admit(&room.written(), &limits).expect("an honest message is admitted"));
        let mut received = None;
        count(round, &mut || {
            let admitted = admitted.take().expect("each is received once");
            received = Some(room.document.receive(&mut room.writer.at_relay, admitted, &limits));
        });
        assert!(matches!(received, Some(Ok(received)) if received.new_changes.len() == 1));
        room.settle();
    }
}

/// A relay tells one change to all who read: the message is made for the first and shared by the others.
fn fan_out(rounds: u32) {
    let mut room = Room::new(&Sheet::history(HISTORY));
    for round in 0..rounds + WARM_UP_ROUNDS {
        let message = room.written();
        room.deliver(&message);
        let mut sessions = vec![room.reader.at_relay.clone(); READERS];
        let mut messages: Vec<Option<Bytes>> = Vec::with_capacity(READERS);
        count(round, &mut || {
            let made = sessions.iter_mut().map(|session| room.document.generate(session));
            messages.extend(made);
        });
        let first = messages[0].as_ref().map(|bytes| bytes.as_ptr());
        assert!(first.is_some() && messages.iter().flatten().all(|bytes| Some(bytes.as_ptr()) == first));
        room.settle();
    }
}

/// A node loads a document: a snapshot, and the changes since.
fn load(rounds: u32) {
    let sheet = Sheet::table(LOADED_OPERATIONS);
    let mut document = sheet.load();
    let edit = |number| sheet.edit(&mut document, 1_000_000 + number).chunks;
    let changes: Vec<Bytes> = (0..LOADED_CHANGES).flat_map(edit).collect();
    for round in 0..rounds + WARM_UP_ROUNDS {
        let mut loaded = None;
        count(round, &mut || loaded = Some(Document::load(Some(&sheet.snapshot), &changes)));
        assert!(matches!(loaded, Some(Ok(loaded)) if loaded.heads() == document.heads()));
    }
}

/// The frame of a change is read, and written again for somebody else.
fn frame(rounds: u32) {
    let limits = Limits::default();
    let peer = |name: &str| PeerId::new(name).expect("a short name is a peer id");
    let data = Room::new(&Sheet::history(10)).written();
    let document = DocumentId::from_bytes([7; 16]);
    let sent = Message::Sync { sender: peer("tablet-17"), target: peer("relay"), document, data }.encode();
    for round in 0..rounds + WARM_UP_ROUNDS {
        let mut passed_on = None;
        count(round, &mut || {
            let message = Message::decode(black_box(&sent), &limits).expect("our own frame is read");
            passed_on = Some(message.encode());
        });
        assert_eq!(passed_on.as_ref(), Some(&sent));
    }
}
