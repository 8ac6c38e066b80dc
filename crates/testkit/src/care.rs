//! Disks: what goes wrong with them, and what people do about it; backups; and the healing of everything.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{ChangeHash, DocumentId};

use crate::conditions;
use crate::coverage::Seen;
use crate::disk::Disk;
use crate::happening::Happening;
use crate::host::{Host, RELAY};
use crate::plan::{Care, Fault};
use crate::world::World;
use crate::{Profile, Sabotage};

/// How long a full disk may go unnoticed after there is room again: the engine tries every five seconds.
const RESCUED_US: u64 = 7_000_000;

impl World<'_> {
    pub fn care(&mut self, care: Care) {
        match care {
            Care::BackUp { node } => {
                let Some(image) = self.hosts[node].disk.backup() else { return };
                self.note(node, format_args!("is backed up"));
                self.see(Seen::BackedUp);
                self.hosts[node].backup = Some(image);
            }
            Care::Restore { node, crashes, down_us } => {
                if self.hosts[node].backup.is_none() {
                    return;
                }
                if crashes {
                    self.crash(node, down_us, false)
                } else {
                    self.stop(node, down_us)
                }
                self.restore(node);
            }
        }
    }

    /// Puts the last backup in the place of a disk, while the node is down.
    fn restore(&mut self, node: usize) {
        let Some(backup) = &self.hosts[node].backup else { return };
        let disk = Disk::restored(backup);
        self.note(node, format_args!("is restored from its backup"));
        self.see(if node == RELAY { Seen::RelayRestored } else { Seen::DeviceRestored });
        self.injected_loss(node, |host| host.disk = disk);
        self.hosts[node].is_restored = true;
        self.hosts[node].is_clean = false;
        self.hosts[node].remember_from_disk();
    }

    pub fn disk_fault(&mut self, fault: Fault) {
        let (Fault::FillDisk { node, .. }
        | Fault::RefuseWrite { node, .. }
        | Fault::RefuseLoads { node, .. }
        | Fault::LoseTail { node, .. }
        | Fault::Rot { node, .. }) = fault
        else {
            return;
        };
        let running = self.hosts[node].is_up();
        if !running && !matches!(fault, Fault::FillDisk { .. }) {
            return;
        }
        self.note(node, format_args!("its disk: {fault:?}"));
        let run = self.hosts[node].run;
        match fault {
            Fault::FillDisk { for_us, .. } => {
                self.trouble(node);
                self.hosts[node].disk.trouble.full = true;
                self.after(for_us, Happening::Room { node });
            }
            Fault::RefuseWrite { survives, for_us, .. } => {
                self.trouble(node);
                self.hosts[node].disk.trouble.fails_next = Some(survives);
                self.after(for_us, Happening::Restart { node, run });
            }
            Fault::RefuseLoads { for_us, .. } => {
                self.trouble(node);
                self.hosts[node].disk.trouble.refuses_loads = true;
                self.after(for_us, Happening::Readable { node });
            }
            Fault::LoseTail { writes, down_us, .. } => {
                // Found when the store is opened after the crash.
                let writes = usize::try_from(writes).expect("few");
                self.hosts[node].disk.lose_tail(writes);
                self.crash(node, down_us, false);
            }
            Fault::Rot { document, percent, for_us, .. } => {
                let document = self.documents[document];
                let writes = self.hosts[node].disk.writes_of(&document) as u64;
                if writes == 0 {
                    return;
                }
                self.trouble(node);
                let readable = usize::try_from(writes * percent / 100).expect("few");
                self.hosts[node].disk.trouble.rotten.insert(document, readable);
                self.after(for_us, Happening::Restart { node, run });
            }
            _ => {}
        }
    }

    fn trouble(&mut self, node: usize) {
        self.hosts[node].is_troubled = true;
        self.hosts[node].was_troubled = true;
    }

    /// Somebody ends a node whose store has stopped, and starts it again.
    pub fn restart(&mut self, node: usize, run: u32) {
        if self.is_running(node, run) && self.hosts[node].disk.needs_reopening() {
            self.crash(node, 100_000, false);
        }
    }

    /// Opens the store of a node that is down.
    pub fn reopen(&mut self, node: usize) {
        let checks = self.sabotage != Some(Sabotage::KeepTornTail);
        let opened = if self.hosts[node].disk.trouble.rotten.is_empty() {
            let opened = self.hosts[node].disk.open(checks);
            self.excuse();
            opened
        } else {
            self.injected_loss(node, |host| host.disk.open(checks))
        };
        if opened.torn {
            self.see(Seen::TornTail);
        }
        for document in opened.lost {
            self.note(node, format_args!("its store names {document}: something of it is lost"));
            self.see(Seen::LossNamed);
            self.hosts[node].is_clean = false;
            // As a node does with what its store says it has lost.
            self.hosts[node].lost.insert(document);
        }
    }

    /// Does something to a disk that takes what was durable, and takes note of what that is.
    fn injected_loss<T>(&mut self, node: usize, change: impl FnOnce(&mut Host) -> T) -> T {
        let before = self.changes_on_disk(node);
        let outcome = change(&mut self.hosts[node]);
        let after = self.changes_on_disk(node);
        if node == RELAY {
            // Devices may go on believing what was true.
            self.on_relay.extend(&before);
        }
        for (document, change) in before.difference(&after) {
            self.see(Seen::DurableLoss);
            self.taken.insert((node, *document, *change));
        }
        self.excuse();
        outcome
    }

    fn changes_on_disk(&self, node: usize) -> BTreeSet<(DocumentId, ChangeHash)> {
        let mut found = BTreeSet::new();
        for document in &self.documents {
            let Ok(content) = self.hosts[node].disk.durable(document) else { continue };
            let made = self.edits.values().filter(|edit| edit.document == *document).filter_map(|edit| edit.change);
            found.extend(made.filter(|change| content.contains(change)).map(|change| (*document, change)));
        }
        found
    }

    /// Excuses what a disk lost that nobody else has: on no other disk, and in nobody's memory.
    pub fn excuse(&mut self) {
        let taken: BTreeSet<_> = self.taken.iter().map(|(_, document, change)| (*document, *change)).collect();
        let is_open = |(document, change): &(DocumentId, ChangeHash)| {
            let is_remembered = self.hosts.iter().any(|host| host.remembers(document, change));
            !is_remembered && !self.excused.contains(change)
        };
        let mut open: BTreeMap<DocumentId, Vec<ChangeHash>> = BTreeMap::new();
        taken.into_iter().filter(is_open).for_each(|(document, change)| open.entry(document).or_default().push(change));
        for (document, mut changes) in open {
            for host in &self.hosts {
                if let Ok(content) = host.disk.durable(&document) {
                    changes.retain(|change| !content.contains(change));
                }
            }
            self.excused.extend(changes);
        }
    }

    /// Mends everything, and lets one more device join that wants all documents.
    pub fn heal(&mut self) {
        self.conditions = Profile::Calm.conditions();
        for node in 0..self.hosts.len() {
            self.rejoin(node);
            let host = &mut self.hosts[node];
            host.one_way = None;
            host.clock.frozen_ms = None;
            host.disk.trouble.full = false;
            host.disk.trouble.refuses_loads = false;
            if host.was_troubled {
                self.rest_us = self.now_us + RESCUED_US;
            }
            let run = host.run;
            self.restart(node, run);
            self.start(node);
        }
        for connection in self.connections.values_mut() {
            connection.is_slow = false;
            connection.ends.iter_mut().for_each(|end| end.stalled_until_us = 0);
        }
        self.healed_us = Some(self.now_us);
        self.messages_before_healing = self.messages;
        let newcomer = self.hosts.len();
        let tag = u8::try_from(newcomer).expect("few devices");
        let mut host = Host::new("newcomer".to_owned(), tag, 0);
        host.wants = self.documents.iter().copied().collect();
        self.hosts.push(host);
        self.start(newcomer);
    }
}

/// How far a clock is off when a run begins.
pub(crate) fn skew_ms(dice: &mut crate::dice::Dice, conditions: &conditions::Conditions) -> i64 {
    crate::plan::signed(dice.below(2 * conditions.skew_ms), conditions.skew_ms)
}
