package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func produceTests() {
	add("produce_acks_0", func(ctx context.Context) {
		acks(ctx, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	})
	add("produce_acks_1", func(ctx context.Context) {
		acks(ctx, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	})
	add("produce_acks_all", func(ctx context.Context) { acks(ctx) })
	add("produce_idempotent", idempotent)
	add("produce_batches", batches)
	codecs := map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		add("codec_"+name, func(ctx context.Context) { compressed(ctx, name, codec) })
	}
	add("headers_and_null_values", headers)
	add("timestamps", timestamps)
	add("large_message", large)
	add("message_too_large_error", tooLarge)
	add("auto_create", autoCreate)
	add("unknown_topic_error", unknownTopic)
	addRemark("transaction_refused_fast", 60, transaction)
}

func acks(ctx context.Context, options ...kgo.Opt) {
	name := topic(ctx, "acks", 3)
	send(ctx, name, 3, 0, 300, options...)
	checkNumbered(readAll(ctx, name, 3, 300), 3)
}

func idempotent(ctx context.Context) {
	name := topic(ctx, "idempotent", 1)
	cl := client(kgo.ProducerBatchMaxBytes(1024), kgo.ProducerLinger(0))
	defer cl.Close()
	results := cl.ProduceSync(ctx, numbered(name, 1, 0, 1000)...)
	must(results.FirstErr(), "produce")
	for n, one := range results {
		equal(int64(n), one.Record.Offset, "acked offset")
		check(one.Record.ProducerID >= 0, "no producer id")
	}
	checkNumbered(readAll(ctx, name, 1, 1000), 1)
}

func batches(ctx context.Context) {
	name := topic(ctx, "batches", 4)
	send(ctx, name, 4, 0, 20000, kgo.ProducerLinger(10*time.Millisecond))
	checkNumbered(readAll(ctx, name, 4, 20000), 4)
}

func compressed(ctx context.Context, codecName string, codec kgo.CompressionCodec) {
	name := topic(ctx, codecName, 1)
	cl := client(kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(20*time.Millisecond))
	defer cl.Close()
	filler := strings.Repeat("abcdefgh", 40)
	var records []*kgo.Record
	for n := range 2000 {
		records = append(records, &kgo.Record{Topic: name, Value: fmt.Appendf(nil, "%d%s", n, filler)})
	}
	must(cl.ProduceSync(ctx, records...).FirstErr(), "produce")
	for n, one := range readAll(ctx, name, 1, 2000) {
		equal(fmt.Sprintf("%d%s", n, filler), string(one.Value), "value")
		check(one.Attrs.CompressionType() != 0, "the batch is not compressed")
	}
}

func headers(ctx context.Context) {
	name := topic(ctx, "headers", 1)
	cl := client()
	defer cl.Close()
	sent := []kgo.RecordHeader{
		{Key: "twice", Value: []byte("1")}, {Key: "twice", Value: []byte("2")},
		{Key: "null"}, {Key: "empty", Value: []byte{}}, {Key: "", Value: []byte("é")},
	}
	must(cl.ProduceSync(ctx,
		&kgo.Record{Topic: name, Value: []byte{}, Headers: sent},
		&kgo.Record{Topic: name, Key: []byte("key")}).FirstErr(), "produce")
	records := readAll(ctx, name, 1, 2)
	equal(len(sent), len(records[0].Headers), "number of headers")
	for at, one := range records[0].Headers {
		equal(sent[at].Key, one.Key, "header key")
		check(bytes.Equal(sent[at].Value, one.Value), "value of header %q", one.Key)
		equal(sent[at].Value == nil, one.Value == nil, "null value of header "+one.Key)
	}
	check(records[0].Key == nil && records[0].Value != nil, "null key, empty value")
	check(string(records[1].Key) == "key" && records[1].Value == nil, "key, null value")
}

func timestamps(ctx context.Context) {
	created := topic(ctx, "created", 1)
	appended := topic(ctx, "appended", 1, "message.timestamp.type", "LogAppendTime")
	early := time.UnixMilli(1_500_000_000_000)
	cl := client()
	defer cl.Close()
	before := time.Now().UnixMilli()
	must(cl.ProduceSync(ctx,
		&kgo.Record{Topic: created, Timestamp: early},
		&kgo.Record{Topic: appended, Timestamp: early}).FirstErr(), "produce")
	after := time.Now().UnixMilli()
	one := readAll(ctx, created, 1, 1)[0]
	equal(0, int(one.Attrs.TimestampType()), "type")
	equal(early.UnixMilli(), one.Timestamp.UnixMilli(), "CreateTime")
	one = readAll(ctx, appended, 1, 1)[0]
	equal(1, int(one.Attrs.TimestampType()), "type")
	stamp := one.Timestamp.UnixMilli()
	check(before <= stamp && stamp <= after, "%d not in %d..%d", stamp, before, after)
}

func large(ctx context.Context) {
	name := topic(ctx, "large", 1)
	body := make([]byte, 1_000_000)
	rand.New(rand.NewSource(3)).Read(body)
	cl := client(kgo.ProducerBatchMaxBytes(1_048_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	for range 5 {
		must(cl.ProduceSync(ctx, &kgo.Record{Topic: name, Value: body}).FirstErr(), "produce")
	}
	for _, one := range readAll(ctx, name, 1, 5) {
		check(bytes.Equal(body, one.Value), "content differs")
	}
}

func tooLarge(ctx context.Context) {
	name := topic(ctx, "too-large", 1, "max.message.bytes", "50000")
	cl := client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	err := cl.ProduceSync(ctx, &kgo.Record{Topic: name, Value: make([]byte, 60_000)}).FirstErr()
	refused(errTooLarge, err, "60,000 bytes")
	must(cl.ProduceSync(ctx, &kgo.Record{Topic: name, Value: make([]byte, 40_000)}).FirstErr(), "40,000")
	equal(40_000, len(readAll(ctx, name, 1, 1)[0].Value), "stored bytes")
}

func autoCreate(ctx context.Context) {
	name := unique("auto-create")
	send(ctx, name, 1, 0, 10, kgo.AllowAutoTopicCreation())
	checkNumbered(readAll(ctx, name, 1, 10), 1)
}

func unknownTopic(ctx context.Context) {
	name := unique("nowhere")
	cl := client(kgo.UnknownTopicRetries(1))
	defer cl.Close()
	err := cl.ProduceSync(ctx, &kgo.Record{Topic: name}).FirstErr()
	refused(errUnknownTopic, err, "produce")
	adm := admin()
	defer adm.Close()
	topics, err := adm.ListTopics(ctx)
	must(err, "list")
	check(!topics.Has(name), "asking has created the topic")
}

func transaction(ctx context.Context) string {
	cl := client(kgo.TransactionalID(unique("txn")))
	defer cl.Close()
	if millrace {
		// The producer id is asked for by the first transaction.
		err := cl.BeginTransaction()
		if err == nil {
			name := topic(ctx, "transaction", 1)
			err = cl.ProduceSync(ctx, &kgo.Record{Topic: name}).FirstErr()
		}
		check(err != nil, "a transactional record was produced")
		check(!errors.Is(err, kgo.ErrRecordTimeout) && ctx.Err() == nil, "it timed out: %v", err)
		check(!kerr.IsRetriable(err), "a retriable error: %v", err)
		return "refused: " + err.Error()
	}
	name := topic(ctx, "transaction", 1)
	must(cl.BeginTransaction(), "begin")
	must(cl.ProduceSync(ctx, &kgo.Record{Topic: name, Value: []byte("x")}).FirstErr(), "produce")
	must(cl.EndTransaction(ctx, kgo.TryCommit), "commit")
	reader := client(from(name, 1, 0), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer reader.Close()
	equal("x", string(take(ctx, reader, 1)[0].Value), "value")
	return "served: this broker has transactions"
}
