//! Produce requests, whole and made before the run.
//!
//! Sending one costs no encoding: the correlation id is patched, and where records are stamped or
//! the producer is idempotent, those fields and the batch's CRC. With a codec stamps lie inside the
//! compressed bytes, so that frame is made anew at each send; the client's CPU then shows it.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use record::header::refresh_crc;
use record::{
    BatchBuilder, BatchView, Compression, ProducerEpoch, ProducerId, Records, Timestamp, TopicId,
};
use wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use super::payload::{Payload, key};
use super::{Produce, Workload, number};
use crate::clock::Nanos;
use crate::rng::Rng;
use crate::stamp::{self, STAMP_SIZE, Stamp};

/// Frames of all connections together may take so much.
const FRAMES_BYTES_MAX: usize = 2 << 30;
/// Different frames of the same shape, so that one payload is not all there is, within these
/// bounds.
const VARIANTS_MAX: usize = 4;
const VARIANTS_BYTES: usize = 4 << 20;

const CORRELATION_AT: usize = 8;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;

/// What makes the frames of one connection.
#[derive(Debug, Clone)]
pub struct Shape {
    pub topic: String,
    pub topic_id: TopicId,
    /// Version of Produce.
    pub version: i16,
    pub client_id: String,
    /// Of the run; in stamps.
    pub run: u32,
    /// For the producer's timeout field.
    pub timeout_ms: i32,
    /// `ProducerId::NONE`: not idempotent.
    pub producer: (ProducerId, ProducerEpoch),
}

/// A partition as one connection writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    pub partition: i32,
    /// Dense over the run.
    pub id: u32,
}

/// One request, ready to be sent but for what changes from send to send.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    /// Where a NATS message has its number; `None`: it is a Kafka request.
    number_at: Option<usize>,
    batches: Vec<Batch>,
    pub records: u64,
    /// Of keys and values.
    pub payload_bytes: u64,
    rebuild: Option<Box<Rebuild>>,
}

#[derive(Debug)]
struct Batch {
    /// Index of the stream within its connection.
    stream: usize,
    at: usize,
    len: usize,
    records: u32,
    /// Where values begin, from the start of the frame; empty without stamps.
    values: Vec<usize>,
}

/// What a frame of compressed, stamped records is made from.
#[derive(Debug)]
struct Rebuild {
    shape: Shape,
    acks: i16,
    codec: (Compression, Option<i32>),
    /// By batch: partition, and its records as key and value.
    batches: Vec<(i32, Vec<RecordParts>)>,
}

type RecordParts = (Option<Vec<u8>>, Vec<u8>);

/// What is patched into a frame, beyond the correlation id.
#[derive(Debug, Default)]
pub struct Sequences {
    /// By stream of the connection: records sent so far.
    pub next: Vec<u64>,
}

impl Frame {
    /// A message for NATS whose number has its digits at `number_at`.
    #[must_use]
    pub fn of_nats(bytes: Vec<u8>, number_at: usize, payload_bytes: u64, records: usize) -> Self {
        Self {
            bytes,
            number_at: Some(number_at),
            batches: Vec::new(),
            records: records as u64,
            payload_bytes,
            rebuild: None,
        }
    }

    /// The bytes that do not change.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True if the frame must be patched beyond its correlation id.
    #[must_use]
    pub const fn is_rebuilt(&self) -> bool {
        self.rebuild.is_some()
    }

    /// Makes the frame that is sent now out of `out`, which holds its bytes: correlation id, and
    /// what `stamped` and `idempotent` ask for. Moves the sequences on.
    pub fn prepare(
        &self,
        out: &mut [u8],
        correlation_id: i32,
        intended: Nanos,
        sequences: &mut Sequences,
        (stamped, idempotent): (bool, bool),
    ) {
        match self.number_at {
            None => patch_correlation(out, correlation_id),
            Some(at) => number::write(out, at, correlation_id),
        }
        for batch in &self.batches {
            let first = sequences.next[batch.stream];
            sequences.next[batch.stream] += u64::from(batch.records);
            if stamped {
                for (n, &at) in (first..).zip(&batch.values) {
                    stamp::rewrite(&mut out[at..], n, intended);
                }
            }
            let bytes = &mut out[batch.at..batch.at + batch.len];
            if idempotent {
                bytes[BASE_SEQUENCE_AT..BASE_SEQUENCE_AT + 4]
                    .copy_from_slice(&base_sequence(first).to_be_bytes());
            }
            if stamped || idempotent {
                refresh_crc(bytes);
            }
        }
    }

    /// As [`prepare`](Self::prepare), on the frame's own bytes.
    pub fn prepare_in_place(
        &mut self,
        correlation_id: i32,
        intended: Nanos,
        sequences: &mut Sequences,
        patches: (bool, bool),
    ) {
        let mut bytes = std::mem::take(&mut self.bytes);
        self.prepare(&mut bytes, correlation_id, intended, sequences, patches);
        self.bytes = bytes;
    }

    /// The stream of the frame's first batch, as an index within the connection.
    #[must_use]
    pub fn first_stream(&self) -> Option<usize> {
        self.batches.first().map(|b| b.stream)
    }

    /// By batch: index of its stream within the connection, and how many records.
    pub fn streams(&self) -> impl Iterator<Item = (usize, u64)> {
        self.batches.iter().map(|b| (b.stream, u64::from(b.records)))
    }

    /// As [`prepare`](Self::prepare), for a frame that [`is_rebuilt`](Self::is_rebuilt): its bytes.
    ///
    /// # Panics
    /// If the batch cannot be built: it could when the frame was made.
    pub fn rebuild(
        &mut self,
        correlation_id: i32,
        intended: Nanos,
        sequences: &mut Sequences,
    ) -> Vec<u8> {
        let rebuild = self.rebuild.as_mut().expect("asked by is_rebuilt");
        let mut batches = Vec::with_capacity(rebuild.batches.len());
        for (slot, (partition, records)) in self.batches.iter().zip(&mut rebuild.batches) {
            let first = sequences.next[slot.stream];
            sequences.next[slot.stream] += u64::from(slot.records);
            for (n, (_, value)) in (first..).zip(records.iter_mut()) {
                stamp::rewrite(value, n, intended);
            }
            let bytes =
                build_batch(records, rebuild.codec, rebuild.shape.producer, base_sequence(first))
                    .expect("built before");
            batches.push((*partition, Bytes::from(bytes)));
        }
        let mut out = encode(&rebuild.shape, rebuild.acks, &batches).expect("encoded before");
        patch_correlation(&mut out, correlation_id);
        out
    }
}

fn patch_correlation(frame: &mut [u8], correlation_id: i32) {
    frame[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation_id.to_be_bytes());
}

/// Kafka's sequence numbers go around from `i32::MAX` to 0.
fn base_sequence(records: u64) -> i32 {
    i32::try_from(records & 0x7fff_ffff).unwrap_or(0)
}

/// The frames of one connection: all its partitions in turn, in a few variants each.
///
/// # Errors
/// They would take more memory than there should be; a payload file that cannot be read.
pub fn build(
    workload: &Workload,
    produce: &Produce,
    shape: &Shape,
    streams: &[Stream],
    lane: u64,
    connections: usize,
) -> Result<Vec<Frame>> {
    let mut payload = match &produce.payload_file {
        Some(path) => Payload::file(path)?,
        None => Payload::random(produce.record_bytes, Rng::new(workload.seed, lane)),
    };
    let mut keys = (Rng::new(workload.seed, lane ^ 0x6b65_7973), 0u64);
    let indexed: Vec<(usize, Stream)> = streams.iter().copied().enumerate().collect();
    let groups: Vec<&[(usize, Stream)]> = indexed.chunks(produce.partitions_per_request).collect();
    let frame_bytes = produce.records_per_batch()
        * (produce.record_bytes + 24)
        * produce.partitions_per_request.min(streams.len());
    let total = frame_bytes * groups.len() * connections;
    ensure!(
        total <= FRAMES_BYTES_MAX,
        "prepared requests would take {} MB, more than {}: fewer partitions or connections, or smaller batches",
        total / 1_000_000,
        FRAMES_BYTES_MAX / 1_000_000
    );
    let variants = (VARIANTS_BYTES / (frame_bytes * groups.len()).max(1)).clamp(1, VARIANTS_MAX);
    let mut frames = Vec::with_capacity(groups.len() * variants);
    for _ in 0..variants {
        for group in &groups {
            frames.push(frame(produce, shape, group, &mut payload, &mut keys)?);
        }
    }
    Ok(frames)
}

fn frame(
    produce: &Produce,
    shape: &Shape,
    group: &[(usize, Stream)],
    payload: &mut Payload,
    (key_rng, key_count): &mut (Rng, u64),
) -> Result<Frame> {
    let codec = (Compression::from(produce.codec), produce.codec_level);
    let room = if produce.stamp { STAMP_SIZE } else { 0 };
    let mut parts = Vec::new();
    let mut batches = Vec::new();
    let mut payload_bytes = 0;
    for &(_, stream) in group {
        let mut records = Vec::new();
        for _ in 0..produce.records_per_batch() {
            let mut value = payload.next(room);
            if produce.stamp {
                Stamp {
                    stream: stream.id,
                    sequence: 0,
                    intended: 0,
                    run: shape.run,
                    body_crc: stamp::body_crc(&value),
                }
                .write(&mut value);
            }
            let key = key(produce.keys, *key_count, key_rng);
            *key_count += 1;
            payload_bytes += value.len() as u64 + key.as_ref().map_or(0, |k| k.len() as u64);
            records.push((key, value));
        }
        let sequence = if shape.producer.0.is_some() { 0 } else { -1 };
        let bytes = build_batch(&records, codec, shape.producer, sequence)?;
        batches.push((stream.partition, Bytes::from(bytes)));
        parts.push((stream.partition, records));
    }
    let bytes = encode(shape, produce.acks, &batches)?;
    let mut from = 0;
    let mut slots = Vec::new();
    for ((index, _), (_, batch)) in group.iter().zip(&batches) {
        let at = from + find(&bytes[from..], batch).context("a batch is not in its own frame")?;
        from = at + batch.len();
        slots.push(Batch {
            stream: *index,
            at,
            len: batch.len(),
            records: u32::try_from(produce.records_per_batch())?,
            values: if produce.stamp && codec.0 == Compression::None {
                values_at(batch, at)?
            } else {
                Vec::new()
            },
        });
    }
    let rebuild =
        (codec.0 != Compression::None && (produce.stamp || produce.idempotent)).then(|| {
            Box::new(Rebuild { shape: shape.clone(), acks: produce.acks, codec, batches: parts })
        });
    Ok(Frame {
        bytes,
        number_at: None,
        batches: slots,
        records: (produce.records_per_batch() * group.len()) as u64,
        payload_bytes,
        rebuild,
    })
}

fn build_batch(
    records: &[RecordParts],
    (codec, level): (Compression, Option<i32>),
    (id, epoch): (ProducerId, ProducerEpoch),
    sequence: i32,
) -> Result<Vec<u8>> {
    let size = records.iter().map(|(_, v)| v.len() + 40).sum();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = Timestamp(i64::try_from(now.as_millis())?);
    let batch = BatchBuilder::with_capacity(size).producer(id, epoch, sequence);
    let mut batch = match level {
        Some(level) => batch.compression_level(codec, level),
        None => batch.compression(codec),
    };
    for (key, value) in records {
        batch.append(key.as_deref(), Some(value), now, &[])?;
    }
    Ok(batch.build()?)
}

fn encode(shape: &Shape, acks: i16, batches: &[(i32, Bytes)]) -> Result<Vec<u8>> {
    let partitions = batches.iter().map(|(index, batch)| PartitionProduceData {
        index: *index,
        records: Some(batch.clone().into()),
    });
    let request = ProduceRequest {
        acks,
        timeout_ms: shape.timeout_ms,
        topic_data: vec![TopicProduceData {
            name: shape.topic.as_str().into(),
            topic_id: shape.topic_id,
            partition_data: partitions.collect(),
        }],
        ..Default::default()
    };
    let slices = wire::encode_request(&request, 0, Some(&shape.client_id), shape.version)?;
    Ok(slices.concat())
}

/// Where `batch` lies in `frame`. Looks for its header first: payloads are long.
fn find(frame: &[u8], batch: &[u8]) -> Option<usize> {
    let head = &batch[..PRODUCER_ID_AT.min(batch.len())];
    (0..=frame.len().checked_sub(batch.len())?)
        .find(|&at| frame[at..].starts_with(head) && frame[at..at + batch.len()] == *batch)
}

/// Where the values of an uncompressed batch begin, from `base` on.
fn values_at(batch: &[u8], base: usize) -> Result<Vec<usize>> {
    let view = BatchView::parse(batch)?;
    let mut all = Vec::new();
    for record in Records::new(view.payload(), view.header()) {
        let value = record?.value.context("a record without value")?;
        all.push(base + (value.as_ptr() as usize - batch.as_ptr() as usize));
    }
    Ok(all)
}

const _: () =
    assert!(PRODUCER_ID_AT + 8 == PRODUCER_EPOCH_AT && PRODUCER_EPOCH_AT + 2 == BASE_SEQUENCE_AT);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Codec, Keys};
    use wire::{Reader, RequestHeader};

    fn shape(producer: (ProducerId, ProducerEpoch)) -> Shape {
        Shape {
            topic: "t".to_owned(),
            topic_id: TopicId([9; 16]),
            version: 9,
            client_id: "bench".to_owned(),
            run: 77,
            timeout_ms: 1000,
            producer,
        }
    }

    /// Sends two requests of each frame in turn and reads them as a broker would.
    fn check(produce: &Produce, producer: (ProducerId, ProducerEpoch)) {
        let workload = Workload::default();
        let streams = [
            Stream { partition: 4, id: 40 },
            Stream { partition: 6, id: 60 },
            Stream { partition: 8, id: 80 },
        ];
        let mut frames = build(&workload, produce, &shape(producer), &streams, 0, 1).unwrap();
        let mut sequences = Sequences { next: vec![0; 3] };
        let mut expected = [0u64; 3];
        for round in 0..2 {
            for frame in &mut frames {
                let intended = 1000 + round;
                let bytes = if frame.is_rebuilt() {
                    frame.rebuild(5, intended, &mut sequences)
                } else {
                    let mut bytes = frame.bytes().to_vec();
                    frame.prepare(
                        &mut bytes,
                        5,
                        intended,
                        &mut sequences,
                        (produce.stamp, producer.0.is_some()),
                    );
                    bytes
                };
                let parsed = wire::frame::parse(&bytes, 1 << 30).unwrap().unwrap();
                assert!(parsed.rest.is_empty());
                let mut reader = Reader::new(parsed.body);
                let header = RequestHeader::parse(&mut reader).unwrap();
                assert_eq!(header.correlation_id, 5);
                let request: ProduceRequest<'_> = wire::decode(reader.remaining(), 9).unwrap();
                let mut records = 0;
                for part in &request.topic_data[0].partition_data {
                    let bytes = part.records.as_ref().unwrap().contiguous();
                    let view = BatchView::parse_verified(&bytes).unwrap();
                    let stream = streams.iter().position(|s| s.partition == part.index).unwrap();
                    if producer.0.is_some() {
                        assert_eq!(view.base_sequence as u64, expected[stream]);
                        assert_eq!(view.producer_id, producer.0);
                    }
                    let open = view.decompressed(1 << 30).unwrap();
                    for record in Records::new(&open, view.header()) {
                        let record = record.unwrap();
                        assert_eq!(record.key.is_some(), produce.keys != Keys::None);
                        if produce.stamp {
                            let stamp = Stamp::read(record.value.unwrap()).unwrap();
                            assert_eq!(stamp.sequence, expected[stream]);
                            assert_eq!(stamp.intended, intended);
                            assert_eq!(stamp.stream, streams[stream].id);
                            assert_eq!(stamp.body_crc, stamp::body_crc(record.value.unwrap()));
                        }
                        expected[stream] += 1;
                        records += 1;
                    }
                }
                assert_eq!(records, frame.records);
            }
        }
        assert_eq!(sequences.next, expected);
    }

    #[test]
    fn frames_are_requests_a_broker_can_read() {
        let plain = (ProducerId::NONE, ProducerEpoch::NONE);
        let idempotent = (ProducerId(12), ProducerEpoch(3));
        for codec in [Codec::None, Codec::Zstd] {
            for (stamp, producer) in
                [(false, plain), (true, plain), (false, idempotent), (true, idempotent)]
            {
                let produce = Produce {
                    record_bytes: 100,
                    batch_bytes: 500,
                    partitions_per_request: 2,
                    codec,
                    stamp,
                    keys: Keys::RoundRobin(3),
                    idempotent: producer.0.is_some(),
                    ..Default::default()
                };
                check(&produce, producer);
            }
        }
    }

    #[test]
    fn too_much_memory_is_refused() {
        let produce = Produce { batch_bytes: 1 << 20, ..Default::default() };
        let streams: Vec<_> = (0..3000).map(|p| Stream { partition: p, id: 0 }).collect();
        let plain = (ProducerId::NONE, ProducerEpoch::NONE);
        let result = build(&Workload::default(), &produce, &shape(plain), &streams, 0, 1);
        assert!(result.unwrap_err().to_string().contains("fewer partitions"));
    }
}
