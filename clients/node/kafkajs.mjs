// kafkajs, with codecs for what it brings no codec for itself.

import { createRequire } from 'node:module'
import zlib from 'node:zlib'
import kafkajs from 'kafkajs'
import lz4 from 'lz4-napi'
import snappy from 'snappy'
import {
  BOOTSTRAP, EARLY, FILLER, HOUR, MILLRACE, add, check, checkNumbered, equal, eventually, numbered,
  refused, run, sleep, unique
} from './kit.mjs'

const { AssignerProtocol, CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs

const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])

/** Snappy as Java writes it: a 16-byte head, then blocks with their length before them. */
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

CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: async encoder => snappy.compressSync(encoder.buffer),
  decompress: async data => unsnappy(data)
})
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => lz4.compressFrameSync(encoder.buffer),
  decompress: async data => lz4.decompressFrameSync(data)
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => zlib.zstdCompressSync(encoder.buffer),
  decompress: async data => zlib.zstdDecompressSync(data)
})

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'

function kafka (options = {}) {
  return new Kafka({ brokers: [BOOTSTRAP], logLevel: logLevel.NOTHING, ...options })
}

async function using (client, body) {
  await client.connect()
  try {
    return await body(client)
  } finally {
    await client.disconnect()
  }
}

/** Kafka's name of an error, out of what kafkajs wraps it in. */
function type (error) {
  return error?.type ?? (error?.cause && type(error.cause)) ?? (error?.errors && type(error.errors[0])) ?? String(error)
}

/** For what must fail: kafkajs takes some refusals for passing troubles. */
const impatient = { retry: { retries: 0 } }

const withAdmin = body => using(kafka().admin(), body)
const withProducer = (body, options = {}) => using(kafka().producer(options), body)

async function topic (what, partitions = 1, configs = {}) {
  const name = unique(what)
  const configEntries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
  await withAdmin(async admin => {
    await admin.createTopics({
      // It waits by asking once more for leaders, and gives up when one is late.
      waitForLeaders: false,
      topics: [{ topic: name, numPartitions: partitions, replicationFactor: 1, configEntries }]
    })
    await awaitTopic(admin, name, partitions)
  })
  return name
}

async function awaitTopic (admin, name, partitions) {
  await eventually(async () => {
    try {
      return (await admin.fetchTopicOffsets(name)).length === partitions
    } catch {
      return false
    }
  })
}

/** Reads `count` records of a topic in a group of its own, or in `groupId`. */
async function take (name, count, options = {}) {
  const { fromBeginning = true, started = () => {}, commit = [], ...config } = options
  const records = []
  const consumer = kafka().consumer({ groupId: unique('group'), maxWaitTimeInMs: 500, ...config })
  await using(consumer, async () => {
    await consumer.subscribe({ topics: [name], fromBeginning })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => { records.push({ partition, ...message }) }
    })
    started(consumer)
    await eventually(() => records.length >= count)
    if (commit.length > 0) await consumer.commitOffsets(commit)
  })
  equal(count, records.length, 'records read')
  return records
}

async function send (name, partitions, from, count, options = {}) {
  const { acks = -1, compression = CompressionTypes.None, ...config } = options
  await withProducer(
    producer => producer.send({ topic: name, messages: numbered(partitions, from, count), acks, compression }),
    config)
}

// Produce

async function acks (level) {
  const name = await topic('acks', 3)
  await send(name, 3, 0, 300, { acks: level })
  checkNumbered(await take(name, 300), 3)
}

add('produce_acks_0', () => acks(0))
add('produce_acks_1', () => acks(1))
add('produce_acks_all', () => acks(-1))

add('produce_idempotent', async () => {
  const name = await topic('idempotent')
  await withProducer(async producer => {
    for (let n = 0; n < 200; n += 10) {
      const [ack] = await producer.send({ topic: name, messages: numbered(1, n, 10), acks: -1 })
      equal(String(n), ack.baseOffset, 'acked offset')
    }
  }, { idempotent: true, maxInFlightRequests: 1 })
  checkNumbered(await take(name, 200), 1)
})

add('produce_batches', async () => {
  const name = await topic('batches', 2)
  for (let n = 0; n < 8000; n += 2000) await send(name, 2, n, 2000)
  checkNumbered(await take(name, 8000), 2)
})

for (const [name, type] of [['gzip', 'GZIP'], ['snappy', 'Snappy'], ['lz4', 'LZ4'], ['zstd', 'ZSTD']]) {
  add(`codec_${name}`, async () => {
    const into = await topic(name)
    const messages = Array.from({ length: 1000 }, (_, n) => ({ value: n + FILLER }))
    await withProducer(producer =>
      producer.send({ topic: into, messages, compression: CompressionTypes[type] }))
    const got = (await take(into, 1000)).map(one => String(one.value))
    equal(messages.map(one => one.value), got, 'values')
  })
}

add('headers_and_null_values', async () => {
  const name = await topic('headers')
  await withProducer(producer => producer.send({
    topic: name,
    messages: [
      { value: '', headers: { twice: ['1', '2'], empty: '' } },
      { key: 'key', value: null }
    ]
  }))
  const [first, second] = await take(name, 2)
  equal(['1', '2'], first.headers.twice.map(String), 'repeated header')
  equal('', String(first.headers.empty), 'empty header')
  equal([null, ''], [first.key, String(first.value)], 'null key, empty value')
  equal(['key', null], [String(second.key), second.value], 'key, null value')
})

add('timestamps', async () => {
  const created = await topic('created')
  const appended = await topic('appended', 1, { 'message.timestamp.type': 'LogAppendTime' })
  const before = Date.now()
  for (const name of [created, appended]) {
    await withProducer(producer =>
      producer.send({ topic: name, messages: [{ value: 'x', timestamp: String(EARLY) }] }))
  }
  const after = Date.now()
  equal(String(EARLY), (await take(created, 1))[0].timestamp, 'CreateTime')
  const stamp = Number((await take(appended, 1))[0].timestamp)
  check(before <= stamp && stamp <= after, `${stamp} not in ${before}..${after}`)
})

add('large_message', async () => {
  const name = await topic('large')
  const value = Buffer.alloc(1_000_000, 'x1y2z3')
  await withProducer(async producer => {
    for (let n = 0; n < 3; n++) await producer.send({ topic: name, messages: [{ value }] })
  })
  for (const one of await take(name, 3)) check(value.equals(one.value), 'content differs')
})

add('message_too_large_error', async () => {
  const name = await topic('too-large', 1, { 'max.message.bytes': '50000' })
  await withProducer(async producer => {
    const send = size => producer.send({ topic: name, messages: [{ value: Buffer.alloc(size) }] })
    equal('MESSAGE_TOO_LARGE', type(await refused(() => send(60000))), 'error')
    await send(40000)
  })
  equal(40000, (await take(name, 1))[0].value.length, 'bytes stored')
})

add('auto_create', async () => {
  const name = unique('auto-create')
  await send(name, 1, 0, 10)
  checkNumbered(await take(name, 10), 1)
})

add('unknown_topic_error', async () => {
  const name = unique('nowhere')
  const send = () => using(kafka(impatient).producer({ allowAutoTopicCreation: false, ...impatient }),
    producer => producer.send({ topic: name, messages: [{ value: 'x' }] }))
  equal('UNKNOWN_TOPIC_OR_PARTITION', type(await refused(send)), 'error')
  const topics = await withAdmin(admin => admin.listTopics())
  check(!topics.includes(name), 'asking has created the topic')
})

add('transaction_refused_fast', async () => {
  const options = { transactionalId: unique('txn'), maxInFlightRequests: 1, idempotent: true }
  if (MILLRACE) {
    const begin = () => withProducer(async producer => (await producer.transaction()).commit(), options)
    const error = await refused(begin)
    const told = error.cause ?? error
    check(told.retriable !== true, `a retriable error: ${told}`)
    return `refused: ${told.type ?? told.message}`
  }
  const name = await topic('transaction')
  await withProducer(async producer => {
    const transaction = await producer.transaction()
    await transaction.send({ topic: name, messages: [{ value: 'x' }] })
    await transaction.commit()
  }, options)
  equal('x', String((await take(name, 1))[0].value), 'value')
  return 'served: this broker has transactions'
})

// Consume

add('consume_from_beginning', async () => {
  const name = await topic('beginning', 4)
  await send(name, 4, 0, 4000)
  checkNumbered(await take(name, 4000), 4)
})

/** 100 records an hour apart. */
async function hourly () {
  const name = await topic('hourly', 1, { 'retention.ms': '-1' })
  const messages = numbered(1, 0, 100).map((one, n) => ({ ...one, timestamp: String(EARLY + HOUR * n) }))
  await withProducer(async producer => {
    for (let n = 0; n < 100; n += 5) await producer.send({ topic: name, messages: messages.slice(n, n + 5) })
  })
  return name
}

add('consume_from_timestamp', async () => {
  const name = await hourly()
  await withAdmin(async admin => {
    for (const n of [0, 1, 42, 69]) {
      const [found] = await admin.fetchTopicOffsetsByTimestamp(name, EARLY + HOUR * n - 1)
      equal(String(n), found.offset, 'offset for a time')
    }
  })
  const records = await take(name, 58, { started: one => one.seek({ topic: name, partition: 0, offset: '42' }) })
  equal('v-42', String(records[0].value), 'first value')
})

add('list_offsets_earliest', async () => {
  const name = await hourly()
  await withAdmin(async admin => {
    await deleteBefore(admin, name, '30')
    equal('30', (await admin.fetchTopicOffsets(name))[0].low, 'low')
  })
})

add('list_offsets_latest', async () => {
  const name = await hourly()
  await withAdmin(async admin => equal('100', (await admin.fetchTopicOffsets(name))[0].high, 'high'))
})

add('seek', async () => {
  const name = await topic('seek')
  await send(name, 1, 0, 500)
  const records = []
  const consumer = kafka().consumer({ groupId: unique('seek'), maxWaitTimeInMs: 200 })
  await using(consumer, async () => {
    await consumer.subscribe({ topics: [name], fromBeginning: true })
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => { records.push(message) } })
    await eventually(() => records.length >= 500)
    for (const at of [250, 499, 1, 0, 333]) {
      records.length = 0
      consumer.seek({ topic: name, partition: 0, offset: String(at) })
      await eventually(() => records.length >= 500 - at)
      equal([String(at), `v-${at}`], [records[0].offset, String(records[0].value)], 'first after the seek')
    }
  })
})

// The fetch would wait 120 s by itself, twice the time of this case.
add('long_poll', async () => {
  const name = await topic('long-poll')
  const records = []
  const consumer = kafka({ requestTimeout: 150000 }).consumer({ groupId: unique('poll'), maxWaitTimeInMs: 120000 })
  await consumer.connect()
  await consumer.subscribe({ topics: [name], fromBeginning: true })
  await consumer.run({ eachMessage: async ({ partition, message }) => { records.push({ partition, ...message }) } })
  for (let n = 0; n < 5; n++) {
    await sleep(200)
    equal(n, records.length, 'records too early')
    await send(name, 1, n, 1)
    await eventually(() => records.length > n)
  }
  checkNumbered(records, 1)
})

add('fetch_many_partitions', async () => {
  const name = await topic('many', 60)
  await send(name, 60, 0, 300)
  checkNumbered(await take(name, 300), 60)
})

add('fetch_max_bytes', async () => {
  const name = await topic('max-bytes')
  await withProducer(async producer => {
    for (let n = 0; n < 20; n++) await producer.send({ topic: name, messages: [{ value: Buffer.alloc(50000 + n) }] })
  })
  const records = await take(name, 20, { maxBytes: 1024, maxBytesPerPartition: 1024 })
  equal(Array.from({ length: 20 }, (_, n) => 50000 + n), records.map(one => one.value.length), 'lengths')
})

add('offset_out_of_range', async () => {
  const name = await topic('range')
  await send(name, 1, 0, 10)
  const started = one => one.seek({ topic: name, partition: 0, offset: '1000' })
  checkNumbered(await take(name, 10, { started }), 1)
})

add('read_committed', async () => {
  const name = await topic('committed', 2)
  await send(name, 2, 0, 200)
  checkNumbered(await take(name, 200, { readUncommitted: false }), 2)
})

// Groups

/** A member of a group, with what it holds and what all members have read. */
async function join (groupId, seen, topics, options = {}) {
  const member = { holds: [], consumer: kafka(options.client).consumer({
    groupId, maxWaitTimeInMs: 200, heartbeatInterval: 300, rebalanceTimeout: 10000, ...options.consumer
  }) }
  member.consumer.on(member.consumer.events.GROUP_JOIN, ({ payload }) => {
    member.holds = Object.entries(payload.memberAssignment)
      .flatMap(([name, parts]) => parts.map(one => `${name}/${one}`)).sort()
  })
  await member.consumer.connect()
  await member.consumer.subscribe({ topics, fromBeginning: true })
  await member.consumer.run({
    autoCommitInterval: 200,
    eachMessage: async ({ message }) => { seen.add(String(message.value)) }
  })
  return member
}

const parts = (name, count) => Array.from({ length: count }, (_, n) => `${name}/${n}`)

add('group_subscribe', async () => {
  const name = await topic('subscribe', 3)
  await send(name, 3, 0, 300)
  const seen = new Set()
  const one = await join(unique('subscribe'), seen, [name])
  await eventually(() => seen.size === 300)
  equal(parts(name, 3), one.holds, 'assignment')
  await one.consumer.disconnect()
})

add('group_rebalance', async () => {
  const name = await topic('rebalance', 4)
  const groupId = unique('rebalance')
  const seen = new Set()
  await send(name, 4, 0, 100)
  const one = await join(groupId, seen, [name])
  await eventually(() => one.holds.length === 4 && seen.size === 100)
  const two = await join(groupId, seen, [name])
  await eventually(() => one.holds.length === 2 && two.holds.length === 2)
  equal(parts(name, 4), [...one.holds, ...two.holds].sort(), 'held by both')
  await send(name, 4, 100, 100)
  await eventually(() => seen.size === 200)
  await two.consumer.disconnect()
  await send(name, 4, 200, 100)
  await eventually(() => one.holds.length === 4 && seen.size === 300)
  await one.consumer.disconnect()
}, 90)

// kafkajs looks for topics once, when it subscribes.
add('group_regex', async () => {
  const group = unique('regex')
  const names = [await topic(`${group}-a`), await topic(`${group}-b`)]
  for (const [n, name] of names.entries()) await send(name, 1, n * 10, 10)
  const seen = new Set()
  const one = await join(group, seen, [new RegExp(`kafkajs-${group}`)])
  await eventually(() => seen.size === 20)
  equal(names.map(name => `${name}/0`).sort(), one.holds, 'assignment')
  await one.consumer.disconnect()
})

add('commit_and_resume', async () => {
  const name = await topic('resume')
  const groupId = unique('resume')
  await send(name, 1, 0, 100)
  await take(name, 100, { groupId, commit: [{ topic: name, partition: 0, offset: '40' }] })
  const again = await take(name, 60, { groupId, commit: [{ topic: name, partition: 0, offset: '100' }] })
  equal('40', again[0].offset, 'first offset')
  await withAdmin(async admin => {
    const [found] = await admin.fetchOffsets({ groupId, topics: [name] })
    equal('100', found.partitions[0].offset, 'committed')
  })
})

async function pastGroup (name, metadata = '') {
  const groupId = unique('past')
  await send(name, 1, 0, 10)
  await take(name, 10, { groupId, commit: [{ topic: name, partition: 0, offset: '5', metadata }] })
  return groupId
}

add('commit_metadata_roundtrip', async () => {
  const name = await topic('metadata')
  const groupId = await pastGroup(name, 'where – é')
  await withAdmin(async admin => {
    const [found] = await admin.fetchOffsets({ groupId, topics: [name] })
    equal(['5', 'where – é'], [found.partitions[0].offset, found.partitions[0].metadata], 'committed')
  })
})

add('list_groups', async () => {
  const groupId = await pastGroup(await topic('list'))
  const { groups } = await withAdmin(admin => admin.listGroups())
  equal('consumer', groups.find(one => one.groupId === groupId)?.protocolType, 'protocol type')
})

add('describe_group', async () => {
  const name = await topic('describe', 2)
  const groupId = unique('describe')
  const one = await join(groupId, new Set(), [name], { client: { clientId: 'the-client' } })
  await eventually(() => one.holds.length === 2)
  await withAdmin(async admin => {
    const { groups: [found] } = await admin.describeGroups([groupId])
    equal(['Stable', ['the-client']], [found.state, found.members.map(member => member.clientId)], 'group')
    const assigned = AssignerProtocol.MemberAssignment.decode(found.members[0].memberAssignment)
    equal([0, 1], assigned.assignment[name], 'assignment')
  })
  await one.consumer.disconnect()
})

add('alter_group_offsets', async () => {
  const name = await topic('alter')
  const groupId = await pastGroup(name)
  await withAdmin(admin =>
    admin.setOffsets({ groupId, topic: name, partitions: [{ partition: 0, offset: '8' }] }))
  equal('8', (await take(name, 2, { groupId }))[0].offset, 'first offset')
})

add('delete_group', async () => {
  const name = await topic('delete')
  const groupId = unique('delete')
  const one = await join(groupId, new Set(), [name])
  await eventually(() => one.holds.length === 1)
  await withAdmin(async admin => {
    const living = await refused(() => admin.deleteGroups([groupId]))
    equal('NON_EMPTY_GROUP', living.groups[0].error.type, 'of a living group')
    await one.consumer.disconnect()
    await admin.deleteGroups([groupId])
    const { groups } = await admin.listGroups()
    check(groups.every(other => other.groupId !== groupId), 'the group is still listed')
  })
})

// Administration

const create = (admin, name, partitions = 1, replicas = 1, configs = {}) => admin.createTopics({
  waitForLeaders: false,
  topics: [{
    topic: name,
    numPartitions: partitions,
    replicationFactor: replicas,
    configEntries: Object.entries(configs).map(([key, value]) => ({ name: key, value }))
  }]
})

add('create_topic', async () => {
  const name = await topic('create', 3)
  await withAdmin(async admin => {
    equal(false, await create(admin, name), 'created again')
    const bad = [
      ['INVALID_TOPIC_EXCEPTION', 'not a name', 1, 1],
      ['INVALID_PARTITIONS', unique('none'), 0, 1],
      ['INVALID_REPLICATION_FACTOR', unique('many'), 1, 7]
    ]
    for (const [expected, other, partitions, replicas] of bad) {
      const error = await refused(() => create(admin, other, partitions, replicas))
      equal(expected, type(error), 'error')
    }
    const tried = unique('tried')
    await admin.createTopics({ topics: [{ topic: tried }], validateOnly: true, waitForLeaders: false })
    check(!(await admin.listTopics()).includes(tried), 'validateOnly created it')
  })
})

async function deleteBefore (admin, name, offset) {
  // It deletes only in topics that this client has asked for before.
  await admin.fetchTopicOffsets(name)
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset }] })
}

async function configs (admin, name, kind = ConfigResourceTypes.TOPIC) {
  const { resources: [found] } = await admin.describeConfigs({
    includeSynonyms: true,
    resources: [{ type: kind, name }]
  })
  return Object.fromEntries(found.configEntries.map(one => [one.configName, one]))
}

add('create_topic_config', async () => {
  const name = await topic('configured', 1, { 'retention.ms': '123456', 'segment.bytes': '1048576' })
  await withAdmin(async admin => {
    const found = await configs(admin, name)
    equal(['123456', 1], [found['retention.ms'].configValue, found['retention.ms'].configSource], 'retention.ms')
    equal('1048576', found['segment.bytes'].configValue, 'segment.bytes')
    for (const bad of [{ 'no.such.key': '1' }, { 'retention.ms': 'soon' }]) {
      const error = await refused(() => create(admin, unique('bad'), 1, 1, bad))
      equal('INVALID_CONFIG', type(error), 'error')
    }
  })
})

add('create_partitions', async () => {
  const name = await topic('more')
  await withAdmin(async admin => {
    await admin.createPartitions({ topicPartitions: [{ topic: name, count: 4 }] })
    await awaitTopic(admin, name, 4)
    await send(name, 4, 0, 40)
    checkNumbered(await take(name, 40), 4)
    const error = await refused(() => admin.createPartitions({ topicPartitions: [{ topic: name, count: 2 }] }))
    equal('INVALID_PARTITIONS', type(error), 'error')
  })
})

add('delete_topic', async () => {
  const name = await topic('delete', 2)
  await send(name, 2, 0, 20)
  await withAdmin(async admin => {
    await admin.deleteTopics({ topics: [name] })
    await eventually(async () => !(await admin.listTopics()).includes(name))
  })
  const again = () => using(kafka(impatient).admin(), admin => admin.deleteTopics({ topics: [name] }))
  equal('UNKNOWN_TOPIC_OR_PARTITION', type(await refused(again)), 'error')
})

add('list_topics', async () => {
  const name = await topic('list')
  check((await withAdmin(admin => admin.listTopics())).includes(name), 'the topic is not listed')
})

add('describe_topic', async () => {
  const name = await topic('describe', 6)
  const { topics: [found] } = await withAdmin(admin => admin.fetchTopicMetadata({ topics: [name] }))
  equal(6, found.partitions.length, 'partitions')
  for (const one of found.partitions) {
    equal([[one.leader], [one.leader]], [one.replicas, one.isr], 'replicas, in-sync replicas')
  }
})

add('describe_cluster', async () => {
  const found = await withAdmin(admin => admin.describeCluster())
  check(found.clusterId.length >= 16, `cluster id ${found.clusterId}`)
  check(found.brokers.some(one => one.nodeId === found.controller), 'the controller is no node')
})

add('describe_configs', async () => {
  const name = await topic('configs', 1, { 'retention.ms': '86400000' })
  const found = await withAdmin(admin => configs(admin, name))
  equal(['86400000', 1], [found['retention.ms'].configValue, found['retention.ms'].configSource], 'retention.ms')
  equal(['delete', 5], [found['cleanup.policy'].configValue, found['cleanup.policy'].configSource], 'cleanup.policy')
  equal('1048588', found['max.message.bytes'].configValue, 'max.message.bytes')
})

add('describe_broker_configs', async () => {
  const found = await withAdmin(async admin => {
    const { brokers } = await admin.describeCluster()
    return configs(admin, String(brokers[0].nodeId), ConfigResourceTypes.BROKER)
  })
  equal('1', found['num.partitions'].configValue, 'num.partitions')
  check(found['socket.request.max.bytes'].readOnly, 'read-only is not marked')
})

add('alter_configs_legacy', async () => {
  const name = await topic('legacy', 1, { 'retention.bytes': '1000000' })
  await withAdmin(async admin => {
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{
        type: ConfigResourceTypes.TOPIC, name, configEntries: [{ name: 'retention.ms', value: '55555' }]
      }]
    })
    await eventually(async () => (await configs(admin, name))['retention.ms'].configValue === '55555')
    equal('-1', (await configs(admin, name))['retention.bytes'].configValue, 'the value left out')
  })
})

add('delete_records', async () => {
  const name = await topic('delete-records')
  await send(name, 1, 0, 100)
  await withAdmin(async admin => {
    await deleteBefore(admin, name, '60')
    equal('60', (await admin.fetchTopicOffsets(name))[0].low, 'log start offset')
  })
  equal('60', (await take(name, 40))[0].offset, 'first offset that is left')
})

const { version } = createRequire(import.meta.url)('kafkajs/package.json')
await run(`kafkajs ${version}`)
