//! A fresh client: knows nothing, fetches documents, and says what it found.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use comity_crdt::{Document, SyncSession, admit};
use comity_model::{ChangeHash, DocumentId, Limits};
use comity_net::Url;

use super::ledger::Changes;
use super::line::{Cut, Line, Word};
use super::stage::{Sight, Truth};

/// Documents that are fetched at once.
const AT_ONCE: usize = 64;

/// How long the relay may say nothing while it owes documents.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What a fresh client found.
#[derive(Debug, Default)]
pub struct Found {
    /// How each document is.
    pub truth: Truth,
    /// Changes found of those that were to be there.
    pub present: usize,
    /// Changes that were to be there and are not.
    pub missing: Vec<(DocumentId, ChangeHash)>,
    /// All changes of the documents, whoever wrote them, without the constant first one.
    pub changes: usize,
}

struct Fetch {
    document: Document,
    session: SyncSession,
}

/// Fetches documents and looks for changes in them.
pub async fn fetch(url: &Url, name: &str, expected: &Changes) -> Result<Found> {
    let mut line = Line::open(url, name).await.map_err(fault).context("a fresh client cannot connect")?;
    let mut found = Found::default();
    let all: Vec<(&DocumentId, &Vec<ChangeHash>)> = expected.iter().collect();
    for some in all.chunks(AT_ONCE) {
        let fetched = fetch_some(&mut line, some.iter().map(|(document, _)| **document)).await?;
        for (id, changes) in some {
            let document = &fetched[id];
            found.truth.insert(**id, Sight::of(document));
            found.changes += document.written_count();
            for change in *changes {
                if document.contains(change) {
                    found.present += 1;
                } else {
                    found.missing.push((**id, *change));
                }
            }
        }
    }
    line.goodbye().await;
    Ok(found)
}

async fn fetch_some(
    line: &mut Line,
    documents: impl Iterator<Item = DocumentId>,
) -> Result<BTreeMap<DocumentId, Document>> {
    let limits = Limits::default();
    let mut open = BTreeMap::new();
    for id in documents {
        let mut fetch = Fetch { document: Document::new(), session: SyncSession::new() };
        let data = fetch.document.generate(&mut fetch.session).context("a fresh session has something to say")?;
        line.say(id, data, true).await.map_err(fault)?;
        open.insert(id, fetch);
    }
    let mut done = BTreeMap::new();
    while !open.is_empty() {
        let word = tokio::time::timeout(PATIENCE, line.hear()).await;
        let word = word.with_context(|| format!("{} documents do not come", open.len()))?.map_err(fault)?;
        let id = match word {
            Word::Sync(id, data) => {
                let Some(fetch) = open.get_mut(&id) else { continue };
                fetch.document.receive(&mut fetch.session, admit(&data, &limits)?, &limits)?;
                if let Some(data) = fetch.document.generate(&mut fetch.session) {
                    line.say(id, data, false).await.map_err(fault)?;
                }
                if fetch.session.peer_heads() != Some(fetch.document.heads()) {
                    continue;
                }
                id
            }
            // Nobody has it: an empty document is what there is.
            Word::Unavailable(id) => id,
        };
        if let Some(fetch) = open.remove(&id) {
            done.insert(id, fetch.document);
        }
    }
    Ok(done)
}

fn fault(cut: Cut) -> anyhow::Error {
    match cut {
        Cut::Gone(_) => anyhow!("the relay hung up on a client that fetches"),
        Cut::Fault(error) => error,
    }
}
