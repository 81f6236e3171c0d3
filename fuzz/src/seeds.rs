//! Writes the seeds of the corpora: `cargo xtask fuzz --seeds`. The same files on every run.
//!
//! Valid inputs, one a kind, from the crates' own encoders and from the facts in
//! `broker/wire/schema`; the fuzzer finds the way from them to the others. A target writes its own
//! seeds when it is started with the directory of the corpora in `MILLRACE_FUZZ_SEEDS`, so that
//! nothing has to be built but the targets.

use record::{
    BatchBuilder, Compression, Header, Offset, ProducerEpoch, ProducerId, Timestamp, compress,
};
use schema::{Message, Sampler, Values};
use std::{collections::BTreeMap, fs, path::PathBuf};
use wire::{ApiMessage, VersionRange, for_each_api};

/// Seeds are small: the fuzzer makes them larger.
const SEED_BYTES_MAX: usize = 2048;

struct Corpus(PathBuf);

impl Corpus {
    fn put(&self, target: &str, name: &str, bytes: &[u8]) {
        if bytes.len() > SEED_BYTES_MAX {
            return;
        }
        let dir = self.0.join(target);
        fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let path = dir.join(format!("seed-{name}"));
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Writes the seeds of `target` and ends the process, if the environment says so.
///
/// # Panics
/// The seeds cannot be made or written.
pub fn write_if_asked(target: &str) {
    let Some(dir) = std::env::var_os("MILLRACE_FUZZ_SEEDS") else { return };
    let corpus = Corpus(PathBuf::from(dir));
    match target {
        "frame" => frames(&corpus),
        "api" => apis(&corpus, &schema::all()),
        "batch" => batches(&corpus),
        "codec" => codecs(&corpus),
        "records" => records(&corpus, &schema::all()),
        "recovery" => recovery(&corpus),
        "store" => store(&corpus),
        "session" => sessions(&corpus, &schema::all()),
        other => panic!("no target {other}"),
    }
    std::process::exit(0);
}

/// A message with random fields, as short as a few tries give it.
fn sample(
    schemas: &BTreeMap<String, Message>,
    name: &str,
    version: i16,
    values: Values,
) -> Option<Vec<u8>> {
    let message = schemas.get(name)?;
    let tries = (0..12).map(|seed| {
        let mut sampler = Sampler::new(message, version, seed);
        sampler.values = values;
        sampler.bytes()
    });
    // Rich, but not long.
    tries.filter(|bytes| bytes.len() <= 400).max_by_key(Vec::len)
}

fn apis(corpus: &Corpus, schemas: &BTreeMap<String, Message>) {
    for (n, (request, response)) in crate::api::kinds().iter().enumerate() {
        for (kind, bit) in [(request, 0), (response, 0x80)] {
            let VersionRange { min, max } = kind.versions;
            // The newest, and the last before lengths became variable.
            let flexible = schemas
                .get(kind.name)
                .and_then(|message| message.flexible)
                .map_or(min, |flexible| flexible.lo);
            for version in
                [Some(max), (flexible > min).then_some(flexible - 1)].into_iter().flatten()
            {
                if let Some(body) = sample(schemas, kind.name, version, Values::Random) {
                    let how = bit | u8::try_from(version - min + 1).unwrap_or(0);
                    let bytes = [&[u8::try_from(n).unwrap_or(0), how][..], &body].concat();
                    corpus.put("api", &format!("{}-{version}", kind.name), &bytes);
                }
            }
        }
    }
}

fn frames(corpus: &Corpus) {
    macro_rules! table {
        ($($key:ident, $request:ty, $response:ty;)*) => {
            $({
                let version = <$request>::latest_stable();
                let request = <$request>::default();
                if let Ok(slices) = wire::encode_request(&request, 7, Some("me"), version) {
                    corpus.put("frame", stringify!($key), &[&[3], slices.concat().as_slice()].concat());
                }
            })*
        };
    }
    for_each_api!(table);
    corpus.put(
        "frame",
        "two",
        b"\x01\0\0\0\x0c\0\x12\0\0\0\0\0\x07\0\x02me\0\0\0\x0b\0\x12\0\x63\0\0\0\x08\xff\xff\0",
    );
}

fn batch(codec: Compression, producer: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(codec);
    if producer {
        builder = builder.producer(ProducerId(5), ProducerEpoch(1), 9);
    }
    for n in 0..3_i64 {
        let headers = [Header::new("h", Some(b"v")), Header::new("h", None)];
        let headers = &headers[..usize::try_from(n).unwrap_or(0)];
        let value = if n == 2 { None } else { Some(&b"value value value value"[..]) };
        builder
            .append(Some(b"key"), value, Timestamp(1_750_000_000_000 + n), headers)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    builder.build().unwrap_or_else(|error| panic!("{error}"))
}

fn batches(corpus: &Corpus) {
    for codec in Compression::ALL {
        for (name, topic) in [("shallow", 0), ("deep", 1), ("compacted", 3), ("stamped", 9)] {
            let whole = batch(codec, name == "deep");
            corpus.put(
                "batch",
                &format!("{}-{name}", codec.name()),
                &[&[0x3d, topic], whole.as_slice()].concat(),
            );
        }
        // Records that are compressed by the target.
        let mut plain = batch(Compression::None, true);
        plain[22] = plain[22] & !7 | codec as u8;
        corpus.put(
            "batch",
            &format!("{}-packed-late", codec.name()),
            &[&[0x2f, 1], plain.as_slice()].concat(),
        );
    }
    let two = [batch(Compression::None, false), batch(Compression::Lz4, true)].concat();
    corpus.put("batch", "two", &[&[0, 0], two.as_slice()].concat());
    let marker = record::end_txn_batch(
        Offset(0),
        record::LeaderEpoch(0),
        ProducerId(5),
        ProducerEpoch(0),
        record::EndTxnMarker::Commit,
        3,
        Timestamp(9),
    );
    corpus.put("batch", "control", &[&[0, 0], marker.as_slice()].concat());
}

fn codecs(corpus: &Corpus) {
    let text: Vec<u8> = (0..600_u32).flat_map(|n| (n % 97).to_string().into_bytes()).collect();
    let zeros = vec![0; 100_000];
    for (n, codec) in Compression::ALL.into_iter().enumerate() {
        for (name, input) in [("empty", &[][..]), ("text", &text[..]), ("zeros", &zeros[..])] {
            let packed =
                compress::compress(codec, None, input).unwrap_or_else(|error| panic!("{error}"));
            let head = [u8::try_from(n).unwrap_or(0), if name == "zeros" { 0x14 } else { 0x1f }];
            corpus.put(
                "codec",
                &format!("{}-{name}", codec.name()),
                &[&head[..], &packed].concat(),
            );
        }
    }
}

fn entry(out: &mut Vec<u8>, bytes: &[u8], more: usize) {
    let length = u16::try_from(bytes.len() + more).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn records(corpus: &Corpus, schemas: &BTreeMap<String, Message>) {
    for (n, kind) in crate::records::kinds().into_iter().enumerate() {
        if let Some(body) = sample(schemas, kind.name, kind.versions.max, Values::Random) {
            let head = [u8::try_from(n).unwrap_or(0), u8::try_from(kind.versions.max).unwrap_or(0)];
            corpus.put("records", kind.name, &[&head[..], &body].concat());
        }
    }
    corpus.put("records", "group-log", &group_log());
    corpus.put("records", "metadata-log", &metadata_log());
}

fn group_log() -> Vec<u8> {
    use wire::{
        record_frame::{RecordSet, encode_key, encode_value},
        records::group::{
            GroupKey, GroupMetadataKey, GroupMetadataValue, GroupValue, OffsetCommitKey,
            OffsetCommitValue, group_metadata::MemberMetadata,
        },
    };
    let mut out = vec![crate::records::GROUP_LOG];
    let mut put = |key: GroupKey<'_>, value: Option<GroupValue<'_>>, version: i16| {
        let key = encode_key(&key).unwrap_or_else(|error| panic!("{error}"));
        entry(&mut out, &key, 0);
        match value {
            None => out.extend_from_slice(&[0, 0]),
            Some(value) => {
                assert!(version <= value.latest_version());
                let value = encode_value(&value, version).unwrap_or_else(|error| panic!("{error}"));
                entry(&mut out, &value, 1);
            }
        }
    };
    let offset = |partition| {
        GroupKey::from(OffsetCommitKey { group: "g".into(), topic: "t".into(), partition })
    };
    let commit = |offset| OffsetCommitValue {
        offset,
        metadata: "m".into(),
        commit_timestamp: 1_749_000_000_000,
        ..OffsetCommitValue::default()
    };
    let group = || GroupKey::from(GroupMetadataKey { group: "g".into() });
    let member = |id: &'static str| MemberMetadata {
        member_id: id.into(),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout: 10_000,
        session_timeout: 10_000,
        subscription: b"\0\0\0\0\0\x01\0\x01t\0\0\0\0".into(),
        assignment: b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\0\0\0\0".into(),
        ..MemberMetadata::default()
    };
    let value = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("a".into()),
        current_state_timestamp: 1_749_000_000_000,
        members: vec![member("a"), member("b")],
    };
    put(offset(0), Some(commit(5).into()), 3);
    put(group(), Some(value.into()), 3);
    put(offset(1), Some(commit(6).into()), 3);
    put(offset(0), None, 0);
    put(group(), None, 0);
    out
}

fn metadata_log() -> Vec<u8> {
    use broker::metadata::MetadataRecord;
    use wire::records::metadata::{
        ConfigRecord, FeatureLevelRecord, PartitionRecord, ProducerIdsRecord, TopicRecord,
    };
    let topic_id = wire::Uuid::from_random(3, 4);
    let partition = |partition_id| PartitionRecord {
        partition_id,
        topic_id,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 2,
        ..PartitionRecord::default()
    };
    let config = ConfigRecord {
        resource_type: 2,
        resource_name: "t".into(),
        name: "retention.ms".into(),
        value: Some("5".into()),
    };
    let records: [MetadataRecord; 6] = [
        FeatureLevelRecord { name: "metadata.version".into(), feature_level: 29 }.into(),
        TopicRecord { name: "t".into(), topic_id }.into(),
        partition(0).into(),
        partition(1).into(),
        config.into(),
        ProducerIdsRecord { broker_id: 1, broker_epoch: 0, next_producer_id: 1000 }.into(),
    ];
    let mut out = vec![crate::records::METADATA_LOG];
    for record in records {
        entry(&mut out, &record.encode(), 0);
    }
    out
}

/// One edit of every kind for every file, in both moods.
fn recovery(corpus: &Corpus) {
    for (n, files) in crate::recovery::directories().into_iter().enumerate() {
        let which = u8::try_from(n).unwrap_or(0);
        corpus.put("recovery", &format!("{n}-as-it-was"), &[which, 0]);
        for (file, (_, size)) in files.iter().enumerate() {
            let kind = u8::try_from((file * 3 + n) % 8).unwrap_or(0);
            let forged = u8::from(file % 2 == 1);
            let at = u16::try_from(size / 3 % 65_536).unwrap_or(0).to_be_bytes();
            let edit = [which, forged, u8::try_from(file).unwrap_or(0), kind, at[0], at[1], 0x14];
            let payload =
                if kind == 1 || kind == 7 { &b"\0\0\0\x07\xff\xff\xff\xff"[..] } else { &[] };
            corpus.put("recovery", &format!("{n}-{file}-{kind}"), &[&edit[..], payload].concat());
        }
    }
}

fn store(corpus: &Corpus) {
    // Two logs, appends of both producers, a pause, a read, and an end of each kind, several times.
    for end in 0..3_u8 {
        let mut script = vec![end, 0, 0x00, 0x00, 0, 0x05, 0x01];
        for round in 0..4_u8 {
            for n in 0..8_u8 {
                script.extend_from_slice(&[1, (n % 2) | (n << 5), round * 60 + n]);
            }
            script.extend_from_slice(&[
                12, 0, 0xf0, 6, 1, 0, 7, 1, 0x20, 9, 0, 0x40, 10, 1, 0, 11, 0, round,
            ]);
            script.extend_from_slice(&[15, end + round, 0]);
        }
        corpus.put("store", &format!("{end}-rounds"), &script);
    }
    corpus.put("store", "large", b"\x03\x00\x00\x00\x01\x60\xff\x01\x60\xfe\x01\x40\xfd\x0c\x00\xff\x08\x70\x00\x0f\x01\x00\x08\x20\x00");
    corpus.put("store", "again", b"\x04\x00\x80\x00\x01\x60\x30\x0c\x01\x00\x00\x80\x00\x01\x60\x31\x0c\x00\xff\x0f\x02\x00\x01\x00\x20");
}

fn sessions(corpus: &Corpus, schemas: &BTreeMap<String, Message>) {
    for (n, line) in broker::api::TABLE.iter().enumerate() {
        let Some((request, _)) =
            crate::api::kinds().iter().find(|(request, _)| request.key == line.key)
        else {
            continue;
        };
        for (name, values) in [("random", Values::Random), ("default", Values::Default)] {
            if let Some(body) = sample(schemas, request.name, line.max, values) {
                let mut bytes = vec![
                    1,
                    0x18,
                    u8::try_from(n).unwrap_or(0),
                    u8::try_from(line.max - line.min).unwrap_or(0),
                ];
                entry(&mut bytes, &body, 0);
                corpus.put("session", &format!("{}-{name}", request.name), &bytes);
            }
        }
    }
    real_requests(corpus);
    let hello =
        wire::encode_request(&wire::api_versions::ApiVersionsRequest::default(), 1, Some("me"), 0);
    let hello = hello.unwrap_or_else(|error| panic!("{error}")).concat();
    corpus.put("session", "raw", &[&[2, 0x01], hello.as_slice()].concat());
    corpus.put("session", "raw-cut", &[&[2, 0x03], &hello[..hello.len() - 2]].concat());
    corpus.put("session", "raw-large", b"\x03\x01\0\x10\0\0\0\0\0\x09");
}

/// What the names in requests mean something for: the topic and the group that are there.
fn real_requests(corpus: &Corpus) {
    use wire::{
        Request,
        fetch::{FetchPartition, FetchRequest, FetchTopic},
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        metadata::{MetadataRequest, MetadataRequestTopic},
        offset_commit::{
            OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        },
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    };
    fn put<T: Request>(corpus: &Corpus, name: &str, how: u8, version: i16, request: &T) {
        let Some(n) = broker::api::TABLE.iter().position(|line| line.key == T::API_KEY) else {
            return;
        };
        let mut writer = wire::Writer::new();
        request.encode(&mut writer, version).unwrap_or_else(|error| panic!("{name}: {error}"));
        let body = writer.into_vec();
        let mut bytes = vec![1, how];
        // Twice, for what the first leaves behind.
        for _ in 0..2 {
            let version = version - broker::api::TABLE[n].min;
            bytes.extend_from_slice(&[
                u8::try_from(n).unwrap_or(0),
                u8::try_from(version).unwrap_or(0),
            ]);
            entry(&mut bytes, &body, 0);
        }
        corpus.put("session", name, &bytes);
    }
    for how in [0x08, 0x0e] {
        let data = batch(Compression::Zstd, true);
        let partition_data =
            vec![PartitionProduceData { index: 1, records: Some(wire::Records::Borrowed(&data)) }];
        let topic_data = vec![TopicProduceData {
            name: "t".into(),
            partition_data,
            ..TopicProduceData::default()
        }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 1_000, topic_data, ..ProduceRequest::default() };
        put(corpus, &format!("produce-{how}"), how, 9, &request);
        let partition = FetchPartition {
            partition: 0,
            fetch_offset: 1,
            partition_max_bytes: 10_000,
            ..FetchPartition::default()
        };
        let topics = vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![partition],
            ..FetchTopic::default()
        }];
        let request = FetchRequest {
            max_wait_ms: 100,
            min_bytes: 1,
            max_bytes: 10_000,
            topics,
            ..FetchRequest::default()
        };
        put(corpus, &format!("fetch-{how}"), how, 11, &request);
        let partition = ListOffsetsPartition {
            partition_index: 0,
            timestamp: -1,
            ..ListOffsetsPartition::default()
        };
        let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: vec![partition] }];
        put(
            corpus,
            &format!("offsets-{how}"),
            how,
            7,
            &ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() },
        );
        let topics = Some(vec![MetadataRequestTopic {
            name: Some("made".into()),
            ..MetadataRequestTopic::default()
        }]);
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        put(corpus, &format!("metadata-{how}"), how, 12, &request);
        let partition = OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: 2,
            ..OffsetCommitRequestPartition::default()
        };
        let topics = vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        }];
        let request = OffsetCommitRequest {
            group_id: "h".into(),
            generation_id_or_member_epoch: -1,
            topics,
            ..OffsetCommitRequest::default()
        };
        put(corpus, &format!("commit-{how}"), how, 8, &request);
    }
}
