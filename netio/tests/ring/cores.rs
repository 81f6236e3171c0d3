//! Threads: pinning, wake-ups across cores, rest, stop, background work.
use crate::support::{Echo, boot, frame_of, round_trip, run_once};
use netio::{Class, CoreId, Event, Io, Mesh, Options, Program, TaskSet, Turn};
use std::{net::TcpStream, sync::mpsc};

/// Counts what core 0 sends, one message a turn, so that the cores park and wake again and again.
struct PingPong {
    mesh: Mesh<u64>,
    peer: CoreId,
    last: u64,
    until: u64,
}

impl Program for PingPong {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        events.clear();
        while let Some((from, n)) = self.mesh.receive() {
            assert!(from.is_none() || from == Some(self.peer));
            assert!(n == self.last + 1 || n == self.last + 2, "{n} after {}", self.last);
            self.last = n;
            if n < self.until {
                self.mesh.send(self.peer, n + 1).expect("one message is in the lane at a time");
            }
        }
        if self.last + 1 >= self.until { Turn::Done } else { Turn::Rest }
    }
}

#[test]
fn a_ball_played_between_parked_cores_is_never_lost() {
    // No spinning: every single message has to wake a parked core.
    let options = Options { cpus: vec![None, None], spin_us_max: 0, ..Options::default() };
    let player =
        |peer| boot(move |_, mesh| PingPong { mesh, peer: CoreId(peer), last: 0, until: 50_000 });
    let running = netio::start(options, vec![player(1), player(0)]).unwrap();
    running.sender().send(CoreId(0), 1).unwrap();
    running.join().unwrap();
}

/// Sends numbers to the other core as fast as the lane takes them, and checks what comes.
struct Flood {
    mesh: Mesh<u64>,
    peer: CoreId,
    sent: u64,
    received: u64,
    count: u64,
}

impl Program for Flood {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        events.clear();
        // Bounded, as a program's turn has to be.
        for _ in 0..256 {
            let Some((_, n)) = self.mesh.receive() else {
                break;
            };
            assert_eq!(n, self.received);
            self.received += 1;
        }
        for _ in 0..256 {
            if self.sent == self.count || self.mesh.send(self.peer, self.sent).is_err() {
                break;
            }
            self.sent += 1;
        }
        match (self.sent == self.count, self.received == self.count) {
            (true, true) => Turn::Done,
            (true, false) => Turn::Rest,
            (false, _) => Turn::Again,
        }
    }
}

#[test]
fn a_million_messages_each_way_arrive_in_order() {
    let options = Options { cpus: vec![None, None], lane_slots: 64, ..Options::default() };
    let flood = |peer| {
        boot(move |_, mesh| Flood {
            mesh,
            peer: CoreId(peer),
            sent: 0,
            received: 0,
            count: 1_000_000,
        })
    };
    let running = netio::start(options, vec![flood(1), flood(0)]).unwrap();
    running.join().unwrap();
}

#[test]
fn a_core_runs_where_it_is_pinned_and_is_named() {
    // SAFETY: no pointers.
    let cpu = unsafe { libc::sched_getcpu() } as usize;
    let (boot, result) = run_once(|io: Io| {
        Box::pin(async move {
            // SAFETY: no pointers.
            let cpu = unsafe { libc::sched_getcpu() } as usize;
            (cpu, std::thread::current().name().map(String::from), io.core())
        })
    });
    let running =
        netio::start(Options { cpus: vec![Some(cpu)], ..Options::default() }, vec![boot]).unwrap();
    assert_eq!(result.recv().unwrap(), (cpu, Some("core-0".into()), CoreId(0)));
    running.join().unwrap();
}

#[test]
fn a_cpu_that_does_not_exist_is_an_error_that_says_so() {
    let (boot, _) = run_once(|_| Box::pin(async {}));
    let error = netio::start(Options { cpus: vec![Some(1000)], ..Options::default() }, vec![boot])
        .unwrap_err();
    assert!(error.to_string().contains("CPU 1000"), "{error}");
}

#[test]
fn no_core_boots_unless_all_of_them_can() {
    for cpus in [[None, Some(1000)], [Some(1000), None]] {
        let (boots, booted): (Vec<_>, Vec<_>) =
            (0..2).map(|_| run_once(|_| Box::pin(async {}))).unzip();
        let options = Options { cpus: cpus.to_vec(), ..Options::default() };
        let error = netio::start(options, boots).unwrap_err();
        assert!(error.to_string().contains("CPU 1000"), "{error}");
        // The threads have been joined: what could have booted is gone, and nothing of it ran.
        for booted in booted {
            assert_eq!(booted.recv(), Err(mpsc::RecvError));
        }
    }
}

/// CPU time of the thread with this name, in microseconds.
fn cpu_us(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let named = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let of_task = |task: std::path::PathBuf| {
        let stat = std::fs::read_to_string(task.join("schedstat")).unwrap();
        stat.split(' ').next().unwrap().parse::<u64>().unwrap() / 1_000
    };
    tasks.filter(named).map(of_task).sum()
}

#[test]
fn a_core_at_rest_uses_no_cpu() {
    struct Rest(Io);
    impl Program for Rest {
        fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
            if events.iter().any(|event| matches!(event, Event::Timer { .. })) {
                self.0.timer(self.0.now().after_ms(100), 1);
            }
            if events.drain(..).any(|event| matches!(event, Event::Stop)) {
                Turn::Done
            } else {
                Turn::Rest
            }
        }
    }
    // A name of its own, as other tests of this process run cores at the same time: core 7.
    let cpus = vec![None; 8];
    let rest = |_| {
        boot(|io: Io, _| {
            io.timer(io.now(), 1);
            io.listen(crate::support::LOOPBACK.parse().unwrap()).unwrap();
            Rest(io)
        })
    };
    let running =
        netio::start::<()>(Options { cpus, ..Options::default() }, (0..8).map(rest).collect())
            .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let before_us = cpu_us("core-7");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let used_us = cpu_us("core-7") - before_us;
    println!("a core at rest with a timer every 100 ms used {used_us} us of CPU in a second");
    assert!(used_us < 50_000, "a core at rest used {used_us} us of a second");
    running.stop();
    running.join().unwrap();
}

/// Nice value in `stat` of a thread's directory in /proc: field 19, the 17th behind the name.
fn nice_of(stat: &str) -> i32 {
    let behind = stat.rsplit_once(')').unwrap().1;
    behind.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[test]
fn cores_have_the_nice_value_that_is_told_and_leave_it_to_no_child() {
    struct Idle;
    impl Program for Idle {
        fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
            if events.drain(..).any(|event| matches!(event, Event::Stop)) {
                Turn::Done
            } else {
                Turn::Rest
            }
        }
    }
    let own = nice_of(&std::fs::read_to_string("/proc/thread-self/stat").unwrap());
    let (told, tells) = mpsc::channel();
    let program = boot(move |_: Io, _| {
        let stat = || std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let child = std::thread::spawn(stat).join().unwrap();
        told.send((nice_of(&stat()), nice_of(&child))).unwrap();
        Idle
    });
    let wish = (own - 3).min(-3);
    let running =
        netio::start::<()>(Options { nice: wish, ..Options::default() }, vec![program]).unwrap();
    let (core, child) = tells.recv().unwrap();
    if running.nice() == wish {
        assert_eq!((core, child), (wish, 0), "allowed");
    } else {
        assert_eq!((running.nice(), core, child), (0, own, own), "not allowed");
    }
    running.stop();
    running.join().unwrap();
}

#[test]
fn background_work_does_not_starve_the_foreground_nor_the_reverse() {
    struct Both {
        echo: Echo,
        tasks: TaskSet<u64>,
        done: mpsc::Sender<u64>,
    }
    impl Program for Both {
        fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
            if let Some(rounds) = self.tasks.take() {
                self.done.send(rounds).unwrap();
            }
            // A foreground that always has more to do.
            if self.echo.turn(events) == Turn::Done { Turn::Done } else { Turn::Again }
        }
    }
    let (address, addresses) = mpsc::channel();
    let (done, outcomes) = mpsc::channel();
    let program = boot(move |io: Io, _| {
        let tasks = TaskSet::new(&io);
        for class in [Class::Flush, Class::Compaction] {
            let io = io.clone();
            tasks.spawn(class, async move {
                let end = io.now().after_ms(200);
                let mut rounds = 0;
                while io.now() < end {
                    rounds += 1;
                    // Some work that never waits, in pieces.
                    std::hint::black_box(
                        (0..20_000u64).fold(0, |sum, n| sum ^ n.wrapping_mul(rounds)),
                    );
                    io.yield_now().await;
                }
                rounds
            });
        }
        Both { echo: Echo::new(io, address), tasks, done }
    });
    let running = netio::start::<()>(Options::default(), vec![program]).unwrap();
    let mut stream = TcpStream::connect(addresses.recv().unwrap()).unwrap();
    let mut answered = 0;
    while outcomes.try_recv().is_err() {
        round_trip(&mut stream, &frame_of(1, 50));
        answered += 1;
    }
    assert!(outcomes.recv().unwrap() > 0);
    assert!(answered > 1, "the foreground answered {answered} times while the background was busy");
    running.stop();
    running.join().unwrap();
}

#[test]
fn a_dropped_task_set_cancels_its_tasks_and_their_timers() {
    let (boot, result) = run_once(|io: Io| {
        Box::pin(async move {
            let tasks = TaskSet::new(&io);
            let (never, soon) = (io.clone(), io.clone());
            tasks.spawn(Class::Flush, async move {
                never.sleep_until(never.now().after_ms(3_600_000)).await
            });
            tasks
                .spawn(Class::Flush, async move { soon.sleep_until(soon.now().after_ms(5)).await });
            let before = tasks.running();
            let start = io.now();
            io.sleep_until(start.after_ms(20)).await;
            assert!(io.now() >= start.after_ms(20));
            let after = tasks.running();
            assert!(tasks.take().is_some() && tasks.take().is_none());
            drop(tasks);
            (before, after)
        })
    });
    let running = netio::start(Options::default(), vec![boot]).unwrap();
    assert_eq!(result.recv().unwrap(), (2, 1));
    running.join().unwrap();
}
