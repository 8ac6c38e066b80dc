//! The world: a queue of happenings in virtual time.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use comity_engine::Input;
use comity_model::{ChangeHash, DocumentId, Heads, KindName, PeerId, SpaceId, Write};
use comity_review::{DecisionId, Declarations};

use crate::conditions::Conditions;
use crate::connection::Connection;
use crate::coverage::Seen;
use crate::dice::{Dice, Purpose};
use crate::happening::Happening;
use crate::host::{Host, RELAY, RELAY_NUMBER};
use crate::oracle::Copy;
use crate::plan::{DOCUMENTS, Deed, FOREIGN_DOCUMENTS};
use crate::trace::Trace;
use crate::{Coverage, Failure, Plan, Report, Sabotage, Violation, care};

/// Happenings in one run; a run that needs more is going round in circles.
const HAPPENINGS_MAX: u64 = 400_000;

/// Virtual time from the healing to the quiet.
const QUIET_MAX_US: u64 = 60_000_000;

/// Messages from the healing to the quiet, for each document that a device wants: several times what was ever seen.
const MESSAGES_MAX: u64 = 12;

/// Messages for each document that a device wants, when all links are cut and come back and nobody has news: each side
/// says what it has, and the device may confirm.
const GREETINGS_MAX: u64 = 3;

const TICK_US: u64 = 1_000_000;

/// An edit, and what became of it.
pub(crate) struct EditRecord {
    pub device: usize,
    pub run: u32,
    pub document: DocumentId,
    pub asked: Asked,
    pub change: Option<ChangeHash>,
    pub outcome: Outcome,
}

/// What the author of an edit asked for; nothing is known of that in another application.
#[derive(Default)]
pub(crate) struct Asked {
    /// The heads on screen, when it was not made at the present ones.
    pub base: Option<Heads>,
    pub writes: Vec<Write>,
    /// The decision that it is.
    pub decision: Option<DecisionId>,
}

/// What its author was told of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing yet.
    Open,
    Saved,
    NotSaved,
}

impl EditRecord {
    pub fn is_saved(&self) -> bool {
        self.outcome == Outcome::Saved
    }
}

pub(crate) struct World<'a> {
    pub plan: &'a Plan,
    pub conditions: Conditions,
    pub sabotage: Option<Sabotage>,
    pub dice: Dice,
    pub now_us: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    next: u64,
    /// Happenings in the queue other than ticks.
    pending: usize,
    pub documents: Vec<DocumentId>,
    pub hosts: Vec<Host>,
    pub connections: BTreeMap<u64, Connection>,
    pub next_connection: u64,
    pub edits: BTreeMap<u64, EditRecord>,
    /// What is declared of the entries: the policy.
    pub declared: Declarations,
    /// The digest of each document's conflicts at the heads at which a node first had one, and which node that was.
    pub digests: BTreeMap<(DocumentId, Heads), ([u8; 32], usize)>,
    /// What the final reading found, by node and document.
    pub copies: BTreeMap<(usize, DocumentId), Copy>,
    /// Own changes that were found on the relay's disk.
    pub on_relay: BTreeSet<(DocumentId, ChangeHash)>,
    /// Durable changes that an injected loss took from a node's disk.
    pub taken: BTreeSet<(usize, DocumentId, ChangeHash)>,
    /// Those of them that nobody else had.
    pub excused: BTreeSet<ChangeHash>,
    /// Short-lived messages: who heard whose, and the runs of nodes that have spoken.
    pub heard: BTreeSet<(usize, u32, PeerId, bytes::Bytes)>,
    pub speakers: BTreeSet<(usize, u32)>,
    /// Heads of appends that the relay lost in a crash.
    pub lost_at_relay: Vec<(DocumentId, Heads)>,
    /// When the latest message about a document that has arrived at the relay had been sent, and by whom.
    pub latest_sent: BTreeMap<DocumentId, (u64, usize)>,
    pub healed_us: Option<u64>,
    /// Before this time it is not quiet: a ticking engine has something to do.
    pub rest_us: u64,
    pub trace: Trace,
    pub coverage: Coverage,
    pub inputs: u64,
    pub messages: u64,
    pub messages_before_healing: u64,
    violation: Option<Violation>,
}

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, sabotage: Option<Sabotage>) -> Self {
        let mut dice = Dice::new(plan.seed, Purpose::World);
        let conditions = plan.profile.conditions();
        let mut hosts = vec![Host::new("relay".to_owned(), RELAY_NUMBER, care::skew_ms(&mut dice, &conditions))];
        for number in 1..=plan.devices + plan.apps {
            let tag = u8::try_from(number).expect("few devices");
            hosts.push(if number <= plan.devices {
                Host::new(format!("device-{number}"), tag, care::skew_ms(&mut dice, &conditions))
            } else {
                Host::foreign(format!("app-{number}"), tag)
            });
        }
        let space = SpaceId::new(DocumentId::from_bytes([7; 16]));
        let kind = KindName::new("audit").expect("a kind's name");
        let ours = (0..DOCUMENTS).map(|number| DocumentId::for_natural_key(space, &kind, &number.to_string()));
        let theirs = (0..FOREIGN_DOCUMENTS).map(|_| DocumentId::from_bytes(dice.bytes()));
        let documents = ours.chain(theirs).collect();
        Self {
            plan,
            conditions,
            sabotage,
            dice,
            now_us: 0,
            queue: BTreeMap::new(),
            next: 0,
            pending: 0,
            documents,
            hosts,
            connections: BTreeMap::new(),
            next_connection: 0,
            edits: BTreeMap::new(),
            declared: crate::reviews::declared(),
            digests: BTreeMap::new(),
            copies: BTreeMap::new(),
            on_relay: BTreeSet::new(),
            taken: BTreeSet::new(),
            excused: BTreeSet::new(),
            heard: BTreeSet::new(),
            speakers: BTreeSet::new(),
            lost_at_relay: Vec::new(),
            latest_sent: BTreeMap::new(),
            healed_us: None,
            rest_us: 0,
            trace: Trace::new(),
            coverage: Coverage::default(),
            inputs: 0,
            messages: 0,
            messages_before_healing: 0,
            violation: None,
        }
    }

    /// Lets everything happen, then judges.
    pub fn run(mut self) -> Result<Report, Failure> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.live()));
        let outcome = match outcome {
            Ok(rest) => self.violation.take().map_or(Ok(rest), Err),
            Err(panic) => Err(Violation::Panicked { message: panic_message(panic.as_ref()) }),
        };
        match outcome {
            Ok((quiet_after_us, messages_after_healing)) => Ok(Report {
                trace_digest: self.trace.digest(),
                inputs: self.inputs,
                messages: self.messages,
                messages_after_healing,
                quiet_after_us,
                coverage: self.coverage,
            }),
            Err(violation) => Err(Failure {
                profile: self.plan.profile,
                seed: self.plan.seed,
                operations: self.plan.operations,
                violation: Box::new(violation),
                at_us: self.now_us,
                trace: self.trace.tail(),
            }),
        }
    }

    /// Gives how long it took to become quiet after the healing, and how many messages.
    fn live(&mut self) -> (u64, u64) {
        for (index, step) in self.plan.steps.iter().enumerate() {
            self.at(step.at_us, Happening::Step(index));
        }
        let end_us = self.plan.steps.last().map_or(0, |step| step.at_us) + 2_000_000;
        self.at(end_us, Happening::Heal);
        for node in 0..self.hosts.len() {
            self.start(node);
            let run = self.hosts[node].run;
            if self.hosts[node].app().is_some() {
                self.after(1_000, Happening::Dial { device: node, run });
            }
        }
        self.until_quiet();
        let quiet_after_us = self.now_us.saturating_sub(self.healed_us.unwrap_or(0));
        let messages = self.messages - self.messages_before_healing;
        self.check_talk(messages, MESSAGES_MAX);
        self.read_everything();
        self.until_quiet();
        self.judge();
        self.judge_reviews();
        self.greet_again();
        (quiet_after_us, messages)
    }

    /// Cuts all links while nobody has news, and counts what is said when they are back.
    fn greet_again(&mut self) {
        let before = self.messages;
        self.healed_us = Some(self.now_us);
        self.cut_all(RELAY);
        self.until_quiet();
        self.check_talk(self.messages - before, GREETINGS_MAX);
    }

    fn check_talk(&mut self, messages: u64, each: u64) {
        let wanted: usize = self.hosts.iter().map(|host| host.wants.len()).sum();
        let limit = each * wanted as u64;
        if messages > limit {
            self.violate(Violation::TooMuchTalk { messages, limit });
        }
    }

    fn until_quiet(&mut self) {
        let mut left = HAPPENINGS_MAX;
        while self.violation.is_none() && (self.pending > 0 || self.healed_us.is_none() || self.now_us < self.rest_us) {
            let Some(((at_us, _), happening)) = self.queue.pop_first() else { return };
            if !matches!(happening, Happening::Tick { .. }) {
                self.pending -= 1;
            }
            self.now_us = at_us;
            left -= 1;
            let since_us = self.healed_us.map_or(0, |healed_us| at_us.saturating_sub(healed_us));
            if left == 0 || since_us > QUIET_MAX_US {
                let messages = self.messages - self.messages_before_healing;
                return self.violate(Violation::NeverQuiet { after_s: since_us / 1_000_000, messages });
            }
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Step(index) => {
                let step = &self.plan.steps[index];
                match &step.deed {
                    Deed::Work { device, document, work } => self.work(index, *device, *document, *work),
                    Deed::Elsewhere { app, document, work } => self.work_elsewhere(index, *app, *document, *work),
                    Deed::Care(care) => self.care(*care),
                    Deed::Fault(fault) => self.fault(*fault),
                }
            }
            Happening::Heal => self.heal(),
            Happening::Tick { node, run } if self.is_running(node, run) => {
                if self.sabotage != Some(Sabotage::ForgetTicks) {
                    self.handle(node, Input::Tick);
                }
                self.check_memory(node);
                self.after(TICK_US, Happening::Tick { node, run });
            }
            Happening::Settle { node, run } if self.is_running(node, run) => {
                self.hosts[node].settles = false;
                self.handle(node, Input::Settle);
            }
            Happening::Flushed { node, run } if self.is_running(node, run) => self.flushed(node),
            Happening::Loaded { node, run, document } if self.is_running(node, run) => self.loaded(node, document),
            Happening::Stored { node, run, ticket } if self.is_running(node, run) => {
                self.handle(node, Input::Stored { ticket, result: Ok(()) });
            }
            Happening::Dial { device, run } if self.is_running(device, run) => self.dial(device),
            Happening::Written { connection, end } => self.written(connection, end),
            Happening::Arrive { connection, end, frame, is_again } => self.arrive(connection, end, frame, is_again),
            Happening::Hangup { connection, end } => self.hangup(connection, end),
            Happening::Start { node } => self.start(node),
            Happening::Rejoin { device } => self.rejoin(device),
            Happening::BothWays { device } => self.hosts[device].one_way = None,
            Happening::Thaw { node } => self.hosts[node].clock.frozen_ms = None,
            Happening::Room { node } => self.hosts[node].disk.trouble.full = false,
            Happening::Readable { node } => self.hosts[node].disk.trouble.refuses_loads = false,
            Happening::Answer { node, run, decision } if self.is_running(node, run) => self.answer(node, *decision),
            Happening::Restart { node, run } => self.restart(node, run),
            Happening::LoadedNothing { node, run, document } if self.is_running(node, run) => {
                self.handle(node, Input::Loaded { document, result: Ok(None) });
            }
            // Meant for a run of a node that has ended.
            _ => {}
        }
    }

    /// Lets something happen at a time.
    pub fn at(&mut self, at_us: u64, happening: Happening) {
        if !matches!(happening, Happening::Tick { .. }) {
            self.pending += 1;
        }
        self.queue.insert((at_us, self.next), happening);
        self.next += 1;
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, delay_us: u64, happening: Happening) {
        self.at(self.now_us + delay_us, happening);
    }

    pub fn is_running(&self, node: usize, run: u32) -> bool {
        self.hosts[node].run == run && self.hosts[node].is_up()
    }

    /// Starts a node that is down.
    pub fn start(&mut self, node: usize) {
        if self.hosts[node].is_up() {
            return;
        }
        // What happened to the disk meanwhile is found now.
        self.reopen(node);
        let host = &self.hosts[node];
        let reuses = match self.sabotage {
            Some(Sabotage::ReuseActor) => host.run > 0 && !host.is_restored,
            Some(Sabotage::ReuseActorAfterRestore) => host.is_restored,
            _ => false,
        };
        let (goes_on, new_session) = (host.is_clean || reuses, self.dice.bytes());
        self.hosts[node].start(self.now_us, goes_on, new_session);
        let run = self.hosts[node].run;
        self.note(node, format_args!("starts, run {run}"));
        let tick_us = self.dice.below(TICK_US);
        self.after(tick_us, Happening::Tick { node, run });
        let lost = std::mem::take(&mut self.hosts[node].lost);
        self.hosts[node].wants.extend(&lost);
        let wants = if node == RELAY { lost } else { self.hosts[node].wants.clone() };
        if self.sabotage != Some(Sabotage::ForgetWants) {
            for document in wants {
                self.handle(node, Input::Want { document });
            }
        }
        if node != RELAY {
            self.after(1_000, Happening::Dial { device: node, run });
        }
    }

    pub fn note(&mut self, node: usize, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.now_us, &self.hosts[node].name, what);
    }

    pub fn see(&mut self, seen: Seen) {
        self.coverage.note(seen);
    }

    /// Takes note of the first broken promise; the run ends with it.
    pub fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    pub fn name(&self, node: usize) -> String {
        self.hosts[node].name.clone()
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
