//! S1.6: every device applies the same policy, and knows by its hash that it does.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use crate::policy::Policy;

fn hash(text: &str) -> [u8; 32] {
    Policy::parse(text).unwrap().hash()
}

const ONE: &str = "[kind.a]\ndefault = ['merge-fields', 'manual']\ngroups = [['x', 'y'], ['x', 'z']]\n\
                   natural-key = ['p', 'q']\n[kind.a.field.x]\nalways-manual = ['v', 'w']\ndepends-on = ['y', 'z']\n\
                   [[kind.a.invariant]]\nname = 'i'\nexpr = 'about.m == 1'\n[[kind.a.invariant]]\nname = 'j'\n\
                   expr = 'unique(x)'\n[kind.b]\n";

#[test]
fn how_a_policy_is_written_does_not_matter() {
    let other = "# A comment.\nepoch = 0x1\nkind.b = {}\n[[kind.a.invariant]]\nexpr = \"((unique( x )))\"\nname = 'j'\n\
                 [[kind.a.invariant]]\nexpr = 'about.m==1'\nname = \"i\"\n[kind.a]\nclock-uncertainty = '1min'\n\
                 natural-key = ['q', 'p']\ngroups = [['z', 'x'], ['y', 'x']]\n\
                 default = [  \"merge-fields\",\n \"manual\", ]\n\
                 [kind.a.field]\nx.depends-on = ['z', 'y']\nx.always-manual = ['w', 'v']\nx.second-reviewer = false\n\
                 y = {}\n";
    assert_eq!(hash(ONE), hash(other));
    assert_eq!(Policy::parse(ONE).unwrap(), Policy::parse(other).unwrap());
}

#[test]
fn what_a_policy_says_does_matter() {
    let changes = [
        ("'merge-fields', 'manual'", "'merge-fields'"),
        ("'merge-fields', 'manual'", "'suggested', 'merge-fields', 'manual'"),
        ("['x', 'y'], ", ""),
        ("natural-key = ['p', 'q']\n", ""),
        ("['v', 'w']", "['v', 'u']"),
        ("['v', 'w']", "['v', 1]"),
        ("depends-on = ['y', 'z']", "depends-on = ['y']"),
        ("depends-on", "second-reviewer = true\ndepends-on"),
        ("depends-on", "policy = []\ndepends-on"),
        ("about.m == 1", "about.m == 2"),
        ("'j'", "'k'"),
        ("[kind.b]", "[kind.c]"),
        ("[kind.b]", ""),
        ("[kind.a]\n", "[kind.a]\nclock-uncertainty = '59s'\n"),
    ];
    let mut hashes = vec![hash(ONE), hash(&format!("epoch = 2\n{ONE}")), hash("")];
    hashes.extend(changes.map(|(from, to)| hash(&ONE.replace(from, to))));
    let roles = |order: &str| hash(&format!("[kind.a]\ndefault = ['user-priority']\norder = {order}"));
    hashes.extend([roles("['x', 'y']"), roles("['y', 'x']"), roles("['xy']")]);
    let rules = |rules: &str| hash(&format!("[kind.a]\ndefault = {rules}"));
    hashes.extend([rules("['merge-fields', 'last-write-wins']"), rules("['last-write-wins', 'merge-fields']")]);
    let count = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

/// A release that hashes otherwise would call the policies of all spaces unknown.
#[test]
fn the_hash_of_a_policy_never_changes() {
    let policy = Policy::parse(ONE).unwrap();
    assert_eq!(HEXLOWER.encode(&policy.hash()), "c6c58e18bd4da4f0550c2b62dfcac9e16761f3e5566c94010dc2fd3ec8d2b3b5");
    assert_eq!(policy.short_hash(), policy.hash()[..8]);
}

#[test]
fn the_greatest_epoch_is_in_force_and_of_equal_ones_the_greatest_hash() {
    let policies: Vec<Policy> = ["epoch = 2\n", "epoch = 1\n[kind.a]", "epoch = 2\n[kind.a]", "epoch = 2\n[kind.b]"]
        .map(|text| Policy::parse(text).unwrap())
        .into();
    let greatest = policies.iter().filter(|policy| policy.epoch() == 2).max_by_key(|policy| policy.hash());
    assert_eq!(Policy::in_force(&policies), greatest);
    assert_eq!(Policy::in_force(policies.iter().rev()), greatest);
    assert_eq!(Policy::in_force(&[]), None);
}

proptest! {
    #[test]
    fn no_text_panics(lines in prop::collection::vec("(\\[kind\\.a(\\.field\\.x)?\\]|\\[\\[kind\\.a\\.invariant\\]\\]|(default|order|groups|name|expr|epoch|policy|always-manual|clock-uncertainty) = (1|'.{0,9}'|\\['(manual|user-priority|x)'\\]|\"\"\"\\PC{0,5}))", 0..8)) {
        let _ = Policy::parse(&lines.join("\n"));
    }
}
