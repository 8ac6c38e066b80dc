//! Three engines, linked with each other: whatever happens between them, in the end they agree and nothing that was
//! acknowledged is lost.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use comity_engine::{Answer, CloseReason, Input, PeerStanding, Token};
use comity_model::{DocumentId, Limits, LinkId, Write};
use comity_wire::Message;

use crate::choices::Choices;
use crate::node::Node;

/// Steps taken of one input; what comes after says nothing more.
const STEPS_MAX: usize = 150;
/// Rounds of talk after which three nodes with nothing new to say must be quiet.
const ROUNDS_MAX: usize = 500;
const DOCUMENTS: usize = 2;
/// Who is linked with whom, the dialer first. The first two have a second link.
const LINKS: [(usize, usize); 4] = [(0, 1), (2, 1), (0, 2), (0, 1)];

/// Takes the bytes as steps: edits, deliveries in any order between links, links that fall and come back, answers of
/// the store, full disks, crashes, evictions. Then heals everything, waits until all is quiet, and asserts that every
/// node has the same heads of every document, in memory and on disk; that every change called saved is in them; that
/// nobody was accused; and that whoever was dialled gave receipts for what the dialer wrote.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    // Where only one document fits into memory, everything is slow; now and then it must be.
    let mut world = World::new(if choices.below(8) == 0 { 1 } else { DOCUMENTS });
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        world.step(&mut choices);
    }
    world.heal();
    world.judge();
}

/// One link, seen from both ends.
#[derive(Default)]
struct Link {
    id: Option<LinkId>,
    /// Written and not yet delivered: from the dialer, and to it.
    wires: [VecDeque<Message>; 2],
}

struct World {
    nodes: [Node; 3],
    links: [Link; LINKS.len()],
    next_link: u64,
}

impl World {
    fn new(documents_loaded_max: usize) -> Self {
        let limits = limits(documents_loaded_max);
        let nodes = ["tablet", "relay", "desktop"].map(|name| Node::new(name, &limits));
        let mut world = Self { nodes, links: Default::default(), next_link: 0 };
        (0..LINKS.len() - 1).for_each(|link| world.connect(link));
        world
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        let node = choices.below(3);
        let link = choices.below(LINKS.len());
        match kind % 16 {
            0..=2 => self.edit(node, choices),
            3 | 4 => self.nodes[node].handle(Input::Settle),
            5 => _ = self.carry(link, node % 2, 1 + choices.below(4)),
            6 => (0..LINKS.len()).for_each(|link| _ = self.carry(link, node % 2, 16)),
            7 => self.write(link, node % 2),
            8 => self.disconnect(link, choices.below(3)),
            9 => self.connect(link),
            10 => _ = self.nodes[node].store_one(choices.byte() == 0xff),
            11 => _ = self.nodes[node].load_one(choices.byte() == 0xff),
            12 => self.nodes[node].wait(Duration::from_millis(100 * choices.byte() as u64)),
            13 => _ = self.nodes[node].answer_all(),
            14 => self.nodes[node].handle(Input::Want { document: document(choices.below(DOCUMENTS)) }),
            _ => match choices.below(4) {
                0 => self.crash(node),
                1 => self.nodes[node].handle(Input::Broadcast {
                    document: document(link % DOCUMENTS),
                    data: Bytes::from_static(b"typing"),
                }),
                2 => self.nodes[node].handle(Input::Fetch { token: Token(0), document: document(link % DOCUMENTS) }),
                _ => self.nodes[node].handle(Input::Stop),
            },
        }
        self.hang_up();
    }

    fn edit(&mut self, node: usize, choices: &mut Choices<'_>) {
        let document = document(choices.below(DOCUMENTS));
        let number = choices.byte();
        let entry = format!("M{}", number % 4);
        let write = match number >> 4 {
            0..=1 => Write::Delete { entry: entry.parse().expect("a short name") },
            2 => Write::Restore { entry: entry.parse().expect("a short name") },
            more => Write::Set {
                key: format!("{entry}/status").parse().expect("a short name"),
                value: "long ".repeat(1 << (more / 2)).as_str().into(),
            },
        };
        self.nodes[node].edit(document, vec![write]);
    }

    /// Writes a message to the wire.
    fn write(&mut self, link: usize, direction: usize) {
        let Some(id) = self.links[link].id else { return };
        if let Some(message) = self.nodes[end(link, direction)].write(id) {
            self.links[link].wires[direction].push_back(message);
        }
    }

    /// Writes and delivers some messages. True when there were any.
    fn carry(&mut self, link: usize, direction: usize, count: usize) -> bool {
        let mut carried = false;
        for _ in 0..count {
            self.write(link, direction);
            let Some(message) = self.links[link].wires[direction].pop_front() else { break };
            carried = true;
            let (receiver, id) = (end(link, 1 - direction), self.links[link].id);
            // One that has gone away hears nothing, and does not say so.
            if let Some(id) = id.filter(|id| self.nodes[receiver].unwritten.contains_key(id)) {
                self.nodes[receiver].handle(Input::Received { link: id, message });
            }
        }
        carried
    }

    /// Lets both ends of a link go, or only one: then the other talks on into the void.
    fn disconnect(&mut self, link: usize, which: usize) {
        let Some(id) = self.links[link].id else { return };
        for direction in (0..2).filter(|direction| which != *direction) {
            self.nodes[end(link, direction)].link_down(id);
        }
        if which == 2 {
            self.links[link] = Link::default();
        }
    }

    fn connect(&mut self, link: usize) {
        self.disconnect(link, 2);
        self.next_link += 1;
        let id = LinkId(self.next_link);
        let (dialer, acceptor) = LINKS[link];
        let (to_acceptor, to_dialer) = (self.nodes[acceptor].as_peer(true), self.nodes[dialer].as_peer(false));
        self.links[link] = Link { id: Some(id), ..Link::default() };
        self.nodes[dialer].link_up(id, to_acceptor);
        self.nodes[acceptor].link_up(id, to_dialer);
    }

    /// Takes down what an engine has closed; among honest peers it may do so only for want of room.
    fn hang_up(&mut self) {
        for node in 0..self.nodes.len() {
            for (id, reason) in std::mem::take(&mut self.nodes[node].closed) {
                let is_want_of_room = matches!(reason, CloseReason::TooMany { .. } | CloseReason::Store { .. });
                assert!(is_want_of_room, "an honest peer was accused: {reason}");
                if let Some(link) = self.links.iter().position(|link| link.id == Some(id)) {
                    self.disconnect(link, 2);
                }
            }
        }
    }

    fn crash(&mut self, node: usize) {
        for link in (0..LINKS.len()).filter(|link| LINKS[*link].0 == node || LINKS[*link].1 == node) {
            self.disconnect(link, 2);
        }
        self.nodes[node].crash();
    }

    /// Mends everything, and waits until nobody has anything to say.
    fn heal(&mut self) {
        for node in &mut self.nodes {
            (0..DOCUMENTS).for_each(|number| node.handle(Input::Want { document: document(number) }));
        }
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            self.mend_links();
            for node in &mut self.nodes {
                node.handle(Input::Settle);
                busy |= node.answer_all();
                node.handle(Input::Settle);
            }
            for link in 0..LINKS.len() {
                busy |= self.carry(link, 0, usize::MAX) | self.carry(link, 1, usize::MAX);
            }
            self.hang_up();
            quiet = if busy { 0 } else { quiet + 1 };
            // Full disks are tried again every few seconds, so silence must last.
            if quiet == 3 {
                return;
            }
            if quiet > 0 {
                self.nodes.iter_mut().for_each(|node| node.wait(Duration::from_secs(3)));
            }
        }
        panic!("the nodes talk for ever");
    }

    /// Connects what is not connected at both ends.
    fn mend_links(&mut self) {
        for (link, (dialer, acceptor)) in LINKS.into_iter().enumerate() {
            let id = self.links[link].id;
            let is_up = |node: usize| id.is_some_and(|id| self.nodes[node].unwritten.contains_key(&id));
            if !is_up(dialer) || !is_up(acceptor) {
                self.connect(link);
            }
        }
    }

    fn judge(&mut self) {
        let saved: Vec<_> = self.nodes.iter().flat_map(|node| node.saved.iter().copied()).collect();
        for number in 0..DOCUMENTS {
            let document = document(number);
            let heads = self.nodes[0].read(document).heads().clone();
            for node in &mut self.nodes {
                let content = node.read(document);
                assert_eq!(*content.heads(), heads, "document {number}: equal changes everywhere");
                for (_, change) in saved.iter().filter(|(of, _)| *of == document) {
                    assert!(content.contains(change), "a saved change is lost");
                }
                let stored = node.on_disk(&document).expect("what was stored can be read");
                assert_eq!(*stored.heads(), heads, "document {number}: on disk as in memory");
            }
            LINKS.iter().for_each(|(dialer, acceptor)| self.check_receipts(document, *dialer, *acceptor));
        }
        for node in &self.nodes {
            assert!(node.accusations.is_empty(), "honest bytes were refused: {:?}", node.accusations);
        }
    }

    /// Whoever was dialled gives receipts for what the dialer wrote, by one link at least if there are two. Of what came
    /// by other ways both may know that it is everywhere, and not say so.
    fn check_receipts(&mut self, document: DocumentId, dialer: usize, acceptor: usize) {
        let storage = self.nodes[acceptor].as_peer(true).storage;
        let node = &mut self.nodes[dialer];
        node.read(document);
        let standing = node.engine.standing(&document).expect("it was just read");
        let own = node.saved.iter().filter(|(of, _)| *of == document).count();
        let others = standing.changes - own;
        let known = |peer: &PeerStanding| peer.behind <= others || peer.answer == Answer::InStep;
        let known = standing.peers.iter().any(|peer| peer.storage == storage && known(peer));
        assert!(known && !standing.unsaved, "node {acceptor} gave node {dialer} no receipt: {standing:?}");
    }
}

fn end(link: usize, direction: usize) -> usize {
    if direction == 0 { LINKS[link].0 } else { LINKS[link].1 }
}

fn document(number: usize) -> DocumentId {
    DocumentId::from_bytes([1 + number as u8; 16])
}

/// Bounds so small that they are met.
fn limits(documents_loaded_max: usize) -> Limits {
    let mut limits = Limits::default();
    limits.documents_loaded_max = documents_loaded_max;
    limits.link_queue_messages_max = 4;
    limits.loads_max = 1;
    limits.waiting_inputs_max = 8;
    limits.sessions_per_document_max = 2;
    limits.ephemeral_sessions_max = 2;
    limits.ephemeral_burst = 2;
    limits.compaction_bytes_min = 2_000;
    limits.idle_after = Duration::from_secs(2);
    limits
}
