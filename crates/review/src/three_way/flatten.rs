//! Records as leaves, and back.

use std::collections::BTreeMap;

use comity_model::{EntryId, InvalidKey, Limits, RegisterKey, Value};
use serde_json::{Map, Value as Json};

use super::leaf::{is_gone, leaf_of, value_of};
use super::path::{self, Step};

/// The leaves of a record, by register.
pub type Leaves = BTreeMap<RegisterKey, Value>;

/// What to make of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrays {
    /// One leaf. Two people who change it differently are in conflict, whatever they changed.
    Whole,
    /// A leaf for each position. Right only where positions mean something, as in a row of cells.
    ByPosition,
}

/// How a record becomes leaves, and how large it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlattenOptions {
    /// The entry of the leaves at the top; others stand below it.
    pub root: EntryId,
    /// What to make of a list.
    pub arrays: Arrays,
    /// Most objects and lists around a leaf.
    pub depth_max: usize,
    /// Most leaves.
    pub leaves_max: usize,
    /// Longest value, in bytes.
    pub value_bytes_max: usize,
}

impl FlattenOptions {
    /// What one edit can write, with lists as one leaf each.
    pub fn new(root: EntryId) -> Self {
        let limits = Limits::default();
        Self {
            root,
            arrays: Arrays::Whole,
            depth_max: 32,
            leaves_max: limits.edit_writes_max,
            value_bytes_max: limits.value_bytes_max,
        }
    }
}

/// Says why a record cannot become leaves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecord {
    /// Not an object.
    #[error("a record is a JSON object, this is something else")]
    NotAnObject,
    /// Too deep.
    #[error("the record is nested more than {max} deep below {at}")]
    TooDeep {
        /// Where, cut to what is allowed.
        at: String,
        /// The bound.
        max: usize,
    },
    /// Too many leaves.
    #[error("the record has more than {max} leaves: split it")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// A value is too long.
    #[error("the value of {register} has {actual} bytes, {max} are allowed")]
    ValueTooLong {
        /// Where.
        register: String,
        /// Its length.
        actual: usize,
        /// The bound.
        max: usize,
    },
    /// A path is too long for a name.
    #[error("a path of the record makes no register: {0}")]
    Key(#[from] InvalidKey),
}

/// Turns a record into its leaves. An empty object is a leaf, unless it is the record itself.
///
/// # Errors
/// When it is no object, or beyond a bound.
pub fn flatten(record: &Json, options: &FlattenOptions) -> Result<Leaves, InvalidRecord> {
    let Json::Object(members) = record else { return Err(InvalidRecord::NotAnObject) };
    let mut walk = Walk { options, steps: Vec::new(), leaves: Leaves::new() };
    for (key, value) in members {
        walk.below(Step::Key(key.clone()), value)?;
    }
    Ok(walk.leaves)
}

struct Walk<'a> {
    options: &'a FlattenOptions,
    steps: Vec<Step>,
    leaves: Leaves,
}

impl Walk<'_> {
    fn below(&mut self, step: Step, value: &Json) -> Result<(), InvalidRecord> {
        let max = self.options.depth_max;
        if self.steps.len() >= max {
            let at =
                path::to_register(&self.options.root, &self.steps).map_or_else(|e| e.to_string(), |r| r.to_string());
            return Err(InvalidRecord::TooDeep { at, max });
        }
        self.steps.push(step);
        match value {
            Json::Object(members) if !members.is_empty() => {
                for (key, value) in members {
                    self.below(Step::Key(key.clone()), value)?;
                }
            }
            Json::Array(items) if !items.is_empty() && self.options.arrays == Arrays::ByPosition => {
                for (index, value) in items.iter().enumerate() {
                    self.below(Step::Index(index), value)?;
                }
            }
            leaf => self.leaf(leaf)?,
        }
        self.steps.pop();
        Ok(())
    }

    fn leaf(&mut self, leaf: &Json) -> Result<(), InvalidRecord> {
        let register = path::to_register(&self.options.root, &self.steps)?;
        if self.leaves.len() >= self.options.leaves_max {
            return Err(InvalidRecord::TooMany { max: self.options.leaves_max });
        }
        // A list is walked once more here, and may be nested deeper than what is walked by `below`.
        if !within(leaf, self.options.depth_max - self.steps.len()) {
            return Err(InvalidRecord::TooDeep { at: register.to_string(), max: self.options.depth_max });
        }
        let value = value_of(leaf);
        let (actual, max) = (value.size_bytes(), self.options.value_bytes_max);
        if actual > max {
            return Err(InvalidRecord::ValueTooLong { register: register.to_string(), actual, max });
        }
        self.leaves.insert(register, value);
        Ok(())
    }
}

/// Tells whether no more than so many objects and lists are around any scalar in it.
fn within(json: &Json, depth: usize) -> bool {
    let inside = |value| depth > 0 && within(value, depth - 1);
    match json {
        Json::Array(items) => items.iter().all(inside),
        Json::Object(members) => members.values().all(inside),
        _ => true,
    }
}

/// A leaf that stands where other leaves have their way: one person made an object of what the other made a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The leaf.
    pub leaf: RegisterKey,
    /// One that stands below it.
    pub below: RegisterKey,
}

/// Lists the leaves that JSON cannot hold together. Registers can: nothing is lost, but no record is both.
///
/// An empty object with something in it is none: it is simply no longer empty.
pub fn clashes(leaves: &Leaves, root: &EntryId) -> Vec<Clash> {
    let mut found = Vec::new();
    let mut by_path = BTreeMap::new();
    for (register, value) in leaves.iter().filter(|(_, value)| !is_gone(value)) {
        let Some(steps) = path::from_register(root, register) else { continue };
        by_path.insert(spelled(&steps), (register, value));
    }
    for (path, (below, _)) in &by_path {
        for shorter in 1..path.len() {
            let Some((leaf, value)) = by_path.get(&path[..shorter]) else { continue };
            if !is_empty_container(value) {
                found.push(Clash { leaf: (*leaf).clone(), below: (*below).clone() });
            }
        }
    }
    found
}

fn spelled(steps: &[Step]) -> Vec<String> {
    let spell = |step: &Step| match step {
        Step::Key(key) => format!("k{key}"),
        Step::Index(index) => format!("i{index}"),
    };
    steps.iter().map(spell).collect()
}

fn is_empty_container(value: &Value) -> bool {
    matches!(leaf_of(value), Some(Json::Object(members)) if members.is_empty())
        || matches!(leaf_of(value), Some(Json::Array(items)) if items.is_empty())
}

/// Turns leaves back into a record. Where a value and an object want the same place, the object has it; see [`clashes`].
/// Registers that are not below the root are passed over.
pub fn unflatten(leaves: &Leaves, root: &EntryId) -> Json {
    let mut top = Tree::default();
    for (register, value) in leaves {
        let (Some(steps), Some(leaf)) = (path::from_register(root, register), leaf_of(value)) else { continue };
        let mut at = &mut top;
        for step in &steps {
            at = match step {
                Step::Key(key) => at.members.entry(key.clone()).or_default(),
                Step::Index(index) => at.items.entry(*index).or_default(),
            };
        }
        at.leaf = Some(leaf);
    }
    top.leaf = Some(Json::Object(Map::new()));
    top.into_json()
}

/// A record under construction. Places in a list that nobody filled close up, as they do when people remove a line.
#[derive(Default)]
struct Tree {
    leaf: Option<Json>,
    members: BTreeMap<String, Tree>,
    items: BTreeMap<usize, Tree>,
}

impl Tree {
    fn into_json(self) -> Json {
        if !self.members.is_empty() {
            Json::Object(self.members.into_iter().map(|(key, below)| (key, below.into_json())).collect())
        } else if !self.items.is_empty() {
            Json::Array(self.items.into_values().map(Self::into_json).collect())
        } else {
            self.leaf.unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests;
