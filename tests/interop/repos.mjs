// The repos of the test: official clients and servers by name, and the commands that open, watch and end them.

import { createServer } from "node:http"
import { WebSocketServer } from "ws"
import { Repo } from "@automerge/automerge-repo"
import { WebSocketClientAdapter, WebSocketServerAdapter } from "@automerge/automerge-repo-network-websocket"
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs"
import { Failure, until } from "./waiting.mjs"

/** What the test calls each repo -> { repo, adapter, disk?, server?, http?, traffic, ephemerals }. */
const repos = new Map()

export async function open({ name, url, storage, peer_id, retry_ms = 5000, gossip = false, announce = true }) {
  need({ name, url })
  return register(name, new WebSocketClientAdapter(url, retry_ms), { storage, peer_id, gossip, announce })
}

export async function serve({ name, port = 0, storage, peer_id, gossip = false, announce = false, keep_alive_ms = 5000 }) {
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
  const counts = { sent: {}, received: {}, sent_bytes: {}, received_bytes: {} }
  const count = (direction, { type, data }) => {
    counts[direction][type] = (counts[direction][type] ?? 0) + 1
    const bytes = `${direction}_bytes`
    counts[bytes][type] = (counts[bytes][type] ?? 0) + (data?.byteLength ?? 0)
  }
  const send = adapter.send
  adapter.send = message => {
    count("sent", message)
    return send.call(adapter, message)
  }
  adapter.on("message", message => count("received", message))
  return counts
}

export async function traffic({ name, reset = false }) {
  const held = repoOf(name)
  const { sent, received, sent_bytes, received_bytes } = structuredClone(held.traffic)
  if (reset) Object.assign(held.traffic, { sent: {}, received: {}, sent_bytes: {}, received_bytes: {} })
  return { sent, received, sent_bytes, received_bytes }
}

export async function connected({ name, peer_id, timeout_ms }) {
  const { repo } = repoOf(name)
  const there = () => (peer_id ? repo.peers.includes(peer_id) : repo.peers.length > 0)
  await until(repo.networkSubsystem, ["peer"], there, timeout_ms, () => `${name} has no such peer; it has [${repo.peers}]`)
  return { peers: repo.peers }
}

export async function disconnected({ name, peer_id, timeout_ms }) {
  const { repo } = repoOf(name)
  const gone = () => (peer_id ? !repo.peers.includes(peer_id) : repo.peers.length === 0)
  await until(repo.networkSubsystem, ["peer-disconnected"], gone, timeout_ms, () => `${name} still has [${repo.peers}]`)
  return { peers: repo.peers }
}

export async function disconnect({ name }) {
  repoOf(name).adapter.disconnect()
}

export async function reconnect({ name }) {
  const { repo, adapter } = repoOf(name)
  adapter.connect(repo.peerId, adapter.peerMetadata)
}

export async function flush({ name }) {
  const { repo } = repoOf(name)
  // Repo.flush() without a list rejects as soon as one handle is not ready.
  await repo.flush(Object.values(repo.handles).filter(handle => handle.isReady()).map(handle => handle.documentId))
}

export async function shutdown({ name }) {
  const held = repoOf(name)
  await flush({ name })
  held.adapter.disconnect()
  await closePort(held)
  repos.delete(name)
}

export async function kill({ name }) {
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

/** Refuses a command that lacks a field. */
export function need(fields) {
  for (const [key, value] of Object.entries(fields))
    if (value === undefined) throw new Failure("bad-command", `the field "${key}" is missing`)
}

/** Returns what is held under a name. */
export function repoOf(name) {
  const held = repos.get(name)
  if (!held) throw new Failure("bad-command", `no repo named ${name}; open are [${[...repos.keys()]}]`)
  return held
}

/** Returns the storage adapter of an open repo on a folder. */
export function openDisk(folder) {
  return [...repos.values()].find(({ disk }) => disk?.baseDirectory === folder)?.disk
}
