//! Bytes that Apache Kafka 4.3.1's own classes wrote.
//!
//! `kafka-4.3.1.txt` holds one sample of every message and version: made here from the schema, read
//! and written by Kafka's classes (`cargo xtask wire judge`).

use std::collections::BTreeSet;

use wire::{
    Decode, Message, Uuid,
    records::{
        group::consumer_group_member_metadata::{ClassicMemberMetadata, ClassicProtocol},
        group::group_metadata::MemberMetadata,
        group::{ConsumerGroupMemberMetadataValue, GroupMetadataValue, OffsetCommitValue},
        metadata::register_broker::BrokerEndpoint,
        metadata::{PartitionChangeRecord, RegisterBrokerRecord},
    },
};

const GOLDEN: &str = include_str!("kafka-4.3.1.txt");

fn from_hex(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn what_kafka_wrote_we_read_and_write() {
    let cases = crate::cases::all();
    let mut seen = BTreeSet::new();
    for line in GOLDEN.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap();
        let (name, version, bytes) = (word(), word().parse().unwrap(), from_hex(word()));
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let decoded = (case.decode)(&bytes, version);
        assert_eq!(decoded.result, Ok(()), "{line}");
        assert_eq!(decoded.left, 0, "{line}");
        assert_eq!(decoded.again, bytes, "{line}");
        seen.insert((name, version));
    }
    let all =
        cases.iter().flat_map(|case| case.versions.iter().map(|version| (case.name, version)));
    assert_eq!(seen, all.collect());
}

/// Not a test: writes the samples that `cargo xtask wire judge` gives to Kafka.
#[test]
#[ignore = "run by `cargo xtask wire judge`"]
fn write_samples() {
    let path = std::env::var("WIRE_SAMPLES").expect("WIRE_SAMPLES names the file to write");
    let mut lines = String::new();
    crate::agreement::for_all(1, |case, sampler| {
        let version = sampler.version;
        let hex: String = sampler.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        lines += &format!("{} {version} {hex}\n", case.name);
    });
    std::fs::write(path, lines).unwrap();
}

/// `value` and the hexadecimal `bytes` are the same thing.
fn same<'a, T: Message + Decode<'a> + PartialEq + std::fmt::Debug>(
    bytes: &'a mut Vec<u8>,
    hex: &str,
    version: i16,
    value: &T,
) {
    bytes.extend(
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()),
    );
    let mut writer = wire::Writer::new();
    value.encode(&mut writer, version).unwrap();
    assert_eq!(writer.into_vec(), *bytes);
    assert_eq!(wire::decode::<T>(bytes, version).as_ref(), Ok(value));
}

fn id(high: u8, low: u8) -> Uuid {
    let mut bytes = [0; 16];
    bytes[7] = high;
    bytes[15] = low;
    Uuid::from(bytes)
}

/// A struct that may be null, in a tagged field: the byte that says it is there counts.
#[test]
fn a_nullable_struct_in_a_tagged_field() {
    let mut member = ConsumerGroupMemberMetadataValue {
        instance_id: Some("".into()),
        rack_id: Some("".into()),
        client_id: "c".into(),
        client_host: "h".into(),
        subscribed_topic_names: vec!["t".into()],
        subscribed_topic_regex: Some("".into()),
        rebalance_timeout_ms: 7,
        server_assignor: Some("r".into()),
        classic_member_metadata: None,
    };
    same(&mut Vec::new(), "0101026302680202740100000007027200", 0, &member);
    member.classic_member_metadata = Some(ClassicMemberMetadata {
        session_timeout_ms: 9,
        supported_protocols: vec![ClassicProtocol {
            name: "range".into(),
            metadata: vec![1, 2].into(),
        }],
    });
    same(
        &mut Vec::new(),
        "010102630268020274010000000702720100110100000009020672616e67650301020000",
        0,
        &member,
    );
}

#[test]
fn metadata_records() {
    let change = PartitionChangeRecord {
        partition_id: 1,
        topic_id: id(1, 2),
        isr: Some(vec![3, 4]),
        leader: 3,
        directories: Some(vec![]),
        ..PartitionChangeRecord::default()
    };
    same(
        &mut Vec::new(),
        "0000000100000000000000010000000000000002030009030000000300000004010400000003080101",
        2,
        &change,
    );
    let broker = RegisterBrokerRecord {
        broker_id: 1,
        broker_epoch: 2,
        incarnation_id: id(3, 4),
        end_points: vec![BrokerEndpoint {
            name: "P".into(),
            host: "h".into(),
            port: 65535,
            security_protocol: 0,
        }],
        rack: Some("r".into()),
        fenced: true,
        log_dirs: vec![id(5, 6)],
        ..RegisterBrokerRecord::default()
    };
    same(
        &mut Vec::new(),
        "00000001000000000000000003000000000000000400000000000000020202500268ffff\
         00000001027201000100110200000000000000050000000000000006",
        3,
        &broker,
    );
}

#[test]
fn group_records() {
    let offset = OffsetCommitValue {
        offset: 5,
        leader_epoch: 6,
        metadata: "m".into(),
        commit_timestamp: 7,
        topic_id: id(1, 2),
        ..OffsetCommitValue::default()
    };
    same(
        &mut Vec::new(),
        "000000000000000500000006026d000000000000000701001000000000000000010000000000000002",
        4,
        &offset,
    );
    let group = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("l".into()),
        current_state_timestamp: 4,
        members: vec![MemberMetadata {
            member_id: "l".into(),
            group_instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "h".into(),
            rebalance_timeout: 1,
            session_timeout: 2,
            subscription: vec![1].into(),
            assignment: vec![2, 3].into(),
        }],
    };
    same(
        &mut Vec::new(),
        "0008636f6e73756d657200000003000572616e676500016c0000000000000004000000010001\
         6c00016900016300016800000001000000020000000101000000020203",
        3,
        &group,
    );
}
