// @platformatic/kafka: a pure JavaScript client that speaks recent versions.

import { readFileSync } from 'node:fs'
import {
  Admin, ConfigResourceTypes, Consumer, IncrementalAlterConfigOperationTypes, ListOffsetTimestamps,
  MessagesStreamModes, ProduceAcks, Producer, stringDeserializers, stringSerializers
} from '@platformatic/kafka'
import {
  BOOTSTRAP, EARLY, FILLER, HOUR, MILLRACE, add, check, checkNumbered, equal, eventually, numbered,
  refused, run, sleep, unique
} from './kit.mjs'

const base = { clientId: 'judge', bootstrapBrokers: [BOOTSTRAP], timeout: 30000, retryDelay: 100 }

async function using (client, body) {
  try {
    return await body(client)
  } finally {
    await client.close(true)
  }
}

const withAdmin = body => using(new Admin(base), body)
const withProducer = (body, options = {}) =>
  using(new Producer({ ...base, serializers: stringSerializers, ...options }), body)
const bytes = { serializers: undefined }

/** Kafka's names of the errors inside an error. */
function types (error) {
  const own = error?.apiId ? [error.apiId] : []
  return [...own, ...(error?.errors ?? []).flatMap(types), ...(error?.cause ? types(error.cause) : [])]
}

async function refusedWith (type, call) {
  const error = await refused(call)
  check(types(error).includes(type), `expected ${type}, got ${types(error)} ${error.message}`)
}

async function topic (what, partitions = 1, configs = {}) {
  const name = unique(what)
  await withAdmin(async admin => {
    await create(admin, name, partitions, 1, configs)
    await awaitTopic(admin, name, partitions)
  })
  return name
}

const create = (admin, name, partitions = 1, replicas = 1, configs = {}) => admin.createTopics({
  topics: [name],
  partitions,
  replicas,
  configs: Object.entries(configs).map(([key, value]) => ({ name: key, value }))
})

async function offsets (admin, name, partitions, timestamp) {
  const wanted = Array.from({ length: partitions }, (_, n) => ({ partitionIndex: n, timestamp }))
  const [found] = await admin.listOffsets({ topics: [{ name, partitions: wanted }] })
  return found.partitions
}

async function awaitTopic (admin, name, partitions) {
  await eventually(async () => {
    try {
      return (await offsets(admin, name, partitions, ListOffsetTimestamps.LATEST)).length === partitions
    } catch {
      return false
    }
  })
}

async function send (name, partitions, from, count, options = {}) {
  const messages = numbered(partitions, from, count).map(one => ({ topic: name, ...one }))
  return withProducer(producer => producer.send({ messages }), options)
}

/** Reads `count` records of a topic in a group of its own, or in `groupId`. */
async function take (name, count, options = {}) {
  const { offsets, mode = offsets ? 'manual' : 'earliest', commit = [], deserializers = stringDeserializers,
    fallbackMode = 'latest', ...config } = options
  const consumer = new Consumer({ ...base, groupId: unique('group'), maxWaitTime: 500, deserializers, ...config })
  const records = []
  await using(consumer, async () => {
    const stream = await consumer.consume({ topics: [name], mode, offsets, fallbackMode, autocommit: false })
    stream.on('data', one => records.push(one))
    const failed = new Promise((_resolve, reject) => stream.on('error', reject))
    await Promise.race([eventually(() => records.length >= count), failed])
    if (commit.length > 0) await consumer.commit({ offsets: commit.map(one => ({ leaderEpoch: -1, ...one })) })
    await stream.close()
  })
  equal(count, records.length, 'records read')
  return records
}

// Produce

async function acks (level) {
  const name = await topic('acks', 3)
  await send(name, 3, 0, 300, { acks: level })
  checkNumbered(await take(name, 300), 3)
}

add('produce_acks_0', () => acks(ProduceAcks.NO_RESPONSE))
add('produce_acks_1', () => acks(ProduceAcks.LEADER))
add('produce_acks_all', () => acks(ProduceAcks.ALL))

add('produce_idempotent', async () => {
  const name = await topic('idempotent')
  await withProducer(async producer => {
    for (let n = 0; n < 200; n += 10) {
      const messages = numbered(1, n, 10).map(one => ({ topic: name, ...one }))
      const { offsets: [ack] } = await producer.send({ messages })
      equal(BigInt(n), ack.offset, 'acked offset')
    }
  }, { idempotent: true, acks: ProduceAcks.ALL })
  checkNumbered(await take(name, 200), 1)
})

add('produce_batches', async () => {
  const name = await topic('batches', 2)
  for (let n = 0; n < 8000; n += 2000) await send(name, 2, n, 2000)
  checkNumbered(await take(name, 8000), 2)
})

for (const compression of ['gzip', 'snappy', 'lz4', 'zstd']) {
  add(`codec_${compression}`, async () => {
    const name = await topic(compression)
    const messages = Array.from({ length: 1000 }, (_, n) => ({ topic: name, value: n + FILLER }))
    await withProducer(producer => producer.send({ messages, compression }))
    equal(messages.map(one => one.value), (await take(name, 1000)).map(one => one.value), 'values')
  })
}

add('headers_and_null_values', async () => {
  const name = await topic('headers')
  await withProducer(producer => producer.send({
    messages: [
      { topic: name, value: '', headers: { one: '1', empty: '' } },
      { topic: name, key: 'key' }
    ]
  }))
  const [first, second] = await take(name, 2, { deserializers: {} })
  equal([['one', '1'], ['empty', '']], [...first.headers].map(pair => pair.map(String)), 'headers')
  check(!first.key?.length, 'a key where none was set')
  equal('', String(first.value), 'empty value')
  equal('key', String(second.key), 'key')
  check(!second.value?.length, 'a value where none was set')
})

add('timestamps', async () => {
  const created = await topic('created')
  const appended = await topic('appended', 1, { 'message.timestamp.type': 'LogAppendTime' })
  const before = Date.now()
  for (const name of [created, appended]) {
    await withProducer(producer =>
      producer.send({ messages: [{ topic: name, value: 'x', timestamp: BigInt(EARLY) }] }))
  }
  const after = Date.now()
  equal(BigInt(EARLY), (await take(created, 1))[0].timestamp, 'CreateTime')
  // The client shows the record's own time stamp also where the batch says LogAppendTime.
  const [found] = await withAdmin(admin => offsets(admin, appended, 1, ListOffsetTimestamps.MAX))
  const stamp = Number(found.timestamp)
  check(before <= stamp && stamp <= after, `${stamp} not in ${before}..${after}`)
})

add('large_message', async () => {
  const name = await topic('large')
  const value = Buffer.alloc(1_000_000, 'x1y2z3')
  await withProducer(async producer => {
    for (let n = 0; n < 3; n++) await producer.send({ messages: [{ topic: name, value }] })
  }, bytes)
  for (const one of await take(name, 3, { deserializers: {} })) {
    check(value.equals(one.value), 'content differs')
  }
})

add('message_too_large_error', async () => {
  const name = await topic('too-large', 1, { 'max.message.bytes': '50000' })
  await withProducer(async producer => {
    const put = size => producer.send({ messages: [{ topic: name, value: Buffer.alloc(size) }] })
    await refusedWith('MESSAGE_TOO_LARGE', () => put(60000))
    await put(40000)
  }, { ...bytes, retries: 0 })
  equal(40000, (await take(name, 1))[0].value.length, 'bytes stored')
})

add('auto_create', async () => {
  const name = unique('auto-create')
  await send(name, 1, 0, 10, { autocreateTopics: true, retries: 20 })
  checkNumbered(await take(name, 10), 1)
})

add('unknown_topic_error', async () => {
  const name = unique('nowhere')
  // It looks the topic up before it sends, and words the error itself.
  const error = await refused(() => send(name, 1, 0, 1, { autocreateTopics: false, retries: 0 }))
  check(/unknown topic/i.test([error, ...(error.errors ?? [])].map(one => one.message).join()), error.message)
  const topics = await withAdmin(admin => admin.listTopics())
  check(!topics.includes(name), 'asking has created the topic')
})

add('transaction_refused_fast', async () => {
  const options = { transactionalId: unique('txn'), idempotent: true }
  if (MILLRACE) {
    const begin = () => withProducer(async producer => {
      const transaction = await producer.beginTransaction()
      await transaction.commit()
    }, options)
    const error = await refused(begin)
    const told = types(error)
    return `refused: ${told.length > 0 ? told : error.message}`
  }
  const name = await topic('transaction')
  await withProducer(async producer => {
    const transaction = await producer.beginTransaction()
    await transaction.send({ messages: [{ topic: name, value: 'x' }] })
    await transaction.commit()
  }, options)
  equal('x', (await take(name, 1, { isolationLevel: 1 }))[0].value, 'value')
  return 'served: this broker has transactions'
})

// Consume

add('consume_from_beginning', async () => {
  const name = await topic('beginning', 4)
  await send(name, 4, 0, 4000)
  checkNumbered(await take(name, 4000), 4)
})

/**
 * 100 records an hour apart, the largest time stamp at offset 70; starts at offset 30. One record
 * a batch: the client mis-stamps batches whose time stamps do not rise evenly.
 */
async function hourly () {
  const name = await topic('hourly', 1, { 'retention.ms': '-1' })
  await withProducer(async producer => {
    for (const [n, one] of numbered(1, 0, 100).entries()) {
      const timestamp = BigInt(EARLY + HOUR * (n === 70 ? 1000 : n))
      await producer.send({ messages: [{ topic: name, ...one, timestamp }] })
    }
  })
  return name
}

add('consume_from_timestamp', async () => {
  const name = await hourly()
  await withAdmin(async admin => {
    for (const n of [0, 1, 42, 69]) {
      const [found] = await offsets(admin, name, 1, BigInt(EARLY + HOUR * n - 1))
      equal([BigInt(n), BigInt(EARLY + HOUR * n)], [found.offset, found.timestamp], 'offset for a time')
    }
  })
  const records = await take(name, 58, { offsets: [{ topic: name, partition: 0, offset: 42n }] })
  equal('v-42', records[0].value, 'first value')
})

for (const [which, timestamp, expected] of [
  ['earliest', ListOffsetTimestamps.EARLIEST, 30n],
  ['latest', ListOffsetTimestamps.LATEST, 100n],
  ['max_timestamp', ListOffsetTimestamps.MAX, 70n]
]) {
  add(`list_offsets_${which}`, async () => {
    const name = await hourly()
    await withAdmin(async admin => {
      await deleteBefore(admin, name, 30n)
      equal(expected, (await offsets(admin, name, 1, timestamp))[0].offset, 'offset')
    })
  })
}

const deleteBefore = (admin, name, offset) =>
  admin.deleteRecords({ topics: [{ name, partitions: [{ partition: 0, offset }] }] })

add('seek', async () => {
  const name = await topic('seek')
  await send(name, 1, 0, 500)
  for (const at of [250, 499, 0, 333]) {
    const [first] = await take(name, 500 - at, { offsets: [{ topic: name, partition: 0, offset: BigInt(at) }] })
    equal([BigInt(at), `v-${at}`], [first.offset, first.value], 'first after the seek')
  }
})

// The fetch would wait 120 s by itself, twice the time of this case.
add('long_poll', async () => {
  const name = await topic('long-poll')
  const consumer = new Consumer({
    ...base, groupId: unique('poll'), maxWaitTime: 120000, timeout: 300000, requestTimeout: 150000, deserializers: stringDeserializers
  })
  const stream = await consumer.consume({ topics: [name], mode: 'earliest' })
  const records = []
  stream.on('data', one => records.push(one))
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
    for (let n = 0; n < 20; n++) {
      await producer.send({ messages: [{ topic: name, value: Buffer.alloc(50000 + n) }] })
    }
  }, bytes)
  const records = await take(name, 20, { maxBytes: 1024, maxBytesPerPartition: 1024 })
  equal(Array.from({ length: 20 }, (_, n) => 50000 + n), records.map(one => one.value.length), 'lengths')
})

add('offset_out_of_range', async () => {
  const name = await topic('range')
  await send(name, 1, 0, 10)
  const lost = [{ topic: name, partition: 0, offset: 1000n }]
  checkNumbered(await take(name, 10, { offsets: lost, fallbackMode: 'earliest' }), 1)
})

add('read_committed', async () => {
  const name = await topic('committed', 2)
  await send(name, 2, 0, 200)
  checkNumbered(await take(name, 200, { isolationLevel: 1 }), 2)
})

// Groups

/** A member of a group that reads by itself until it is closed. */
async function join (groupId, seen, topics, options = {}) {
  const consumer = new Consumer({
    ...base,
    groupId,
    maxWaitTime: 200,
    heartbeatInterval: 300,
    // Longer than a case: only an instance id can bring partitions back sooner.
    sessionTimeout: 120000,
    rebalanceTimeout: 120000,
    deserializers: stringDeserializers,
    ...options
  })
  const member = { consumer, joins: 0 }
  consumer.on('consumer:group:join', () => { member.joins++ })
  member.stream = await consumer.consume({
    topics, mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest', autocommit: 200
  })
  member.stream.on('data', one => seen.add(one.value))
  member.stream.on('error', error => console.error('stream', error))
  return member
}

const holds = member => (member.consumer.assignments ?? [])
  .flatMap(({ topic: name, partitions }) => partitions.map(one => `${name}/${one}`)).sort()
const parts = (name, count) => Array.from({ length: count }, (_, n) => `${name}/${n}`)

add('group_subscribe', async () => {
  const name = await topic('subscribe', 3)
  await send(name, 3, 0, 300)
  const seen = new Set()
  const one = await join(unique('subscribe'), seen, [name])
  await eventually(() => seen.size === 300)
  equal(parts(name, 3), holds(one), 'assignment')
  await one.consumer.close(true)
})

add('group_rebalance', async () => {
  const name = await topic('rebalance', 4)
  const groupId = unique('rebalance')
  const seen = new Set()
  await send(name, 4, 0, 100)
  const one = await join(groupId, seen, [name])
  await eventually(() => holds(one).length === 4 && seen.size === 100)
  const two = await join(groupId, seen, [name])
  await eventually(() => holds(one).length === 2 && holds(two).length === 2)
  equal(parts(name, 4), [...holds(one), ...holds(two)].sort(), 'held by both')
  await send(name, 4, 100, 100)
  await eventually(() => seen.size === 200)
  await two.consumer.close(true)
  await send(name, 4, 200, 100)
  await eventually(() => holds(one).length === 4 && seen.size === 300)
  await one.consumer.close(true)
}, 90)

add('group_static_member', async () => {
  const name = await topic('static', 4)
  const groupId = unique('static')
  const seen = new Set()
  const one = await join(groupId, seen, [name], { groupInstanceId: 'one' })
  await eventually(() => holds(one).length === 4)
  const start = async () => {
    const two = await join(groupId, seen, [name], { groupInstanceId: 'two' })
    await eventually(() => holds(one).length === 2 && holds(two).length === 2)
    return two
  }
  await start()
  await withAdmin(async admin => {
    const found = (await admin.describeGroups({ groups: [groupId] })).get(groupId)
    equal(['one', 'two'], [...found.members.values()].map(member => member.groupInstanceId).sort(), 'instance ids')
  })
  await send(name, 4, 0, 100)
  await eventually(() => seen.size === 100)
}, 90)

add('commit_and_resume', async () => {
  const name = await topic('resume')
  const groupId = unique('resume')
  await send(name, 1, 0, 100)
  await take(name, 100, { groupId, commit: [{ topic: name, partition: 0, offset: 40n }] })
  const again = await take(name, 60, { groupId, mode: 'committed', commit: [{ topic: name, partition: 0, offset: 100n }] })
  equal(40n, again[0].offset, 'first offset')
  equal(100n, (await committed(groupId)).committedOffset, 'committed')
})

async function committed (groupId) {
  const [group] = await withAdmin(admin => admin.listConsumerGroupOffsets({ groups: [groupId] }))
  return group.topics[0]?.partitions[0]
}

async function pastGroup (name) {
  const groupId = unique('past')
  await send(name, 1, 0, 10)
  await take(name, 10, { groupId, commit: [{ topic: name, partition: 0, offset: 5n }] })
  return groupId
}

add('list_groups', async () => {
  const groupId = await pastGroup(await topic('list'))
  const found = (await withAdmin(admin => admin.listGroups())).get(groupId)
  equal(['EMPTY', 'consumer'], [found.state.toUpperCase(), found.protocolType], 'group')
})

add('describe_group', async () => {
  const name = await topic('describe', 2)
  const groupId = unique('describe')
  const one = await join(groupId, new Set(), [name], { clientId: 'the-client' })
  await eventually(() => holds(one).length === 2)
  await withAdmin(async admin => {
    const found = (await admin.describeGroups({ groups: [groupId] })).get(groupId)
    equal('STABLE', found.state.toUpperCase(), 'state')
    const [member] = found.members.values()
    equal('the-client', member.clientId, 'client id')
    equal([0, 1], [...member.assignments.get(name).partitions].sort(), 'assignment')
  })
  await one.consumer.close(true)
})

add('alter_group_offsets', async () => {
  const name = await topic('alter')
  const groupId = await pastGroup(name)
  await withAdmin(admin => admin.alterConsumerGroupOffsets({
    groupId, topics: [{ name, partitionOffsets: [{ partition: 0, offset: 8n }] }]
  }))
  equal(8n, (await committed(groupId)).committedOffset, 'committed')
})

add('offset_delete', async () => {
  const name = await topic('offset-delete')
  const groupId = await pastGroup(name)
  equal(5n, (await committed(groupId)).committedOffset, 'before')
  await withAdmin(admin => admin.deleteConsumerGroupOffsets({
    groupId, topics: [{ name, partitionIndexes: [0] }]
  }))
  equal(undefined, await committed(groupId), 'after')
})

add('delete_group', async () => {
  const name = await topic('delete')
  const groupId = unique('delete')
  const one = await join(groupId, new Set(), [name])
  await eventually(() => holds(one).length === 1)
  await using(new Admin({ ...base, retries: 0 }), async admin => {
    await refusedWith('NON_EMPTY_GROUP', () => admin.deleteGroups({ groups: [groupId] }))
    await one.consumer.close(true)
    await admin.deleteGroups({ groups: [groupId] })
    check(!(await admin.listGroups()).has(groupId), 'the group is still listed')
  })
})

// Administration

const withImpatientAdmin = body => using(new Admin({ ...base, retries: 0 }), body)

add('create_topic', async () => {
  const name = await topic('create', 3)
  await withImpatientAdmin(async admin => {
    await refusedWith('TOPIC_ALREADY_EXISTS', () => create(admin, name))
    await refusedWith('INVALID_TOPIC_EXCEPTION', () => create(admin, 'not a name'))
    await refusedWith('INVALID_REPLICATION_FACTOR', () => create(admin, unique('many'), 1, 7))
  })
})

async function configs (admin, name, resourceType = ConfigResourceTypes.TOPIC) {
  const [found] = await admin.describeConfigs({
    resources: [{ resourceType, resourceName: name }], includeSynonyms: true
  })
  return Object.fromEntries(found.configs.map(one => [one.name, one]))
}

function entry (found, name, value, source) {
  equal([value, source], [found[name].value, found[name].configSource], name)
}

add('create_topic_config', async () => {
  const name = await topic('configured', 1, { 'retention.ms': '123456', 'segment.bytes': '1048576' })
  await withImpatientAdmin(async admin => {
    const found = await configs(admin, name)
    entry(found, 'retention.ms', '123456', 1)
    entry(found, 'segment.bytes', '1048576', 1)
    for (const bad of [{ 'no.such.key': '1' }, { 'retention.ms': 'soon' }]) {
      await refusedWith('INVALID_CONFIG', () => create(admin, unique('bad'), 1, 1, bad))
    }
  })
})

add('create_partitions', async () => {
  const name = await topic('more')
  await withImpatientAdmin(async admin => {
    await admin.createPartitions({ topics: [{ name, count: 4, assignments: null }] })
    await using(new Admin(base), other => awaitTopic(other, name, 4))
    await send(name, 4, 0, 40)
    checkNumbered(await take(name, 40), 4)
    await refusedWith('INVALID_PARTITIONS',
      () => admin.createPartitions({ topics: [{ name, count: 2, assignments: null }] }))
  })
})

add('delete_topic', async () => {
  const name = await topic('delete', 2)
  await send(name, 2, 0, 20)
  await withImpatientAdmin(async admin => {
    await admin.deleteTopics({ topics: [name] })
    await eventually(async () => !(await admin.listTopics()).includes(name))
    await refusedWith('UNKNOWN_TOPIC_OR_PARTITION', () => admin.deleteTopics({ topics: [name] }))
  })
})

add('list_topics', async () => {
  const name = await topic('list')
  check((await withAdmin(admin => admin.listTopics())).includes(name), 'the topic is not listed')
})

add('describe_topic', async () => {
  const name = await topic('describe', 6)
  const found = (await withAdmin(admin => admin.metadata({ topics: [name] }))).topics.get(name)
  equal(6, found.partitionsCount, 'partitions')
  check(!/^0{8}/.test(found.id), `topic id ${found.id}`)
  for (const one of found.partitions) {
    equal([[one.leader], [one.leader]], [one.replicas, one.isr], 'replicas, in-sync replicas')
  }
})

add('describe_cluster', async () => {
  const found = await withAdmin(admin => admin.metadata({ topics: [] }))
  check(found.id.length >= 16, `cluster id ${found.id}`)
  check(found.brokers.has(found.controllerId), 'the controller is no node')
})

add('describe_configs', async () => {
  const name = await topic('configs', 1, { 'retention.ms': '86400000' })
  const found = await withAdmin(admin => configs(admin, name))
  entry(found, 'retention.ms', '86400000', 1)
  entry(found, 'cleanup.policy', 'delete', 5)
  entry(found, 'max.message.bytes', '1048588', 5)
})

add('describe_broker_configs', async () => {
  const found = await withAdmin(async admin => {
    const { brokers } = await admin.metadata({ topics: [] })
    return configs(admin, String([...brokers.keys()][0]), ConfigResourceTypes.BROKER)
  })
  entry(found, 'num.partitions', '1', 5)
  check(found['socket.request.max.bytes'].readOnly, 'read-only is not marked')
})

add('alter_configs_incremental', async () => {
  const name = await topic('alter', 1, { 'retention.bytes': '1000000' })
  const { SET, DELETE } = IncrementalAlterConfigOperationTypes
  await withImpatientAdmin(async admin => {
    const alter = (configOperation, value) => admin.incrementalAlterConfigs({
      resources: [{
        resourceType: ConfigResourceTypes.TOPIC,
        resourceName: name,
        configs: [{ name: 'retention.ms', configOperation, ...(value && { value }) }]
      }]
    })
    await alter(SET, '55555')
    await eventually(async () => (await configs(admin, name))['retention.ms'].value === '55555')
    entry(await configs(admin, name), 'retention.bytes', '1000000', 1)
    await alter(DELETE)
    await eventually(async () => (await configs(admin, name))['retention.ms'].value === '604800000')
    await refusedWith('INVALID_CONFIG', () => alter(SET, 'never'))
  })
})

add('alter_configs_legacy', async () => {
  const name = await topic('legacy', 1, { 'retention.bytes': '1000000' })
  await withAdmin(async admin => {
    await admin.alterConfigs({
      resources: [{
        resourceType: ConfigResourceTypes.TOPIC,
        resourceName: name,
        configs: [{ name: 'retention.ms', value: '55555' }]
      }]
    })
    await eventually(async () => (await configs(admin, name))['retention.ms'].value === '55555')
    entry(await configs(admin, name), 'retention.bytes', '-1', 5)
  })
})

add('describe_log_dirs', async () => {
  const name = await topic('dirs')
  await withProducer(async producer => {
    for (let n = 0; n < 5; n++) await producer.send({ messages: [{ topic: name, value: Buffer.alloc(10000) }] })
  }, bytes)
  const all = await withAdmin(admin => admin.describeLogDirs({ topics: [{ name, partitions: [0] }] }))
  const sizes = all.flatMap(broker => broker.results)
    .flatMap(dir => dir.topics.filter(one => one.name === name))
    .flatMap(one => one.partitions.map(part => Number(part.partitionSize)))
  equal(1, sizes.length, 'log directories of the partition')
  check(sizes[0] >= 50000 && sizes[0] < 60000, `size ${sizes[0]}`)
})

add('delete_records', async () => {
  const name = await topic('delete-records')
  await send(name, 1, 0, 100)
  await withAdmin(async admin => {
    const [found] = await deleteBefore(admin, name, 60n)
    equal(60n, found.partitions[0].lowWatermark, 'low watermark')
  })
  equal(60n, (await take(name, 40))[0].offset, 'first offset that is left')
})

const manifest = new URL('node_modules/@platformatic/kafka/package.json', import.meta.url)
const { version } = JSON.parse(readFileSync(manifest))
await run(`@platformatic/kafka ${version}`)
