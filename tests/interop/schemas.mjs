// Checks JSON of ours against its schema, with an outside validator.
//
// Reads one line of JSON from stdin: { schemas: { "comity.show/1": {…} }, documents: [{ what, document }] }. Writes a
// line for each thing that is wrong; the exit code is 1 then. A schema that would accept anything proves nothing, so
// each document is also changed in ways that its schema must refuse.

import { readFileSync } from "node:fs"
import Ajv from "ajv/dist/2020.js"

const { schemas, documents } = JSON.parse(readFileSync(0, "utf8"))
let wrong = 0

function complain(text) {
  wrong += 1
  console.log(text)
}

// `strict` makes a mistyped keyword an error. A member that may be null has two types.
function compile(schema) {
  const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true })
  return ajv.compile(schema)
}

// Every object whose members are named must refuse others: a member that was forgotten is a member nobody reads about.
function checkClosed(schema, path) {
  if (schema === null || typeof schema !== "object") return
  if (schema.properties !== undefined && schema.additionalProperties !== false) complain(`${path}: is open to any member`)
  for (const [key, inner] of Object.entries(schema)) checkClosed(inner, `${path}/${key}`)
}

// Every object in a document that has a fixed set of members, with how to reach it.
function* objects(value, path = []) {
  if (value === null || typeof value !== "object") return
  if (!Array.isArray(value)) yield path
  for (const key of Object.keys(value)) yield* objects(value[key], [...path, key])
}

const at = (document, path) => path.reduce((value, key) => value[key], document)

// Objects by name, where a new name is no mistake.
const maps = [/(^|\/)entries$/, /(^|\/)fields$/]

function checkMutants(what, document, validate) {
  for (const path of objects(document)) {
    const where = path.join("/")
    if (maps.some(map => map.test(where))) continue
    const more = structuredClone(document)
    at(more, path)["a-stranger"] = true
    if (validate(more)) complain(`${what}: a stranger in /${where} was accepted`)
    for (const key of Object.keys(at(document, path))) {
      if (optional.has(key)) continue
      const less = structuredClone(document)
      delete at(less, path)[key]
      if (validate(less)) complain(`${what}: /${where} without ${key} was accepted`)
    }
  }
}

// There only when there is something to say.
const optional = new Set(["deleted", "trouble"])

const compiled = new Map()
for (const [name, schema] of Object.entries(schemas)) {
  checkClosed(schema, name)
  try {
    compiled.set(name, compile(schema))
  } catch (error) {
    complain(`${name}: is no schema: ${error.message}`)
  }
}
for (const { what, document } of documents) {
  const validate = compiled.get(document.schema)
  if (validate === undefined) {
    complain(`${what}: there is no schema ${document.schema}`)
  } else if (!validate(document)) {
    const errors = validate.errors.map(error => `${error.instancePath || "/"} ${error.message} ${JSON.stringify(error.params)}`)
    complain(`${what}: is not ${document.schema}: ${errors.join("; ")}\n  ${JSON.stringify(document)}`)
  } else {
    checkMutants(what, document, validate)
  }
}
process.exitCode = wrong === 0 ? 0 : 1
