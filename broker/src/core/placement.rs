//! Which core of this host owns what. Local placement: records of the metadata log never speak of
//! cores.
use netio::CoreId;
use record::TopicId;

/// The core that leads a partition of this host: partitions of a topic go round the cores, from a
/// core that the topic's id chooses, so that every topic is spread and many small topics are too.
pub fn core_of(topic: TopicId, partition: i32, cores: u16) -> CoreId {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for b in topic.0 {
        h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    }
    // The metadata log lives with the controller.
    if topic == METADATA_TOPIC_ID {
        return CoreId(0);
    }
    let index = (h >> 16).wrapping_add(partition.unsigned_abs().into());
    CoreId((index % u64::from(cores)) as u16)
}

/// `__cluster_metadata` (Kafka: `Uuid.METADATA_TOPIC_ID`).
pub const METADATA_TOPIC_ID: TopicId = TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_go_round_the_cores() {
        for t in 0..50u8 {
            let topic = TopicId([t; 16]);
            let mut seen = [0; 4];
            for p in 0..40 {
                seen[usize::from(core_of(topic, p, 4).0)] += 1;
            }
            assert_eq!(seen, [10; 4]);
        }
    }

    #[test]
    fn topics_of_one_partition_are_spread() {
        let mut seen = [0; 4];
        for t in 0..1000u32 {
            let mut id = [7; 16];
            id[3..7].copy_from_slice(&t.to_be_bytes());
            seen[usize::from(core_of(TopicId(id), 0, 4).0)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 180), "{seen:?}");
    }
}
