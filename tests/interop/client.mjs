// Talks to the driver from JavaScript: what the self-test uses, and a model for the Rust side.

import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

/** Starts a driver. `ask(cmd, fields)` resolves with the answer or rejects with its `kind` and `error`. */
export async function startDriver() {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./driver.mjs", import.meta.url))], {
    stdio: ["pipe", "pipe", process.env.INTEROP_VERBOSE ? "inherit" : "ignore"],
  })
  const waiting = new Map()
  const events = []
  let nextId = 1
  let ready
  const started = new Promise(resolve => (ready = resolve))
  createInterface({ input: child.stdout }).on("line", line => {
    const message = JSON.parse(line)
    if (message.event === "ready") return ready(message)
    if (message.event) return events.push(message)
    const { resolve, reject } = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.ok) resolve(message)
    else reject(Object.assign(new Error(message.error), { kind: message.kind }))
  })
  const ask = (cmd, fields = {}) =>
    new Promise((resolve, reject) => {
      const id = nextId++
      waiting.set(id, { resolve, reject })
      child.stdin.write(JSON.stringify({ id, cmd, ...fields }) + "\n")
    })
  const { versions } = await started
  const stop = () => new Promise(resolve => child.once("exit", resolve) && child.stdin.end())
  return { ask, events, versions, stop }
}
