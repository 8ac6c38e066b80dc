//! Who may depend on whom: the table of `ARCHITECTURE.md`, as a check.

use super::Finding;
use crate::metadata::{Member, Workspace};

/// Crates that take time, randomness and events as arguments and do no input or output.
pub const PURE: &[&str] = &["model", "wire", "crdt", "access", "review", "engine"];

/// Packages that are never part of the product: they may use anything, and no product crate may use them.
pub const SUPPORT: &[&str] = &["testkit", "tests", "benches", "examples", "fuzz"];

/// For each crate of the product, which of our crates it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("crdt", &["model"]),
    ("access", &["model"]),
    ("review", &["model", "crdt", "access"]),
    ("engine", &["model", "wire", "crdt", "access", "review"]),
    ("store", &["model"]),
    ("net", &["model", "wire"]),
    ("node", &["model", "wire", "crdt", "access", "review", "engine", "store", "net"]),
    ("relay", &["model", "wire", "access", "store", "net", "node"]),
    ("cli", &["model", "review", "store", "net", "node", "relay"]),
    ("xtask", &[]),
];

/// For each outside library that shapes a crate, the crates that may name it.
const OWNERS: &[(&str, &[&str])] = &[
    ("anyhow", &["cli", "xtask"]),
    ("automerge", &["crdt"]),
    ("bincode", &["store"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("ed25519-dalek", &["access"]),
    ("hyper", &["relay"]),
    ("hyper-util", &["relay"]),
    ("mdns-sd", &["net"]),
    ("minicbor", &["wire"]),
    ("ratatui", &["cli"]),
    ("redb", &["store"]),
    ("serde_json", &["review", "cli", "relay", "xtask"]),
    ("sled", &["store"]),
    ("tokio-tungstenite", &["net"]),
    ("tungstenite", &["net"]),
    ("warp", &["relay"]),
];

/// Checks every package.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.members.iter().flat_map(check_member).collect()
}

fn check_member(member: &Member) -> Vec<Finding> {
    let short = short(&member.name);
    if SUPPORT.contains(&short) {
        return Vec::new();
    }
    let found = |rule, why| Finding { file: member.manifest.clone(), line: 0, rule, why, warning: false };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == short) else {
        let why =
            format!("`{}` has no row in the table of layers; add it to crates/xtask/src/tidy/layers.rs", member.name);
        return vec![found("layers", why)];
    };
    let mut findings = Vec::new();
    if PURE.contains(&short)
        && let Some(runtime) = member.closure.iter().find(|name| *name == "tokio" || name.starts_with("tokio-"))
    {
        let why = format!(
            "`{short}` pulls in `{runtime}`: pure crates know no runtime, so that the simulator can run them from a seed"
        );
        findings.push(found("pure", why));
    }
    for dependency in member.declared.iter().filter(|dependency| !dependency.dev) {
        let name = dependency.name.as_str();
        if is_ours(name) && !allowed.contains(&self::short(name)) {
            let why = format!("`{short}` uses `{name}`: arrows between our crates point one way, see ARCHITECTURE.md");
            findings.push(found("arrows", why));
        }
        if let Some((_, owners)) = OWNERS.iter().find(|(library, _)| *library == name)
            && !owners.contains(&short)
        {
            let why = format!(
                "`{short}` names `{name}`, which belongs to {}: one owner, so that it can be replaced in one place",
                owners.join(" and ")
            );
            findings.push(found("owner", why));
        }
    }
    findings
}

/// Returns the folder name that stands for a package: `comity-wire` is `wire`, and the `comity` binary is `cli`.
fn short(package: &str) -> &str {
    match package {
        "comity" => "cli",
        other => other.strip_prefix("comity-").unwrap_or(other),
    }
}

fn is_ours(package: &str) -> bool {
    package == "comity" || package == "xtask" || package.starts_with("comity-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Declared;

    fn member(name: &str, declared: &[&str], closure: &[&str]) -> Member {
        Member {
            name: name.into(),
            manifest: format!("crates/{}/Cargo.toml", short(name)),
            declared: declared.iter().map(|name| Declared { name: (*name).into(), dev: false }).collect(),
            closure: closure.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn rules(member: Member) -> Vec<&'static str> {
        check(&Workspace { members: vec![member] }).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_pure_crate_may_not_reach_a_runtime_even_through_others() {
        assert_eq!(rules(member("comity-crdt", &["bytes"], &["bytes", "tokio-util"])), ["pure"]);
        assert_eq!(rules(member("comity-node", &["tokio"], &["tokio"])), [""; 0]);
    }

    #[test]
    fn arrows_point_one_way() {
        assert_eq!(rules(member("comity-store", &["comity-model"], &[])), [""; 0]);
        assert_eq!(rules(member("comity-store", &["comity-engine"], &[])), ["arrows"]);
        assert_eq!(rules(member("comity-engine", &["comity-testkit"], &[])), ["arrows"]);
    }

    #[test]
    fn a_library_is_named_by_its_owner_only() {
        assert_eq!(rules(member("comity-crdt", &["automerge"], &[])), [""; 0]);
        assert_eq!(rules(member("comity-review", &["automerge"], &[])), ["owner"]);
        assert_eq!(rules(member("comity-relay", &["warp", "anyhow"], &[])), ["owner"]);
    }

    #[test]
    fn tests_may_use_anything_and_so_may_dev_dependencies() {
        assert_eq!(rules(member("comity-tests", &["automerge", "sled", "comity-engine"], &["tokio"])), [""; 0]);
        let mut review = member("comity-review", &["automerge", "comity-testkit"], &[]);
        review.declared.iter_mut().for_each(|dependency| dependency.dev = true);
        assert_eq!(rules(review), [""; 0]);
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        assert_eq!(rules(member("comity-video", &[], &[])), ["layers"]);
    }

    #[test]
    fn the_table_has_no_arrow_that_points_back() {
        for (position, (name, allowed)) in ARROWS.iter().enumerate() {
            for target in *allowed {
                let at = ARROWS.iter().position(|(other, _)| other == target);
                assert!(at.is_some_and(|at| at < position), "{name} -> {target}");
            }
        }
    }
}
