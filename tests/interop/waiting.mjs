// Waiting with an end: on promises and on events, never by polling.

export const DEFAULT_TIMEOUT_MS = 10_000

/** What a command answers when it fails; `kind` is one of those at the top of driver.mjs. */
export class Failure extends Error {
  constructor(kind, message) {
    super(message)
    this.kind = kind
  }
}

/** Waits for a promise at most `timeout_ms`. */
export function within(promise, timeout_ms = DEFAULT_TIMEOUT_MS, lacking) {
  let timer
  const late = new Promise((_, reject) => {
    const report = () => reject(new Failure("timeout", `after ${Math.round(timeout_ms)} ms: ${lacking()}`))
    timer = setTimeout(report, Math.max(timeout_ms, 0))
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Waits until a condition holds, looking again after each of the named events. */
export function until(emitter, events, condition, timeout_ms, lacking) {
  let look
  const met = new Promise((resolve, reject) => {
    // The official code emits in the middle of its own work: look when that is done.
    look = () => queueMicrotask(() => {
      try {
        if (condition()) resolve()
      } catch (error) {
        reject(error)
      }
    })
    events.forEach(event => emitter.on(event, look))
    look()
  })
  return within(met, timeout_ms, lacking).finally(() => events.forEach(event => emitter.off(event, look)))
}
