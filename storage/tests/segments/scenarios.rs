//! What must hold on every driver.
use crate::bed::{Model, Scenario, config, disk, id, on_ring, on_sim};
use netio::{Io, Open};
use record::{BatchHeader, LeaderEpoch, Offset};
use std::path::{Path, PathBuf};
use storage::{Error, LogConfig, ReadError, disk_log::DiskLog, files::DiskOptions, retention};

fn both(name: &str, scenario: Scenario) {
    on_sim(scenario);
    on_ring(name, scenario);
}

async fn create(io: &Io, dir: &Path) -> DiskLog {
    DiskLog::create(&disk(io), dir.join("t-0"), id(), config(), Offset(0)).await.unwrap()
}

async fn names(io: &Io, dir: &Path) -> Vec<String> {
    io.read_dir(dir).await.unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn what_is_flushed_is_read() {
    both("reads", |io, dir, seed| {
        Box::pin(async move {
            let log = create(&io, &dir).await;
            let mut model = Model::new(seed);
            for _ in 0..40 {
                let count = 1 + model.rng.below(30) as usize;
                model.flush(&log, count).await;
                for _ in 0..5 {
                    let from = model.rng.below(model.end as u64) as i64;
                    let upto = model
                        .batches
                        .iter()
                        .map(|b| b.end)
                        .filter(|&end| end > from)
                        .nth(model.rng.below(4) as usize);
                    let max_bytes = 1 + model.rng.below(100_000) as usize;
                    model.read(&log, from, upto.unwrap_or(model.end), max_bytes).await;
                }
            }
            model.read_all(&log, 0, 5_000).await;
            model.read_all(&log, 0, 1 << 20).await;
            let segments = log.segments().await.unwrap();
            assert!(segments.len() > 5, "{segments:?}");
            assert_eq!(
                segments.iter().map(|s| s.size_bytes).sum::<u64>(),
                model.batches.iter().map(|b| b.bytes.len() as u64).sum()
            );
            assert_eq!(log.size_bytes(), segments.iter().map(|s| s.size_bytes).sum::<u64>());
            // The bounds.
            assert_eq!(log.read(Offset(model.end), Offset::MAX, 1_000, true).await, Ok(Vec::new()));
            assert_eq!(log.read(Offset(0), Offset(0), 1_000, true).await, Ok(Vec::new()));
            for base in segments.iter().map(|segment| segment.base) {
                assert_eq!(
                    log.read(base, Offset::MAX, 10, false).await,
                    Ok(Vec::new()),
                    "the first batch is longer"
                );
            }
        })
    });
}

#[test]
fn look_up_by_time() {
    both("time", |io, dir, seed| {
        Box::pin(async move {
            let log = create(&io, &dir).await;
            assert_eq!(log.find_time(0, Offset::MAX).await, Ok(None));
            assert_eq!(log.max_timestamp().await, Ok(None));
            let mut model = Model::new(seed);
            for _ in 0..6 {
                model.flush(&log, 40).await;
                model.check_times(&log, 0, 20).await;
            }
            let known = log.state();
            drop(log);
            let (log, _) = DiskLog::open(&disk(&io), dir.join("t-0"), id(), config(), Some(known))
                .await
                .unwrap();
            model.check_times(&log, 0, 40).await;
        })
    });
}

/// A restart with what the last checkpoint knew: nothing that came after counts, and writing goes
/// on over it.
#[test]
fn opened_with_an_older_state() {
    both("older", |io, dir, seed| {
        Box::pin(async move {
            let mut log = create(&io, &dir).await;
            let mut model = Model::new(seed);
            for _ in 0..12 {
                let count = model.rng.below(40) as usize;
                let known = model.flush(&log, count).await;
                assert_eq!(storage::disk_log::FlushedState::from_bytes(&known.to_bytes()), known);
                let producers = log.producers();
                let (batches, end) = (model.batches.clone(), model.end);
                // More, with rolls, which the checkpoint does not know of.
                let more = model.rng.below(90) as usize;
                model.flush(&log, more).await;
                drop(log);
                (model.batches, model.end) = (batches, end);
                let (opened, report) =
                    DiskLog::open(&disk(&io), dir.join("t-0"), id(), config(), Some(known))
                        .await
                        .unwrap();
                assert_eq!((report.epochs_lost, report.bytes_cut), (None, 0));
                opened.set_producers(producers);
                assert_eq!(opened.state(), known);
                log = opened;
                if model.rng.chance(0.5) {
                    model.read_all(&log, 0, 50_000).await;
                }
            }
            model.flush(&log, 10).await;
            model.read_all(&log, 0, 50_000).await;
            model.check_times(&log, 0, 20).await;
        })
    });
}

/// After a close every file is exactly what Kafka expects, and the log opens with and without its
/// state.
#[test]
fn closed_and_opened() {
    both("closed", |io, dir, seed| {
        Box::pin(async move {
            let mut log = create(&io, &dir).await;
            let mut model = Model::new(seed);
            for round in 0..4 {
                model.flush(&log, 60).await;
                let producers = log.producers();
                let known = log.close().await.unwrap();
                assert!(matches!(log.flush(vec![]).await, Err(Error::Failed(_))));
                check_files(&io, &dir.join("t-0"), &model).await;
                let known = (round % 2 == 0).then_some(known);
                let (opened, report) =
                    DiskLog::open(&disk(&io), dir.join("t-0"), id(), config(), known)
                        .await
                        .unwrap();
                assert_eq!((report.bytes_cut, &report.cut_because), (0, &None));
                assert_eq!(report.producers_read, known.is_none());
                if known.is_some() {
                    opened.set_producers(producers.clone());
                }
                assert_eq!(opened.producers().views(), producers.views());
                assert_eq!(opened.flushed(), Offset(model.end));
                log = opened;
                model.read_all(&log, 0, 30_000).await;
                for batch in &model.batches {
                    assert_eq!(
                        log.epochs().epoch_at(Offset(batch.base)),
                        Some(LeaderEpoch(batch.epoch))
                    );
                }
            }
            // Untouched: closing costs nothing, and again.
            let before = names(&io, &dir.join("t-0")).await;
            log.close().await.unwrap();
            assert_eq!(names(&io, &dir.join("t-0")).await, before);
            // Without our seals: a directory as Kafka leaves it.
            for name in before.iter().filter(|name| name.ends_with(".seal")) {
                io.remove_file(&dir.join("t-0").join(name)).await.unwrap();
            }
            let (log, report) =
                DiskLog::open(&disk(&io), dir.join("t-0"), id(), config(), None).await.unwrap();
            assert_eq!(report.bytes_cut, 0);
            model.read_all(&log, 0, 30_000).await;
            model.check_times(&log, 0, 20).await;
            log.close().await.unwrap();
            check_files(&io, &dir.join("t-0"), &model).await;
        })
    });
}

/// Files are whole batches, and their indexes name what is there, by Kafka's rules.
async fn check_files(io: &Io, dir: &Path, model: &Model) {
    let names = names(io, dir).await;
    let mut all = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".log")) {
        let bytes = read(io, &dir.join(name)).await;
        let base: i64 = name[..20].parse().unwrap();
        let index = read(io, &dir.join(name.replace(".log", ".index"))).await;
        let times = read(io, &dir.join(name.replace(".log", ".timeindex"))).await;
        assert!(names.contains(&name.replace(".log", ".seal")), "{names:?}");
        let mut last = (-1, 0);
        for entry in index.chunks(8) {
            let (offset, position) = (be(&entry[..4]), be(&entry[4..]));
            assert!((offset, position) > last && offset > last.0);
            let header = BatchHeader::parse(&bytes[position as usize..]).unwrap();
            assert_eq!(header.last_offset().0, base + offset);
            last = (offset, position);
        }
        let batches = || {
            model.batches.iter().filter(|b| b.base >= base && b.base < base + bytes.len() as i64)
        };
        let mut newest = -1;
        for entry in times.chunks(12) {
            let (time, offset) = (be(&entry[..8]), base + be(&entry[8..]));
            assert!(time > newest);
            let batch = batches().find(|b| b.end - 1 == offset).unwrap();
            assert_eq!(*batch.times.iter().max().unwrap(), time);
            newest = time;
        }
        let mut expected = -1;
        let mut position = 0;
        for batch in batches() {
            if position == bytes.len() {
                break;
            }
            position += batch.bytes.len();
            expected = expected.max(*batch.times.iter().max().unwrap());
        }
        assert_eq!(newest, expected, "the last entry of {name} is the largest time");
        all.extend(bytes);
    }
    let want: Vec<u8> = model.batches.iter().flat_map(|b| b.bytes.iter().copied()).collect();
    assert!(all == want, "{} bytes in files, {} flushed", all.len(), want.len());
}

fn be(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |n, &byte| n << 8 | i64::from(byte))
}

async fn read(io: &Io, path: &Path) -> Vec<u8> {
    let file = io.open(path, Open::default()).await.unwrap();
    let len = file.len().await.unwrap();
    if len == 0 { Vec::new() } else { file.read_vec(0, len as usize).await.unwrap() }
}

#[test]
fn old_segments_go() {
    both("old", |io, dir, seed| {
        Box::pin(async move {
            let log = create(&io, &dir).await;
            // Longer than it takes to look.
            log.set_config(LogConfig { file_delete_delay_ms: 3_000, ..config() });
            let mut model = Model::new(seed);
            model.flush(&log, 200).await;
            let segments = log.segments().await.unwrap();
            assert!(segments.len() > 4);
            // By size: all but about two segments' worth.
            let sizes = LogConfig { retention_bytes: 130_000, retention_ms: -1, ..config() };
            let view = log.view(Offset(model.end), Offset(model.end)).await.unwrap();
            let plan = retention::plan(&view, 0, &sizes);
            let start = plan.delete_below.unwrap();
            let gone = log.trim(start).await.unwrap();
            assert_eq!(gone.len(), plan.reasons.size);
            assert!(names(&io, log.dir()).await.iter().any(|name| name.ends_with(".log.deleted")));
            assert_eq!(log.state().log_start, start);
            assert!(matches!(
                log.read(Offset(start.0 - 1), Offset::MAX, 1, true).await,
                Err(ReadError::OutOfRange { .. })
            ));
            model.read_all(&log, start.0, 100_000).await;
            model.check_times(&log, start.0, 20).await;
            // DeleteRecords into the middle of a segment: only the log start moves.
            let middle = start.0 + 3;
            assert_eq!(log.remove_below(Offset(middle)).await, Ok(vec![]));
            assert_eq!(log.set_log_start(start), Offset(middle), "never back");
            model.check_times(&log, middle, 10).await;
            // Everything: the active segment is rolled, and goes.
            let plan = retention::plan(
                &log.view(Offset(model.end), Offset(model.end)).await.unwrap(),
                i64::MAX,
                &config(),
            );
            assert_eq!(plan.delete_below, Some(Offset(model.end)));
            log.trim(Offset(model.end)).await.unwrap();
            let segments = log.segments().await.unwrap();
            assert_eq!(
                (segments.len(), segments[0].base, segments[0].size_bytes),
                (1, Offset(model.end), 0)
            );
            let old_end = model.end;
            model.flush(&log, 3).await;
            model.read_all(&log, old_end, 1_000).await;
            // After the delay the files are gone.
            io.sleep_until(io.now().after_ms(5_000)).await;
            let left = names(&io, log.dir()).await;
            assert!(left.iter().all(|name| !name.ends_with(".deleted")), "{left:?}");
        })
    });
}

#[test]
fn truncated() {
    both("truncated", |io, dir, seed| {
        Box::pin(async move {
            let log = create(&io, &dir).await;
            let mut model = Model::new(seed);
            for _ in 0..10 {
                model.flush(&log, 60).await;
                let to = model.rng.below(model.end as u64 + 10) as i64;
                let state = log.truncate(Offset(to)).await.unwrap();
                if to < model.end {
                    model.truncate(to);
                }
                assert_eq!(state.flushed, Offset(model.end));
                model.read_all(&log, 0, 60_000).await;
            }
            model.flush(&log, 30).await;
            let known = log.state();
            let (log, _) = DiskLog::open(&disk(&io), dir.join("t-0"), id(), config(), Some(known))
                .await
                .unwrap();
            model.read_all(&log, 0, 60_000).await;
            log.truncate(Offset(0)).await.unwrap();
            assert_eq!(log.segments().await.unwrap().len(), 1);
            model.truncate(0);
            model.flush(&log, 30).await;
            model.read_all(&log, 0, 60_000).await;
        })
    });
}

#[test]
fn removed() {
    both("removed", |io, dir, seed| {
        Box::pin(async move {
            let log = create(&io, &dir).await;
            Model::new(seed).flush(&log, 60).await;
            log.remove().await.unwrap();
            assert_eq!(names(&io, &dir).await, Vec::<String>::new());
            // The same name again, as another topic would be.
            let log = create(&io, &dir).await;
            let mut model = Model::new(seed + 1);
            model.flush(&log, 10).await;
            model.read_all(&log, 0, 1_000).await;
        })
    });
}

/// More logs than files may be open, flushed and read at the same time.
#[test]
fn few_open_files() {
    both("files", |io, dir, seed| {
        Box::pin(async move {
            let disk = storage::files::Disk::new(
                &io,
                DiskOptions { open_files_max: 8, ..DiskOptions::default() },
            );
            let mut logs = Vec::new();
            for n in 0..20 {
                let log =
                    DiskLog::create(&disk, dir.join(format!("t-{n}")), id(), config(), Offset(0))
                        .await
                        .unwrap();
                logs.push((log, Model::new(seed * 100 + n)));
            }
            for _ in 0..3 {
                for (log, model) in &mut logs {
                    model.flush(log, 25).await;
                    assert!(disk.open_files() <= 8);
                }
            }
            for (log, model) in &logs {
                model.read_all(log, 0, 20_000).await;
                assert!(disk.open_files() <= 8);
            }
            // A directory of another topic is not taken for this one's.
            let other = storage::LogId { topic: record::TopicId::from_random(3, 4), ..id() };
            let opened =
                DiskLog::open(&disk, PathBuf::from(logs[0].0.dir()), other, config(), None).await;
            assert!(matches!(opened, Err(Error::Damaged { .. })));
            let made =
                DiskLog::create(&disk, PathBuf::from(logs[0].0.dir()), other, config(), Offset(0))
                    .await;
            assert!(matches!(made, Err(Error::Damaged { .. })));
        })
    });
}
