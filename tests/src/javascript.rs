//! The official JavaScript clients, held by `tests/interop/driver.mjs`: one JSON object a line, both ways.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

use crate::{PATIENCE, within};

/// A driver process. Killed when it is dropped.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

struct Inner {
    stdin: tokio::sync::Mutex<ChildStdin>,
    board: Arc<Mutex<Board>>,
    next_id: AtomicU64,
    /// Kills the process when it is dropped.
    _child: Child,
}

#[derive(Default)]
struct Board {
    waiting: HashMap<u64, oneshot::Sender<Json>>,
    /// Exceptions inside the official code.
    uncaught: Vec<Json>,
    ended: bool,
}

/// Why the driver refused a command.
#[derive(Debug)]
pub struct Failure {
    /// `bad-command`, `timeout` or `failed`.
    pub kind: String,
    /// In words.
    pub error: String,
}

fn lock(board: &Mutex<Board>) -> std::sync::MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    /// Starts a driver. Fails the test, with the command that mends it, when the npm packages are not installed.
    pub async fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        let packages = folder.join("node_modules/@automerge/automerge-repo");
        assert!(
            packages.is_dir(),
            "the npm packages are not installed in {}; run `cargo xtask interop`",
            folder.display()
        );
        let mut child = Command::new("node")
            .arg("driver.mjs")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if std::env::var_os("INTEROP_VERBOSE").is_some() { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()
            .expect("`node` runs; install Node.js 20 or newer");
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let board = Arc::new(Mutex::new(Board::default()));
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(read(stdout, Arc::clone(&board), ready));
        within("the driver's first line", is_ready).await.expect("the driver starts; try INTEROP_VERBOSE=1");
        let inner = Inner { stdin: stdin.into(), board, next_id: AtomicU64::new(1), _child: child };
        Self { inner: Arc::new(inner) }
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// When the driver says no.
    pub async fn try_ask(&self, command: &str, mut fields: Json) -> Result<Json, Failure> {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        fields["id"] = json!(id);
        fields["cmd"] = json!(command);
        if fields.get("timeout_ms").is_none() && command != "open" {
            // The driver gives up first: it knows what it saw instead.
            fields["timeout_ms"] = json!((PATIENCE * 2 / 3).as_millis() as u64);
        }
        let (done, answer) = oneshot::channel();
        {
            let mut board = lock(&self.inner.board);
            assert!(!board.ended, "the driver ended before `{command}`; try INTEROP_VERBOSE=1");
            board.waiting.insert(id, done);
        }
        let line = format!("{fields}\n");
        let written = self.inner.stdin.lock().await.write_all(line.as_bytes()).await;
        written.unwrap_or_else(|error| panic!("the driver does not listen to `{command}`: {error}"));
        let answer = within(&format!("the driver's answer to {line}"), answer).await;
        let answer = answer.unwrap_or_else(|_| panic!("the driver ended during `{command}`; try INTEROP_VERBOSE=1"));
        if answer["ok"] == json!(true) {
            return Ok(answer);
        }
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Err(Failure { kind: text("kind"), error: text("error") })
    }

    /// Gives a command and waits for its answer; fails the test when the driver says no.
    pub async fn ask(&self, command: &str, fields: Json) -> Json {
        match self.try_ask(command, fields).await {
            Ok(answer) => answer,
            Err(Failure { kind, error }) => panic!("`{command}` failed ({kind}): {error}"),
        }
    }

    /// Opens a client that dials a relay.
    pub async fn open(&self, name: &str, url: &str) -> Js {
        self.open_with(name, json!({ "url": url })).await
    }

    /// Opens a client, with fields as the driver's `open` takes them.
    pub async fn open_with(&self, name: &str, mut fields: Json) -> Js {
        fields["name"] = json!(name);
        if fields.get("retry_ms").is_none() {
            fields["retry_ms"] = json!(200);
        }
        let answer = self.ask("open", fields).await;
        let peer = answer["peer_id"].as_str().unwrap_or_default().to_owned();
        Js { driver: self.clone(), name: name.to_owned(), peer }
    }

    /// Gives the exceptions that the official code threw outside any command.
    pub fn uncaught(&self) -> Vec<Json> {
        lock(&self.inner.board).uncaught.clone()
    }
}

async fn read(stdout: ChildStdout, board: Arc<Mutex<Board>>, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Json =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("the driver said {line:?}: {error}"));
        match message["event"].as_str() {
            Some("ready") => drop(ready.take().map(|ready| ready.send(()))),
            Some(_) => lock(&board).uncaught.push(message),
            None => {
                let waiter = message["id"].as_u64().and_then(|id| lock(&board).waiting.remove(&id));
                // The asker may have given up.
                drop(waiter.map(|waiter| waiter.send(message)));
            }
        }
    }
    let mut board = lock(&board);
    board.ended = true;
    board.waiting.clear();
}

/// One official JavaScript client.
#[derive(Clone)]
pub struct Js {
    driver: Driver,
    name: String,
    peer: String,
}

impl Js {
    /// Gives its peer id.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Gives a command about this client.
    pub async fn ask(&self, command: &str, fields: Json) -> Json {
        self.driver.ask(command, self.named(fields)).await
    }

    /// Gives a command about this client that may fail.
    ///
    /// # Errors
    /// When the driver says no.
    pub async fn try_ask(&self, command: &str, fields: Json) -> Result<Json, Failure> {
        self.driver.try_ask(command, self.named(fields)).await
    }

    fn named(&self, mut fields: Json) -> Json {
        fields["name"] = json!(self.name);
        fields
    }

    /// Waits until it has a peer.
    pub async fn connected(&self) {
        self.ask("connected", json!({})).await;
    }

    /// Waits until it has no peer.
    pub async fn disconnected(&self) {
        self.ask("disconnected", json!({})).await;
    }

    /// Creates a document; gives its id.
    pub async fn create(&self, value: Json) -> String {
        let answer = self.ask("create", json!({ "value": value })).await;
        answer["document_id"].as_str().expect("`create` gives an id").to_owned()
    }

    /// Takes a saved document under an id of the test's choice.
    pub async fn import(&self, document: &str, saved: &[u8]) {
        self.ask("import", json!({ "document_id": document, "bytes": BASE64.encode(saved) })).await;
    }

    /// Looks for a document; gives `ready` or `unavailable`.
    pub async fn find(&self, document: &str) -> String {
        let answer = self.ask("find", json!({ "document_id": document })).await;
        answer["state"].as_str().expect("`find` gives a state").to_owned()
    }

    /// Looks for a document and waits until it is there: whoever makes it may be on the way to the relay still.
    pub async fn must_find(&self, document: &str) {
        if self.find(document).await != "ready" {
            self.ask("wait", json!({ "document_id": document, "state": "ready" })).await;
        }
    }

    /// Sets one value of a document; plain strings become `ImmutableString`, as Comity's fields need them.
    pub async fn set(&self, document: &str, path: &[&str], value: Json) {
        let set = json!([{ "path": path, "value": value }]);
        self.ask("change", json!({ "document_id": document, "set": set, "immutable": true })).await;
    }

    /// Reads a value of a document.
    pub async fn read(&self, document: &str, path: &[&str]) -> Json {
        self.ask("read", json!({ "document_id": document, "path": path })).await["value"].clone()
    }

    /// Waits until a value of a document is this.
    pub async fn wait_for(&self, document: &str, path: &[&str], equals: Json) {
        self.ask("wait", json!({ "document_id": document, "path": path, "equals": equals })).await;
    }

    /// Waits until the document has these heads.
    pub async fn wait_heads(&self, document: &str, heads: &[String]) {
        self.ask("wait", json!({ "document_id": document, "heads": heads })).await;
    }

    /// Gives the heads of a document, as sorted hex.
    pub async fn heads(&self, document: &str) -> Vec<String> {
        let answer = self.ask("read", json!({ "document_id": document, "path": [] })).await;
        hex_list(&answer["heads"])
    }

    /// Gives what went over its socket since the last time, ephemeral messages and the handshake apart.
    pub async fn traffic(&self) -> Traffic {
        let answer = self.ask("traffic", json!({ "reset": true })).await;
        let sum = |what: &str| {
            let counts = answer[what].as_object().expect("the driver counts by type");
            let of_documents = counts.iter().filter(|(of, _)| !matches!(of.as_str(), "ephemeral" | "join" | "peer"));
            of_documents.filter_map(|(_, count)| count.as_u64()).sum::<u64>()
        };
        Traffic {
            messages: sum("sent") + sum("received"),
            bytes: sum("sent_bytes") + sum("received_bytes"),
            details: answer,
        }
    }
}

/// What went over a client's socket about documents.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Messages, both ways.
    pub messages: u64,
    /// Bytes of data in them, both ways.
    pub bytes: u64,
    /// All of it, by direction and type.
    pub details: Json,
}

/// Reads a list of heads.
pub fn hex_list(heads: &Json) -> Vec<String> {
    let heads = heads.as_array().expect("heads are a list");
    heads.iter().map(|head| head.as_str().expect("a head is text").to_owned()).collect()
}
