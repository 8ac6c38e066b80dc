//! `comity demo`: the whole story in half a minute, over real sockets and real disks.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use comity_model::{ActKind, DocumentId, Heads, SpaceId};
use comity_node::{DialOptions, Disagreement, Document, NewDocument, Node, NodeConfig, Uplink};
use comity_relay::{Relay, RelayConfig};
use serde::Serialize;

/// Modules of the audit.
const MODULES: usize = 242;

/// Edits whose way to the others is timed.
const TIMED_EDITS: usize = 20;

/// Longest wait for anything in the demo.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of the three devices.
struct Device {
    name: &'static str,
    node: Node,
    audit: Document,
    uplink: Option<Uplink>,
}

/// What the demo found, for `--json`.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Where the data is, if it was kept.
    pub folder: Option<PathBuf>,
    /// The audit.
    pub document: String,
    /// Modules imported.
    pub modules: usize,
    /// Time from the import until all three devices had it, in milliseconds.
    pub import_to_all_ms: f64,
    /// Median time of one online edit until both other devices had it, in milliseconds.
    pub edit_to_all_p50_ms: f64,
    /// The longest of these, in milliseconds.
    pub edit_to_all_max_ms: f64,
    /// Changes pending on the tablet and on the desktop while they were offline.
    pub pending_offline: [String; 2],
    /// Time from reconnecting until all four had the same changes, in milliseconds.
    pub heal_ms: f64,
    /// The heads that all four ended with.
    pub heads: String,
    /// Whether all four show the same entries.
    pub equal_contents: bool,
    /// Registers in which different values stand.
    pub disagreements: usize,
}

/// Runs the demo. With a folder, everything stays there to be looked at; else it is removed at the end.
///
/// # Errors
/// When a device or the relay fails, or the devices do not agree in time.
pub async fn run(folder: Option<&Path>, out: &mut dyn Write) -> Result<Outcome> {
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let base = folder.unwrap_or(temporary.path());
    let relay_folder = base.join("relay");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let relay = Relay::start(RelayConfig::new(address, &relay_folder)).await?;
    let url = format!("ws://{}", relay.local_addr());
    writeln!(out, "relay      {url}, sled store in {}", relay_folder.display())?;

    let (mut devices, document) = start_devices(base, &url, out).await?;
    let import_to_all = import(&devices, out).await?;
    let latencies = timed_edits(&devices, out).await?;
    let pending_offline = part(&mut devices, out).await?;
    let (heal, heads) = heal(&mut devices, &relay, &url, out).await?;
    let equal_contents = equal_contents(&devices, &relay).await?;
    ensure!(equal_contents, "the devices have the same changes, but not the same contents");
    let disagreements = show_disagreements(&devices, out).await?;
    say_how_to_look_further(folder, document, out)?;

    for device in devices {
        if let Some(uplink) = device.uplink {
            uplink.stop().await;
        }
        device.node.close().await?;
    }
    relay.shutdown().await?;
    let (p50, max) = middle_and_last(&latencies);
    Ok(Outcome {
        folder: folder.map(Path::to_owned),
        document: document.to_string(),
        modules: MODULES,
        import_to_all_ms: ms(import_to_all),
        edit_to_all_p50_ms: ms(p50),
        edit_to_all_max_ms: ms(max),
        pending_offline,
        heal_ms: ms(heal),
        heads: heads.to_string(),
        equal_contents,
        disagreements: disagreements.len(),
    })
}

async fn start_devices(base: &Path, url: &str, out: &mut dyn Write) -> Result<(Vec<Device>, DocumentId)> {
    let mut nodes = Vec::new();
    for name in ["tablet", "desktop", "wall"] {
        let (node, _) = Node::open(NodeConfig::device(base.join(name))).await?;
        nodes.push((name, node));
    }
    // The desktop makes the space; the others know it by its id, as from a QR code.
    let space: SpaceId = nodes[1].1.create_space("Solar park").await?;
    let new = NewDocument::new("audit".parse()?, "Electroluminescence audit, roof 7").in_space(space);
    let document = nodes[1].1.create(new).await?.id();
    let mut devices = Vec::new();
    for (name, node) in nodes {
        node.join_space(space).await?;
        let uplink = Some(connect(&node, url)?);
        writeln!(out, "{name:<10} device {}", node.device())?;
        devices.push(Device { name, audit: node.document(document), node, uplink });
    }
    Ok((devices, document))
}

fn connect(node: &Node, url: &str) -> Result<Uplink> {
    Ok(node.connect(url.parse()?, DialOptions::default()))
}

/// Imports the audit on the desktop, in one atomic change, and waits until it is everywhere.
async fn import(devices: &[Device], out: &mut dyn Write) -> Result<Duration> {
    let started = Instant::now();
    devices[1]
        .audit
        .edit(|edit| {
            edit.act(ActKind::Import);
            (1..=MODULES).try_for_each(|i| edit.set(&format!("M{i:03}"), "status", "ok"))
        })
        .await?;
    for device in devices {
        wait_for(device, |entries| entries == MODULES).await?;
    }
    let took = started.elapsed();
    writeln!(out, "\nThe desktop imports {MODULES} modules as one change: on all three after {:.1} ms.", ms(took))?;
    Ok(took)
}

/// Waits until a device sees as many entries as asked for.
async fn wait_for(device: &Device, enough: impl Fn(usize) -> bool) -> Result<()> {
    let mut changes = device.audit.subscribe();
    let wait = async {
        while !enough(device.audit.read(|view| view.entries().len()).await?) {
            changes.next().await.context("the node stopped")?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("{} did not get the audit", device.name))?
}

/// Edits on the tablet, one after the other, and times each until the other two have it.
async fn timed_edits(devices: &[Device], out: &mut dyn Write) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    for i in 0..TIMED_EDITS {
        let module = format!("M{:03}", 201 + i);
        let started = Instant::now();
        let waits = devices[1..].iter().map(|device| {
            let (audit, changes) = (device.audit.clone(), device.audit.subscribe());
            tokio::spawn(wait_for_status(audit, changes, module.clone()))
        });
        let waits: Vec<_> = waits.collect();
        devices[0].audit.set(&module, "status", "inequality").await?;
        for wait in waits {
            tokio::time::timeout(PATIENCE, wait).await.context("an edit did not arrive")???;
        }
        latencies.push(started.elapsed());
    }
    latencies.sort();
    let (p50, max) = middle_and_last(&latencies);
    writeln!(
        out,
        "The tablet marks {TIMED_EDITS} modules: each is on its own disk and, through the relay, on both other \
         devices after {:.1} ms (median), {:.1} ms at most.",
        ms(p50),
        ms(max)
    )?;
    Ok(latencies)
}

async fn wait_for_status(audit: Document, mut changes: comity_node::Changes, module: String) -> Result<()> {
    let key: comity_model::RegisterKey = format!("{module}/status").parse()?;
    loop {
        let key = key.clone();
        let status = audit.read(move |view| view.register(&key).and_then(|r| r.winner().map(|v| v.value.clone())));
        if status.await?.is_some_and(|value| value.as_text() == Some("inequality")) {
            return Ok(());
        }
        changes.next().await.context("the node stopped")?;
    }
}

async fn in_step(device: &Device) -> Result<()> {
    let synced = tokio::time::timeout(PATIENCE, device.node.synced()).await;
    Ok(synced.with_context(|| format!("{} is not in step in time", device.name))??)
}

/// Takes tablet and desktop offline and lets both go on working.
async fn part(devices: &mut [Device], out: &mut dyn Write) -> Result<[String; 2]> {
    for device in devices.iter() {
        in_step(device).await?;
    }
    for device in &mut devices[..2] {
        if let Some(uplink) = device.uplink.take() {
            uplink.stop().await;
        }
    }
    writeln!(out, "\nTablet and desktop lose the network and go on working.")?;
    devices[0].audit.edit(|edit| (30..=40).try_for_each(|i| edit.set(&format!("M{i:03}"), "status", "dead"))).await?;
    devices[0].audit.set("M050", "status", "microcracks").await?;
    devices[0].audit.set("M050", "technician", "Adrien").await?;
    devices[1].audit.set("M050", "status", "dead").await?;
    devices[1].audit.set("M007", "comment", "glass is scratched").await?;
    let mut pending = Vec::new();
    for device in &devices[..2] {
        let state = device.node.sync_state().await?.to_string();
        writeln!(out, "  {:<8} {state}", device.name)?;
        pending.push(state);
    }
    Ok([pending.remove(0), pending.remove(0)])
}

/// Brings them back and waits until all four have the same changes.
async fn heal(devices: &mut [Device], relay: &Relay, url: &str, out: &mut dyn Write) -> Result<(Duration, Heads)> {
    let started = Instant::now();
    for device in &mut devices[..2] {
        device.uplink = Some(connect(&device.node, url)?);
    }
    let mut all: Vec<Document> = devices.iter().map(|device| device.audit.clone()).collect();
    all.push(relay.node().document(devices[0].audit.id()));
    let expected = tokio::time::timeout(PATIENCE, agree(&all)).await.context("the devices do not agree in time")??;
    let took = started.elapsed();
    writeln!(out, "\nBack online: all three and the relay have the same changes after {:.1} ms.", ms(took))?;
    writeln!(out, "  heads    {expected}")?;
    for device in devices.iter() {
        in_step(device).await?;
        writeln!(out, "  {:<8} {}", device.name, device.node.sync_state().await?)?;
    }
    Ok((took, expected))
}

/// Waits until all documents have the same heads, and at least as many changes as were made.
async fn agree(documents: &[Document]) -> Result<Heads> {
    let mut changes: Vec<_> = documents.iter().map(Document::subscribe).collect();
    // Two devices were apart: there is no agreement before both branches are in.
    let mut marks = Vec::new();
    for document in documents {
        marks.push(document.read(|view| view.heads()).await?);
    }
    let branches: Vec<Heads> = marks[..2].to_vec();
    loop {
        let mut heads = Vec::new();
        for document in documents {
            let branches = branches.clone();
            let seen = document.read(move |view| {
                let has_both = branches.iter().all(|branch| view.document().covers(branch));
                has_both.then(|| view.heads())
            });
            heads.push(seen.await?);
        }
        match heads[0].clone() {
            Some(first) if heads.iter().all(|other| other.as_ref() == Some(&first)) => return Ok(first),
            _ => {}
        }
        let waits = changes.iter_mut().map(|changes| Box::pin(changes.next()));
        let (event, ..) = futures_util::future::select_all(waits).await;
        event.context("a node stopped")?;
    }
}

/// Compares what the three devices and the relay show.
async fn equal_contents(devices: &[Device], relay: &Relay) -> Result<bool> {
    let expected = relay.node().document(devices[0].audit.id()).read(|view| view.entries()).await?;
    for device in devices {
        if device.audit.read(|view| view.entries()).await? != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Shows, on the wall display, what a merge alone cannot settle.
async fn show_disagreements(devices: &[Device], out: &mut dyn Write) -> Result<Vec<Disagreement>> {
    let found = devices[2].audit.read(|view| view.disagreements()).await?;
    ensure!(!found.is_empty(), "two different findings for one module should disagree");
    writeln!(out, "\nOne thing is left for people to decide. Nothing was lost: every value stands in its register.")?;
    for disagreement in &found {
        writeln!(out, "  {}", disagreement.register)?;
        for (i, side) in disagreement.sides.iter().enumerate() {
            let is_shown = i + 1 == disagreement.sides.len();
            for version in &side.versions {
                let tag = version.actor.device();
                let writer = devices.iter().find(|device| Some(device.node.device().tag()) == tag);
                let writer = writer.map_or("somebody else", |device| device.name);
                let when = version.act.map_or(version.time_s * 1_000, |act| act.time.wall_ms);
                let when = comity_model::Timestamp::from_unix_ms(when);
                let note = if is_shown { "  (shown meanwhile)" } else { "" };
                writeln!(out, "    {:<12} by {writer} at {when}{note}", side.value.to_string())?;
            }
        }
    }
    Ok(found)
}

fn say_how_to_look_further(folder: Option<&Path>, document: DocumentId, out: &mut dyn Write) -> Result<()> {
    writeln!(out)?;
    match folder {
        Some(folder) => {
            let tablet = folder.join("tablet");
            let tablet = tablet.display();
            writeln!(out, "Look further:")?;
            writeln!(out, "  comity --data {tablet} show {document} M050")?;
            writeln!(out, "  comity --data {tablet} history {document} M050/status")?;
            writeln!(out, "  comity --data {tablet} export {document} --format csv")?;
        }
        None => writeln!(out, "To keep the data and look further: comity demo --keep FOLDER")?,
    }
    Ok(())
}

fn middle_and_last(sorted: &[Duration]) -> (Duration, Duration) {
    (sorted.get(sorted.len() / 2).copied().unwrap_or_default(), sorted.last().copied().unwrap_or_default())
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
