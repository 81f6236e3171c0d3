#!/usr/bin/env bash
# kafka-go's Conn.WriteCompressedMessages writes the LAST message's time into the header of a v2
# record batch as its max timestamp, and not the largest of the messages' times.
#
# Package   github.com/segmentio/kafka-go v0.4.51 (Go module proxy); needs `go`
# Expected  the field is named maxTimestamp: Kafka's producer writes the largest time there, and
#           Kafka's leader mends what it finds wrong (LogValidator, DefaultRecordBatch.setMaxTimestamp)
# Seen      2026-12: two messages, 2,000 s and 1,000 s after 1970, in that order, gzip:
#             baseTimestamp 2000000, maxTimestamp 1000000, records 2000000 and 1000000
# Means     whoever reads batches of clients must look into the records before retention, the time
#           index or a look-up by time may go by the header
#
# A server of 60 lines on a pipe takes the request; no broker is needed. Exits 0 while the
# behaviour is as told, 1 when it has changed, 2 when it could not be seen.
set -euo pipefail

VERSION=v0.4.51
command -v go >/dev/null || { echo "needs go"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > go.mod <<'MOD'
module finding

go 1.23
MOD

cat > main.go <<'GO'
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

const topic = "t"

func main() {
	client, server := net.Pipe()
	batches := make(chan []byte, 1)
	go serve(server, batches)

	conn := kafka.NewConn(client, topic, 0)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	newer, older := time.Unix(2000, 0), time.Unix(1000, 0)
	_, err := conn.WriteCompressedMessages(compress.Gzip.Codec(),
		kafka.Message{Time: newer, Value: []byte("newer")},
		kafka.Message{Time: older, Value: []byte("older")})
	cannot(err)

	batch := <-batches
	field := func(at int) int64 { return int64(binary.BigEndian.Uint64(batch[at:])) }
	base, max := field(27), field(35)
	records := times(batch, base)
	fmt.Printf("magic %d, codec %d, baseTimestamp %d, maxTimestamp %d, records %v\n",
		batch[16], batch[22]&7, base, max, records)
	if len(records) != 2 || records[0] != newer.UnixMilli() || records[1] != older.UnixMilli() {
		fmt.Println("the records' times are not those that were given")
		os.Exit(2)
	}
	switch max {
	case older.UnixMilli():
		fmt.Println("as told: maxTimestamp is the last message's time")
	case newer.UnixMilli():
		fmt.Println("changed: maxTimestamp is the largest time")
		os.Exit(1)
	default:
		fmt.Println("changed: maxTimestamp is something else")
		os.Exit(1)
	}
}

// serve answers ApiVersions v0 with Produce up to v7, and one Produce v7 with success.
func serve(conn net.Conn, batches chan<- []byte) {
	for {
		var size int32
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		in := &reader{frame}
		key, version, correlation := in.i16(), in.i16(), in.i32()
		in.text() // client id
		var out bytes.Buffer
		put := func(values ...any) {
			for _, value := range values {
				binary.Write(&out, binary.BigEndian, value)
			}
		}
		put(correlation)
		switch {
		case key == 18 && version == 0:
			put(int16(0), int32(1), int16(0), int16(0), int16(7))
		case key == 0 && version == 7:
			in.text() // transactional id
			in.take(2 + 4 + 4)
			in.text() // topic
			in.take(4 + 4)
			batches <- append([]byte(nil), in.take(int(in.i32()))...)
			put(int32(1), int16(len(topic)))
			out.WriteString(topic)
			put(int32(1), int32(0), int16(0), int64(0), int64(-1), int64(0), int32(0))
		default:
			fmt.Printf("an unexpected request: key %d version %d\n", key, version)
			os.Exit(2)
		}
		binary.Write(conn, binary.BigEndian, int32(out.Len()))
		conn.Write(out.Bytes())
	}
}

// times reads the records' times: length, attributes, timestamp delta, and the rest of each.
func times(batch []byte, base int64) (found []int64) {
	plain, err := gzip.NewReader(bytes.NewReader(batch[61:]))
	cannot(err)
	records, err := io.ReadAll(plain)
	cannot(err)
	for len(records) > 0 {
		length, n := binary.Varint(records)
		body := records[n : n+int(length)]
		delta, _ := binary.Varint(body[1:])
		found = append(found, base+delta)
		records = records[n+int(length):]
	}
	return found
}

type reader struct{ rest []byte }

func (r *reader) take(n int) []byte {
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}
func (r *reader) i16() int16 { return int16(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) i32() int32 { return int32(binary.BigEndian.Uint32(r.take(4))) }
func (r *reader) text() {
	if n := r.i16(); n > 0 {
		r.take(int(n))
	}
}

func cannot(err error) {
	if err != nil {
		fmt.Println("could not be seen:", err)
		os.Exit(2)
	}
}
GO

go get "github.com/segmentio/kafka-go@$VERSION" >go.log 2>&1 || { cat go.log; exit 2; }
go build -o finding . || exit 2
echo "github.com/segmentio/kafka-go $VERSION"
./finding
