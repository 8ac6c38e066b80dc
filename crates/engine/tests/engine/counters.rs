//! What the engine counts as it goes is what is there.

use std::time::Duration;

use comity_engine::{FailureKind, Input, Token};
use comity_model::{Limits, LinkId};
use comity_wire::Message;

use crate::limits::limits;
use crate::support::{Node, document, link, set, unlink};

/// A small deterministic source of choices.
struct Choices(u64);

impl Choices {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    fn document(&mut self) -> u8 {
        1 + u8::try_from(self.below(6)).unwrap()
    }
}

fn small() -> Limits {
    limits(|limits| {
        limits.documents_loaded_max = 3;
        limits.waiting_inputs_max = 4;
        limits.loads_max = 2;
        limits.link_queue_messages_max = 4;
        limits.queued_bytes_max = 3_000;
        limits.documents_per_link_max = 4;
    })
}

/// Takes what one has sent to the other, or loses it with the link.
fn carry(from: &mut Node, to: &mut Node, only: u64) {
    let data = |message: &Message| message.data().map_or(0, bytes::Bytes::len);
    for _ in 0..from.sent.len() {
        let Some((link, message)) = from.sent.pop_front() else { return };
        if link != LinkId(only) {
            from.sent.push_back((link, message));
            continue;
        }
        from.handle(Input::Written { link, messages: 1, bytes: data(&message) });
        to.receive(link, message);
    }
}

#[test]
fn the_counters_equal_a_recount_whatever_happens() {
    let (mut waited, mut crowded) = (0, 0);
    for seed in 0..60 {
        let mut choices = Choices(seed);
        let mut relay = Node::with_limits("relay", small());
        let mut devices: Vec<Node> = (0..3).map(|number| Node::new(&format!("{number}-device"))).collect();
        let mut links = [0_u64; 3];
        let mut next = 1;
        for step in 0..150 {
            let one = choices.below(3);
            let device = &mut devices[one];
            match choices.below(12) {
                0 if links[one] == 0 => {
                    links[one] = next;
                    next += 1;
                    link(device, &mut relay, links[one]);
                }
                0 => unlink(device, &mut relay, std::mem::take(&mut links[one])),
                1 | 2 => drop(device.edit(choices.document(), &[set("M050/note", &"ab c".repeat(choices.below(99)))])),
                3 => device.handle(Input::Want { document: document(choices.document()) }),
                4 => relay.handle(Input::Fetch { token: Token(0), document: document(choices.document()) }),
                5 => relay.wait(Duration::from_secs(30)),
                6 => relay.loads = !relay.loads,
                7 if relay.loads => relay.load_all(),
                8 => drop(relay.edit(choices.document(), &[set("M051/note", "x")])),
                9 if choices.below(20) == 0 => {
                    relay.stores = false;
                    relay.edit(choices.document(), &[set("M052/note", "x")]);
                    relay.fail_all(FailureKind::Full);
                    relay.stores = true;
                }
                10 => carry(&mut relay, device, links[one]),
                _ => {
                    device.settle();
                    carry(device, &mut relay, links[one]);
                    relay.settle();
                }
            }
            // Who was closed is gone on the other side, too.
            for (number, _) in std::mem::take(&mut relay.closed) {
                let gone = links.iter_mut().zip(&mut devices).find(|(link, _)| LinkId(**link) == number);
                if let Some((link, device)) = gone {
                    unlink(device, &mut relay, std::mem::take(link));
                }
            }
            let load = relay.engine.load();
            assert_eq!(load, relay.engine.recount(), "seed {seed}, step {step}");
            waited += load.waiting;
            crowded += usize::from(load.in_flight_bytes >= 1_500);
        }
    }
    assert!(waited > 100 && crowded > 100, "the runs should be busier: {waited} waited, {crowded} crowds");
}
