"""kcat, the command line on librdkafka: each case is a few calls of it."""

import json
import os
import re
import subprocess
import time

from kit import (
    BOOTSTRAP,
    EARLY,
    FILLER,
    MILLRACE,
    TMP,
    case,
    check,
    equal,
    eventually,
    run,
    unique,
)

FORMAT = ("-f", "%p %o %k %s\\n")


def kcat(*arguments, stdin="", fails=False):
    """Runs kcat to its end; returns what it printed, or what it complained about."""
    done = subprocess.run(
        ["kcat", "-b", BOOTSTRAP, *arguments],
        input=stdin.encode(),
        capture_output=True,
        timeout=50,
    )
    output, errors = done.stdout.decode(), done.stderr.decode()
    if fails:
        check(done.returncode != 0, f"it succeeded: {output} {errors}")
        return errors
    equal(0, done.returncode, f"exit code ({errors})")
    return output


def topic(what):
    """A topic that asking for its metadata has created, once its leader serves it."""
    name = unique(what)

    def there():
        done = subprocess.run(
            ["kcat", "-b", BOOTSTRAP, "-Q", "-t", f"{name}:0:-1"], capture_output=True, timeout=50
        )
        return re.search(rf"{name} \[0\] offset 0", done.stdout.decode()) is not None

    kcat("-L", "-t", name)
    eventually(there)
    return name


def lines(first, count):
    return "".join(f"k-{n}:v-{n}\n" for n in range(first, first + count))


def send(name, first, count, *options):
    kcat("-P", "-t", name, "-K:", "-X", "enable.idempotence=true", *options, stdin=lines(first, count))


def expected(first, count):
    return [f"0 {n} k-{n} v-{n}" for n in range(first, first + count)]


def read(name, *options):
    return kcat("-C", "-t", name, "-q", "-e", *FORMAT, *options).splitlines()


def acks(level):
    name = topic("acks")
    # One request at a time, or a retry could change the order.
    settings = ("-X", f"acks={level}", "-X", "max.in.flight=1")
    kcat("-P", "-t", name, "-K:", *settings, stdin=lines(0, 300))
    if level == 0:
        eventually(lambda: len(read(name, "-o", "beginning")) == 300)
    equal(expected(0, 300), read(name, "-o", "beginning"), "records")


@case()
def produce_acks_0():
    acks(0)


@case()
def produce_acks_1():
    acks(1)


@case()
def produce_acks_all():
    acks(-1)


@case()
def produce_idempotent():
    name = topic("idempotent")
    send(name, 0, 1000, "-X", "batch.num.messages=10", "-X", "linger.ms=0")
    equal(expected(0, 1000), read(name, "-o", "beginning"), "records")


@case()
def produce_batches():
    name = topic("batches")
    send(name, 0, 20000, "-X", "linger.ms=20")
    equal(expected(0, 20000), read(name, "-o", "beginning"), "records")


def codec(kind):
    name = topic(kind)
    sent = [f"{n}{FILLER.decode()}" for n in range(2000)]
    kcat("-P", "-t", name, "-z", kind, "-X", "linger.ms=50", "-X", "enable.idempotence=true",
         stdin="\n".join(sent))
    got = kcat("-C", "-t", name, "-q", "-e", "-o", "beginning").splitlines()
    equal(sent, got, "values")


for kind in ("gzip", "snappy", "lz4", "zstd"):
    case("codec_" + kind)(lambda kind=kind: codec(kind))


@case()
def headers_and_null_values():
    name = topic("headers")
    kcat("-P", "-t", name, "-H", "twice=1", "-H", "twice=2", "-H", "empty=", stdin="body")
    # -Z makes an empty value null.
    kcat("-P", "-t", name, "-K:", "-Z", stdin="key:\n")
    printed = kcat("-C", "-t", name, "-q", "-e", "-o", "beginning", "-J").splitlines()
    first, second = (json.loads(line) for line in printed)
    equal(["twice", "1", "twice", "2", "empty", ""], first["headers"], "headers")
    equal((None, "body"), (first["key"], first["payload"]), "null key, value")
    equal(("key", None), (second["key"], second["payload"]), "key, null value")


def file_of(size):
    path = os.path.join(TMP, unique("file"))
    with open(path, "wb") as out:
        out.write(bytes(97 + n % 26 for n in range(size)))
    return path


@case()
def large_message():
    name, path = topic("large"), file_of(1000000)
    kcat("-P", "-t", name, "-X", "message.max.bytes=2000000", path)
    with open(path) as sent:
        equal(sent.read(), kcat("-C", "-t", name, "-q", "-e", "-D", "", "-o", "beginning"), "value")


@case()
def message_too_large_error():
    name = topic("too-large")
    errors = kcat("-P", "-t", name, "-X", "message.max.bytes=9000000", file_of(2000000), fails=True)
    check("Message size too large" in errors, errors)
    kcat("-P", "-t", name, stdin="small")
    equal(["0 0  small"], read(name, "-o", "beginning"), "records")


@case()
def auto_create():
    name = unique("auto-create")
    send(name, 0, 10)
    equal(expected(0, 10), read(name, "-o", "beginning"), "records")


@case()
def unknown_topic_error():
    name = unique("nowhere")
    errors = kcat("-C", "-t", name, "-X", "allow.auto.create.topics=false", "-e", fails=True)
    check("Unknown topic" in errors, errors)
    check(name not in metadata(), "asking has created the topic")


@case()
def transaction_refused_fast():
    name = topic("transaction")
    options = ("-P", "-t", name, "-X", f"transactional.id={unique('txn')}")
    if MILLRACE:
        errors = kcat(*options, stdin="x", fails=True)
        return "refused: " + errors.strip().splitlines()[-1]
    kcat(*options, stdin="x")
    equal(["0 0  x"], read(name, "-o", "beginning", "-X", "isolation.level=read_committed"), "records")
    return "served: this broker has transactions"


@case()
def consume_from_beginning():
    name = topic("beginning")
    send(name, 0, 4000)
    equal(expected(0, 4000), read(name, "-o", "beginning"), "records")


def stamped():
    """Two batches, with the clock's time between them in milliseconds."""
    name = topic("stamped")
    send(name, 0, 50)
    printed = kcat("-C", "-t", name, "-q", "-e", "-o", "-1", "-f", "%T\\n")
    after = int(printed) + 1
    # The clock must have gone on, or both batches could have the same time.
    eventually(lambda: int(time.time() * 1000) > after)
    send(name, 50, 50)
    return name, after


@case()
def consume_from_timestamp():
    name, after = stamped()
    equal(expected(50, 50), read(name, "-o", f"s@{after}"), "records")
    equal(expected(0, 50), read(name, "-o", f"s@{EARLY}", "-o", f"e@{after}"), "records before")


def offset_at(name, time_or_special):
    found = kcat("-Q", "-t", f"{name}:0:{time_or_special}")
    return int(re.search(r"offset (-?\d+)", found).group(1))


@case()
def list_offsets_earliest():
    name, _ = stamped()
    equal(0, offset_at(name, -2), "offset")


@case()
def list_offsets_latest():
    name, after = stamped()
    equal((100, 50), (offset_at(name, -1), offset_at(name, after)), "latest, by time")


@case()
def seek():
    name = topic("seek")
    send(name, 0, 500)
    for at in (250, 499, 0, 333):
        equal(expected(at, 500 - at), read(name, "-o", str(at)), f"records from {at}")
    equal(expected(490, 10), read(name, "-o", "-10"), "the last ten records")
    equal(expected(100, 5), read(name, "-o", "100", "-c", "5"), "five records")


@case()
def long_poll():
    """The fetch would wait 120 s by itself, twice the time of this case."""
    name = topic("long-poll")
    reader = subprocess.Popen(
        ["kcat", "-b", BOOTSTRAP, "-C", "-t", name, "-q", "-u", "-o", "beginning", *FORMAT]
        + ["-X", "fetch.wait.max.ms=120000", "-X", "socket.timeout.ms=150000"],
        stdout=subprocess.PIPE,
    )
    try:
        for n in range(3):
            time.sleep(0.3)  # so that the fetch is under way: where it is not, less is proved
            send(name, n, 1)
            equal(expected(n, 1), [reader.stdout.readline().decode().strip()], "record")
    finally:
        reader.kill()
        reader.wait()


@case()
def offset_out_of_range():
    name = topic("range")
    send(name, 0, 10)
    reset = ("-o", "1000", "-c", "10", "-X", "auto.offset.reset=earliest")
    equal(expected(0, 10), read(name, *reset), "records")


@case()
def read_committed():
    name = topic("committed")
    send(name, 0, 200)
    got = read(name, "-o", "beginning", "-X", "isolation.level=read_committed")
    equal(expected(0, 200), got, "records")


def read_group(group, name, count, *options):
    settings = ("-X", "auto.offset.reset=earliest", "-q", "-c", str(count), *FORMAT, *options)
    return kcat(*settings, "-G", group, name).splitlines()


@case()
def group_subscribe():
    name = topic("subscribe")
    send(name, 0, 300)
    equal(expected(0, 300), read_group(unique("subscribe"), name, 300), "records")


@case()
def group_regex():
    part = unique("regex")
    names = [topic(f"{part}-{one}") for one in ("a", "b")]
    for at, name in enumerate(names):
        send(name, at * 10, 10)
    got = read_group(unique("regex"), f"^kcat-{part}.*", 20)
    values = sorted(int(line.split("v-")[1]) for line in got)
    equal(list(range(20)), values, "values")


@case()
def commit_and_resume():
    """It commits where it stopped, so a second run of the group goes on from there."""
    name, group = topic("resume"), unique("resume")
    send(name, 0, 100)
    first = read_group(group, name, 40)
    equal(expected(0, 40), first, "first run")
    equal(expected(40, 60), read_group(group, name, 60), "second run")


def metadata(*options):
    return {one["topic"]: one for one in json.loads(kcat("-L", "-J", *options))["topics"]}


@case()
def list_topics():
    name = topic("list")
    check(name in metadata(), "the topic is not listed")


@case()
def describe_topic():
    name = topic("describe")
    (partition,) = metadata("-t", name)[name]["partitions"]
    leader = {"id": partition["leader"]}
    equal(([leader], [leader]), (partition["replicas"], partition["isrs"]), "replicas, in-sync")


@case()
def describe_cluster():
    found = json.loads(kcat("-L", "-J"))
    check(found["controllerid"] in [one["id"] for one in found["brokers"]], "controller is no node")


version = subprocess.run(["kcat", "-V"], capture_output=True).stdout.decode()
kcat_version = re.search(r"Version (\S+)", version).group(1)
librdkafka = re.search(r"librdkafka (\S+)", version).group(1)
run(f"kcat {kcat_version}, librdkafka {librdkafka}")
