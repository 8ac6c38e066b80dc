// Values on their way between JSON (what the test writes and reads) and Automerge.
//
// Plain JSON stands for itself; what JSON cannot say is an object with one key that begins with `$`:
// {"$immutable": "ok"}, {"$text": "shared prose"}, {"$counter": 3}, {"$date": 1700000000000},
// {"$bytes": "base64"}, {"$int": 5}, {"$uint": 5}, {"$float": 5}.

import * as Automerge from "@automerge/automerge"

const { Counter, Float64, ImmutableString, Int, Uint } = Automerge

const TAGS = {
  $immutable: text => new ImmutableString(text),
  $text: text => text,
  $counter: number => new Counter(number),
  $date: milliseconds => new Date(milliseconds),
  $bytes: base64 => new Uint8Array(Buffer.from(base64, "base64")),
  $int: number => new Int(number),
  $uint: number => new Uint(number),
  $float: number => new Float64(number),
}

/** Makes an Automerge value from JSON. With `immutable`, a plain string becomes an ImmutableString. */
export function fromJson(value, immutable) {
  if (typeof value === "string") return immutable ? new ImmutableString(value) : value
  if (Array.isArray(value)) return value.map(item => fromJson(item, immutable))
  if (value === null || typeof value !== "object") return value
  const keys = Object.keys(value)
  if (keys.length === 1 && keys[0] in TAGS) return TAGS[keys[0]](value[keys[0]])
  return Object.fromEntries(keys.map(key => [key, fromJson(value[key], immutable)]))
}

/** Makes JSON from an Automerge value. With `typed`, immutable strings and counters keep their tags. */
export function toJson(value, typed) {
  if (Automerge.isImmutableString(value)) return typed ? { $immutable: value.val } : value.val
  if (Automerge.isCounter(value)) return typed ? { $counter: value.value } : value.value
  if (value instanceof Date) return { $date: value.getTime() }
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") }
  if (Array.isArray(value)) return value.map(item => toJson(item, typed))
  if (typeof value === "bigint") return Number(value)
  if (value === null || typeof value !== "object") return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item, typed)]))
}

/** Looks a path up in a document; `undefined` when a step is missing. */
export function at(value, path) {
  return path.reduce((inner, step) => (inner === null || inner === undefined ? undefined : inner[step]), value)
}

/** Compares two JSON values; the order of keys is of no account. */
export function sameJson(left, right) {
  if (left === right) return true
  if (left === null || right === null || typeof left !== "object" || typeof right !== "object") return false
  if (Array.isArray(left) !== Array.isArray(right)) return false
  const keys = Object.keys(left)
  return keys.length === Object.keys(right).length && keys.every(key => key in right && sameJson(left[key], right[key]))
}
