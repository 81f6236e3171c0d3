//! Starts that fail or are asked to stop on the way: the process ends and says why, and the next
//! start finds what was acked.
use crate::{
    bed::{Bed, How, PATIENCE_NS, seeds},
    kafka::{Kafka, batch},
};
use netio::sim::FileOp;

const EIO: i32 = 5;
const EACCES: i32 = 13;
const ENOSPC: i32 = 28;

/// Offsets and values of a partition's records.
type Records = Vec<(i64, Vec<u8>)>;

/// A topic with records that are not in segments, on every core; the process is killed. With them,
/// by partition.
fn with_records(how: How) -> (Bed, Vec<Records>) {
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 4).unwrap();
    for round in 0..20 {
        for partition in 0..4 {
            let value = vec![round; 10_000];
            let produced = kafka.produce(&mut bed, "t", partition, batch(&[value]));
            assert_eq!(produced.error_code, 0);
        }
    }
    let acked = read(&mut bed);
    bed.sim.kill(bed.node);
    (bed, acked)
}

fn read(bed: &mut Bed) -> Vec<Vec<(i64, Vec<u8>)>> {
    let mut kafka = Kafka::default();
    (0..4).map(|partition| kafka.read_all(bed, "t", partition, 0)).collect()
}

#[test]
fn an_error_of_any_core_ends_all_of_them_and_is_said() {
    // Operations of the start, and the core that does them.
    let make: &[FileOp] = &[FileOp::Rename, FileOp::Allocate];
    let faults = [
        (0, &[FileOp::ReadDir][..], "wal"),
        (0, &[FileOp::Open], "recovered.checkpoint"),
        (0, &[FileOp::Open], "meta.properties"),
        (0, make, "wal/0-"),
        (1, make, "wal/1-"),
        (2, make, "wal/2-"),
    ];
    for (at, (core, ops, path)) in (0..).zip(faults) {
        for errno in [EIO, EACCES, ENOSPC] {
            let mut how = How::new(at, 3);
            how.settings.single_port = errno == EIO;
            let (mut bed, acked) = with_records(how);
            for op in ops {
                bed.sim.fail_always(bed.node, *op, path, errno);
            }
            bed.begin_restart();
            let ended = bed.sim.run_until(PATIENCE_NS, |sim| sim.has_ended(bed.node));
            let progress = bed.progress();
            assert!(ended, "{ops:?} of {path}: it hangs: {progress:?}");
            let reason = progress.failed.unwrap();
            assert!(reason.starts_with(&format!("core {core}: ")), "{ops:?} of {path}: {reason}");
            bed.sim.clear_faults(bed.node);
            bed.restart();
            assert_eq!(read(&mut bed), acked, "{ops:?} of {path}");
        }
    }
}

#[test]
fn a_stop_at_any_moment_of_a_start_ends_it() {
    for seed in seeds(6) {
        for cores in [1, 2] {
            let (mut bed, acked) = with_records(How::new(seed, cores));
            let before = bed.sim.now();
            bed.restart();
            let whole_ns = bed.sim.now() - before;
            bed.sim.kill(bed.node);
            let moments = 16;
            for moment in 0..=moments {
                bed.begin_restart();
                bed.sim.run_for(whole_ns * moment / moments);
                bed.sim.stop(bed.node);
                let ended = bed.sim.run_until(PATIENCE_NS, |sim| sim.has_ended(bed.node));
                assert!(
                    ended,
                    "seed {seed}, {cores} cores, stopped at {moment} of {moments}: it hangs"
                );
            }
            bed.restart();
            assert_eq!(read(&mut bed), acked, "seed {seed}");
        }
    }
}

#[test]
fn a_core_that_waits_for_another_ends_when_that_one_cannot_start() {
    // Core 0 finds out after it has begun to serve its own logs: the others wait for it.
    let (mut bed, acked) = with_records(How::new(3, 2));
    bed.how.settings.listen.set_port(u16::MAX);
    bed.begin_restart();
    let ended = bed.sim.run_until(PATIENCE_NS, |sim| sim.has_ended(bed.node));
    let progress = bed.progress();
    assert!(ended, "it hangs: {progress:?}");
    let reason = progress.failed.unwrap();
    assert!(reason.contains("above 65535"), "{reason}");
    bed.how.settings.listen.set_port(crate::bed::PORT);
    bed.restart();
    assert_eq!(read(&mut bed), acked);
}
