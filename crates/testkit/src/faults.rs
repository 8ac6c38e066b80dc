//! What breaks.

use comity_engine::Input;

use crate::Sabotage;
use crate::connection::Phase;
use crate::coverage::Seen;
use crate::disk::Content;
use crate::happening::Happening;
use crate::host::RELAY;
use crate::plan::Fault;
use crate::world::World;

impl World<'_> {
    pub fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Reset { device } => {
                self.note(device, format_args!("its links are reset"));
                self.see(Seen::Reset);
                self.cut_all(device);
            }
            Fault::Partition { device, for_us } => self.cut_off(device, for_us),
            Fault::OneWay { device, loses_from, for_us } => {
                if self.hosts[device].one_way.is_some() {
                    return;
                }
                self.note(device, format_args!("what end {loses_from} of its links says is lost"));
                self.see(Seen::OneWay);
                self.hosts[device].one_way = Some(loses_from);
                self.lose_one_way(device, loses_from);
                self.after(for_us, Happening::BothWays { device });
            }
            Fault::HalfOpen { device, unaware, for_us } => {
                self.note(device, format_args!("its links are gone; end {unaware} does not know"));
                self.half_open(device, unaware, for_us);
            }
            Fault::Stall { device, writer, for_us } => {
                self.note(device, format_args!("what end {writer} of its links writes is not read"));
                self.see(Seen::Stall);
                self.stall(device, writer, for_us);
            }
            Fault::Crash { node, down_us } => self.crash(node, down_us, false),
            Fault::TearWrite { node, down_us } => self.crash(node, down_us, true),
            Fault::Stop { node, down_us } => self.stop(node, down_us),
            Fault::JumpClock { node, by_ms } => {
                self.note(node, format_args!("its clock jumps by {by_ms} ms"));
                self.see(if by_ms < 0 { Seen::ClockJumpedBack } else { Seen::ClockJumpedAhead });
                self.hosts[node].clock.skew_ms += by_ms;
            }
            Fault::FreezeClock { node, for_us } => {
                self.note(node, format_args!("its clock stands still"));
                self.see(Seen::ClockFrozen);
                let now_ms = self.hosts[node].clock.wall_ms(self.now_us);
                self.hosts[node].clock.frozen_ms = Some(now_ms);
                self.after(for_us, Happening::Thaw { node });
            }
            fault => self.disk_fault(fault),
        }
    }

    fn cut_off(&mut self, device: usize, for_us: u64) {
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

    /// A node dies: its memory is gone, and what its disk had only been told may be.
    pub fn crash(&mut self, node: usize, down_us: u64, tears: bool) {
        if !self.hosts[node].is_up() {
            return;
        }
        // The last moment at which what devices believe can still be compared with the relay's disk.
        self.check_all_standings();
        let in_flush = self.hosts[node].disk.in_flush();
        let kept = self.dice.index(in_flush + 1);
        let lost = self.hosts[node].disk.crash(kept, tears);
        if self.sabotage == Some(Sabotage::LoseJournal) {
            self.hosts[node].disk.lose_changes();
        }
        self.note(node, format_args!("crashes; {kept} of {in_flush} writes in flush survive, {} are lost", lost.len()));
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
    pub fn stop(&mut self, node: usize, down_us: u64) {
        if !self.hosts[node].is_up() {
            return;
        }
        self.see(if node == RELAY { Seen::RelayStop } else { Seen::DeviceStop });
        self.handle(node, Input::Settle);
        self.handle(node, Input::Stop);
        while !self.hosts[node].disk.is_clean() {
            self.flushed(node);
        }
        self.note(node, format_args!("has stopped"));
        // Where writes were refused, peers may have changes of this session that are not here.
        self.hosts[node].is_clean = !self.hosts[node].is_troubled;
        self.go_down(node, down_us);
    }

    fn go_down(&mut self, node: usize, down_us: u64) {
        let reviews = std::mem::take(&mut self.hosts[node].reviews);
        self.hosts[node].stop();
        if self.sabotage == Some(Sabotage::KeepReview) {
            self.hosts[node].reviews = reviews;
        }
        self.reopen(node);
        self.check_survivors(node);
        self.hosts[node].remember_from_disk();
        // Its own ends die with it; the peers notice.
        for connection in self.connections_of(node) {
            self.forsake(connection, node);
        }
        self.after(down_us, Happening::Start { node });
    }

    fn forsake(&mut self, connection: u64, node: usize) {
        self.cut(connection);
        let Some(state) = self.connections.get_mut(&connection) else { return };
        for end in state.ends.iter_mut().filter(|end| end.node == node) {
            end.phase = Phase::Gone;
            end.unwritten.clear();
        }
    }
}
