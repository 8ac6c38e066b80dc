//! Three-way merges of other tools as two devices' concurrent changes.
//!
//! Whoever comes from files in version control has a record thrice: as it was (*base*), and as two people left it (*ours*,
//! *theirs*). [`flatten`] turns a record into registers, one for each leaf; [`Edits`] says what each of the three wrote;
//! [`Merged`] lets three devices write it, synchronises them with each other as devices do, and tells what became of every
//! leaf: changed by one, by both alike, by both differently, or (which must never be) lost without a word.
//!
//! Where a leaf stands. The record `{"title": "T", "stats": {"chrome": {"10": "y"}}}` under the root `record` makes the
//! registers `record/title` and `record.stats.chrome/10`: the last part of the path is the field, all before it the entry.
//! What may not stand in a name is written as `%` and two hexadecimal digits.
//!
//! A list is one leaf as a rule. Positions name nothing: when one person puts a line in front, the other's edit of the
//! third line is one of the fourth, and a merge by position joins halves of different things without a word. As one leaf
//! the two edits are a conflict, which people see. [`Arrays::ByPosition`] is for lists whose positions mean something.
//!
//! A register cannot be taken away, so a leaf that is gone is [`Value::Null`](comity_model::Value::Null). JSON's own
//! `null`, an empty object and a list are texts that begin with `json:`; a text that begins so itself is written as such a
//! literal too, so that nothing means two things.

mod flatten;
mod leaf;
mod merged;
mod outcome;
mod path;

pub use flatten::{Arrays, Clash, FlattenOptions, InvalidRecord, Leaves, clashes, flatten, unflatten};
pub use leaf::{is_gone, leaf_of, value_of};
pub use merged::{Edits, MergeError, Merged, Moments, ThreeWay};
pub use outcome::{Fate, LeafOutcome, Relation, Rule, Who, relation};
