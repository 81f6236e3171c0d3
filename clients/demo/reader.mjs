// kafkajs as a group of two members in the demo; the second joins when the first has read a while.
//
//     reader.mjs bootstrap group topic,topic directory
//
// Files, output and end are those of Reader.java.

import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import zlib from 'node:zlib'
import kafkajs from 'kafkajs'
import lz4 from 'lz4-napi'
import snappy from 'snappy'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs
const [bootstrap, groupId, topics, directory] = process.argv.slice(2)
const SECOND_JOINS_AFTER = 20_000
const COMMIT_EVERY_MS = 150

/** A consumer that is told nothing of its own tries five times and starts anew. */
const PATIENT = { initialRetryTime: 50, maxRetryTime: 200, retries: 1000 }

const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])

/** Snappy as some clients frame it: a 16-byte head, then blocks with their length before them. */
function unsnappy (data) {
  if (!data.subarray(0, 8).equals(XERIAL)) return snappy.uncompressSync(data)
  const blocks = []
  for (let at = 16; at < data.length;) {
    const length = data.readInt32BE(at)
    blocks.push(snappy.uncompressSync(data.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return Buffer.concat(blocks)
}

// kafkajs brings gzip alone.
CompressionCodecs[CompressionTypes.Snappy] = () => ({ decompress: async data => unsnappy(data) })
CompressionCodecs[CompressionTypes.LZ4] = () => ({ decompress: async data => lz4.decompressFrameSync(data) })
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ decompress: async data => zlib.zstdDecompressSync(data) })

let read = 0

class Member {
  constructor (number) {
    this.seen = openSync(`${directory}/member-${number}.tsv`, 'w')
    /** Of this session: the offset after the last that was processed, by partition. */
    this.processed = new Map()
    /** Of those, what no acknowledged commit has. */
    this.pending = new Map()
    this.committed = Date.now()
    this.kafka = new Kafka({
      brokers: [bootstrap],
      clientId: `demo-kafkajs-${number}`,
      connectionTimeout: 2000,
      requestTimeout: 10_000,
      logLevel: logLevel.NOTHING,
      retry: PATIENT
    })
    // The last events of all are followed by no batch whose turn would commit them.
    this.timer = setInterval(() => this.commit(), COMMIT_EVERY_MS)
  }

  async start () {
    const consumer = this.kafka.consumer({
      groupId, heartbeatInterval: 500, maxWaitTimeInMs: 200, sessionTimeout: 6000, retry: PATIENT
    })
    const { CRASH, GROUP_JOIN } = consumer.events
    consumer.on(GROUP_JOIN, () => {
      this.processed.clear()
      this.pending.clear()
      this.write(`S\t${Date.now()}\n`)
    })
    consumer.on(CRASH, ({ payload }) => {
      console.error('crash', payload.error)
      // When no broker can be reached to ask for the coordinator it gives up for good, and the
      // application has to begin anew.
      if (!payload.restart) setTimeout(() => this.start(), PATIENT.maxRetryTime)
    })
    this.consumer = consumer
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: topics.split(','), fromBeginning: true })
      await consumer.run({ autoCommit: false, eachBatch: async one => this.process(one) })
    } catch (error) {
      console.error('start', error)
      setTimeout(() => this.start(), PATIENT.maxRetryTime)
    }
  }

  async process ({ batch, heartbeat, isRunning, isStale, commitOffsetsIfNecessary }) {
    if (!isRunning() || isStale()) return
    const { topic, partition, messages } = batch
    const lines = []
    for (const message of messages) {
      const key = message.key.toString()
      const number = message.headers.seq?.toString()
      const sum = createHash('sha256')
        .update(`${key}\t${number}\t${message.timestamp}\t\t`).update(message.value).digest('hex').slice(0, 16)
      if (sum !== message.headers.sum?.toString()) {
        console.error('altered', topic, partition, message)
        process.exit(1)
      }
      lines.push(`R\t${topic}\t${partition}\t${message.offset}\t${key}\t${number}\n`)
    }
    if (messages.length === 0) return
    this.write(lines.join(''))
    read += messages.length
    const where = `${topic}\t${partition}`
    const next = BigInt(messages.at(-1).offset) + 1n
    // A batch that a failed heartbeat cut short comes again: what was processed stays processed,
    // and a commit never goes back.
    if (next > (this.processed.get(where) ?? 0n)) {
      this.processed.set(where, next)
      this.pending.set(where, next)
    }
    this.commitOffsets = commitOffsetsIfNecessary
    await heartbeat()
    await this.commit()
  }

  /** Commits what was processed. What isn't acknowledged is committed with the next. */
  async commit () {
    if (this.committing || this.pending.size === 0 || Date.now() - this.committed < COMMIT_EVERY_MS) return
    this.committing = true
    const now = [...this.pending]
    const byTopic = new Map()
    for (const [where, offset] of now) {
      const [topic, partition] = where.split('\t')
      if (!byTopic.has(topic)) byTopic.set(topic, { topic, partitions: [] })
      byTopic.get(topic).partitions.push({ partition: Number(partition), offset: String(offset) })
    }
    try {
      await this.commitOffsets({ topics: [...byTopic.values()] })
    } catch (error) {
      // The broker is away, or the group moves on: a heartbeat tells the client which.
      console.error('commit:', error.message)
      return
    } finally {
      this.committing = false
    }
    this.committed = Date.now()
    this.write(now.map(([where, offset]) => `C\t${this.committed}\t${where}\t${offset}\n`).join(''))
    say([`READ ${read}`, ...now.map(([where, offset]) => `AT ${where.replace('\t', ' ')} ${offset}`)])
    for (const [where, offset] of now) {
      if (this.pending.get(where) === offset) this.pending.delete(where)
    }
  }

  write (text) {
    writeSync(this.seen, text)
  }

  async stop () {
    clearInterval(this.timer)
    await this.consumer.disconnect()
    closeSync(this.seen)
  }
}

function say (lines) {
  process.stdout.write(lines.join('\n') + '\n')
}

const version = createRequire(import.meta.url)('kafkajs/package.json').version
say([`CLIENT kafkajs ${version}, Node ${process.version}`])
let stopping = false
const stopped = new Promise(resolve => {
  process.stdin.on('end', () => { stopping = true; resolve() }).resume()
})
const members = [new Member(0), new Member(1)]
await members[0].start()
while (read < SECOND_JOINS_AFTER && !stopping) await new Promise(resolve => setTimeout(resolve, 20))
await members[1].start()
await stopped
await Promise.all(members.map(member => member.stop()))
process.exit(0)
