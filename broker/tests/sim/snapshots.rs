//! The metadata log begins anew with a snapshot, also when the log has no room for all of it at
//! once.
use crate::{
    bed::{Bed, How, SECOND_NS, seeds},
    kafka::Kafka,
};
use wire::{
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    describe_quorum::{DescribeQuorumRequest, RequestPartitionData, RequestTopicData},
};

const TOPICS: usize = 60;
const KEY: &str = "follower.replication.throttled.replicas";

/// About 20 KB, other ones for each round.
fn value(topic: usize, round: usize) -> String {
    let replicas: Vec<_> = (0..3_000).map(|i| format!("{i}:{}", topic + round)).collect();
    replicas.join(",")
}

/// `log_end` of `__cluster_metadata`.
fn log_end(bed: &mut Bed, kafka: &mut Kafka) -> i64 {
    let topics = vec![RequestTopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![RequestPartitionData::default()],
    }];
    let answer = kafka.call(bed, 0, &DescribeQuorumRequest { topics }, 1);
    answer.topics[0].partitions[0].current_voters[0].log_end_offset
}

fn described(bed: &mut Bed, kafka: &mut Kafka, topic: usize) -> Option<String> {
    let resources = vec![DescribeConfigsResource {
        resource_type: 2,
        resource_name: format!("topic{topic}").into(),
        configuration_keys: Some(vec![KEY.into()]),
    }];
    let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
    let mut answer = kafka.call(bed, 0, &request, 4);
    answer.results.remove(0).configs.remove(0).value.map(|value| value.into_owned())
}

/// Crash shown: the log refuses a batch in the middle of a snapshot, the next turn begins with the
/// first one again, and so on: the log grows until the device is full.
#[test]
fn a_snapshot_goes_on_where_it_was_refused() {
    for seed in seeds(2) {
        let mut how = How::new(seed, 1);
        // Less than the image takes.
        how.storage.unflushed_bytes_max = 1 << 20;
        how.settings.limits.metadata_snapshot_bytes = 3 << 20;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        for topic in 0..TOPICS {
            kafka.create_topic(&mut bed, &format!("topic{topic}"), 1).unwrap();
        }
        let mut records = 0;
        let mut last = 0;
        for round in 0..3 {
            for topic in 0..TOPICS {
                let name = format!("topic{topic}");
                kafka.set_config(&mut bed, &name, KEY, &value(topic, round));
                let end = log_end(&mut bed, &mut kafka);
                if end > last + 1 && last > 0 {
                    records += end - last - 1;
                }
                last = end;
            }
        }
        bed.sim.run_for(30 * SECOND_NS);
        let end = log_end(&mut bed, &mut kafka);
        records += end - last;
        // Topic, partition and configuration of each; features, the host and producer ids beside.
        let snapshot = 3 * TOPICS as i64;
        assert!((snapshot..snapshot + 20).contains(&records), "{records} records of snapshots");
        bed.sim.run_for(30 * SECOND_NS);
        assert_eq!(log_end(&mut bed, &mut kafka), end);

        bed.sim.power_cut(bed.node);
        bed.restart();
        let mut kafka = Kafka::default();
        for topic in 0..TOPICS {
            let is = described(&mut bed, &mut kafka, topic);
            assert!(is == Some(value(topic, 2)), "the configuration of topic{topic}");
        }
    }
}
