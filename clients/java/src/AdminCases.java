import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSource;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ReplicaInfo;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.LogDirNotFoundException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

final class AdminCases {
    static void add(Kit kit) {
        kit.add("create_topic", () -> with(AdminCases::createTopic));
        kit.add("create_topic_config", () -> with(AdminCases::createTopicConfig));
        kit.add("create_partitions", () -> with(AdminCases::createPartitions));
        kit.add("delete_topic", () -> with(AdminCases::deleteTopic));
        kit.add("list_topics", () -> with(AdminCases::listTopics));
        kit.add("describe_topic", () -> with(AdminCases::describeTopic));
        kit.add("describe_cluster", () -> with(AdminCases::describeCluster));
        kit.add("describe_configs", () -> with(AdminCases::describeConfigs));
        kit.add("describe_broker_configs", () -> with(AdminCases::describeBrokerConfigs));
        kit.add("alter_configs_incremental", () -> with(AdminCases::alterConfigs));
        kit.add("list_config_resources", () -> with(AdminCases::listConfigResources));
        kit.add("describe_log_dirs", () -> with(AdminCases::describeLogDirs));
        kit.add("alter_log_dirs", () -> with(AdminCases::alterLogDirs));
        kit.add("describe_producers", () -> with(AdminCases::describeProducers));
        kit.add("delete_records", () -> with(AdminCases::deleteRecords));
    }

    private interface Body {
        void run(Admin admin) throws Exception;
    }

    private static String with(Body body) throws Exception {
        try (Admin admin = Kit.admin()) {
            body.run(admin);
            return null;
        }
    }

    private static void create(Admin admin, NewTopic topic) throws Exception {
        admin.createTopics(List.of(topic)).all().get();
    }

    private static void createTopic(Admin admin) throws Exception {
        String name = Kit.topic(admin, "create", 3);
        TopicDescription is = admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
        Kit.equal(3, is.partitions().size(), "partitions");
        refuse(TopicExistsException.class, admin, new NewTopic(name, 1, (short) 1));
        refuse(InvalidTopicException.class, admin, new NewTopic("not a name", 1, (short) 1));
        refuse(InvalidTopicException.class, admin, new NewTopic("x".repeat(250), 1, (short) 1));
        refuse(InvalidPartitionsException.class, admin,
                new NewTopic(Kit.unique("none"), 0, (short) 1));
        refuse(InvalidReplicationFactorException.class, admin,
                new NewTopic(Kit.unique("many"), 1, (short) 7));
        String tried = Kit.unique("tried");
        admin.createTopics(List.of(new NewTopic(tried, 2, (short) 1)),
                new CreateTopicsOptions().validateOnly(true)).all().get();
        Kit.check(!admin.listTopics().names().get().contains(tried), "validateOnly created it");
    }

    private static void refuse(Class<? extends Throwable> type, Admin admin, NewTopic topic)
            throws Exception {
        Kit.refused(type, () -> {
            create(admin, topic);
            return null;
        });
    }

    private static ConfigResource topicResource(String name) {
        return new ConfigResource(ConfigResource.Type.TOPIC, name);
    }

    private static Config configs(Admin admin, ConfigResource resource) throws Exception {
        return admin.describeConfigs(List.of(resource),
                new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true))
                .all().get().get(resource);
    }

    private static void entry(Config config, String name, String value, ConfigSource source) {
        ConfigEntry entry = config.get(name);
        Kit.check(entry != null, name + " is not described");
        Kit.equal(value, entry.value(), name);
        Kit.equal(source, entry.source(), "source of " + name);
    }

    private static void createTopicConfig(Admin admin) throws Exception {
        String name = Kit.topic(admin, "configured", 1,
                "retention.ms", "123456", "max.message.bytes", "2000", "segment.bytes", "1048576");
        Config config = configs(admin, topicResource(name));
        entry(config, "retention.ms", "123456", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        entry(config, "max.message.bytes", "2000", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        entry(config, "segment.bytes", "1048576", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        refuse(InvalidConfigurationException.class, admin, new NewTopic(Kit.unique("bad"), 1,
                (short) 1).configs(Map.of("no.such.key", "1")));
        refuse(InvalidConfigurationException.class, admin, new NewTopic(Kit.unique("bad"), 1,
                (short) 1).configs(Map.of("retention.ms", "soon")));
    }

    private static void createPartitions(Admin admin) throws Exception {
        String name = Kit.topic(admin, "more", 1);
        admin.createPartitions(Map.of(name, NewPartitions.increaseTo(4))).all().get();
        Kit.awaitTopic(admin, name, 4);
        Kit.send(name, 4, 40);
        Kit.checkSent(Kit.readAll(name, 4, 40), 4);
        Kit.refused(InvalidPartitionsException.class, () -> {
            admin.createPartitions(Map.of(name, NewPartitions.increaseTo(2))).all().get();
            return null;
        });
    }

    private static void deleteTopic(Admin admin) throws Exception {
        String name = Kit.topic(admin, "delete", 2);
        Kit.send(name, 2, 20);
        admin.deleteTopics(List.of(name)).all().get();
        Kit.eventually(() -> {
            try {
                return !admin.listTopics().names().get().contains(name);
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
        Kit.refused(UnknownTopicOrPartitionException.class, () -> {
            admin.deleteTopics(List.of(name)).all().get();
            return null;
        });
        // The name can be used again, and what was there is not there any more.
        create(admin, new NewTopic(name, 1, (short) 1));
        Kit.awaitTopic(admin, name, 1);
        TopicPartition partition = new TopicPartition(name, 0);
        Kit.equal(0L, admin.listOffsets(Map.of(partition, OffsetSpec.latest()))
                .partitionResult(partition).get().offset(), "end offset of the new topic");
    }

    private static void listTopics(Admin admin) throws Exception {
        String name = Kit.topic(admin, "list", 1);
        var listing = admin.listTopics().namesToListings().get().get(name);
        Kit.check(listing != null, "the topic is not listed");
        Kit.check(!listing.isInternal(), "an ordinary topic is called internal");
    }

    private static void describeTopic(Admin admin) throws Exception {
        String name = Kit.topic(admin, "describe", 6);
        TopicDescription is = admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
        Kit.check(!is.topicId().equals(Uuid.ZERO_UUID), "no topic id");
        for (int index = 0; index < 6; index++) {
            TopicPartitionInfo info = is.partitions().get(index);
            Kit.equal(index, info.partition(), "partition");
            Kit.equal(List.of(info.leader()), info.replicas(), "replicas");
            Kit.equal(info.replicas(), info.isr(), "in-sync replicas");
        }
        var byId = admin.describeTopics(org.apache.kafka.common.TopicCollection
                .ofTopicIds(List.of(is.topicId()))).allTopicIds().get();
        Kit.equal(name, byId.get(is.topicId()).name(), "name by id");
    }

    private static void describeCluster(Admin admin) throws Exception {
        DescribeClusterResult is = admin.describeCluster();
        Collection<Node> nodes = is.nodes().get();
        Kit.check(!nodes.isEmpty(), "no nodes");
        Kit.check(is.clusterId().get().length() >= 16, "cluster id " + is.clusterId().get());
        Kit.check(nodes.contains(is.controller().get()), "the controller is no node");
    }

    private static void describeConfigs(Admin admin) throws Exception {
        String name = Kit.topic(admin, "configs", 1, "retention.ms", "86400000");
        Config config = configs(admin, topicResource(name));
        entry(config, "retention.ms", "86400000", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        entry(config, "cleanup.policy", "delete", ConfigSource.DEFAULT_CONFIG);
        entry(config, "max.message.bytes", "1048588", ConfigSource.DEFAULT_CONFIG);
        entry(config, "segment.bytes", "1073741824", ConfigSource.DEFAULT_CONFIG);
        entry(config, "compression.type", "producer", ConfigSource.DEFAULT_CONFIG);
        // Its source differs: Kafka's eligible leader replicas make it a cluster-wide value.
        Kit.equal("1", config.get("min.insync.replicas").value(), "min.insync.replicas");
        ConfigEntry retention = config.get("retention.ms");
        Kit.equal(ConfigEntry.ConfigType.LONG, retention.type(), "type of retention.ms");
        Kit.check(!retention.isReadOnly() && !retention.isSensitive(), "flags of retention.ms");
        Kit.equal("retention.ms", retention.synonyms().get(0).name(), "first synonym");
        Kit.check(retention.documentation() != null && !retention.documentation().isEmpty(),
                "no documentation");
    }

    private static ConfigResource anyBroker(Admin admin) throws Exception {
        Node node = admin.describeCluster().nodes().get().iterator().next();
        return new ConfigResource(ConfigResource.Type.BROKER, node.idString());
    }

    private static void describeBrokerConfigs(Admin admin) throws Exception {
        Config config = configs(admin, anyBroker(admin));
        entry(config, "num.partitions", "1", ConfigSource.DEFAULT_CONFIG);
        entry(config, "message.max.bytes", "1048588", ConfigSource.DEFAULT_CONFIG);
        entry(config, "auto.create.topics.enable", "true", ConfigSource.DEFAULT_CONFIG);
        entry(config, "log.retention.hours", "168", ConfigSource.DEFAULT_CONFIG);
        Kit.check(config.get("socket.request.max.bytes").isReadOnly(), "read-only is not marked");
    }

    private static void alter(Admin admin, ConfigResource resource, String key, String value)
            throws Exception {
        AlterConfigOp op = new AlterConfigOp(new ConfigEntry(key, value),
                value == null ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
    }

    /** Waits: Kafka's brokers learn of a change a moment after the answer. */
    private static void awaitValue(Admin admin, ConfigResource resource, String key, String value)
            throws Exception {
        Kit.eventually(() -> {
            try {
                return value.equals(configs(admin, resource).get(key).value());
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        });
    }

    private static void alterConfigs(Admin admin) throws Exception {
        String name = Kit.topic(admin, "alter", 1, "retention.bytes", "1000000");
        ConfigResource resource = topicResource(name);
        alter(admin, resource, "retention.ms", "55555");
        awaitValue(admin, resource, "retention.ms", "55555");
        entry(configs(admin, resource), "retention.bytes", "1000000",
                ConfigSource.DYNAMIC_TOPIC_CONFIG);
        alter(admin, resource, "retention.ms", null);
        awaitValue(admin, resource, "retention.ms", "604800000");
        entry(configs(admin, resource), "retention.ms", "604800000", ConfigSource.DEFAULT_CONFIG);
        Kit.refused(InvalidConfigurationException.class, () -> {
            alter(admin, resource, "retention.ms", "never");
            return null;
        });
        Kit.refused(InvalidConfigurationException.class, () -> {
            alter(admin, resource, "no.such.key", "1");
            return null;
        });
        Kit.refused(UnknownTopicOrPartitionException.class, () -> {
            alter(admin, topicResource(Kit.unique("absent")), "retention.ms", "1");
            return null;
        });
        // The change acts: a batch beyond the new limit is refused, one below is stored.
        alter(admin, resource, "max.message.bytes", "5000");
        awaitValue(admin, resource, "max.message.bytes", "5000");
        try (KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            Kit.refused(org.apache.kafka.common.errors.RecordTooLargeException.class, () -> {
                producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(
                        name, null, new byte[6000])).get();
                return null;
            });
            Kit.send(producer, name, 1, 0, 1);
        }
    }

    private static void listConfigResources(Admin admin) throws Exception {
        String name = Kit.topic(admin, "resources", 1);
        Collection<ConfigResource> topics = admin.listConfigResources(
                Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions()).all().get();
        Kit.check(topics.contains(topicResource(name)), "the topic is no config resource");
        Collection<ConfigResource> brokers = admin.listConfigResources(
                Set.of(ConfigResource.Type.BROKER), new ListConfigResourcesOptions()).all().get();
        Kit.check(!brokers.isEmpty(), "no broker is a config resource");
    }

    private static void describeLogDirs(Admin admin) throws Exception {
        String name = Kit.topic(admin, "dirs", 2);
        try (KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            for (int n = 0; n < 10; n++) {
                producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(
                        name, n % 2, null, new byte[10_000])).get();
            }
        }
        List<Integer> nodes = admin.describeCluster().nodes().get().stream().map(Node::id).toList();
        Map<Integer, Map<String, LogDirDescription>> all =
                admin.describeLogDirs(nodes).allDescriptions().get();
        for (TopicPartition partition : Kit.partitions(name, 2)) {
            long size = 0;
            int homes = 0;
            for (Map<String, LogDirDescription> dirs : all.values()) {
                for (LogDirDescription dir : dirs.values()) {
                    Kit.check(dir.error() == null, "error " + dir.error());
                    Kit.check(dir.totalBytes().orElse(0) > 0, "no total bytes");
                    ReplicaInfo replica = dir.replicaInfos().get(partition);
                    if (replica != null) {
                        homes++;
                        size = replica.size();
                    }
                }
            }
            Kit.equal(1, homes, "log directories of " + partition);
            Kit.check(size >= 50_000 && size < 60_000, "size " + size + " of 50,000 bytes written");
        }
    }

    private static void alterLogDirs(Admin admin) throws Exception {
        String name = Kit.topic(admin, "moved", 1);
        int node = admin.describeTopics(List.of(name)).allTopicNames().get().get(name)
                .partitions().get(0).leader().id();
        String dir = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node)
                .keySet().iterator().next();
        TopicPartitionReplica replica = new TopicPartitionReplica(name, 0, node);
        admin.alterReplicaLogDirs(Map.of(replica, dir)).all().get();
        refuse(LogDirNotFoundException.class, admin, replica, "/no/such/directory");
        TopicPartitionReplica none = new TopicPartitionReplica(Kit.unique("none"), 0, node);
        refuse(UnknownTopicOrPartitionException.class, admin, none, dir);
    }

    private static void refuse(Class<? extends Throwable> type, Admin admin,
            TopicPartitionReplica replica, String dir) throws Exception {
        Kit.refused(type, () -> {
            admin.alterReplicaLogDirs(Map.of(replica, dir)).all().get();
            return null;
        });
    }

    private static void describeProducers(Admin admin) throws Exception {
        String name = Kit.topic(admin, "producers", 1);
        TopicPartition partition = new TopicPartition(name, 0);
        try (KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            Kit.send(producer, name, 1, 0, 10);
            Kit.send(producer, name, 1, 10, 5);
        }
        List<ProducerState> producers = admin.describeProducers(List.of(partition))
                .partitionResult(partition).get().activeProducers();
        Kit.equal(1, producers.size(), "producers");
        ProducerState state = producers.get(0);
        Kit.check(state.producerId() >= 0, "producer id " + state.producerId());
        Kit.equal(0, state.producerEpoch(), "epoch");
        Kit.equal(14, state.lastSequence(), "last sequence");
        Kit.check(state.currentTransactionStartOffset().isEmpty(), "a transaction is open");
    }

    private static void deleteRecords(Admin admin) throws Exception {
        String name = Kit.topic(admin, "delete-records", 1);
        TopicPartition partition = new TopicPartition(name, 0);
        Kit.send(name, 1, 100);
        Kit.equal(60L, admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(60)))
                .lowWatermarks().get(partition).get().lowWatermark(), "low watermark");
        Kit.equal(60L, admin.listOffsets(Map.of(partition, OffsetSpec.earliest()))
                .partitionResult(partition).get().offset(), "log start offset");
        try (KafkaConsumer<byte[], byte[]> consumer = Kit.consumer()) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 10);
            List<ConsumerRecord<byte[], byte[]>> records = Kit.take(consumer, 40);
            Kit.equal(60L, records.get(0).offset(), "first offset that is left");
        }
        Kit.refused(OffsetOutOfRangeException.class, () -> {
            admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(1000))).all().get();
            return null;
        });
        Kit.equal(100L, admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1)))
                .lowWatermarks().get(partition).get().lowWatermark(), "all deleted");
    }
}
