//! What only the simulation can do to a disk: power cuts, damaged bytes, full and failing disks.
use crate::bed::{Model, SECOND, again, config, disk, id, run, seeds, task};
use netio::sim::{FileOp, NodeOptions, Sim, SimOptions};
use record::Offset;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};
use storage::{
    Error,
    disk_log::{DiskLog, FlushedState},
    producer_state::ProducerStates,
};

const EIO: i32 = 5;
const DIR: &str = "data/t-0";

fn sim(seed: u64) -> Sim {
    Sim::new(SimOptions { trace_lines: 40, ..SimOptions::seeded(seed) })
}

/// What the test, as the write-ahead log and the checkpoint would, knows across a power cut.
#[derive(Clone)]
struct Kept {
    model: Arc<Mutex<Option<Model>>>,
    known: Arc<Mutex<Option<(FlushedState, ProducerStates)>>>,
}

/// Power cuts at any moment, many times: what a returned flush covered is there, without damage,
/// and goes on growing.
#[test]
fn power_cuts() {
    for seed in seeds(12) {
        let mut sim = sim(seed);
        let kept =
            Kept { model: Arc::new(Mutex::new(Some(Model::new(seed)))), known: Arc::default() };
        let mut node = None;
        for round in 0..6 {
            let (mine, life) = (kept.clone(), move |kept: Kept| {
                task(move |io| async move {
                    let mut model = kept.model.lock().unwrap().take().unwrap();
                    let known = kept.known.lock().unwrap().clone();
                    let log = match known {
                        None => DiskLog::create(&disk(&io), DIR.into(), id(), config(), Offset(0))
                            .await
                            .unwrap(),
                        Some((known, producers)) => {
                            let (log, report) =
                                DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(known))
                                    .await
                                    .unwrap();
                            assert_eq!((report.epochs_lost, report.bytes_cut), (None, 0));
                            log.set_producers(producers);
                            log
                        }
                    };
                    if model.end > 0 && model.rng.chance(0.7) {
                        model.read_all(&log, 0, 40_000).await;
                        model.check_times(&log, 0, 6).await;
                    }
                    loop {
                        // What is flushed but not yet known to the "checkpoint" may be forgotten:
                        // the model is what is known.
                        *kept.model.lock().unwrap() = Some(model.clone());
                        *kept.known.lock().unwrap() = Some((log.state(), log.producers()));
                        let count = 1 + model.rng.below(12) as usize;
                        model.flush(&log, count).await;
                    }
                })
            });
            match node {
                None => node = Some(sim.add_node(NodeOptions::default(), vec![life(mine)])),
                Some(node) => sim.restart(node, vec![life(mine)]),
            }
            let node = node.unwrap();
            sim.run_for(2_000_000 + (seed * 7 + round * 13) % 29 * 3_000_000);
            if kept.model.lock().unwrap().is_none() {
                // Still opening: let it come up, so that the next life has a model.
                assert!(
                    sim.run_until(60 * SECOND, |_| kept.model.lock().unwrap().is_some()),
                    "seed {seed}"
                );
            }
            if round % 3 == 2 { sim.kill(node) } else { sim.power_cut(node) }
        }
        let node = node.unwrap();
        again(&mut sim, node, move |io| async move {
            let model = kept.model.lock().unwrap().take().unwrap();
            let (known, producers) = kept.known.lock().unwrap().clone().unwrap();
            let (log, _) =
                DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(known)).await.unwrap();
            log.set_producers(producers);
            model.read_all(&log, 0, 40_000).await;
            log.close().await.unwrap();
            // And as Kafka would open it.
            let (log, report) =
                DiskLog::open(&disk(&io), DIR.into(), id(), config(), None).await.unwrap();
            assert_eq!(report.bytes_cut, 0);
            model.read_all(&log, 0, 40_000).await;
        });
    }
}

/// Makes a log with several segments on a node, closed or just left.
fn filled(sim: &mut Sim, seed: u64, close: bool) -> (netio::sim::NodeId, Model, FlushedState) {
    let out = Arc::new(Mutex::new(None));
    let result = out.clone();
    let node = run(sim, move |io| async move {
        let log = DiskLog::create(&disk(&io), DIR.into(), id(), config(), Offset(0)).await.unwrap();
        let mut model = Model::new(seed);
        for _ in 0..10 {
            model.flush(&log, 20).await;
        }
        let state = if close { log.close().await.unwrap() } else { log.state() };
        *result.lock().unwrap() = Some((model, state));
    });
    let (model, state) = out.lock().unwrap().take().unwrap();
    (node, model, state)
}

/// Any damaged byte of a `.log`: never a wrong byte is returned, what is missing is named, the rest
/// is read; and a rebuilt index or a look-up by time does not stumble.
#[test]
fn damaged_batches_are_fenced() {
    for seed in seeds(60) {
        let mut sim = sim(seed);
        let (node, mut model, state) = filled(&mut sim, seed, seed % 2 == 0);
        let logs: Vec<(String, u64)> =
            sim.disk(node).list().into_iter().filter(|(name, _)| name.ends_with(".log")).collect();
        let (name, len) = logs[model.rng.below(logs.len() as u64) as usize].clone();
        let base: i64 =
            PathBuf::from(&name).file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let content = if Offset(base) == state.segment_base { state.position } else { len };
        // In a third of the runs in a batch's header, where the CRC does not cover all.
        let batches: Vec<(u64, i64, i64)> = positions(&model, base, content);
        let (at, from, to) = batches[model.rng.below(batches.len() as u64) as usize];
        let position = match seed % 3 {
            0 => at + model.rng.below(61),
            1 => at + model.rng.below(17),
            _ => model.rng.below(content),
        };
        let mask = 1 << model.rng.below(8);
        sim.disk(node).flip(&name, position, mask).unwrap();
        let hit = batches.iter().rfind(|batch| batch.0 <= position).copied().unwrap();
        assert!(seed % 3 == 2 || hit == (at, from, to));
        let without_index = seed % 5 == 0;
        if without_index {
            for (name, _) in sim.disk(node).list() {
                if name.ends_with(".index") || name.ends_with(".seal") {
                    let first = model.rng.below(2) == 0;
                    if first && !name.contains(&format!("{:020}", state.segment_base.0)) {
                        sim.disk(node).remove(&name).unwrap();
                    }
                }
            }
        }
        again(&mut sim, node, move |io| async move {
            let (log, _) =
                DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(state)).await.unwrap();
            let damaged = model.read_around(&log, 0).await;
            // The batch that was hit, and in the worst case up to the next one the index knows.
            assert_eq!(damaged.len(), 1, "seed {seed}: {damaged:?}, {hit:?}, {:?}", log.fences());
            assert!(
                damaged[0].start <= hit.1 && damaged[0].end >= hit.2,
                "seed {seed}: {damaged:?} for {hit:?}"
            );
            let lost = damaged[0].end - damaged[0].start;
            let bound = if without_index { i64::MAX } else { 40 };
            assert!(lost <= bound, "seed {seed}: {damaged:?} for {hit:?}, {:?}", log.fences());
            assert_eq!(log.fences().len(), 1);
            // The same a second time, and by time nothing wrong.
            assert_eq!(model.read_around(&log, 0).await, damaged);
            for n in 0..20 {
                let time = 1_000_000 + n * 300;
                if let Some(found) = log.find_time(time, Offset(model.end)).await.unwrap() {
                    let batch = model
                        .batches
                        .iter()
                        .find(|b| b.base <= found.offset.0 && found.offset.0 < b.end)
                        .unwrap();
                    assert_eq!(
                        batch.times[(found.offset.0 - batch.base) as usize],
                        found.timestamp
                    );
                    assert!(found.timestamp >= time);
                }
            }
            // Writing goes on.
            let count = 5;
            model.flush(&log, count).await;
            assert_eq!(model.read_around(&log, 0).await, damaged);
        });
    }
}

/// (position, first offset, end offset) of the batches in a segment.
fn positions(model: &Model, base: i64, size: u64) -> Vec<(u64, i64, i64)> {
    let mut at = 0;
    let mut out = Vec::new();
    for batch in model.batches.iter().filter(|batch| batch.base >= base) {
        if at >= size {
            break;
        }
        out.push((at, batch.base, batch.end));
        at += batch.bytes.len() as u64;
    }
    assert_eq!(at, size);
    out
}

/// Index files and seals that are damaged, cut or gone cost nothing but the time to make them anew.
#[test]
fn damaged_indexes_are_made_anew() {
    for seed in seeds(20) {
        let mut sim = sim(seed);
        let (node, mut model, state) = filled(&mut sim, seed, seed % 2 == 0);
        for (name, len) in sim.disk(node).list() {
            let active = name.contains(&format!("{:020}", state.segment_base.0));
            let ours = name.ends_with("index") || (name.ends_with(".seal") && !active);
            if ours && len > 0 && model.rng.chance(0.5) {
                match model.rng.below(3) {
                    0 => sim.disk(node).remove(&name).unwrap(),
                    1 => sim.disk(node).flip(&name, model.rng.below(len), 0x40).unwrap(),
                    _ => {
                        let bytes = sim.disk(node).read(&name).unwrap();
                        sim.disk(node).put(&name, &bytes[..model.rng.below(len) as usize]).unwrap();
                    }
                }
            }
        }
        again(&mut sim, node, move |io| async move {
            let (log, _) =
                DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(state)).await.unwrap();
            let mut n = 0;
            while n < 40 {
                let from = model.rng.below(model.end as u64) as i64;
                model.read(&log, from, model.end, 5_000).await;
                n += 1;
            }
            model.read_all(&log, 0, 50_000).await;
        });
    }
}

/// The end of a file is gone: said so, nothing is skipped unseen, and nothing is written over the
/// hole.
#[test]
fn lost_ends_of_files() {
    for seed in seeds(8) {
        let mut sim = sim(seed);
        let (node, mut model, state) = filled(&mut sim, seed, false);
        let active = seed % 2 == 0;
        let wanted = format!("{:020}.log", state.segment_base.0);
        let mut names = sim.disk(node).list().into_iter().map(|(name, _)| name);
        let name = names
            .by_ref()
            .filter(|name| name.ends_with(".log") && name.ends_with(&wanted) == active)
            .nth(usize::from(!active))
            .unwrap();
        let bytes = sim.disk(node).read(&name).unwrap();
        let content = if active { state.position } else { bytes.len() as u64 };
        let left = model.rng.below(content);
        sim.disk(node).put(&name, &bytes[..left as usize]).unwrap();
        let base: i64 =
            PathBuf::from(&name).file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let batches = positions(&model, base, content);
        let first = batches.iter().rfind(|batch| batch.0 <= left).unwrap().1;
        let end = batches.last().unwrap().2;
        again(&mut sim, node, move |io| async move {
            let (log, _) =
                DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(state)).await.unwrap();
            assert_eq!(model.read_around(&log, 0).await, vec![first..end], "seed {seed}");
            assert_eq!(model.read_around(&log, 0).await, vec![first..end], "seed {seed}");
            let (batches, old_end) = (model.batches.clone(), model.end);
            let more = model.batch().bytes;
            let flushed = log.flush(vec![more]).await;
            if active {
                assert!(matches!(flushed, Err(Error::Damaged { .. })), "seed {seed}: {flushed:?}");
                (model.batches, model.end) = (batches, old_end);
            } else {
                flushed.unwrap();
            }
            assert_eq!(model.read_around(&log, 0).await, vec![first..end], "seed {seed}");
        });
    }
}

/// Space taken in advance and never cut off, behind it a segment that fits: an unfinished roll, not
/// damage.
#[test]
fn zeros_before_a_fitting_segment() {
    let mut sim = sim(3);
    let (node, model, state) = filled(&mut sim, 3, false);
    let names: Vec<String> = sim
        .disk(node)
        .list()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.ends_with(".log"))
        .collect();
    let mut bytes = sim.disk(node).read(&names[1]).unwrap();
    bytes.resize(bytes.len() + 9_000, 0);
    sim.disk(node).put(&names[1], &bytes).unwrap();
    sim.disk(node).remove(&names[1].replace(".log", ".seal")).unwrap();
    let name = names[1].clone();
    again(&mut sim, node, move |io| async move {
        let (log, _) =
            DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(state)).await.unwrap();
        model.read_all(&log, 0, 50_000).await;
    });
    assert_eq!(
        sim.disk(node).read(&name).unwrap().len(),
        bytes.len() - 9_000,
        "cut to its content"
    );
}

/// A full disk changes nothing, and the same flush goes through when space returns.
#[test]
fn full_disk() {
    for seed in seeds(8) {
        let mut sim = sim(seed);
        let (node, mut model, state) = filled(&mut sim, seed, false);
        let used = sim.disk(node).space();
        let used = used.total_bytes - used.available_bytes;
        let room = model.rng.below(200_000);
        sim.disk(node).set_capacity(used + room);
        let image = sim.disk(node);
        let wait = Arc::new(Mutex::new(false));
        let full = wait.clone();
        sim.restart(
            node,
            vec![task(move |io| async move {
                let (log, _) = DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(state))
                    .await
                    .unwrap();
                let batches: Vec<_> = (0..300).map(|_| model.batch().bytes).collect();
                let error = log.flush(batches.clone()).await.unwrap_err();
                assert!(matches!(error, Error::Full(_)), "{error}");
                assert_eq!(log.failed(), None);
                *full.lock().unwrap() = true;
                loop {
                    match log.flush(batches.clone()).await {
                        Ok(_) => break,
                        Err(Error::Full(_)) => io.sleep_until(io.now().after_ms(50)).await,
                        Err(error) => panic!("{error}"),
                    }
                }
                model.read_all(&log, 0, 50_000).await;
                log.close().await.unwrap();
                let (log, report) =
                    DiskLog::open(&disk(&io), DIR.into(), id(), config(), None).await.unwrap();
                assert_eq!(report.bytes_cut, 0);
                model.read_all(&log, 0, 50_000).await;
            })],
        );
        assert!(
            sim.run_until(60 * SECOND, |_| *wait.lock().unwrap()),
            "seed {seed}: the disk is never full"
        );
        image.set_capacity(1 << 30);
        assert!(sim.run_until(600 * SECOND, |sim| sim.has_ended(node)), "seed {seed}");
    }
}

/// The first failed write or sync makes the log read-only; what was flushed is still read.
#[test]
fn failing_disk() {
    for (seed, op) in
        [FileOp::Write, FileOp::Sync, FileOp::Write, FileOp::Sync].into_iter().enumerate()
    {
        let seed = seed as u64;
        let mut sim = sim(seed);
        let (node, mut model, state) = filled(&mut sim, seed, false);
        sim.fail_next(node, op, ".log", EIO);
        again(&mut sim, node, move |io| async move {
            let (log, _) =
                DiskLog::open(&disk(&io), DIR.into(), id(), config(), Some(state)).await.unwrap();
            let (batches, end) = (model.batches.clone(), model.end);
            let more: Vec<_> = (0..200).map(|_| model.batch().bytes).collect();
            let first = log.flush(more.clone()).await.unwrap_err();
            assert!(matches!(first, Error::Io(_)), "{first}");
            assert!(matches!(log.flush(more).await, Err(Error::Failed(_))));
            assert!(matches!(log.roll().await, Err(Error::Failed(_))));
            assert_eq!(log.failed(), Some(first.to_string()));
            assert_eq!(log.flushed(), Offset(end));
            (model.batches, model.end) = (batches, end);
            model.read_all(&log, 0, 50_000).await;
        });
    }
}
