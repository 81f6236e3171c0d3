package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func groupTests() {
	addRemark("group_rebalance", 90, func(ctx context.Context) string {
		twoMembers(ctx, kgo.Balancers(kgo.RangeBalancer()))
		return ""
	})
	addRemark("group_cooperative", 90, func(ctx context.Context) string {
		taken, given := twoMembers(ctx, kgo.Balancers(kgo.CooperativeStickyBalancer()))
		equal(given, taken, "taken from the first member, given to the second")
		return ""
	})
	addRemark("group_static_member", 90, func(ctx context.Context) string {
		staticMember(ctx)
		return ""
	})
	add("group_subscribe", subscribe)
	add("group_regex", regex)
	add("commit_and_resume", resume)
	add("commit_metadata_roundtrip", commitMetadata)
	add("list_groups", listGroups)
	add("describe_group", describeGroup)
	add("alter_group_offsets", alterOffsets)
	add("offset_delete", offsetDelete)
	add("delete_group", deleteGroup)
}

// What the members of a group have read together.
type seen struct {
	sync.Mutex
	values map[string]bool
}

func (s *seen) count() int {
	s.Lock()
	defer s.Unlock()
	return len(s.values)
}

// A member of a group that polls by itself until it is closed.
type member struct {
	sync.Mutex
	client     *kgo.Client
	held       map[string]bool
	taken      map[string]bool
	rebalances int
	done       chan struct{}
}

func join(group string, all *seen, options ...kgo.Opt) *member {
	one := &member{held: map[string]bool{}, taken: map[string]bool{}, done: make(chan struct{})}
	change := func(parts map[string][]int32, gained bool) {
		one.Lock()
		defer one.Unlock()
		for name, numbers := range parts {
			for _, number := range numbers {
				part := fmt.Sprintf("%s/%d", name, number)
				if gained {
					one.held[part] = true
				} else {
					delete(one.held, part)
					one.taken[part] = true
				}
			}
		}
		if gained {
			one.rebalances++
		}
	}
	all.Lock()
	if all.values == nil {
		all.values = map[string]bool{}
	}
	all.Unlock()
	base := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitInterval(200 * time.Millisecond),
		kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			change(parts, true)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			change(parts, false)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			change(parts, false)
		}),
	}
	one.client = client(append(base, options...)...)
	go func() {
		defer close(one.done)
		for {
			fetches := one.client.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			all.Lock()
			fetches.EachRecord(func(record *kgo.Record) { all.values[string(record.Value)] = true })
			all.Unlock()
		}
	}()
	return one
}

func (m *member) holds() map[string]bool {
	m.Lock()
	defer m.Unlock()
	copied := map[string]bool{}
	for part := range m.held {
		copied[part] = true
	}
	return copied
}

func (m *member) close() {
	m.client.Close()
	<-m.done
}

func parts(name string, count int) map[string]bool {
	all := map[string]bool{}
	for one := range count {
		all[fmt.Sprintf("%s/%d", name, one)] = true
	}
	return all
}

func union(one, two map[string]bool) map[string]bool {
	for part := range two {
		one[part] = true
	}
	return one
}

func twoMembers(ctx context.Context, options ...kgo.Opt) (taken, given map[string]bool) {
	name, group, all := topic(ctx, "rebalance", 4), unique("rebalance"), &seen{}
	options = append(options, kgo.ConsumeTopics(name))
	one := join(group, all, options...)
	send(ctx, name, 4, 0, 100)
	eventually(ctx, func() bool { return len(one.holds()) == 4 && all.count() == 100 })
	two := join(group, all, options...)
	eventually(ctx, func() bool { return len(one.holds()) == 2 && len(two.holds()) == 2 })
	equal(parts(name, 4), union(one.holds(), two.holds()), "held by both")
	send(ctx, name, 4, 100, 100)
	eventually(ctx, func() bool { return all.count() == 200 })
	one.Lock()
	taken = union(map[string]bool{}, one.taken)
	one.Unlock()
	given = two.holds()
	two.close()
	send(ctx, name, 4, 200, 100)
	eventually(ctx, func() bool { return len(one.holds()) == 4 && all.count() == 300 })
	one.close()
	return taken, given
}

func staticMember(ctx context.Context) {
	name, group, all := topic(ctx, "static", 4), unique("static"), &seen{}
	// The session is longer than this case: only the instance id can help.
	options := []kgo.Opt{
		kgo.ConsumeTopics(name), kgo.SessionTimeout(2 * time.Minute), kgo.Balancers(kgo.RangeBalancer()),
	}
	one := join(group, all, append(options, kgo.InstanceID("one"))...)
	eventually(ctx, func() bool { return len(one.holds()) == 4 })
	start := func() *member {
		two := join(group, all, append(options, kgo.InstanceID("two"))...)
		eventually(ctx, func() bool { return len(one.holds()) == 2 && len(two.holds()) == 2 })
		return two
	}
	two := start()
	before, rebalances := two.holds(), one.rebalances
	two.close()
	two = start()
	equal(before, two.holds(), "partitions after the restart")
	send(ctx, name, 4, 0, 100)
	eventually(ctx, func() bool { return all.count() == 100 })
	equal(rebalances, one.rebalances, "rebalances seen by the other member")
	adm := admin()
	defer adm.Close()
	found, err := adm.DescribeGroups(ctx, group)
	must(err, "describe")
	instances := map[string]bool{}
	for _, one := range found[group].Members {
		check(one.InstanceID != nil, "a member without instance id")
		instances[*one.InstanceID] = true
	}
	equal(map[string]bool{"one": true, "two": true}, instances, "instance ids")
	one.close()
	two.close()
}

func subscribe(ctx context.Context) {
	name, all := topic(ctx, "subscribe", 3), &seen{}
	send(ctx, name, 3, 0, 300)
	one := join(unique("subscribe"), all, kgo.ConsumeTopics(name), kgo.Balancers(kgo.RangeBalancer()))
	eventually(ctx, func() bool { return all.count() == 300 })
	equal(parts(name, 3), one.holds(), "assignment")
	one.close()
}

func regex(ctx context.Context) {
	group, all := unique("regex"), &seen{}
	first := topic(ctx, group+"-a", 1)
	one := join(group, all, kgo.ConsumeRegex(), kgo.ConsumeTopics("^go-"+group+".*"),
		kgo.MetadataMaxAge(300*time.Millisecond))
	send(ctx, first, 1, 0, 10)
	eventually(ctx, func() bool { return all.count() == 10 })
	second := topic(ctx, group+"-b", 1)
	send(ctx, second, 1, 10, 10)
	eventually(ctx, func() bool { return all.count() == 20 })
	equal(union(parts(first, 1), parts(second, 1)), one.holds(), "assignment")
	one.close()
}

// A group of one past member, with offset `at` committed of the 100 records of the topic.
func pastGroup(ctx context.Context, name string, at int64) string {
	group := unique("past")
	send(ctx, name, 1, 0, 100)
	cl := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(name), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	take(ctx, cl, 100)
	var failure error
	cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{name: {0: {Epoch: -1, Offset: at}}},
		func(_ *kgo.Client, _ *kmsgCommitRequest, response *kmsgCommitResponse, err error) {
			failure = err
			if err == nil {
				failure = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
			}
		})
	must(failure, "commit")
	return group
}

func resume(ctx context.Context) {
	name := topic(ctx, "resume", 1)
	group := pastGroup(ctx, name, 40)
	cl := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(name), kgo.DisableAutoCommit())
	defer cl.Close()
	equal(40, take(ctx, cl, 60)[0].Offset, "first offset")
	must(cl.CommitUncommittedOffsets(ctx), "commit")
	equal(100, committed(ctx, group, name).At, "committed")
}

func committed(ctx context.Context, group, name string) kadm.OffsetResponse {
	adm := admin()
	defer adm.Close()
	found, err := adm.FetchOffsets(ctx, group)
	must(err, "fetch offsets")
	one, ok := found.Lookup(name, 0)
	check(ok, "nothing is committed")
	must(one.Err, "fetch offset")
	return one
}

func commitMetadata(ctx context.Context) {
	name, group := topic(ctx, "metadata", 1), unique("metadata")
	adm := admin()
	defer adm.Close()
	wanted := make(kadm.Offsets)
	wanted.Add(kadm.Offset{Topic: name, At: 7, LeaderEpoch: -1, Metadata: "where – é"})
	must(adm.CommitAllOffsets(ctx, group, wanted), "commit")
	got := committed(ctx, group, name)
	equal(7, got.At, "offset")
	equal("where – é", got.Metadata, "metadata")
}

func listGroups(ctx context.Context) {
	group := pastGroup(ctx, topic(ctx, "list", 1), 5)
	adm := admin()
	defer adm.Close()
	found, err := adm.ListGroups(ctx)
	must(err, "list")
	equal("Empty", found[group].State, "state")
	equal("consumer", found[group].ProtocolType, "protocol type")
	found, err = adm.ListGroups(ctx, "Stable")
	must(err, "list stable")
	_, there := found[group]
	check(!there, "an empty group is listed among the stable ones")
}

func describeGroup(ctx context.Context) {
	name, group := topic(ctx, "describe", 2), unique("describe")
	one := join(group, &seen{}, kgo.ConsumeTopics(name), kgo.ClientID("the-client"))
	eventually(ctx, func() bool { return len(one.holds()) == 2 })
	adm := admin()
	defer adm.Close()
	found, err := adm.DescribeGroups(ctx, group)
	must(err, "describe")
	is := found[group]
	must(is.Err, "group")
	equal("Stable", is.State, "state")
	equal(1, len(is.Members), "members")
	equal("the-client", is.Members[0].ClientID, "client id")
	equal(2, len(is.AssignedPartitions()[name]), "assigned partitions")
	one.close()
}

func alterOffsets(ctx context.Context) {
	name := topic(ctx, "alter", 1)
	group := pastGroup(ctx, name, 5)
	adm := admin()
	defer adm.Close()
	wanted := make(kadm.Offsets)
	wanted.AddOffset(name, 0, 8, -1)
	must(adm.CommitAllOffsets(ctx, group, wanted), "commit")
	cl := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(name), kgo.DisableAutoCommit())
	defer cl.Close()
	equal(8, take(ctx, cl, 92)[0].Offset, "first offset")
}

func offsetDelete(ctx context.Context) {
	name := topic(ctx, "offset-delete", 1)
	group := pastGroup(ctx, name, 5)
	equal(5, committed(ctx, group, name).At, "before")
	adm := admin()
	defer adm.Close()
	var wanted kadm.TopicsSet
	wanted.Add(name, 0)
	done, err := adm.DeleteOffsets(ctx, group, wanted)
	must(err, "delete")
	must(done.Error(), "delete")
	found, err := adm.FetchOffsets(ctx, group)
	must(err, "fetch offsets")
	_, there := found.Lookup(name, 0)
	check(!there, "the offset is still there")
}

func deleteGroup(ctx context.Context) {
	name, group := topic(ctx, "delete", 1), unique("delete")
	adm := admin()
	defer adm.Close()
	one := join(group, &seen{}, kgo.ConsumeTopics(name))
	eventually(ctx, func() bool { return len(one.holds()) == 1 })
	done, err := adm.DeleteGroup(ctx, group)
	if err == nil {
		err = done.Err
	}
	refused(kerr.NonEmptyGroup, err, "of a living group")
	one.close()
	done, err = adm.DeleteGroup(ctx, group)
	must(err, "delete")
	must(done.Err, "delete")
	found, err := adm.ListGroups(ctx)
	must(err, "list")
	_, there := found[group]
	check(!there, "the group is still listed")
	done, err = adm.DeleteGroup(ctx, group)
	if err == nil {
		err = done.Err
	}
	refused(kerr.GroupIDNotFound, err, "of an absent group")
}
