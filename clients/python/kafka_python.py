"""kafka-python: an implementation of its own in pure Python."""

import threading
import time

import kafka
from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    TopicPartition,
    errors,
)
from kafka.admin import ConfigResource, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata

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


def admin():
    return KafkaAdminClient(bootstrap_servers=BOOTSTRAP, request_timeout_ms=30000)


def producer(**config):
    base = {"delivery_timeout_ms": 40000, "request_timeout_ms": 30000, "max_block_ms": 40000}
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, **{**base, "linger_ms": 2, **config})


def consumer(**config):
    base = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    return KafkaConsumer(bootstrap_servers=BOOTSTRAP, **{**base, **config})


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def topic(what, partitions=1, **configs):
    name = unique(what)
    configs = {name.replace("_", "."): setting for name, setting in configs.items()}
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
    client = admin()
    client.create_topics({name: options})
    await_topic(client, name, partitions)
    client.close()
    return name


def parts(name, count):
    return [TopicPartition(name, one) for one in range(count)]


def await_topic(client, name, partitions):
    """Waits until every partition has a leader that serves it."""

    def served():
        try:
            if len(client.describe_topics([name])[0]["partitions"]) != partitions:
                return False
            asked = {one: OffsetSpec.LATEST for one in parts(name, partitions)}
            return len(client.list_partition_offsets(asked)) == partitions
        except errors.KafkaError:
            return False

    eventually(served)


def send(name, partitions, first, count, client=None):
    own = client or producer()
    acks = []
    for n in range(first, first + count):
        acks.append(own.send(name, key=key(n), value=value(n), partition=n % partitions))
    own.flush(40)
    offsets = [ack.get(40).offset for ack in acks]
    if client is None:
        own.close()
    return offsets


def take(client, count):
    """Exactly `count` records."""
    records = []
    while len(records) < count:
        for some in client.poll(500, max_records=count - len(records)).values():
            records += some
    return records


def read_all(name, partitions, count):
    client = consumer()
    client.assign(parts(name, partitions))
    client.seek_to_beginning()
    records = take(client, count)
    equal({}, client.poll(200), "records too many")
    client.close()
    return records


def tuples(records):
    return [(one.partition, one.offset, one.key, one.value) for one in records]


# Produce


def acks(level):
    name = topic("acks", 3)
    client = producer(
        acks=level,
        enable_idempotence=level == "all",
        max_in_flight_requests_per_connection=1,
    )
    send(name, 3, 0, 300, client)
    client.close()
    check_sent(tuples(read_all(name, 3, 300)), 3)


@case()
def produce_acks_0():
    acks(0)


@case()
def produce_acks_1():
    acks(1)


@case()
def produce_acks_all():
    acks("all")


@case()
def produce_idempotent():
    name = topic("idempotent")
    client = producer(enable_idempotence=True, batch_size=200, linger_ms=0)
    equal(list(range(1000)), send(name, 1, 0, 1000, client), "acked offsets")
    client.close()
    check_sent(tuples(read_all(name, 1, 1000)), 1)


@case()
def produce_batches():
    name = topic("batches", 2)
    send(name, 2, 0, 8000, producer(linger_ms=20, batch_size=200000))
    check_sent(tuples(read_all(name, 2, 8000)), 2)


def codec(kind):
    name = topic(kind)
    client = producer(compression_type=kind, linger_ms=50, batch_size=65536)
    for n in range(1000):
        client.send(name, str(n).encode() + FILLER)
    client.flush(40)
    client.close()
    got = [one.value for one in read_all(name, 1, 1000)]
    equal([str(n).encode() + FILLER for n in range(1000)], got, "values")


for kind in ("gzip", "snappy", "lz4", "zstd"):
    case("codec_" + kind)(lambda kind=kind: codec(kind))


@case()
def headers_and_null_values():
    name = topic("headers")
    headers = [("twice", b"1"), ("twice", b"2"), ("empty", b"")]
    client = producer()
    client.send(name, value=b"", headers=headers).get(40)
    client.send(name, key=b"key").get(40)
    client.close()
    first, second = read_all(name, 1, 2)
    equal(headers, list(first.headers), "headers")
    equal((None, b""), (first.key, first.value), "null key, empty value")
    equal((b"key", None), (second.key, second.value), "key, null value")


@case()
def timestamps():
    created = topic("created")
    appended = topic("appended", message_timestamp_type="LogAppendTime")
    client = producer()
    before = int(time.time() * 1000)
    client.send(created, b"x", timestamp_ms=EARLY).get(40)
    client.send(appended, b"x", timestamp_ms=EARLY).get(40)
    after = int(time.time() * 1000)
    client.close()
    one = read_all(created, 1, 1)[0]
    equal((0, EARLY), (one.timestamp_type, one.timestamp), "CreateTime")
    one = read_all(appended, 1, 1)[0]
    equal(1, one.timestamp_type, "type")
    check(before <= one.timestamp <= after, f"{one.timestamp} not in {before}..{after}")


@case()
def large_message():
    name = topic("large")
    body = bytes(range(256)) * 3900
    client = producer(max_request_size=2000000)
    for _ in range(3):
        client.send(name, body).get(40)
    client.close()
    equal([body] * 3, [one.value for one in read_all(name, 1, 3)], "values")


@case()
def message_too_large_error():
    name = topic("too-large", max_message_bytes="50000")
    # After such an error its idempotent producer refuses all that follows.
    client = producer(max_request_size=10000000, enable_idempotence=False)
    too_large = client.send(name, bytes(60000))
    refused(errors.MessageSizeTooLargeError, lambda: too_large.get(40))
    client.send(name, bytes(40000)).get(40)
    client.close()
    equal([40000], [len(one.value) for one in read_all(name, 1, 1)], "stored")


@case()
def auto_create():
    name = unique("auto-create")
    send(name, 1, 0, 10)
    check_sent(tuples(read_all(name, 1, 10)), 1)


@case()
def transaction_refused_fast():
    client = producer(transactional_id=unique("txn"), max_block_ms=50000)
    if MILLRACE:
        error = refused(Exception, client.init_transactions)
        check(not isinstance(error, errors.KafkaTimeoutError), f"it timed out: {error}")
        return f"refused: {error}"
    name = topic("transaction")
    client.init_transactions()
    client.begin_transaction()
    client.send(name, b"x")
    client.commit_transaction()
    client.close()
    reader = consumer(isolation_level="read_committed")
    reader.assign(parts(name, 1))
    equal(b"x", take(reader, 1)[0].value, "value")
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
    client = producer(batch_size=300)
    for n in range(100):
        client.send(name, value(n), timestamp_ms=EARLY + HOUR * (1000 if n == 70 else n))
    client.flush(40)
    client.close()
    return name


@case()
def consume_from_timestamp():
    name = hourly()
    (partition,) = parts(name, 1)
    client = consumer()
    client.assign([partition])
    for n in (0, 1, 42, 69):
        found = client.offsets_for_times({partition: EARLY + HOUR * n - 1})[partition]
        equal((n, EARLY + HOUR * n), (found.offset, found.timestamp), "offset for a time")
    found = client.offsets_for_times({partition: EARLY + HOUR * 2000})[partition]
    check(found is None or found.offset == -1, f"beyond the end: {found}")
    client.seek(partition, 42)
    equal(value(42), take(client, 58)[0].value, "first value")
    client.close()


def list_offsets(spec, expected):
    (partition,) = parts(hourly(), 1)
    client = admin()
    client.delete_records({partition: 30})
    equal(expected, client.list_partition_offsets({partition: spec})[partition].offset, "offset")
    client.close()


@case()
def list_offsets_earliest():
    list_offsets(OffsetSpec.EARLIEST, 30)


@case()
def list_offsets_latest():
    list_offsets(OffsetSpec.LATEST, 100)


@case()
def list_offsets_max_timestamp():
    list_offsets(OffsetSpec.MAX_TIMESTAMP, 70)


@case()
def seek():
    name = topic("seek")
    send(name, 1, 0, 500)
    (partition,) = parts(name, 1)
    client = consumer()
    client.assign([partition])
    for at in (250, 499, 1, 0, 333):
        client.seek(partition, at)
        one = take(client, 1)[0]
        equal((at, value(at)), (one.offset, one.value), "first after the seek")
    client.seek_to_end(partition)
    equal(500, client.position(partition), "end")
    client.seek_to_beginning(partition)
    equal(0, client.position(partition), "beginning")
    client.close()


@case()
def long_poll():
    """A fetch would wait 120 s by itself, twice the time of this case."""
    name = topic("long-poll")
    client = consumer(fetch_max_wait_ms=120000, request_timeout_ms=150000)
    client.assign(parts(name, 1))
    writer = producer()
    for n in range(5):
        equal({}, client.poll(300), "too early")
        send(name, 1, n, 1, writer)
        equal(value(n), take(client, 1)[0].value, "value")
    writer.close()


@case()
def fetch_many_partitions():
    partitions = 60
    name = topic("many", partitions)
    client = consumer()
    client.assign(parts(name, partitions))
    client.seek_to_beginning()
    writer = producer()
    records = []
    for round in range(5):
        send(name, partitions, round * partitions, partitions, writer)
        records += take(client, partitions)
    check_sent(tuples(records), partitions)
    writer.close()
    client.close()


@case()
def fetch_max_bytes():
    name = topic("max-bytes")
    writer = producer()
    for n in range(20):
        writer.send(name, bytes(50000 + n)).get(40)
    client = consumer(fetch_max_bytes=1024, max_partition_fetch_bytes=1024)
    client.assign(parts(name, 1))
    equal([50000 + n for n in range(20)], [len(one.value) for one in take(client, 20)], "sizes")
    writer.close()
    client.close()


@case()
def offset_out_of_range():
    name = topic("range")
    send(name, 1, 0, 10)
    (partition,) = parts(name, 1)
    strict, lenient = consumer(auto_offset_reset="none"), consumer()
    for client in (strict, lenient):
        client.assign([partition])
        client.seek(partition, 1000)

    def poll():
        while True:
            strict.poll(200)

    refused(errors.OffsetOutOfRangeError, poll)
    check_sent(tuples(take(lenient, 10)), 1)
    strict.close()
    lenient.close()


@case()
def read_committed():
    name = topic("committed", 2)
    send(name, 2, 0, 200)
    client = consumer(isolation_level="read_committed")
    client.assign(parts(name, 2))
    client.seek_to_beginning()
    check_sent(tuples(take(client, 200)), 2)
    equal({one: 100 for one in parts(name, 2)}, client.end_offsets(parts(name, 2)), "ends")
    client.close()


# Groups


class Member(ConsumerRebalanceListener):
    """A member of a group that polls in a thread of its own until it is closed.

    Its polls are long: a poll that ends while the client joins starts the join over again."""

    def __init__(self, group, seen, **config):
        self.client = consumer(group_id=group, enable_auto_commit=True, **config)
        self.seen = seen
        self.rebalances = 0
        self.revoked = set()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.poll, daemon=True)

    def on(self, *topics, **pattern):
        self.client.subscribe(topics, listener=self, **pattern)
        self.thread.start()
        return self

    def on_partitions_assigned(self, assigned):
        self.rebalances += 1

    def on_partitions_revoked(self, revoked):
        self.revoked.update(revoked)

    def poll(self):
        while not self.closing.is_set():
            for records in self.client.poll(1000, max_records=1000).values():
                self.seen.update(one.value for one in records)

    def holds(self):
        return set(self.client.assignment())

    def close(self):
        self.closing.set()
        self.thread.join()
        self.client.close()


def two_members(name, **config):
    group, seen, writer = unique("rebalance"), set(), producer()
    one = Member(group, seen, **config).on(name)
    send(name, 4, 0, 100, writer)
    eventually(lambda: len(one.holds()) == 4 and len(seen) == 100)
    two = Member(group, seen, **config).on(name)
    eventually(lambda: len(one.holds()) == 2 and len(two.holds()) == 2)
    equal(set(parts(name, 4)), one.holds() | two.holds(), "held by both")
    send(name, 4, 100, 100, writer)
    eventually(lambda: len(seen) == 200)
    first_revoked, second_holds = set(one.revoked), two.holds()
    two.close()
    send(name, 4, 200, 100, writer)
    eventually(lambda: len(one.holds()) == 4 and len(seen) == 300)
    one.close()
    writer.close()
    return first_revoked, second_holds


@case(seconds=90)
def group_cooperative():
    name = topic("cooperative", 4)
    kind = [CooperativeStickyAssignor]
    revoked, second = two_members(name, partition_assignment_strategy=kind)
    equal(second, revoked, "taken from the first member, given to the second")


@case(seconds=90)
def group_rebalance():
    two_members(topic("rebalance", 4), partition_assignment_strategy=[RangePartitionAssignor])


@case(seconds=90)
def group_static_member():
    name, group, seen = topic("static", 4), unique("static"), set()
    one = Member(group, seen, group_instance_id="one", session_timeout_ms=120000).on(name)
    eventually(lambda: len(one.holds()) == 4)
    two = Member(group, seen, group_instance_id="two", session_timeout_ms=120000).on(name)
    eventually(lambda: len(one.holds()) == 2 and len(two.holds()) == 2)
    before, rebalances = two.holds(), one.rebalances
    two.close()
    two = Member(group, seen, group_instance_id="two", session_timeout_ms=120000).on(name)
    eventually(lambda: len(two.holds()) == 2)
    equal(before, two.holds(), "partitions after the restart")
    send(name, 4, 0, 100)
    eventually(lambda: len(seen) == 100)
    equal(rebalances, one.rebalances, "rebalances seen by the other member")
    one.close()
    two.close()


@case()
def group_subscribe():
    name, seen = topic("subscribe", 3), set()
    send(name, 3, 0, 300)
    one = Member(unique("subscribe"), seen).on(name)
    eventually(lambda: len(seen) == 300)
    equal(set(parts(name, 3)), one.holds(), "assignment")
    one.close()


@case()
def group_regex():
    group, seen = unique("regex"), set()
    first = topic(f"{group}-a")
    one = Member(group, seen, metadata_max_age_ms=1000).on(pattern=f"^kafka_python-{group}.*")
    send(first, 1, 0, 10)
    eventually(lambda: len(seen) == 10)
    second = topic(f"{group}-b")
    send(second, 1, 10, 10)
    eventually(lambda: len(seen) == 20)
    equal({TopicPartition(first, 0), TopicPartition(second, 0)}, one.holds(), "assignment")
    one.close()


@case()
def commit_and_resume():
    name, group = topic("resume"), unique("resume")
    send(name, 1, 0, 100)
    (partition,) = parts(name, 1)
    client = consumer(group_id=group)
    client.subscribe([name])
    take(client, 100)
    client.commit({partition: OffsetAndMetadata(40, "", -1)})
    client.close()
    client = consumer(group_id=group)
    client.subscribe([name])
    equal(40, take(client, 60)[0].offset, "first offset")
    client.commit()
    equal(100, client.committed(partition), "committed")
    client.close()


@case()
def commit_metadata_roundtrip():
    (partition,) = parts(topic("metadata"), 1)
    group = unique("metadata")
    client = consumer(group_id=group)
    client.assign([partition])
    client.commit({partition: OffsetAndMetadata(7, "where – é", -1)})
    got = client.committed(partition, metadata=True)
    equal((7, "where – é"), (got.offset, got.metadata), "offset, metadata")
    client.close()


def empty_group(name):
    group = unique("empty")
    send(name, 1, 0, 10)
    client = consumer(group_id=group)
    client.subscribe([name])
    take(client, 10)
    client.commit({TopicPartition(name, 0): OffsetAndMetadata(5, "", -1)})
    client.close()
    return group


def listed(client, group):
    return next((one for one in client.list_groups() if one["group_id"] == group), None)


@case()
def list_groups():
    group, client = empty_group(topic("list")), admin()
    found = listed(client, group)
    equal(("Empty", "consumer"), (found["group_state"], found["protocol_type"]), "group")
    client.close()


@case()
def describe_group():
    name, group = topic("describe", 2), unique("describe")
    one = Member(group, set(), client_id="the-client").on(name)
    eventually(lambda: len(one.holds()) == 2)
    client = admin()
    found = client.describe_groups([group])[group]
    equal("Stable", found["group_state"], "state")
    equal(["the-client"], [member["client_id"] for member in found["members"]], "client ids")
    client.close()
    one.close()


@case()
def alter_group_offsets():
    name = topic("alter")
    (partition,) = parts(name, 1)
    group, client = empty_group(name), admin()
    client.alter_group_offsets(group, {partition: OffsetAndMetadata(8, "", -1)})
    equal(8, client.list_group_offsets(group)[group][partition].offset, "offset")
    client.close()


@case()
def offset_delete():
    name = topic("offset-delete")
    (partition,) = parts(name, 1)
    group, client = empty_group(name), admin()
    equal(5, client.list_group_offsets(group)[group][partition].offset, "before")
    client.delete_group_offsets(group, [partition])
    found = client.list_group_offsets({group: [partition]})[group][partition]
    equal(-1, found.offset, "after")
    client.close()


@case()
def delete_group():
    name, client, group = topic("delete"), admin(), unique("delete")
    one = Member(group, set()).on(name)
    eventually(lambda: len(one.holds()) == 1)
    equal("NonEmptyGroupError", client.delete_groups([group])[group], "of a living group")
    one.close()
    equal("OK", client.delete_groups([group])[group], "of an empty group")
    equal(None, listed(client, group), "listed")
    equal("GroupIdNotFoundError", client.delete_groups([group])[group], "of an absent group")
    client.close()


# Administration


@case()
def create_topic():
    client, name = admin(), topic("create", 3)
    equal(3, len(client.describe_topics([name])[0]["partitions"]), "partitions")
    bad = [
        (errors.TopicAlreadyExistsError, name, 1, 1),
        (errors.InvalidTopicError, "not a name", 1, 1),
        (errors.InvalidPartitionsError, unique("none"), 0, 1),
        (errors.InvalidReplicationFactorError, unique("many"), 1, 7),
    ]
    for kind, bad_name, partitions, replicas in bad:
        options = {"num_partitions": partitions, "replication_factor": replicas}
        refused(kind, lambda: client.create_topics({bad_name: options}))
    tried = unique("tried")
    options = {"num_partitions": 1, "replication_factor": 1}
    client.create_topics({tried: options}, validate_only=True)
    check(tried not in client.list_topics(), "validate_only created it")
    client.close()


def configs(client, name, kind="topic"):
    resource = ConfigResource(kind, name)
    return client.describe_configs([resource], include_synonyms=True, config_filter="all")[kind][name]


def entry(found, name, expected, source):
    equal((expected, source), (found[name]["value"], found[name]["config_source"]), name)


@case()
def create_topic_config():
    client = admin()
    name = topic("configured", retention_ms="123456", segment_bytes="1048576")
    found = configs(client, name)
    entry(found, "retention.ms", "123456", "DYNAMIC_TOPIC_CONFIG")
    entry(found, "segment.bytes", "1048576", "DYNAMIC_TOPIC_CONFIG")
    for config in ({"no.such.key": "1"}, {"retention.ms": "soon"}):
        options = {"num_partitions": 1, "replication_factor": 1, "configs": config}
        bad = lambda: client.create_topics({unique("bad"): options})
        refused(errors.InvalidConfigurationError, bad)
    client.close()


@case()
def create_partitions():
    client, name = admin(), topic("more")
    client.create_partitions({name: 4})
    await_topic(client, name, 4)
    send(name, 4, 0, 40)
    check_sent(tuples(read_all(name, 4, 40)), 4)
    refused(errors.InvalidPartitionsError, lambda: client.create_partitions({name: 2}))
    client.close()


@case()
def delete_topic():
    client, name = admin(), topic("delete", 2)
    send(name, 2, 0, 20)
    client.delete_topics([name])
    eventually(lambda: name not in client.list_topics())
    refused(errors.UnknownTopicOrPartitionError, lambda: client.delete_topics([name]))
    client.close()


@case()
def list_topics():
    client, name = admin(), topic("list")
    check(name in client.list_topics(), "the topic is not listed")
    client.close()


@case()
def describe_topic():
    client, name = admin(), topic("describe", 6)
    (found,) = client.describe_topics([name])
    equal(6, len(found["partitions"]), "partitions")
    for one in found["partitions"]:
        equal([one["leader_id"]], one["replica_nodes"], "replicas")
        equal([one["leader_id"]], one["isr_nodes"], "in-sync replicas")
    client.close()


@case()
def describe_cluster():
    client = admin()
    found = client.describe_cluster()
    check(len(found["cluster_id"]) >= 16, f"cluster id {found['cluster_id']}")
    nodes = [one["broker_id"] for one in found["brokers"]]
    check(found["controller_id"] in nodes, "the controller is no node")
    client.close()


@case()
def describe_configs():
    client = admin()
    found = configs(client, topic("configs", retention_ms="86400000"))
    entry(found, "retention.ms", "86400000", "DYNAMIC_TOPIC_CONFIG")
    entry(found, "cleanup.policy", "delete", "DEFAULT_CONFIG")
    entry(found, "max.message.bytes", "1048588", "DEFAULT_CONFIG")
    client.close()


@case()
def describe_broker_configs():
    client = admin()
    node = str(client.describe_cluster()["brokers"][0]["broker_id"])
    found = configs(client, node, "broker")
    entry(found, "num.partitions", "1", "DEFAULT_CONFIG")
    entry(found, "message.max.bytes", "1048588", "DEFAULT_CONFIG")
    check(found["socket.request.max.bytes"]["read_only"], "read-only is not marked")
    client.close()


def alter(client, name, changes, **options):
    return client.alter_configs([ConfigResource("topic", name, changes)], **options)


@case()
def alter_configs_incremental():
    client, name = admin(), topic("alter", retention_bytes="1000000")
    alter(client, name, {"retention.ms": "55555"}, incremental=True)
    eventually(lambda: configs(client, name)["retention.ms"]["value"] == "55555")
    entry(configs(client, name), "retention.bytes", "1000000", "DYNAMIC_TOPIC_CONFIG")
    alter(client, name, {"retention.ms": ("DELETE", None)}, incremental=True)
    eventually(lambda: configs(client, name)["retention.ms"]["value"] == "604800000")
    client.close()


@case()
def alter_configs_legacy():
    """The client sends all other modified values along, so that none is reset."""
    client, name = admin(), topic("legacy", retention_bytes="1000000")
    alter(client, name, {"retention.ms": "55555"}, incremental=False)
    eventually(lambda: configs(client, name)["retention.ms"]["value"] == "55555")
    entry(configs(client, name), "retention.bytes", "1000000", "DYNAMIC_TOPIC_CONFIG")
    client.close()


@case()
def list_config_resources():
    client, name = admin(), topic("resources")
    found = client.list_config_resources(["TOPIC", "BROKER"])
    check(name in found["topic"], "the topic is no config resource")
    check(found["broker"], "no broker is a config resource")
    client.close()


@case()
def describe_log_dirs():
    client, name = admin(), topic("dirs")
    writer = producer()
    for _ in range(5):
        writer.send(name, bytes(10000)).get(40)
    writer.close()
    sizes = []
    for broker in client.describe_log_dirs([name]):
        for directory in broker["log_dirs"]:
            for one in directory["topics"]:
                sizes += [part["partition_size"] for part in one["partitions"] if one["name"] == name]
    equal(1, len(sizes), f"log directories of the partition, sizes {sizes}")
    check(50000 <= sizes[0] < 60000, f"size {sizes[0]}")
    client.close()


@case()
def describe_producers():
    client, name = admin(), topic("producers")
    send(name, 1, 0, 10)
    (partition,) = parts(name, 1)
    (state,) = client.describe_producers([partition])[partition].active_producers
    check(state.producer_id >= 0, f"producer id {state.producer_id}")
    equal((0, 9), (state.producer_epoch, state.last_sequence), "epoch, last sequence")
    client.close()


@case()
def delete_records():
    client, name = admin(), topic("delete-records")
    send(name, 1, 0, 100)
    (partition,) = parts(name, 1)
    found = client.delete_records({partition: 60})[partition]
    equal(60, found["low_watermark"], "low watermark")
    reader = consumer()
    reader.assign([partition])
    reader.seek(partition, 10)
    equal(60, take(reader, 40)[0].offset, "first offset that is left")
    reader.close()
    client.close()


run(f"kafka-python {kafka.__version__}")
