package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// A producer sends one file of events to one topic. franz-go's producers are idempotent with
// acks=all unless told otherwise, and try until an event is acknowledged.
type producer struct {
	topic  string
	codec  kgo.CompressionCodec
	events []string
}

// A gate lets producers go up to a share of their events.
type gate struct {
	lock sync.Mutex
	upto float64
	rise *sync.Cond
}

// produce sends several files side by side. It writes a ledger line (topic, key, sequence number,
// partition, offset) for each acknowledged event and nothing else, reads `UPTO <share>` on its
// input and sends no more than that, and says `ACKED <events>` now and then.
func produce(bootstrap, ledgerPath string, specs []string) {
	file, err := os.Create(ledgerPath)
	must(err, "ledger")
	ledger := bufio.NewWriterSize(file, 1<<20)
	var ledgerLock sync.Mutex
	var acked atomic.Int64

	g := &gate{}
	g.rise = sync.NewCond(&g.lock)
	go g.listen()

	var all sync.WaitGroup
	for _, spec := range specs {
		parts := strings.SplitN(spec, "=", 3)
		text, err := os.ReadFile(parts[2])
		must(err, "events")
		one := producer{parts[0], codecs[parts[1]], strings.Split(strings.TrimSpace(string(text)), "\n")}
		all.Add(1)
		go func() {
			defer all.Done()
			one.run(bootstrap, g, func(r *kgo.Record, seq string) {
				ledgerLock.Lock()
				defer ledgerLock.Unlock()
				_, err := fmt.Fprintf(ledger, "%s\t%s\t%s\t%d\t%d\n", r.Topic, r.Key, seq, r.Partition, r.Offset)
				must(err, "ledger")
				acked.Add(1)
			})
		}()
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				say("ACKED %d", acked.Load())
			}
		}
	}()
	all.Wait()
	close(stop)
	must(ledger.Flush(), "ledger")
	must(file.Close(), "ledger")
	say("ACKED %d", acked.Load())
}

func (p producer) run(bootstrap string, g *gate, onAck func(*kgo.Record, string)) {
	cl := client(bootstrap,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(p.codec),
		kgo.ProducerLinger(10*time.Millisecond),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.UnknownTopicRetries(-1),
		// A broker that has lost acknowledged records is a failure, not a thing to hide.
		kgo.StopProducerOnDataLossDetected(),
		kgo.MaxBufferedRecords(100_000),
	)
	defer cl.Close()
	ctx := context.Background()
	for n, line := range p.events {
		g.wait(float64(n+1) / float64(len(p.events)))
		field := strings.SplitN(line, "\t", 5)
		stamp, err := strconv.ParseInt(field[2], 10, 64)
		must(err, "time stamp")
		seq := field[1]
		cl.Produce(ctx, &kgo.Record{
			Topic:     p.topic,
			Key:       []byte(field[0]),
			Value:     []byte(field[4]),
			Timestamp: time.UnixMilli(stamp),
			Headers:   []kgo.RecordHeader{{Key: "seq", Value: []byte(seq)}, {Key: "sum", Value: []byte(field[3])}},
		}, func(r *kgo.Record, err error) {
			must(err, "produce "+p.topic)
			onAck(r, seq)
		})
	}
	must(cl.Flush(ctx), "flush")
}

func (g *gate) listen() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		_, share, _ := strings.Cut(lines.Text(), " ")
		upto, err := strconv.ParseFloat(share, 64)
		must(err, lines.Text())
		g.lock.Lock()
		g.upto = upto
		g.lock.Unlock()
		g.rise.Broadcast()
	}
}

func (g *gate) wait(share float64) {
	g.lock.Lock()
	defer g.lock.Unlock()
	for g.upto < share {
		g.rise.Wait()
	}
}
