//! What breaks, and how it is mended.

use comity_engine::Input;

use crate::Sabotage;
use crate::coverage::Seen;
use crate::disk::Content;
use crate::host::RELAY;
use crate::plan::Fault;
use crate::world::{Happening, World};

impl World<'_> {
    pub fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Reset { device } => {
                self.note(device, format_args!("its links are reset"));
                self.see(Seen::Reset);
                self.cut_all(device);
            }
            Fault::Partition { device, for_us } => {
                if self.hosts[device].cut {
                    return;
                }
                self.note(device, format_args!("is cut off"));
                self.see(Seen::Partition);
                self.hosts[device].cut = true;
                self.hosts[device].cut_edits = Default::default();
                self.cut_all(device);
                self.after(for_us, Happening::Rejoin { device });
            }
            Fault::CrashRelay { down_us } => self.crash(RELAY, down_us),
            Fault::CrashDevice { device, down_us } => self.crash(device, down_us),
            Fault::StopRelay { down_us } => self.stop(RELAY, down_us),
            Fault::StopDevice { device, down_us } => self.stop(device, down_us),
        }
    }

    /// Ends a cut.
    pub fn rejoin(&mut self, device: usize) {
        if !std::mem::take(&mut self.hosts[device].cut) {
            return;
        }
        self.note(device, format_args!("is no longer cut off"));
        let (here, elsewhere) = std::mem::take(&mut self.hosts[device].cut_edits);
        if !here.is_disjoint(&elsewhere) {
            self.see(Seen::EditedOnBothSides);
        }
    }

    /// Mends everything, and lets one more device join that wants all documents.
    pub fn heal(&mut self) {
        for node in 0..self.hosts.len() {
            self.rejoin(node);
            self.start(node);
        }
        self.healed_us = Some(self.now_us);
        self.messages_before_healing = self.messages;
        let newcomer = self.hosts.len();
        let tag = u8::try_from(newcomer).expect("few devices");
        let mut host = crate::host::Host::new("newcomer".to_owned(), tag, 0);
        host.wants = self.documents.iter().copied().collect();
        self.hosts.push(host);
        self.start(newcomer);
    }

    /// A node dies: its memory is gone, and what its disk had only been told may be.
    fn crash(&mut self, node: usize, down_us: u64) {
        if self.hosts[node].engine.is_none() {
            return;
        }
        // The last moment at which what devices believe can still be compared with the relay's disk.
        self.check_all_standings();
        let in_flush = self.hosts[node].disk.in_flush();
        let kept = self.dice.index(in_flush + 1);
        let lost = self.hosts[node].disk.crash(kept);
        if self.sabotage == Some(Sabotage::LoseJournal) {
            self.hosts[node].disk.lose_changes();
        }
        self.note(node, format_args!("crashes; {kept} of {in_flush} writes in flush survive, {} are lost", lost.len()));
        self.check_survivors(node);
        let is_relay = node == RELAY;
        self.see(if is_relay { Seen::RelayCrash } else { Seen::DeviceCrash });
        let mut loses_appends = false;
        for write in lost {
            let (Content::Append { heads, .. } | Content::Replace { heads, .. }) = write.content else { continue };
            loses_appends = true;
            if is_relay {
                self.see(Seen::RelayLostChange);
                self.lost_at_relay.push((write.document, heads));
            }
        }
        if loses_appends && !is_relay {
            self.see(Seen::CrashWithUnflushed);
        }
        self.go_down(node, down_us);
    }

    /// A node stops in order: it writes down what is worth keeping.
    fn stop(&mut self, node: usize, down_us: u64) {
        if self.hosts[node].engine.is_none() {
            return;
        }
        self.see(if node == RELAY { Seen::RelayStop } else { Seen::DeviceStop });
        self.handle(node, Input::Settle);
        self.handle(node, Input::Stop);
        while !self.hosts[node].disk.is_clean() {
            self.flushed(node);
        }
        self.note(node, format_args!("has stopped"));
        self.go_down(node, down_us);
    }

    fn go_down(&mut self, node: usize, down_us: u64) {
        self.hosts[node].stop();
        self.hosts[node].remember_from_disk();
        // Its own ends die with it; the peers notice.
        let of_node: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, state)| state.ends.iter().any(|end| end.node == node))
            .map(|(connection, _)| *connection)
            .collect();
        for connection in of_node {
            self.forsake(connection, node);
        }
        self.after(down_us, Happening::Start { node });
    }

    fn forsake(&mut self, connection: u64, node: usize) {
        self.cut(connection);
        let Some(state) = self.connections.get_mut(&connection) else { return };
        for end in state.ends.iter_mut().filter(|end| end.node == node) {
            end.phase = crate::connection::Phase::Gone;
            end.unwritten.clear();
        }
    }
}
