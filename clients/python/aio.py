"""aiokafka: asyncio's Kafka client."""

import asyncio
import time

import aiokafka
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
    errors,
)
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.structs import OffsetAndMetadata

from kit import (
    BOOTSTRAP,
    EARLY,
    FILLER,
    HOUR,
    MILLRACE,
    case,
    check,
    check_sent,
    equal,
    key,
    run,
    unique,
    value,
)


class Started:
    """Starts a client at entry, stops it at the end."""

    def __init__(self, client, stop="stop"):
        self.client = client
        self.stop = stop

    async def __aenter__(self):
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await getattr(self.client, self.stop)()


def admin():
    client = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP, request_timeout_ms=30000)
    return Started(client, "close")


def producer(**config):
    return Started(AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **config))


def consumer(*topics, **config):
    base = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    return Started(AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, **{**base, **config}))


async def refused(kind, call):
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def ok(response):
    """Raises the first error of an administrator's response."""
    for entry in getattr(response, "topic_errors", None) or response.topic_error_codes:
        if entry[1] != 0:
            raise errors.for_code(entry[1])(entry[2] if len(entry) > 2 else "")


def parts(name, count):
    return [TopicPartition(name, one) for one in range(count)]


async def topic(what, partitions=1, **configs):
    name = unique(what)
    configs = {name.replace("_", "."): setting for name, setting in configs.items()}
    async with admin() as client:
        ok(await client.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)]))
    await await_topic(name, partitions)
    return name


async def await_topic(name, partitions):
    """Waits until every partition has a leader that serves it."""
    async with admin() as client:
        found = []
        while not found or len(found[0]["partitions"]) != partitions:
            found = await client.describe_topics([name])
    async with consumer() as client:
        await client.end_offsets(parts(name, partitions))


async def send(name, partitions, first, count, **config):
    async with producer(**config) as client:
        return await send_by(client, name, partitions, first, count)


async def send_by(client, name, partitions, first, count):
    acks = []
    for n in range(first, first + count):
        acks.append(await client.send(name, value(n), key(n), partition=n % partitions))
    await client.flush()
    return [await ack for ack in acks]


async def take(client, count):
    """Exactly `count` records."""
    records = []
    while len(records) < count:
        some = await client.getmany(timeout_ms=500, max_records=count - len(records))
        for of_partition in some.values():
            records += of_partition
    return records


async def read_all(name, partitions, count):
    async with consumer() as client:
        client.assign(parts(name, partitions))
        await client.seek_to_beginning()
        records = await take(client, count)
        equal({}, await client.getmany(timeout_ms=200), "records too many")
        return records


def tuples(records):
    return [(one.partition, one.offset, one.key, one.value) for one in records]


# Produce


async def acks(level):
    name = await topic("acks", 3)
    await send(name, 3, 0, 300, acks=level)
    check_sent(tuples(await read_all(name, 3, 300)), 3)


@case()
async def produce_acks_0():
    await acks(0)


@case()
async def produce_acks_1():
    await acks(1)


@case()
async def produce_acks_all():
    await acks("all")


@case()
async def produce_idempotent():
    name = await topic("idempotent")
    found = await send(name, 1, 0, 1000, enable_idempotence=True, max_batch_size=300)
    equal(list(range(1000)), [one.offset for one in found], "acked offsets")
    check_sent(tuples(await read_all(name, 1, 1000)), 1)


@case()
async def produce_batches():
    name = await topic("batches", 2)
    await send(name, 2, 0, 8000, linger_ms=20, max_batch_size=200000)
    check_sent(tuples(await read_all(name, 2, 8000)), 2)


async def codec(kind):
    name = await topic(kind)
    async with producer(compression_type=kind, linger_ms=50, max_batch_size=65536) as client:
        for n in range(1000):
            await client.send(name, str(n).encode() + FILLER)
        await client.flush()
    got = [one.value for one in await read_all(name, 1, 1000)]
    equal([str(n).encode() + FILLER for n in range(1000)], got, "values")


@case()
async def codec_gzip():
    await codec("gzip")


@case()
async def codec_snappy():
    await codec("snappy")


@case()
async def codec_lz4():
    await codec("lz4")


@case()
async def codec_zstd():
    await codec("zstd")


@case()
async def headers_and_null_values():
    name = await topic("headers")
    headers = [("twice", b"1"), ("twice", b"2"), ("empty", b"")]
    async with producer() as client:
        await client.send_and_wait(name, b"", headers=headers)
        await client.send_and_wait(name, None, b"key")
    first, second = await read_all(name, 1, 2)
    equal(headers, list(first.headers), "headers")
    equal((None, b""), (first.key, first.value), "null key, empty value")
    equal((b"key", None), (second.key, second.value), "key, null value")


@case()
async def timestamps():
    created = await topic("created")
    appended = await topic("appended", message_timestamp_type="LogAppendTime")
    async with producer() as client:
        before = int(time.time() * 1000)
        await client.send_and_wait(created, b"x", timestamp_ms=EARLY)
        await client.send_and_wait(appended, b"x", timestamp_ms=EARLY)
        after = int(time.time() * 1000)
    (one,) = await read_all(created, 1, 1)
    equal((0, EARLY), (one.timestamp_type, one.timestamp), "CreateTime")
    (one,) = await read_all(appended, 1, 1)
    equal(1, one.timestamp_type, "type")
    check(before <= one.timestamp <= after, f"{one.timestamp} not in {before}..{after}")


@case()
async def large_message():
    name = await topic("large")
    body = bytes(range(256)) * 3900
    async with producer(max_request_size=2000000) as client:
        for _ in range(3):
            await client.send_and_wait(name, body)
    equal([body] * 3, [one.value for one in await read_all(name, 1, 3)], "values")


@case()
async def message_too_large_error():
    name = await topic("too-large", max_message_bytes="50000")
    async with producer(max_request_size=10000000) as client:
        await refused(errors.MessageSizeTooLargeError, client.send_and_wait(name, bytes(60000)))
        await client.send_and_wait(name, bytes(40000))
    equal([40000], [len(one.value) for one in await read_all(name, 1, 1)], "stored")


@case()
async def auto_create():
    name = unique("auto-create")
    await send(name, 1, 0, 10)
    check_sent(tuples(await read_all(name, 1, 10)), 1)


@case()
async def transaction_refused_fast():
    client = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=unique("txn"))
    if MILLRACE:
        error = await refused(Exception, client.start())
        await client.stop()
        check(not isinstance(error, (TimeoutError, asyncio.TimeoutError)), "it timed out")
        return f"refused: {error!r}"
    name = await topic("transaction")
    async with Started(client):
        async with client.transaction():
            await client.send_and_wait(name, b"x")
    async with consumer(isolation_level="read_committed") as reader:
        reader.assign(parts(name, 1))
        equal(b"x", (await take(reader, 1))[0].value, "value")
    return "served: this broker has transactions"


# Consume


@case()
async def consume_from_beginning():
    name = await topic("beginning", 4)
    await send(name, 4, 0, 4000)
    check_sent(tuples(await read_all(name, 4, 4000)), 4)


async def hourly():
    """100 records an hour apart; starts at offset 30."""
    name = await topic("hourly", retention_ms="-1")
    async with producer(max_batch_size=300) as client:
        for n in range(100):
            await client.send(name, value(n), timestamp_ms=EARLY + HOUR * n)
    return name


@case()
async def consume_from_timestamp():
    (partition,) = parts(await hourly(), 1)
    async with consumer() as client:
        client.assign([partition])
        for n in (0, 1, 42, 99):
            found = (await client.offsets_for_times({partition: EARLY + HOUR * n - 1}))[partition]
            equal((n, EARLY + HOUR * n), (found.offset, found.timestamp), "offset for a time")
        found = await client.offsets_for_times({partition: EARLY + HOUR * 2000})
        equal({partition: None}, found, "beyond the end")
        client.seek(partition, 42)
        equal(value(42), (await take(client, 58))[0].value, "first value")


async def shortened():
    """A partition of 100 records of which the first 30 are deleted."""
    (partition,) = parts(await hourly(), 1)
    async with admin() as client:
        await client.delete_records({partition: RecordsToDelete(before_offset=30)})
    return partition


@case()
async def list_offsets_earliest():
    partition = await shortened()
    async with consumer() as client:
        equal({partition: 30}, await client.beginning_offsets([partition]), "offsets")


@case()
async def list_offsets_latest():
    partition = await shortened()
    async with consumer() as client:
        equal({partition: 100}, await client.end_offsets([partition]), "offsets")


@case()
async def seek():
    name = await topic("seek")
    await send(name, 1, 0, 500)
    (partition,) = parts(name, 1)
    async with consumer() as client:
        client.assign([partition])
        for at in (250, 499, 1, 0, 333):
            client.seek(partition, at)
            (one,) = await take(client, 1)
            equal((at, value(at)), (one.offset, one.value), "first after the seek")
        await client.seek_to_end(partition)
        equal(500, await client.position(partition), "end")
        await client.seek_to_beginning(partition)
        equal(0, await client.position(partition), "beginning")


@case()
async def long_poll():
    """A fetch would wait 120 s by itself, twice the time of this case."""
    name = await topic("long-poll")
    client = AIOKafkaConsumer(
        bootstrap_servers=BOOTSTRAP, fetch_max_wait_ms=120000, request_timeout_ms=150000
    )
    await client.start()
    client.assign(parts(name, 1))
    await client.seek_to_beginning()
    async with producer() as writer:
        for n in range(5):
            equal({}, await client.getmany(timeout_ms=300), "too early")
            await send_by(writer, name, 1, n, 1)
            equal(value(n), (await take(client, 1))[0].value, "value")
    await client.stop()


@case()
async def fetch_many_partitions():
    partitions = 60
    name = await topic("many", partitions)
    records = []
    async with consumer() as client, producer() as writer:
        client.assign(parts(name, partitions))
        await client.seek_to_beginning()
        for round in range(5):
            await send_by(writer, name, partitions, round * partitions, partitions)
            records += await take(client, partitions)
    check_sent(tuples(records), partitions)


@case()
async def fetch_max_bytes():
    name = await topic("max-bytes")
    async with producer() as writer:
        for n in range(20):
            await writer.send_and_wait(name, bytes(50000 + n))
    async with consumer(fetch_max_bytes=1024, max_partition_fetch_bytes=100000) as client:
        client.assign(parts(name, 1))
        got = [len(one.value) for one in await take(client, 20)]
        equal([50000 + n for n in range(20)], got, "sizes")


@case()
async def offset_out_of_range():
    name = await topic("range")
    await send(name, 1, 0, 10)
    (partition,) = parts(name, 1)
    async with consumer(auto_offset_reset="none") as strict, consumer() as lenient:
        for client in (strict, lenient):
            client.assign([partition])
            client.seek(partition, 1000)
        await refused(errors.OffsetOutOfRangeError, strict.getone())
        check_sent(tuples(await take(lenient, 10)), 1)


@case()
async def read_committed():
    name = await topic("committed", 2)
    await send(name, 2, 0, 200)
    async with consumer(isolation_level="read_committed") as client:
        client.assign(parts(name, 2))
        check_sent(tuples(await take(client, 200)), 2)
        for one in parts(name, 2):
            equal(100, client.last_stable_offset(one), "last stable offset")


# Groups


class Member(ConsumerRebalanceListener):
    """A member of a group, with what it was told and what it read."""

    def __init__(self, group, seen, **config):
        base = {"partition_assignment_strategy": [RangePartitionAssignor], **config}
        self.client = consumer(group_id=group, enable_auto_commit=True, **base).client
        self.seen = seen
        self.rebalances = 0

    async def on(self, *topics, **pattern):
        self.client.subscribe(topics, listener=self, **pattern)
        await self.client.start()
        return self

    async def on_partitions_assigned(self, assigned):
        self.rebalances += 1

    async def on_partitions_revoked(self, revoked):
        pass

    async def poll(self):
        for records in (await self.client.getmany(timeout_ms=50)).values():
            self.seen.update(one.value for one in records)

    def holds(self):
        return set(self.client.assignment())

    async def close(self):
        await self.client.stop()


async def poll_until(truth, *members):
    while not truth():
        for member in members:
            await member.poll()


@case(seconds=90)
async def group_rebalance():
    name = await topic("rebalance", 4)
    group, seen = unique("rebalance"), set()
    async with producer() as writer:
        one = await Member(group, seen).on(name)
        await send_by(writer, name, 4, 0, 100)
        await poll_until(lambda: len(one.holds()) == 4 and len(seen) == 100, one)
        two = Member(group, seen)
        # Its start waits for the first assignment, and the other one must poll meanwhile.
        joining = asyncio.create_task(two.on(name))
        await poll_until(lambda: len(one.holds()) == 2 and joining.done(), one)
        await poll_until(lambda: len(two.holds()) == 2, one, two)
        equal(set(parts(name, 4)), one.holds() | two.holds(), "held by both")
        await send_by(writer, name, 4, 100, 100)
        await poll_until(lambda: len(seen) == 200, one, two)
        await two.close()
        await send_by(writer, name, 4, 200, 100)
        await poll_until(lambda: len(one.holds()) == 4 and len(seen) == 300, one)
        await one.close()


@case(seconds=90)
async def group_static_member():
    name = await topic("static", 4)
    group, seen = unique("static"), set()
    # The session is longer than this case: only the instance id can help.
    one = await Member(group, seen, group_instance_id="one", session_timeout_ms=120000).on(name)
    await poll_until(lambda: len(one.holds()) == 4, one)

    async def second():
        two = Member(group, seen, group_instance_id="two", session_timeout_ms=120000)
        joining = asyncio.create_task(two.on(name))
        await poll_until(joining.done, one)
        await poll_until(lambda: len(one.holds()) == 2 and len(two.holds()) == 2, one, two)
        return two

    two = await second()
    before, rebalances = two.holds(), one.rebalances
    await two.close()
    two = await second()
    equal(before, two.holds(), "partitions after the restart")
    await send(name, 4, 0, 100)
    await poll_until(lambda: len(seen) == 100, one, two)
    equal(rebalances, one.rebalances, "rebalances seen by the other member")
    await one.close()
    await two.close()


@case()
async def group_subscribe():
    name, seen = await topic("subscribe", 3), set()
    await send(name, 3, 0, 300)
    one = await Member(unique("subscribe"), seen).on(name)
    await poll_until(lambda: len(seen) == 300, one)
    equal(set(parts(name, 3)), one.holds(), "assignment")
    await one.close()


@case()
async def group_regex():
    group, seen = unique("regex"), set()
    first = await topic(f"{group}-a")
    one = await Member(group, seen, metadata_max_age_ms=300).on(pattern=f"^aio-{group}.*")
    await send(first, 1, 0, 10)
    await poll_until(lambda: len(seen) == 10, one)
    second = await topic(f"{group}-b")
    await send(second, 1, 10, 10)
    await poll_until(lambda: len(seen) == 20, one)
    equal({TopicPartition(first, 0), TopicPartition(second, 0)}, one.holds(), "assignment")
    await one.close()


@case()
async def commit_and_resume():
    name, group = await topic("resume"), unique("resume")
    await send(name, 1, 0, 100)
    (partition,) = parts(name, 1)
    async with consumer(name, group_id=group) as client:
        await take(client, 100)
        await client.commit({partition: 40})
    async with consumer(name, group_id=group) as client:
        equal(40, (await take(client, 60))[0].offset, "first offset")
        await client.commit()
        equal(100, await client.committed(partition), "committed")


@case()
async def commit_metadata_roundtrip():
    (partition,) = parts(await topic("metadata"), 1)
    group = unique("metadata")
    async with consumer(group_id=group) as client:
        client.assign([partition])
        await client.commit({partition: OffsetAndMetadata(7, "where – é")})
    async with admin() as client:
        found = (await client.list_consumer_group_offsets(group))[partition]
        equal((7, "where – é"), (found.offset, found.metadata), "offset, metadata")


@case()
async def list_groups():
    name, group = await topic("list"), unique("list")
    await send(name, 1, 0, 10)
    async with consumer(name, group_id=group) as client:
        await take(client, 10)
    async with admin() as client:
        found = [one for one in await client.list_consumer_groups() if one[0] == group]
        equal([(group, "consumer")], [tuple(one)[:2] for one in found], "listed")


@case()
async def describe_group():
    name, group = await topic("describe", 2), unique("describe")
    one = await Member(group, set(), client_id="the-client").on(name)
    await poll_until(lambda: len(one.holds()) == 2, one)
    async with admin() as client:
        (response,) = await client.describe_consumer_groups([group])
        ((error, found, state, _, protocol, members),) = [one[:6] for one in response.groups]
        equal((0, group, "Stable", "range"), (error, found, state, protocol), "group")
        equal(["the-client"], [member[1] for member in members], "client ids")
    await one.close()


# Administration


@case()
async def create_topic():
    name = await topic("create", 3)
    async with admin() as client:
        bad = [
            (errors.TopicAlreadyExistsError, NewTopic(name, 1, 1)),
            (errors.InvalidTopicError, NewTopic("not a name", 1, 1)),
            (errors.InvalidPartitionsError, NewTopic(unique("none"), 0, 1)),
            (errors.InvalidReplicationFactorError, NewTopic(unique("many"), 1, 7)),
        ]
        for kind, wanted in bad:
            response = await client.create_topics([wanted])
            try:
                ok(response)
            except kind:
                continue
            raise AssertionError(f"no {kind.__name__}: {response}")
        tried = unique("tried")
        ok(await client.create_topics([NewTopic(tried, 1, 1)], validate_only=True))
        check(tried not in await client.list_topics(), "validate_only created it")


async def configs(client, name, kind=ConfigResourceType.TOPIC):
    (response,) = await client.describe_configs([ConfigResource(kind, name)], include_synonyms=True)
    ((error, message, _, _, entries),) = response.resources
    equal(0, error, f"error ({message})")
    return {one[0]: one for one in entries}


@case()
async def create_topic_config():
    name = await topic("configured", retention_ms="123456", segment_bytes="1048576")
    async with admin() as client:
        found = await configs(client, name)
        equal("123456", found["retention.ms"][1], "retention.ms")
        equal("1048576", found["segment.bytes"][1], "segment.bytes")
        for bad in ({"no.such.key": "1"}, {"retention.ms": "soon"}):
            wanted = NewTopic(unique("bad"), 1, 1, topic_configs=bad)
            response = await client.create_topics([wanted])
            try:
                ok(response)
            except errors.InvalidConfigurationError:
                continue
            raise AssertionError(f"not refused: {response}")


@case()
async def create_partitions():
    name = await topic("more")
    async with admin() as client:
        await client.create_partitions({name: NewPartitions(4)})
        await await_topic(name, 4)
        await send(name, 4, 0, 40)
        check_sent(tuples(await read_all(name, 4, 40)), 4)
        fewer = client.create_partitions({name: NewPartitions(2)})
        await refused(errors.InvalidPartitionsError, fewer)


@case()
async def delete_topic():
    name = await topic("delete", 2)
    await send(name, 2, 0, 20)
    async with admin() as client:
        ok(await client.delete_topics([name]))
        while name in await client.list_topics():
            await asyncio.sleep(0.02)
        again = await client.delete_topics([name])
        equal([3], [one[1] for one in again.topic_error_codes], "error: UNKNOWN_TOPIC")


@case()
async def list_topics():
    name = await topic("list")
    async with admin() as client:
        check(name in await client.list_topics(), "the topic is not listed")


@case()
async def describe_topic():
    name = await topic("describe", 6)
    async with admin() as client:
        (found,) = await client.describe_topics([name])
        equal(6, len(found["partitions"]), "partitions")
        for one in found["partitions"]:
            equal([one["leader"]], one["replicas"], "replicas")
            equal([one["leader"]], one["isr"], "in-sync replicas")


@case()
async def describe_cluster():
    async with admin() as client:
        found = await client.describe_cluster()
        check(len(found["cluster_id"]) >= 16, f"cluster id {found['cluster_id']}")
        nodes = [one["node_id"] for one in found["brokers"]]
        check(found["controller_id"] in nodes, "the controller is no node")


@case()
async def describe_configs():
    name = await topic("configs", retention_ms="86400000")
    async with admin() as client:
        found = await configs(client, name)
        equal(("86400000", 1), (found["retention.ms"][1], found["retention.ms"][3]), "retention")
        equal(("delete", 5), (found["cleanup.policy"][1], found["cleanup.policy"][3]), "policy")


@case()
async def describe_broker_configs():
    async with admin() as client:
        node = (await client.describe_cluster())["brokers"][0]["node_id"]
        found = await configs(client, str(node), ConfigResourceType.BROKER)
        equal("1", found["num.partitions"][1], "num.partitions")
        equal("1048588", found["message.max.bytes"][1], "message.max.bytes")
        check(found["socket.request.max.bytes"][2], "read-only is not marked")


@case()
async def alter_configs_legacy():
    name = await topic("legacy", retention_bytes="1000000")
    async with admin() as client:
        change = {"retention.ms": "55555"}
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, change)])
        while (await configs(client, name))["retention.ms"][1] != "55555":
            await asyncio.sleep(0.02)
        equal("-1", (await configs(client, name))["retention.bytes"][1], "the value left out")


@case()
async def delete_records():
    name = await topic("delete-records")
    await send(name, 1, 0, 100)
    (partition,) = parts(name, 1)
    async with admin() as client:
        found = await client.delete_records({partition: RecordsToDelete(before_offset=60)})
        equal({partition: 60}, found, "low watermarks")
    async with consumer() as reader:
        reader.assign([partition])
        reader.seek(partition, 10)
        equal(60, (await take(reader, 40))[0].offset, "first offset that is left")


run(f"aiokafka {aiokafka.__version__}")
