// Program go is franz-go in the demo: it makes the topics, produces, and reads everything at the
// end. The three share no state: each is a process of its own.
//
//	go topics  <bootstrap> <topic>=<partitions> ...
//	go produce <bootstrap> <ledger.tsv> <topic>=<codec>=<events.tsv> ...
//	go read    <bootstrap> <time ms> <group>,... <topic>,...
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var printing sync.Mutex

func main() {
	if len(os.Args) < 4 {
		fail("topics, produce or read: see the head of main.go")
	}
	bootstrap, arguments := os.Args[2], os.Args[3:]
	switch os.Args[1] {
	case "topics":
		topics(bootstrap, arguments)
	case "produce":
		say("CLIENT franz-go %s, %s", version("github.com/twmb/franz-go"), runtime.Version())
		produce(bootstrap, arguments[0], arguments[1:])
	case "read":
		read(bootstrap, arguments[0], arguments[1], arguments[2])
	default:
		fail("no command %q", os.Args[1])
	}
}

// client is one that never gives up on a broker that is away, and asks again soon.
func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.ClientID("demo-go"),
		kgo.DialTimeout(2 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.RequestRetries(10_000),
		kgo.RetryTimeout(2 * time.Minute),
		kgo.MetadataMinAge(50 * time.Millisecond),
	}, options...)...)
	must(err, "client")
	return cl
}

func say(format string, arguments ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Printf(format+"\n", arguments...)
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
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
