//! Answers of Kafka's that are not the obvious ones.
use crate::{
    bed::{Bed, every_mode},
    kafka::{Kafka, batch, fetch_request, values},
};
use wire::{
    ErrorCode,
    fetch::{FetchRequest, FetchTopic},
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
};

fn in_every_mode(test: impl Fn(&mut Bed, &mut Kafka)) {
    for how in every_mode(5) {
        test(&mut Bed::start(how), &mut Kafka::default());
    }
}

#[test]
fn a_special_time_is_known_from_its_version_on() {
    in_every_mode(|bed, kafka| {
        kafka.produce(bed, "t", 0, batch(&["a"]));
        let core = kafka.leader(bed, "t", 0);
        let since = [
            (-1, 1),
            (-2, 1),
            (-3, 7),
            (-4, 8),
            (-5, 9),
            (-6, 11),
            (-7, 99),
        ];
        for (timestamp, since) in since {
            for version in 1..=11 {
                let asked = ListOffsetsPartition {
                    partition_index: 0,
                    current_leader_epoch: -1,
                    timestamp,
                };
                let request = |partitions| ListOffsetsRequest {
                    replica_id: -1,
                    topics: vec![ListOffsetsTopic {
                        name: "t".into(),
                        partitions,
                    }],
                    ..Default::default()
                };
                let answer = kafka.call(bed, core, &request(vec![asked.clone()]), version);
                let code = ErrorCode::from_code(answer.topics[0].partitions[0].error_code);
                let wanted = if version < since {
                    ErrorCode::UnsupportedVersion
                } else {
                    ErrorCode::None
                };
                assert_eq!(code, Some(wanted), "{timestamp} in version {version}");
                let twice = request(vec![asked.clone(), asked]);
                let answer = kafka.call(bed, core, &twice, version);
                let partitions = &answer.topics[0].partitions;
                assert_eq!(partitions.len(), 2);
                for p in partitions {
                    assert_eq!(p.error_code, ErrorCode::InvalidRequest.code());
                }
            }
        }
    });
}

#[test]
fn a_fetch_does_not_wait_for_more_than_it_takes() {
    in_every_mode(|bed, kafka| {
        for partition in 0..2 {
            for _ in 0..4 {
                kafka.produce(bed, "t", partition, batch(&[vec![7; 3_000]]));
            }
        }
        let core = kafka.leader(bed, "t", 0);
        let before = bed.sim.now();
        let request = FetchRequest {
            max_wait_ms: 20_000,
            min_bytes: 1 << 20,
            max_bytes: 2_000,
            ..fetch_request("t", 0, 0)
        };
        let answer = kafka.call(bed, core, &request, 11);
        let found = values(&answer.responses[0].partitions[0], 0);
        assert_eq!(found.len(), 1, "the first batch, whatever its size");
        let waited = (bed.sim.now() - before) / 1_000_000;
        assert!(waited < 1_000, "after {waited} ms");
    });
}

#[test]
fn who_asks_an_old_leader_is_told_the_new_one() {
    in_every_mode(|bed, kafka| {
        kafka.produce(bed, "t", 0, batch(&["a"]));
        // Every start is a new epoch.
        bed.sim.power_cut(bed.node);
        bed.restart();
        let core = kafka.leader(bed, "t", 0);
        let topic = kafka.metadata(bed, core, &["t"]).topics.remove(0);
        let leader = topic.partitions.iter().find(|p| p.partition_index == 0);
        let leader = leader.unwrap();
        for version in [15, 16, 18] {
            let mut topics = fetch_request("t", 0, 0).topics;
            topics[0].partitions[0].current_leader_epoch = leader.leader_epoch - 1;
            let partitions = topics.remove(0).partitions;
            let request = FetchRequest {
                session_epoch: -1,
                topics: vec![FetchTopic {
                    topic_id: topic.topic_id,
                    partitions,
                    ..Default::default()
                }],
                ..fetch_request("t", 0, 0)
            };
            let answer = kafka.call(bed, core, &request, version);
            let data = &answer.responses[0].partitions[0];
            assert_eq!(data.error_code, ErrorCode::FencedLeaderEpoch.code());
            let told = (
                data.current_leader.leader_id,
                data.current_leader.leader_epoch,
            );
            let endpoints = answer.node_endpoints.iter().map(|e| e.node_id);
            if version < 16 {
                assert_eq!((told, endpoints.count()), ((-1, -1), 0));
            } else {
                assert_eq!(told, (leader.leader_id, leader.leader_epoch));
                assert!(endpoints.into_iter().any(|id| id == leader.leader_id));
            }
        }
    });
}
