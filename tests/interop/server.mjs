// The official server as a process of its own, for the benchmark: automerge-repo's Repo, WebSocketServerAdapter and
// file storage, put together as in @automerge/automerge-repo-sync-server.
//
//   node tests/interop/server.mjs FOLDER
//
// Prints one line, {"url":"ws://127.0.0.1:PORT"}, when it serves. SIGTERM writes what is not written yet, and ends it.

import { createServer } from "node:http"
import { WebSocketServer } from "ws"
import { Repo } from "@automerge/automerge-repo"
import { WebSocketServerAdapter } from "@automerge/automerge-repo-network-websocket"
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs"

const [folder] = process.argv.slice(2)
if (!folder) {
  console.error("usage: node server.mjs FOLDER")
  process.exit(2)
}
// Standard output is for the one line.
console.log = console.info = console.debug = console.error

const http = createServer()
const server = new WebSocketServer({ server: http })
const repo = new Repo({
  // A client that waits for its turn in the benchmark does not answer pings; 5 s would be usual.
  network: [new WebSocketServerAdapter(server, 60_000)],
  storage: new NodeFSStorageAdapter(folder),
  peerId: `server-${process.pid}`,
  sharePolicy: async () => false,
})

process.on("SIGTERM", async () => {
  await repo.flush(Object.values(repo.handles).filter(handle => handle.isReady()).map(handle => handle.documentId))
  process.exit(0)
})

// The port opens last: a client that came before the adapter listens would be accepted and never heard.
await repo.networkSubsystem.peerMetadata
// A crowd comes at once, and finds as long a queue at every server.
http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  process.stdout.write(JSON.stringify({ url: `ws://127.0.0.1:${http.address().port}` }) + "\n"),
)
