package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// read prints what the broker holds, for the comparison with what went in:
//
//	COMMITTED <group> <topic> <partition> <offset>
//	TIME <topic> <partition> <first offset at or after the time, or the end>
//	END <topic> <partition> <start offset> <end offset>
//	R <topic> <partition> <offset> <time stamp> <key> <seq> <sum> <value>
//
// with tabs between, the records of a partition in the order of their arrival, from its beginning
// to the end offset that was told first.
func read(bootstrap, timeMs, groups, topicList string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	names := strings.Split(topicList, ",")
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	left := make(map[string]map[int32]int64)
	cl := client(bootstrap,
		kgo.ConsumeTopics(names...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(8<<20),
	)
	defer cl.Close()
	adm := kadm.NewClient(cl)

	if groups != "" {
		for _, group := range strings.Split(groups, ",") {
			committed, err := adm.FetchOffsets(ctx, group)
			must(err, "offsets of "+group)
			must(committed.Error(), "offsets of "+group)
			committed.Each(func(o kadm.OffsetResponse) {
				fmt.Fprintf(out, "COMMITTED\t%s\t%s\t%d\t%d\n", group, o.Topic, o.Partition, o.At)
			})
		}
	}
	ms, err := strconv.ParseInt(timeMs, 10, 64)
	must(err, "time")
	found, err := adm.ListOffsetsAfterMilli(ctx, ms, names...)
	must(err, "offsets by time")
	must(found.Error(), "offsets by time")
	found.Each(func(o kadm.ListedOffset) {
		fmt.Fprintf(out, "TIME\t%s\t%d\t%d\n", o.Topic, o.Partition, o.Offset)
	})
	starts, err := adm.ListStartOffsets(ctx, names...)
	must(err, "start offsets")
	ends, err := adm.ListEndOffsets(ctx, names...)
	must(err, "end offsets")
	must(ends.Error(), "end offsets")
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(o.Topic, o.Partition)
		must(start.Err, "start offset")
		fmt.Fprintf(out, "END\t%s\t%d\t%d\t%d\n", o.Topic, o.Partition, start.Offset, o.Offset)
		if start.Offset < o.Offset {
			if left[o.Topic] == nil {
				left[o.Topic] = make(map[int32]int64)
			}
			left[o.Topic][o.Partition] = o.Offset
		}
	})

	open := 0
	for _, partitions := range left {
		open += len(partitions)
	}
	for open > 0 {
		fetches := cl.PollFetches(ctx)
		must(ctx.Err(), "read")
		fetches.EachError(func(topic string, partition int32, err error) {
			fail("fetch %s-%d: %v", topic, partition, err)
		})
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			end, wanted := left[p.Topic][p.Partition]
			for _, r := range p.Records {
				if !wanted {
					break
				}
				fmt.Fprintf(out, "R\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", r.Topic, r.Partition, r.Offset,
					r.Timestamp.UnixMilli(), r.Key, header(r, "seq"), header(r, "sum"), r.Value)
				if r.Offset+1 >= end {
					delete(left[p.Topic], p.Partition)
					open--
					wanted = false
				}
			}
		})
	}
	must(out.Flush(), "output")
}

func header(r *kgo.Record, name string) []byte {
	for _, one := range r.Headers {
		if one.Key == name {
			return one.Value
		}
	}
	return nil
}
