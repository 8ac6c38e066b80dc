//! Our own JSON against our own schemas, by an outside validator (`ajv`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use comity_net::{DialOptions, Frame, dial};
use comity_tests::javascript::Driver;
use comity_tests::{comity, http, within};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Every kind of document that Comity writes is written by real commands in real states, and is what its schema says;
/// each schema refuses a member that it does not know and the lack of one that it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_json_is_as_its_schema_says_and_no_kind_of_it_is_left_out() {
    let base = tempfile::tempdir().unwrap();
    let mut scene = Scene { base: base.path().to_owned(), documents: Vec::new() };
    let space = scene.devices().await;
    scene.edits().await;
    scene.network(&space).await;
    scene.reading().await;
    scene.policies().await;
    scene.conflicts().await;
    scene.suggestions().await;
    scene.store().await;
    scene.rest().await;

    let schemas = schemas(&scene).await;
    let written: BTreeSet<&str> = scene.documents.iter().map(|(_, document)| kind(document)).collect();
    let known: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    assert_eq!(written, known, "what was written here, and what `comity schema` lists");
    let documents: Vec<Json> =
        scene.documents.iter().map(|(what, document)| json!({ "what": what, "document": document })).collect();
    validate(&json!({ "schemas": schemas, "documents": documents })).await;
}

fn kind(document: &Json) -> &str {
    document["schema"].as_str().unwrap_or("none")
}

struct Scene {
    base: PathBuf,
    documents: Vec<(String, Json)>,
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Runs a command with `--json` and keeps all that it wrote; `code` is how it must end.
    async fn run_to(&mut self, code: i32, device: &str, arguments: &[&str]) -> Json {
        let mut words = arguments.to_vec();
        words.push("--json");
        let ran = comity::run(&self.path(device), &words).await;
        let what = format!("comity {}", words.join(" "));
        assert_eq!(ran.code, Some(code), "{what}\nstdout: {}\nstderr: {}", ran.stdout, ran.stderr);
        self.keep(&what, &ran.stdout);
        if code != 0 {
            // Warnings may stand before it.
            let error = ran.stderr.find('{').map_or("", |at| &ran.stderr[at..]);
            assert_eq!(self.keep(&what, error), 1, "{what}: {}", ran.stderr);
        }
        serde_json::from_str(&ran.stdout).unwrap_or(Json::Null)
    }

    async fn run(&mut self, device: &str, arguments: &[&str]) -> Json {
        self.run_to(0, device, arguments).await
    }

    fn keep(&mut self, what: &str, text: &str) -> usize {
        let documents: Vec<Json> = serde_json::Deserializer::from_str(text)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
        let count = documents.len();
        self.documents.extend(documents.into_iter().map(|document| (what.to_owned(), document)));
        count
    }

    async fn devices(&mut self) -> String {
        self.run("tablet", &["init", "--name", "tablet"]).await;
        self.run("tablet", &["init"]).await;
        self.run("tablet", &["id"]).await;
        self.run("tablet", &["status"]).await;
        let space = self.run("tablet", &["space", "create", "Solar park"]).await["id"].as_str().unwrap().to_owned();
        self.run("desktop", &["init"]).await;
        self.run("desktop", &["space", "join", &space]).await;
        self.run("desktop", &["space", "list"]).await;
        self.run("desktop", &["doc", "list"]).await;
        self.run("tablet", &["space", "list"]).await;
        space
    }

    async fn edits(&mut self) {
        self.run("tablet", &["doc", "new", "audit", "Roof 7", "--space", "Solar park", "--key", "roof-7"]).await;
        let csv = self.path("modules.csv");
        std::fs::write(&csv, "entry,status\nM010,ok\nM011,dead\n,ok\n").unwrap();
        let csv = csv.to_str().unwrap();
        self.run_to(1, "tablet", &["import", csv, "Roof 7"]).await;
        self.run_to(8, "tablet", &["import", csv, "Roof 7", "--skip-bad", "--dry-run"]).await;
        self.run_to(8, "tablet", &["import", csv, "Roof 7", "--skip-bad"]).await;
        self.run("tablet", &["set", "Roof 7", "M001..M003", "status=ok"]).await;
        self.run("tablet", &["set", "Roof 7", "M001", "status=ok"]).await;
        self.run("tablet", &["set", "Roof 7", "M004", "half:=0.5", "large:=18446744073709551615", "nothing:=null"])
            .await;
        self.run("tablet", &["delete", "Roof 7", "M002..M003"]).await;
        self.run("tablet", &["restore", "Roof 7", "M003"]).await;
        self.run_to(4, "tablet", &["set", "Roof 7", "M001", "status=dead", "--if-heads", "00000000"]).await;
    }

    /// Two devices, a relay, a disagreement.
    async fn network(&mut self, space: &str) {
        let (relay, line) = self.start("relay", &["relay", "--listen", "127.0.0.1:0"]).await;
        let url = line["url"].as_str().unwrap().to_owned();
        self.documents.push(("comity relay".to_owned(), line));
        let once = ["sync", &url, "--once"];
        self.run("tablet", &once).await;
        self.run("desktop", &once).await;
        self.another_application(&url).await;
        self.run("tablet", &["set", "Roof 7", "M050", "status=dead"]).await;
        self.run("desktop", &["set", "Roof 7", "M050", "status=microcracks"]).await;
        self.run("tablet", &once).await;
        self.run("desktop", &once).await;
        // The tablet does not know the desktop's change yet, so it comes in while it watches.
        self.run("tablet", &["watch", "Roof 7", "--relay", &url, "--count", "1", "--for", "20s"]).await;
        self.run("tablet", &["set", "Roof 7", "M060", "status=ok"]).await;
        self.run("tablet", &once).await;
        self.run("desktop", &once).await;
        self.run("tablet", &["delete", "Roof 7", "M060"]).await;
        self.run("desktop", &["set", "Roof 7", "M060", "status=dead"]).await;
        self.run("desktop", &once).await;
        self.run("tablet", &["conflicts", "watch", "--relay", &url, "--count", "1", "--for", "20s"]).await;
        let (staying, line) = self.start("tablet", &["sync", &url]).await;
        self.documents.push(("comity sync".to_owned(), line));
        end(staying).await;
        let (waiting, line) = self.start("tablet", &["sync", "ws://127.0.0.1:1"]).await;
        self.documents.push(("comity sync, no relay".to_owned(), line));
        end(waiting).await;
        self.run_to(1, "tablet", &["sync", "ws://127.0.0.1:1", "--once", "--timeout", "100ms"]).await;
        self.run("tablet", &["status"]).await;
        self.run("desktop", &["space", "join", space]).await;
        let address: SocketAddr = url.strip_prefix("ws://").unwrap().parse().unwrap();
        let (_, health) = http::health(address.ip(), address).await;
        self.documents.push(("GET /health".to_owned(), health));
        misbehave(&url).await;
        // In good order: what was refused is on disk then.
        drain(relay).await;
        let list = self.run("relay", &["evidence", "list"]).await;
        let number = list["records"][0]["number"].to_string();
        self.run("relay", &["evidence", "show", &number]).await;
    }

    /// Values that no command writes, by a writer that is no device.
    async fn another_application(&mut self, url: &str) {
        let id = self.run("tablet", &["doc", "show", "Roof 7"]).await["id"].as_str().unwrap().to_owned();
        let driver = Driver::start().await;
        let js = driver.open("js", url).await;
        js.must_find(&id).await;
        js.set(&id, &["values", "M005/bytes"], json!({ "$bytes": "AAEC" })).await;
        js.set(&id, &["values", "M005/moment"], json!({ "$date": 1_795_269_301_123_i64 })).await;
        js.set(&id, &["values", "M005/hits"], json!({ "$counter": 3 })).await;
        self.run("desktop", &["sync", url, "--once"]).await;
        let shown = self.run("desktop", &["show", "Roof 7", "M005"]).await;
        assert_eq!(shown["content"]["fields"]["hits"], json!({ "counter": 3 }), "{shown}");
        self.run("desktop", &["show", "Roof 7", "M005", "bytes"]).await;
        self.run("desktop", &["log", "Roof 7", "M005"]).await;
    }

    async fn reading(&mut self) {
        let shown = self.run("tablet", &["show", "Roof 7"]).await;
        assert_eq!(shown["disagreements"].as_array().map(Vec::len), Some(1), "what the scene is for: {shown}");
        self.run("tablet", &["show", "Roof 7", "M050"]).await;
        self.run("tablet", &["show", "Roof 7", "M002"]).await;
        self.run("tablet", &["show", "Roof 7", "M050", "status"]).await;
        self.run("tablet", &["show", "Roof 7", "M001", "status"]).await;
        self.run("tablet", &["log", "Roof 7"]).await;
        self.run("tablet", &["blame", "Roof 7"]).await;
        self.run("tablet", &["diff", "Roof 7", "2000-01-01"]).await;
        self.run("tablet", &["at", "Roof 7", "now"]).await;
        self.run("tablet", &["at", "Roof 7", "now", "M050"]).await;
        self.run("tablet", &["log", "Roof 7", "M050/status", "--limit", "1", "--since", "2000-01-01"]).await;
        self.run("tablet", &["export", "Roof 7"]).await;
        self.run("tablet", &["doc", "list"]).await;
        self.run("tablet", &["doc", "show", "Roof 7"]).await;
        self.run_to(3, "tablet", &["show", "Roof 8"]).await;
        self.run_to(2, "tablet", &["show"]).await;
    }

    async fn policies(&mut self) {
        let wrong = self.path("wrong.toml");
        std::fs::write(&wrong, "[kind.audit]\ndefault = [\"last-write\"]\n").unwrap();
        self.run_to(2, "tablet", &["policy", "check", wrong.to_str().unwrap()]).await;
        self.run("tablet", &["policy", "check", "--example", "audits"]).await;
        self.run("tablet", &["policy", "simulate", "Roof 7", "--example", "audits"]).await;
        self.run_to(7, "tablet", &["policy", "show", "Solar park"]).await;
        self.run("tablet", &["policy", "set", "Solar park", "--example", "audits"]).await;
        self.run("tablet", &["policy", "set", "Solar park", "--example", "audits"]).await;
        self.run("tablet", &["policy", "show", "Solar park"]).await;
        self.run("tablet", &["policy", "explain", "Solar park"]).await;
        self.run("tablet", &["policy", "example"]).await;
        self.run("tablet", &["policy", "simulate", "Roof 7", "--example", "preferences"]).await;
    }

    async fn conflicts(&mut self) {
        let list = self.run_to(1, "tablet", &["conflicts", "list", "--exit-code"]).await;
        let id = |subject: &str| {
            let found = list["conflicts"].as_array().unwrap().iter().find(|conflict| conflict["subject"] == subject);
            found.unwrap_or_else(|| panic!("nothing about {subject}: {list}"))["id"].as_str().unwrap().to_owned()
        };
        let (status, deleted) = (id("M050/status"), id("M060"));
        self.run("tablet", &["conflicts", "show", &status]).await;
        self.run("tablet", &["conflicts", "why", &status]).await;
        self.run("tablet", &["conflicts", "stats"]).await;
        self.run("tablet", &["conflicts", "resolve", &status, "--accept", "1", "--dry-run"]).await;
        let resolve = ["conflicts", "resolve", &status, "--accept", "1", "-m", "sharper", "--reviewer", "Ana"];
        let decision = self.run("tablet", &resolve).await["decision"].as_str().unwrap().to_owned();
        self.run("tablet", &["conflicts", "show", &status]).await;
        self.run("tablet", &["undo", &decision]).await;
        self.run("tablet", &["conflicts", "dismiss", &deleted]).await;
        self.run_to(4, "tablet", &["conflicts", "dismiss", &deleted]).await;
        self.run("tablet", &["conflicts", "reopen", &deleted]).await;
        // No side of a broken rule is the newest.
        let plan = self.run_to(8, "tablet", &["conflicts", "plan", "--accept", "newest"]).await;
        let file = self.path("plan.json");
        std::fs::write(&file, plan.to_string()).unwrap();
        let file = file.to_str().unwrap();
        self.run("tablet", &["conflicts", "apply", file, "--dry-run"]).await;
        self.run("tablet", &["conflicts", "apply", file]).await;
        self.run_to(4, "tablet", &["conflicts", "apply", file]).await;
        self.run("tablet", &["conflicts", "stats"]).await;
        self.run("tablet", &["conflicts", "list", "--state", "all"]).await;
        self.run("tablet", &["rollback", "Roof 7", "M060", "--to", "now"]).await;
    }

    async fn suggestions(&mut self) {
        let merges = self.path("merges.jsonl");
        let record = |status: &str| json!({ "status": status, "rows": [1] });
        let line = json!({ "id": "M1", "base": record("ok"), "ours": record("dead"), "theirs": record("microcracks") });
        std::fs::write(&merges, format!("{line}\n[]\n")).unwrap();
        let import = ["import", "--three-way", merges.to_str().unwrap(), "--new", "Merged", "--kind", "audit"];
        self.run_to(1, "tablet", &import).await;
        self.run_to(8, "tablet", &[&import[..], &["--skip-bad", "--dry-run"]].concat()).await;
        self.run_to(8, "tablet", &[&import[..], &["--skip-bad"]].concat()).await;
        let conflicts = self.run("tablet", &["conflicts", "list", "Merged"]).await;
        let id = conflicts["conflicts"][0]["id"].as_str().unwrap().to_owned();
        let shown = self.run("tablet", &["conflicts", "show", &id, "--suggest"]).await;
        assert_eq!(shown["suggestion"]["made"], false, "nobody has decided anything yet: {shown}");
        self.run("tablet", &["suggest", "eval"]).await;
        self.run("tablet", &["conflicts", "resolve", &id, "--keep", "current", "--suggestion-shown", "after"]).await;
        self.run("tablet", &["suggest", "eval"]).await;
        self.run("tablet", &["suggest", "eval", "Merged"]).await;
    }

    async fn store(&mut self) {
        let backup = self.path("b.comity");
        let backup = backup.to_str().unwrap();
        self.run("tablet", &["store", "verify"]).await;
        self.run("tablet", &["store", "backup", backup]).await;
        self.run("tablet", &["store", "verify", "--backup", backup]).await;
        self.run("copy", &["store", "restore", backup]).await;
        self.run("copy", &["store", "compact"]).await;
        self.run("copy", &["store", "stats"]).await;
        let engine = self.path("copy/store/sled/db");
        let mut bytes = std::fs::read(&engine).unwrap();
        bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
        std::fs::write(&engine, bytes).unwrap();
        self.run_to(9, "copy", &["store", "verify"]).await;
        let into = self.path("rescued");
        self.run("tablet", &["store", "salvage", "--into", into.to_str().unwrap()]).await;
        // The next command that opens it sets the damaged files aside.
        self.run("copy", &["doc", "list"]).await;
        self.run("copy", &["evidence", "list"]).await;
        let status = self.run("copy", &["status"]).await;
        assert_ne!(status["lost"], json!([]), "what the damage is for");
    }

    async fn rest(&mut self) {
        self.run("tablet", &["exit-codes"]).await;
        self.run("tablet", &["schema"]).await;
        self.run("tablet", &["demo"]).await;
        let keep = self.path("solar");
        self.run("tablet", &["demo", "--keep", keep.to_str().unwrap()]).await;
    }

    /// Starts a command that goes on; gives its first line.
    async fn start(&self, device: &str, arguments: &[&str]) -> (Child, Json) {
        let mut command = Command::new(comity::binary());
        comity::without_own_settings(&mut command).arg("--data").arg(self.path(device)).args(arguments);
        command.args(["--json", "--quiet"]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the comity binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line = within(&format!("the first line of {arguments:?}"), lines.next_line()).await.unwrap();
        let line = serde_json::from_str(&line.expect("it says something")).unwrap();
        // Whoever closes the pipe ends the command.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (child, line)
    }
}

async fn end(mut child: Child) {
    child.kill().await.expect("a command can be killed");
}

async fn drain(mut child: Child) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("`kill` runs");
    assert!(sent.success());
    let status = within("the relay drains", child.wait()).await.unwrap();
    assert!(status.success(), "{status}");
}

/// Says something that is no `join`, and waits until the relay has hung up.
async fn misbehave(url: &str) {
    let mut stranger = dial(&url.parse().unwrap(), &DialOptions::default()).await.unwrap();
    stranger.send(Frame::Message("no message".into())).await.unwrap();
    within("the relay hangs up", async { while let Some(Ok(_)) = stranger.receive().await {} }).await;
}

/// Gives every schema as the command prints it, by what stands in `schema` of a document.
async fn schemas(scene: &Scene) -> BTreeMap<String, Json> {
    let mut schemas = BTreeMap::new();
    let (_, list) = scene.documents.iter().find(|(what, _)| what == "comity schema --json").expect("it was listed");
    for row in list["schemas"].as_array().unwrap() {
        let (name, schema) = (row["name"].as_str().unwrap(), row["schema"].as_str().unwrap());
        let text = comity::run(&scene.path("tablet"), &["schema", name]).await.ok().stdout;
        schemas.insert(schema.to_owned(), serde_json::from_str(&text).unwrap());
    }
    schemas
}

async fn validate(input: &Json) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    let mut node = Command::new("node");
    node.arg("schemas.mjs").current_dir(folder).kill_on_drop(true);
    let mut node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = node.stdin.take().expect("stdin is piped");
    // It reads all before it says anything.
    stdin.write_all(input.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = within("the validator", node.wait_with_output()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
