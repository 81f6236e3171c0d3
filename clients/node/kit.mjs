// Runs named cases side by side, each within its time, and helps them with names and checks.

import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual, inspect } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'

export const BOOTSTRAP = process.env.CLIENT_BOOTSTRAP ?? '127.0.0.1:9092'
export const MILLRACE = (process.env.CLIENT_PEER ?? 'millrace') === 'millrace'
export const EARLY = 1_600_000_000_000
export const HOUR = 3_600_000
export const FILLER = 'abcdefgh'.repeat(40)

const cases = []

/** Registers a case: an async function that returns a remark or nothing. */
export function add (name, run, seconds = 60) {
  const wanted = (process.env.CLIENT_CASE ?? '').split(',')
  if (wanted.some(part => name.includes(part))) cases.push({ name, run, seconds })
}

/** Thrown by a case that the client can't do, for the reason given. */
export class Skip extends Error {}

/** Runs all cases and ends the program, also where a case hangs. */
export async function run (client) {
  // A client's background work may fail after its case has told its own failure.
  process.on('unhandledRejection', error => console.error('unhandled rejection', error))
  process.on('uncaughtException', error => console.error('uncaught exception', error))
  console.log(`CLIENT ${client}, Node ${process.version}`)
  for (const one of cases) console.log(`PLAN ${one.name}`)
  const queue = [...cases]
  const worker = async () => {
    for (let one = queue.shift(); one; one = queue.shift()) await runOne(one)
  }
  await Promise.all(Array.from({ length: Number(process.env.CLIENT_JOBS ?? 6) }, worker))
  process.stdout.write('', () => process.exit(0))
}

async function runOne ({ name, run, seconds }) {
  const start = performance.now()
  let word = 'ok'
  let text
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${seconds} s`)), seconds * 1000)
  })
  try {
    text = await Promise.race([run(), late])
  } catch (error) {
    word = error instanceof Skip ? 'skip' : 'fail'
    text = error instanceof Skip ? error.message : describe(error)
  }
  clearTimeout(timer)
  text = (text ?? '').replace(/\s+/g, ' ')
  if (text.length > 1000) text = `${text.slice(0, 500)} ... ${text.slice(-450)}`
  console.log(`CASE ${name} ${word} ${Math.round(performance.now() - start)} ${text}`)
}

function describe (error) {
  const line = (error.stack ?? '').split('\n').find(one => /(kafkajs|platformatic)\.mjs/.test(one))
  const where = line ? ` (${line.replace(/.*\//, '').replace(')', '')})` : ''
  const inner = error.errors?.map(one => one.message).join('; ') ?? error.cause?.message ?? ''
  return `${error.name}: ${error.message}${inner && `: ${inner}`}${where}`
}

export function unique (what) {
  return `${process.argv[1].replace(/.*\//, '').replace('.mjs', '')}-${what}-${randomBytes(4).toString('hex')}`
}

export function check (truth, what) {
  if (!truth) throw new Error(what)
}

export function equal (expected, got, what) {
  if (!isDeepStrictEqual(expected, got)) {
    throw new Error(`${what}: expected ${inspect(expected)}, got ${inspect(got)}`)
  }
}

/** Asks again until it is so; the case's own time limits it. */
export async function eventually (truth) {
  while (!(await truth())) await sleep(20)
}

/** The error of what must fail. */
export async function refused (call) {
  try {
    await call()
  } catch (error) {
    return error
  }
  throw new Error('it was not refused')
}

/** Checks {partition, offset, key, value} of records numbered round the partitions. */
export function checkNumbered (records, partitions) {
  const next = new Map()
  for (const one of records) {
    const offset = next.get(one.partition) ?? 0
    equal(offset, Number(one.offset), `offset in partition ${one.partition}`)
    next.set(one.partition, offset + 1)
    const n = offset * partitions + one.partition
    equal(`k-${n}`, String(one.key), 'key')
    equal(`v-${n}`, String(one.value), 'value')
  }
}

/** Numbers from..from+count with what a record of that number holds. */
export function numbered (partitions, from, count) {
  return Array.from({ length: count }, (_, index) => {
    const n = from + index
    return { partition: n % partitions, key: `k-${n}`, value: `v-${n}` }
  })
}

export { sleep }
