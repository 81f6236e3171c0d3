//! A device that fills up: what is refused, what goes on, how the operator gets space back, and
//! what a start does on it.
use crate::{
    bed::{Bed, How, SECOND_NS, seeds},
    kafka::{Kafka, batch, values},
};
use netio::sim::Rng;
use wire::ErrorCode;

const MIB: u64 = 1 << 20;

fn available(bed: &Bed) -> u64 {
    bed.sim.disk(bed.node).space().available_bytes
}

/// Leaves so much of the device.
fn leave(bed: &Bed, bytes: u64) {
    let disk = bed.sim.disk(bed.node);
    let space = disk.space();
    disk.set_capacity(space.total_bytes - space.available_bytes + bytes);
}

/// A broker on a small device: files of the log of 256 KiB, 4 MiB of reserve.
fn small(seed: u64, disk_bytes: u64) -> How {
    let mut how = How::new(seed, 1);
    how.disk_bytes = disk_bytes;
    how.storage.wal_file_bytes = 256 << 10;
    how.storage.wal_first_file_bytes = 256 << 10;
    how.storage.unflushed_bytes_max = MIB;
    how.storage.flush_bytes = 128 << 10;
    how.storage.cache_bytes = 64 << 10;
    how.storage.reserve_bytes = 4 * MIB;
    how.storage.retention_check_ms = 2_000;
    how
}

/// Produces until it is refused; the offsets acked, and the refusal.
fn fill(bed: &mut Bed, kafka: &mut Kafka, topic: &str) -> (Vec<i64>, ErrorCode) {
    let mut acked = Vec::new();
    for _ in 0..2_000 {
        let answer = kafka.produce(bed, topic, 0, batch(&[vec![b'x'; 60_000]]));
        match answer.error_code {
            0 => acked.push(answer.base_offset),
            code => return (acked, ErrorCode::from_code(code).unwrap()),
        }
    }
    panic!("120 MB on a device of {:?}", bed.sim.disk(bed.node).space());
}

fn read(bed: &mut Bed, kafka: &mut Kafka, topic: &str, from: i64) -> Vec<i64> {
    let (mut at, mut found) = (from, Vec::new());
    loop {
        let data = kafka.fetch(bed, topic, 0, at);
        assert_eq!(data.error_code, 0, "{data:?}");
        let some = values(&data, at);
        let Some((last, _)) = some.last() else {
            return found;
        };
        at = last + 1;
        found.extend(some.into_iter().map(|(offset, _)| offset));
    }
}

fn comes_back(bed: &mut Bed, kafka: &mut Kafka, topic: &str) {
    for _ in 0..90 {
        bed.sim.run_for(SECOND_NS);
        if kafka.produce(bed, topic, 0, batch(&["again"])).error_code == 0 {
            return;
        }
    }
    panic!("appends do not come back with {} bytes", available(bed));
}

/// All that an operator and the groups need.
fn goes_on(bed: &mut Bed, kafka: &mut Kafka, n: i64) {
    assert_eq!(kafka.commit(bed, "g", "t", 0, n), ErrorCode::None);
    assert_eq!(kafka.committed(bed, "g", "t", 0), Ok(n));
    kafka.set_config(bed, "t", "retention.ms", "604800000");
    kafka.create_topic(bed, &format!("made-{n}"), 1).unwrap();
    let deleted = kafka.delete_topic(bed, &format!("made-{n}"));
    assert_eq!(deleted, ErrorCode::None);
    kafka.producer(bed);
}

#[test]
fn a_fast_device_never_becomes_full_and_the_operator_gets_space_back() {
    let mut how = small(71, 40 * MIB);
    // Looked at once a second, in which this device takes more than there is.
    how.storage.flush_age_ms = 8_000;
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    for topic in ["t", "other"] {
        kafka.create_topic(&mut bed, topic, 1).unwrap();
    }
    let (other, refused) = {
        let mut acked = Vec::new();
        for _ in 0..150 {
            let answer = kafka.produce(&mut bed, "other", 0, batch(&[vec![b'o'; 60_000]]));
            assert_eq!(answer.error_code, 0);
            acked.push(answer.base_offset);
        }
        let (t, refused) = fill(&mut bed, &mut kafka, "t");
        assert!(t.len() > 100, "{} acked", t.len());
        (acked, refused)
    };
    assert_eq!(refused, ErrorCode::KafkaStorageError);
    assert_eq!(bed.refusing().len(), 1, "it is said");
    assert!(available(&bed) > 3 * MIB, "{} bytes left of a reserve of 4 MiB", available(&bed));
    for n in 1..=20 {
        // What was reckoned too high is found to be free by the next look, and taken.
        fill(&mut bed, &mut kafka, "t");
        goes_on(&mut bed, &mut kafka, n);
        bed.sim.run_for(SECOND_NS / 4);
        // Metadata and offsets take of the reserve, and leave a quarter of it.
        assert!(available(&bed) > MIB, "{} bytes left", available(&bed));
    }
    assert_eq!(bed.refusing().len(), 1, "by reckoning or by a look");
    assert_eq!(read(&mut bed, &mut kafka, "other", 0), other);
    // Space by deletion.
    assert_eq!(kafka.delete_topic(&mut bed, "other"), ErrorCode::None);
    comes_back(&mut bed, &mut kafka, "t");
    bed.sim.run_for(5 * SECOND_NS);
    assert!(bed.refusing().is_empty(), "{:?}", bed.refusing());
    // Space by retention.
    kafka.set_config(&mut bed, "t", "segment.bytes", "1048576");
    let (_, refused) = fill(&mut bed, &mut kafka, "t");
    assert_eq!(refused, ErrorCode::KafkaStorageError);
    kafka.set_config(&mut bed, "t", "file.delete.delay.ms", "1000");
    kafka.set_config(&mut bed, "t", "retention.bytes", "2000000");
    comes_back(&mut bed, &mut kafka, "t");
    bed.sim.power_cut(bed.node);
    bed.restart();
    let mut kafka = Kafka::default();
    let answer = kafka.produce(&mut bed, "t", 0, batch(&["well"]));
    assert_eq!(answer.error_code, 0);
    assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(20));
}

#[test]
fn on_a_device_that_others_have_filled_deletions_and_starts_go_on() {
    for (seed, end) in [(72, "kill"), (73, "power"), (74, "stop")] {
        let mut bed = Bed::start(small(seed, 64 * MIB));
        let mut kafka = Kafka::default();
        for topic in ["t", "other"] {
            kafka.create_topic(&mut bed, topic, 1).unwrap();
            for _ in 0..80 {
                let answer = kafka.produce(&mut bed, topic, 0, batch(&[vec![b'x'; 60_000]]));
                assert_eq!(answer.error_code, 0);
            }
        }
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 80), ErrorCode::None);
        bed.sim.run_for(3 * SECOND_NS);
        // Nothing at all is left.
        leave(&bed, 0);
        bed.sim.run_for(2 * SECOND_NS);
        let answer = kafka.produce(&mut bed, "t", 0, batch(&[vec![b'x'; 60_000]]));
        let last = match answer.error_code {
            0 => 81,
            _ => 80,
        };
        bed.sim.run_for(2 * SECOND_NS);
        goes_on(&mut bed, &mut kafka, 7);
        match end {
            "kill" => bed.sim.kill(bed.node),
            "power" => bed.sim.power_cut(bed.node),
            _ => {
                bed.sim.stop(bed.node);
                let node = bed.node;
                assert!(bed.sim.run_until(120 * SECOND_NS, |sim| sim.has_ended(node)));
            }
        }
        leave(&bed, 0);
        bed.restart();
        let mut kafka = Kafka::default();
        assert!(!bed.refusing().is_empty(), "said from the start on");
        let found = read(&mut bed, &mut kafka, "t", 0);
        assert_eq!(found, (0..last).collect::<Vec<i64>>(), "{end}");
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(7));
        assert_eq!(kafka.delete_topic(&mut bed, "other"), ErrorCode::None);
        comes_back(&mut bed, &mut kafka, "t");
    }
}

#[test]
fn full_at_any_point_nothing_acked_is_lost_and_deletions_bring_it_back() {
    for seed in seeds(12) {
        let mut bed = Bed::start(small(seed, 64 * MIB));
        let mut rng = Rng::new(seed);
        let mut kafka = Kafka::default();
        for topic in ["t", "other"] {
            kafka.create_topic(&mut bed, topic, 1).unwrap();
        }
        for _ in 0..60 {
            let answer = kafka.produce(&mut bed, "other", 0, batch(&[vec![b'o'; 60_000]]));
            assert_eq!(answer.error_code, 0);
        }
        let (mut acked, mut committed) = (Vec::new(), -1);
        let when = rng.below(40);
        for step in 0..60 {
            if step == when {
                leave(&bed, rng.below(MIB));
            }
            let answer = kafka.produce(&mut bed, "t", 0, batch(&[vec![b'x'; 60_000]]));
            match ErrorCode::from_code(answer.error_code).unwrap() {
                ErrorCode::None => acked.push(answer.base_offset),
                refused => assert!(refused.is_retriable(), "seed {seed}: {refused:?}"),
            }
            if rng.chance(0.2)
                && kafka.commit(&mut bed, "g", "t", 0, step as i64) == ErrorCode::None
            {
                committed = step as i64;
            }
            bed.sim.run_for(rng.below(SECOND_NS / 4));
        }
        let found = read(&mut bed, &mut kafka, "t", 0);
        assert!(acked.iter().all(|offset| found.contains(offset)), "seed {seed}");
        if rng.chance(0.3) {
            bed.sim.power_cut(bed.node);
            bed.restart();
            kafka = Kafka::default();
        }
        let deleted = kafka.delete_topic(&mut bed, "other");
        assert_eq!(deleted, ErrorCode::None, "seed {seed}");
        comes_back(&mut bed, &mut kafka, "t");
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(committed), "seed {seed}");
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 99), ErrorCode::None);
        bed.sim.power_cut(bed.node);
        bed.restart();
        let mut kafka = Kafka::default();
        let found = read(&mut bed, &mut kafka, "t", 0);
        assert!(acked.iter().all(|offset| found.contains(offset)), "seed {seed}");
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(99), "seed {seed}");
    }
}
