//! What people do.

use comity_engine::{Edit as EngineEdit, Failure, Input, RefusedEdit, Token};
use comity_model::{ActKind, ChangeHash, DocumentId, EntryId, FieldName, Heads, RegisterKey, Write};

use crate::Violation;
use crate::coverage::Seen;
use crate::plan::{DOCUMENTS, Edit, Elsewhere, Work};
use crate::world::{Asked, EditRecord, Outcome, World};

/// Tokens of readings begin here, above those of edits. Behind it come those of people who want to answer a conflict.
pub(crate) const READING: u64 = 1 << 32;

impl World<'_> {
    pub fn work(&mut self, step: usize, device: usize, document: usize, work: Work) {
        if !self.hosts[device].is_up() {
            return;
        }
        let document = self.documents[document];
        match work {
            Work::Edit { edit, older } => self.edit(step, device, document, edit, older),
            Work::Open => {
                self.hosts[device].wants.insert(document);
                self.handle(device, Input::Want { document });
            }
            Work::Answer { .. } => self.look_through(step, device, document),
            Work::Read => self.handle(device, Input::Fetch { token: Token(READING - 1), document }),
            Work::Broadcast => {
                self.speakers.insert((device, self.hosts[device].run));
                let data = bytes::Bytes::copy_from_slice(&step.to_be_bytes());
                self.handle(device, Input::Broadcast { document, data });
            }
        }
    }

    fn edit(&mut self, step: usize, device: usize, document: DocumentId, edit: Edit, older: bool) {
        let base = if older { self.older_heads(device, &document) } else { None };
        if base.is_some() {
            self.see(Seen::EditOnOlderHeads);
        }
        let mut writes = writes(edit, step);
        if !self.hosts[device].seen_heads.contains_key(&document) && !self.hosts[device].wants.contains(&document) {
            // This device knows of no such document: it makes one, as another may be doing at the same time.
            let made_elsewhere = self.edits.values().any(|edit| edit.document == document && edit.device != device);
            if made_elsewhere {
                self.see(Seen::CreatedTwice);
            }
            writes.push(Write::About { name: "kind".to_owned(), value: "audit".into() });
            writes.push(Write::About { name: "title".to_owned(), value: format!("by {device}").into() });
        }
        let token = Token(step as u64);
        let run = self.hosts[device].run;
        let asked = Asked { base: base.clone(), writes: writes.clone(), decision: None };
        let record = EditRecord { device, run, document, asked, change: None, outcome: Outcome::Open };
        self.edits.insert(token.0, record);
        let edit = EngineEdit { token, document, kind: ActKind::Edit, base, writes };
        self.handle(device, Input::Edit(edit));
    }

    /// A person works with another application.
    pub fn work_elsewhere(&mut self, step: usize, app: usize, number: usize, work: Elsewhere) {
        let document = self.documents[number];
        let run = self.hosts[app].run;
        let Some(mind) = self.hosts[app].app_mut() else { return };
        // It does not know how to begin one of our documents.
        let may_write = number >= DOCUMENTS || mind.has(&document);
        let effects = match work {
            Elsewhere::Edit(work) if may_write => {
                let (change, effects) = mind.work(document, work, step);
                let outcome = Outcome::Saved;
                let asked = Asked::default();
                self.edits.insert(step as u64, EditRecord { device: app, run, document, asked, change, outcome });
                self.see(if number >= DOCUMENTS { Seen::ForeignEdit } else { Seen::ForeignEditOfOurs });
                effects
            }
            Elsewhere::Edit(_) | Elsewhere::Open => mind.open(document),
            Elsewhere::Say => {
                let mut effects = mind.open(document);
                effects.extend(mind.say(document, bytes::Bytes::copy_from_slice(&step.to_be_bytes())));
                self.speakers.insert((app, run));
                effects
            }
        };
        self.hosts[app].wants.insert(document);
        self.note(app, format_args!("works on {document}: {work:?}"));
        self.carry_out_all(app, effects);
    }

    /// Chooses heads that the user of a device has seen.
    pub fn older_heads(&mut self, device: usize, document: &DocumentId) -> Option<Heads> {
        let seen = self.hosts[device].seen_heads.get(document)?;
        let index = self.dice.index(seen.len());
        self.hosts[device].seen_heads[document].get(index).cloned()
    }

    pub fn edited(
        &mut self,
        node: usize,
        token: Token,
        document: DocumentId,
        result: Result<Option<ChangeHash>, RefusedEdit>,
    ) {
        let change = match result {
            Ok(change) => change,
            Err(RefusedEdit::Store(_)) if self.hosts[node].is_troubled => {
                // Nothing of it was applied, and its author knows.
                self.edits.remove(&token.0);
                return self.see(Seen::EditRefused);
            }
            Err(refused) => {
                // Nothing that people do here is forbidden.
                let detail = format!("refused an edit: {refused}");
                return self.violate(Violation::Accused { node: self.name(node), detail });
            }
        };
        let Some(record) = self.edits.get_mut(&token.0) else { return };
        record.change = change;
        self.coverage.note(Seen::Edit);
        let Some(change) = change else { return };
        if record.asked.decision.is_some() {
            self.coverage.note(Seen::Decision);
        }
        let host = &mut self.hosts[node];
        host.wants.insert(document);
        host.own.entry(document).or_default().insert(change);
        for (other, host) in self.hosts.iter_mut().enumerate().filter(|(_, host)| host.cut) {
            let side = if other == node { &mut host.cut_edits.0 } else { &mut host.cut_edits.1 };
            side.insert(document);
        }
    }

    pub fn saved(&mut self, node: usize, token: Token, document: DocumentId, result: Result<(), Failure>) {
        let outcome = if result.is_ok() { Outcome::Saved } else { Outcome::NotSaved };
        if let Some(record) = self.edits.get_mut(&token.0) {
            record.outcome = outcome;
        }
        match result {
            Ok(()) => self.see(Seen::Saved),
            Err(_) if self.hosts[node].is_troubled => self.see(Seen::NotSaved),
            Err(failure) => {
                let detail = failure.message;
                self.violate(Violation::Unreadable { node: self.name(node), document, detail });
            }
        }
    }

    /// Asks every node for every document that it should have.
    pub fn read_everything(&mut self) {
        for node in 0..self.hosts.len() {
            for document in self.documents.clone() {
                let is_wanted = node == crate::host::RELAY || self.hosts[node].wants.contains(&document);
                if is_wanted && self.hosts[node].app().is_some() {
                    self.copy_elsewhere(node, document);
                } else if is_wanted {
                    self.handle(node, Input::Fetch { token: Token(READING), document });
                }
            }
        }
    }

    /// A document can be read.
    pub fn fetched(&mut self, node: usize, token: Token, document: DocumentId, result: Result<(), Failure>) {
        match result {
            Ok(()) if token.0 == READING => self.copy(node, document),
            Ok(()) if token.0 > READING => self.choose(node, token.0 - READING - 1, document),
            Ok(()) => {}
            // Whoever looks is told that it cannot be read now.
            Err(_) if token.0 != READING && self.hosts[node].is_troubled => self.see(Seen::ReadRefused),
            Err(failure) => {
                let detail = failure.message;
                self.violate(Violation::Unreadable { node: self.name(node), document, detail });
            }
        }
    }
}

fn writes(edit: Edit, step: usize) -> Vec<Write> {
    const FIELDS: [&str; 5] = ["status", "comment", "verdict", "serial", "note"];
    // People often find the same; otherwise no two values are equal.
    const VALUES: [&str; 3] = ["x", "y", "z"];
    let entry = |number: u64| EntryId::new(&format!("M{number:03}")).expect("an entry id");
    let set = |number: u64, field: usize, value: &str| {
        let field = FieldName::new(FIELDS[field]).expect("a field name");
        Write::Set { key: RegisterKey::new(entry(number), field), value: value.into() }
    };
    let own = format!("step {step}");
    match edit {
        Edit::Set { entry, field, value } => {
            let value = usize::try_from(value).ok().and_then(|value| VALUES.get(value).copied()).unwrap_or(&own);
            vec![set(entry, usize::try_from(field).expect("small"), value)]
        }
        Edit::Add { serial } => {
            let entry = EntryId::new(&format!("N{step:03}")).expect("an entry id");
            let set = |field: &str, value: String| {
                let field = FieldName::new(field).expect("a field name");
                Write::Set { key: RegisterKey::new(entry.clone(), field), value: value.into() }
            };
            vec![set("serial", format!("serial {serial}")), set("status", own.clone())]
        }
        Edit::Delete { entry: number } => vec![Write::Delete { entry: entry(number) }],
        Edit::Restore { entry: number } => vec![Write::Restore { entry: entry(number) }],
        Edit::Batch { first, entries } => (first..first + entries).map(|number| set(number, 0, &own)).collect(),
        Edit::Remark => vec![Write::Remark { id: format!("remark-{step}"), text: format!("said at step {step}") }],
    }
}
