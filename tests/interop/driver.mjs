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
//   traffic      name, reset?                      -> sent, received   {"sync": 3, "request": 1, …}
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
import { createServer } from "node:http"
import { readFileSync } from "node:fs"
import { WebSocketServer } from "ws"
import * as Automerge from "@automerge/automerge"
import { Repo, decodeHeads, encodeHeads, interpretAsDocumentId } from "@automerge/automerge-repo"
import { WebSocketClientAdapter, WebSocketServerAdapter } from "@automerge/automerge-repo-network-websocket"
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs"
import { at, fromJson, sameJson, toJson } from "./values.mjs"
import { DEFAULT_TIMEOUT_MS, Failure, until, within } from "./waiting.mjs"

const EPHEMERALS_MAX = 10_000

/** What the test calls each repo -> { repo, adapter, disk?, server?, http?, traffic, ephemerals }. */
const repos = new Map()

const COMMANDS = {
  open, serve, connected, disconnected, disconnect, reconnect, flush, shutdown, kill, traffic,
  create, import: importDocument, export: exportDocument, find, change, read, conflicts, wait,
  broadcast, wait_ephemeral: waitEphemeral, ephemerals, subscribe_remotes: subscribeRemotes,
  wait_remote_heads: waitRemoteHeads, storage, usage, ping, exit,
}

// ---- repos ----

async function open({ name, url, storage, peer_id, retry_ms = 5000, gossip = false, announce = true }) {
  need({ name, url })
  return register(name, new WebSocketClientAdapter(url, retry_ms), { storage, peer_id, gossip, announce })
}

async function serve({ name, port = 0, storage, peer_id, gossip = false, announce = false, keep_alive_ms = 5000 }) {
  need({ name })
  // The port opens last: a client that came before the adapter listens would be accepted and never heard.
  const http = createServer()
  const server = new WebSocketServer({ server: http })
  const adapter = new WebSocketServerAdapter(server, keep_alive_ms)
  const opened = await register(name, adapter, { storage, peer_id, gossip, announce })
  Object.assign(repos.get(name), { http, server })
  try {
    await new Promise((resolve, reject) => http.once("error", reject).listen(port, "127.0.0.1", resolve))
  } catch (error) {
    repos.delete(name)
    throw error
  }
  return { ...opened, port: http.address().port, url: `ws://127.0.0.1:${http.address().port}` }
}

async function register(name, adapter, { storage, peer_id, gossip, announce }) {
  if (repos.has(name)) throw new Failure("bad-command", `a repo named ${name} is open already; shut it down first`)
  const traffic = countTraffic(adapter)
  const disk = storage ? new NodeFSStorageAdapter(storage) : undefined
  const repo = new Repo({
    network: [adapter],
    storage: disk,
    enableRemoteHeadsGossiping: gossip,
    sharePolicy: async () => announce,
    ...(peer_id ? { peerId: peer_id } : {}),
  })
  repos.set(name, { repo, adapter, disk, traffic, ephemerals: new Map() })
  // Not `repo.storageId()`: two calls side by side on a fresh folder give two ids (2.5.6), and peers see this one.
  const { storageId } = await repo.networkSubsystem.peerMetadata
  return { peer_id: repo.peerId, storage_id: storageId ?? null }
}

function countTraffic(adapter) {
  const counts = { sent: {}, received: {} }
  const send = adapter.send
  adapter.send = message => {
    counts.sent[message.type] = (counts.sent[message.type] ?? 0) + 1
    return send.call(adapter, message)
  }
  adapter.on("message", message => {
    counts.received[message.type] = (counts.received[message.type] ?? 0) + 1
  })
  return counts
}

async function traffic({ name, reset = false }) {
  const held = repoOf(name)
  const { sent, received } = structuredClone(held.traffic)
  if (reset) Object.assign(held.traffic, { sent: {}, received: {} })
  return { sent, received }
}

async function connected({ name, peer_id, timeout_ms }) {
  const { repo } = repoOf(name)
  const there = () => (peer_id ? repo.peers.includes(peer_id) : repo.peers.length > 0)
  await until(repo.networkSubsystem, ["peer"], there, timeout_ms, () => `${name} has no such peer; it has [${repo.peers}]`)
  return { peers: repo.peers }
}

async function disconnected({ name, peer_id, timeout_ms }) {
  const { repo } = repoOf(name)
  const gone = () => (peer_id ? !repo.peers.includes(peer_id) : repo.peers.length === 0)
  await until(repo.networkSubsystem, ["peer-disconnected"], gone, timeout_ms, () => `${name} still has [${repo.peers}]`)
  return { peers: repo.peers }
}

async function disconnect({ name }) {
  repoOf(name).adapter.disconnect()
}

async function reconnect({ name }) {
  const { repo, adapter } = repoOf(name)
  adapter.connect(repo.peerId, adapter.peerMetadata)
}

async function flush({ name }) {
  const { repo } = repoOf(name)
  // Repo.flush() without a list rejects as soon as one handle is not ready.
  await repo.flush(Object.values(repo.handles).filter(handle => handle.isReady()).map(handle => handle.documentId))
}

async function shutdown({ name }) {
  const held = repoOf(name)
  await flush({ name })
  held.adapter.disconnect()
  await closePort(held)
  repos.delete(name)
}

async function kill({ name }) {
  const held = repoOf(name)
  // A killed process writes nothing more; the official code would go on for its 100 ms of debounce.
  const nothing = async () => {}
  if (held.disk) Object.assign(held.disk, { save: nothing, remove: nothing, removeRange: nothing })
  held.adapter.socket?.terminate()
  held.adapter.disconnect()
  await closePort(held)
  repos.delete(name)
}

function closePort({ http, server }) {
  server?.close()
  return http ? new Promise(resolve => http.close(resolve)) : undefined
}

// ---- documents ----

async function create({ name, value = {}, immutable = false }) {
  const held = repoOf(name)
  const handle = held.repo.create(fromJson(value, immutable))
  listen(held, handle)
  return { document_id: handle.documentId, heads: headsOf(handle) }
}

async function importDocument({ name, bytes, document_id }) {
  need({ name, bytes })
  const held = repoOf(name)
  const args = document_id ? { docId: interpretAsDocumentId(document_id) } : undefined
  const handle = held.repo.import(new Uint8Array(Buffer.from(bytes, "base64")), args)
  listen(held, handle)
  return { document_id: handle.documentId, heads: headsOf(handle) }
}

async function exportDocument({ name, document_id }) {
  return { bytes: Buffer.from(Automerge.save(readyHandle(name, document_id).doc())).toString("base64") }
}

async function find({ name, document_id, timeout_ms = DEFAULT_TIMEOUT_MS }) {
  need({ name, document_id })
  const held = repoOf(name)
  const id = interpretAsDocumentId(document_id)
  const found = held.repo.find(id, { allowableStates: ["ready", "unavailable"] })
  // The handle exists from here on: listen before the first ephemeral can arrive.
  if (held.repo.handles[id]) listen(held, held.repo.handles[id])
  const handle = await within(found, timeout_ms, () => `${name} is still ${held.repo.handles[id]?.state} on ${id}`)
  listen(held, handle)
  return { document_id: id, state: handle.state, ...(handle.isReady() ? { heads: headsOf(handle) } : {}) }
}

async function change(command) {
  const { name, document_id, at: heads, message, time, immutable = false } = command
  const { set = [], delete: remove = [], increment = [], splice = [] } = command
  const handle = readyHandle(name, document_id)
  const edit = document => {
    for (const { path, value } of set) parentOf(document, path)[path.at(-1)] = fromJson(value, immutable)
    for (const path of remove) delete parentOf(document, path)[path.at(-1)]
    for (const { path, by } of increment) at(document, path).increment(by)
    for (const { path, at: index, remove: count = 0, insert = "" } of splice)
      Automerge.splice(document, path, index, count, insert)
  }
  const options = { ...(message === undefined ? {} : { message }), ...(time === undefined ? {} : { time }) }
  if (heads) handle.changeAt(encodeHeads(heads), edit, options)
  else handle.change(edit, options)
  return { heads: headsOf(handle) }
}

function parentOf(document, path) {
  const parent = at(document, path.slice(0, -1))
  if (parent === null || typeof parent !== "object")
    throw new Failure("failed", `the path ${JSON.stringify(path)} has no parent in the document; set the parent first`)
  return parent
}

async function read({ name, document_id, path = [], typed = false }) {
  const handle = anyHandle(name, document_id)
  if (!handle.isReady()) return { state: handle.state }
  return { state: handle.state, value: toJson(at(handle.doc(), path), typed), heads: headsOf(handle) }
}

async function conflicts({ name, document_id, path }) {
  const document = readyHandle(name, document_id).doc()
  return { values: toJson(Automerge.getConflicts(parentOf(document, path), path.at(-1)) ?? {}, true) }
}

async function wait(command) {
  const { name, document_id, timeout_ms = DEFAULT_TIMEOUT_MS, state } = command
  const started = performance.now()
  const handle = anyHandle(name, document_id)
  const lacking = () => {
    const wants = "equals" in command ? ` (wanted ${JSON.stringify(command.equals)})` : ""
    const where = command.path ? `, ${JSON.stringify(command.path)} is ` : ", the document is "
    const seen = handle.isReady() ? where + JSON.stringify(toJson(at(handle.doc(), command.path ?? []))) + wants : ""
    return `${name} is ${handle.state} on ${handle.documentId}${seen}, heads ${handle.isReady() ? headsOf(handle) : "none"}`
  }
  if (state && state !== "ready") await within(handle.whenReady([state]), timeout_ms, lacking)
  else {
    // A handle announces new heads just before it calls itself ready, so readiness is awaited on its own.
    await within(handle.whenReady(["ready"]), timeout_ms, lacking)
    const left = timeout_ms - (performance.now() - started)
    await until(handle, ["heads-changed"], () => holds(handle.doc(), command), left, lacking)
  }
  const heads = handle.isReady() ? headsOf(handle) : []
  return { state: handle.state, heads, waited_ms: Math.round(performance.now() - started) }
}

function holds(document, { path = [], equals, exists, heads, has }) {
  const value = toJson(at(document, path))
  if (equals !== undefined && !sameJson(value, equals)) return false
  if (exists !== undefined && (value !== undefined) !== exists) return false
  if (heads && !sameJson(Automerge.getHeads(document).sort(), [...heads].sort())) return false
  return !has || Automerge.hasHeads(document, has)
}

// ---- ephemeral messages ----

async function broadcast({ name, document_id, message }) {
  readyHandle(name, document_id).broadcast(fromJson(message, false))
}

async function waitEphemeral({ name, document_id, equals, from, timeout_ms }) {
  const handle = anyHandle(name, document_id)
  const queue = listen(repoOf(name), handle)
  const wanted = one =>
    (equals === undefined || sameJson(one.message, equals)) && (from === undefined || one.sender_id === from)
  const lacking = () => `${name} has ${queue.length} other ephemeral messages: ${JSON.stringify(queue.slice(0, 5))}`
  await until(handle, ["ephemeral-message"], () => queue.some(wanted), timeout_ms, lacking)
  return queue.splice(queue.findIndex(wanted), 1)[0]
}

async function ephemerals({ name, document_id }) {
  return { messages: listen(repoOf(name), anyHandle(name, document_id)) }
}

/** Keeps the ephemeral messages of a document; returns the queue. */
function listen(held, handle) {
  const known = held.ephemerals.get(handle.documentId)
  if (known) return known
  const queue = []
  held.ephemerals.set(handle.documentId, queue)
  handle.on("ephemeral-message", ({ senderId, message }) => {
    if (queue.length === EPHEMERALS_MAX) queue.shift()
    queue.push({ sender_id: senderId, message: toJson(message) })
  })
  return queue
}

// ---- remote heads ----

async function subscribeRemotes({ name, storage_ids }) {
  repoOf(name).repo.subscribeToRemotes(storage_ids)
}

async function waitRemoteHeads({ name, document_id, storage_id, heads, timeout_ms }) {
  const handle = anyHandle(name, document_id)
  const seen = () => decodeHeads(handle.getRemoteHeads(storage_id) ?? []).sort()
  const there = () => handle.getRemoteHeads(storage_id) && (!heads || sameJson(seen(), [...heads].sort()))
  await until(handle, ["remote-heads"], there, timeout_ms, () => `${name} knows heads [${seen()}] of ${storage_id}`)
  return { heads: seen(), timestamp: handle.getSyncInfo(storage_id).lastSyncTimestamp }
}

// ---- storage and process ----

async function storage({ storage: folder, document_id }) {
  need({ storage: folder, document_id })
  const id = interpretAsDocumentId(document_id)
  // A file may be half written: where a repo of this process has the folder, its own cache is asked.
  const open = [...repos.values()].find(({ disk }) => disk?.baseDirectory === folder)?.disk
  const found = await (open ?? new NodeFSStorageAdapter(folder)).loadRange([id])
  const states = found.filter(({ key }) => key[1] === "sync-state")
  return {
    chunks: found.map(({ key, data }) => ({ key: key.slice(1), bytes: data?.length ?? 0 })),
    sync_states: states.map(({ key, data }) => ({
      storage_id: key[2],
      shared_heads: Automerge.decodeSyncState(data).sharedHeads.sort(),
    })),
  }
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

// ---- helpers ----

function need(fields) {
  for (const [key, value] of Object.entries(fields))
    if (value === undefined) throw new Failure("bad-command", `the field "${key}" is missing`)
}

function repoOf(name) {
  const held = repos.get(name)
  if (!held) throw new Failure("bad-command", `no repo named ${name}; open are [${[...repos.keys()]}]`)
  return held
}

function anyHandle(name, document_id) {
  need({ document_id })
  const { repo } = repoOf(name)
  const handle = repo.handles[interpretAsDocumentId(document_id)]
  if (!handle) throw new Failure("bad-command", `${name} has not met ${document_id}; create or find it first`)
  return handle
}

function readyHandle(name, document_id) {
  const handle = anyHandle(name, document_id)
  if (!handle.isReady()) throw new Failure("failed", `${document_id} is ${handle.state} in ${name}, not ready`)
  return handle
}

function headsOf(handle) {
  return Automerge.getHeads(handle.doc()).sort()
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

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on("line", line => { if (line.trim()) void obey(line) })
  .on("close", () => process.exit(0))
answer({ event: "ready", protocol: 1, versions: versions() })
