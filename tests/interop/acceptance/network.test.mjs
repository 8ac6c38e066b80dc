// automerge-repo's own acceptance tests for network adapters, as they come, with a Comity relay between the peers.
//
// The suite is written for peers that are linked to each other. Through a relay a peer is linked to the relay and to
// nobody else, as with automerge-repo's own sync server; so what two peers learn of each other's *connection* does not
// hold. Those tests are named below, with the reason; a test that is neither known to apply nor named here fails the
// run, so that a new version of the suite is looked at by a person.
//
// COMITY_RELAY is the URL of the relay.

// Loads Automerge itself; the suite imports the part of automerge-repo that expects it to be there.
import "@automerge/automerge-repo"
import { afterAll, beforeEach, expect } from "vitest"
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket"
import { runNetworkAdapterTests } from "@automerge/automerge-repo/helpers/tests/network-adapter-tests.js"

const APPLY = [
  "can sync 2 repos",
  "can sync 3 repos",
  "can broadcast a message",
  "should support reconnecting after disconnect",
]

const DO_NOT_APPLY = {
  "emits a peer-candidate event with proper peer metadata when a peer connects":
    "the candidate is the relay, with the relay's metadata; peers are not told who else is connected",
  "should emit disconnect events on disconnect":
    "the other peer stays linked to the relay, and is not told who left",
  "should not send messages after disconnect":
    "it waits for the other peer to be told who left",
}

const url = process.env.COMITY_RELAY
if (!url) throw new Error("COMITY_RELAY must name a relay")

const seen = []

beforeEach(({ task, skip }) => {
  seen.push(task.name)
  const reason = DO_NOT_APPLY[task.name]
  if (reason) skip(reason)
})

afterAll(() => expect(seen.sort(), "the tests of the suite").toEqual([...APPLY, ...Object.keys(DO_NOT_APPLY)].sort()))

// The official adapter, whose `disconnect` takes its listeners off a socket and then closes it. One that is still
// connecting tells of that by an error (`ws`), which nobody hears then, and which would fail the whole run: the suite
// disconnects one peer as soon as the other one is linked.
class Adapter extends WebSocketClientAdapter {
  disconnect() {
    this.socket?.on("error", () => {})
    super.disconnect()
  }
}

// The suite gives a document 50 ms to get from one peer to the other, and `find` gives up at the first "no". That is
// enough on a busy machine too: the relay says "no" only when nobody brought the document within a second.
runNetworkAdapterTests(async () => {
  const adapters = [0, 1, 2].map(() => new Adapter(url, 200))
  // An adapter that a test did not use has nothing to disconnect from, and says so by throwing.
  const teardown = () => adapters.filter(adapter => adapter.socket).forEach(adapter => adapter.disconnect())
  return { adapters, teardown }
}, "through a Comity relay")
