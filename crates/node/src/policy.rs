//! The policies that spaces carry.
//!
//! A policy is an entry of the space document, `policy:` and the first 16 digits of its hash, with its text and its
//! epoch. Of those that can be read, the one with the greatest epoch and hash is in force: the same on every device that
//! has the same changes, and two devices that set one at the same time need not ask each other.

use std::collections::BTreeMap;

use comity_crdt::Entry;
use comity_model::{ChangeHash, EntryId, SpaceId, Value};
use comity_review::{Policy, PolicyError};

use crate::space::SPACE_KIND;
use crate::{Document, Editor, Node, NodeError};

/// Begins the ids of the entries that hold policies. No document id does.
const PREFIX: &str = "policy:";

/// A policy as a space carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct CarriedPolicy {
    /// The first 16 digits of its hash, as its entry says.
    pub name: String,
    /// Its epoch; of a policy that cannot be read, what its entry says of it.
    pub epoch: Option<u64>,
    /// Its text.
    pub text: String,
    /// How it stands.
    pub standing: PolicyStanding,
    /// What it says, when it can be read.
    pub policy: Option<Policy>,
}

/// How a policy of a space stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyStanding {
    /// It is in force.
    InForce,
    /// Another with a greater epoch, or at the same epoch with a greater hash, is in force.
    Replaced,
    /// It was taken away.
    Removed,
    /// This release cannot read it. If another can, that one may apply it.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// What came of setting a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySet {
    /// The policy, which is in force now.
    pub policy: Policy,
    /// The change; `None` when the policy was in force already.
    pub change: Option<ChangeHash>,
}

/// Says why a policy was not set. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetPolicyError {
    /// The text is no policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Another policy would stay in force.
    #[error("epoch {given} is not greater than {in_force}, that of the policy in force: use {}", in_force.saturating_add(1))]
    NotNewer {
        /// The epoch of the policy that was to be set.
        given: u64,
        /// The epoch of the policy in force.
        in_force: u64,
    },
    /// The document is not here, or is no space.
    #[error("the list of the space {space} is not on this device yet, or it is no space")]
    NoSpace {
        /// Which.
        space: SpaceId,
    },
    /// The edit failed.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl Node {
    /// Puts a policy into force in a space: for this device at once, for the others when they hear of it.
    ///
    /// # Errors
    /// When the text is no policy, its epoch is not greater than that of the policy in force, the space is not here, or
    /// the edit is refused.
    pub async fn set_policy(&self, space: SpaceId, text: &str) -> Result<PolicySet, SetPolicyError> {
        let policy = Policy::parse(text)?;
        let (new, text) = (policy.clone(), text.to_owned());
        let list = self.document(space.document());
        let edited = list.edit(move |edit| {
            write(edit, space, &new, text).map_err(|error| match error {
                SetPolicyError::Node(error) => error,
                error => NodeError::Application(Box::new(error)),
            })
        });
        match edited.await {
            Ok(change) => Ok(PolicySet { policy, change }),
            Err(NodeError::Application(error)) => Err(match error.downcast::<SetPolicyError>() {
                Ok(error) => *error,
                Err(error) => SetPolicyError::Node(NodeError::Application(error)),
            }),
            Err(error) => Err(SetPolicyError::Node(error)),
        }
    }

    /// Gives the policy that is in force in a space; without one, a person decides everything.
    ///
    /// # Errors
    /// When the space document cannot be loaded.
    pub async fn policy(&self, space: SpaceId) -> Result<Option<Policy>, NodeError> {
        let policies = self.policies(space).await?.into_iter();
        Ok(policies.filter(|carried| carried.standing == PolicyStanding::InForce).find_map(|carried| carried.policy))
    }

    /// Gives all policies of a space: the one in force first, then the others by falling epoch.
    ///
    /// # Errors
    /// When the space document cannot be loaded.
    pub async fn policies(&self, space: SpaceId) -> Result<Vec<CarriedPolicy>, NodeError> {
        Ok(carried(self.document(space.document()).read(|view| view.entries()).await?))
    }

    /// Gives the policy that is in force for a document: that of the space it belongs to.
    ///
    /// # Errors
    /// When the document or its space cannot be loaded.
    pub async fn policy_of(&self, document: &Document) -> Result<Option<Policy>, NodeError> {
        let space = document.read(|view| view.about("space")).await?;
        match space.as_ref().and_then(Value::as_text).and_then(|space| space.parse().ok()) {
            Some(space) => self.policy(space).await,
            None => Ok(None),
        }
    }
}

fn write(edit: &mut Editor<'_>, space: SpaceId, policy: &Policy, text: String) -> Result<(), SetPolicyError> {
    if edit.document().kind().is_none_or(|kind| kind.as_str() != SPACE_KIND) {
        return Err(SetPolicyError::NoSpace { space });
    }
    let others = carried(edit.document().entries(None));
    let in_force = others.iter().find(|other| other.standing == PolicyStanding::InForce);
    if let Some(in_force) = in_force.and_then(|carried| carried.policy.as_ref()) {
        if in_force.hash() == policy.hash() {
            return Ok(());
        }
        if policy.epoch() <= in_force.epoch() {
            return Err(SetPolicyError::NotNewer { given: policy.epoch(), in_force: in_force.epoch() });
        }
    }
    let entry = format!("{PREFIX}{}", name(policy));
    let epoch = i64::try_from(policy.epoch()).map_or(Value::Uint(policy.epoch()), Value::Int);
    let was_removed = EntryId::new(&entry).ok().and_then(|entry| edit.entry(&entry)).is_some_and(|there| there.deleted);
    if was_removed {
        edit.restore(&entry)?;
    }
    edit.set(&entry, "text", text)?;
    edit.set(&entry, "epoch", epoch)?;
    Ok(())
}

fn name(policy: &Policy) -> String {
    policy.short_hash().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the policies among the entries of a space.
fn carried(entries: BTreeMap<EntryId, Entry>) -> Vec<CarriedPolicy> {
    let mut all: Vec<CarriedPolicy> = entries.into_iter().filter_map(|(id, entry)| read(&id, &entry)).collect();
    let live = all.iter().filter(|carried| carried.standing == PolicyStanding::Replaced);
    let in_force = Policy::in_force(live.filter_map(|carried| carried.policy.as_ref())).map(Policy::hash);
    for carried in &mut all {
        let hash = carried.policy.as_ref().map(Policy::hash);
        if carried.standing == PolicyStanding::Replaced && hash == in_force {
            carried.standing = PolicyStanding::InForce;
        }
    }
    all.sort_by(|a, b| {
        let is_behind = |one: &CarriedPolicy| one.standing != PolicyStanding::InForce;
        let hash = |one: &CarriedPolicy| one.policy.as_ref().map(Policy::hash);
        let rising = (is_behind(a)).cmp(&is_behind(b));
        rising.then_with(|| (b.epoch, hash(b), &b.name).cmp(&(a.epoch, hash(a), &a.name)))
    });
    all
}

/// Reads an entry of a space; `None` when it is no policy.
fn read(id: &EntryId, entry: &Entry) -> Option<CarriedPolicy> {
    let name_given = id.as_str().strip_prefix(PREFIX)?.to_owned();
    let field = |name: &str| entry.fields.iter().find(|(field, _)| field.as_str() == name).map(|(_, value)| value);
    let text = field("text").and_then(Value::as_text);
    let read = match text {
        None => Err("it has no text".to_owned()),
        Some(text) => Policy::parse(text).map_err(|error| error.to_string()),
    };
    // Whoever wrote a text under the name of another policy did not set either.
    let read = read.and_then(|policy| match name(&policy) {
        name if name == name_given => Ok(policy),
        name => Err(format!("its text is that of the policy {name}")),
    });
    let epoch = match (&read, field("epoch")) {
        (Ok(policy), _) => Some(policy.epoch()),
        (Err(_), Some(Value::Int(epoch))) => u64::try_from(*epoch).ok(),
        (Err(_), Some(Value::Uint(epoch))) => Some(*epoch),
        _ => None,
    };
    let (policy, standing) = match read {
        _ if entry.deleted => (read.ok(), PolicyStanding::Removed),
        Ok(policy) => (Some(policy), PolicyStanding::Replaced),
        Err(why) => (None, PolicyStanding::Unreadable { why }),
    };
    Some(CarriedPolicy { name: name_given, epoch, text: text.unwrap_or_default().to_owned(), standing, policy })
}

#[cfg(test)]
mod tests;
