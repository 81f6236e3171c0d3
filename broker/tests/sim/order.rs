//! Several requests sent at once on one connection do as if each had been sent after the answer to
//! the last.
use crate::{
    bed::{Bed, Conn, How, every_mode, seeds},
    kafka::{
        Kafka, batch, commit_request, fetch_request, idempotent, produce_request, values,
        with_topic,
    },
};
use wire::{
    ErrorCode, Request,
    api_versions::ApiVersionsRequest,
    create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
    create_topics::{CreatableTopic, CreateTopicsRequest},
    fetch::FetchRequest,
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    offset_commit::OffsetCommitRequest,
    offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics},
    produce::ProduceRequest,
};

const PRODUCE: i16 = 9;
const FETCH: i16 = 11;
const LIST: i16 = 7;

fn create(topic: &str, partitions: i32) -> CreateTopicsRequest<'static> {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.to_owned().into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 30_000,
        validate_only: false,
    }
}

fn latest(topic: &str, partition: i32) -> ListOffsetsRequest<'static> {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned().into(),
            partitions: vec![ListOffsetsPartition {
                partition_index: partition,
                current_leader_epoch: -1,
                timestamp: -1,
            }],
        }],
        ..Default::default()
    }
}

fn committed(group: &str, topic: &str) -> OffsetFetchRequest<'static> {
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned().into(),
            member_epoch: -1,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: topic.to_owned().into(),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Code and base offset of a produce request's only partition.
fn appended(bed: &mut Bed, conn: &mut Conn, id: i32) -> (i16, i64) {
    let answer = bed.answer::<ProduceRequest<'_>>(conn, id, PRODUCE).unwrap();
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[test]
fn a_topic_is_there_for_the_request_behind_its_creation() {
    for seed in seeds(3) {
        for how in every_mode(seed) {
            let mut bed = Bed::start(how);
            for core in 0..bed.cores() {
                let topic = format!("new-{core}");
                let mut conn = bed.connect(core);
                let made = conn.send(&create(&topic, 2), 7);
                let more = conn.send(
                    &CreatePartitionsRequest {
                        topics: vec![CreatePartitionsTopic {
                            name: topic.clone().into(),
                            count: 4,
                            assignments: None,
                        }],
                        timeout_ms: 30_000,
                        validate_only: false,
                    },
                    3,
                );
                let produced: Vec<i32> = (0..4)
                    .map(|p| conn.send(&produce_request(&topic, p, -1, batch(&["v"])), PRODUCE))
                    .collect();
                let listed: Vec<i32> =
                    (0..4).map(|p| conn.send(&latest(&topic, p), LIST)).collect();
                let made = bed.answer::<CreateTopicsRequest<'_>>(&mut conn, made, 7).unwrap();
                assert_eq!(made.topics[0].error_code, 0);
                let more = bed.answer::<CreatePartitionsRequest<'_>>(&mut conn, more, 3).unwrap();
                assert_eq!(more.results[0].error_code, 0);
                let codes: Vec<i16> =
                    produced.into_iter().map(|id| appended(&mut bed, &mut conn, id).0).collect();
                let elsewhere = ErrorCode::NotLeaderOrFollower.code();
                let all = bed.cores() == 1 || bed.how.settings.single_port;
                assert!(codes.iter().all(|&c| c == 0 || (!all && c == elsewhere)), "{codes:?}");
                assert!(codes.contains(&0), "{codes:?}");
                for (id, code) in listed.into_iter().zip(codes) {
                    let answer = bed.answer::<ListOffsetsRequest<'_>>(&mut conn, id, LIST).unwrap();
                    let found = &answer.topics[0].partitions[0];
                    assert_eq!(found.error_code, code);
                    assert_eq!(found.offset, if code == 0 { 1 } else { -1 });
                }
            }
        }
    }
}

#[test]
fn what_was_produced_before_is_seen() {
    for seed in seeds(3) {
        for how in every_mode(seed) {
            let (mut bed, mut kafka, core) = with_topic(how);
            let mut conn = bed.connect(core);
            for round in 0..5i64 {
                // Without an answer, and with one: both are there for who comes behind.
                let before = 4 * round;
                conn.send(&produce_request("t", 0, 0, batch(&["a"])), PRODUCE);
                let one = conn.send(&produce_request("t", 0, -1, batch(&["b"])), PRODUCE);
                let two = conn.send(&produce_request("t", 0, 1, batch(&["c"])), PRODUCE);
                let list = conn.send(&latest("t", 0), LIST);
                conn.send(&produce_request("t", 0, 0, batch(&["d"])), PRODUCE);
                let fetch = conn.send(&fetch_request("t", 0, before), FETCH);
                assert_eq!(appended(&mut bed, &mut conn, one), (0, before + 1));
                assert_eq!(appended(&mut bed, &mut conn, two), (0, before + 2));
                let listed = bed.answer::<ListOffsetsRequest<'_>>(&mut conn, list, LIST).unwrap();
                assert_eq!(listed.topics[0].partitions[0].offset, before + 3);
                let fetched = bed.answer::<FetchRequest<'_>>(&mut conn, fetch, FETCH).unwrap();
                let data = &fetched.responses[0].partitions[0];
                let found = values(data, before);
                assert_eq!(found.len(), 4, "{found:?}");
            }
            kafka.read_all(&mut bed, "t", 0, 0);
        }
    }
}

#[test]
fn a_commit_is_there_for_the_request_behind_it() {
    for seed in seeds(3) {
        for how in every_mode(seed) {
            let mut bed = Bed::start(how);
            let mut kafka = Kafka::default();
            kafka.create_topic(&mut bed, "t", 1).unwrap();
            // The coordinator serves from here on.
            assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 1), ErrorCode::None);
            let core = kafka.coordinator(&mut bed, "g");
            let mut conn = bed.connect(core);
            for offset in 2..10 {
                let commit = conn.send(&commit_request("g", (-1, ""), "t", 0, offset), 8);
                let fetch = conn.send(&committed("g", "t"), 8);
                let done = bed.answer::<OffsetCommitRequest<'_>>(&mut conn, commit, 8).unwrap();
                assert_eq!(done.topics[0].partitions[0].error_code, 0);
                let found = bed.answer::<OffsetFetchRequest<'_>>(&mut conn, fetch, 8).unwrap();
                assert_eq!(found.groups[0].topics[0].partitions[0].committed_offset, offset);
            }
        }
    }
}

#[test]
fn a_request_behind_a_fetch_that_waits_does_too() {
    for how in every_mode(3) {
        let (mut bed, _, core) = with_topic(how);
        let mut conn = bed.connect(core);
        let before = bed.sim.now();
        let fetch =
            conn.send(&FetchRequest { max_wait_ms: 500, ..fetch_request("t", 0, 0) }, FETCH);
        let produce = conn.send(&produce_request("t", 0, -1, batch(&["late"])), PRODUCE);
        let versions = conn.send(&ApiVersionsRequest::default(), 1);
        let fetched = bed.answer::<FetchRequest<'_>>(&mut conn, fetch, FETCH).unwrap();
        let data = &fetched.responses[0].partitions[0];
        assert_eq!((data.high_watermark, values(data, 0).len()), (0, 0));
        assert!(bed.sim.now() - before >= 500_000_000);
        assert_eq!(appended(&mut bed, &mut conn, produce), (0, 0));
        bed.answer::<ApiVersionsRequest<'_>>(&mut conn, versions, 1).unwrap();
    }
}

#[test]
fn produce_requests_wait_for_the_disk_together_and_keep_their_order() {
    for seed in seeds(3) {
        for mut how in every_mode(seed) {
            // One late piece would take longer than all of it.
            (how.sim.net.slow, how.sim.disk.slow) = (0.0, 0.0);
            let mut bed = Bed::start(how);
            let mut kafka = Kafka::default();
            kafka.create_topic(&mut bed, "t", 1).unwrap();
            let producer = kafka.producer(&mut bed);
            let core = kafka.leader(&mut bed, "t", 0);
            let mut conn = bed.connect(core);
            let mut sequence = 0;
            let mut send = |conn: &mut Conn| {
                let request = produce_request("t", 0, -1, idempotent(producer, sequence, &["v"]));
                sequence += 1;
                conn.send(&request, PRODUCE)
            };
            let before = bed.sim.now();
            for offset in 0..20 {
                let id = send(&mut conn);
                assert_eq!(appended(&mut bed, &mut conn, id), (0, offset));
            }
            let apart = bed.sim.now() - before;
            let before = bed.sim.now();
            // A request that came out of its turn would be refused by its sequence.
            let ids: Vec<i32> = (0..100).map(|_| send(&mut conn)).collect();
            for (id, offset) in ids.into_iter().zip(20..) {
                assert_eq!(appended(&mut bed, &mut conn, id), (0, offset));
            }
            let together = bed.sim.now() - before;
            assert!(
                together / 100 < apart / 20 / 2,
                "20 in {apart} ns one by one, 100 in {together} ns at once"
            );
        }
    }
}

#[test]
fn what_ends_a_connection_ends_it_after_the_answers_before() {
    for how in seeds(6).flat_map(every_mode) {
        let (mut bed, mut kafka, core) = with_topic(how);
        // A produce request that has no other way to say that it failed; a frame that is none; a
        // request that is none.
        let failing = wire::encode_request(
            &produce_request("nothing", 0, 0, batch(&["x"])),
            99,
            Some("sim"),
            PRODUCE,
        )
        .unwrap()
        .concat();
        let no_frame = vec![0xff; 8];
        let no_request = [0, 0, 0, 10, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff].to_vec();
        for (n, end) in [failing, no_frame, no_request].into_iter().enumerate() {
            let mut conn = bed.connect(core);
            let ids: Vec<i32> = (0..10)
                .map(|_| conn.send(&produce_request("t", 0, -1, batch(&["v"])), PRODUCE))
                .collect();
            conn.client.send(end);
            // Forwarded, the first fails only after the next has been forwarded too.
            if n > 0 || !bed.how.settings.single_port {
                conn.send(&produce_request("t", 0, -1, batch(&["never"])), PRODUCE);
            }
            for (id, k) in ids.into_iter().zip(0..) {
                assert_eq!(appended(&mut bed, &mut conn, id), (0, 10 * n as i64 + k));
            }
            assert!(bed.until_closed(&mut conn).is_empty());
        }
        assert_eq!(kafka.read_all(&mut bed, "t", 0, 0).len(), 30);
    }
}

#[test]
fn any_mixture_is_as_if_sent_one_by_one() {
    for seed in seeds(4) {
        for how in [How::new(seed, 2), How::new(seed, 2).single_port()] {
            let mut random = schema::Random(seed);
            let (mut bed, _, core) = with_topic(how);
            let mut conn = bed.connect(core);
            /// What an answer must say.
            enum Wanted {
                Base(i64),
                Latest(i64),
                Fetched(i64),
            }
            let (mut end, mut wanted) = (0i64, Vec::new());
            for _ in 0..200 {
                wanted.push(match random.below(4) {
                    0 => (conn.send(&latest("t", 0), LIST), Wanted::Latest(end)),
                    1 => {
                        let request = fetch_request("t", 0, 0);
                        (conn.send(&request, FETCH), Wanted::Fetched(end))
                    }
                    _ => {
                        end += 1;
                        let request = produce_request("t", 0, -1, batch(&["v"]));
                        (conn.send(&request, PRODUCE), Wanted::Base(end - 1))
                    }
                });
            }
            for (id, wanted) in wanted {
                match wanted {
                    Wanted::Base(base) => {
                        assert_eq!(appended(&mut bed, &mut conn, id), (0, base));
                    }
                    Wanted::Latest(end) => {
                        let answer =
                            answer::<ListOffsetsRequest<'_>>(&mut bed, &mut conn, id, LIST);
                        assert_eq!(answer.topics[0].partitions[0].offset, end);
                    }
                    Wanted::Fetched(end) => {
                        let answer = answer::<FetchRequest<'_>>(&mut bed, &mut conn, id, FETCH);
                        let data = &answer.responses[0].partitions[0];
                        assert_eq!(data.high_watermark, end);
                        assert_eq!(values(data, 0).len() as i64, end);
                    }
                }
            }
        }
    }
}

fn answer<Q: Request>(
    bed: &mut Bed,
    conn: &mut Conn,
    id: i32,
    version: i16,
) -> Q::Response<'static> {
    bed.answer::<Q>(conn, id, version).unwrap_or_else(|| panic!("{:?} {id}: closed", Q::API_KEY))
}
