//! The reviews of the documents here, for the commands that show conflicts and answer them.

use std::collections::BTreeSet;
use std::fmt;

use comity_model::{Act, ActorId, ChangeHash, Heads, Timestamp, Write};
use comity_node::{Document, Editor, Node, NodeError};
use comity_review::{ConflictId, Declarations, KindPolicy, Review, State};

use crate::error::{CommandError, CommandResult, Kind};
use crate::names::{self, Known, Sort};
use crate::output::one_line;

/// Gives what the policy of a document's space declares for its kind.
pub async fn declarations(node: &Node, document: &Document) -> CommandResult<Declarations> {
    Ok(policy(node, document).await?.as_ref().map(Declarations::from).unwrap_or_default())
}

/// Gives what the policy of a document's space says of its kind, when there is one.
pub async fn policy(node: &Node, document: &Document) -> CommandResult<Option<KindPolicy>> {
    let kind = document.read(|view| view.kind()).await?;
    let policy = node.policy_of(document).await?;
    Ok(kind.and_then(|kind| policy?.kind(&kind).cloned()))
}

/// A document with its conflicts, as it was when it was read.
pub struct Reviewed {
    /// The document.
    pub document: Document,
    /// How lists show it.
    pub known: Known,
    /// The shortest beginning of its id that no other document here has.
    pub short: String,
    /// Its heads then.
    pub heads: Heads,
    /// Its conflicts then.
    pub review: Review,
    /// What was declared for it.
    pub declared: Declarations,
}

/// Reviews the documents here, by id; only one when it is named. The cost follows their whole history.
pub async fn read(node: &Node, only: Option<&str>) -> CommandResult<Vec<Reviewed>> {
    let only = match only {
        Some(name) => Some(names::find(node, name, Sort::Document).await?),
        None => None,
    };
    let known = names::all(node).await?;
    let short = names::short_ids(&known);
    let mut all = Vec::new();
    for (known, short) in known.into_iter().zip(short) {
        if only.is_some_and(|id| id != known.id) {
            continue;
        }
        if !known.is_here {
            match only {
                Some(id) => return Err(crate::commands::not_here(&id)),
                None => continue,
            }
        }
        let document = node.document(known.id);
        let declared = declarations(node, &document).await?;
        let (heads, review) = look(&document, declared.clone()).await?;
        all.push(Reviewed { document, known, short, heads, review, declared });
    }
    if let (Some(id), true) = (only, all.is_empty()) {
        return Err(crate::commands::not_here(&id));
    }
    Ok(all)
}

async fn look(document: &Document, declared: Declarations) -> CommandResult<(Heads, Review)> {
    Ok(document.read(move |view| (view.heads(), view.review(declared))).await?)
}

impl Reviewed {
    /// Its title, for a person.
    pub fn label(&self) -> String {
        self.known.label()
    }

    /// Reads the document anew.
    pub async fn again(&self) -> CommandResult<(Heads, Review)> {
        look(&self.document, self.declared.clone()).await
    }

    /// Gives the review as it was at older heads; `None` when they are not part of the document here.
    pub async fn at(&self, heads: &Heads) -> CommandResult<Option<Review>> {
        let (heads, declared) = (heads.clone(), self.declared.clone());
        Ok(self.document.read(move |view| Review::at(view.document(), &heads, declared)).await?)
    }

    /// Makes a decision, or several, as one change at the heads `at`. When the document has changed since it was read, then
    /// only if all these conflicts are still in these states.
    pub async fn decide(
        &self,
        at: &Heads,
        conflicts: Vec<(ConflictId, State)>,
        writes: Vec<Write>,
    ) -> CommandResult<Option<ChangeHash>> {
        let (seen, declared) = (self.heads.clone(), self.declared.clone());
        let edit = move |edit: &mut Editor<'_>| {
            if *edit.document().heads() != seen {
                let review = Review::of(edit.document(), declared);
                let stands = |id, state| review.conflict(id).is_some_and(|conflict| conflict.state == state);
                if let Some((conflict, _)) = conflicts.into_iter().find(|(id, state)| !stands(*id, *state)) {
                    let now = edit.document().heads().to_string();
                    return Err(NodeError::Application(Box::new(Overtaken { conflict, now })));
                }
            }
            edit.decide(writes);
            Ok(())
        };
        self.document.edit_at(at.clone(), edit).await.map_err(|error| match error {
            NodeError::Application(error) if error.is::<Overtaken>() => {
                CommandError::new(Kind::HeadsMoved, error).hint("`comity conflicts list` shows what is open now")
            }
            error => error.into(),
        })
    }
}

/// Somebody else was quicker, while the answer was on its way.
#[derive(Debug)]
struct Overtaken {
    conflict: ConflictId,
    now: String,
}

impl fmt::Display for Overtaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conflict, now } = self;
        write!(
            f,
            "conflict {conflict} changed while it was answered: the document is at {now} now; nothing was written"
        )
    }
}

impl std::error::Error for Overtaken {}

/// Ids of which the shortest beginnings that no other has are wanted.
pub struct Shorts(Vec<String>);

impl Shorts {
    /// Shortest piece of an id that is shown.
    const MIN: usize = 4;

    /// Knows these ids. One that several documents have counts once.
    pub fn of(ids: impl IntoIterator<Item = impl ToString>) -> Self {
        let ids: BTreeSet<String> = ids.into_iter().map(|id| id.to_string()).collect();
        Self(ids.into_iter().collect())
    }

    /// Knows all conflicts of these documents.
    pub fn of_conflicts<'a>(all: impl IntoIterator<Item = &'a Review>) -> Self {
        Self::of(all.into_iter().flat_map(Review::briefs).map(|brief| brief.id))
    }

    /// Knows all decisions of these documents.
    pub fn of_decisions<'a>(all: impl IntoIterator<Item = &'a Review>) -> Self {
        Self::of(all.into_iter().flat_map(Review::decisions))
    }

    /// Gives the shortest beginning of an id.
    pub fn short(&self, id: impl ToString) -> String {
        let text = id.to_string();
        let at = self.0.partition_point(|other| *other < text);
        let shared = |other: &String| text.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        let before = at.checked_sub(1).and_then(|before| self.0.get(before));
        let after = self.0[at..].iter().find(|other| **other != text);
        let longest = before.into_iter().chain(after).map(shared).max().unwrap_or(0);
        one_line(&text.chars().take(Self::MIN.max(longest + 1)).collect::<String>(), 128)
    }
}

/// Gives the moment of a change, by its author's clock; `None` when they did not say.
pub fn moment(act: Option<Act>, time_s: i64) -> Option<Timestamp> {
    match act {
        Some(act) => Some(Timestamp::from_unix_ms(act.time.wall_ms)),
        None if time_s == 0 => None,
        None => Some(Timestamp::from_unix_ms(time_s.saturating_mul(1_000))),
    }
}

/// Gives the moment that it is now.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Says how long ago something was, in one unit.
pub fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    let Some(then) = then else { return "unknown".to_owned() };
    let minutes = now.unix_ms.saturating_sub(then.unix_ms) / 60_000;
    match minutes {
        // Clocks differ a little.
        -2..=0 => "now".to_owned(),
        ..-2 => "in the future".to_owned(),
        1..=119 => format!("{minutes} min"),
        120..=2_879 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

/// Says who made a change and when, for a person.
pub fn by(who: &names::Who, actor: &ActorId, act: Option<Act>, time_s: i64) -> String {
    match moment(act, time_s) {
        Some(time) => format!("{}, {} by its clock", who.name(actor), crate::commands::clock(time)),
        None => format!("{}, at a time not said", who.name(actor)),
    }
}

#[cfg(test)]
mod tests {
    use comity_node::{NewDocument, NodeConfig};
    use comity_review::{Answer, DecisionId, Note};

    use super::*;

    #[test]
    fn ids_are_as_short_as_can_be_and_not_shorter_than_four() {
        let shorts = Shorts::of(["aabbccdd", "aabbccee", "ff001122", "aabbccdd"]);
        assert_eq!(shorts.short("aabbccdd"), "aabbccd");
        assert_eq!(shorts.short("aabbccee"), "aabbcce");
        assert_eq!(shorts.short("ff001122"), "ff00");
    }

    #[test]
    fn ages_are_said_in_one_unit() {
        let at = |minutes: i64| Timestamp::from_unix_ms(minutes * 60_000);
        let said = |minutes: i64| age(Some(at(10_000 - minutes)), at(10_000));
        assert_eq!([0, 1, 119, 120, 2_879, 2_880].map(said), ["now", "1 min", "119 min", "2 h", "47 h", "2 d"]);
        assert_eq!((said(-2), said(-3)), ("now".to_owned(), "in the future".to_owned()));
        assert_eq!(age(None, at(0)), "unknown");
    }

    /// A node with a document in which two edits at the same heads stand against each other.
    async fn disputed() -> (tempfile::TempDir, Node, Document) {
        let folder = tempfile::tempdir().unwrap();
        let (node, _) = Node::open(NodeConfig::device(folder.path())).await.unwrap();
        let document = node.create(NewDocument::new("audit".parse().unwrap(), "Roof 7")).await.unwrap();
        document.set("M050", "status", "ok").await.unwrap();
        let seen = document.read(|view| view.heads()).await.unwrap();
        for status in ["dead", "microcracks"] {
            document.edit_at(seen.clone(), move |edit| edit.set("M050", "status", status)).await.unwrap();
        }
        (folder, node, document)
    }

    #[tokio::test]
    async fn an_answer_on_its_way_is_written_only_while_its_conflict_stands() {
        // S1.7: nobody decides over what they have not seen.
        let (_folder, node, document) = disputed().await;
        let reviewed = read(&node, None).await.unwrap().remove(0);
        let conflict = reviewed.review.conflicts(State::is_open).remove(0);
        let id = DecisionId::from_random([1; 12]);
        let writes = reviewed.review.decide(&conflict, &Answer::Accept(0), &Note::default(), &id).unwrap();
        let about = || vec![(conflict.id, conflict.state)];
        document.set("M051", "status", "ok").await.unwrap();
        document.set("M050", "status", "string_open").await.unwrap();
        let moved = reviewed.decide(&reviewed.heads, about(), writes).await.unwrap_err();
        assert_eq!(moved.kind, Kind::HeadsMoved, "{}", moved.message());
        assert!(moved.message().contains("nothing was written"), "{}", moved.message());
        node.close().await.unwrap();

        let (_folder, node, document) = disputed().await;
        let reviewed = read(&node, None).await.unwrap().remove(0);
        let conflict = reviewed.review.conflicts(State::is_open).remove(0);
        let writes = reviewed.review.decide(&conflict, &Answer::Accept(0), &Note::default(), &id).unwrap();
        document.set("M051", "status", "ok").await.unwrap();
        let written = reviewed.decide(&reviewed.heads, vec![(conflict.id, conflict.state)], writes).await.unwrap();
        assert!(written.is_some(), "what moved is about something else");
        let (heads, review) = reviewed.again().await.unwrap();
        assert_eq!(heads.as_slice().len(), 2, "the answer was made at what its author had seen");
        assert_eq!(review.conflict(conflict.id).unwrap().state, State::Resolved);
        node.close().await.unwrap();
    }
}
