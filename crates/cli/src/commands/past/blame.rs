//! `blame`: which change wrote what is shown.

use std::collections::BTreeMap;

use clap::Args;
use comity_model::{ChangeHash, EntryId, FieldName, Heads, LIFE, RegisterKey, Value};
use comity_node::{Document, Register, Version, View};
use comity_review::{DecisionId, DecisionRecord, Declarations};
use serde_json::{Value as Json, json};

use super::super::find_document;
use super::super::show::when;
use super::{CELL_MAX, never, short, written_json};
use crate::entries;
use crate::error::CommandResult;
use crate::names::Who;
use crate::output::{ALERT, FAINT, Table, one_line};
use crate::session::{Need, Session};
use crate::values;

/// Show which change wrote each value: who, when, and what had been there
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity blame 'Roof 7'
  comity blame 'Roof 7' M050
  comity blame 'Roof 7' --json | jq '.fields[] | select(.disputed)'

`decided` marks what a person decided, with the reason; ≠ what others contradict: their values follow.")]
pub struct Blame {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// Only this entry
    #[arg(value_name = "ENTRY")]
    entry: Option<String>,
}

/// What is known of one field.
struct Line {
    register: RegisterKey,
    content: Register,
    /// What stood there before the value that is shown, by operation.
    before: Vec<Option<Value>>,
    decision: Option<(DecisionId, DecisionRecord)>,
}

/// What had been where a change wrote.
type Before = BTreeMap<(RegisterKey, ChangeHash), Vec<Option<Value>>>;

impl Blame {
    pub fn run(self, session: &Session) -> CommandResult {
        let entry = self.entry.as_deref().map(entries::entry).transpose()?;
        session.run(Need::Documents, |node| async move {
            let document = find_document(&node, &self.document).await?;
            let (lines, heads) = read(&document, entry.clone()).await?;
            if let (Some(entry), true) = (&entry, lines.is_empty()) {
                return Err(never(entry));
            }
            let out = session.output;
            if out.json {
                let fields: Vec<Json> = lines.iter().map(Line::json).collect();
                let document = json!({ "id": document.id().to_string(), "heads": super::hashes(&heads) });
                return out.json("blame", json!({ "document": document, "fields": fields }));
            }
            if lines.is_empty() {
                out.note("nothing was written to it yet");
                return Ok(());
            }
            let who = Who::new(&node, &session.config);
            let mut table = Table::new(&["entry", "field", "value", "change", "when", "who", "had been", "mark"]);
            lines.iter().flat_map(|line| line.rows(&who)).for_each(|row| table.row(row));
            out.print(table)
        })
    }
}

async fn read(document: &Document, entry: Option<EntryId>) -> CommandResult<(Vec<Line>, Heads)> {
    let look = move |view: &View<'_>| {
        let entries = match entry {
            Some(id) => view.entry(&id).into_iter().map(|entry| (id.clone(), entry)).collect(),
            None => view.entries(),
        };
        let before = before(view);
        let decisions = decisions(view);
        let mut lines = Vec::new();
        for (id, entry) in entries {
            let life = FieldName::new(LIFE).ok();
            for field in entry.fields.into_keys().chain(life) {
                let register = RegisterKey::new(id.clone(), field);
                let Some(content) = view.register(&register) else { continue };
                let Some(shown) = content.winner().map(|version| version.change) else { continue };
                let before = before.get(&(register.clone(), shown)).cloned().unwrap_or_default();
                let decision = decisions.get(&(register.clone(), shown)).cloned();
                lines.push(Line { register, content, before, decision });
            }
        }
        (lines, view.heads())
    };
    Ok(document.read(look).await?)
}

/// Finds what each change wrote over. The cost follows the whole history.
fn before(view: &View<'_>) -> Before {
    let mut before = Before::new();
    let changes = view.document().decode_since(&Heads::default());
    let mut written = BTreeMap::new();
    for change in &changes {
        for op in &change.ops {
            let Some(register) = op.register() else { continue };
            written.insert(&op.id, (change.hash, op.value()));
            // A change that writes twice, as a decision does, has not written over itself.
            let stood = op.pred.iter().filter_map(|pred| written.get(pred)).filter(|(hash, _)| *hash != change.hash);
            let stood = stood.map(|(_, value)| value.cloned());
            before.entry((register, change.hash)).or_default().extend(stood);
        }
    }
    before
}

/// Finds what was written by decisions.
fn decisions(view: &View<'_>) -> BTreeMap<(RegisterKey, ChangeHash), (DecisionId, DecisionRecord)> {
    let review = view.review(Declarations::default());
    let mut decisions = BTreeMap::new();
    for id in review.decisions() {
        for (record, change, _) in review.decision(id) {
            for (register, _) in &record.writes {
                decisions.insert((register.clone(), change), (id.clone(), record.clone()));
            }
        }
    }
    decisions
}

impl Line {
    fn winner(&self) -> Option<&Version> {
        self.content.winner()
    }

    /// Lists the values that contradict the one that is shown, the greatest first.
    fn others(&self) -> impl Iterator<Item = &Version> {
        let shown = self.winner().map(|version| &version.value);
        self.content.versions.iter().rev().filter(move |version| Some(&version.value) != shown)
    }

    fn rows(&self, who: &Who) -> Vec<Vec<String>> {
        let Some(winner) = self.winner() else { return Vec::new() };
        let mut marks = Vec::new();
        if self.content.is_disagreement() {
            marks.push(format!("{ALERT}≠{ALERT:#}"));
        }
        if let Some((_, record)) = &self.decision {
            let reason = record.reason.as_deref().map(|reason| format!(": {}", one_line(reason, CELL_MAX)));
            marks.push(format!("decided{}", reason.unwrap_or_default()));
        }
        let had_been: Vec<String> = self.before.iter().map(shown_or_nothing).collect();
        let row = |names: [String; 2], version: &Version, before: String, mark: String| {
            let [entry, field] = names;
            let value = values::shown(&version.value, CELL_MAX);
            let (change, when) = (short(&version.change), when(version.act, version.time_s));
            vec![entry, field, value, change, when, who.name(&version.actor), before, mark]
        };
        let names = [self.register.entry.as_str(), self.register.field.as_str()].map(|name| one_line(name, CELL_MAX));
        let mut rows = vec![row(names, winner, had_been.join(" | "), marks.join(" "))];
        let against = || format!("{FAINT}against it{FAINT:#}");
        rows.extend(self.others().map(|version| row(Default::default(), version, String::new(), against())));
        rows
    }

    fn json(&self) -> Json {
        let mut json = self.winner().map(written_json).unwrap_or_default();
        let before = self.before.iter().map(|value| match value {
            Some(value) => json!({ "value": values::to_json(value), "removed": false }),
            None => json!({ "value": null, "removed": true }),
        });
        let decision = self.decision.as_ref().map(|(id, record)| {
            json!({
                "id": id.to_string(), "conflict": record.conflict.to_string(), "choice": record.choice.as_str(),
                "reason": record.reason,
            })
        });
        let more = json!({
            "entry": self.register.entry.as_str(), "field": self.register.field.as_str(),
            "before": before.collect::<Vec<_>>(), "disputed": self.content.is_disagreement(),
            "decision": decision, "against": self.others().map(written_json).collect::<Vec<_>>(),
        });
        if let (Some(json), Json::Object(more)) = (json.as_object_mut(), more) {
            json.extend(more);
        }
        json
    }
}

fn shown_or_nothing(value: &Option<Value>) -> String {
    value.as_ref().map_or_else(|| "(removed)".to_owned(), |value| values::shown(value, CELL_MAX))
}
