import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

final class ConsumeCases {
    static void add(Kit kit) {
        kit.add("consume_from_beginning", ConsumeCases::fromBeginning);
        kit.add("consume_from_timestamp", ConsumeCases::fromTimestamp);
        kit.add("list_offsets_earliest", () -> listOffsets(OffsetSpec.earliest(), 30));
        kit.add("list_offsets_latest", () -> listOffsets(OffsetSpec.latest(), 100));
        kit.add("list_offsets_max_timestamp", () -> listOffsets(OffsetSpec.maxTimestamp(), 70));
        kit.add("seek", ConsumeCases::seek);
        kit.add("long_poll", ConsumeCases::longPoll);
        kit.add("fetch_many_partitions", ConsumeCases::manyPartitions);
        kit.add("fetch_max_bytes", ConsumeCases::maxBytes);
        kit.add("offset_out_of_range", ConsumeCases::outOfRange);
        kit.add("read_committed", ConsumeCases::readCommitted);
        kit.add("offset_for_leader_epoch", ConsumeCases::leaderEpoch);
    }

    private static String fromBeginning() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "beginning", 4);
            Kit.send(topic, 4, 4000);
            Kit.checkSent(Kit.readAll(topic, 4, 4000), 4);
            return null;
        }
    }

    private static final long HOUR = 3_600_000L;
    private static final long START = 1_600_000_000_000L;

    /** 100 records, an hour apart, the largest time stamp at offset 70. */
    private static TopicPartition hourly(Admin admin) throws Exception {
        String topic = Kit.topic(admin, "hourly", 1, "retention.ms", "-1");
        try (KafkaProducer<byte[], byte[]> producer = Kit.producer("batch.size", "300")) {
            for (int n = 0; n < 100; n++) {
                long time = START + HOUR * (n == 70 ? 1000 : n);
                producer.send(new ProducerRecord<>(topic, 0, time, null, Kit.bytes("v-" + n)));
            }
        }
        return new TopicPartition(topic, 0);
    }

    private static String fromTimestamp() throws Exception {
        try (Admin admin = Kit.admin(); KafkaConsumer<byte[], byte[]> consumer = Kit.consumer()) {
            TopicPartition partition = hourly(admin);
            for (int n : List.of(0, 1, 42, 69)) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(
                        Map.of(partition, START + HOUR * n - 1)).get(partition);
                Kit.equal((long) n, found.offset(), "first offset at or after the time");
                Kit.equal(START + HOUR * n, found.timestamp(), "its time");
            }
            Kit.equal(null, consumer.offsetsForTimes(
                    Map.of(partition, START + HOUR * 2000)).get(partition), "beyond the end");
            consumer.assign(List.of(partition));
            consumer.seek(partition, consumer.offsetsForTimes(
                    Map.of(partition, START + HOUR * 42)).get(partition).offset());
            Kit.equal("v-42", Kit.text(Kit.take(consumer, 58).get(0).value()), "first value");
            return null;
        }
    }

    private static String listOffsets(OffsetSpec spec, long expected) throws Exception {
        try (Admin admin = Kit.admin()) {
            TopicPartition partition = hourly(admin);
            admin.deleteRecords(Map.of(partition,
                    org.apache.kafka.clients.admin.RecordsToDelete.beforeOffset(30))).all().get();
            Kit.equal(expected, admin.listOffsets(Map.of(partition, spec)).partitionResult(partition)
                    .get().offset(), "offset");
            return null;
        }
    }

    private static String seek() throws Exception {
        try (Admin admin = Kit.admin(); KafkaConsumer<byte[], byte[]> consumer = Kit.consumer()) {
            String topic = Kit.topic(admin, "seek", 1);
            Kit.send(topic, 1, 500);
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            for (long at : List.of(250L, 499L, 1L, 0L, 333L)) {
                consumer.seek(partition, at);
                ConsumerRecord<byte[], byte[]> first = null;
                while (first == null) {
                    for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofMillis(500))) {
                        first = first == null ? one : first;
                    }
                }
                Kit.equal(at, first.offset(), "first offset after the seek");
                Kit.equal("v-" + at, Kit.text(first.value()), "its value");
            }
            consumer.seekToEnd(List.of(partition));
            Kit.equal(500L, consumer.position(partition), "end");
            consumer.seekToBeginning(List.of(partition));
            Kit.equal(0L, consumer.position(partition), "beginning");
            return null;
        }
    }

    /** The fetch would wait 120 s by itself, twice the time of this case. */
    private static String longPoll() throws Exception {
        KafkaConsumer<byte[], byte[]> consumer = Kit.consumer(
                "fetch.max.wait.ms", "120000", "request.timeout.ms", "150000");
        try (Admin admin = Kit.admin(); KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            String topic = Kit.topic(admin, "long-poll", 1);
            consumer.assign(Kit.partitions(topic, 1));
            for (int n = 0; n < 5; n++) {
                Kit.equal(0, consumer.poll(Duration.ofMillis(300)).count(), "records too early");
                Kit.send(producer, topic, 1, n, 1);
                Kit.equal("v-" + n, Kit.text(Kit.take(consumer, 1).get(0).value()), "value");
            }
            return null;
        } finally {
            // A close with patience would wait for the fetch that is under way.
            consumer.close(CloseOptions.timeout(Duration.ZERO));
        }
    }

    private static String manyPartitions() throws Exception {
        int partitions = 100;
        try (Admin admin = Kit.admin();
                KafkaConsumer<byte[], byte[]> consumer = Kit.consumer();
                KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            String topic = Kit.topic(admin, "many", partitions);
            consumer.assign(Kit.partitions(topic, partitions));
            List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
            for (int round = 0; round < 10; round++) {
                Kit.send(producer, topic, partitions, round * partitions, partitions);
                all.addAll(Kit.take(consumer, partitions));
                // A paused partition leaves the fetch session and comes back into it.
                List<TopicPartition> some = List.of(new TopicPartition(topic, round));
                consumer.pause(some);
                consumer.poll(Duration.ofMillis(20)).forEach(all::add);
                consumer.resume(some);
            }
            Kit.equal(1000, all.size(), "records");
            Kit.checkSent(all, partitions);
            return null;
        }
    }

    private static String maxBytes() throws Exception {
        try (Admin admin = Kit.admin();
                KafkaConsumer<byte[], byte[]> consumer = Kit.consumer(
                        "fetch.max.bytes", "1024", "max.partition.fetch.bytes", "1024");
                KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            String topic = Kit.topic(admin, "max-bytes", 2);
            for (int n = 0; n < 20; n++) {
                producer.send(new ProducerRecord<>(topic, n % 2, null, new byte[50_000 + n])).get();
            }
            consumer.assign(Kit.partitions(topic, 2));
            int[] next = {0, 1};
            for (ConsumerRecord<byte[], byte[]> record : Kit.take(consumer, 20)) {
                Kit.equal(50_000 + next[record.partition()], record.value().length, "length");
                next[record.partition()] += 2;
            }
            return null;
        }
    }

    private static String outOfRange() throws Exception {
        try (Admin admin = Kit.admin();
                KafkaConsumer<byte[], byte[]> strict = Kit.consumer("auto.offset.reset", "none");
                KafkaConsumer<byte[], byte[]> lenient = Kit.consumer()) {
            String topic = Kit.topic(admin, "range", 1);
            Kit.send(topic, 1, 10);
            TopicPartition partition = new TopicPartition(topic, 0);
            strict.assign(List.of(partition));
            strict.seek(partition, 1000);
            Kit.refused(OffsetOutOfRangeException.class, () -> {
                while (true) {
                    strict.poll(Duration.ofMillis(200));
                }
            });
            lenient.assign(List.of(partition));
            lenient.seek(partition, 1000);
            Kit.checkSent(Kit.take(lenient, 10), 1);
            return null;
        }
    }

    private static String readCommitted() throws Exception {
        try (Admin admin = Kit.admin();
                KafkaConsumer<byte[], byte[]> consumer =
                        Kit.consumer("isolation.level", "read_committed")) {
            String topic = Kit.topic(admin, "committed", 2);
            Kit.send(topic, 2, 200);
            consumer.assign(Kit.partitions(topic, 2));
            Kit.checkSent(Kit.take(consumer, 200), 2);
            Map<TopicPartition, Long> ends = consumer.endOffsets(consumer.assignment());
            Kit.equal(Map.of(new TopicPartition(topic, 0), 100L, new TopicPartition(topic, 1), 100L),
                    ends, "last stable offsets");
            return null;
        }
    }

    /** A seek with an epoch makes the consumer ask OffsetForLeaderEpoch before it fetches. */
    private static String leaderEpoch() throws Exception {
        try (Admin admin = Kit.admin(); KafkaConsumer<byte[], byte[]> consumer = Kit.consumer()) {
            String topic = Kit.topic(admin, "epoch", 1);
            Kit.send(topic, 1, 10);
            TopicPartition partition = new TopicPartition(topic, 0);
            Optional<Integer> epoch = Kit.readAll(topic, 1, 10).get(9).leaderEpoch();
            Kit.check(epoch.isPresent(), "records carry no leader epoch");
            consumer.assign(List.of(partition));
            consumer.seek(partition, new OffsetAndMetadata(5, epoch, ""));
            List<ConsumerRecord<byte[], byte[]>> records = Kit.take(consumer, 5);
            Kit.equal(5L, records.get(0).offset(), "first offset");
            return null;
        }
    }
}
