//! The end of a broker: what it flushes, what it leaves to the next start, and what it says of
//! that.
use crate::{
    bed::{Bed, How, SECOND_NS},
    kafka::{Kafka, batch},
};
use netio::sim::FileOp;
use wire::ErrorCode;

const EIO: i32 = 5;

/// Values of a partition, in order.
fn values(bed: &mut Bed, kafka: &mut Kafka, topic: &str, partition: i32) -> Vec<String> {
    let read = kafka.read_all(bed, topic, partition, 0);
    let text = |(_, value)| String::from_utf8(value).unwrap();
    read.into_iter().map(text).collect()
}

#[test]
fn below_the_reserve_a_stop_keeps_topics_and_records() {
    for mut how in [How::new(81, 1), How::new(82, 2)] {
        how.storage.reserve_bytes = 64 << 20;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 4).unwrap();
        for n in 0..50 {
            let made = kafka.produce(&mut bed, "t", n % 4, batch(&[n.to_string()]));
            assert_eq!(made.error_code, 0);
        }
        // Others have taken space: less than the reserve is left.
        let disk = bed.sim.disk(bed.node);
        let space = disk.space();
        assert!(space.available_bytes > 64 << 20, "{space:?}");
        disk.set_capacity(space.total_bytes - space.available_bytes + (48 << 20));
        // The space is looked at, and found to be below the reserve.
        bed.sim.run_for(5 * SECOND_NS / 2);
        assert_eq!(bed.stop_within(20 * SECOND_NS), None, "a clean stop");
        bed.how.storage.reserve_bytes = 1 << 20;
        bed.restart();
        let mut kafka = Kafka::default();
        for partition in 0..4 {
            let want: Vec<String> =
                (0..50).filter(|n| n % 4 == partition).map(|n| n.to_string()).collect();
            assert_eq!(values(&mut bed, &mut kafka, "t", partition), want);
        }
    }
}

#[test]
fn on_a_full_device_a_stop_says_what_is_left_and_the_next_start_has_it() {
    for (seed, cores) in [(83, 1), (84, 2)] {
        let mut bed = Bed::start(How::new(seed, cores));
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 4).unwrap();
        for n in 0..20 {
            let made = kafka.produce(&mut bed, "t", n % 4, batch(&[n.to_string()]));
            assert_eq!(made.error_code, 0);
        }
        let disk = bed.sim.disk(bed.node);
        let space = disk.space();
        disk.set_capacity(space.total_bytes - space.available_bytes);
        let left = bed.stop_within(20 * SECOND_NS).expect("something is left");
        assert!(left.contains("not a clean stop") && left.contains("no space"), "{left}");
        disk.set_capacity(space.total_bytes);
        bed.restart();
        let mut kafka = Kafka::default();
        for partition in 0..4 {
            let want: Vec<String> =
                (0..20).filter(|n| n % 4 == partition).map(|n| n.to_string()).collect();
            assert_eq!(values(&mut bed, &mut kafka, "t", partition), want);
        }
    }
}

#[test]
fn after_a_fault_a_stop_says_so() {
    let mut bed = Bed::start(How::new(85, 2));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 2).unwrap();
    bed.sim.fail_always(bed.node, FileOp::Write, "wal/", EIO);
    kafka.produce(&mut bed, "t", 0, batch(&["lost"]));
    let left = bed.stop_within(20 * SECOND_NS).expect("not clean");
    assert!(left.contains("read-only since"), "{left}");
    bed.sim.clear_faults(bed.node);
    bed.restart();
}

/// Looks at segments for retention were wanted of every partition, 32 of them were looked at in a
/// turn, and an idle core takes a turn a second.
#[test]
fn right_after_a_retention_check_many_idle_partitions_do_not_hold_up_a_stop() {
    let mut how = How::new(86, 1);
    how.storage.retention_check_ms = 700;
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 600).unwrap();
    bed.sim.run_for(3 * SECOND_NS);
    assert_eq!(bed.stop_within(2 * SECOND_NS), None);
    bed.restart();
}

#[test]
fn a_stop_that_takes_too_long_leaves_the_rest_to_the_next_start() {
    let mut how = How::new(87, 2);
    how.settings.limits.stop_ms = 500;
    // A device on which the flush of every partition takes many seconds.
    how.sim.disk.latency_ns = (30_000_000, 60_000_000);
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 60).unwrap();
    for partition in 0..60 {
        let made = kafka.produce(&mut bed, "t", partition, batch(&["value"]));
        assert_eq!(made.error_code, 0);
    }
    let left = bed.stop_within(4 * SECOND_NS).expect("not clean");
    assert!(left.contains("millrace.stop.ms=500"), "{left}");
    bed.restart();
    let mut kafka = Kafka::default();
    for partition in 0..60 {
        assert_eq!(values(&mut bed, &mut kafka, "t", partition), ["value"]);
    }
}

/// Found when `other` had been recovered, and so was in the checkpoint of the start.
#[test]
fn a_topic_that_was_deleted_is_no_obstacle_to_a_clean_stop() {
    let mut bed = Bed::start(How::new(88, 2));
    let mut kafka = Kafka::default();
    for topic in ["t", "other"] {
        kafka.create_topic(&mut bed, topic, 2).unwrap();
        for partition in 0..2 {
            let made = kafka.produce(&mut bed, topic, partition, batch(&["value"]));
            assert_eq!(made.error_code, 0);
        }
    }
    bed.sim.kill(bed.node);
    bed.restart();
    let mut kafka = Kafka::default();
    assert_eq!(kafka.delete_topic(&mut bed, "other"), ErrorCode::None);
    bed.sim.run_for(SECOND_NS);
    assert_eq!(bed.stop_within(20 * SECOND_NS), None);
    let points = bed.sim.disk(bed.node).read("data/kafka/recovery-point-offset-checkpoint");
    let points = String::from_utf8(points.unwrap()).unwrap();
    assert!(points.contains("t 0 1\nt 1 1\n") && !points.contains("other"), "{points}");
}

/// With 20,000 logs a sync of each directory is a minute.
#[test]
fn a_stop_syncs_all_logs_at_once() {
    for fails in [false, true] {
        let mut bed = Bed::start(How::new(89, 2));
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 20).unwrap();
        for partition in 0..20 {
            let made = kafka.produce(&mut bed, "t", partition, batch(&["value"]));
            assert_eq!(made.error_code, 0);
        }
        // None of them is asked for.
        bed.sim.fail_always(bed.node, FileOp::SyncDir, "kafka/t-", EIO);
        bed.sim.fail_always(bed.node, FileOp::Sync, "kafka/t-", EIO);
        if fails {
            bed.sim.fail_always(bed.node, FileOp::SyncAll, "kafka", EIO);
        }
        let left = bed.stop_within(20 * SECOND_NS);
        match left {
            None => assert!(!fails, "clean without a sync"),
            Some(left) => assert!(fails && left.contains("sync all data/kafka"), "{left}"),
        }
        bed.sim.clear_faults(bed.node);
        if fails {
            bed.sim.power_cut(bed.node);
        }
        bed.restart();
        let mut kafka = Kafka::default();
        for partition in 0..20 {
            assert_eq!(values(&mut bed, &mut kafka, "t", partition), ["value"]);
        }
    }
}
