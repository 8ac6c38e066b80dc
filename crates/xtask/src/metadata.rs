//! What `cargo metadata` says about the workspace, cut down to what `tidy` asks.

use crate::steps::cargo;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The packages of the workspace.
pub struct Workspace {
    /// Its members, by name.
    pub members: Vec<Member>,
}

/// One package of the workspace.
pub struct Member {
    /// The package's name, as in `comity-wire`.
    pub name: String,
    /// Where its `Cargo.toml` is, relative to the top.
    pub manifest: String,
    /// What the manifest names, optional dependencies included.
    pub declared: Vec<Declared>,
    /// Every package that is built into it by way of normal dependencies, with all features on.
    pub closure: BTreeSet<String>,
}

/// A dependency as a manifest names it.
pub struct Declared {
    /// The package's name.
    pub name: String,
    /// Whether only the package's own tests use it.
    pub dev: bool,
}

/// Asks cargo.
///
/// # Errors
/// When cargo fails or prints something else than it documents.
pub fn load() -> anyhow::Result<Workspace> {
    let output = cargo(&["metadata", "--format-version", "1", "--all-features"]).output()?;
    if !output.status.success() {
        bail!("`cargo metadata` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let value = serde_json::from_slice(&output.stdout).context("`cargo metadata` printed no JSON")?;
    read(&value).context("`cargo metadata` printed something unknown")
}

fn read(value: &Value) -> Option<Workspace> {
    let root = value["workspace_root"].as_str()?;
    let ids: BTreeSet<&str> = value["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
    let packages = value["packages"].as_array()?;
    let mut names = BTreeMap::new();
    for package in packages {
        names.insert(package["id"].as_str()?, package["name"].as_str()?);
    }
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in value["resolve"]["nodes"].as_array()? {
        let normal = node["deps"].as_array()?.iter().filter(|dependency| is_normal(dependency));
        edges.insert(node["id"].as_str()?, normal.filter_map(|dependency| dependency["pkg"].as_str()).collect());
    }
    let mut members = Vec::new();
    for package in packages.iter().filter(|package| package["id"].as_str().is_some_and(|id| ids.contains(id))) {
        let manifest = package["manifest_path"].as_str()?;
        members.push(Member {
            name: package["name"].as_str()?.to_owned(),
            manifest: manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/').to_owned(),
            declared: package["dependencies"].as_array()?.iter().filter_map(declared).collect(),
            closure: closure(package["id"].as_str()?, &edges, &names),
        });
    }
    members.sort_by(|left, right| left.name.cmp(&right.name));
    Some(Workspace { members })
}

fn is_normal(dependency: &Value) -> bool {
    dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
}

fn declared(dependency: &Value) -> Option<Declared> {
    Some(Declared { name: dependency["name"].as_str()?.to_owned(), dev: dependency["kind"] == "dev" })
}

fn closure(from: &str, edges: &BTreeMap<&str, Vec<&str>>, names: &BTreeMap<&str, &str>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([from]);
    while let Some(id) = queue.pop_front() {
        for next in edges.get(id).into_iter().flatten() {
            if seen.insert(*next) {
                queue.push_back(next);
            }
        }
    }
    seen.into_iter().filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_closure_follows_normal_dependencies_only() {
        let dependency = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let package = |id: &str, declared: Value| json!({ "id": id, "name": id, "manifest_path": format!("/top/{id}/Cargo.toml"), "dependencies": declared });
        let metadata = json!({
            "workspace_root": "/top",
            "workspace_members": ["engine"],
            "packages": [
                package("engine", json!([{ "name": "bytes", "kind": null }, { "name": "rig", "kind": "dev" }])),
                package("bytes", json!([])), package("mio", json!([])), package("rig", json!([])),
            ],
            "resolve": { "nodes": [
                { "id": "engine", "deps": [dependency("bytes", Value::Null), dependency("rig", json!("dev"))] },
                { "id": "bytes", "deps": [dependency("mio", Value::Null)] },
                { "id": "mio", "deps": [] }, { "id": "rig", "deps": [] },
            ] },
        });
        let workspace = read(&metadata).unwrap();
        let engine = &workspace.members[0];
        assert_eq!(engine.manifest, "engine/Cargo.toml");
        assert_eq!(engine.closure.iter().map(String::as_str).collect::<Vec<_>>(), ["bytes", "mio"]);
        assert!(engine.declared[1].dev);
    }

    #[test]
    fn output_of_another_form_is_refused() {
        assert!(read(&json!({ "workspace_root": "/top" })).is_none());
    }
}
