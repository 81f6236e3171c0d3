import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.zip.CRC32;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;

final class ProduceCases {
    static void add(Kit kit) {
        kit.add("produce_acks_0", () -> acks("0"));
        kit.add("produce_acks_1", () -> acks("1"));
        kit.add("produce_acks_all", () -> acks("all"));
        kit.add("produce_idempotent", ProduceCases::idempotent);
        kit.add("produce_batches", ProduceCases::batches);
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd")) {
            kit.add("codec_" + codec, () -> codec(codec));
        }
        kit.add("headers_and_null_values", ProduceCases::headers);
        kit.add("timestamps", ProduceCases::timestamps);
        kit.add("large_message", ProduceCases::large);
        kit.add("message_too_large_error", ProduceCases::tooLarge);
        kit.add("auto_create", ProduceCases::autoCreate);
        kit.add("unknown_topic_error", ProduceCases::unknownTopic);
        kit.add("transaction_refused_fast", ProduceCases::transaction);
    }

    private static String acks(String acks) throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "acks", 3);
            boolean idempotent = acks.equals("all");
            try (KafkaProducer<byte[], byte[]> producer = Kit.producer(
                    "acks", acks, "enable.idempotence", String.valueOf(idempotent))) {
                Kit.send(producer, topic, 3, 0, 300);
            }
            Kit.checkSent(Kit.readAll(topic, 3, 300), 3);
            return null;
        }
    }

    private static String idempotent() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "idempotent", 1);
            // Small batches, five requests in flight: sequences must follow each other.
            try (KafkaProducer<byte[], byte[]> producer = Kit.producer("acks", "all",
                    "enable.idempotence", "true", "batch.size", "200", "linger.ms", "0")) {
                List<Future<RecordMetadata>> acks = new ArrayList<>();
                for (int n = 0; n < 1000; n++) {
                    acks.add(producer.send(new ProducerRecord<>(
                            topic, 0, Kit.bytes("k-" + n), Kit.bytes("v-" + n))));
                }
                for (int n = 0; n < 1000; n++) {
                    Kit.equal((long) n, acks.get(n).get().offset(), "acked offset");
                }
            }
            Kit.checkSent(Kit.readAll(topic, 1, 1000), 1);
            return null;
        }
    }

    private static String batches() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "batches", 4);
            Random random = new Random(7);
            CRC32[] sent = {new CRC32(), new CRC32(), new CRC32(), new CRC32()};
            try (KafkaProducer<byte[], byte[]> producer =
                    Kit.producer("batch.size", "262144", "linger.ms", "10")) {
                for (int n = 0; n < 20_000; n++) {
                    byte[] value = new byte[100 + random.nextInt(400)];
                    random.nextBytes(value);
                    sent[n % 4].update(value);
                    producer.send(new ProducerRecord<>(topic, n % 4, null, value));
                }
                producer.flush();
            }
            CRC32[] read = {new CRC32(), new CRC32(), new CRC32(), new CRC32()};
            for (ConsumerRecord<byte[], byte[]> record : Kit.readAll(topic, 4, 20_000)) {
                read[record.partition()].update(record.value());
            }
            for (int partition = 0; partition < 4; partition++) {
                Kit.equal(sent[partition].getValue(), read[partition].getValue(),
                        "checksum of partition " + partition);
            }
            return null;
        }
    }

    private static String codec(String codec) throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, codec, 1);
            String filler = "abcdefgh".repeat(40);
            try (KafkaProducer<byte[], byte[]> producer = Kit.producer(
                    "compression.type", codec, "linger.ms", "50", "batch.size", "65536")) {
                for (int n = 0; n < 2000; n++) {
                    producer.send(new ProducerRecord<>(topic, null, Kit.bytes(n + filler)));
                }
                producer.flush();
                double rate = (Double) producer.metrics().entrySet().stream()
                        .filter(one -> one.getKey().name().equals("compression-rate-avg"))
                        .findFirst().orElseThrow().getValue().metricValue();
                Kit.check(rate < 0.5, "the producer did not compress: rate " + rate);
            }
            List<ConsumerRecord<byte[], byte[]>> records = Kit.readAll(topic, 1, 2000);
            for (int n = 0; n < 2000; n++) {
                Kit.equal(n + filler, Kit.text(records.get(n).value()), "value");
            }
            return null;
        }
    }

    private static String headers() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "headers", 1);
            try (KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
                ProducerRecord<byte[], byte[]> record =
                        new ProducerRecord<>(topic, null, null, new byte[0]);
                record.headers().add("twice", Kit.bytes("1")).add("twice", Kit.bytes("2"))
                        .add("null", null).add("empty", new byte[0]).add("", Kit.bytes("é"));
                producer.send(record).get();
                producer.send(new ProducerRecord<>(topic, Kit.bytes("key"), null)).get();
            }
            List<ConsumerRecord<byte[], byte[]>> records = Kit.readAll(topic, 1, 2);
            Kit.equal(null, records.get(0).key(), "null key");
            Kit.equal(0, records.get(0).value().length, "empty value");
            List<String> seen = new ArrayList<>();
            for (Header header : records.get(0).headers()) {
                seen.add(header.key() + "=" + Kit.text(header.value()));
            }
            Kit.equal(List.of("twice=1", "twice=2", "null=null", "empty=", "=é"), seen, "headers");
            Kit.equal("key", Kit.text(records.get(1).key()), "key");
            Kit.equal(null, records.get(1).value(), "null value");
            return null;
        }
    }

    private static String timestamps() throws Exception {
        try (Admin admin = Kit.admin()) {
            String created = Kit.topic(admin, "create-time", 1);
            String appended = Kit.topic(admin, "append-time", 1,
                    TopicConfig.MESSAGE_TIMESTAMP_TYPE_CONFIG, "LogAppendTime");
            long early = 1_500_000_000_000L;
            long before = System.currentTimeMillis();
            long stamped;
            try (KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
                producer.send(new ProducerRecord<>(created, 0, early, null, Kit.bytes("x"))).get();
                stamped = producer.send(
                        new ProducerRecord<>(appended, 0, early, null, Kit.bytes("x")))
                        .get().timestamp();
            }
            long after = System.currentTimeMillis();
            ConsumerRecord<byte[], byte[]> one = Kit.readAll(created, 1, 1).get(0);
            Kit.equal(TimestampType.CREATE_TIME, one.timestampType(), "type");
            Kit.equal(early, one.timestamp(), "CreateTime");
            ConsumerRecord<byte[], byte[]> other = Kit.readAll(appended, 1, 1).get(0);
            Kit.equal(TimestampType.LOG_APPEND_TIME, other.timestampType(), "type");
            Kit.check(other.timestamp() >= before && other.timestamp() <= after,
                    "LogAppendTime " + other.timestamp() + " not in " + before + ".." + after);
            Kit.equal(stamped, other.timestamp(), "time in the ack");
            return null;
        }
    }

    private static String large() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "large", 1);
            byte[] value = new byte[1_000_000];
            new Random(3).nextBytes(value);
            try (KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
                for (int n = 0; n < 5; n++) {
                    producer.send(new ProducerRecord<>(topic, null, value)).get();
                }
            }
            for (ConsumerRecord<byte[], byte[]> record : Kit.readAll(topic, 1, 5)) {
                Kit.check(java.util.Arrays.equals(value, record.value()), "content differs");
            }
            return null;
        }
    }

    private static String tooLarge() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "too-large", 1,
                    TopicConfig.MAX_MESSAGE_BYTES_CONFIG, "50000");
            try (KafkaProducer<byte[], byte[]> producer =
                    Kit.producer("max.request.size", "10000000")) {
                Kit.refused(RecordTooLargeException.class, () -> {
                    producer.send(new ProducerRecord<>(topic, null, new byte[60_000])).get();
                    return null;
                });
                producer.send(new ProducerRecord<>(topic, null, new byte[40_000])).get();
            }
            List<ConsumerRecord<byte[], byte[]>> records = Kit.readAll(topic, 1, 1);
            Kit.equal(40_000, records.get(0).value().length, "bytes of the one record");
            return null;
        }
    }

    private static String autoCreate() throws Exception {
        String topic = Kit.unique("auto-create");
        Kit.send(topic, 1, 10);
        Kit.checkSent(Kit.readAll(topic, 1, 10), 1);
        return null;
    }

    private static String unknownTopic() throws Exception {
        String topic = Kit.unique("nowhere");
        try (KafkaConsumer<byte[], byte[]> consumer =
                Kit.consumer("allow.auto.create.topics", "false");
                Admin admin = Kit.admin()) {
            Kit.check(consumer.partitionsFor(topic).isEmpty(), "partitions of an absent topic");
            Kit.refused(UnknownTopicOrPartitionException.class,
                    () -> admin.describeTopics(List.of(topic)).allTopicNames().get().toString());
            Set<String> names = new HashSet<>(admin.listTopics().names().get());
            Kit.check(!names.contains(topic), "asking has created the topic");
            return null;
        }
    }

    private static String transaction() throws Exception {
        String topic = Kit.unique("transaction");
        try (KafkaProducer<byte[], byte[]> producer = Kit.producer(
                "transactional.id", Kit.unique("txn"), "max.block.ms", "50000")) {
            if (Kit.MILLRACE) {
                Exception error = Kit.refused(Exception.class, () -> {
                    producer.initTransactions();
                    return null;
                });
                Kit.check(!(error instanceof RetriableException), "a retriable error: " + error);
                return "refused: " + error.getMessage();
            }
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, null, Kit.bytes("x")));
            producer.commitTransaction();
            try (KafkaConsumer<byte[], byte[]> consumer =
                    Kit.consumer("isolation.level", "read_committed")) {
                consumer.assign(List.of(new TopicPartition(topic, 0)));
                Kit.equal("x", Kit.text(Kit.take(consumer, 1).get(0).value()), "value");
            }
            return "served: this broker has transactions";
        }
    }
}
