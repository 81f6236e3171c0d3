"""confluent-kafka: librdkafka's own Python client."""

import time
from concurrent.futures import Future

import confluent_kafka
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
    OFFSET_BEGINNING,
    OFFSET_END,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

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
    eventually,
    key,
    run,
    unique,
    value,
)


# One for all cases: it must outlive the futures that it gave.
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def admin():
    return ADMIN


def producer(**config):
    base = {"bootstrap.servers": BOOTSTRAP, "linger.ms": 2, "message.timeout.ms": 40000}
    base.update({name.replace("_", "."): setting for name, setting in config.items()})
    # A retry of librdkafka may overtake other requests unless one of these is set.
    if "acks" in base:
        base["max.in.flight"] = 1
    else:
        base["enable.idempotence"] = True
    return Producer(base)


def consumer(**config):
    base = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": unique("group"),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    base.update({name.replace("_", "."): setting for name, setting in config.items()})
    return Consumer(base)


def done(futures):
    """The results of an admin call, by name; raises the first error."""
    if isinstance(futures, Future):
        return futures.result(40)
    return {name: future.result(40) for name, future in futures.items()}


def refused(code, call):
    try:
        call()
    except KafkaException as error:
        equal(code, error.args[0].code(), f"error code ({error})")
        return error.args[0]
    raise AssertionError("it was not refused")


def topic(what, partitions=1, **config):
    name = unique(what)
    config = {name.replace("_", "."): setting for name, setting in config.items()}
    client = admin()
    done(client.create_topics([NewTopic(name, partitions, 1, config=config)]))
    await_topic(client, name, partitions)
    return name


def await_topic(client, name, partitions):
    def there():
        found = client.list_topics(name, timeout=30).topics[name]
        leaders = [one.leader for one in found.partitions.values()]
        return found.error is None and len(leaders) == partitions and min(leaders) >= 0

    eventually(there)
    # Its metadata may be there before its leader serves it.
    asked = {TopicPartition(name, one): OffsetSpec.latest() for one in range(partitions)}

    def served():
        try:
            return len(done(client.list_offsets(asked))) == partitions
        except KafkaException:
            return False

    eventually(served)


def send(name, partitions, first, count, client=None):
    client = client or producer()
    acks = []
    for n in range(first, first + count):
        client.produce(
            name,
            value(n),
            key(n),
            n % partitions,
            on_delivery=lambda error, message: acks.append((error, message.offset())),
        )
        client.poll(0)
    client.flush(40)
    equal(count, len(acks), "deliveries")
    equal([], [error for error, _ in acks if error], "errors of deliveries")
    return [offset for _, offset in acks]


def take(client, count):
    """Exactly `count` messages."""
    messages = []
    while len(messages) < count:
        for message in client.consume(count - len(messages), 0.5):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
    return messages


def read_all(name, partitions, count):
    client = consumer()
    client.assign([TopicPartition(name, one, OFFSET_BEGINNING) for one in range(partitions)])
    messages = take(client, count)
    extra = client.consume(1, 0.2)
    equal(0, len([one for one in extra if not one.error()]), "messages too many")
    client.close()
    return messages


def tuples(messages):
    return [(one.partition(), one.offset(), one.key(), one.value()) for one in messages]


# Produce


def acks(level):
    name = topic("acks", 3)
    send(name, 3, 0, 300, producer(acks=level))
    check_sent(tuples(read_all(name, 3, 300)), 3)


@case()
def produce_acks_0():
    acks("0")


@case()
def produce_acks_1():
    acks("1")


@case()
def produce_acks_all():
    acks("all")


@case()
def produce_idempotent():
    name = topic("idempotent")
    client = producer(enable_idempotence=True, batch_num_messages=10, linger_ms=0)
    equal(list(range(1000)), send(name, 1, 0, 1000, client), "acked offsets")
    check_sent(tuples(read_all(name, 1, 1000)), 1)


@case()
def produce_batches():
    name = topic("batches", 2)
    send(name, 2, 0, 20000, producer(linger_ms=20, batch_size=500000))
    check_sent(tuples(read_all(name, 2, 20000)), 2)


def codec(kind):
    name = topic(kind)
    client = producer(compression_type=kind, linger_ms=50)
    for n in range(2000):
        client.produce(name, str(n).encode() + FILLER)
        client.poll(0)
    equal(0, client.flush(40), "messages left")
    got = [message.value() for message in read_all(name, 1, 2000)]
    equal([str(n).encode() + FILLER for n in range(2000)], got, "values")


for kind in ("gzip", "snappy", "lz4", "zstd"):
    case("codec_" + kind)(lambda kind=kind: codec(kind))


@case()
def headers_and_null_values():
    name = topic("headers")
    headers = [("twice", b"1"), ("twice", b"2"), ("null", None), ("empty", b"")]
    client = producer()
    client.produce(name, b"", None, headers=headers)
    client.produce(name, None, b"key")
    client.flush(40)
    first, second = read_all(name, 1, 2)
    equal(headers, first.headers(), "headers")
    equal((None, b""), (first.key(), first.value()), "null key, empty value")
    equal((b"key", None), (second.key(), second.value()), "key, null value")


@case()
def timestamps():
    created = topic("created")
    appended = topic("appended", message_timestamp_type="LogAppendTime")
    client = producer()
    before = int(time.time() * 1000)
    client.produce(created, b"x", timestamp=EARLY)
    client.produce(appended, b"x", timestamp=EARLY)
    client.flush(40)
    after = int(time.time() * 1000)
    kind, stamp = read_all(created, 1, 1)[0].timestamp()
    equal((confluent_kafka.TIMESTAMP_CREATE_TIME, EARLY), (kind, stamp), "CreateTime")
    kind, stamp = read_all(appended, 1, 1)[0].timestamp()
    equal(confluent_kafka.TIMESTAMP_LOG_APPEND_TIME, kind, "type")
    check(before <= stamp <= after, f"{stamp} not in {before}..{after}")


@case()
def large_message():
    name = topic("large")
    body = bytes(range(256)) * 3900
    client = producer(message_max_bytes=2000000)
    for _ in range(5):
        client.produce(name, body)
    equal(0, client.flush(40), "messages left")
    equal([body] * 5, [one.value() for one in read_all(name, 1, 5)], "values")


@case()
def message_too_large_error():
    name = topic("too-large", max_message_bytes="50000")
    client = producer(message_max_bytes=10000000)
    errors = []
    for size in (60000, 40000):
        client.produce(name, bytes(size), on_delivery=lambda error, _: errors.append(error))
        client.flush(40)
    equal(KafkaError.MSG_SIZE_TOO_LARGE, errors[0].code(), "error of the large one")
    equal(None, errors[1], "error of the small one")
    equal([40000], [len(one.value()) for one in read_all(name, 1, 1)], "stored")


@case()
def auto_create():
    name = unique("auto-create")
    send(name, 1, 0, 10)
    check_sent(tuples(read_all(name, 1, 10)), 1)


@case()
def unknown_topic_error():
    name = unique("nowhere")
    client = consumer(allow_auto_create_topics=False)
    client.subscribe([name])
    error = None
    while error is None:
        message = client.poll(0.5)
        error = message.error() if message else None
    equal(KafkaError.UNKNOWN_TOPIC_OR_PART, error.code(), "error")
    client.close()
    check(name not in admin().list_topics(timeout=30).topics, "asking has created the topic")


@case()
def transaction_refused_fast():
    client = producer(transactional_id=unique("txn"))
    if MILLRACE:
        try:
            client.init_transactions(50)
        except KafkaException as error:
            check(not error.args[0].retriable(), f"a retriable error: {error}")
            return f"refused: {error.args[0].name()}"
        raise AssertionError("init_transactions succeeded")
    name = topic("transaction")
    client.init_transactions(50)
    client.begin_transaction()
    client.produce(name, b"x")
    client.commit_transaction(25)
    reader = consumer(isolation_level="read_committed")
    reader.assign([TopicPartition(name, 0, 0)])
    equal(b"x", take(reader, 1)[0].value(), "value")
    reader.close()
    return "served: this broker has transactions"


# Consume


@case()
def consume_from_beginning():
    name = topic("beginning", 4)
    send(name, 4, 0, 4000)
    check_sent(tuples(read_all(name, 4, 4000)), 4)


def hourly():
    """100 records an hour apart, the largest time stamp at offset 70; starts at offset 30."""
    name = topic("hourly", retention_ms="-1")
    client = producer(batch_num_messages=5)
    for n in range(100):
        client.produce(name, value(n), timestamp=EARLY + HOUR * (1000 if n == 70 else n))
    client.flush(40)
    return name


@case()
def consume_from_timestamp():
    name = hourly()
    client = consumer()
    for n in (0, 1, 42, 69):
        asked = TopicPartition(name, 0, EARLY + HOUR * n - 1)
        equal(n, client.offsets_for_times([asked], 30)[0].offset, "offset for a time")
    asked = TopicPartition(name, 0, EARLY + HOUR * 2000)
    equal(OFFSET_END, client.offsets_for_times([asked], 30)[0].offset, "beyond the end")
    client.assign([TopicPartition(name, 0, 42)])
    equal(value(42), take(client, 58)[0].value(), "first value")
    client.close()


def list_offsets(spec, expected):
    name = hourly()
    client = admin()
    done(client.delete_records([TopicPartition(name, 0, 30)]))
    (result,) = done(client.list_offsets({TopicPartition(name, 0): spec})).values()
    equal(expected, result.offset, "offset")


@case()
def list_offsets_earliest():
    list_offsets(OffsetSpec.earliest(), 30)


@case()
def list_offsets_latest():
    list_offsets(OffsetSpec.latest(), 100)


@case()
def list_offsets_max_timestamp():
    list_offsets(OffsetSpec.max_timestamp(), 70)


@case()
def seek():
    name = topic("seek")
    send(name, 1, 0, 500)
    client = consumer()
    client.assign([TopicPartition(name, 0, 0)])
    take(client, 1)
    for at in (250, 499, 1, 0, 333):
        client.seek(TopicPartition(name, 0, at))
        message = take(client, 1)[0]
        equal((at, value(at)), (message.offset(), message.value()), "first after the seek")
    equal((0, 500), client.get_watermark_offsets(TopicPartition(name, 0), 30), "watermarks")
    client.close()


@case()
def long_poll():
    """A fetch would wait 120 s by itself, twice the time of this case."""
    name = topic("long-poll")
    client = consumer(fetch_wait_max_ms=120000, socket_timeout_ms=150000)
    client.assign([TopicPartition(name, 0, 0)])
    writer = producer()
    for n in range(5):
        equal(None, client.poll(0.3), "too early")
        send(name, 1, n, 1, writer)
        equal(value(n), take(client, 1)[0].value(), "value")


@case()
def fetch_many_partitions():
    partitions = 100
    name = topic("many", partitions)
    client = consumer()
    client.assign([TopicPartition(name, one, 0) for one in range(partitions)])
    writer = producer()
    messages = []
    for round in range(5):
        send(name, partitions, round * partitions, partitions, writer)
        messages += take(client, partitions)
    check_sent(tuples(messages), partitions)
    client.close()


@case()
def fetch_max_bytes():
    name = topic("max-bytes")
    writer = producer(batch_num_messages=1)
    for n in range(20):
        writer.produce(name, bytes(50000 + n))
    equal(0, writer.flush(40), "messages left")
    client = consumer(fetch_max_bytes=1024, max_partition_fetch_bytes=1024, message_max_bytes=1000)
    client.assign([TopicPartition(name, 0, 0)])
    equal([50000 + n for n in range(20)], [len(one.value()) for one in take(client, 20)], "sizes")
    client.close()


@case()
def offset_out_of_range():
    name = topic("range")
    send(name, 1, 0, 10)
    strict = consumer(auto_offset_reset="error")
    strict.assign([TopicPartition(name, 0, 1000)])
    message = None
    while message is None:
        message = strict.poll(0.5)
    check(message.error() is not None, "a message, not an error")
    lenient = consumer()
    lenient.assign([TopicPartition(name, 0, 1000)])
    check_sent(tuples(take(lenient, 10)), 1)
    strict.close()
    lenient.close()


@case()
def read_committed():
    name = topic("committed", 2)
    send(name, 2, 0, 200)
    client = consumer(isolation_level="read_committed")
    client.assign([TopicPartition(name, one, 0) for one in range(2)])
    check_sent(tuples(take(client, 200)), 2)
    client.close()
    asked = {TopicPartition(name, 1): OffsetSpec.latest()}
    found = done(admin().list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED))
    equal([100], [one.offset for one in found.values()], "last stable offset")


# Groups


class Member:
    """A member of a group, with what it was told and what it read."""

    def __init__(self, group, seen, **config):
        self.client = consumer(group_id=group, enable_auto_commit=True, **config)
        self.seen = seen
        self.revoked = []
        self.rebalances = 0
        self.cooperative = "cooperative" in config.get("partition_assignment_strategy", "")

    def on(self, *topics):
        self.client.subscribe(list(topics), on_assign=self.assigned, on_revoke=self.taken)
        return self

    def assigned(self, _, partitions):
        self.rebalances += 1

    def taken(self, _, partitions):
        self.revoked += [(one.topic, one.partition) for one in partitions]

    def poll(self):
        for message in self.client.consume(100, 0.05):
            if message.error():
                raise KafkaException(message.error())
            self.seen.add(message.value())

    def holds(self):
        return {(one.topic, one.partition) for one in self.client.assignment()}

    def close(self):
        self.client.close()


def poll_until(truth, *members):
    while not truth():
        for member in members:
            member.poll()


def two_members(name, **config):
    group, seen, writer = unique("rebalance"), set(), producer()
    one = Member(group, seen, **config).on(name)
    send(name, 4, 0, 100, writer)
    poll_until(lambda: len(one.holds()) == 4 and len(seen) == 100, one)
    two = Member(group, seen, **config).on(name)
    poll_until(lambda: len(one.holds()) == 2 and len(two.holds()) == 2, one, two)
    equal({(name, n) for n in range(4)}, one.holds() | two.holds(), "held by both")
    send(name, 4, 100, 100, writer)
    poll_until(lambda: len(seen) == 200, one, two)
    first_revoked, second_holds = set(one.revoked), two.holds()
    two.close()
    send(name, 4, 200, 100, writer)
    poll_until(lambda: len(one.holds()) == 4 and len(seen) == 300, one)
    one.close()
    return first_revoked, second_holds


@case(seconds=90)
def group_rebalance():
    two_members(topic("rebalance", 4), partition_assignment_strategy="range")


@case(seconds=90)
def group_cooperative():
    name = topic("cooperative", 4)
    revoked, second = two_members(name, partition_assignment_strategy="cooperative-sticky")
    equal(second, revoked, "taken from the first member, given to the second")


@case(seconds=90)
def group_static_member():
    name, group, seen = topic("static", 4), unique("static"), set()
    one = Member(group, seen, group_instance_id="one", session_timeout_ms=120000).on(name)
    poll_until(lambda: len(one.holds()) == 4, one)
    two = Member(group, seen, group_instance_id="two", session_timeout_ms=120000).on(name)
    poll_until(lambda: len(one.holds()) == 2 and len(two.holds()) == 2, one, two)
    before, rebalances = two.holds(), one.rebalances
    two.close()
    two = Member(group, seen, group_instance_id="two", session_timeout_ms=120000).on(name)
    poll_until(lambda: len(two.holds()) == 2, one, two)
    equal(before, two.holds(), "partitions after the restart")
    send(name, 4, 0, 100)
    poll_until(lambda: len(seen) == 100, one, two)
    equal(rebalances, one.rebalances, "rebalances seen by the other member")
    described = done(admin().describe_consumer_groups([group]))[group]
    equal({"one", "two"}, {one.group_instance_id for one in described.members}, "instance ids")
    one.close()
    two.close()


@case()
def group_subscribe():
    name, seen = topic("subscribe", 3), set()
    send(name, 3, 0, 300)
    one = Member(unique("subscribe"), seen).on(name)
    poll_until(lambda: len(seen) == 300, one)
    equal({(name, n) for n in range(3)}, one.holds(), "assignment")
    one.close()


@case()
def group_regex():
    group, seen = unique("regex"), set()
    first = topic(f"{group}-a")
    one = Member(group, seen, topic_metadata_refresh_interval_ms=300).on(f"^confluent-{group}.*")
    send(first, 1, 0, 10)
    poll_until(lambda: len(seen) == 10, one)
    second = topic(f"{group}-b")
    send(second, 1, 10, 10)
    poll_until(lambda: len(seen) == 20, one)
    equal({(first, 0), (second, 0)}, one.holds(), "assignment")
    one.close()


@case()
def commit_and_resume():
    name, group = topic("resume"), unique("resume")
    send(name, 1, 0, 100)
    client = consumer(group_id=group)
    client.subscribe([name])
    take(client, 100)
    client.commit(offsets=[TopicPartition(name, 0, 40)], asynchronous=False)
    client.close()
    client = consumer(group_id=group)
    client.subscribe([name])
    equal(40, take(client, 60)[0].offset(), "first offset")
    client.commit(asynchronous=False)
    equal(100, client.committed([TopicPartition(name, 0)], 30)[0].offset, "committed")
    client.close()


@case()
def commit_metadata_roundtrip():
    name, client = topic("metadata"), consumer()
    # librdkafka 2.16.0 locks itself out (rd_kafka_offset_reset_op_cb) when it's
    # closed while it resets an offset that's out of range, so 7 is in range.
    send(name, 1, 0, 10)
    offset = TopicPartition(name, 0, 7, metadata="where – é")
    client.assign([TopicPartition(name, 0)])
    client.commit(offsets=[offset], asynchronous=False)
    got = client.committed([TopicPartition(name, 0)], 30)[0]
    equal((7, "where – é"), (got.offset, got.metadata), "offset, metadata")
    client.close()


def empty_group(name):
    group = unique("empty")
    send(name, 1, 0, 10)
    client = consumer(group_id=group)
    client.subscribe([name])
    take(client, 10)
    client.commit(offsets=[TopicPartition(name, 0, 5)], asynchronous=False)
    client.close()
    return group


def listed(client, group):
    found = done(client.list_consumer_groups())
    equal([], found.errors, "errors of the listing")
    return next((one for one in found.valid if one.group_id == group), None)


@case()
def list_groups():
    group, client = empty_group(topic("list")), admin()
    equal(ConsumerGroupState.EMPTY, listed(client, group).state, "state")


@case()
def describe_group():
    name, group = topic("describe", 2), unique("describe")
    one = Member(group, set(), client_id="the-client").on(name)
    poll_until(lambda: len(one.holds()) == 2, one)
    found = done(admin().describe_consumer_groups([group]))[group]
    equal(ConsumerGroupState.STABLE, found.state, "state")
    (member,) = found.members
    equal("the-client", member.client_id, "client id")
    got = {(part.topic, part.partition) for part in member.assignment.topic_partitions}
    equal({(name, 0), (name, 1)}, got, "assignment")
    one.close()


@case()
def alter_group_offsets():
    name = topic("alter")
    group, client = empty_group(name), admin()
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 8)])
    done(client.alter_consumer_group_offsets([wanted]))
    (found,) = done(
        client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    ).values()
    equal([8], [one.offset for one in found.topic_partitions], "offset")


@case()
def delete_group():
    name, client = topic("delete"), admin()
    group = unique("delete")
    one = Member(group, set()).on(name)
    poll_until(lambda: len(one.holds()) == 1, one)
    refused(KafkaError.NON_EMPTY_GROUP, lambda: done(client.delete_consumer_groups([group])))
    one.close()
    done(client.delete_consumer_groups([group]))
    equal(None, listed(client, group), "listed")
    refused(KafkaError.GROUP_ID_NOT_FOUND, lambda: done(client.delete_consumer_groups([group])))


# Administration


@case()
def create_topic():
    client, name = admin(), topic("create", 3)
    bad = [
        (KafkaError.TOPIC_ALREADY_EXISTS, NewTopic(name, 1, 1)),
        (KafkaError.TOPIC_EXCEPTION, NewTopic("not a name", 1, 1)),
        (KafkaError.INVALID_REPLICATION_FACTOR, NewTopic(unique("many"), 1, 7)),
    ]
    for code, wanted in bad:
        refused(code, lambda wanted=wanted: done(client.create_topics([wanted])))
    tried = unique("tried")
    done(client.create_topics([NewTopic(tried, 1, 1)], validate_only=True))
    check(tried not in client.list_topics(timeout=30).topics, "validate_only created it")


def configs(client, name, kind=ResourceType.TOPIC):
    (found,) = done(client.describe_configs([ConfigResource(kind, name)])).values()
    return found


def entry(found, name, expected, source):
    equal((expected, source.value), (found[name].value, found[name].source), name)


@case()
def create_topic_config():
    client = admin()
    name = topic("configured", retention_ms="123456", segment_bytes="1048576")
    found = configs(client, name)
    entry(found, "retention.ms", "123456", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    entry(found, "segment.bytes", "1048576", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    for config in ({"no.such.key": "1"}, {"retention.ms": "soon"}):
        wanted = NewTopic(unique("bad"), 1, 1, config=config)
        refused(KafkaError.INVALID_CONFIG, lambda: done(client.create_topics([wanted])))


@case()
def create_partitions():
    client, name = admin(), topic("more")
    done(client.create_partitions([NewPartitions(name, 4)]))
    await_topic(client, name, 4)
    send(name, 4, 0, 40)
    check_sent(tuples(read_all(name, 4, 40)), 4)
    fewer = lambda: done(client.create_partitions([NewPartitions(name, 2)]))
    refused(KafkaError.INVALID_PARTITIONS, fewer)


@case()
def delete_topic():
    client, name = admin(), topic("delete", 2)
    send(name, 2, 0, 20)
    done(client.delete_topics([name]))
    eventually(lambda: name not in client.list_topics(timeout=30).topics)
    again = lambda: done(client.delete_topics([name]))
    refused(KafkaError.UNKNOWN_TOPIC_OR_PART, again)


@case()
def list_topics():
    name = topic("list")
    check(name in admin().list_topics(timeout=30).topics, "the topic is not listed")


@case()
def describe_topic():
    name = topic("describe", 6)
    found = done(admin().describe_topics(TopicCollection([name])))[name]
    equal(6, len(found.partitions), "partitions")
    check(str(found.topic_id) != "AAAAAAAAAAAAAAAAAAAAAA", "no topic id")
    for index, one in enumerate(found.partitions):
        equal(index, one.id, "partition")
        equal([one.leader.id], [node.id for node in one.replicas], "replicas")
        equal([one.leader.id], [node.id for node in one.isr], "in-sync replicas")


@case()
def describe_cluster():
    found = done(admin().describe_cluster())
    check(len(found.cluster_id) >= 16, f"cluster id {found.cluster_id}")
    check(found.controller.id in [node.id for node in found.nodes], "the controller is no node")


@case()
def describe_configs():
    found = configs(admin(), topic("configs", retention_ms="86400000"))
    entry(found, "retention.ms", "86400000", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    entry(found, "cleanup.policy", "delete", ConfigSource.DEFAULT_CONFIG)
    entry(found, "max.message.bytes", "1048588", ConfigSource.DEFAULT_CONFIG)
    check("retention.ms" in found["retention.ms"].synonyms, "no synonyms")


@case()
def describe_broker_configs():
    client = admin()
    node = min(client.list_topics(timeout=30).brokers)
    found = configs(client, str(node), ResourceType.BROKER)
    entry(found, "num.partitions", "1", ConfigSource.DEFAULT_CONFIG)
    entry(found, "message.max.bytes", "1048588", ConfigSource.DEFAULT_CONFIG)
    check(found["socket.request.max.bytes"].is_read_only, "read-only is not marked")


@case()
def alter_configs_incremental():
    client, name = admin(), topic("alter", retention_bytes="1000000")

    def alter(key, setting, kind):
        change = ConfigEntry(key, setting, incremental_operation=kind)
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])
        done(client.incremental_alter_configs([resource]))

    alter("retention.ms", "55555", AlterConfigOpType.SET)
    eventually(lambda: configs(client, name)["retention.ms"].value == "55555")
    equal("1000000", configs(client, name)["retention.bytes"].value, "the other value")
    alter("retention.ms", None, AlterConfigOpType.DELETE)
    eventually(lambda: configs(client, name)["retention.ms"].value == "604800000")
    never = lambda: alter("retention.ms", "never", AlterConfigOpType.SET)
    refused(KafkaError.INVALID_CONFIG, never)


@case()
def alter_configs_legacy():
    client, name = admin(), topic("legacy", retention_bytes="1000000")
    resource = ConfigResource(ResourceType.TOPIC, name, set_config={"retention.ms": "55555"})
    done(client.alter_configs([resource]))
    eventually(lambda: configs(client, name)["retention.ms"].value == "55555")
    entry(configs(client, name), "retention.bytes", "-1", ConfigSource.DEFAULT_CONFIG)


@case()
def delete_records():
    client, name = admin(), topic("delete-records")
    send(name, 1, 0, 100)
    (result,) = done(client.delete_records([TopicPartition(name, 0, 60)])).values()
    equal(60, result.low_watermark, "low watermark")
    reader = consumer()
    reader.assign([TopicPartition(name, 0, 10)])
    equal(60, take(reader, 40)[0].offset(), "first offset that is left")
    reader.close()
    beyond = lambda: done(client.delete_records([TopicPartition(name, 0, 1000)]))
    refused(KafkaError.OFFSET_OUT_OF_RANGE, beyond)


run(f"confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}")
