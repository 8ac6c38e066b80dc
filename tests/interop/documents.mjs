// The commands about one document: making, finding, editing, reading, waiting; ephemerals, remote heads, storage.

import * as Automerge from "@automerge/automerge"
import { decodeHeads, encodeHeads, interpretAsDocumentId } from "@automerge/automerge-repo"
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs"
import { need, openDisk, repoOf } from "./repos.mjs"
import { at, fromJson, sameJson, toJson } from "./values.mjs"
import { DEFAULT_TIMEOUT_MS, Failure, until, within } from "./waiting.mjs"

const EPHEMERALS_MAX = 10_000

export async function create({ name, value = {}, immutable = false }) {
  const held = repoOf(name)
  const handle = held.repo.create(fromJson(value, immutable))
  listen(held, handle)
  return { document_id: handle.documentId, heads: headsOf(handle) }
}

export async function importDocument({ name, bytes, document_id }) {
  need({ name, bytes })
  const held = repoOf(name)
  const args = document_id ? { docId: interpretAsDocumentId(document_id) } : undefined
  const handle = held.repo.import(new Uint8Array(Buffer.from(bytes, "base64")), args)
  listen(held, handle)
  return { document_id: handle.documentId, heads: headsOf(handle) }
}

export async function exportDocument({ name, document_id }) {
  return { bytes: Buffer.from(Automerge.save(readyHandle(name, document_id).doc())).toString("base64") }
}

export async function find({ name, document_id, timeout_ms = DEFAULT_TIMEOUT_MS }) {
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

export async function change(command) {
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

export async function read({ name, document_id, path = [], typed = false }) {
  const handle = anyHandle(name, document_id)
  if (!handle.isReady()) return { state: handle.state }
  return { state: handle.state, value: toJson(at(handle.doc(), path), typed), heads: headsOf(handle) }
}

export async function conflicts({ name, document_id, path }) {
  const document = readyHandle(name, document_id).doc()
  return { values: toJson(Automerge.getConflicts(parentOf(document, path), path.at(-1)) ?? {}, true) }
}

export async function wait(command) {
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

export async function broadcast({ name, document_id, message }) {
  readyHandle(name, document_id).broadcast(fromJson(message, false))
}

export async function waitEphemeral({ name, document_id, equals, from, timeout_ms }) {
  const handle = anyHandle(name, document_id)
  const queue = listen(repoOf(name), handle)
  const wanted = one =>
    (equals === undefined || sameJson(one.message, equals)) && (from === undefined || one.sender_id === from)
  const lacking = () => `${name} has ${queue.length} other ephemeral messages: ${JSON.stringify(queue.slice(0, 5))}`
  await until(handle, ["ephemeral-message"], () => queue.some(wanted), timeout_ms, lacking)
  return queue.splice(queue.findIndex(wanted), 1)[0]
}

export async function ephemerals({ name, document_id }) {
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

export async function subscribeRemotes({ name, storage_ids }) {
  repoOf(name).repo.subscribeToRemotes(storage_ids)
}

export async function waitRemoteHeads({ name, document_id, storage_id, heads, timeout_ms }) {
  const handle = anyHandle(name, document_id)
  const seen = () => decodeHeads(handle.getRemoteHeads(storage_id) ?? []).sort()
  const there = () => handle.getRemoteHeads(storage_id) && (!heads || sameJson(seen(), [...heads].sort()))
  await until(handle, ["remote-heads"], there, timeout_ms, () => `${name} knows heads [${seen()}] of ${storage_id}`)
  return { heads: seen(), timestamp: handle.getSyncInfo(storage_id).lastSyncTimestamp }
}

// ---- storage ----

export async function storage({ storage: folder, document_id }) {
  need({ storage: folder, document_id })
  const id = interpretAsDocumentId(document_id)
  // A file may be half written: where a repo of this process has the folder, its own cache is asked.
  const found = await (openDisk(folder) ?? new NodeFSStorageAdapter(folder)).loadRange([id])
  const states = found.filter(({ key }) => key[1] === "sync-state")
  return {
    chunks: found.map(({ key, data }) => ({ key: key.slice(1), bytes: data?.length ?? 0 })),
    sync_states: states.map(({ key, data }) => ({
      storage_id: key[2],
      shared_heads: Automerge.decodeSyncState(data).sharedHeads.sort(),
    })),
  }
}

// ---- helpers ----

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
