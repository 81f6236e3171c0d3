//! The log conformance suite: random operations and crashes from a seed, against a small model in
//! memory.
//!
//! A run is a few lives of a process: it opens the data directory, reads back everything and
//! compares, works, and is killed, loses power, or stops; the next life may have another number of
//! cores. Checked: nothing acknowledged is lost, no offset is given twice, order and bytes stay,
//! producers' repetitions are answered with the first append's offsets, log starts and deletions
//! hold.
//!
//! `MILLRACE_SEED=n` runs one seed, `MILLRACE_SEEDS=n` that many ([`testkit::seeds`]).
mod load;

use load::{Shared, boots};
use netio::{
    CoreId,
    sim::{NodeId, NodeOptions, Rng, Sim, SimOptions},
};
use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use testkit::{model::End, seeds, seeds_by};

/// What a run did, for its hash and for the summary.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    trace: u64,
    appended: u64,
    duplicates: u64,
    busy: u64,
    cold: u64,
    verified: u64,
    lost_unacked: u64,
    /// Stops of a process; and those that could not end cleanly, for there was no space.
    stops: u64,
    unclean: u64,
    refused: u64,
}

/// The device is full from now on, or has room for a few blocks more.
fn fill(sim: &Sim, node: NodeId, rng: &mut Rng) {
    let disk = sim.disk(node);
    let space = disk.space();
    let room = if rng.chance(0.5) { 0 } else { rng.below(100) };
    disk.set_capacity(space.total_bytes - space.available_bytes + room * 4096);
}

fn run(seed: u64) -> Summary {
    let mut rng = Rng::new(seed);
    let shared = Shared::new();
    let mut sim = Sim::new(SimOptions::seeded(seed));
    let cores = rng.between(1, 4) as usize;
    let node = sim.add_node(NodeOptions::default(), boots(&shared, Path::new("data"), cores, seed));
    let lives = rng.between(2, 6);
    let mut cores = cores;
    let capacity = sim.disk(node).space().total_bytes;
    let (mut stops, mut unclean) = (0, 0);
    for life in 0..lives {
        // A crash may hit recovery itself.
        let early = rng.chance(0.15);
        if !early {
            let ready = sim.run_until(20_000_000_000, |_| shared.ready() == cores);
            assert!(ready, "life {life}: not ready, {} of {cores} cores", shared.ready());
            sim.run_for(rng.between(1_000_000, 120_000_000));
            if rng.chance(0.3) {
                fill(&sim, node, &mut rng);
                // From nothing up to several looks at the space.
                sim.run_for(rng.between(0, 80_000_000));
                if rng.chance(0.3) {
                    sim.disk(node).set_capacity(capacity);
                    sim.run_for(rng.between(1_000_000, 80_000_000));
                }
            }
        } else {
            sim.run_for(rng.between(10_000, 15_000_000));
        }
        let full = sim.disk(node).space().total_bytes != capacity;
        let end = match rng.below(10) {
            // What a stop does on a full device is the question then.
            _ if full && shared.ready() == cores && rng.chance(0.6) => End::Clean,
            0..=3 => End::Power,
            4..=7 => End::Kill,
            _ if shared.ready() == cores => End::Clean,
            _ => End::Kill,
        };
        let opened = shared.ready() == cores;
        let end = match end {
            End::Power => {
                sim.power_cut(node);
                end
            }
            End::Kill => {
                sim.kill(node);
                end
            }
            End::Clean => {
                sim.stop(node);
                if rng.chance(0.2) {
                    sim.run_for(rng.between(0, 2_000_000));
                    fill(&sim, node, &mut rng);
                }
                let ended = sim.run_until(20_000_000_000, |sim| sim.has_ended(node));
                assert!(
                    ended,
                    "life {life}: the store does not stop, {} of {cores}",
                    shared.stopped()
                );
                stops += 1;
                // It said so, and then it is no more than a kill.
                match shared.left_something() {
                    true => {
                        unclean += 1;
                        End::Kill
                    }
                    false => End::Clean,
                }
            }
        };
        sim.disk(node).set_capacity(capacity);
        // Where not every store was opened in between, the harder of the two ends counts.
        let mut model = shared.lock();
        model.last_end = Some(match model.last_end {
            Some(before) if !opened => before.max(end),
            _ => end,
        });
        drop(model);
        cores = rng.between(1, 4) as usize;
        sim.restart(node, boots(&shared, Path::new("data"), cores, seed.wrapping_add(life + 1)));
    }
    let ready = sim.run_until(20_000_000_000, |_| shared.ready() == cores);
    assert!(ready, "the last life is not ready, {} of {cores} cores", shared.ready());
    let model = shared.lock();
    Summary {
        trace: sim.trace_hash(),
        appended: model.appended,
        duplicates: model.duplicates,
        busy: model.busy,
        cold: model.cold,
        verified: model.verified,
        lost_unacked: model.lost_unacked,
        stops,
        unclean,
        refused: model.refused,
    }
}

/// The same on io_uring and a real disk. A life ends with everything dropped where it stands, or
/// cleanly.
fn run_on_disk(seed: u64, data: &Path) {
    let mut rng = Rng::new(seed);
    let shared = Shared::new();
    for life in 0..4 {
        let cores = rng.between(1, 3) as usize;
        let options = netio::Options { cpus: vec![None; cores], ..netio::Options::default() };
        let running =
            netio::start(options, boots(&shared, data, cores, seed + life)).expect("io_uring");
        while shared.ready() < cores {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(rng.between(10, 300)));
        let end = if rng.chance(0.3) { End::Clean } else { End::Kill };
        match end {
            End::Clean => running.stop(),
            _ => {
                for core in 0..cores {
                    running.sender().send(CoreId(core as u16), ()).expect("the lane has room");
                }
            }
        }
        running.join().expect("no core panicked");
        assert!(end != End::Clean || shared.stopped() == cores, "a store did not stop");
        shared.lock().last_end = Some(end);
    }
    let model = shared.lock();
    assert!(model.appended > 100, "seed {seed}: {} appended", model.appended);
}

/// Seeds that meet everything there is to meet.
const FEW: u64 = 60;

#[test]
fn seeds_on_the_simulated_disk() {
    let seeds = seeds(FEW);
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Summary::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let Ok(summary) = std::panic::catch_unwind(|| run(seed)) else {
                        next.store(seeds.end, Ordering::Relaxed);
                        panic!("seed {seed} fails: MILLRACE_SEED={seed}");
                    };
                    let mut total = total.lock().unwrap();
                    total.appended += summary.appended;
                    total.duplicates += summary.duplicates;
                    total.busy += summary.busy;
                    total.cold += summary.cold;
                    total.verified += summary.verified;
                    total.lost_unacked += summary.lost_unacked;
                    total.stops += summary.stops;
                    total.unclean += summary.unclean;
                    total.refused += summary.refused;
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("seeds {seeds:?}: {total:?}");
    let seeds = seeds.end - seeds.start;
    if seeds < FEW {
        // A few seeds need not meet everything.
        return;
    }
    assert!(total.appended > seeds * 50, "hardly anything was appended: {total:?}");
    assert!(total.duplicates > seeds && total.cold > seeds && total.verified > seeds, "{total:?}");
    assert!(
        total.unclean > 0 && 3 * total.stops > 4 * total.unclean && total.refused > seeds / 10,
        "{total:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 8, 11] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn seeds_on_a_real_disk() {
    for seed in seeds_by("MILLRACE_DISK_SEEDS", 4) {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        run_on_disk(seed, &data.path().join("data"));
    }
}
