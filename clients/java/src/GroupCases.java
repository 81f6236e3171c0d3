import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;

final class GroupCases {
    static void add(Kit kit) {
        kit.add("group_rebalance", 90, GroupCases::rebalance);
        kit.add("group_cooperative", 90, GroupCases::cooperative);
        kit.add("group_static_member", 90, GroupCases::staticMember);
        kit.add("group_subscribe", GroupCases::subscribe);
        kit.add("group_regex", GroupCases::regex);
        kit.add("commit_and_resume", GroupCases::resume);
        kit.add("commit_metadata_roundtrip", GroupCases::metadata);
        kit.add("list_groups", GroupCases::list);
        kit.add("describe_group", GroupCases::describe);
        kit.add("alter_group_offsets", GroupCases::alterOffsets);
        kit.add("offset_delete", GroupCases::offsetDelete);
        kit.add("delete_group", GroupCases::delete);
    }

    /** A member of a group, with what it was told and what it read. */
    private static final class Member implements AutoCloseable, ConsumerRebalanceListener {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Set<String> seen;
        final List<TopicPartition> revoked = new ArrayList<>();
        int rebalances;

        Member(String group, Set<String> seen, Object... pairs) {
            List<Object> all = new ArrayList<>(List.of(pairs));
            all.addAll(List.of("group.id", group, "enable.auto.commit", "true"));
            consumer = Kit.consumer(all.toArray());
            this.seen = seen;
        }

        Member on(String topic) {
            consumer.subscribe(List.of(topic), this);
            return this;
        }

        void poll() {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(50))) {
                Kit.check(Kit.text(record.value()).startsWith("v-"), "foreign value");
                seen.add(Kit.text(record.value()));
            }
        }

        Set<TopicPartition> holds() {
            return consumer.assignment();
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revoked.addAll(partitions);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            rebalances++;
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    private static void pollUntil(BooleanSupplier truth, Member... members) {
        while (!truth.getAsBoolean()) {
            for (Member member : members) {
                member.poll();
            }
        }
    }

    private static String rebalance() throws Exception {
        try (Admin admin = Kit.admin(); KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            String topic = Kit.topic(admin, "rebalance", 4);
            String group = Kit.unique("rebalance");
            Set<String> seen = new HashSet<>();
            String assignor = RangeAssignor.class.getName();
            try (Member one = new Member(group, seen, "partition.assignment.strategy", assignor)) {
                one.on(topic);
                Kit.send(producer, topic, 4, 0, 100);
                pollUntil(() -> one.holds().size() == 4 && seen.size() == 100, one);
                try (Member two =
                        new Member(group, seen, "partition.assignment.strategy", assignor)) {
                    two.on(topic);
                    pollUntil(() -> one.holds().size() == 2 && two.holds().size() == 2, one, two);
                    Set<TopicPartition> both = new HashSet<>(one.holds());
                    both.addAll(two.holds());
                    Kit.equal(4, both.size(), "partitions held by both together");
                    Kit.send(producer, topic, 4, 100, 100);
                    pollUntil(() -> seen.size() == 200, one, two);
                }
                Kit.send(producer, topic, 4, 200, 100);
                pollUntil(() -> one.holds().size() == 4 && seen.size() == 300, one);
            }
            return null;
        }
    }

    private static String cooperative() throws Exception {
        try (Admin admin = Kit.admin(); KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            String topic = Kit.topic(admin, "cooperative", 4);
            String group = Kit.unique("cooperative");
            Set<String> seen = new HashSet<>();
            Object[] strategy = {
                "partition.assignment.strategy", CooperativeStickyAssignor.class.getName()};
            try (Member one = new Member(group, seen, strategy).on(topic)) {
                Kit.send(producer, topic, 4, 0, 100);
                pollUntil(() -> one.holds().size() == 4 && seen.size() == 100, one);
                try (Member two = new Member(group, seen, strategy).on(topic)) {
                    pollUntil(() -> one.holds().size() == 2 && two.holds().size() == 2, one, two);
                    Kit.equal(2, one.revoked.size(), "partitions taken from the first member");
                    Kit.equal(new HashSet<>(one.revoked), two.holds(), "what the second one has");
                    Kit.send(producer, topic, 4, 100, 100);
                    pollUntil(() -> seen.size() == 200, one, two);
                }
                Kit.send(producer, topic, 4, 200, 100);
                pollUntil(() -> one.holds().size() == 4 && seen.size() == 300, one);
                Kit.equal(2, one.revoked.size(), "partitions ever taken from the first member");
            }
            return null;
        }
    }

    private static Member staticMember(String group, Set<String> seen, String instance) {
        return new Member(
                group, seen, "group.instance.id", instance, "session.timeout.ms", "120000");
    }

    private static String staticMember() throws Exception {
        try (Admin admin = Kit.admin(); KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            String topic = Kit.topic(admin, "static", 4);
            String group = Kit.unique("static");
            Set<String> seen = new HashSet<>();
            try (Member one = staticMember(group, seen, "one").on(topic)) {
                pollUntil(() -> one.holds().size() == 4, one);
                Set<TopicPartition> before;
                try (Member two = staticMember(group, seen, "two").on(topic)) {
                    pollUntil(() -> one.holds().size() == 2 && two.holds().size() == 2, one, two);
                    before = new HashSet<>(two.holds());
                }
                int rebalances = one.rebalances;
                // The session is 120 s, longer than this case: only the instance id can help.
                try (Member two = staticMember(group, seen, "two").on(topic)) {
                    pollUntil(() -> two.holds().size() == 2, one, two);
                    Kit.equal(before, two.holds(), "partitions after the restart");
                    Kit.send(producer, topic, 4, 0, 100);
                    pollUntil(() -> seen.size() == 100, one, two);
                    Kit.equal(rebalances, one.rebalances, "rebalances seen by the other member");
                    Set<String> instances = new TreeSet<>();
                    for (MemberDescription member : described(admin, group).members()) {
                        instances.add(member.groupInstanceId().orElse("-"));
                    }
                    Kit.equal(Set.of("one", "two"), instances, "described instance ids");
                }
            }
            return null;
        }
    }

    private static String subscribe() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "subscribe", 3);
            Kit.send(topic, 3, 300);
            Set<String> seen = new HashSet<>();
            try (Member one = new Member(Kit.unique("subscribe"), seen,
                    "partition.assignment.strategy", RangeAssignor.class.getName()).on(topic)) {
                pollUntil(() -> seen.size() == 300, one);
                Kit.equal(new HashSet<>(Kit.partitions(topic, 3)), one.holds(), "assignment");
            }
            return null;
        }
    }

    private static String regex() throws Exception {
        try (Admin admin = Kit.admin(); KafkaProducer<byte[], byte[]> producer = Kit.producer()) {
            String group = Kit.unique("regex");
            String first = Kit.topic(admin, "regex-" + group, 1);
            Set<String> seen = new HashSet<>();
            try (Member one = new Member(group, seen, "metadata.max.age.ms", "300")) {
                one.consumer.subscribe(Pattern.compile("java-regex-" + group + ".*"), one);
                Kit.send(producer, first, 1, 0, 10);
                pollUntil(() -> seen.size() == 10, one);
                String second = Kit.topic(admin, "regex-" + group, 1);
                Kit.send(producer, second, 1, 10, 10);
                pollUntil(() -> seen.size() == 20, one);
                Kit.equal(2, one.holds().size(), "partitions");
            }
            return null;
        }
    }

    private static String resume() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "resume", 1);
            TopicPartition partition = new TopicPartition(topic, 0);
            String group = Kit.unique("resume");
            Kit.send(topic, 1, 100);
            try (KafkaConsumer<byte[], byte[]> consumer = Kit.consumer("group.id", group)) {
                consumer.subscribe(List.of(topic));
                Kit.take(consumer, 100);
                consumer.commitSync(Map.of(partition, new OffsetAndMetadata(40)));
            }
            try (KafkaConsumer<byte[], byte[]> consumer = Kit.consumer("group.id", group)) {
                consumer.subscribe(List.of(topic));
                Kit.equal(40L, Kit.take(consumer, 60).get(0).offset(), "first offset");
                consumer.commitSync();
            }
            Kit.equal(100L, committed(admin, group).get(partition).offset(), "committed offset");
            return null;
        }
    }

    private static String metadata() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "metadata", 1);
            TopicPartition partition = new TopicPartition(topic, 0);
            String group = Kit.unique("metadata");
            try (KafkaConsumer<byte[], byte[]> consumer = Kit.consumer("group.id", group)) {
                consumer.assign(List.of(partition));
                consumer.commitSync(Map.of(partition, new OffsetAndMetadata(7, "where – é")));
                OffsetAndMetadata got = consumer.committed(Set.of(partition)).get(partition);
                Kit.equal(7L, got.offset(), "offset");
                Kit.equal("where – é", got.metadata(), "metadata");
            }
            Kit.equal("where – é", committed(admin, group).get(partition).metadata(), "for admins");
            return null;
        }
    }

    /** A group of one past member with offset 5 committed for the topic. */
    private static String emptyGroup(String topic) {
        String group = Kit.unique("empty");
        try (KafkaConsumer<byte[], byte[]> consumer = Kit.consumer("group.id", group)) {
            consumer.subscribe(List.of(topic));
            Kit.take(consumer, 10);
            consumer.commitSync(
                    Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(5)));
        }
        return group;
    }

    private static Map<TopicPartition, OffsetAndMetadata> committed(Admin admin, String group)
            throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    private static ConsumerGroupDescription described(Admin admin, String group) throws Exception {
        return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    private static GroupListing listed(Admin admin, String group) throws Exception {
        for (GroupListing one : admin.listGroups().all().get()) {
            if (one.groupId().equals(group)) {
                return one;
            }
        }
        return null;
    }

    private static String list() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "list", 1);
            Kit.send(topic, 1, 10);
            String group = emptyGroup(topic);
            GroupListing listing = listed(admin, group);
            Kit.check(listing != null, "the group is not listed");
            Kit.equal(GroupState.EMPTY, listing.groupState().orElse(null), "state");
            Kit.equal("consumer", listing.protocol(), "protocol type");
            return null;
        }
    }

    private static String describe() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "describe", 2);
            String group = Kit.unique("describe");
            try (Member one =
                    new Member(group, new HashSet<>(), "client.id", "the-client").on(topic)) {
                pollUntil(() -> one.holds().size() == 2, one);
                ConsumerGroupDescription is = described(admin, group);
                Kit.equal(GroupState.STABLE, is.groupState(), "state");
                Kit.equal(1, is.members().size(), "members");
                MemberDescription member = is.members().iterator().next();
                Kit.equal("the-client", member.clientId(), "client id");
                Kit.equal(new HashSet<>(Kit.partitions(topic, 2)),
                        member.assignment().topicPartitions(), "assignment");
                Kit.check(is.coordinator().port() > 0, "no coordinator");
            }
            Kit.equal(GroupState.EMPTY, described(admin, group).groupState(), "state at the end");
            return null;
        }
    }

    private static String alterOffsets() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "alter", 1);
            Kit.send(topic, 1, 10);
            TopicPartition partition = new TopicPartition(topic, 0);
            String group = emptyGroup(topic);
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(8)))
                    .all().get();
            try (KafkaConsumer<byte[], byte[]> consumer = Kit.consumer("group.id", group)) {
                consumer.subscribe(List.of(topic));
                Kit.equal(8L, Kit.take(consumer, 2).get(0).offset(), "first offset");
            }
            return null;
        }
    }

    private static String offsetDelete() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "offset-delete", 1);
            Kit.send(topic, 1, 10);
            TopicPartition partition = new TopicPartition(topic, 0);
            String group = emptyGroup(topic);
            Kit.equal(5L, committed(admin, group).get(partition).offset(), "before");
            admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
            Kit.check(committed(admin, group).get(partition) == null, "the offset is still there");
            return null;
        }
    }

    private static String delete() throws Exception {
        try (Admin admin = Kit.admin()) {
            String topic = Kit.topic(admin, "delete-group", 1);
            String group = Kit.unique("delete");
            try (Member one = new Member(group, new HashSet<>()).on(topic)) {
                pollUntil(() -> one.holds().size() == 1, one);
                Kit.refused(GroupNotEmptyException.class, () -> {
                    admin.deleteConsumerGroups(List.of(group)).all().get();
                    return null;
                });
            }
            admin.deleteConsumerGroups(List.of(group)).all().get();
            Kit.check(listed(admin, group) == null, "the group is still listed");
            Kit.refused(GroupIdNotFoundException.class, () -> {
                admin.deleteConsumerGroups(List.of(group)).all().get();
                return null;
            });
            return null;
        }
    }
}
