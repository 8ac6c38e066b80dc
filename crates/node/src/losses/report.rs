//! What the report of an opening says about losses.

use std::io;

use bytes::Bytes;
use comity_model::Timestamp;
use comity_store::{Damage, DamagedDocument, OpenReport};

use super::{Loss, WHAT_CHARS_MAX, table};
use crate::evidence::{Keeper, Kind, Refused};

/// Gives the documents that lost more than the state of a sync session, which the next session makes anew.
pub(super) fn losses(report: &OpenReport, since: Timestamp) -> Vec<Loss> {
    report.damaged.iter().filter(|damaged| is_loss(damaged)).map(|damaged| loss(damaged, since)).collect()
}

fn is_loss(damaged: &DamagedDocument) -> bool {
    damaged.damage.iter().any(|damage| *damage != Damage::SyncStateLost)
}

fn loss(damaged: &DamagedDocument, since: Timestamp) -> Loss {
    let heads = table::union(None, damaged.heads.clone());
    Loss { document: damaged.document, heads, what: what(damaged), since, needs_restart: false }
}

fn what(damaged: &DamagedDocument) -> String {
    let words: Vec<String> = damaged.damage.iter().map(ToString::to_string).collect();
    words.join("; ").chars().take(WHAT_CHARS_MAX).collect()
}

/// Keeps what the opening found where refused bytes are kept: it is told once, and looked for later.
///
/// # Errors
/// When it cannot be written.
pub(super) fn keep(report: &OpenReport, documents: usize, evidence: &Keeper) -> io::Result<()> {
    let mut text = String::new();
    let mut line = |words: String| text.push_str(&(words + "\n"));
    if let Some(reason) = &report.reason {
        line(format!("why the files were not trusted: {reason}"));
    }
    // Only its name: the same folder is called by more than one path, and the same report must give the same text.
    if let Some(folder) = report.set_aside.as_ref().and_then(|folder| folder.file_name()) {
        line(format!("the damaged files are in {}, in the folder of the store", folder.display()));
    }
    for (what, lost) in [
        ("acknowledged groups of the journal", report.journal.groups_lost()),
        ("segments of the journal", report.journal.segments_harmed()),
        ("rows of the list of documents", report.catalogue_rows_lost),
        ("rows of the node itself", report.meta_rows_lost),
    ] {
        if lost > 0 {
            line(format!("{what}: {lost} lost or damaged"));
        }
    }
    for damaged in &report.damaged {
        line(format!("document {}: {}", damaged.document, what(damaged)));
    }
    let reason = match documents {
        0 => "the store was damaged; no document lost anything that is known".to_owned(),
        1 => "the store was damaged; 1 document lost something".to_owned(),
        _ => format!("the store was damaged; {documents} documents lost something"),
    };
    let only = if report.damaged.len() == 1 { Some(report.damaged[0].document) } else { None };
    let size = text.len() as u64;
    let bytes = Bytes::from(text);
    evidence.keep_once(Refused { kind: Kind::Store, reason, document: only, peer: None, address: None, size, bytes })
}
