//! A disk that fails or is full: no ack that is not true, and reads go on.
use crate::{
    bed::{Bed, Conn, How, SECOND_NS, seeds},
    kafka::{Kafka, NOW, batch, fetch_request, idempotent, produce_request},
};
use netio::sim::FileOp;
use wire::{
    ErrorCode,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
    fetch::FetchRequest,
    init_producer_id::InitProducerIdRequest,
    list_groups::ListGroupsRequest,
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    produce::ProduceRequest,
};

const EIO: i32 = 5;

/// What a read of the partition brings, without offsets.
fn texts(bed: &mut Bed, kafka: &mut Kafka, topic: &str, partition: i32) -> Vec<String> {
    kafka
        .read_all(bed, topic, partition, 0)
        .into_iter()
        .map(|(_, v)| String::from_utf8(v).unwrap())
        .collect()
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

#[test]
fn after_a_failed_write_of_the_log_nothing_is_acked_and_reads_go_on() {
    for single_port in [false, true] {
        let mut how = How::new(31, 1);
        how.settings.single_port = single_port;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 2).unwrap();
        assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["before"])).error_code, 0);
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 1), ErrorCode::None);
        // The file that the log is written to: a spare one may just be made.
        bed.sim.fail_next(bed.node, FileOp::Write, "wal/0-1.", EIO);
        for partition in [0, 1, 0] {
            let refused = kafka.produce(&mut bed, "t", partition, batch(&["after"]));
            assert_eq!(code(refused.error_code), ErrorCode::KafkaStorageError, "{refused:?}");
        }
        // Long after, and although the disk is fine again.
        bed.sim.run_for(60 * SECOND_NS);
        let refused = kafka.produce(&mut bed, "t", 0, batch(&["late"]));
        assert_eq!(code(refused.error_code), ErrorCode::KafkaStorageError);
        assert_eq!(texts(&mut bed, &mut kafka, "t", 0), ["before"]);
        assert!(texts(&mut bed, &mut kafka, "t", 1).is_empty());
        let refused = kafka.commit(&mut bed, "g", "t", 0, 2);
        assert!(refused != ErrorCode::None, "a commit was acked by a log that cannot be written");
        // Metadata is in the same log.
        assert_eq!(kafka.create_topic(&mut bed, "never", 1), Err(ErrorCode::KafkaStorageError));
        assert_eq!(kafka.delete_topic(&mut bed, "t"), ErrorCode::KafkaStorageError);
        let made = kafka.metadata(&mut bed, 0, &["never-either"]);
        assert_eq!(made.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
        // An id that is not written could be given to two producers.
        let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
        assert_eq!(
            code(kafka.call(&mut bed, 0, &request, 4).error_code),
            ErrorCode::KafkaStorageError
        );

        bed.sim.power_cut(bed.node);
        bed.restart();
        let kept = texts(&mut bed, &mut kafka, "t", 0);
        // What was refused may be there or not; what was acked is.
        assert_eq!(kept[0], "before");
        assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["again"])).error_code, 0);
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 3), ErrorCode::None);
    }
}

#[test]
fn a_failed_log_is_that_of_its_core_alone() {
    let mut bed = Bed::start(How::new(32, 2));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 2).unwrap();
    let failing = (0..2).find(|&p| kafka.leader(&mut bed, "t", p) == 1).unwrap();
    bed.sim.fail_always(bed.node, FileOp::Write, "wal/1-", EIO);
    let refused = kafka.produce(&mut bed, "t", failing, batch(&["x"]));
    assert_eq!(code(refused.error_code), ErrorCode::KafkaStorageError);
    assert_eq!(kafka.produce(&mut bed, "t", 1 - failing, batch(&["y"])).error_code, 0);
    assert!(kafka.create_topic(&mut bed, "more", 1).is_ok());
    assert_eq!(texts(&mut bed, &mut kafka, "t", 1 - failing), ["y"]);
    assert!(texts(&mut bed, &mut kafka, "t", failing).is_empty());
}

#[test]
fn groups_of_a_failed_core_do_not_hide_those_of_others() {
    let mut bed = Bed::start(How::new(34, 2).single_port());
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 1).unwrap();
    let groups: Vec<String> = (0..12).map(|n| format!("g{n}")).collect();
    for group in &groups {
        assert_eq!(kafka.commit(&mut bed, group, "t", 0, 1), ErrorCode::None);
    }
    bed.sim.fail_always(bed.node, FileOp::Write, "wal/1-", EIO);
    let failed = groups
        .iter()
        .filter(|group| kafka.commit(&mut bed, group, "t", 0, 2) != ErrorCode::None)
        .count();
    let listed = kafka.call(&mut bed, 0, &ListGroupsRequest::default(), 4);
    assert_eq!(code(listed.error_code), ErrorCode::None);
    assert!(failed > 0 && failed < groups.len(), "{failed}");
    assert_eq!(listed.groups.len(), groups.len() - failed);
}

#[test]
fn a_failed_write_answers_all_that_waited_for_it() {
    let mut bed = Bed::start(How::new(33, 1));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 4).unwrap();
    bed.sim.fail_always(bed.node, FileOp::Write, "wal/", EIO);
    let mut conns: Vec<_> = (0..20).map(|_| bed.connect(0)).collect();
    let ids: Vec<_> = conns
        .iter_mut()
        .zip(0..)
        .map(|(c, n)| c.send(&produce_request("t", n % 4, -1, batch(&["x"])), 9))
        .collect();
    for (conn, id) in conns.iter_mut().zip(ids) {
        let answer = bed.answer::<ProduceRequest<'_>>(conn, id, 9).expect("an answer");
        assert_eq!(
            code(answer.responses[0].partition_responses[0].error_code),
            ErrorCode::KafkaStorageError
        );
    }
    for partition in 0..4 {
        assert!(
            texts(&mut bed, &mut kafka, "t", partition).is_empty(),
            "a record that was refused is seen"
        );
    }
}

fn delete_records(partition: i32, offset: i64) -> DeleteRecordsRequest<'static> {
    let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset }];
    let topics = vec![DeleteRecordsTopic { name: "t".into(), partitions }];
    DeleteRecordsRequest { topics, timeout_ms: 30_000 }
}

#[test]
fn a_log_start_that_cannot_be_written_is_not_waited_for() {
    for single_port in [false, true] {
        let mut how = How::new(36, 2);
        how.settings.single_port = single_port;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 2).unwrap();
        for partition in 0..2 {
            assert_eq!(kafka.produce(&mut bed, "t", partition, batch(&["a", "b"])).error_code, 0);
        }
        bed.sim.fail_always(bed.node, FileOp::Write, "wal/", EIO);
        for (partition, offset) in [(0, 1), (0, 2), (1, 1)] {
            let core = kafka.leader(&mut bed, "t", partition);
            let answer = kafka.call(&mut bed, core, &delete_records(partition, offset), 2);
            let found = &answer.topics[0].partitions[0];
            assert_eq!(
                (code(found.error_code), found.low_watermark),
                (ErrorCode::KafkaStorageError, -1)
            );
        }
    }
}

#[test]
fn a_topic_that_is_deleted_answers_all_that_waited_for_it() {
    let expected =
        |code: ErrorCode| [ErrorCode::None, ErrorCode::UnknownTopicOrPartition].contains(&code);
    for seed in 0..20 {
        let mut bed = Bed::start(How::new(seed, 1));
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["a"])).error_code, 0);
        let mut waiting: Vec<_> = (0..3).map(|_| bed.connect(0)).collect();
        let wait =
            FetchRequest { max_wait_ms: 60_000, min_bytes: 10_000, ..fetch_request("t", 0, 1) };
        let mut ids = vec![waiting[0].send(&wait, 11)];
        bed.sim.run_for(5_000_000);
        ids.push(waiting[1].send(&produce_request("t", 0, -1, batch(&["x"])), 9));
        ids.push(waiting[2].send(&delete_records(0, 1), 2));
        let moment = bed.sim.random() % 400_000;
        bed.sim.run_for(moment);
        assert_eq!(kafka.delete_topic(&mut bed, "t"), ErrorCode::None);
        let fetched =
            bed.answer::<FetchRequest<'_>>(&mut waiting[0], ids[0], 11).expect("an answer");
        let fetched = code(fetched.responses[0].partitions[0].error_code);
        assert!(expected(fetched), "{fetched:?}");
        let produced =
            bed.answer::<ProduceRequest<'_>>(&mut waiting[1], ids[1], 9).expect("an answer");
        let produced = code(produced.responses[0].partition_responses[0].error_code);
        assert!(expected(produced), "{produced:?}");
        let trimmed =
            bed.answer::<DeleteRecordsRequest<'_>>(&mut waiting[2], ids[2], 2).expect("an answer");
        let trimmed = code(trimmed.topics[0].partitions[0].error_code);
        assert!(expected(trimmed), "{trimmed:?}");
        assert!(bed.sim.now() < 3 * SECOND_NS, "somebody waited until {} ns", bed.sim.now());
    }
}

/// Reads from disk are under way when the topic goes.
#[test]
fn a_topic_that_is_deleted_answers_reads_from_its_disk() {
    for seed in 0..20 {
        let mut how = How::new(seed, 1);
        how.storage.cache_bytes = 0;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        for _ in 0..8 {
            assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&[vec![b'x'; 90_000]])).error_code, 0);
        }
        bed.sim.run_for(3 * SECOND_NS);
        let mut waiting: Vec<_> = (0..3).map(|_| bed.connect(0)).collect();
        // Until the connections stand.
        bed.sim.run_for(20_000_000);
        let before = bed.sim.now();
        let fetch = waiting[0].send(&fetch_request("t", 0, 0), 11);
        let partitions = vec![ListOffsetsPartition {
            partition_index: 0,
            current_leader_epoch: -1,
            timestamp: NOW.0,
        }];
        let topics = vec![ListOffsetsTopic { name: "t".into(), partitions }];
        let list = waiting[1]
            .send(&ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }, 7);
        let moment = bed.sim.random() % 300_000;
        bed.sim.run_for(moment);
        assert_eq!(kafka.delete_topic(&mut bed, "t"), ErrorCode::None);
        assert!(bed.answer::<FetchRequest<'_>>(&mut waiting[0], fetch, 11).is_some());
        assert!(bed.answer::<ListOffsetsRequest<'_>>(&mut waiting[1], list, 7).is_some());
        assert!(
            bed.sim.now() - before < 3 * SECOND_NS,
            "somebody waited for {} ns",
            bed.sim.now() - before
        );
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        assert!(texts(&mut bed, &mut kafka, "t", 0).is_empty());
    }
}

#[test]
fn a_disk_that_takes_too_long_is_a_time_out_and_not_a_loss() {
    for single_port in [false, true] {
        let mut how = How::new(37, 2);
        how.settings.single_port = single_port;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 2).unwrap();
        bed.sim.set_disk(bed.node, |disk| (disk.slow, disk.slow_ns) = (1.0, 20 * SECOND_NS));
        let before = bed.sim.now();
        let core = kafka.leader(&mut bed, "t", 0);
        let request =
            ProduceRequest { timeout_ms: 2_000, ..produce_request("t", 0, -1, batch(&["slow"])) };
        let answer = kafka.call(&mut bed, core, &request, 9);
        let answer = code(answer.responses[0].partition_responses[0].error_code);
        let waited = (bed.sim.now() - before) / 1_000_000;
        assert_eq!(answer, ErrorCode::RequestTimedOut);
        assert!((2_000..3_500).contains(&waited), "after {waited} ms");
        assert!(texts(&mut bed, &mut kafka, "t", 0).is_empty(), "seen before it is durable");
        bed.sim.set_disk(bed.node, |disk| disk.slow = 0.0);
        bed.sim.run_for(30 * SECOND_NS);
        assert_eq!(texts(&mut bed, &mut kafka, "t", 0), ["slow"]);
        assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["fast"])).base_offset, 1);
    }
}

fn create(topic: &str, timeout_ms: i32) -> CreateTopicsRequest<'static> {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.to_owned().into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms,
        validate_only: false,
    }
}

/// Asks `core` for a topic, and gives the answer's code and after how many milliseconds it came.
fn create_timed(bed: &mut Bed, core: u16, request: &CreateTopicsRequest<'_>) -> (ErrorCode, u64) {
    let mut conn = bed.connect(core);
    let before = bed.sim.now();
    let id = conn.send(request, 7);
    let answer = bed.answer::<CreateTopicsRequest<'_>>(&mut conn, id, 7).unwrap();
    let waited = (bed.sim.now() - before) / 1_000_000;
    (code(answer.topics[0].error_code), waited)
}

#[test]
fn a_change_of_metadata_takes_no_longer_than_its_request_allows() {
    for single_port in [false, true] {
        let mut how = How::new(43, 2);
        how.settings.single_port = single_port;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        bed.sim.set_disk(bed.node, |disk| (disk.slow, disk.slow_ns) = (1.0, 20 * SECOND_NS));
        for core in 0..2 {
            let request = create(&format!("slow-{core}"), 2_000);
            let (error, waited) = create_timed(&mut bed, core, &request);
            assert_eq!(error, ErrorCode::RequestTimedOut);
            assert!((2_000..2_100).contains(&waited), "after {waited} ms");
        }
        // What it refuses, it refuses in its time too.
        let (error, waited) = create_timed(&mut bed, 1, &create("slow-0", 300));
        assert_eq!(error, ErrorCode::TopicAlreadyExists);
        assert!((300..400).contains(&waited), "after {waited} ms");
        bed.sim.set_disk(bed.node, |disk| disk.slow = 0.0);
        bed.sim.run_for(30 * SECOND_NS);
        // They were made all the same, and another one is answered at once.
        let (error, waited) = create_timed(&mut bed, 0, &create("fast", 30_000));
        assert_eq!(error, ErrorCode::None);
        assert!(waited < 1_000, "after {waited} ms");
        for topic in ["slow-0", "slow-1", "fast"] {
            let made = kafka.produce(&mut bed, topic, 0, batch(&["there"]));
            assert_eq!((made.error_code, made.base_offset), (0, 0), "{topic}");
        }
    }
}

/// The log is full and its disk takes long: nothing can be decided.
#[test]
fn what_waits_for_room_in_the_log_waits_no_longer_than_its_request_allows() {
    for single_port in [false, true] {
        let mut how = small_log(44, 2);
        how.settings.single_port = single_port;
        how.settings.auto_create_topics = false;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 8).unwrap();
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 0), ErrorCode::None);
        bed.sim.set_disk(bed.node, |disk| (disk.slow, disk.slow_ns) = (1.0, 30 * SECOND_NS));
        let mut conns = Vec::new();
        for partition in 0..8 {
            let leader = kafka.leader(&mut bed, "t", partition);
            let mut some: Vec<_> = (0..8).map(|_| bed.connect(leader)).collect();
            flood(&mut some, partition);
            conns.extend(some);
        }
        bed.sim.run_for(SECOND_NS);
        for core in 0..2 {
            let (error, waited) = create_timed(&mut bed, core, &create("never", 2_000));
            assert_eq!(error, ErrorCode::RequestTimedOut);
            assert!((2_000..2_100).contains(&waited), "after {waited} ms");
        }
        let before = bed.sim.now();
        let refused = kafka.commit(&mut bed, "g", "t", 0, 1);
        let waited = (bed.sim.now() - before) / 1_000_000;
        assert_eq!(refused, ErrorCode::CoordinatorNotAvailable);
        assert!((5_000..5_200).contains(&waited), "after {waited} ms");
        bed.sim.set_disk(bed.node, |disk| disk.slow = 0.0);
        bed.sim.run_for(120 * SECOND_NS);
        // What was refused before it was decided has not happened.
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(0));
        let never = kafka.metadata(&mut bed, 1, &["never"]);
        assert_eq!(code(never.topics[0].error_code), ErrorCode::UnknownTopicOrPartition);
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 2), ErrorCode::None);
    }
}

/// The log has it all: a segment that cannot be written makes its own partition read-only, and
/// loses nothing.
#[test]
fn a_failed_segment_is_that_of_its_partition_alone() {
    let mut bed = Bed::start(How::new(34, 1));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 2).unwrap();
    bed.sim.fail_always(bed.node, FileOp::Write, "t-0/", EIO);
    assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["kept"])).error_code, 0);
    let mut failed = false;
    for _ in 0..20 {
        bed.sim.run_for(SECOND_NS);
        assert_eq!(kafka.produce(&mut bed, "t", 1, batch(&["fine"])).error_code, 0);
        let answer = kafka.produce(&mut bed, "t", 0, batch(&["kept"]));
        failed = answer.error_code != 0;
        if failed {
            assert_eq!(code(answer.error_code), ErrorCode::KafkaStorageError);
            break;
        }
    }
    assert!(failed, "the segment was never written");
    let seen = texts(&mut bed, &mut kafka, "t", 0);
    assert!(!seen.is_empty() && seen.iter().all(|t| t == "kept"));
    bed.sim.clear_faults(bed.node);
    bed.sim.power_cut(bed.node);
    bed.restart();
    assert_eq!(texts(&mut bed, &mut kafka, "t", 0), seen);
    assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["again"])).error_code, 0);
}

#[test]
fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let mut bed = Bed::start(How::new(35, 1));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 1).unwrap();
    assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 1), ErrorCode::None);
    let producer = kafka.producer(&mut bed);
    let used = |bed: &Bed| {
        let space = bed.sim.disk(bed.node).space();
        space.total_bytes - space.available_bytes
    };
    bed.sim.disk(bed.node).set_capacity(used(&bed) + (4 << 20));
    let mut acked = 0;
    let mut send = |bed: &mut Bed, kafka: &mut Kafka| {
        let answer = kafka.produce(bed, "t", 0, idempotent(producer, acked, &[vec![b'x'; 50_000]]));
        if answer.error_code == 0 {
            assert_eq!(answer.base_offset, i64::from(acked));
            acked += 1;
        }
        code(answer.error_code)
    };
    let mut refused = None;
    for _ in 0..400 {
        let answer = send(&mut bed, &mut kafka);
        if answer != ErrorCode::None {
            refused = Some(answer);
            break;
        }
        bed.sim.run_for(20_000_000);
    }
    let refused = refused.expect("20 MB into 4 MB");
    assert!(refused.is_retriable(), "{refused:?}");
    for offset in 2..5 {
        let committed = kafka.commit(&mut bed, "g", "t", 0, offset);
        assert_eq!(committed, ErrorCode::None, "positions are taken");
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(offset));
    }
    let seen = kafka.read_all(&mut bed, "t", 0, 0).len();
    assert!(seen > 0, "reads go on");
    bed.sim.run_for(5 * SECOND_NS);
    let made = kafka.create_topic(&mut bed, "more", 1);
    assert!(made.is_ok(), "{made:?}");

    bed.sim.disk(bed.node).set_capacity(4 << 30);
    let mut returned = false;
    for _ in 0..60 {
        bed.sim.run_for(SECOND_NS);
        returned = send(&mut bed, &mut kafka) == ErrorCode::None;
        if returned {
            break;
        }
    }
    assert!(returned, "writes do not return");
    assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 2), ErrorCode::None);
    assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(2));
    for _ in 0..50 {
        assert_eq!(send(&mut bed, &mut kafka), ErrorCode::None);
    }
    bed.sim.power_cut(bed.node);
    bed.restart();
    let all = kafka.read_all(&mut bed, "t", 0, 0);
    assert_eq!(all.len(), acked as usize);
}

/// A log so small that it is always full under [`flood`].
fn small_log(seed: u64, cores: u16) -> How {
    let mut how = How::new(seed, cores);
    // The largest that the bound allows.
    how.storage.wal_file_bytes = 512 << 10;
    how.storage.wal_first_file_bytes = 512 << 10;
    how.storage.unflushed_bytes_max = 1 << 20;
    how
}

/// Sends 400 KB over 8 connections.
fn flood(conns: &mut [Conn], partition: i32) -> Vec<i32> {
    let request = produce_request("t", partition, -1, batch(&[vec![b'x'; 50_000]]));
    conns.iter_mut().map(|c| c.send(&request, 9)).collect()
}

/// More than the log takes: producers are held back, and go on when there is room, not when a clock
/// ticks.
#[test]
fn producers_that_are_held_back_go_on_as_soon_as_there_is_room() {
    let mut bed = Bed::start(small_log(38, 1));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 1).unwrap();
    let mut conns: Vec<_> = (0..8).map(|_| bed.connect(0)).collect();
    let before = bed.sim.now();
    let rounds = 40;
    for _ in 0..rounds {
        let ids = flood(&mut conns, 0);
        for (conn, id) in conns.iter_mut().zip(ids) {
            let answer = bed.answer::<ProduceRequest<'_>>(conn, id, 9).expect("an answer");
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    }
    let took = (bed.sim.now() - before) / 1_000_000;
    assert!(took < 40 * rounds, "{took} ms for {rounds} rounds of 400 KB");
}

/// With one port the connections are on any core: what they send waits where the log is, in its
/// order.
#[test]
fn producers_of_other_cores_wait_for_room_in_the_log_and_keep_their_order() {
    // The second: so little memory that a core has a few requests at the other and holds its
    // connections for the rest.
    for request_bytes_max in [64 << 20, 512 << 10] {
        for seed in seeds(3) {
            let mut how = small_log(seed, 2).single_port();
            how.settings.limits.request_bytes_max = request_bytes_max;
            let mut bed = Bed::start(how);
            let mut kafka = Kafka::default();
            kafka.create_topic(&mut bed, "t", 4).unwrap();
            let mut conns: Vec<_> =
                (0..8).map(|n| (bed.connect(0), kafka.producer(&mut bed), n % 4)).collect();
            let rounds = 12;
            let mut asked = Vec::new();
            for sequence in 0..rounds {
                for (conn, producer, partition) in &mut conns {
                    let value = vec![b'x'; 50_000];
                    let records = idempotent(*producer, sequence, &[value]);
                    let mut request = produce_request("t", *partition, -1, records.clone());
                    // Now and then for partitions of both cores.
                    if sequence % 3 == 0 {
                        let mut other = request.topic_data[0].partition_data[0].clone();
                        other.index = (*partition + 1) % 4;
                        request.topic_data[0].partition_data.push(other);
                    }
                    asked.push(conn.send(&request, 9));
                }
            }
            for (n, id) in asked.into_iter().enumerate() {
                let (conn, _, partition) = &mut conns[n % 8];
                let answer = bed.answer::<ProduceRequest<'_>>(conn, id, 9).expect("an answer");
                let mut parts = answer.responses.iter().flat_map(|t| &t.partition_responses);
                // Its own partition has all of them; the other one has gaps, and says so.
                let own = parts.find(|p| p.index == *partition).unwrap();
                assert_eq!(own.error_code, 0, "{answer:?}");
            }
        }
    }
}

#[test]
fn a_producer_of_another_core_waits_no_longer_than_its_request_allows() {
    let mut bed = Bed::start(small_log(45, 2).single_port());
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 2).unwrap();
    bed.sim.set_disk(bed.node, |disk| (disk.slow, disk.slow_ns) = (1.0, 30 * SECOND_NS));
    let mut conns: Vec<_> = (0..40).map(|_| bed.connect(0)).collect();
    flood(&mut conns, 0);
    flood(&mut conns, 1);
    bed.sim.run_for(SECOND_NS);
    for partition in 0..2 {
        let mut conn = bed.connect(0);
        let before = bed.sim.now();
        let request = ProduceRequest {
            timeout_ms: 2_000,
            ..produce_request("t", partition, -1, batch(&["never"]))
        };
        let id = conn.send(&request, 9);
        let answer = bed.answer::<ProduceRequest<'_>>(&mut conn, id, 9).expect("an answer");
        let waited = (bed.sim.now() - before) / 1_000_000;
        assert_eq!(
            code(answer.responses[0].partition_responses[0].error_code),
            ErrorCode::RequestTimedOut
        );
        assert!((2_000..2_100).contains(&waited), "after {waited} ms");
        // Without an answer it is the end of the connection that says it.
        let mut conn = bed.connect(0);
        conn.send(&ProduceRequest { acks: 0, ..request }, 9);
        assert!(bed.until_closed(&mut conn).is_empty());
    }
    bed.sim.set_disk(bed.node, |disk| disk.slow = 0.0);
    bed.sim.run_for(120 * SECOND_NS);
    for partition in 0..2 {
        let all = texts(&mut bed, &mut kafka, "t", partition);
        assert!(!all.contains(&"never".to_owned()));
    }
}

#[test]
fn changes_of_metadata_wait_for_room_in_the_log() {
    for single_port in [false, true] {
        let mut how = small_log(39, 2);
        how.settings.single_port = single_port;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 2).unwrap();
        let zero = (0..2).find(|&p| single_port || kafka.leader(&mut bed, "t", p) == 0).unwrap();
        let mut conns: Vec<_> = (0..8).map(|_| bed.connect(0)).collect();
        for n in 0..60 {
            let ids = flood(&mut conns, zero);
            let moment = bed.sim.random() % 1_000_000;
            bed.sim.run_for(moment);
            // The same name from both cores: one of them makes it.
            let mut asking: Vec<_> = (0..2).map(|core| bed.connect(core)).collect();
            let request = CreateTopicsRequest {
                topics: vec![CreatableTopic {
                    name: format!("new-{n}").into(),
                    num_partitions: 1,
                    replication_factor: 1,
                    ..Default::default()
                }],
                timeout_ms: 1_000,
                validate_only: false,
            };
            let asked: Vec<_> = asking.iter_mut().map(|c| c.send(&request, 7)).collect();
            let mut codes: Vec<_> = asking
                .iter_mut()
                .zip(asked)
                .map(|(c, id)| {
                    code(
                        bed.answer::<CreateTopicsRequest<'_>>(c, id, 7).expect("an answer").topics
                            [0]
                        .error_code,
                    )
                })
                .collect();
            codes.sort_unstable();
            assert_eq!(codes, [ErrorCode::None, ErrorCode::TopicAlreadyExists]);
            for (conn, id) in conns.iter_mut().zip(ids) {
                let answer = bed.answer::<ProduceRequest<'_>>(conn, id, 9).expect("an answer");
                let answer = code(answer.responses[0].partition_responses[0].error_code);
                assert_eq!(answer, ErrorCode::None);
            }
        }
    }
}

#[test]
fn commits_wait_for_room_in_the_log() {
    let mut bed = Bed::start(small_log(40, 1));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 1).unwrap();
    assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 0), ErrorCode::None);
    let mut conns: Vec<_> = (0..8).map(|_| bed.connect(0)).collect();
    for n in 1..60 {
        let ids = flood(&mut conns, 0);
        let moment = bed.sim.random() % 1_000_000;
        bed.sim.run_for(moment);
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, n), ErrorCode::None);
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(n));
        for (conn, id) in conns.iter_mut().zip(ids) {
            let answer = bed.answer::<ProduceRequest<'_>>(conn, id, 9).expect("an answer");
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    }
}
