package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// topics creates topics that keep what they get: the events are years old, and the default
// retention would be right to delete them.
func topics(bootstrap string, specs []string) {
	cl := client(bootstrap)
	defer cl.Close()
	forever := "-1"
	configs := map[string]*string{"retention.ms": &forever}
	for _, spec := range specs {
		name, count, _ := strings.Cut(spec, "=")
		partitions, err := strconv.ParseInt(count, 10, 32)
		must(err, spec)
		answers, err := kadm.NewClient(cl).CreateTopics(context.Background(), int32(partitions), 1, configs, name)
		must(err, "create topics")
		must(answers.Error(), "create "+name)
	}
}
