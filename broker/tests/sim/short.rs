//! Descriptors or kernel memory that are missing for a moment: refused, tried again, and no fault
//! of the device.
use crate::{
    bed::{Bed, How, SECOND_NS},
    kafka::{Kafka, batch, values},
};
use netio::sim::FileOp;
use wire::{
    ErrorCode,
    delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
};

const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// A client that goes on after refusals, and remembers what was acked.
struct Load {
    bed: Bed,
    kafka: Kafka,
    acked: Vec<(i64, String)>,
    committed: i64,
    topics: u32,
    deleted: Vec<String>,
}

impl Load {
    fn new(seed: u64) -> Self {
        let mut how = How::new(seed, 1);
        how.storage.wal_file_bytes = 256 << 10;
        how.storage.wal_first_file_bytes = 256 << 10;
        how.storage.unflushed_bytes_max = 1 << 20;
        how.storage.flush_bytes = 128 << 10;
        how.storage.cache_bytes = 64 << 10;
        how.storage.retention_check_ms = 1_000;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        kafka.set_config(&mut bed, "t", "segment.bytes", "1048576");
        assert_eq!(kafka.commit(&mut bed, "g", "t", 0, 0), ErrorCode::None);
        Self { bed, kafka, acked: Vec::new(), committed: 0, topics: 0, deleted: Vec::new() }
    }

    /// A little of everything that opens, makes, renames, lists or removes files. Refusals are
    /// retriable.
    fn round(&mut self) {
        let fine = |code: i16| {
            let code = ErrorCode::from_code(code).unwrap();
            assert!(code == ErrorCode::None || code.is_retriable(), "{code:?}");
            code == ErrorCode::None
        };
        for _ in 0..6 {
            let value = format!("{:->60000}", self.acked.len());
            let answer = self.kafka.produce(&mut self.bed, "t", 0, batch(&[&value]));
            if fine(answer.error_code) {
                self.acked.push((answer.base_offset, value));
            }
            self.bed.sim.run_for(SECOND_NS / 20);
        }
        let offset = self.acked.len() as i64;
        if self.kafka.commit(&mut self.bed, "g", "t", 0, offset) == ErrorCode::None {
            self.committed = offset;
        }
        let from = self.acked.first().map_or(0, |(offset, _)| *offset);
        fine(self.kafka.fetch(&mut self.bed, "t", 0, from).error_code);
        let name = format!("short-lived-{}", self.topics);
        self.topics += 1;
        match self.kafka.create_topic(&mut self.bed, &name, 1) {
            Ok(_) => {
                let value = vec![b'x'; 30_000];
                fine(self.kafka.produce(&mut self.bed, &name, 0, batch(&[value])).error_code);
                self.bed.sim.run_for(SECOND_NS);
                if self.kafka.delete_topic(&mut self.bed, &name) == ErrorCode::None {
                    self.deleted.push(name);
                }
            }
            Err(error) => assert!(error.is_retriable(), "{error:?}"),
        }
        // The oldest third goes.
        if self.acked.len() > 30 {
            let offset = self.acked[self.acked.len() / 3].0;
            let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
            let topics = vec![DeleteRecordsTopic { name: "t".into(), partitions }];
            let request = DeleteRecordsRequest { topics, timeout_ms: 30_000 };
            let core = self.kafka.leader(&mut self.bed, "t", 0);
            let answer = self.kafka.call(&mut self.bed, core, &request, 2);
            if fine(answer.topics[0].partitions[0].error_code) {
                self.acked.retain(|(at, _)| *at >= offset);
            }
        }
        self.bed.sim.run_for(SECOND_NS);
    }

    /// All is well again, without a restart, and after one.
    fn check(mut self, what: &str) {
        self.bed.sim.clear_faults(self.bed.node);
        self.bed.sim.run_for(5 * SECOND_NS);
        let Self { mut bed, mut kafka, mut acked, mut committed, deleted, .. } = self;
        for again in [false, true] {
            if again {
                bed.sim.power_cut(bed.node);
                bed.restart();
                kafka = Kafka::default();
            }
            let answer = kafka.produce(&mut bed, "t", 0, batch(&["well"]));
            assert_eq!(answer.error_code, 0, "{what}: {answer:?}");
            acked.push((answer.base_offset, "well".into()));
            let name = format!("new-{again}");
            assert!(kafka.create_topic(&mut bed, &name, 1).is_ok(), "{what}");
            let answer = kafka.produce(&mut bed, &name, 0, batch(&["new"]));
            assert_eq!(answer.error_code, 0, "{what}: {answer:?}");
            assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(committed), "{what}");
            committed += 1;
            let answer = kafka.commit(&mut bed, "g", "t", 0, committed);
            assert_eq!(answer, ErrorCode::None, "{what}");
            let mut at = acked[0].0;
            let mut found = Vec::new();
            loop {
                let data = kafka.fetch(&mut bed, "t", 0, at);
                assert_eq!(data.error_code, 0, "{what}: {data:?}");
                let some = values(&data, at);
                let Some((last, _)) = some.last() else { break };
                at = last + 1;
                found.extend(some);
            }
            for (offset, value) in &acked {
                let there = found.iter().any(|(at, text)| at == offset && text == value.as_bytes());
                assert!(there, "{what}: {offset} was acked and is not there");
            }
            bed.sim.run_for(5 * SECOND_NS);
            let files = bed.sim.disk(bed.node).list();
            let left = files
                .iter()
                .find(|(path, _)| deleted.iter().any(|name| path.contains(&format!("/{name}-0/"))));
            assert_eq!(left, None, "{what}: a deleted topic has files");
        }
    }
}

#[test]
fn one_failed_open_at_any_place_is_no_fault() {
    // Every place is too many for every run: each seed has its own.
    for first in crate::bed::seeds(3) {
        for n in (first..).step_by(7) {
            let mut load = Load::new(61);
            load.bed.sim.fail_after(load.bed.node, FileOp::Open, "", EMFILE, n);
            for _ in 0..6 {
                load.round();
            }
            let reached = !load.bed.sim.has_faults(load.bed.node);
            load.check(&format!("open {n}"));
            if !reached {
                break;
            }
        }
    }
}

#[test]
fn what_is_short_for_seconds_is_tried_again_until_it_is_there() {
    let ops = [
        FileOp::Open,
        FileOp::Rename,
        FileOp::ReadDir,
        FileOp::CreateDir,
        FileOp::Remove,
        FileOp::Allocate,
        FileOp::Truncate,
        FileOp::Read,
    ];
    let cases = ops.into_iter().zip([EMFILE, ENOMEM, ENFILE, EINTR, EAGAIN].into_iter().cycle());
    for (op, errno) in cases.chain([(FileOp::SyncDir, EMFILE), (FileOp::Open, ENOMEM)]) {
        let mut load = Load::new(62);
        load.round();
        // More than are tried in a second.
        load.bed.sim.fail_times(load.bed.node, op, "", errno, 12);
        for _ in 0..4 {
            load.round();
        }
        load.check(&format!("{op:?} {errno}"));
    }
}
