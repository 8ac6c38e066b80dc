//! Finding what a person names: a conflict or a decision by the beginning of its id, conflicts by filters.

use clap::Args;
use comity_model::Heads;
use comity_node::Node;
use comity_review::{Brief, Conflict, ConflictId, ConflictKind, DecisionId, Ended, Place, Review, State, Subject};

use super::words;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::output::one_line;
use crate::review::{self, Reviewed, Shorts};

/// Candidates that are listed when an id is ambiguous.
const CANDIDATES_MAX: usize = 10;

/// One conflict.
#[derive(Debug, Args)]
pub struct Target {
    /// The conflict: its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Look only in this document; documents that were written alike have conflicts of the same id
    #[arg(long, value_name = "DOC")]
    pub document: Option<String>,
}

/// Which conflicts.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only this document: title, id, or the beginning of an id [default: all that are here]
    #[arg(value_name = "DOC")]
    pub document: Option<String>,
    /// Only this kind, such as concurrent-update
    #[arg(long, value_name = "KIND")]
    pub kind: Option<ConflictKind>,
    /// Only what is about this entry
    #[arg(long, value_name = "ENTRY")]
    pub entry: Option<String>,
    /// Only what is about this field
    #[arg(long, value_name = "FIELD")]
    pub field: Option<String>,
}

impl Filter {
    /// Whether a conflict is wanted.
    pub fn fits(&self, kind: ConflictKind, subject: &Subject) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.entry.as_deref().is_none_or(|wanted| is_about_entry(subject, wanted))
            && self.field.as_deref().is_none_or(|wanted| is_about_field(subject, wanted))
    }

    /// Gives the conflicts of a document that fit, in short, by subject and kind.
    pub fn briefs(&self, review: &Review, wanted: impl Fn(State) -> bool) -> Vec<Brief> {
        let fitting = review.briefs().filter(|brief| wanted(brief.state) && self.fits(brief.kind, &brief.subject));
        let mut briefs: Vec<Brief> = fitting.collect();
        briefs.sort_by(|a, b| (&a.subject, a.kind, a.id).cmp(&(&b.subject, b.kind, b.id)));
        briefs
    }

    /// Gives the conflicts of a document that fit, by subject and kind.
    pub fn conflicts(&self, review: &Review, wanted: impl Fn(State) -> bool) -> Vec<Conflict> {
        self.briefs(review, wanted).into_iter().filter_map(|brief| review.conflict(brief.id)).collect()
    }
}

fn is_about_entry(subject: &Subject, wanted: &str) -> bool {
    match subject {
        Subject::Entries(entries) => entries.iter().any(|entry| entry.as_str() == wanted),
        _ => subject.entry().is_some_and(|entry| entry.as_str() == wanted),
    }
}

fn is_about_field(subject: &Subject, wanted: &str) -> bool {
    match subject {
        Subject::Place(Place::Field(register)) => register.field.as_str() == wanted,
        Subject::Place(Place::About(name)) => name == wanted,
        Subject::Fields { fields, .. } => fields.iter().any(|field| field.as_str() == wanted),
        _ => false,
    }
}

/// A conflict that was found, among all documents that were looked at.
pub struct Found {
    all: Vec<Reviewed>,
    at: usize,
    /// The conflict.
    pub conflict: Conflict,
    /// The shortest beginning of its id.
    pub short: String,
}

impl Found {
    /// Gives its document.
    pub fn reviewed(&self) -> &Reviewed {
        &self.all[self.at]
    }

    /// Gives what names the conflict in a command: the document too, when another has a conflict of the same id.
    pub fn name(&self) -> String {
        let id = self.conflict.id;
        let is_twin = |(at, other): (usize, &Reviewed)| at != self.at && other.review.briefs().any(|one| one.id == id);
        match self.all.iter().enumerate().any(is_twin) {
            true => format!("{} --document {}", self.short, self.reviewed().short),
            false => self.short.clone(),
        }
    }

    /// Gives the shortest beginning of the id of a decision.
    pub fn short_decision(&self, id: &DecisionId) -> String {
        Shorts::of_decisions(self.all.iter().map(|reviewed| &reviewed.review)).short(id)
    }
}

/// Finds the conflict that a person means.
pub async fn conflict(node: &Node, target: &Target, who: &Who) -> CommandResult<Found> {
    let start = target.id.to_ascii_lowercase();
    if start.is_empty() || start.len() > 32 || !start.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let id = one_line(&target.id, 60);
        return Err(CommandError::new(Kind::Usage, format_args!("{id:?} is not the id of a conflict"))
            .hint("ids are hexadecimal digits, as `comity conflicts list` shows them"));
    }
    let all = review::read(node, target.document.as_deref()).await?;
    let mut fitting: Vec<(usize, ConflictId, String)> = Vec::new();
    for (at, reviewed) in all.iter().enumerate() {
        let briefs = reviewed.review.briefs().filter(|brief| brief.id.to_string().starts_with(&start));
        fitting.extend(briefs.map(|brief| {
            let row = format!(
                "{}  {}  {} {}  {}",
                brief.id,
                reviewed.label(),
                brief.kind,
                words::subject(&brief.subject),
                brief.state
            );
            (at, brief.id, row)
        }));
    }
    match fitting.as_slice() {
        [(at, id, _)] => {
            let (at, conflict) = (*at, all[*at].review.conflict(*id));
            let conflict = conflict.ok_or_else(|| not_found(&start))?;
            let short = Shorts::of_conflicts(all.iter().map(|reviewed| &reviewed.review)).short(conflict.id);
            Ok(Found { all, at, conflict, short })
        }
        [] => Err(gone(&all, &start, who).await?.unwrap_or_else(|| not_found(&start))),
        several => {
            let rows = several.iter().map(|(.., row)| row.as_str());
            let error = ambiguous(&start, "conflicts", rows);
            let are_copies = several.iter().all(|(_, id, _)| *id == several[0].1);
            Err(error.hint(if are_copies {
                "documents that were written alike have conflicts of the same id: add --document DOC"
            } else {
                "give more digits, or add --document DOC"
            }))
        }
    }
}

fn ambiguous<'a>(start: &str, what: &str, rows: impl ExactSizeIterator<Item = &'a str>) -> CommandError {
    let number = rows.len();
    let mut error = CommandError::new(Kind::Ambiguous, format_args!("{start} is the beginning of {number} {what}"));
    for row in rows.take(CANDIDATES_MAX) {
        error = error.hint(row);
    }
    if number > CANDIDATES_MAX {
        error = error.hint(format!("… and {} more", number - CANDIDATES_MAX));
    }
    error
}

fn not_found(start: &str) -> CommandError {
    CommandError::new(Kind::NotFound, format_args!("there is no conflict {start} here"))
        .hint("`comity conflicts list` shows what is open; --state all shows the others too")
        .hint("a conflict that another device has comes with `comity sync RELAY --once`")
}

/// Says what became of a conflict that was there once.
async fn gone(all: &[Reviewed], start: &str, who: &Who) -> CommandResult<Option<CommandError>> {
    for reviewed in all {
        let (declared, wanted) = (reviewed.declared.clone(), start.to_owned());
        let ended = reviewed.document.read(move |view| {
            let changes = view.document().decode_since(&Heads::default());
            Review::ended(&changes, declared, |id| id.to_string().starts_with(&wanted))
        });
        if let Some(ended) = ended.await?.first() {
            return Ok(Some(moved(reviewed, ended, who)));
        }
    }
    Ok(None)
}

fn moved(reviewed: &Reviewed, ended: &Ended, who: &Who) -> CommandError {
    let subject = words::subject(&ended.subject);
    let what = format!("conflict {} about {subject} in {} is not there any more", ended.id, reviewed.label());
    let mut error = CommandError::new(Kind::HeadsMoved, what);
    if let Some((actor, act, time_s)) = reviewed.review.author(&ended.by) {
        let change: String = ended.by.to_string().chars().take(8).collect();
        error = error.hint(format!("it went with change {change} of {}", review::by(who, actor, act, time_s)));
    }
    let now = reviewed.review.briefs().filter(|brief| brief.subject == ended.subject && brief.state.is_open());
    for brief in now.take(CANDIDATES_MAX) {
        error = error.hint(format!("now there is {} about {subject}: {}", brief.kind, brief.id));
    }
    error
}

/// Checks that a conflict waits for an answer; else says what became of it.
pub fn open_or_moved(reviewed: &Reviewed, conflict: &Conflict, who: &Who) -> CommandResult {
    if conflict.state.is_open() {
        return Ok(());
    }
    if conflict.state == State::Agreed {
        return Err(CommandError::new(Kind::NotAllowed, "everybody wrote the same: there is nothing to decide")
            .hint("`comity set` writes another value"));
    }
    let what = format!("conflict {} is {} already; nothing was written", conflict.id, conflict.state);
    let mut error = CommandError::new(Kind::HeadsMoved, what);
    for id in &conflict.decisions {
        for (record, change, act) in reviewed.review.decision(id).take(CANDIDATES_MAX) {
            let author = reviewed.review.author(&change);
            let by = author.map(|(actor, _, time_s)| review::by(who, actor, act, time_s)).unwrap_or_default();
            error =
                error.hint(format!("{} by {by}: decision {}", words::choice(record.choice), one_line(id.as_str(), 60)));
        }
    }
    Err(error.hint("`comity undo DECISION` opens it again, and so does `comity conflicts reopen ID` after a dismissal"))
}

/// A decision that was found.
pub struct FoundDecision {
    all: Vec<Reviewed>,
    at: usize,
    /// The decision.
    pub id: DecisionId,
}

impl FoundDecision {
    /// Gives its document.
    pub fn reviewed(&self) -> &Reviewed {
        &self.all[self.at]
    }
}

/// Finds the decision that a person means.
pub async fn decision(node: &Node, start: &str, document: Option<&str>) -> CommandResult<FoundDecision> {
    let all = review::read(node, document).await?;
    let mut fitting: Vec<(usize, DecisionId, String)> = Vec::new();
    for (at, reviewed) in all.iter().enumerate() {
        for id in reviewed.review.decisions().filter(|id| id.as_str().starts_with(start)) {
            let record = reviewed.review.decision(id).next();
            let about = record.map(|(record, ..)| format!("{} {}", record.choice.as_str(), record.subject));
            let about = one_line(&about.unwrap_or_default(), words::SUBJECT_MAX);
            fitting.push((at, id.clone(), format!("{}  {}  {about}", one_line(id.as_str(), 60), reviewed.label())));
        }
    }
    match fitting.as_slice() {
        [(at, id, _)] => {
            let (at, id) = (*at, id.clone());
            Ok(FoundDecision { all, at, id })
        }
        [] => {
            let start = one_line(start, 60);
            Err(CommandError::new(Kind::NotFound, format_args!("there is no decision {start:?} here"))
                .hint("`comity conflicts show ID` lists the decisions about a conflict"))
        }
        several => {
            let rows = several.iter().map(|(.., row)| row.as_str());
            Err(ambiguous(&one_line(start, 60), "decisions", rows).hint("give more of it, or --document DOC"))
        }
    }
}
