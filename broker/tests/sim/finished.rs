//! Clients that close for writing behind their last request, and read on: what came whole is
//! answered, then the connection ends.
use crate::{
    bed::{Bed, Conn, SECOND_NS, every_mode, seeds},
    kafka::{batch, fetch_request, produce_request, with_topic},
};
use wire::{
    Reader,
    api_versions::ApiVersionsRequest,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    fetch::FetchRequest,
    metadata::MetadataRequest,
};

/// The answers to these requests, and no more; and the connection ended in order.
fn answered_and_closed(bed: &mut Bed, conn: &mut Conn, ids: &[i32]) {
    for id in ids {
        let frame = bed.frame(conn);
        let frame = frame.unwrap_or_else(|| panic!("closed before the answer to {id}"));
        assert_eq!(Reader::new(&frame).i32().unwrap(), *id);
    }
    assert!(bed.until_closed(conn).is_empty());
    assert_eq!(conn.client.ended(), Some(None));
}

#[test]
fn what_came_whole_is_answered() {
    for seed in seeds(3) {
        for how in every_mode(seed) {
            let (mut bed, mut kafka, core) = with_topic(how);
            // Part of a frame behind them: none; of its length; of its body; of one that is
            // received in one shot.
            let rests: [&[u8]; 4] = [&[], &[0, 0], &[0, 0, 1, 0, 7], &[0, 1, 0, 0, 7]];
            for rest in rests {
                let mut conn = bed.connect(core);
                let create = CreateTopicsRequest {
                    topics: vec![CreatableTopic {
                        name: format!("new-{}", rest.len()).into(),
                        num_partitions: 1,
                        replication_factor: 1,
                        ..Default::default()
                    }],
                    timeout_ms: 30_000,
                    validate_only: false,
                };
                let mut ids = vec![conn.send(&create, 7)];
                let produce = produce_request("t", 0, -1, batch(&["v"]));
                ids.extend((0..20).map(|_| conn.send(&produce, 9)));
                conn.send(&produce_request("t", 0, 0, batch(&["no answer"])), 9);
                ids.push(conn.send(&fetch_request("t", 0, 0), 11));
                // More than a connection's turn.
                let metadata = MetadataRequest::default();
                ids.extend((0..300).map(|_| conn.send(&metadata, 5)));
                ids.push(conn.send(&produce, 9));
                conn.client.send(rest.to_vec());
                conn.client.finish();
                answered_and_closed(&mut bed, &mut conn, &ids);
            }
            let written = kafka.read_all(&mut bed, "t", 0, 0).len();
            assert_eq!(written, 4 * 22);
        }
    }
}

#[test]
fn who_finishes_at_rest_is_gone_at_once() {
    for how in every_mode(5) {
        let mut bed = Bed::start(how);
        for requests in [0, 1] {
            let mut conn = bed.connect(0);
            for _ in 0..requests {
                bed.call(&mut conn, &ApiVersionsRequest::default(), 1);
            }
            bed.sim.run_for(SECOND_NS / 10);
            let before = bed.sim.now();
            conn.client.finish();
            answered_and_closed(&mut bed, &mut conn, &[]);
            assert!(bed.sim.now() - before < SECOND_NS / 2);
        }
    }
}

#[test]
fn a_long_poll_ends_with_its_client() {
    for seed in seeds(3) {
        for how in every_mode(seed) {
            let (mut bed, _, core) = with_topic(how);
            let mut conn = bed.connect(core);
            let fetch = FetchRequest {
                max_wait_ms: 60_000,
                min_bytes: 1 << 20,
                ..fetch_request("t", 0, 0)
            };
            let ids: Vec<i32> = (0..3).map(|_| conn.send(&fetch, 11)).collect();
            // Also while a round is under way.
            bed.sim.run_for(seed * SECOND_NS / 2_000);
            let before = bed.sim.now();
            conn.client.finish();
            answered_and_closed(&mut bed, &mut conn, &ids);
            assert!(bed.sim.now() - before < SECOND_NS, "nobody is there to wait");
        }
    }
}

#[test]
fn a_client_that_finishes_and_leaves_is_forgotten() {
    for how in every_mode(6) {
        let (mut bed, mut kafka, core) = with_topic(how);
        bed.sim.run_for(SECOND_NS);
        let open = |bed: &Bed| -> u64 {
            let stats = bed.sim.stats(bed.node);
            stats.iter().map(|s| s.connections).sum()
        };
        let before = open(&bed);
        for n in 0..20 {
            let mut conn = bed.connect(core);
            conn.send(&produce_request("t", 0, -1, batch(&["v"])), 9);
            conn.send(&fetch_request("t", 0, 0), 11);
            bed.sim.run_for(n * 20_000);
            conn.client.finish();
            bed.sim.run_for(n * 10_000);
        }
        bed.sim.run_for(10 * SECOND_NS);
        assert_eq!(open(&bed), before);
        // Who left before it stood has sent nothing.
        assert!(kafka.read_all(&mut bed, "t", 0, 0).len() <= 20);
    }
}
