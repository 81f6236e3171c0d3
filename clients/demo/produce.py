"""confluent-kafka (librdkafka) as a producer of the demo: idempotent, acks=all, zstd.

    produce.py <bootstrap> <topic> <events.tsv> <ledger.tsv>

Writes a ledger line (topic, key, sequence number, partition, offset) for each acknowledged event
and nothing else. Reads `UPTO <share of the file>` on its input and sends no more than that; says
`ACKED <events>` now and then. Ends with 0 when every event is acknowledged.
"""

import sys
import threading
import time

import confluent_kafka
from confluent_kafka import Producer

BOOTSTRAP, TOPIC, EVENTS, LEDGER = sys.argv[1:]

upto = 0.0


def listen():
    global upto
    for line in sys.stdin:
        upto = float(line.split()[1])


def fail(error):
    print(f"producer: {error}", file=sys.stderr, flush=True)
    # A fatal error of the producer: the rest would never be acknowledged.
    if error.fatal():
        failures.append(error)


failures = []
acked = 0
with open(EVENTS, encoding="utf-8") as file:
    events = file.read().splitlines()
ledger = open(LEDGER, "w", encoding="utf-8")
producer = Producer(
    {
        "bootstrap.servers": BOOTSTRAP,
        "client.id": "demo-python",
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        # As every other client places keys; librdkafka's own default is another hash.
        "partitioner": "murmur2_random",
        "linger.ms": 10,
        # Until it is acknowledged: a broker that is away is no reason to give an event up.
        "message.timeout.ms": 0,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 100,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 100,
        "socket.timeout.ms": 10_000,
        "socket.connection.setup.timeout.ms": 2_000,
        "queue.buffering.max.messages": 1_000_000,
        "error_cb": fail,
    }
)


def on_delivery(key, number):
    def delivered(error, message):
        global acked
        if error is not None:
            failures.append(error)
            return
        offset = message.offset()
        ledger.write(f"{TOPIC}\t{key}\t{number}\t{message.partition()}\t{-1 if offset is None else offset}\n")
        acked += 1

    return delivered


def tell():
    print(f"ACKED {acked}", flush=True)


print(f"CLIENT confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}", flush=True)
threading.Thread(target=listen, daemon=True).start()
told = time.monotonic()
sent = 0
while acked < len(events) and not failures:
    # A slice, then its callbacks: the queue never holds more than it may.
    for line in events[sent : min(sent + 500, int(upto * len(events)))]:
        key, number, stamp, total, value = line.split("\t")
        producer.produce(
            TOPIC,
            value,
            key,
            timestamp=int(stamp),
            headers=[("seq", number), ("sum", total)],
            on_delivery=on_delivery(key, number),
        )
        sent += 1
        if sent % 100 == 0:
            producer.poll(0)
    producer.poll(0 if sent < int(upto * len(events)) else 0.005)
    if time.monotonic() - told > 0.02:
        tell()
        told = time.monotonic()
ledger.close()
if failures:
    sys.exit(f"{len(failures)} failures, the first: {failures[0]}")
tell()
