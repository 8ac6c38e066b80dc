// Proves the driver against the official server before anything of ours is tested with it: when one of these fails,
// the fault is in the harness or in the official packages, not in Comity. Run with `npm test`.

import assert from "node:assert/strict"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, afterEach, before, beforeEach, test } from "node:test"
import { startDriver } from "./client.mjs"

let driver, ask, base, folder

before(async () => {
  base = await mkdtemp(join(tmpdir(), "comity-interop-"))
  driver = await startDriver()
  ask = driver.ask
})
after(async () => {
  await driver.stop()
  await rm(base, { recursive: true, force: true })
})
beforeEach(async () => (folder = await mkdtemp(join(base, "test-"))))
afterEach(async () => {
  for (const name of ["alice", "bob", "carol", "server"]) await ask("kill", { name }).catch(() => {})
})

const note = (t, what, started) => t.diagnostic(`${what}: ${Math.round(performance.now() - started)} ms`)

async function serve(fields = {}) {
  return ask("serve", { name: "server", storage: join(folder, "server"), ...fields })
}

async function join_(url, name, fields = {}) {
  await ask("open", { name, url, retry_ms: 200, ...fields })
  await ask("connected", { name })
}

test("a document made by one client is found, edited and read by another", async t => {
  const { url } = await serve()
  await join_(url, "alice")
  await join_(url, "bob")
  const { document_id } = await ask("create", { name: "alice", value: { values: {} }, immutable: true })

  let started = performance.now()
  const found = await ask("find", { name: "bob", document_id })
  note(t, "find", started)
  assert.equal(found.state, "ready")

  started = performance.now()
  const set = [{ path: ["values", "M050/status"], value: "microcracks" }]
  const { heads } = await ask("change", { name: "bob", document_id, set, immutable: true })
  await ask("wait", { name: "alice", document_id, path: ["values", "M050/status"], equals: "microcracks" })
  note(t, "edit to read", started)
  await ask("wait", { name: "alice", document_id, heads })
  const { value } = await ask("read", { name: "alice", document_id, typed: true })
  assert.deepEqual(value, { values: { "M050/status": { $immutable: "microcracks" } } })
})

test("twenty edits in a row arrive; the client bundles them", async t => {
  const { url } = await serve()
  await join_(url, "alice")
  await join_(url, "bob")
  const { document_id } = await ask("create", { name: "alice", value: { n: 0 } })
  await ask("find", { name: "bob", document_id })
  await ask("wait", { name: "bob", document_id, path: ["n"], equals: 0 })
  await ask("traffic", { name: "alice", reset: true })
  const started = performance.now()
  for (let n = 1; n <= 20; n++) await ask("change", { name: "alice", document_id, set: [{ path: ["n"], value: n }] })
  await ask("wait", { name: "bob", document_id, path: ["n"], equals: 20 })
  note(t, "20 edits", started)
  t.diagnostic(`alice's traffic: ${JSON.stringify(await ask("traffic", { name: "alice" }))}`)
})

test("concurrent edits of one field leave both values and the same winner", async () => {
  const { url } = await serve()
  await join_(url, "alice")
  await join_(url, "bob")
  const { document_id } = await ask("create", { name: "alice", value: { status: "ok" }, immutable: true })
  await ask("find", { name: "bob", document_id })
  await ask("disconnect", { name: "alice" })
  await ask("disconnect", { name: "bob" })
  for (const [name, value] of [["alice", "dead"], ["bob", "microcracks"]])
    await ask("change", { name, document_id, set: [{ path: ["status"], value }], immutable: true })
  const heads = []
  for (const name of ["alice", "bob"]) {
    heads.push(...(await ask("read", { name, document_id })).heads)
    await ask("reconnect", { name })
  }
  for (const name of ["alice", "bob"]) await ask("wait", { name, document_id, heads })
  const sides = []
  for (const name of ["alice", "bob"]) {
    const { values } = await ask("conflicts", { name, document_id, path: ["status"] })
    assert.equal(Object.keys(values).length, 2)
    sides.push((await ask("read", { name, document_id })).value)
  }
  assert.deepEqual(sides[0], sides[1])
})

test("ephemeral messages reach the other client once, with the sender's id", async t => {
  const { url } = await serve()
  await join_(url, "alice", { peer_id: "alice-tablet" })
  await join_(url, "bob")
  const { document_id } = await ask("create", { name: "alice", value: { a: 1 } })
  await ask("find", { name: "bob", document_id })
  const started = performance.now()
  await ask("broadcast", { name: "alice", document_id, message: { cursor: "M050" } })
  const got = await ask("wait_ephemeral", { name: "bob", document_id, equals: { cursor: "M050" } })
  note(t, "ephemeral", started)
  assert.equal(got.sender_id, "alice-tablet")
  await ask("broadcast", { name: "alice", document_id, message: "last" })
  await ask("wait_ephemeral", { name: "bob", document_id, equals: "last" })
  assert.deepEqual((await ask("ephemerals", { name: "bob", document_id })).messages, [])
})

test("an unknown document is unavailable, and becomes ready by itself when somebody brings it", async t => {
  const { url } = await serve()
  await join_(url, "bob")
  // Made by a client that is not connected to anything yet.
  await ask("open", { name: "alice", url: "ws://127.0.0.1:9", retry_ms: 60_000 })
  const { document_id } = await ask("create", { name: "alice", value: { late: true } })
  const { bytes } = await ask("export", { name: "alice", document_id })
  await ask("shutdown", { name: "alice" })

  let started = performance.now()
  assert.equal((await ask("find", { name: "bob", document_id })).state, "unavailable")
  note(t, "unavailable", started)
  assert.equal((await ask("find", { name: "bob", document_id })).state, "unavailable")
  t.diagnostic(`bob's traffic while unavailable: ${JSON.stringify(await ask("traffic", { name: "bob" }))}`)

  await join_(url, "carol")
  started = performance.now()
  await ask("import", { name: "carol", bytes, document_id })
  await ask("wait", { name: "bob", document_id, path: ["late"], equals: true })
  note(t, "unavailable to ready", started)
  t.diagnostic(`bob's traffic afterwards: ${JSON.stringify(await ask("traffic", { name: "bob" }))}`)
  assert.equal((await ask("find", { name: "bob", document_id })).state, "ready")
})

test("clients come back by themselves after the server was cut off, with the edits made meanwhile", async t => {
  const { port, url } = await serve({ peer_id: "server-1" })
  await join_(url, "alice", { storage: join(folder, "alice") })
  await join_(url, "bob")
  const { document_id } = await ask("create", { name: "alice", value: { n: 1 } })
  await ask("find", { name: "bob", document_id })
  await ask("flush", { name: "server" })
  await ask("kill", { name: "server" })
  await ask("disconnected", { name: "alice" })
  await ask("disconnected", { name: "bob" })
  const { heads } = await ask("change", { name: "alice", document_id, set: [{ path: ["n"], value: 2 }] })

  const started = performance.now()
  await serve({ port, peer_id: "server-1" })
  await ask("wait", { name: "bob", document_id, heads })
  note(t, "server back to bob's read (clients retry every 200 ms)", started)
  t.diagnostic(`exceptions outside commands: ${JSON.stringify(driver.events)}`)
})

test("a server that lost its disk gets the document back from a client", async () => {
  const { port, url } = await serve({ peer_id: "server-1" })
  await join_(url, "alice", { storage: join(folder, "alice") })
  const { document_id, heads } = await ask("create", { name: "alice", value: { n: 1 } })
  await join_(url, "bob")
  await ask("find", { name: "bob", document_id })
  await ask("shutdown", { name: "bob" })
  await ask("kill", { name: "server" })
  await ask("disconnected", { name: "alice" })
  await serve({ port, peer_id: "server-1", storage: join(folder, "fresh") })
  await ask("connected", { name: "alice" })
  await join_(url, "carol")
  const found = await ask("find", { name: "carol", document_id })
  if (found.state === "unavailable") await ask("wait", { name: "carol", document_id, heads })
  assert.deepEqual((await ask("read", { name: "carol", document_id })).heads, heads)
})

test("a document looked for while offline is unavailable after a second, and ready once connected", async t => {
  const { port, url } = await serve()
  const { document_id } = await ask("create", { name: "server", value: { n: 1 } })
  await ask("shutdown", { name: "server" })
  await ask("open", { name: "alice", url, retry_ms: 200 })
  const started = performance.now()
  assert.equal((await ask("find", { name: "alice", document_id })).state, "unavailable")
  note(t, "unavailable when offline", started)
  await serve({ port })
  await ask("find", { name: "server", document_id })
  await ask("wait", { name: "alice", document_id, path: ["n"], equals: 1 })
})

test("the sync state with the server outlives a restart of the client", async () => {
  const { url, storage_id } = await serve()
  const storage = join(folder, "alice")
  await join_(url, "alice", { storage })
  const { document_id, heads } = await ask("create", { name: "alice", value: { n: 1 } })
  await join_(url, "bob")
  await ask("find", { name: "bob", document_id })
  // The client writes its sync state up to 100 ms late and announces nothing: edit until it is there.
  let states = []
  for (let n = 0; n < 100 && !states.some(state => state.shared_heads.length > 0); n++) {
    await ask("change", { name: "bob", document_id, set: [{ path: ["n"], value: n }] })
    await ask("wait", { name: "alice", document_id, path: ["n"], equals: n })
    states = (await ask("storage", { storage, document_id })).sync_states
  }
  assert.equal(states[0].storage_id, storage_id)
  assert.notDeepEqual(states[0].shared_heads, [])
  assert.equal(heads.length, 1)
  await ask("shutdown", { name: "alice" })
  await join_(url, "alice", { storage })
  assert.equal((await ask("find", { name: "alice", document_id })).state, "ready")
  const { heads: now } = await ask("read", { name: "bob", document_id })
  await ask("wait", { name: "alice", document_id, heads: now })
})

test("with gossip, a client learns the heads that another client's storage holds", async t => {
  const { url } = await serve({ gossip: true })
  const { storage_id } = await ask("open", {
    name: "alice", url, retry_ms: 200, storage: join(folder, "alice"), gossip: true,
  })
  await ask("connected", { name: "alice" })
  await join_(url, "bob", { gossip: true })
  const { document_id, heads } = await ask("create", { name: "alice", value: { n: 1 } })
  await ask("find", { name: "bob", document_id })
  await ask("subscribe_remotes", { name: "bob", storage_ids: [storage_id] })
  const started = performance.now()
  const set = [{ path: ["n"], value: 2 }]
  const changed = await ask("change", { name: "alice", document_id, set })
  const got = await ask("wait_remote_heads", { name: "bob", document_id, storage_id, heads: changed.heads })
  note(t, "remote heads", started)
  assert.notDeepEqual(got.heads, heads)
  t.diagnostic(`bob's traffic: ${JSON.stringify(await ask("traffic", { name: "bob" }))}`)
})

test("mistakes and time-outs are answered, and the driver goes on", async () => {
  await assert.rejects(ask("read", { name: "nobody", document_id: "x" }), { kind: "bad-command" })
  await assert.rejects(ask("nonsense"), { kind: "bad-command" })
  const { url } = await serve()
  await join_(url, "alice")
  const { document_id } = await ask("create", { name: "alice", value: { n: 1 } })
  const late = ask("wait", { name: "alice", document_id, path: ["n"], equals: 2, timeout_ms: 50 })
  await assert.rejects(late, { kind: "timeout", message: /\["n"\] is 1 \(wanted 2\)/ })
  await assert.rejects(ask("change", { name: "alice", document_id, set: [{ path: ["a", "b"], value: 1 }] }), /no parent/)
  await ask("ping")
})
