// Program go is franz-go as a judge of a broker: named cases, several at a time, one line each.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	bootstrap = environment("CLIENT_BOOTSTRAP", "127.0.0.1:9092")
	millrace  = environment("CLIENT_PEER", "millrace") == "millrace"
	printing  sync.Mutex
)

// A test is told its time by the context. It fails by panic: see check, must and equal.
type test struct {
	name    string
	seconds int
	run     func(ctx context.Context) string
}

var tests []test

// add registers a test that is done within a minute, or has failed.
func add(name string, run func(ctx context.Context)) {
	addRemark(name, 60, func(ctx context.Context) string { run(ctx); return "" })
}

func addRemark(name string, seconds int, run func(ctx context.Context) string) {
	for _, part := range strings.Split(environment("CLIENT_CASE", ""), ",") {
		if strings.Contains(name, part) {
			tests = append(tests, test{name, seconds, run})
			return
		}
	}
}

func main() {
	produceTests()
	consumeTests()
	groupTests()
	adminTests()
	say("CLIENT franz-go " + version("github.com/twmb/franz-go") + ", " + runtime.Version())
	for _, one := range tests {
		say("PLAN " + one.name)
	}
	jobs, err := strconv.Atoi(environment("CLIENT_JOBS", "6"))
	must(err, "CLIENT_JOBS")
	slots := make(chan struct{}, jobs)
	var all sync.WaitGroup
	for _, one := range tests {
		slots <- struct{}{}
		all.Add(1)
		go func() {
			defer func() { <-slots; all.Done() }()
			runOne(one)
		}()
	}
	all.Wait()
}

func runOne(one test) {
	start := time.Now()
	limit := time.Duration(one.seconds) * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	outcome := make(chan string, 1)
	go func() {
		defer func() {
			if failure := recover(); failure != nil {
				outcome <- fmt.Sprintf("fail %d %v", time.Since(start).Milliseconds(), failure)
			}
		}()
		remark := one.run(ctx)
		outcome <- fmt.Sprintf("ok %d %s", time.Since(start).Milliseconds(), remark)
	}()
	var text string
	select {
	case text = <-outcome:
	case <-time.After(limit + 2*time.Second):
		text = fmt.Sprintf("fail %d not done within %v", time.Since(start).Milliseconds(), limit)
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 1000 {
		text = text[:500] + " ... " + text[len(text)-450:]
	}
	say("CASE " + one.name + " " + text)
}

func say(line string) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(line)
}

func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, one := range info.Deps {
			if one.Path == module {
				return one.Version
			}
		}
	}
	return "?"
}

func environment(name, otherwise string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return otherwise
}

func unique(what string) string {
	random := make([]byte, 4)
	_, err := rand.Read(random)
	must(err, "random")
	return "go-" + what + "-" + hex.EncodeToString(random)
}

// Checks

func fail(format string, arguments ...any) {
	where := ""
	for depth := 1; depth < 8; depth++ {
		_, file, line, ok := runtime.Caller(depth)
		if ok && !strings.HasSuffix(file, "main.go") {
			where += fmt.Sprintf(" (%s:%d)", file[strings.LastIndex(file, "/")+1:], line)
			break
		}
	}
	panic(fmt.Sprintf(format, arguments...) + where)
}

func check(truth bool, format string, arguments ...any) {
	if !truth {
		fail(format, arguments...)
	}
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func equal(expected, got any, what string) {
	if e, g := fmt.Sprint(expected), fmt.Sprint(got); e != g {
		fail("%s: expected %s, got %s", what, e, g)
	}
}

func refused(expected, got error, what string) {
	if !errors.Is(got, expected) {
		fail("%s: expected %v, got %v", what, expected, got)
	}
}

// Asks again until it is so; the case's time limits it.
func eventually(ctx context.Context, truth func() bool) {
	for !truth() {
		must(ctx.Err(), "waiting")
		time.Sleep(20 * time.Millisecond)
	}
}

// Clients

func client(options ...kgo.Opt) *kgo.Client {
	all := append([]kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(50 * time.Millisecond),
	}, options...)
	made, err := kgo.NewClient(all...)
	must(err, "new client")
	return made
}

func admin() *kadm.Client {
	return kadm.NewClient(client())
}

func configs(pairs ...string) map[string]*string {
	made := make(map[string]*string)
	for at := 0; at < len(pairs); at += 2 {
		made[pairs[at]] = &pairs[at+1]
	}
	return made
}

// Creates a topic and waits until every partition has a leader that serves it.
func topic(ctx context.Context, what string, partitions int32, pairs ...string) string {
	adm := admin()
	defer adm.Close()
	name := unique(what)
	made, err := adm.CreateTopic(ctx, partitions, 1, configs(pairs...), name)
	must(err, "create "+name)
	must(made.Err, "create "+name)
	awaitTopic(ctx, adm, name, partitions)
	return name
}

func awaitTopic(ctx context.Context, adm *kadm.Client, name string, partitions int32) {
	eventually(ctx, func() bool {
		ends, err := adm.ListEndOffsets(ctx, name)
		return err == nil && ends.Error() == nil && len(ends[name]) == int(partitions)
	})
}

// Records "k-n" / "v-n", n counted from `from`, round the partitions.
func numbered(name string, partitions, from, count int) []*kgo.Record {
	var records []*kgo.Record
	for n := from; n < from+count; n++ {
		records = append(records, &kgo.Record{
			Topic:     name,
			Partition: int32(n % partitions),
			Key:       fmt.Appendf(nil, "k-%d", n),
			Value:     fmt.Appendf(nil, "v-%d", n),
		})
	}
	return records
}

func send(ctx context.Context, name string, partitions, from, count int, options ...kgo.Opt) {
	cl := client(options...)
	defer cl.Close()
	must(cl.ProduceSync(ctx, numbered(name, partitions, from, count)...).FirstErr(), "produce")
}

// Exactly count records.
func take(ctx context.Context, cl *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	for len(records) < count {
		fetches := cl.PollRecords(ctx, count-len(records))
		must(fetches.Err(), "fetch")
		records = append(records, fetches.Records()...)
	}
	return records
}

func from(name string, partitions int, at int64) kgo.Opt {
	all := make(map[int32]kgo.Offset)
	for one := range partitions {
		all[int32(one)] = kgo.NewOffset().At(at)
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: all})
}

func readAll(ctx context.Context, name string, partitions, count int) []*kgo.Record {
	cl := client(from(name, partitions, 0))
	defer cl.Close()
	records := take(ctx, cl, count)
	brief, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	equal(0, cl.PollFetches(brief).NumRecords(), "records too many")
	return records
}

// Checks records of `numbered`: offsets without gaps, n in order per partition.
func checkNumbered(records []*kgo.Record, partitions int) {
	next := make(map[int32]int64)
	for _, one := range records {
		equal(next[one.Partition], one.Offset, fmt.Sprint("offset in partition ", one.Partition))
		next[one.Partition]++
		n := one.Offset*int64(partitions) + int64(one.Partition)
		equal(fmt.Sprint("k-", n), string(one.Key), "key")
		equal(fmt.Sprint("v-", n), string(one.Value), "value")
	}
}

// The error of a request as Kafka's error code, to compare it.
var (
	errTooLarge     = kerr.MessageTooLarge
	errUnknownTopic = kerr.UnknownTopicOrPartition
)
