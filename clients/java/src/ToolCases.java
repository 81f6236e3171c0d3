import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.VerifiableProducer;
import org.apache.kafka.tools.consumer.ConsoleConsumer;

/**
 * The console tools, each through its own `main`. They run in this JVM, because a JVM for each
 * of some thirty calls would take most of the run: standard output goes to the thread that
 * called (and the threads it starts), and an exit ends only the call.
 */
final class ToolCases {
    static void add(Kit kit) {
        System.setOut(new PrintStream(new Captured(), true));
        Exit.setExitProcedure((code, message) -> {
            CALL.get().exit(code);
            throw new Ended();
        });
        Exit.setShutdownHookAdder((name, hook) -> CALL.get().hooks.add(hook));
        kit.add("tool_producer_perf", 90, ToolCases::performance);
        kit.add("tool_verifiable", 90, ToolCases::verifiable);
        kit.add("tool_kafka_topics", ToolCases::topics);
        kit.add("tool_console_producer_consumer", ToolCases::console);
        kit.add("tool_consumer_groups", ToolCases::groups);
        kit.add("tool_configs", ToolCases::configs);
        kit.add("tool_get_offsets", ToolCases::offsets);
        kit.add("tool_log_dirs", ToolCases::logDirs);
        kit.add("tool_delete_records", ToolCases::deleteRecords);
        kit.add("tool_broker_api_versions", ToolCases::apiVersions);
    }

    private static final class Ended extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Ended() {
            super("exit", null, false, false);
        }
    }

    /** One call of a tool: what it printed, how it ended, what it wants done at its end. */
    private static final class Call {
        final ByteArrayOutputStream sink = new ByteArrayOutputStream();
        final List<Runnable> hooks = Collections.synchronizedList(new ArrayList<>());
        private int code = -1;

        /** The first word counts: some tools catch our exception and exit again with 1. */
        synchronized void exit(int code) {
            if (this.code < 0) {
                this.code = code;
            }
        }

        synchronized int code() {
            return Math.max(code, 0);
        }
    }

    private static final InheritableThreadLocal<Call> CALL = new InheritableThreadLocal<>();

    /** Standard output by thread; what belongs to no call goes to standard error. */
    private static final class Captured extends OutputStream {
        @Override
        public void write(int one) {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int from, int length) {
            Call call = CALL.get();
            if (call == null) {
                System.err.write(bytes, from, length);
            } else {
                call.sink.write(bytes, from, length);
            }
        }
    }

    private interface Main {
        void main(String[] arguments) throws Exception;
    }

    /** Runs a tool to its end and returns what it printed; it must end well. */
    private static String tool(Main main, String... arguments) throws Exception {
        Call call = new Call();
        CALL.set(call);
        try {
            main.main(arguments);
        } catch (Ended end) {
            // The code is in the call.
        } finally {
            for (Runnable hook : List.copyOf(call.hooks)) {
                hook.run();
            }
            CALL.remove();
        }
        String output = call.sink.toString(StandardCharsets.UTF_8);
        Kit.equal(0, call.code(), "exit code of " + String.join(" ", arguments) + ": " + output);
        return output;
    }

    /**
     * Runs a tool that needs a JVM of its own: ConsoleConsumer counts its messages in a static
     * field, VerifiableProducer closes its producer when the JVM ends.
     */
    private static String process(Class<?> tool, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("java", "-XX:TieredStopAtLevel=1", "-Xmx128m",
                "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                tool.getName(), "--bootstrap-server", Kit.BOOTSTRAP));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try {
            String output =
                    new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            Kit.equal(0, process.waitFor(), "exit code of " + tool.getSimpleName());
            return output;
        } finally {
            process.destroyForcibly();
        }
    }

    private static void has(String output, String regex) {
        Kit.check(Pattern.compile(regex).matcher(output).find(),
                "no /" + regex + "/ in: " + output);
    }

    private static void hasNot(String output, String regex) {
        Kit.check(!Pattern.compile(regex).matcher(output).find(),
                "/" + regex + "/ is in: " + output);
    }

    private static String topics() throws Exception {
        String name = Kit.unique("tool-topics");
        Main main = org.apache.kafka.tools.TopicCommand::main;
        String[] with = {"--bootstrap-server", Kit.BOOTSTRAP};
        has(tool(main, with[0], with[1], "--create", "--topic", name, "--partitions", "3",
                "--replication-factor", "1", "--config", "retention.ms=77777"), "Created topic " + name);
        try (Admin admin = Kit.admin()) {
            Kit.awaitTopic(admin, name, 3);
            String described = tool(main, with[0], with[1], "--describe", "--topic", name);
            has(described, "PartitionCount: 3");
            has(described, "retention.ms=77777");
            has(described, "Partition: 2\\s+Leader: \\d+");
            tool(main, with[0], with[1], "--alter", "--topic", name, "--partitions", "5");
            Kit.awaitTopic(admin, name, 5);
            has(tool(main, with[0], with[1], "--describe", "--topic", name), "PartitionCount: 5");
            has(tool(main, with[0], with[1], "--list"), name);
            tool(main, with[0], with[1], "--delete", "--topic", name);
            Kit.eventually(() -> {
                try {
                    return !admin.listTopics().names().get().contains(name);
                } catch (Exception error) {
                    throw new AssertionError(error);
                }
            });
            hasNot(tool(main, with[0], with[1], "--list"), name);
        }
        return null;
    }

    private static String console() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "console", 1);
            StringBuilder lines = new StringBuilder();
            for (int n = 0; n < 200; n++) {
                lines.append("h:").append(n).append("\tk-").append(n).append("\tv-").append(n).append('\n');
            }
            InputStream before = System.in;
            System.setIn(new ByteArrayInputStream(Kit.bytes(lines.toString())));
            try {
                tool(org.apache.kafka.tools.ConsoleProducer::main, "--bootstrap-server",
                        Kit.BOOTSTRAP, "--topic", topic, "--reader-property", "parse.key=true",
                        "--reader-property", "parse.headers=true", "--compression-codec", "lz4");
            } finally {
                System.setIn(before);
            }
            String read = process(ConsoleConsumer.class, "--topic", topic, "--from-beginning",
                    "--max-messages", "200", "--formatter-property", "print.key=true",
                    "--formatter-property", "print.headers=true",
                    "--formatter-property", "print.offset=true");
            List<String> expected = new ArrayList<>();
            for (int n = 0; n < 200; n++) {
                expected.add("Offset:" + n + "\th:" + n + "\tk-" + n + "\tv-" + n);
            }
            Kit.equal(expected, read.lines().toList(), "lines");
            return null;
        }
    }

    private static String groups() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "tool-groups", 1);
            Kit.send(topic, 1, 100);
            String group = Kit.unique("tool-groups");
            process(ConsoleConsumer.class, "--topic", topic, "--from-beginning", "--group", group,
                    "--max-messages", "30", "--command-property", "max.poll.records=30");
            Main main = org.apache.kafka.tools.consumer.group.ConsumerGroupCommand::main;
            String[] with = {"--bootstrap-server", Kit.BOOTSTRAP};
            has(tool(main, with[0], with[1], "--list"), group);
            has(tool(main, with[0], with[1], "--describe", "--group", group),
                    topic + "\\s+0\\s+30\\s+100\\s+70");
            has(tool(main, with[0], with[1], "--describe", "--state", "--group", group), "Empty");
            tool(main, with[0], with[1], "--reset-offsets", "--group", group, "--topic", topic,
                    "--to-offset", "12", "--execute");
            has(tool(main, with[0], with[1], "--describe", "--group", group),
                    topic + "\\s+0\\s+12\\s+100\\s+88");
            tool(main, with[0], with[1], "--reset-offsets", "--group", group, "--topic", topic,
                    "--to-latest", "--execute");
            has(tool(main, with[0], with[1], "--describe", "--group", group),
                    topic + "\\s+0\\s+100\\s+100\\s+0");
            tool(main, with[0], with[1], "--delete-offsets", "--group", group, "--topic", topic);
            has(tool(main, with[0], with[1], "--delete", "--group", group), "successful");
            hasNot(tool(main, with[0], with[1], "--list"), group);
            return null;
        }
    }

    private static String configs() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "tool-configs", 1);
            Main main = kafka.admin.ConfigCommand::main;
            String[] with = {"--bootstrap-server", Kit.BOOTSTRAP};
            tool(main, with[0], with[1], "--alter", "--entity-type", "topics", "--entity-name",
                    topic, "--add-config", "retention.ms=4444,max.message.bytes=5555");
            String[] describe = {with[0], with[1], "--describe", "--entity-type", "topics",
                "--entity-name", topic};
            String described = "";
            while (!described.contains("retention.ms=4444")) {
                described = tool(main, describe);
            }
            has(described, "max.message.bytes=5555");
            tool(main, with[0], with[1], "--alter", "--entity-type", "topics", "--entity-name",
                    topic, "--delete-config", "retention.ms");
            while (described.contains("retention.ms=4444")) {
                described = tool(main, describe);
            }
            has(described, "max.message.bytes=5555");
            return null;
        }
    }

    private static String offsets() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "tool-offsets", 2);
            Kit.send(topic, 2, 30);
            Main main = org.apache.kafka.tools.GetOffsetShell::main;
            String latest = tool(main, "--bootstrap-server", Kit.BOOTSTRAP, "--topic", topic);
            has(latest, topic + ":0:15");
            has(latest, topic + ":1:15");
            has(tool(main, "--bootstrap-server", Kit.BOOTSTRAP, "--topic", topic,
                    "--time", "earliest"), topic + ":1:0");
            return null;
        }
    }

    private static String logDirs() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "tool-dirs", 1);
            try (KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
                producer.send(new ProducerRecord<>(topic, null, new byte[10_000])).get();
            }
            String output = tool(org.apache.kafka.tools.LogDirsCommand::main, "--bootstrap-server",
                    Kit.BOOTSTRAP, "--describe", "--topic-list", topic);
            Matcher found = Pattern.compile("\"partition\":\"" + topic + "-0\",\"size\":(\\d+)")
                    .matcher(output);
            Kit.check(found.find(), "no size in: " + output);
            long size = Long.parseLong(found.group(1));
            Kit.check(size >= 10_000 && size < 11_000, "size " + size);
            return null;
        }
    }

    private static String deleteRecords() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "tool-delete", 1);
            Kit.send(topic, 1, 50);
            Path file = Path.of(Kit.TMP, topic + ".json");
            Files.writeString(file, "{\"version\":1,\"partitions\":[{\"topic\":\"" + topic
                    + "\",\"partition\":0,\"offset\":20}]}");
            has(tool(org.apache.kafka.tools.DeleteRecordsCommand::main, "--bootstrap-server",
                    Kit.BOOTSTRAP, "--offset-json-file", file.toString()), "low_watermark: 20");
            has(tool(org.apache.kafka.tools.GetOffsetShell::main, "--bootstrap-server",
                    Kit.BOOTSTRAP, "--topic", topic, "--time", "earliest"), topic + ":0:20");
            return null;
        }
    }

    private static String apiVersions() throws Exception {
        String output = tool(org.apache.kafka.tools.BrokerApiVersionsCommand::main,
                "--bootstrap-server", Kit.BOOTSTRAP);
        has(output, "Produce\\(0\\): 0 to 13 \\[usable: 13\\]");
        has(output, "Fetch\\(1\\): 4 to 18 \\[usable: 18\\]");
        has(output, "ApiVersions\\(18\\): 0 to 4 \\[usable: 4\\]");
        return null;
    }

    private static String performance() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "perf", 2);
            String wrote = tool(org.apache.kafka.tools.ProducerPerformance::main,
                    "--bootstrap-server", Kit.BOOTSTRAP, "--topic", topic, "--num-records",
                    "50000", "--record-size", "200", "--throughput", "-1",
                    "--command-property", "linger.ms=5");
            has(wrote, "50000 records sent");
            String read = tool(org.apache.kafka.tools.ConsumerPerformance::main,
                    "--bootstrap-server", Kit.BOOTSTRAP, "--topic", topic, "--num-records",
                    "50000", "--timeout", "50000");
            has(read, ", 50000, ");
            return null;
        }
    }

    private static String verifiable() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "verifiable", 2);
            String wrote = process(VerifiableProducer.class, "--topic", topic, "--max-messages",
                    "5000", "--throughput", "-1");
            Kit.equal(5000L, wrote.lines().filter(one -> one.contains("producer_send_success"))
                    .count(), "acked");
            String read = tool(org.apache.kafka.tools.VerifiableConsumer::main,
                    "--bootstrap-server", Kit.BOOTSTRAP, "--topic", topic, "--group-id",
                    Kit.unique("verifiable"), "--max-messages", "5000", "--reset-policy",
                    "earliest", "--verbose");
            Matcher records = Pattern.compile("\"name\":\"record_data\"").matcher(read);
            Kit.equal(5000L, records.results().count(), "read");
            Kit.check(!read.contains("\"error\""), "an error in: " + read.length() + " characters");
            return null;
        }
    }
}
