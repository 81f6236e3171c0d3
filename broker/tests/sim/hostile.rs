//! Bytes that mean harm, and peers that go away: only their own connection suffers.
use crate::{
    bed::{Bed, Conn, How, SECOND_NS, every_mode, seeds},
    kafka::{Kafka, batch, fetch_request, produce_request},
};
use schema::Random;
use std::collections::VecDeque;
use wire::{
    ApiKey, Reader,
    api_versions::ApiVersionsRequest,
    fetch::FetchRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
    metadata::MetadataRequest,
    produce::ProduceRequest,
};

/// A broker with a client that behaves, and whose connections must not notice anything.
struct World {
    bed: Bed,
    kafka: Kafka,
    /// Opened before all others and used to the end.
    old: Conn,
    written: i64,
}

impl World {
    fn new(how: How) -> Self {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "good", 1).unwrap();
        let core = kafka.leader(&mut bed, "good", 0);
        let old = bed.connect(core);
        let mut world = Self { bed, kafka, old, written: 0 };
        world.is_fine();
        world
    }

    /// The connection of old still works, and a new one does.
    fn is_fine(&mut self) {
        for acks in [1, -1] {
            let request = produce_request("good", 0, acks, batch(&["fine"]));
            let answer = self.bed.call(&mut self.old, &request, 9);
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (0, self.written));
            self.written += 1;
        }
        let core = self.kafka.leader(&mut self.bed, "good", 0);
        let mut new = self.bed.connect(core);
        let answer = self.bed.call(&mut new, &fetch_request("good", 0, self.written - 1), 11);
        assert_eq!(answer.responses[0].partitions[0].high_watermark, self.written);
        assert!(!self.bed.sim.has_ended(self.bed.node));
    }
}

#[test]
fn random_bytes_end_their_connection() {
    for seed in seeds(2) {
        for how in every_mode(seed) {
            let mut random = Random(seed);
            let mut world = World::new(how);
            let mut conns = Vec::new();
            for _ in 0..150 {
                let conn = world.bed.connect(world.bed.cores() - 1);
                let mut bytes: Vec<u8> =
                    (0..random.below(400)).map(|_| random.next_u64() as u8).collect();
                // Some look like a frame, some even like a request.
                if random.below(2) == 0 && bytes.len() > 8 {
                    let size = (bytes.len() - 4) as u32;
                    bytes[..4].copy_from_slice(&size.to_be_bytes());
                    if random.below(2) == 0 {
                        bytes[4..8].copy_from_slice(&[
                            0,
                            random.below(76) as u8,
                            0,
                            random.below(14) as u8,
                        ]);
                    }
                }
                conn.client.send(bytes);
                conns.push(conn);
            }
            world.bed.sim.run_for(SECOND_NS);
            world.is_fine();
            // The rest are frames that never end: their time does.
            world.bed.sim.run_for(62 * SECOND_NS);
            let open = conns.iter().filter(|c| c.client.ended().is_none()).count();
            assert!(open < 20, "{open} connections are still open");
            world.is_fine();
        }
    }
}

#[test]
fn impossible_lengths_end_the_connection_at_once() {
    let mut how = How::new(21, 1);
    how.settings.limits.frame_bytes_max = 1 << 20;
    let mut world = World::new(how);
    for size in [-1, i32::MIN, i32::MAX, (1 << 20) + 1, 0, 3] {
        let mut conn = world.bed.connect(0);
        let before = world.bed.sim.now();
        conn.client.send([&size.to_be_bytes()[..], &[0; 3]].concat());
        assert!(world.bed.until_closed(&mut conn).is_empty(), "{size}");
        assert!(world.bed.sim.now() - before < SECOND_NS, "{size}");
    }
    world.is_fine();
}

#[test]
fn large_frames_wait_for_memory_and_give_it_back() {
    let mut how = How::new(22, 1);
    how.settings.limits.frame_bytes_max = 1 << 20;
    how.settings.limits.request_bytes_max = 2 << 20;
    let mut world = World::new(how);
    for leave in [false, true] {
        let conns: Vec<Conn> = (0..6).map(|_| world.bed.connect(0)).collect();
        for conn in &conns {
            conn.client.send([&(1_000_000_i32).to_be_bytes()[..], &[0; 100_000]].concat());
        }
        world.bed.sim.run_for(SECOND_NS);
        world.is_fine();
        if leave {
            drop(conns);
            world.bed.sim.run_for(SECOND_NS);
        } else {
            // Two at a time find room, and have their minute.
            world.bed.sim.run_for(200 * SECOND_NS);
            let open = conns.iter().filter(|c| c.client.ended().is_none()).count();
            assert_eq!(open, 0);
        }
        // All of the memory is there again.
        let mut honest = world.bed.connect(0);
        for _ in 0..4 {
            let request = produce_request("good", 0, -1, batch(&[vec![1; 900_000]]));
            let answer = world.bed.call(&mut honest, &request, 9);
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            world.written += 1;
        }
    }
}

/// Milliseconds until the answer to a request of 900 KB that writes one record.
fn produce_large(world: &mut World) -> u64 {
    let mut honest = world.bed.connect(0);
    let request = produce_request("good", 0, -1, batch(&[vec![1; 900_000]]));
    let before = world.bed.sim.now();
    let answer = world.bed.call(&mut honest, &request, 9);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    world.written += 1;
    (world.bed.sim.now() - before) / 1_000_000
}

/// What is announced and does not come holds little, and not for long: a frame's minute is for
/// those whom nobody waits for.
#[test]
fn who_announces_and_does_not_send_keeps_nobody_waiting() {
    /// What a connection sends after its length: at once, and then each second.
    const KINDS: [(usize, usize); 4] = [(0, 0), (1_000, 0), (600_000, 0), (0, 1_000)];
    for (first, more) in KINDS {
        let mut how = How::new(26, 1);
        how.settings.limits.frame_bytes_max = 1 << 20;
        how.settings.limits.request_bytes_max = 16 << 20;
        let mut world = World::new(how);
        let announce = |bed: &Bed| {
            let conn = bed.connect(0);
            let length = 1_000_000_i32.to_be_bytes();
            conn.client.send([&length[..], &vec![0; first]].concat());
            conn
        };
        let mut hostile: Vec<Conn> = (0..100).map(|_| announce(&world.bed)).collect();
        world.bed.sim.run_for(SECOND_NS / 10);
        for round in 0..10 {
            let waited = produce_large(&mut world);
            // Who sends a good deal of it first looks like others for longer.
            let most = if first > 500_000 { 30_000 } else { 10_000 };
            assert!(
                waited < most,
                "{first} bytes and {more} a second: {waited} ms in round {round}"
            );
            for conn in &mut hostile {
                // They come again and again.
                if conn.client.ended().is_some() {
                    *conn = announce(&world.bed);
                } else {
                    conn.client.send(vec![0; more]);
                }
            }
            world.bed.sim.run_for(SECOND_NS);
        }
        drop(hostile);
        world.bed.sim.run_for(SECOND_NS);
        assert!(produce_large(&mut world) < 1_000);
        world.is_fine();
    }
}

/// More large frames at once than there is memory for, in pieces: each has a part, and all of them
/// come to their end.
#[test]
fn large_frames_do_not_wait_for_each_other() {
    for seed in seeds(2) {
        let mut how = How::new(seed, 1);
        how.settings.limits.frame_bytes_max = 4 << 20;
        how.settings.limits.request_bytes_max = 1 << 20;
        let mut world = World::new(how);
        let value = vec![2; 900_000];
        let frame = {
            let request = produce_request("good", 0, -1, batch(&[value]));
            wire::encode_request(&request, 5, Some("sim"), 9).unwrap()
        };
        let frame = frame.concat();
        let mut conns: Vec<Conn> = (0..30).map(|_| world.bed.connect(0)).collect();
        for piece in frame.chunks(90_000) {
            for conn in &conns {
                conn.client.send(piece.to_vec());
            }
            world.bed.sim.run_for(SECOND_NS / 100);
        }
        let before = world.bed.sim.now();
        for conn in &mut conns {
            let answer = world.bed.answer::<ProduceRequest<'_>>(conn, 5, 9).unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            world.written += 1;
        }
        let waited = (world.bed.sim.now() - before) / 1_000_000;
        assert!(waited < 2_000, "after {waited} ms");
        world.is_fine();
    }
}

#[test]
fn a_frame_has_its_time_and_no_more() {
    let limits = How::new(23, 1).settings.limits;
    let mut world = World::new(How::new(23, 1));
    let cases: [(&[u8], u64); 4] = [
        (&[0, 0], limits.frame_header_ms),
        (&[0, 0, 0, 50, 0, 3], limits.frame_body_ms),
        (&[0, 1, 0x86, 0xa0, 0, 3], limits.frame_body_ms),
        (&[], limits.connection_idle_ms),
    ];
    for (bytes, ms) in cases {
        let conn = world.bed.connect(0);
        world.bed.sim.run_for(SECOND_NS);
        let before = world.bed.sim.now();
        conn.client.send(bytes.to_vec());
        let closed =
            world.bed.sim.run_until((ms + 5_000) * 1_000_000, |_| conn.client.ended().is_some());
        let waited = (world.bed.sim.now() - before) / 1_000_000;
        assert!(
            closed && waited + 2_000 > ms,
            "{bytes:x?}: closed: {closed}, after {waited} of {ms} ms"
        );
    }
    // One more byte now and then does not help.
    let conn = world.bed.connect(0);
    conn.client.send([0, 0, 3, 0].to_vec());
    let before = world.bed.sim.now();
    while conn.client.ended().is_none() && world.bed.sim.now() - before < 100 * SECOND_NS {
        conn.client.send(vec![0]);
        world.bed.sim.run_for(SECOND_NS);
    }
    let waited = (world.bed.sim.now() - before) / SECOND_NS;
    assert!((58..64).contains(&waited), "a frame of a byte a second was let in for {waited} s");
    let core = world.kafka.leader(&mut world.bed, "good", 0);
    world.old = world.bed.connect(core);
    world.is_fine();
}

/// As by Kafka's `Selector`; but a frame has its time all the same.
#[test]
fn every_byte_is_activity() {
    const IDLE_S: u64 = 10;
    let mut how = How::new(25, 1);
    how.settings.limits.connection_idle_ms = IDLE_S * 1_000;
    let mut world = World::new(how);
    let bed = &mut world.bed;
    // Nothing at all; the beginning of a frame and no more.
    for bytes in [&[][..], &[0, 0, 3]] {
        let conn = bed.connect(0);
        conn.client.send(bytes.to_vec());
        let before = bed.sim.now();
        bed.sim.run_until(100 * SECOND_NS, |_| conn.client.ended().is_some());
        let waited = (bed.sim.now() - before) / SECOND_NS;
        assert!((IDLE_S..IDLE_S + 3).contains(&waited), "{bytes:?}: {waited} s");
    }
    // A frame that comes slowly, a small one and one that is received in one shot: for longer than
    // a connection may be idle.
    for size in [10, 60_000] {
        let mut conn = bed.connect(0);
        let request = produce_request("good", 0, -1, batch(&[vec![7; size]]));
        let frame = wire::encode_request(&request, 5, Some("sim"), 9).unwrap();
        let frame = frame.concat();
        for piece in frame.chunks(frame.len().div_ceil(40)) {
            assert!(conn.client.ended().is_none(), "closed while its frame comes");
            conn.client.send(piece.to_vec());
            bed.sim.run_for(SECOND_NS);
        }
        let answer = bed.answer::<ProduceRequest<'_>>(&mut conn, 5, 9).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        world.written += 1;
    }
    world.old = world.bed.connect(0);
    world.is_fine();
}

#[test]
fn many_requests_at_once_are_answered_in_order() {
    for how in every_mode(24) {
        let mut random = Random(24);
        let mut world = World::new(how);
        let bed = &mut world.bed;
        let core = world.kafka.leader(bed, "good", 0);
        let mut conn = bed.connect(core);
        let mut wanted: VecDeque<(ApiKey, i32)> = VecDeque::new();
        let mut produced = 0;
        for _ in 0..1_500 {
            wanted.push_back(match random.below(5) {
                0 => (
                    ApiKey::Metadata,
                    conn.send(
                        &MetadataRequest {
                            topics: None,
                            allow_auto_topic_creation: true,
                            ..Default::default()
                        },
                        5,
                    ),
                ),
                1 => (ApiKey::ApiVersions, conn.send(&ApiVersionsRequest::default(), 1)),
                2 => {
                    let request = FetchRequest {
                        max_wait_ms: 3,
                        ..fetch_request("good", 0, i64::from(random.below(3) as i32))
                    };
                    (ApiKey::Fetch, conn.send(&request, 10))
                }
                3 => {
                    produced += 1;
                    conn.send(&produce_request("good", 0, 0, batch(&["no answer"])), 8);
                    continue;
                }
                _ => {
                    produced += 1;
                    (
                        ApiKey::Produce,
                        conn.send(&produce_request("good", 0, -1, batch(&["answer"])), 8),
                    )
                }
            });
        }
        for (key, id) in wanted {
            let frame = bed.frame(&mut conn).unwrap_or_else(|| panic!("{key:?} {id}: closed"));
            assert_eq!(Reader::new(&frame).i32().unwrap(), id, "{key:?}");
        }
        world.written += produced;
        world.is_fine();
    }
}

#[test]
fn peers_that_go_away_in_the_middle_leave_nothing_behind() {
    for seed in seeds(2) {
        for how in every_mode(seed) {
            let mut random = Random(seed);
            let mut world = World::new(how);
            world.kafka.create_topic(&mut world.bed, "left", 4).unwrap();
            let coordinator = world.kafka.coordinator(&mut world.bed, "left");
            for n in 0..120 {
                let partition = random.below(4) as i32;
                let leader = world.kafka.leader(&mut world.bed, "left", partition);
                let kind = random.below(4);
                let mut conn = world.bed.connect(if kind == 2 { coordinator } else { leader });
                for _ in 0..=random.below(3) {
                    match kind {
                        0 => {
                            conn.send(
                                &produce_request("left", partition, -1, batch(&[vec![0; 20_000]])),
                                9,
                            );
                        }
                        1 => {
                            conn.send(
                                &FetchRequest {
                                    max_wait_ms: 60_000,
                                    min_bytes: 1 << 20,
                                    ..fetch_request("left", partition, 0)
                                },
                                11,
                            );
                        }
                        2 => {
                            let request = JoinGroupRequest {
                                group_id: "left".into(),
                                session_timeout_ms: 6_000,
                                rebalance_timeout_ms: 6_000,
                                protocol_type: "consumer".into(),
                                protocols: vec![JoinGroupRequestProtocol {
                                    name: "range".into(),
                                    metadata: vec![0].into(),
                                }],
                                ..Default::default()
                            };
                            // Before version 4 a member is made at once.
                            conn.send(&request, 3);
                        }
                        _ => {
                            let name = format!("left-{n}").into();
                            let topic = wire::metadata::MetadataRequestTopic {
                                name: Some(name),
                                ..Default::default()
                            };
                            conn.send(
                                &MetadataRequest {
                                    topics: Some(vec![topic]),
                                    allow_auto_topic_creation: true,
                                    ..Default::default()
                                },
                                9,
                            );
                        }
                    }
                }
                world.bed.sim.run_for(random.next_u64() % 2_000_000);
                conn.client.close(random.below(2) == 0);
            }
            world.is_fine();
            // Members that went away are expelled, and the group works for others.
            world.bed.sim.run_for(30 * SECOND_NS);
            world.is_fine();
            assert_eq!(
                world.kafka.commit(&mut world.bed, "left", "left", 0, 1),
                wire::ErrorCode::None
            );
            let connections: u64 =
                world.bed.sim.stats(world.bed.node).iter().map(|s| s.connections).sum();
            assert!(connections <= 10, "{connections} connections are open");
            for partition in 0..4 {
                world.kafka.read_all(&mut world.bed, "left", partition, 0);
            }
        }
    }
}

#[test]
fn connections_above_the_limit_are_refused() {
    let mut how = How::new(25, 1);
    how.settings.limits.connections_per_ip_max = 5;
    let mut world = World::new(how);
    world.bed.sim.run_for(SECOND_NS);
    let conns: Vec<Conn> = (0..10).map(|_| world.bed.connect(0)).collect();
    world.bed.sim.run_for(SECOND_NS);
    let open = conns.iter().filter(|c| c.client.ended().is_none()).count();
    // Two of the five are the witness's own.
    assert_eq!(open, 3);
    drop(conns);
    world.bed.sim.run_for(SECOND_NS);
    world.is_fine();
}
