//! A directory that a newer program has written: refused by name, and left as it is.
use crate::{
    bed::{Bed, How, PATIENCE_NS},
    kafka::{Kafka, batch},
};

const METADATA: &str = "data/kafka/__cluster_metadata-0/00000000000000000000.log";

/// Every file and its bytes.
fn image(bed: &Bed) -> Vec<(String, Vec<u8>)> {
    let disk = bed.sim.disk(bed.node);
    let files = disk.list().into_iter();
    files
        .map(|(name, _)| {
            let bytes = disk.read(&name).unwrap_or_default();
            (name, bytes)
        })
        .collect()
}

/// A host that has served, and stopped cleanly or was killed.
fn left(cleanly: bool, seed: u64) -> Bed {
    let mut bed = Bed::start(How::new(seed, 2));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 2).unwrap();
    assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["value"])).error_code, 0);
    if cleanly {
        assert_eq!(bed.stop_within(PATIENCE_NS), None);
    } else {
        // The log of metadata is in its segment, what came later is not.
        assert_eq!(bed.stop_within(PATIENCE_NS), None);
        bed.restart();
        kafka = Kafka::default();
        kafka.create_topic(&mut bed, "u", 1).unwrap();
        bed.sim.kill(bed.node);
    }
    bed
}

/// The reason why a start is refused, which changes nothing.
fn refusal(bed: &mut Bed) -> String {
    let before = image(bed);
    bed.begin_restart();
    let node = bed.node;
    let ended = bed.sim.run_until(PATIENCE_NS, |sim| sim.has_ended(node));
    assert!(ended, "a start that is refused ends: {:?}", bed.progress());
    assert!(image(bed) == before, "a refused start has changed something");
    bed.progress().failed.expect("a reason")
}

/// Changes bytes of the first batch that holds `pattern`, `at` bytes behind its beginning, and
/// makes the batch's checksum right.
fn change(bed: &Bed, pattern: &[u8], at: usize, to: u8) {
    let disk = bed.sim.disk(bed.node);
    let mut log = disk.read(METADATA).unwrap();
    let mut begin = 0;
    loop {
        let length = i32::from_be_bytes(log[begin + 8..begin + 12].try_into().unwrap());
        assert!(length > 0, "no batch holds {pattern:?}");
        let batch = &mut log[begin..begin + 12 + usize::try_from(length).unwrap()];
        let found = batch.windows(pattern.len()).position(|bytes| bytes == pattern);
        if let Some(found) = found {
            batch[found + at] = to;
            let crc = record::checksum(&batch[21..]);
            batch[17..21].copy_from_slice(&crc.to_be_bytes());
            break;
        }
        begin += batch.len();
    }
    disk.put(METADATA, &log).unwrap();
}

#[test]
fn metadata_of_a_newer_program_is_refused_and_left_as_it_is() {
    // FeatureLevelRecord: frame 1, type 12, version 0, then the name, compact, and the level.
    let feature = b"\x01\x0c\x00\x11metadata.version";
    for (at, to, expected) in [
        (0, 2, "in a frame of version 2, and this program knows 1"),
        (1, 99, "of type 99, which this program does not know"),
        (2, 7, "a FeatureLevelRecord of version 7, and this program knows 0 to 0"),
        (feature.len() + 1, 31, "metadata.version 31, and this program knows up to 30"),
    ] {
        for cleanly in [true, false] {
            let mut bed = left(cleanly, 91);
            change(&bed, feature, at, to);
            let reason = refusal(&mut bed);
            assert!(
                reason.contains(expected) && reason.contains("__cluster_metadata-0"),
                "{reason}"
            );
        }
    }
}

#[test]
fn a_newer_meta_properties_is_refused_before_anything_else() {
    let mut bed = left(true, 92);
    let name = "data/kafka/meta.properties";
    let disk = bed.sim.disk(bed.node);
    let text = String::from_utf8(disk.read(name).unwrap()).unwrap();
    disk.put(name, text.replace("version=1", "version=2").as_bytes()).unwrap();
    let reason = refusal(&mut bed);
    assert!(
        reason.contains(name) && reason.contains("of version 2, and this program knows 1"),
        "{reason}"
    );
}
