//! Figures, not assertions:
//! `cargo test --release -p netio --test ring -- --ignored --nocapture --test-threads 1 measure`.
use crate::support::{Echo, boot, frame_of, run_once};
use netio::{AlignedBuf, Event, Io, Open, Options, Program, Turn, stats::Stats};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc,
    time::Instant,
};

struct Counted {
    echo: Echo,
    io: Io,
    stats: mpsc::Sender<Stats>,
}

impl Program for Counted {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        let turn = self.echo.turn(events);
        if turn == Turn::Done {
            self.stats.send(self.io.stats()).unwrap();
        }
        turn
    }
}

/// `connections`, each with `depth` frames of `bytes` in flight, from one client thread: writes to
/// all, then reads from all.
fn echo(connections: usize, depth: usize, bytes: usize, rounds: usize) {
    let (address, addresses) = mpsc::channel();
    let (stats, all_stats) = mpsc::channel();
    let program =
        boot(move |io: Io, _| Counted { echo: Echo::new(io.clone(), address), io, stats });
    let running = netio::start::<()>(Options::default(), vec![program]).unwrap();
    let address = addresses.recv().unwrap();
    let mut streams: Vec<_> =
        (0..connections).map(|_| TcpStream::connect(address).unwrap()).collect();
    streams.iter().for_each(|stream| stream.set_nodelay(true).unwrap());
    let frames = frame_of(1, bytes).repeat(depth);
    let mut back = vec![0; frames.len()];
    let start = Instant::now();
    for _ in 0..rounds {
        for stream in &mut streams {
            stream.write_all(&frames).unwrap();
        }
        for stream in &mut streams {
            stream.read_exact(&mut back).unwrap();
        }
    }
    let took = start.elapsed();
    running.stop();
    running.join().unwrap();
    let stats = all_stats.recv().unwrap();
    let requests = (connections * depth * rounds) as f64;
    println!(
        "{connections:3} connections x {depth:2}, {bytes} B: {:8.0} requests/s, {:7.1} MB/s each way, {:.3} enters/request, core busy {:.2} us/request, parks/request {:.3}, completions/request {:.2}",
        requests / took.as_secs_f64(),
        requests * bytes as f64 / took.as_secs_f64() / 1e6,
        stats.enters as f64 / requests,
        stats.busy_ns as f64 / 1e3 / requests,
        stats.parks as f64 / requests,
        stats.completions as f64 / requests,
    );
}

#[test]
#[ignore = "a measurement"]
fn measure_echo() {
    echo(1, 1, 100, 50_000);
    echo(50, 1, 100, 6_000);
    echo(50, 10, 100, 1_000);
    echo(200, 1, 100, 2_000);
    echo(6, 1, 64 << 10, 3_000);
    echo(4, 1, 1 << 20, 300);
}

#[test]
#[ignore = "a measurement"]
fn measure_dsync() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("wal");
    let (boot, result) = run_once(move |io: Io| {
        Box::pin(async move {
            let how = Open { write: true, create: true, direct: true, ..Open::default() };
            let file = io.open(&path, how).await.unwrap();
            file.allocate(0, 64 << 20).await.unwrap();
            let zeros = AlignedBuf::zeroed(1 << 20).freeze();
            for i in 0..64 {
                file.write_at(zeros.clone(), i << 20, false).await.unwrap();
            }
            file.sync(false).await.unwrap();
            let mut us = Vec::new();
            for i in 0..4_000u64 {
                let block = AlignedBuf::zeroed(4096).freeze();
                let start = Instant::now();
                file.write_at(block, i * 4096, true).await.unwrap();
                us.push(start.elapsed().as_micros());
            }
            us
        })
    });
    let running = netio::start(Options::default(), vec![boot]).unwrap();
    let mut us = result.recv().unwrap();
    running.join().unwrap();
    us.sort_unstable();
    println!(
        "4 KiB O_DIRECT + RWF_DSYNC into written blocks: p50 {} us, p99 {} us, max {} us",
        us[2_000], us[3_960], us[3_999]
    );
}
