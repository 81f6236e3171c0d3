package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type (
	kmsgCommitRequest  = kmsg.OffsetCommitRequest
	kmsgCommitResponse = kmsg.OffsetCommitResponse
)

func adminTests() {
	for name, run := range map[string]func(context.Context, *kadm.Client){
		"create_topic":              createTopic,
		"create_topic_config":       createTopicConfig,
		"create_partitions":         createPartitions,
		"delete_topic":              deleteTopic,
		"list_topics":               listTopics,
		"describe_topic":            describeTopic,
		"describe_cluster":          describeCluster,
		"describe_configs":          describeConfigs,
		"describe_broker_configs":   describeBrokerConfigs,
		"alter_configs_incremental": alterConfigs,
		"alter_configs_legacy":      alterConfigsLegacy,
		"list_config_resources":     listConfigResources,
		"describe_log_dirs":         describeLogDirs,
		"describe_producers":        describeProducers,
		"delete_records":            deleteRecords,
	} {
		add(name, func(ctx context.Context) {
			adm := admin()
			defer adm.Close()
			run(ctx, adm)
		})
	}
}

func create(ctx context.Context, adm *kadm.Client, name string, partitions int32, replicas int16, pairs ...string) error {
	made, err := adm.CreateTopic(ctx, partitions, replicas, configs(pairs...), name)
	if err == nil {
		err = made.Err
	}
	return err
}

func createTopic(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "create", 3)
	refused(kerr.TopicAlreadyExists, create(ctx, adm, name, 1, 1), "again")
	refused(kerr.InvalidTopicException, create(ctx, adm, "not a name", 1, 1), "bad name")
	refused(kerr.InvalidTopicException, create(ctx, adm, strings.Repeat("x", 250), 1, 1), "long name")
	refused(kerr.InvalidPartitions, create(ctx, adm, unique("none"), 0, 1), "no partition")
	refused(kerr.InvalidReplicationFactor, create(ctx, adm, unique("many"), 1, 7), "7 replicas")
	tried := unique("tried")
	made, err := adm.ValidateCreateTopics(ctx, 2, 1, nil, tried)
	must(err, "validate")
	must(made[tried].Err, "validate")
	topics, err := adm.ListTopics(ctx)
	must(err, "list")
	check(!topics.Has(tried), "validation created it")
}

func described(ctx context.Context, adm *kadm.Client, name string) map[string]kadm.Config {
	found, err := adm.DescribeTopicConfigs(ctx, name)
	must(err, "describe")
	return entries(found)
}

func entries(found kadm.ResourceConfigs) map[string]kadm.Config {
	equal(1, len(found), "resources")
	must(found[0].Err, "describe")
	all := map[string]kadm.Config{}
	for _, one := range found[0].Configs {
		all[one.Key] = one
	}
	return all
}

func entry(found map[string]kadm.Config, key, value string, source kmsg.ConfigSource) {
	one := found[key]
	equal(value, one.MaybeValue(), key)
	equal(source, one.Source, "source of "+key)
}

func createTopicConfig(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "configured", 1, "retention.ms", "123456", "segment.bytes", "1048576")
	found := described(ctx, adm, name)
	entry(found, "retention.ms", "123456", kmsg.ConfigSourceDynamicTopicConfig)
	entry(found, "segment.bytes", "1048576", kmsg.ConfigSourceDynamicTopicConfig)
	refused(kerr.InvalidConfig, create(ctx, adm, unique("bad"), 1, 1, "no.such.key", "1"), "key")
	refused(kerr.InvalidConfig, create(ctx, adm, unique("bad"), 1, 1, "retention.ms", "soon"), "value")
}

func createPartitions(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "more", 1)
	done, err := adm.UpdatePartitions(ctx, 4, name)
	must(err, "update")
	must(done[name].Err, "update")
	awaitTopic(ctx, adm, name, 4)
	send(ctx, name, 4, 0, 40)
	checkNumbered(readAll(ctx, name, 4, 40), 4)
	done, err = adm.UpdatePartitions(ctx, 2, name)
	must(err, "update")
	refused(kerr.InvalidPartitions, done[name].Err, "fewer")
}

func deleteTopic(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "delete", 2)
	send(ctx, name, 2, 0, 20)
	done, err := adm.DeleteTopic(ctx, name)
	must(err, "delete")
	must(done.Err, "delete")
	eventually(ctx, func() bool {
		topics, err := adm.ListTopics(ctx)
		must(err, "list")
		return !topics.Has(name)
	})
	all, err := adm.DeleteTopics(ctx, name)
	must(err, "delete again")
	refused(kerr.UnknownTopicOrPartition, all[name].Err, "again")
}

func listTopics(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "list", 1)
	topics, err := adm.ListTopics(ctx)
	must(err, "list")
	check(topics.Has(name), "the topic is not listed")
}

func describeTopic(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "describe", 6)
	found, err := adm.Metadata(ctx, name)
	must(err, "metadata")
	is := found.Topics[name]
	must(is.Err, "topic")
	check(is.ID != kadm.TopicID{}, "no topic id")
	equal(6, len(is.Partitions), "partitions")
	for _, one := range is.Partitions.Sorted() {
		equal([]int32{one.Leader}, one.Replicas, "replicas")
		equal([]int32{one.Leader}, one.ISR, "in-sync replicas")
		check(one.LeaderEpoch >= 0, "no leader epoch")
	}
	// DescribeTopicPartitions (KIP-966) pages: three at a time.
	cl := client()
	defer cl.Close()
	request := kmsg.NewPtrDescribeTopicPartitionsRequest()
	request.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: name}}
	request.ResponsePartitionLimit = 3
	var numbers []int32
	for {
		response, err := request.RequestWith(ctx, cl)
		must(err, "describe topic partitions")
		for _, one := range response.Topics[0].Partitions {
			numbers = append(numbers, one.Partition)
		}
		if response.NextCursor == nil {
			break
		}
		cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
		cursor.Topic, cursor.Partition = response.NextCursor.Topic, response.NextCursor.Partition
		request.Cursor = &cursor
	}
	equal([]int32{0, 1, 2, 3, 4, 5}, numbers, "partitions by pages")
}

func describeCluster(ctx context.Context, adm *kadm.Client) {
	found, err := adm.BrokerMetadata(ctx)
	must(err, "metadata")
	check(len(found.Cluster) >= 16, "cluster id %q", found.Cluster)
	there := false
	for _, one := range found.Brokers {
		there = there || one.NodeID == found.Controller
	}
	check(there, "the controller is no node")
	cl := client()
	defer cl.Close()
	response, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(ctx, cl)
	must(err, "describe cluster")
	must(kerr.ErrorForCode(response.ErrorCode), "describe cluster")
	equal(found.Cluster, response.ClusterID, "cluster id")
	equal(len(found.Brokers), len(response.Brokers), "brokers")
}

func describeConfigs(ctx context.Context, adm *kadm.Client) {
	found := described(ctx, adm, topic(ctx, "configs", 1, "retention.ms", "86400000"))
	entry(found, "retention.ms", "86400000", kmsg.ConfigSourceDynamicTopicConfig)
	entry(found, "cleanup.policy", "delete", kmsg.ConfigSourceDefaultConfig)
	entry(found, "max.message.bytes", "1048588", kmsg.ConfigSourceDefaultConfig)
	check(len(found["retention.ms"].Synonyms) > 0, "no synonyms")
}

func describeBrokerConfigs(ctx context.Context, adm *kadm.Client) {
	meta, err := adm.BrokerMetadata(ctx)
	must(err, "metadata")
	response, err := adm.DescribeBrokerConfigs(ctx, meta.Brokers[0].NodeID)
	must(err, "describe")
	found := entries(response)
	entry(found, "num.partitions", "1", kmsg.ConfigSourceDefaultConfig)
	entry(found, "message.max.bytes", "1048588", kmsg.ConfigSourceDefaultConfig)
}

func pointer(text string) *string { return &text }

func alterConfigs(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "alter", 1, "retention.bytes", "1000000")
	alter := func(op kadm.IncrementalOp, key string, value *string) error {
		done, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: key, Value: value}}, name)
		must(err, "alter")
		return done[0].Err
	}
	await := func(value string) {
		eventually(ctx, func() bool {
			one := described(ctx, adm, name)["retention.ms"]
			return one.MaybeValue() == value
		})
	}
	must(alter(kadm.SetConfig, "retention.ms", pointer("55555")), "set")
	await("55555")
	entry(described(ctx, adm, name), "retention.bytes", "1000000", kmsg.ConfigSourceDynamicTopicConfig)
	must(alter(kadm.DeleteConfig, "retention.ms", nil), "delete")
	await("604800000")
	refused(kerr.InvalidConfig, alter(kadm.SetConfig, "retention.ms", pointer("never")), "value")
	refused(kerr.InvalidConfig, alter(kadm.SetConfig, "no.such.key", pointer("1")), "key")
}

func alterConfigsLegacy(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "legacy", 1, "retention.bytes", "1000000")
	change := []kadm.AlterConfig{{Name: "retention.ms", Value: pointer("55555")}}
	done, err := adm.AlterTopicConfigsState(ctx, change, name)
	must(err, "alter")
	must(done[0].Err, "alter")
	eventually(ctx, func() bool {
		one := described(ctx, adm, name)["retention.ms"]
		return one.MaybeValue() == "55555"
	})
	entry(described(ctx, adm, name), "retention.bytes", "-1", kmsg.ConfigSourceDefaultConfig)
}

func listConfigResources(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "resources", 1)
	found, err := adm.ListConfigResources(ctx)
	must(err, "list")
	must(found.Err, "list")
	there := false
	for _, one := range found.Resources {
		there = there || one.Name == name && one.Type == kmsg.ConfigResourceTypeTopic
	}
	check(there, "the topic is no config resource")
}

func describeLogDirs(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "dirs", 1)
	cl := client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	for range 5 {
		one := &kgo.Record{Topic: name, Value: make([]byte, 10_000)}
		must(cl.ProduceSync(ctx, one).FirstErr(), "produce")
	}
	var asked kadm.TopicsSet
	asked.Add(name, 0)
	found, err := adm.DescribeAllLogDirs(ctx, asked)
	must(err, "describe")
	var sizes []int64
	found.Each(func(dir kadm.DescribedLogDir) {
		must(dir.Err, "directory")
		check(dir.TotalBytes > 0, "no total bytes")
		if one, ok := dir.Topics.Lookup(name, 0); ok {
			sizes = append(sizes, one.Size)
		}
	})
	equal(1, len(sizes), "log directories of the partition")
	check(sizes[0] >= 50_000 && sizes[0] < 60_000, "size %d", sizes[0])
}

func describeProducers(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "producers", 1)
	send(ctx, name, 1, 0, 15)
	var asked kadm.TopicsSet
	asked.Add(name, 0)
	found, err := adm.DescribeProducers(ctx, asked)
	must(err, "describe")
	all := found.SortedProducers()
	equal(1, len(all), "producers")
	check(all[0].ProducerID >= 0, "no producer id")
	equal("0 14", fmt.Sprint(all[0].ProducerEpoch, all[0].LastSequence), "epoch, last sequence")
}

func deleteRecords(ctx context.Context, adm *kadm.Client) {
	name := topic(ctx, "delete-records", 1)
	send(ctx, name, 1, 0, 100)
	deleteBefore(ctx, adm, name, 60)
	starts, err := adm.ListStartOffsets(ctx, name)
	must(err, "list")
	equal(60, starts[name][0].Offset, "log start offset")
	equal(60, takeFrom(ctx, name, 10, 40)[0].Offset, "first offset that is left")
	wanted := make(kadm.Offsets)
	wanted.AddOffset(name, 0, 1000, -1)
	done, err := adm.DeleteRecords(ctx, wanted)
	must(err, "delete")
	refused(kerr.OffsetOutOfRange, done[name][0].Err, "beyond the end")
}

func takeFrom(ctx context.Context, name string, at int64, count int) []*kgo.Record {
	cl := client(from(name, 1, at), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	return take(ctx, cl, count)
}
