import java.io.BufferedWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * A group of two members in the demo; the second joins when the first has read a while.
 *
 * <pre>Reader bootstrap group topic,topic directory</pre>
 *
 * Each member checks every event's sum, writes what it saw to a file of its own, commits, and
 * writes what was acknowledged, with tabs between:
 *
 * <pre>
 * S ms                                     partitions assigned (wall clock)
 * R topic partition offset key seq         an event was processed
 * C ms topic partition offset              a commit was acknowledged
 * </pre>
 *
 * Says {@code READ events} and {@code AT topic partition committed} now and then. The end of its
 * input stops it.
 */
final class Reader implements Runnable, ConsumerRebalanceListener {
    private static final long SECOND_JOINS_AFTER = 20_000;
    private static final long COMMIT_EVERY_NANOS = 150_000_000;

    private static final AtomicLong READ = new AtomicLong();
    private static volatile boolean stopping;

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final List<String> topics;
    private final PrintWriter seen;
    private final MessageDigest sha256;
    private final Map<TopicPartition, OffsetAndMetadata> pending = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        say("CLIENT kafka-clients " + AppInfoParser.getVersion() + ", Java "
                + Runtime.version().feature());
        List<Thread> threads = new ArrayList<>();
        List<Reader> members = new ArrayList<>();
        for (int n = 0; n < 2; n++) {
            Reader member = new Reader(arguments, n);
            Thread thread = new Thread(member, "member-" + n);
            thread.setUncaughtExceptionHandler((which, error) -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            });
            members.add(member);
            threads.add(thread);
        }
        threads.get(0).start();
        while (READ.get() < SECOND_JOINS_AFTER && System.in.available() == 0) {
            Thread.sleep(20);
        }
        threads.get(1).start();
        while (System.in.read() >= 0) {
            // Nothing is said to a reader but the end.
        }
        stopping = true;
        for (Reader member : members) {
            member.consumer.wakeup();
        }
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private Reader(String[] arguments, int number) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", arguments[0]);
        config.put("group.id", arguments[1]);
        config.put("client.id", "demo-java-" + number);
        config.put("enable.metrics.push", "false");
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        config.put("max.poll.records", "5000");
        config.put("reconnect.backoff.ms", "20");
        config.put("reconnect.backoff.max.ms", "100");
        config.put("retry.backoff.ms", "20");
        config.put("retry.backoff.max.ms", "100");
        config.put("socket.connection.setup.timeout.ms", "2000");
        config.put("heartbeat.interval.ms", "500");
        consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        topics = List.of(arguments[2].split(","));
        BufferedWriter file = Files.newBufferedWriter(Path.of(arguments[3], "member-" + number + ".tsv"));
        seen = new PrintWriter(file);
        sha256 = MessageDigest.getInstance("SHA-256");
    }

    @Override
    public void run() {
        consumer.subscribe(topics, this);
        long committed = System.nanoTime();
        try {
            while (!stopping) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    process(record);
                }
                if (!pending.isEmpty() && System.nanoTime() - committed > COMMIT_EVERY_NANOS) {
                    commit();
                    committed = System.nanoTime();
                }
            }
        } catch (WakeupException stop) {
            // stopping: the loop's other way out
        }
        consumer.close();
        seen.close();
        if (seen.checkError()) {
            throw new UncheckedIOException(new IOException("cannot write what was seen"));
        }
    }

    private void process(ConsumerRecord<byte[], byte[]> record) {
        String key = new String(record.key(), StandardCharsets.UTF_8);
        String number = header(record, "seq");
        sha256.update((key + "\t" + number + "\t" + record.timestamp() + "\t\t").getBytes(StandardCharsets.UTF_8));
        String sum = HexFormat.of().formatHex(sha256.digest(record.value()), 0, 8);
        if (!sum.equals(header(record, "sum"))) {
            throw new AssertionError("altered: " + record);
        }
        seen.println("R\t" + record.topic() + "\t" + record.partition() + "\t" + record.offset()
                + "\t" + key + "\t" + number);
        pending.put(new TopicPartition(record.topic(), record.partition()),
                new OffsetAndMetadata(record.offset() + 1));
        READ.incrementAndGet();
    }

    private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null ? "" : new String(header.value(), StandardCharsets.UTF_8);
    }

    /** Commits what was processed. What isn't acknowledged is committed with the next. */
    private void commit() {
        try {
            consumer.commitSync(pending);
        } catch (CommitFailedException | RebalanceInProgressException moved) {
            // The group goes on without this member's claim; the next poll joins again.
            return;
        } catch (RetriableException away) {
            System.err.println("commit: " + away);
            return;
        }
        long now = System.currentTimeMillis();
        StringBuilder told = new StringBuilder("READ " + READ.get());
        pending.forEach((at, offset) -> {
            String text = at.topic() + "\t" + at.partition() + "\t" + offset.offset();
            seen.println("C\t" + now + "\t" + text);
            told.append("\nAT ").append(text.replace('\t', ' '));
        });
        pending.clear();
        say(told.toString());
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        seen.println("S\t" + System.currentTimeMillis());
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        if (!pending.isEmpty()) {
            commit();
        }
        pending.clear();
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        pending.clear();
    }

    private static synchronized void say(String line) {
        System.out.println(line);
    }
}
