//! What only the simulation can do: replay, kills and power cuts, faults by order and by chance,
//! cut links.
use crate::bed::{Message, SECOND, act, core, frame, frames, pattern, seeds, task};
use bytes::Bytes;
use netio::{
    AlignedBuf, Boot, Class, CoreId, Event, Io, Open, TaskSet, Turn,
    buffer::BLOCK,
    sim::{FileOp, Names, NodeId, NodeOptions, Sim, SimOptions},
};
use std::{
    collections::BTreeSet,
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

const CREATE: Open =
    Open { write: true, create: true, exclusive: false, truncate: false, direct: false };
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn node(sim: &mut Sim, boots: Vec<Boot<Message>>) -> NodeId {
    sim.add_node(NodeOptions::default(), boots)
}

/// Runs one future on a node of its own, to its end.
fn run<F: Future<Output = ()> + 'static>(
    sim: &mut Sim,
    f: impl FnOnce(Io) -> F + Send + 'static,
) -> NodeId {
    let n = sim.add_host(NodeOptions::default());
    again(sim, n, f);
    n
}

/// Runs one future as the next process on a node.
fn again<F: Future<Output = ()> + 'static>(
    sim: &mut Sim,
    n: NodeId,
    f: impl FnOnce(Io) -> F + Send + 'static,
) {
    sim.run_on(n, 60 * SECOND, f).expect("the future ends");
}

/// A node that is busy with everything at once, cut off in the middle and started again.
fn busy_run(seed: u64) -> (u64, Vec<(String, u64)>) {
    let mut sim = Sim::new(SimOptions::seeded(seed));
    let writer = || {
        core(|io, mesh| {
            let tasks: TaskSet<()> = TaskSet::new(&io);
            for i in 0..6u64 {
                let io = io.clone();
                tasks.spawn(
                    if i % 2 == 0 { Class::Flush } else { Class::Compaction },
                    async move {
                        let path = format!("data/f{i}");
                        let Ok(file) = io.open(Path::new(&path), CREATE).await else {
                            return;
                        };
                        for n in 0.. {
                            let len = 1 + (io.random() % 9_000) as usize;
                            file.write_at(Bytes::from(pattern(n, len)), n * 4_096, n % 3 == 0)
                                .await
                                .unwrap();
                            io.sleep_until(io.now().after_us(io.random() % 500)).await;
                        }
                    },
                );
            }
            act(move |_| {
                let _keep = &tasks;
                while mesh.receive().is_some() {}
                Turn::Rest
            })
        })
    };
    let n = node(&mut sim, vec![writer(), writer(), echo_server_quiet()]);
    let client = sim.client((n.ip(), 9_092).into());
    client.send(frame(&pattern(1, 50_000)));
    sim.run_for(20_000_000);
    assert_eq!(client.take().len(), 50_004);
    sim.power_cut(n);
    sim.restart(n, vec![writer(), writer()]);
    sim.run_for(5_000_000);
    sim.kill(n);
    (sim.trace_hash(), sim.disk(n).list())
}

/// An echo server on a fixed port that needs nobody to talk to.
fn echo_server_quiet() -> Boot<Message> {
    core(|io, _mesh| {
        io.listen("0.0.0.0:9092".parse().unwrap()).unwrap();
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. } => io.start_receiving(conn),
                    Event::Readable { conn } => {
                        let mut replies = Vec::new();
                        frames(&io, conn, |body| replies.push(frame(body)));
                        io.send(conn, replies);
                    }
                    Event::Stop => return Turn::Done,
                    _ => {}
                }
            }
            Turn::Rest
        })
    })
}

#[test]
fn the_same_seed_replays_and_others_differ() {
    let mut hashes = BTreeSet::new();
    for seed in 0..8 {
        let first = busy_run(seed);
        assert_eq!(first, busy_run(seed), "seed {seed} does not replay");
        hashes.insert(first.0);
    }
    assert_eq!(hashes.len(), 8);
}

/// What becomes of a file of three blocks over many power cuts: the set of (block 0, 1, 2 intact).
fn after_power_cuts(
    write: fn(Io) -> std::pin::Pin<Box<dyn Future<Output = ()>>>,
) -> BTreeSet<[bool; 3]> {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let mut sim = Sim::new(SimOptions::seeded(seed));
        let n = node(
            &mut sim,
            vec![task(move |io: Io| async move {
                let file = io.open(Path::new("data/f"), CREATE).await.unwrap();
                file.allocate(0, 3 * BLOCK as u64).await.unwrap();
                file.sync(false).await.unwrap();
                io.sync_dir(Path::new("data")).await.unwrap();
                write(io).await;
            })],
        );
        assert!(sim.run_until(60 * SECOND, |sim| sim.has_ended(n)));
        sim.power_cut(n);
        let bytes = sim.disk(n).read("data/f").unwrap();
        assert_eq!(bytes.len(), 3 * BLOCK);
        let mut intact = [false; 3];
        for (i, block) in bytes.chunks(BLOCK).enumerate() {
            intact[i] = block == pattern(i as u64, BLOCK);
            for sector in block.chunks(512).zip(pattern(i as u64, BLOCK).chunks(512)) {
                assert!(
                    sector.0 == sector.1 || sector.0.iter().all(|&b| b == 0),
                    "a sector is old or new"
                );
            }
        }
        seen.insert(intact);
    }
    seen
}

async fn write_block(io: &Io, i: u64, dsync: bool) -> netio::File {
    let file = io.open(Path::new("data/f"), Open { write: true, ..Open::default() }).await.unwrap();
    file.write_at(Bytes::from(pattern(i, BLOCK)), i * BLOCK as u64, dsync).await.unwrap();
    file
}

#[test]
fn a_power_cut_takes_any_unsynced_write_and_no_synced_one() {
    let none = after_power_cuts(|io| {
        Box::pin(async move {
            for i in 0..3 {
                write_block(&io, i, false).await;
            }
        })
    });
    assert!(none.len() >= 6, "of eight combinations: {none:?}");
    let synced = after_power_cuts(|io| {
        Box::pin(async move {
            write_block(&io, 0, false).await;
            write_block(&io, 1, false).await.sync(true).await.unwrap();
            write_block(&io, 2, false).await;
        })
    });
    assert_eq!(
        synced,
        BTreeSet::from([[true, true, false], [true, true, true]]),
        "a sync covers what was written before it"
    );
}

#[test]
fn dsync_says_nothing_of_other_writes() {
    let seen = after_power_cuts(|io| {
        Box::pin(async move {
            write_block(&io, 0, false).await;
            write_block(&io, 1, true).await;
            write_block(&io, 2, false).await;
        })
    });
    assert!(seen.iter().all(|s| s[1]), "{seen:?}");
    assert!(
        seen.contains(&[false, true, false])
            && seen.iter().any(|s| s[0])
            && seen.iter().any(|s| s[2]),
        "{seen:?}"
    );
}

#[test]
fn names_need_their_directory_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let mut sim = Sim::new(SimOptions::seeded(seed));
        let n = run(&mut sim, |io| async move {
            let dir = Path::new("data");
            for (name, len) in [("checkpoint", 1), ("checkpoint.tmp", 2)] {
                let file = io.open(&dir.join(name), CREATE).await.unwrap();
                file.write_at(Bytes::from(vec![1; len]), 0, false).await.unwrap();
                file.sync(false).await.unwrap();
            }
            io.sync_dir(dir).await.unwrap();
            io.rename(&dir.join("checkpoint.tmp"), &dir.join("checkpoint")).await.unwrap();
            io.open(&dir.join("new"), CREATE).await.unwrap().sync(false).await.unwrap();
        });
        sim.power_cut(n);
        let list: Vec<String> =
            sim.disk(n).list().iter().map(|(name, len)| format!("{name}:{len}")).collect();
        seen.insert(list.join(" "));
    }
    let want = [
        "data/checkpoint:1 data/checkpoint.tmp:2",
        "data/checkpoint:1 data/checkpoint.tmp:2 data/new:0",
        "data/checkpoint:2",
        "data/checkpoint:2 data/new:0",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), want, "a rename is seen whole or not at all");
}

#[test]
fn a_journal_keeps_names_in_order() {
    for seed in 0..40 {
        let mut options = SimOptions::seeded(seed);
        options.disk.names = Names::Journal;
        let mut sim = Sim::new(options);
        let n = run(&mut sim, |io| async move {
            for name in ["a", "b", "c", "d"] {
                let file = io.open(&Path::new("data").join(name), CREATE).await.unwrap();
                if name == "b" {
                    file.sync(false).await.unwrap();
                }
            }
        });
        sim.power_cut(n);
        let names: Vec<String> = sim.disk(n).list().into_iter().map(|(name, _)| name).collect();
        assert!(
            names.len() >= 2 && names == ["data/a", "data/b", "data/c", "data/d"][..names.len()],
            "{names:?}"
        );
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    // Acked writes are there for the next process, those in flight may be; but a later power cut
    // can still take both.
    let (mut landed, mut lost_later) = (0, 0);
    for seed in 0..40 {
        let mut sim = Sim::new(SimOptions::seeded(seed));
        let acked = Arc::new(AtomicU64::new(0));
        let count = acked.clone();
        let n = node(
            &mut sim,
            vec![task(move |io| async move {
                let file = io.open(Path::new("data/f"), CREATE).await.unwrap();
                io.sync_dir(Path::new("data")).await.unwrap();
                for i in 0.. {
                    file.write_at(Bytes::from(pattern(i, BLOCK)), i * BLOCK as u64, false)
                        .await
                        .unwrap();
                    count.store(i + 1, Ordering::Relaxed);
                }
            })],
        );
        sim.run_until(SECOND, |_| acked.load(Ordering::Relaxed) == 20);
        sim.run_for(40_000);
        sim.kill(n);
        let acked = acked.load(Ordering::Relaxed);
        let bytes = sim.disk(n).read("data/f").unwrap();
        for i in 0..acked {
            assert_eq!(
                bytes[i as usize * BLOCK..][..BLOCK],
                pattern(i, BLOCK),
                "acked write {i} of {acked}"
            );
        }
        landed += u32::from(bytes.len() > acked as usize * BLOCK);
        assert!(sim.disk(n).at_risk("data/f").unwrap() > 0);
        sim.power_cut(n);
        lost_later += u32::from(sim.disk(n).read("data/f").unwrap() != bytes);
    }
    assert!((5..40).contains(&landed), "a write in flight landed {landed} times of 40");
    assert!(lost_later > 30, "{lost_later}");
}

#[test]
fn a_kill_at_any_moment_finds_a_world_that_goes_on() {
    for seed in seeds(15) {
        let mut sim = Sim::new(SimOptions::seeded(seed));
        let n = node(&mut sim, vec![echo_server_quiet()]);
        let addr = (n.ip(), 9_092).into();
        for round in 0..6u64 {
            let client = sim.client(addr);
            let body = pattern(round, 40_000);
            for _ in 0..4 {
                client.send(frame(&body));
            }
            sim.run_for(sim.random() % 2_000_000);
            if sim.random().is_multiple_of(2) {
                sim.kill(n);
            } else {
                sim.power_cut(n);
            }
            assert!(
                sim.run_until(10 * SECOND, |_| client.ended().is_some()),
                "the peer of a dead process waits for ever"
            );
            let got = client.take();
            assert!(got == frame(&body).repeat(4)[..got.len()], "what came, came in order");
            let refused = sim.client(addr);
            assert!(sim.run_until(10 * SECOND, |_| refused.ended().is_some()));
            assert!(!refused.is_connected());
            sim.restart(n, vec![echo_server_quiet()]);
            let client = sim.client(addr);
            client.send(frame(b"alive"));
            assert!(sim.run_until(SECOND, |_| client.available() == 9), "it serves again");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_gives_way_again() {
    let mut sim = Sim::new(SimOptions::seeded(1));
    let n = run(&mut sim, |io| async move {
        io.open(Path::new("data/f"), CREATE).await.unwrap();
    });
    sim.disk(n).set_capacity(40 * BLOCK as u64);
    again(&mut sim, n, |io| async move {
        let file = io.open(Path::new("data/f"), CREATE).await.unwrap();
        file.allocate(0, 32 * BLOCK as u64).await.unwrap();
        let e = file.allocate(0, 64 * BLOCK as u64).await.unwrap_err();
        assert!(e.is_full() && e.errno == ENOSPC, "{e}");
        let beyond = file
            .write_at(Bytes::from(vec![1; 20 * BLOCK]), 32 * BLOCK as u64, true)
            .await
            .unwrap_err();
        assert!(beyond.is_full());
        assert_eq!(file.len().await, Ok(32 * BLOCK as u64));
        // What was allocated can be written.
        file.write_at(Bytes::from(vec![1; 32 * BLOCK]), 0, true).await.unwrap();
        assert_eq!(io.space(Path::new("data")).await.unwrap().available_bytes, 8 * BLOCK as u64);
        io.remove_file(Path::new("data/f")).await.unwrap();
        drop(file);
        io.sleep_until(io.now().after_ms(1)).await;
        assert_eq!(io.space(Path::new("data")).await.unwrap().available_bytes, 40 * BLOCK as u64);
    });
}

#[test]
fn ordered_faults_come_where_they_were_ordered() {
    let mut sim = Sim::new(SimOptions::seeded(2));
    let n = run(&mut sim, |_| async {});
    sim.fail_next(n, FileOp::Write, "0.log", EIO);
    sim.fail_next(n, FileOp::Sync, "0.log", EIO);
    sim.fail_always(n, FileOp::Rename, "checkpoint", EIO);
    sim.fail_next(n, FileOp::Allocate, "", ENOSPC);
    again(&mut sim, n, |io| async move {
        let other = io.open(Path::new("data/other"), CREATE).await.unwrap();
        other.write_at(Bytes::from_static(b"x"), 0, false).await.unwrap();
        let file = io.open(Path::new("data/0.log"), CREATE).await.unwrap();
        let e = file.write_at(Bytes::from_static(b"x"), 0, false).await.unwrap_err();
        assert!(e.errno == EIO && e.on.contains("0.log"), "{e}");
        file.write_at(Bytes::from_static(b"x"), 0, false).await.unwrap();
        assert_eq!(file.sync(true).await.unwrap_err().errno, EIO);
        file.sync(true).await.unwrap();
        for _ in 0..3 {
            let e =
                io.rename(Path::new("data/other"), Path::new("data/checkpoint")).await.unwrap_err();
            assert_eq!(e.errno, EIO);
        }
        assert!(other.allocate(0, 10).await.unwrap_err().is_full());
        other.allocate(0, 10).await.unwrap();
    });
    assert!(
        sim.disk(n).at_risk("data/0.log").unwrap() > 0,
        "a sync that succeeds after one that failed saves nothing"
    );
    sim.clear_faults(n);
    again(&mut sim, n, |io| async move {
        io.rename(Path::new("data/other"), Path::new("data/checkpoint")).await.unwrap();
    });
}

#[test]
fn reads_can_be_damaged_in_passing_or_on_the_disk() {
    let mut sim = Sim::new(SimOptions::seeded(3));
    let n = run(&mut sim, |io| async move {
        let file = io.open(Path::new("data/f"), CREATE).await.unwrap();
        file.write_at(Bytes::from(pattern(1, 2 * BLOCK)), 0, true).await.unwrap();
        io.sync_dir(Path::new("data")).await.unwrap();
    });
    fn differing(sim: &mut Sim, n: NodeId) -> u32 {
        let bits = Arc::new(AtomicU64::new(0));
        let count = bits.clone();
        again(sim, n, move |io| async move {
            let file = io
                .open(Path::new("data/f"), Open { direct: true, ..Open::default() })
                .await
                .unwrap();
            let (buf, r) = file.read_at(AlignedBuf::zeroed(2 * BLOCK), 0).await;
            r.unwrap();
            let n: u32 =
                buf.iter().zip(pattern(1, 2 * BLOCK)).map(|(a, b)| (a ^ b).count_ones()).sum();
            count.store(n.into(), Ordering::Relaxed);
        });
        bits.load(Ordering::Relaxed) as u32
    }
    assert_eq!(differing(&mut sim, n), 0);
    sim.set_disk(n, |d| d.read_flip = 1.0);
    assert_eq!(differing(&mut sim, n), 1);
    sim.set_disk(n, |d| d.read_flip = 0.0);
    assert_eq!(differing(&mut sim, n), 0, "the disk itself is right");
    sim.disk(n).flip("data/f", 5_000, 0b101).unwrap();
    assert_eq!(differing(&mut sim, n), 2);
    sim.power_cut(n);
    assert_eq!(differing(&mut sim, n), 2);
}

#[test]
fn stop_reaches_every_core_and_the_node_ends() {
    let mut sim = Sim::new(SimOptions::seeded(4));
    let n = node(
        &mut sim,
        (0..3)
            .map(|_| {
                core(|_, _| {
                    act(|events| {
                        if events.drain(..).any(|e| matches!(e, Event::Stop)) {
                            Turn::Done
                        } else {
                            Turn::Rest
                        }
                    })
                })
            })
            .collect(),
    );
    sim.run_for(SECOND);
    assert!(!sim.has_ended(n));
    sim.stop(n);
    assert!(sim.run_until(SECOND, |sim| sim.has_ended(n)));
}

#[test]
fn a_closed_connection_counts_while_its_peer_stays_and_no_stop_waits_for_it() {
    for seed in seeds(20) {
        let mut sim = Sim::new(SimOptions::seeded(seed));
        let says_bye = core(|io, _| {
            io.listen("0.0.0.0:9092".parse().unwrap()).unwrap();
            act(move |events| {
                for event in events.drain(..) {
                    match event {
                        Event::Accepted { conn, .. } => io.start_receiving(conn),
                        Event::Readable { conn } => {
                            io.send(conn, [Bytes::from_static(b"bye")]);
                            io.close(conn, true);
                        }
                        Event::Closed { conn, .. } => assert!(io.take(conn).is_some()),
                        Event::Stop => return Turn::Done,
                        other => panic!("{other:?}"),
                    }
                }
                Turn::Rest
            })
        });
        let process =
            netio::Options { cpus: vec![None], connections_max: 1, ..netio::Options::default() };
        let options = NodeOptions { process, ..NodeOptions::default() };
        let n = sim.add_node(options, vec![says_bye]);
        let visit = |sim: &mut Sim, back: &[u8]| {
            let client = sim.client((n.ip(), 9_092).into());
            client.send("x");
            assert!(sim.run_until(SECOND / 2, |_| client.ended().is_some()));
            assert_eq!(client.take(), back, "seed {seed}");
            // It stays: to drop it would be to close it.
            client
        };
        let first = visit(&mut sim, b"bye");
        assert_eq!(first.ended(), Some(None), "the end, and no reset");
        let _refused = visit(&mut sim, b"");
        // Nothing else happens on this core, so nothing but its time ends it.
        sim.run_for(2 * SECOND);
        let _last = visit(&mut sim, b"bye");
        sim.stop(n);
        assert!(sim.run_until(SECOND / 2, |sim| sim.has_ended(n)), "seed {seed}: waited");
    }
}

#[test]
fn a_test_can_send_messages_and_rest_costs_no_steps() {
    let mut sim = Sim::new(SimOptions::seeded(5));
    let got = Arc::new(Mutex::new(Vec::new()));
    let log = got.clone();
    let n = node(
        &mut sim,
        vec![core(move |_, mesh| {
            act(move |_| {
                while let Some((from, message)) = mesh.receive() {
                    assert_eq!(from, None);
                    log.lock().unwrap().push(message);
                }
                Turn::Rest
            })
        })],
    );
    sim.run_for(SECOND);
    let steps = sim.stats(n)[0].steps;
    sim.run_for(100 * SECOND);
    assert_eq!(sim.stats(n)[0].steps, steps, "a core at rest is not stepped");
    sim.sender(n).send(CoreId(0), Message::Number(7)).unwrap();
    assert!(sim.run_until(SECOND, |_| got.lock().unwrap().len() == 1));
    assert_eq!(sim.now() / SECOND, 101);
}

#[test]
fn nodes_talk_until_their_link_is_cut() {
    for seed in seeds(10) {
        let mut sim = Sim::new(SimOptions::seeded(seed));
        let server = node(&mut sim, vec![echo_server_quiet()]);
        let log: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let events_log = log.clone();
        let caller = node(
            &mut sim,
            vec![core(move |io, mesh| {
                let conn = io.connect((server.ip(), 9_092).into());
                act(move |events| {
                    while mesh.receive().is_some() {
                        io.send(conn, [frame(b"hello")]);
                    }
                    for event in events.drain(..) {
                        let line = match event {
                            Event::Connected { conn } => {
                                io.start_receiving(conn);
                                "connected"
                            }
                            Event::Readable { conn } => {
                                frames(&io, conn, |body| assert_eq!(body, b"hello"));
                                "echo"
                            }
                            Event::Closed { .. } => "closed",
                            other => panic!("{other:?}"),
                        };
                        events_log.lock().unwrap().push(line);
                    }
                    Turn::Rest
                })
            })],
        );
        let seen = |n: usize| {
            let log = log.clone();
            move |_: &Sim| log.lock().unwrap().len() >= n
        };
        let ask = |sim: &Sim| sim.sender(caller).send(CoreId(0), Message::Over).unwrap();
        assert!(sim.run_until(SECOND, seen(1)));
        ask(&sim);
        assert!(
            sim.run_until(SECOND, |s| log.lock().unwrap().concat().contains("echo") && s.now() > 0)
        );
        sim.cut(caller, server);
        let before = log.lock().unwrap().len();
        ask(&sim);
        sim.run_for(SECOND);
        assert_eq!(log.lock().unwrap().len(), before, "nothing passes");
        sim.heal(caller, server);
        assert!(sim.run_until(SECOND, seen(before + 1)), "late, not lost");
        sim.cut_one_way(server, caller);
        ask(&sim);
        assert!(!sim.run_until(3 * SECOND, seen(usize::MAX)));
        assert!(
            sim.run_until(20 * SECOND, |_| log.lock().unwrap().last() == Some(&"closed")) || {
                // The server gave up; the caller learns of it when it asks again.
                sim.heal(caller, server);
                ask(&sim);
                sim.run_until(20 * SECOND, |_| log.lock().unwrap().last() == Some(&"closed"))
            }
        );
    }
}

#[test]
fn clocks_of_nodes_differ_as_told() {
    let mut sim = Sim::new(SimOptions::seeded(6));
    let walls: Arc<Mutex<Vec<i64>>> = Arc::default();
    for skew in [0, -5_000] {
        let walls = walls.clone();
        let boot = task(move |io| async move { walls.lock().unwrap().push(io.wall()) });
        sim.add_node(NodeOptions { wall_skew_ms: skew, ..NodeOptions::default() }, vec![boot]);
        sim.run_for(1_000);
    }
    sim.run_for(SECOND);
    let walls = walls.lock().unwrap();
    assert!((4_900..=5_000).contains(&(walls[0] - walls[1])), "{walls:?}");
}
