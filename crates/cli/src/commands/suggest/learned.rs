//! What is to be learned here, and what an open conflict is about.

use comity_model::{ActorId, DeviceTag, SpaceId};
use comity_node::Node;
use comity_review::suggest::{self, Author, Case, PastAct, Setting};
use comity_review::{Conflict, KindPolicy, Outcome, Roles, judge};

use crate::error::CommandResult;
use crate::names::Who;
use crate::review::{self, Reviewed};

/// Whose decisions are learned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Those of a space.
    Space(SpaceId),
    /// Those of one document.
    Document(comity_model::DocumentId),
}

impl Scope {
    /// Gives the scope of a document: its space, or itself alone when it is in none.
    pub fn of(reviewed: &Reviewed) -> Self {
        reviewed.known.space.map_or(Self::Document(reviewed.known.id), Self::Space)
    }

    /// Tells whether a document is in it.
    pub fn has(self, reviewed: &Reviewed) -> bool {
        match self {
            Self::Space(space) => reviewed.known.space == Some(space),
            Self::Document(id) => reviewed.known.id == id,
        }
    }
}

/// Nobody has shown a role yet.
struct NoRoles;

impl Roles for NoRoles {
    fn role(&self, _: &DeviceTag) -> Option<&str> {
        None
    }
}

/// What a document's conflicts do not say of themselves.
pub struct Known<'a> {
    kind: &'a str,
    policy: Option<KindPolicy>,
    who: &'a Who,
}

impl<'a> Known<'a> {
    /// Looks up the policy of a document.
    pub async fn of(node: &Node, reviewed: &'a Reviewed, who: &'a Who) -> CommandResult<Self> {
        let policy = review::policy(node, &reviewed.document).await?;
        Ok(Self { kind: reviewed.known.kind.as_deref().unwrap_or_default(), policy, who })
    }

    /// Lists what was decided in the document.
    pub fn acts(&self, reviewed: &Reviewed) -> Vec<PastAct> {
        self.with(|setting| suggest::past_acts(&reviewed.review, setting))
    }

    /// Gives what a conflict is about; `None` when there are no values of one field to choose from.
    pub fn case(&self, conflict: &Conflict) -> Option<Case> {
        self.with(|setting| suggest::case(conflict, setting))
    }

    /// No role is verified yet, and nobody knows when a device had last heard of others.
    fn with<T>(&self, ask: impl FnOnce(&Setting<'_>) -> T) -> T {
        let shown = |conflict: &Conflict| match judge(self.policy.as_ref(), conflict, &NoRoles).outcome {
            Outcome::Decided { side, .. } => Some(side),
            _ => None,
        };
        let who = |device: &DeviceTag| {
            let label = self.who.name(&ActorId::for_session(*device, [0; 8]));
            Author { id: device.to_string(), label, role: None }
        };
        let uncertainty_ms =
            self.policy.as_ref().map_or(KindPolicy::CLOCK_UNCERTAINTY_MS, |policy| policy.clock_uncertainty_ms);
        ask(&Setting {
            kind: self.kind,
            shown: &shown,
            who: &who,
            ranks: 0,
            stale_ms: &|_| None,
            uncertainty_ms: i64::try_from(uncertainty_ms).unwrap_or(i64::MAX),
        })
    }
}

/// Lists what was decided in these documents, in the order of time.
pub async fn acts(node: &Node, all: &[&Reviewed], who: &Who) -> CommandResult<Vec<PastAct>> {
    let mut acts = Vec::new();
    for reviewed in all {
        acts.extend(Known::of(node, reviewed, who).await?.acts(reviewed));
    }
    Ok(acts)
}
