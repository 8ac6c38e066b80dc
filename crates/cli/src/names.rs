//! How people name documents, spaces and devices.

use comity_model::{ActorId, DocumentId, KindName, SpaceId};
use comity_node::Node;

use crate::config::Config;
use crate::error::{CommandError, CommandResult, Kind};
use crate::output::one_line;

/// The kind of the document that lists a space's documents.
pub const SPACE_KIND: &str = "space";

/// Shortest piece of an id that is shown.
const SHORT_MIN: usize = 6;

/// Candidates that are listed when a name is ambiguous.
const CANDIDATES_MAX: usize = 10;

/// A document as lists show it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id.
    pub id: DocumentId,
    /// Its kind, as the document or the list of its space says.
    pub kind: Option<String>,
    /// Its title, likewise.
    pub title: Option<String>,
    /// The space it is in.
    pub space: Option<SpaceId>,
    /// Whether something of it is on this device.
    pub is_here: bool,
    /// Whether Comity made it.
    pub is_comity: bool,
}

impl Known {
    /// Whether it is the document of a space itself.
    pub fn is_space(&self) -> bool {
        self.kind.as_deref() == Some(SPACE_KIND)
    }

    /// Its title for a person.
    pub fn label(&self) -> String {
        match &self.title {
            Some(title) => one_line(title, 60),
            None if self.is_here && !self.is_comity => "(of another application)".to_owned(),
            None => "(not here yet)".to_owned(),
        }
    }
}

/// What a name may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A document, not a space.
    Document,
    /// A space.
    Space,
}

/// Lists every document that this device has or that its spaces list, by id.
pub async fn all(node: &Node) -> CommandResult<Vec<Known>> {
    let mut known = std::collections::BTreeMap::new();
    for space in node.spaces() {
        for listed in node.listed(space).await?.into_iter().filter(|listed| !listed.removed) {
            let (kind, title) = (Some(listed.kind), Some(listed.title));
            let entry = Known { id: listed.id, kind, title, space: Some(space), is_here: false, is_comity: true };
            known.insert(listed.id, entry);
        }
        let id = space.document();
        let kind = Some(SPACE_KIND.to_owned());
        known.insert(id, Known { id, kind, title: None, space: None, is_here: false, is_comity: true });
    }
    for id in node.documents()? {
        let (kind, title, space, is_comity, is_empty) = node
            .document(id)
            .read(|view| {
                let space = view.about("space").and_then(|space| space.as_text()?.parse().ok());
                (view.kind(), view.title(), space, view.is_comity(), view.is_empty())
            })
            .await?;
        if is_empty {
            continue;
        }
        let kind = kind.map(|kind: KindName| kind.to_string());
        known.insert(id, Known { id, kind, title, space, is_here: true, is_comity });
    }
    Ok(known.into_values().collect())
}

/// Finds what a person means: a whole id, a unique title, or the unique beginning of an id.
pub async fn find(node: &Node, name: &str, sort: Sort) -> CommandResult<DocumentId> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let what = if sort == Sort::Space { "space" } else { "document" };
    let known = all(node).await?;
    let fitting: Vec<&Known> = known.iter().filter(|known| known.is_space() == (sort == Sort::Space)).collect();
    let by_title: Vec<&&Known> = fitting.iter().filter(|known| known.title.as_deref() == Some(name)).collect();
    let by_id: Vec<&&Known> = fitting.iter().filter(|known| known.id.to_string().starts_with(name)).collect();
    let found = match (by_title.as_slice(), by_id.as_slice()) {
        ([one], _) | ([], [one]) => return Ok(one.id),
        ([], []) => return Err(not_found(name, what, &fitting)),
        ([], several) | (several, _) => several,
    };
    let mut error = CommandError::new(Kind::Ambiguous, format_args!("{name:?} fits {} {what}s", found.len()));
    for known in found.iter().take(CANDIDATES_MAX) {
        error = error.hint(format!("{}  {}", known.id, known.label()));
    }
    if found.len() > CANDIDATES_MAX {
        error = error.hint(format!("… and {} more", found.len() - CANDIDATES_MAX));
    }
    Err(error.hint("use the id, or enough of its beginning"))
}

fn not_found(name: &str, what: &str, fitting: &[&Known]) -> CommandError {
    let error = CommandError::new(Kind::NotFound, format_args!("there is no {what} {:?} here", one_line(name, 60)));
    let lower = name.to_lowercase();
    let similar = fitting.iter().filter_map(|known| known.title.as_deref()).find(|title| {
        let title = title.to_lowercase();
        !lower.is_empty() && (title.contains(&lower) || lower.contains(&title))
    });
    let error = match similar {
        Some(title) => error.hint(format!("did you mean {:?}?", one_line(title, 60))),
        None => error,
    };
    match what {
        "space" => error.hint("`comity space list` shows yours; join another one by its whole id"),
        _ => error.hint("`comity doc list` shows what is here; a title with spaces needs quotes"),
    }
}

/// Gives, for each document of a list, the shortest beginning of its id that no other has.
pub fn short_ids(all: &[Known]) -> Vec<String> {
    let mut sorted: Vec<String> = all.iter().map(|known| known.id.to_string()).collect();
    sorted.sort_unstable();
    let shared = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let short = |known: &Known| {
        let text = known.id.to_string();
        let at = sorted.binary_search(&text).unwrap_or_else(|at| at);
        // In sorted order, whatever shares most stands right before or right after.
        let before = at.checked_sub(1).map_or(0, |before| shared(&sorted[before], &text));
        let after = sorted.get(at + 1).map_or(0, |after| shared(after, &text));
        text.chars().take(SHORT_MIN.max(before.max(after) + 1)).collect()
    };
    all.iter().map(short).collect()
}

/// Says who wrote: the device's label, and the beginning of its id.
#[derive(Clone, Debug)]
pub struct Who {
    own: String,
    own_name: String,
    labels: Vec<(String, String)>,
}

impl Who {
    /// Knows this device and those that the config file labels.
    pub fn new(node: &Node, config: &Config) -> Self {
        let labels = config.devices.iter().map(|(id, label)| (tag_of(id), label.clone())).collect();
        let own_name = config.name.clone().unwrap_or_else(|| "this device".to_owned());
        Self { own: node.device().tag().to_string(), own_name, labels }
    }

    /// Gives the short id of the device that an actor belongs to; `None` for other applications.
    pub fn device(actor: &ActorId) -> Option<String> {
        actor.device().map(|tag| tag.to_string())
    }

    /// Names the writer for a person.
    pub fn name(&self, actor: &ActorId) -> String {
        let Some(tag) = Self::device(actor) else {
            return format!("another application, {}", actor.to_string().chars().take(8).collect::<String>());
        };
        if tag == self.own {
            return format!("{} {tag}", self.own_name);
        }
        match self.labels.iter().find(|(known, _)| *known == tag) {
            Some((_, label)) => format!("{label} {tag}"),
            None => tag,
        }
    }
}

/// Reads the key of `[devices]`: a short id, or a whole device id.
fn tag_of(id: &str) -> String {
    match id.parse::<comity_node::DeviceId>() {
        Ok(device) => device.tag().to_string(),
        Err(_) => id.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_are_unique_and_as_short_as_can_be() {
        let known = |byte: u8, last: u8| {
            let mut bytes = [byte; 16];
            bytes[15] = last;
            let id = DocumentId::from_bytes(bytes);
            Known { id, kind: None, title: None, space: None, is_here: true, is_comity: true }
        };
        // Two that differ in the last byte only, and one that differs in all.
        let all = [known(7, 1), known(7, 2), known(200, 1)];
        let short = short_ids(&all);
        for (i, (text, document)) in short.iter().zip(&all).enumerate() {
            assert!(document.id.to_string().starts_with(text));
            let fits = all.iter().filter(|other| other.id.to_string().starts_with(text)).count();
            assert_eq!(fits, 1, "{text}");
            assert!(i < 2 || text.len() == SHORT_MIN);
        }
    }
}
