package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func consumeTests() {
	add("consume_from_beginning", func(ctx context.Context) {
		name := topic(ctx, "beginning", 4)
		send(ctx, name, 4, 0, 4000)
		checkNumbered(readAll(ctx, name, 4, 4000), 4)
	})
	add("consume_from_timestamp", fromTimestamp)
	add("list_offsets_earliest", func(ctx context.Context) {
		listOffsets(ctx, (*kadm.Client).ListStartOffsets, 30)
	})
	add("list_offsets_latest", func(ctx context.Context) {
		listOffsets(ctx, (*kadm.Client).ListEndOffsets, 100)
	})
	add("list_offsets_max_timestamp", func(ctx context.Context) {
		listOffsets(ctx, (*kadm.Client).ListMaxTimestampOffsets, 70)
	})
	add("seek", seek)
	add("long_poll", longPoll)
	add("fetch_many_partitions", manyPartitions)
	add("fetch_max_bytes", maxBytes)
	add("offset_out_of_range", outOfRange)
	add("read_committed", readCommitted)
	add("offset_for_leader_epoch", leaderEpoch)
}

const early, hour = 1_600_000_000_000, 3_600_000

// 100 records an hour apart, the largest time stamp at offset 70; starts at offset 30.
func hourly(ctx context.Context) string {
	name := topic(ctx, "hourly", 1, "retention.ms", "-1")
	cl := client(kgo.ProducerBatchMaxBytes(512))
	defer cl.Close()
	records := numbered(name, 1, 0, 100)
	for n, one := range records {
		if n == 70 {
			n = 1000
		}
		one.Timestamp = time.UnixMilli(early + hour*int64(n))
	}
	must(cl.ProduceSync(ctx, records...).FirstErr(), "produce")
	return name
}

func fromTimestamp(ctx context.Context) {
	name := hourly(ctx)
	adm := admin()
	defer adm.Close()
	for _, n := range []int64{0, 1, 42, 69} {
		found, err := adm.ListOffsetsAfterMilli(ctx, early+hour*n-1, name)
		must(err, "list")
		equal(n, found[name][0].Offset, "offset for a time")
		equal(early+hour*n, found[name][0].Timestamp, "its time")
	}
	at := map[int32]kgo.Offset{0: kgo.NewOffset().AfterMilli(early + hour*42)}
	cl := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: at}))
	defer cl.Close()
	equal("v-42", string(take(ctx, cl, 58)[0].Value), "first value")
}

type lister func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)

func listOffsets(ctx context.Context, list lister, expected int64) {
	name := hourly(ctx)
	adm := admin()
	defer adm.Close()
	deleteBefore(ctx, adm, name, 30)
	found, err := list(adm, ctx, name)
	must(err, "list")
	equal(expected, found[name][0].Offset, "offset")
}

func deleteBefore(ctx context.Context, adm *kadm.Client, name string, at int64) {
	wanted := make(kadm.Offsets)
	wanted.AddOffset(name, 0, at, -1)
	done, err := adm.DeleteRecords(ctx, wanted)
	must(err, "delete records")
	must(done.Error(), "delete records")
	equal(at, done[name][0].LowWatermark, "low watermark")
}

func seek(ctx context.Context) {
	name := topic(ctx, "seek", 1)
	send(ctx, name, 1, 0, 500)
	cl := client(from(name, 1, 0))
	defer cl.Close()
	take(ctx, cl, 1)
	for _, at := range []int64{250, 499, 1, 0, 333} {
		cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{name: {0: {Epoch: -1, Offset: at}}})
		one := take(ctx, cl, 1)[0]
		equal(at, one.Offset, "first offset after the seek")
		equal(fmt.Sprint("v-", at), string(one.Value), "its value")
	}
}

// The fetch would wait 120 s by itself, twice the time of this case.
func longPoll(ctx context.Context) {
	name := topic(ctx, "long-poll", 1)
	cl := client(from(name, 1, 0), kgo.FetchMaxWait(120*time.Second))
	defer cl.Close()
	for n := range 5 {
		brief, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		equal(0, cl.PollFetches(brief).NumRecords(), "records too early")
		cancel()
		send(ctx, name, 1, n, 1)
		equal(fmt.Sprint("v-", n), string(take(ctx, cl, 1)[0].Value), "value")
	}
}

func manyPartitions(ctx context.Context) {
	const partitions = 100
	name := topic(ctx, "many", partitions)
	cl := client(from(name, partitions, 0))
	defer cl.Close()
	var records []*kgo.Record
	for round := range 5 {
		send(ctx, name, partitions, round*partitions, partitions)
		records = append(records, take(ctx, cl, partitions)...)
		paused := map[string][]int32{name: {int32(round)}}
		cl.PauseFetchPartitions(paused)
		cl.ResumeFetchPartitions(paused)
	}
	checkNumbered(records, partitions)
}

func maxBytes(ctx context.Context) {
	name := topic(ctx, "max-bytes", 1)
	writer := client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer writer.Close()
	for n := range 20 {
		one := &kgo.Record{Topic: name, Value: make([]byte, 50_000+n)}
		must(writer.ProduceSync(ctx, one).FirstErr(), "produce")
	}
	cl := client(from(name, 1, 0), kgo.FetchMaxBytes(1024), kgo.FetchMaxPartitionBytes(1024))
	defer cl.Close()
	for n, one := range take(ctx, cl, 20) {
		equal(50_000+n, len(one.Value), "length")
	}
}

func outOfRange(ctx context.Context) {
	name := topic(ctx, "range", 1)
	send(ctx, name, 1, 0, 10)
	cl := client(from(name, 1, 1000), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	checkNumbered(take(ctx, cl, 10), 1)
}

func readCommitted(ctx context.Context) {
	name := topic(ctx, "committed", 2)
	send(ctx, name, 2, 0, 200)
	cl := client(from(name, 2, 0), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer cl.Close()
	checkNumbered(take(ctx, cl, 200), 2)
	adm := admin()
	defer adm.Close()
	stable, err := adm.ListCommittedOffsets(ctx, name)
	must(err, "list")
	equal(100, stable[name][1].Offset, "last stable offset")
}

func leaderEpoch(ctx context.Context) {
	name := topic(ctx, "epoch", 1)
	send(ctx, name, 1, 0, 10)
	epoch := readAll(ctx, name, 1, 10)[9].LeaderEpoch
	check(epoch >= 0, "records carry no leader epoch")
	adm := admin()
	defer adm.Close()
	var asked kadm.OffsetForLeaderEpochRequest
	asked.Add(name, 0, epoch)
	found, err := adm.OffsetForLeaderEpoch(ctx, asked)
	must(err, "ask")
	one := found[name][0]
	must(one.Err, "answer")
	equal(epoch, one.LeaderEpoch, "epoch")
	equal(10, one.EndOffset, "end offset")
	// A start with an epoch makes the client validate it before it fetches.
	at := map[int32]kgo.Offset{0: kgo.NewOffset().At(5).WithEpoch(epoch)}
	cl := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: at}))
	defer cl.Close()
	equal(5, take(ctx, cl, 5)[0].Offset, "first offset")
}
