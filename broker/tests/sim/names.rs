//! Directories of partitions: names as long as Kafka allows them, and such as cannot be moved.
use crate::{
    bed::{Bed, How, SECOND_NS},
    kafka::{Kafka, batch},
};
use netio::sim::FileOp;
use wire::ErrorCode;

const EACCES: i32 = 13;

fn dirs(bed: &Bed) -> Vec<String> {
    let files = bed.sim.disk(bed.node).list();
    let below = files.iter().filter_map(|(path, _)| {
        let (dir, _) = path.strip_prefix("data/kafka/")?.split_once('/')?;
        Some(dir.to_owned())
    });
    let mut dirs: Vec<String> = below.collect();
    dirs.dedup();
    dirs
}

fn texts(bed: &mut Bed, kafka: &mut Kafka, topic: &str) -> Vec<String> {
    let records = kafka.read_all(bed, topic, 0, 0).into_iter();
    records.map(|(_, value)| String::from_utf8(value).unwrap()).collect()
}

#[test]
fn a_topic_with_the_longest_name_is_flushed_deleted_made_again_and_started_with() {
    for len in [213, 214, 249] {
        let mut bed = Bed::start(How::new(51, 1));
        let mut kafka = Kafka::default();
        let topic = "t".repeat(len);
        kafka.create_topic(&mut bed, &topic, 1).unwrap();
        let produced = kafka.produce(&mut bed, &topic, 0, batch(&["first"]));
        assert_eq!(produced.error_code, 0);
        // Its first flush gives it a directory.
        bed.sim.run_for(30 * SECOND_NS);
        let name = format!("{topic}-0");
        assert!(dirs(&bed).contains(&name), "{:?}", dirs(&bed));
        let produced = kafka.produce(&mut bed, &topic, 0, batch(&["second"]));
        assert_eq!(produced.error_code, 0, "{len}: {produced:?}");

        assert_eq!(kafka.delete_topic(&mut bed, &topic), ErrorCode::None);
        bed.sim.run_for(5 * SECOND_NS);
        let left: Vec<_> = dirs(&bed).into_iter().filter(|d| d.starts_with('t')).collect();
        assert!(left.is_empty(), "{left:?}");

        kafka.create_topic(&mut bed, &topic, 1).unwrap();
        let produced = kafka.produce(&mut bed, &topic, 0, batch(&["third"]));
        assert_eq!(produced.error_code, 0);
        bed.sim.run_for(30 * SECOND_NS);
        // Once the topic is deleted and its directory not yet gone.
        assert_eq!(kafka.delete_topic(&mut bed, &topic), ErrorCode::None);
        bed.sim.kill(bed.node);
        bed.restart();
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, &topic, 1).unwrap();
        let produced = kafka.produce(&mut bed, &topic, 0, batch(&["fourth"]));
        assert_eq!(produced.error_code, 0);
        bed.sim.run_for(30 * SECOND_NS);
        assert_eq!(texts(&mut bed, &mut kafka, &topic), ["fourth"]);
    }
}

#[test]
fn a_directory_that_cannot_be_moved_or_removed_does_not_stop_a_start() {
    let mut bed = Bed::start(How::new(52, 1));
    let mut kafka = Kafka::default();
    for topic in ["kept", "gone"] {
        kafka.create_topic(&mut bed, topic, 1).unwrap();
        let produced = kafka.produce(&mut bed, topic, 0, batch(&[topic]));
        assert_eq!(produced.error_code, 0);
    }
    bed.sim.run_for(30 * SECOND_NS);
    for dir in ["nobody-0", "other-1.0123456789abcdef0123456789abcdef-delete"] {
        let path = format!("data/kafka/{dir}/00000000000000000000.log");
        bed.sim.disk(bed.node).put(&path, b"whose?").unwrap();
    }
    for (op, path) in [
        (FileOp::Rename, "-delete"),
        (FileOp::Rename, "-stray"),
        (FileOp::Remove, "-delete"),
        (FileOp::Remove, "gone-0"),
    ] {
        bed.sim.fail_always(bed.node, op, path, EACCES);
    }
    assert_eq!(kafka.delete_topic(&mut bed, "gone"), ErrorCode::None);
    bed.sim.run_for(SECOND_NS);
    for _ in 0..2 {
        bed.sim.kill(bed.node);
        bed.restart();
        let mut kafka = Kafka::default();
        assert_eq!(texts(&mut bed, &mut kafka, "kept"), ["kept"]);
        let left = dirs(&bed);
        for name in ["nobody-0", "gone-0"] {
            assert!(left.iter().any(|dir| dir == name), "{name}: {left:?}");
        }
    }
    // As soon as they can be moved, they are.
    bed.sim.clear_faults(bed.node);
    bed.sim.kill(bed.node);
    bed.restart();
    let left = dirs(&bed);
    assert!(
        !left.iter().any(|dir| dir == "gone-0" || dir == "nobody-0" || dir.ends_with("-delete")),
        "{left:?}"
    );
    assert!(left.iter().any(|dir| dir.starts_with("nobody-0.")), "{left:?}");
}
