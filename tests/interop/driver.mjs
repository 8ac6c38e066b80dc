// The interop driver: one process that holds official automerge-repo clients and servers and obeys a test.
//
//   node tests/interop/driver.mjs
//
// PROTOCOL. One JSON object a line, commands on stdin, answers on stdout; stderr is for people.
//
//   first line out   {"event":"ready","protocol":1,"versions":{…}}
//   command          {"id":7,"cmd":"read","name":"alice","document_id":"4NMNnkMhL8jXrdJ9jamS58PAVdXu"}
//   answer           {"id":7,"ok":true, …}
//   failure          {"id":7,"ok":false,"kind":"timeout","error":"what, where, and what was seen instead"}
//   unasked          {"event":"uncaught","error":"…"}   an exception in the official code, outside any command
//
// Commands start in the order in which they are sent and run side by side, so a `wait` does not hold up what follows;
// match answers by `id`. Nothing that fails ends the process; end of stdin or `exit` does.
// Failure kinds: "bad-command" (the test is wrong), "timeout", "failed" (the official library said no).
//
// Common fields: `name` is the test's own name for a repo (client or server); `document_id` is base58check, with or
// without "automerge:"; `path` is a list of keys and indexes; heads are sorted lists of hex hashes; `timeout_ms` has
// the default 10000. Values are JSON with the tags of values.mjs; `immutable: true` turns every plain string of a
// command into an ImmutableString, which is what Comity's fields need.
//
// Repos
//   open         name, url, storage?, peer_id?, retry_ms? (5000), gossip? (false), announce? (true)
//                -> peer_id, storage_id            a Repo with a WebSocketClientAdapter; `storage` is a folder (nodefs)
//   serve        name, port? (0: any), storage?, peer_id?, gossip?, announce? (false), keep_alive_ms? (5000)
//                -> port, url, peer_id, storage_id  the official server: Repo and WebSocketServerAdapter
//   connected    name, peer_id?, timeout_ms?       -> peers   waits until that peer (or anyone) is there
//   disconnected name, peer_id?, timeout_ms?       -> peers   waits until that peer is (or all are) gone
//   disconnect   name                              closes the client's socket; the repo and its documents stay
//   reconnect    name                              dials again at once
//   flush        name                              writes every ready document to storage
//   shutdown     name                              flush, close, forget the repo (a server: its port too)
//   kill         name                              cut as by SIGKILL: sockets terminated, nothing more is written
//   traffic      name, reset?                      -> sent, received: messages by type {"sync": 3, "request": 1, …};
//                                                     sent_bytes, received_bytes: bytes of their data by type
// Documents
//   create       name, value? ({}), immutable?     -> document_id, heads
//   import       name, bytes (base64), document_id?-> document_id, heads
//   export       name, document_id                 -> bytes (base64 of Automerge.save)
//   find         name, document_id, timeout_ms?    -> state: "ready" | "unavailable"; ready adds heads
//   change       name, document_id, set? [{path, value}], delete? [path], increment? [{path, by}], splice?
//                [{path, at, remove, insert}], immutable?, at? (heads), message?, time?  -> heads    one change
//   read         name, document_id, path?, typed?  -> state, value, heads
//   conflicts    name, document_id, path           -> values  {"2@actor": value}
//   wait         name, document_id, timeout_ms?, and all that must hold: state? · path + equals? · path + exists? ·
//                heads? · has? (change hashes that must be in the history)          -> heads, waited_ms
// Ephemeral messages (kept from the moment the repo first meets the document, 10000 at most)
//   broadcast       name, document_id, message
//   wait_ephemeral  name, document_id, equals?, from?, timeout_ms?  -> message, sender_id; taken out of the queue
//   ephemerals      name, document_id                               -> messages; nothing is taken out
// Remote heads (with gossip)
//   subscribe_remotes  name, storage_ids
//   wait_remote_heads  name, document_id, storage_id, heads?, timeout_ms?  -> heads, timestamp
// Storage
//   storage      storage, document_id              -> chunks [{key, bytes}], sync_states [{storage_id, shared_heads}]
// Process
//   usage        -> rss_bytes, cpu_user_us, cpu_system_us
//   ping, exit

import { createInterface } from "node:readline"
import { readFileSync } from "node:fs"
import * as documents from "./documents.mjs"
import * as repos from "./repos.mjs"
import { Failure } from "./waiting.mjs"

const COMMANDS = {
  open: repos.open,
  serve: repos.serve,
  connected: repos.connected,
  disconnected: repos.disconnected,
  disconnect: repos.disconnect,
  reconnect: repos.reconnect,
  flush: repos.flush,
  shutdown: repos.shutdown,
  kill: repos.kill,
  traffic: repos.traffic,
  create: documents.create,
  import: documents.importDocument,
  export: documents.exportDocument,
  find: documents.find,
  change: documents.change,
  read: documents.read,
  conflicts: documents.conflicts,
  wait: documents.wait,
  broadcast: documents.broadcast,
  wait_ephemeral: documents.waitEphemeral,
  ephemerals: documents.ephemerals,
  subscribe_remotes: documents.subscribeRemotes,
  wait_remote_heads: documents.waitRemoteHeads,
  storage: documents.storage,
  usage,
  ping,
  exit,
}

async function usage() {
  const { user, system } = process.cpuUsage()
  return { rss_bytes: process.memoryUsage.rss(), cpu_user_us: user, cpu_system_us: system }
}

async function ping() {}

async function exit({ id }) {
  answer({ id, ok: true })
  process.stdout.write("", () => process.exit(0))
  return new Promise(() => {})
}

function answer(message) {
  process.stdout.write(JSON.stringify(message) + "\n")
}

async function obey(line) {
  let command = {}
  try {
    command = JSON.parse(line)
    if (!Object.hasOwn(COMMANDS, command.cmd)) throw new Failure("bad-command", `unknown command "${command.cmd}"`)
    answer({ id: command.id, ok: true, ...(await COMMANDS[command.cmd](command)) })
  } catch (error) {
    const kind = error instanceof SyntaxError ? "bad-command" : error.kind ?? "failed"
    answer({ id: command?.id ?? null, ok: false, kind, error: String(error?.message ?? error) })
  }
}

function versions() {
  const { dependencies } = JSON.parse(readFileSync(new URL("./package.json", import.meta.url)))
  return { node: process.version, ...dependencies }
}

// The official code logs to stdout and throws inside socket callbacks; neither may break the protocol.
console.log = console.info = console.debug = console.error
const uncaught = error => answer({ event: "uncaught", error: String(error?.message ?? error), code: error?.code })
process.on("uncaughtException", uncaught)
process.on("unhandledRejection", uncaught)
process.stdout.on("error", () => process.exit(1)) // The test is gone.

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on("line", line => { if (line.trim()) void obey(line) })
  .on("close", () => process.exit(0))
answer({ event: "ready", protocol: 1, versions: versions() })
