//! What the store lost: told by name, and told again when it is back.

use comity_node::{Loss, Node};
use comity_store::OpenReport;
use serde_json::{Value as Json, json};

use crate::commands::clock;
use crate::output::{Output, one_line};

/// Documents that are named.
const NAMED_MAX: usize = 20;

/// A loss, with the title of its document as far as that can still be read.
pub struct Named {
    /// What was lost.
    pub loss: Loss,
    title: Option<String>,
}

impl Named {
    /// Names the document for a person.
    pub fn label(&self) -> String {
        match &self.title {
            Some(title) => format!("{} ({})", one_line(title, 60), self.loss.document),
            None => format!("document {}", self.loss.document),
        }
    }

    /// Says what was lost and when that was found.
    pub fn line(&self) -> String {
        format!("{}: {}; found {}", self.label(), self.loss.what, clock(self.loss.since))
    }
}

/// Gives the open losses with the names that people know.
pub async fn open(node: &Node) -> Vec<Named> {
    let mut named = Vec::new();
    for loss in node.losses() {
        let own = node.document(loss.document).read(|view| view.title()).await.ok().flatten();
        let title = match own {
            Some(title) => Some(title),
            None => listed(node, &loss).await,
        };
        named.push(Named { loss, title });
    }
    named
}

/// Looks for the title of a document in the lists of the spaces.
async fn listed(node: &Node, loss: &Loss) -> Option<String> {
    for space in node.spaces() {
        // A list may be lost too: then there is no name.
        let listed = node.listed(space).await.unwrap_or_default();
        if let Some(listed) = listed.into_iter().find(|listed| listed.id == loss.document) {
            return Some(listed.title);
        }
    }
    None
}

/// Tells what an opening found.
pub async fn say(output: Output, node: &Node, report: &OpenReport) {
    output.warn("the store was damaged; what could be saved was saved");
    if let Some(reason) = &report.reason {
        output.warn(reason);
    }
    let open = open(node).await;
    for named in open.iter().take(NAMED_MAX) {
        output.warn(format_args!("lost: {}", named.line()));
    }
    if open.len() > NAMED_MAX {
        output.warn(format_args!("… and {} more documents; `comity status` lists them", open.len() - NAMED_MAX));
    }
    if let Some(folder) = &report.set_aside {
        output.warn(format_args!("the damaged files are in {}", folder.display()));
    }
    output.note("a sync with a relay brings back what it has; `comity evidence list` keeps the report");
}

/// Gives losses as JSON.
pub fn to_json(named: &[Named]) -> Vec<Json> {
    let row = |named: &Named| {
        json!({
            "document": named.loss.document.to_string(), "title": named.title, "what": named.loss.what,
            "since": named.loss.since.to_string(),
        })
    };
    named.iter().map(row).collect()
}
