import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Runs named cases side by side, each within its time, and helps them with clients and checks. */
final class Kit {
    static final String BOOTSTRAP = environment("CLIENT_BOOTSTRAP", "127.0.0.1:9092");
    static final boolean MILLRACE = environment("CLIENT_PEER", "millrace").equals("millrace");
    static final String TMP = environment("CLIENT_TMP", System.getProperty("java.io.tmpdir"));

    /** The real standard output: the console tools get one of their own. */
    static final PrintStream OUT = System.out;

    /** A case: returns a remark or null; throws what went wrong. */
    interface Body {
        String run() throws Exception;
    }

    private record Case(String name, int seconds, Body body) {}

    private final List<Case> cases = new ArrayList<>();

    /** A case that is done within a minute, or has failed. */
    void add(String name, Body body) {
        add(name, 60, body);
    }

    void add(String name, int seconds, Body body) {
        String[] wanted = environment("CLIENT_CASE", "").split(",");
        for (String part : wanted) {
            if (name.contains(part)) {
                cases.add(new Case(name, seconds, body));
                return;
            }
        }
    }

    void run() throws Exception {
        OUT.println("CLIENT kafka-clients " + AppInfoParser.getVersion() + ", Java "
                + Runtime.version().feature());
        for (Case one : cases) {
            OUT.println("PLAN " + one.name);
        }
        ExecutorService slots =
                Executors.newFixedThreadPool(Integer.parseInt(environment("CLIENT_JOBS", "6")));
        List<Future<?>> all = new ArrayList<>();
        for (Case one : cases) {
            all.add(slots.submit(() -> runOne(one)));
        }
        for (Future<?> one : all) {
            one.get();
        }
        OUT.flush();
    }

    private static void runOne(Case one) {
        long start = System.nanoTime();
        String[] remark = new String[1];
        Throwable[] thrown = new Throwable[1];
        Thread thread = new Thread(() -> {
            try {
                remark[0] = one.body.run();
            } catch (Throwable error) {
                thrown[0] = error;
            }
        }, one.name);
        thread.setDaemon(true);
        thread.start();
        try {
            thread.join(one.seconds * 1000L);
        } catch (InterruptedException error) {
            thrown[0] = error;
        }
        String word = "ok";
        String text = remark[0] == null ? "" : remark[0];
        if (thread.isAlive()) {
            word = "fail";
            text = "not done within " + one.seconds + " s" + where(thread.getStackTrace());
            thread.interrupt();
        } else if (thrown[0] != null) {
            word = "fail";
            Throwable error = cause(thrown[0]);
            text = error + where(error.getStackTrace());
            if (error.getCause() != null) {
                text += ", because " + error.getCause();
            }
        }
        long millis = (System.nanoTime() - start) / 1_000_000;
        text = text.replaceAll("\\s+", " ");
        if (text.length() > 1000) {
            text = text.substring(0, 500) + " ... " + text.substring(text.length() - 450);
        }
        OUT.println("CASE " + one.name + " " + word + " " + millis + " " + text);
        OUT.flush();
    }

    /** The innermost line of ours in a stack. */
    private static String where(StackTraceElement[] stack) {
        for (StackTraceElement element : stack) {
            if (element.getFileName() != null && element.getFileName().endsWith("Cases.java")) {
                return " (" + element.getFileName() + ":" + element.getLineNumber() + ")";
            }
        }
        return "";
    }

    static Throwable cause(Throwable error) {
        boolean wrapped = error instanceof ExecutionException && error.getCause() != null;
        return wrapped ? error.getCause() : error;
    }

    static String environment(String name, String otherwise) {
        return Optional.ofNullable(System.getenv(name)).orElse(otherwise);
    }

    // names

    static String unique(String what) {
        long random = ThreadLocalRandom.current().nextLong() & 0xffff_ffffL;
        return "java-" + what + "-" + Long.toHexString(random);
    }

    // checks

    static void check(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object expected, Object got, String what) {
        if (!java.util.Objects.equals(expected, got)) {
            throw new AssertionError(what + ": expected " + expected + ", got " + got);
        }
    }

    /** Runs what must fail with an error of this type, and returns the error. */
    static <T extends Throwable> T refused(Class<T> type, Body body) throws Exception {
        try {
            body.run();
        } catch (Throwable thrown) {
            Throwable error = cause(thrown);
            if (type.isInstance(error)) {
                return type.cast(error);
            }
            throw new AssertionError("expected " + type.getSimpleName() + ", got " + error, error);
        }
        throw new AssertionError("expected " + type.getSimpleName() + ", but it succeeded");
    }

    /** Asks again until it is so; the case's own time limits it. */
    static void eventually(BooleanSupplier truth) throws InterruptedException {
        while (!truth.getAsBoolean()) {
            Thread.sleep(20);
        }
    }

    // clients

    static Admin admin() {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", BOOTSTRAP);
        config.put("enable.metrics.push", "false");
        config.put("request.timeout.ms", "30000");
        config.put("default.api.timeout.ms", "40000");
        return Admin.create(config);
    }

    static KafkaProducer<byte[], byte[]> producer(Object... pairs) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", BOOTSTRAP);
        config.put("enable.metrics.push", "false");
        config.put("linger.ms", "1");
        // Shorter than a case: what goes wrong is told by its error, not by the case's end.
        config.put("max.block.ms", "40000");
        config.put("request.timeout.ms", "30000");
        config.put("delivery.timeout.ms", "40000");
        put(config, pairs);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Object... pairs) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", BOOTSTRAP);
        config.put("enable.metrics.push", "false");
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        put(config, pairs);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void put(Map<String, Object> config, Object... pairs) {
        for (int at = 0; at < pairs.length; at += 2) {
            config.put((String) pairs[at], pairs[at + 1]);
        }
    }

    // topics and records

    /** Creates a topic and waits until every partition has a leader that serves it. */
    static String topic(Admin admin, String what, int partitions, String... configs)
            throws Exception {
        Map<String, String> map = new HashMap<>();
        for (int at = 0; at < configs.length; at += 2) {
            map.put(configs[at], configs[at + 1]);
        }
        String name = unique(what);
        NewTopic topic = new NewTopic(name, partitions, (short) 1).configs(map);
        admin.createTopics(List.of(topic)).all().get();
        awaitTopic(admin, name, partitions);
        return name;
    }

    static void awaitTopic(Admin admin, String name, int partitions) throws InterruptedException {
        eventually(() -> {
            try {
                TopicDescription is =
                        admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
                if (is.partitions().size() != partitions) {
                    return false;
                }
                Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
                for (TopicPartition partition : partitions(name, partitions)) {
                    ends.put(partition, OffsetSpec.latest());
                }
                return admin.listOffsets(ends).all().get().size() == partitions;
            } catch (Exception error) {
                return false;
            }
        });
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    static List<TopicPartition> partitions(String topic, int count) {
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < count; partition++) {
            all.add(new TopicPartition(topic, partition));
        }
        return all;
    }

    /** Sends `count` records "k-n" / "v-n", n counted from `from`, round the partitions. */
    static void send(KafkaProducer<byte[], byte[]> producer, String topic, int partitions,
            int from, int count) throws Exception {
        List<Future<RecordMetadata>> acks = new ArrayList<>();
        for (int n = from; n < from + count; n++) {
            acks.add(producer.send(
                    new ProducerRecord<>(topic, n % partitions, bytes("k-" + n), bytes("v-" + n))));
        }
        producer.flush();
        for (Future<RecordMetadata> ack : acks) {
            ack.get();
        }
    }

    static void send(String topic, int partitions, int count) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            send(producer, topic, partitions, 0, count);
        }
    }

    /** Reads all partitions from the start until `count` records have come. */
    static List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int partitions, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(partitions(topic, partitions));
            consumer.seekToBeginning(consumer.assignment());
            return take(consumer, count);
        }
    }

    /** Polls until `count` records have come, and checks that no more came. */
    static List<ConsumerRecord<byte[], byte[]>> take(
            KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
        while (all.size() < count) {
            consumer.poll(Duration.ofMillis(500)).forEach(all::add);
        }
        equal(count, all.size(), "records read");
        return all;
    }

    /** Checks "k-n" / "v-n" of `send`: offsets without gaps, n in order per partition. */
    static void checkSent(Collection<ConsumerRecord<byte[], byte[]>> records, int partitions) {
        Map<Integer, Long> next = new LinkedHashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            long offset = next.getOrDefault(record.partition(), 0L);
            equal(offset, record.offset(), "offset in partition " + record.partition());
            next.put(record.partition(), offset + 1);
            long n = offset * partitions + record.partition();
            equal("k-" + n, text(record.key()), "key");
            equal("v-" + n, text(record.value()), "value");
        }
    }

    static <T> T within(Future<T> future, int seconds)
            throws ExecutionException, InterruptedException, TimeoutException {
        return future.get(seconds, TimeUnit.SECONDS);
    }
}
