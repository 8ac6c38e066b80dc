//! Prints what synchronisation costs a relay by length of history: microseconds for making a message, for taking in an
//! acknowledgement and for taking in a change, with one reader and with fifty in step.
//!
//! `cargo run --release -p comity-crdt --example sync_cost`

use std::time::{Duration, Instant};

use comity_crdt::{Document, SyncSession, admit};
use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};

/// Rounds of one edit, fanned out to every reader and acknowledged by it.
const ROUNDS: u32 = 200;

#[derive(Default)]
struct Cost {
    edit: Duration,
    admit: Duration,
    receive: Duration,
    first_message: Duration,
    further_messages: Duration,
    acknowledgement: Duration,
    silence: Duration,
}

struct Peer {
    document: Document,
    session: SyncSession,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("microseconds each; a message to a further reader in step is shared");
    println!(
        "{:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8}",
        "history", "readers", "edit", "admit", "receive", "1st made", "further", "ack", "silence"
    );
    for history in [100, 1_000, 10_000] {
        for readers in [1, 50] {
            let cost = measure(history, readers)?;
            let rounds = f64::from(ROUNDS);
            let all = rounds * f64::from(readers);
            let us = |duration: Duration, times: f64| duration.as_secs_f64() * 1e6 / times.max(1.0);
            println!(
                "{history:>8} {readers:>8} {:>8.1} {:>8.1} {:>8.1} {:>9.1} {:>9.2} {:>8.2} {:>8.2}",
                us(cost.edit, rounds),
                us(cost.admit, rounds),
                us(cost.receive, rounds),
                us(cost.first_message, rounds),
                us(cost.further_messages, all - rounds),
                us(cost.acknowledgement, all),
                us(cost.silence, all),
            );
        }
    }
    Ok(())
}

fn measure(history: u32, readers: u32) -> Result<Cost, Box<dyn std::error::Error>> {
    let limits = Limits::default();
    let mut writer = Document::new();
    for number in 0..history {
        edit(&mut writer, number)?;
    }
    let mut relay = Document::new();
    let (mut to_writer, mut to_relay) = (SyncSession::new(), SyncSession::new());
    exchange(&mut relay, &mut to_writer, &mut writer, &mut to_relay)?;
    let snapshot = writer.save().ok_or("the document cannot be saved")?;
    let mut peers = Vec::new();
    let mut sessions = Vec::new();
    for _ in 0..readers {
        let document = Document::load(Some(&snapshot), [b""; 0])?;
        let mut peer = Peer { document, session: SyncSession::new() };
        let mut session = SyncSession::new();
        exchange(&mut relay, &mut session, &mut peer.document, &mut peer.session)?;
        peers.push(peer);
        sessions.push(session);
    }
    let mut cost = Cost::default();
    for number in 0..ROUNDS {
        let start = Instant::now();
        edit(&mut writer, history + number)?;
        cost.edit += start.elapsed();
        let bytes = writer.generate(&mut to_relay).ok_or("the writer is silent")?;
        let start = Instant::now();
        let admitted = admit(&bytes, &limits)?;
        cost.admit += start.elapsed();
        let start = Instant::now();
        relay.receive(&mut to_writer, admitted, &limits)?;
        cost.receive += start.elapsed();
        let mut messages = Vec::new();
        for (index, session) in sessions.iter_mut().enumerate() {
            let start = Instant::now();
            messages.push(relay.generate(session).ok_or("the relay is silent")?);
            let elapsed = start.elapsed();
            *if index == 0 { &mut cost.first_message } else { &mut cost.further_messages } += elapsed;
        }
        for ((peer, session), bytes) in peers.iter_mut().zip(&mut sessions).zip(messages) {
            peer.document.receive(&mut peer.session, admit(&bytes, &limits)?, &limits)?;
            let answer = peer.document.generate(&mut peer.session).ok_or("the reader is silent")?;
            let admitted = admit(&answer, &limits)?;
            let start = Instant::now();
            relay.receive(session, admitted, &limits)?;
            cost.acknowledgement += start.elapsed();
            let start = Instant::now();
            assert!(relay.generate(session).is_none(), "nothing is left to say");
            cost.silence += start.elapsed();
        }
        exchange(&mut relay, &mut to_writer, &mut writer, &mut to_relay)?;
    }
    assert!(peers.iter().all(|peer| peer.document.heads() == writer.heads()), "everybody has everything");
    Ok(cost)
}

fn edit(document: &mut Document, number: u32) -> Result<(), comity_crdt::EditError> {
    let actor = ActorId::for_session(DeviceTag([1; 16]), [0; 8]);
    let time = HybridTime { wall_ms: 1_795_257_600_000 + i64::from(number), counter: 0 };
    let act = Act { time, policy: [0; 8], kind: ActKind::Edit };
    let key = format!("M{:03}/status", number % 242).parse().expect("a register key");
    let write = Write::Set { key, value: i64::from(number).into() };
    document.edit(&actor, act, None, &[write], &Limits::default()).map(|_| ())
}

fn exchange(
    a: &mut Document,
    to_b: &mut SyncSession,
    b: &mut Document,
    to_a: &mut SyncSession,
) -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits::default();
    loop {
        let for_b = a.generate(to_b);
        let for_a = b.generate(to_a);
        if for_a.is_none() && for_b.is_none() {
            return Ok(());
        }
        if let Some(bytes) = for_b {
            b.receive(to_a, admit(&bytes, &limits)?, &limits)?;
        }
        if let Some(bytes) = for_a {
            a.receive(to_b, admit(&bytes, &limits)?, &limits)?;
        }
    }
}
