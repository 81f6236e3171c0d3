//! What the machine itself does, without any broker: the floors under every figure.
//!
//! The generator has no ring of its own: for the round trip through one it starts the example
//! `echo` of the crate `netio`, if it was built. All else is what any broker on this machine stands
//! on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::latency::{Latencies, Latency};
use crate::clock::{Clock, Nanos, SECOND};
use crate::cpus::pin_to;
use crate::rng::Rng;

const BLOCK: usize = 4096;
const O_DIRECT: i32 = rustix::fs::OFlags::DIRECT.bits().cast_signed();
/// Gaps shorter than this are the loop's own.
const JITTER_MIN: Nanos = 2_000;

/// All floors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floors {
    /// One reading of the clock, ns.
    pub clock_ns: f64,
    pub jitter: Vec<Jitter>,
    /// 64 bytes there and back over loopback TCP, blocking calls, a thread on each of two CPUs.
    pub round_trip: Latency,
    /// The same, answered by a program that does nothing else on a ring of its own.
    #[serde(default)]
    pub ring_round_trip: Option<Latency>,
    /// One loopback TCP stream, MB/s.
    pub loopback_mb_per_s: f64,
    pub memcpy_mb_per_s: f64,
    pub crc32c_mb_per_s: f64,
    /// O_DIRECT over written blocks: size, then write alone, then with RWF_DSYNC.
    pub disk: Vec<(usize, Latency, Latency)>,
    /// Sequential O_DIRECT, MB/s.
    pub disk_write_mb_per_s: f64,
    pub disk_read_mb_per_s: f64,
}

/// What a thread that only reads the clock misses on a CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Jitter {
    pub cpu: usize,
    /// Gaps above 2 us.
    pub gaps: Latency,
    /// Share of the time in gaps.
    pub lost: f64,
}

/// Measures all of them; files go below `dir`. Each takes about `each`.
///
/// # Errors
/// A file or a socket cannot be used.
pub fn measure(
    dir: &Path,
    cpus: &[usize],
    each: Duration,
    echo: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<Floors> {
    let each = crate::clock::nanos(each);
    let (first, last) = (*cpus.first().context("no CPUs")?, *cpus.last().context("no CPUs")?);
    say("clock");
    let clock_ns = on_cpu(first, || clock_cost(each / 4))?;
    let mut jitter = Vec::new();
    for &cpu in cpus {
        say(&format!("idle jitter of CPU {cpu}"));
        jitter.push(on_cpu(cpu, || idle_jitter(cpu, each))?);
    }
    say("loopback round trip");
    let round_trip = round_trip(first, last, each)?;
    let ring_round_trip = match echo {
        Some(program) => {
            say("ring round trip");
            Some(ring_round_trip(program, first, last, each)?)
        }
        None => None,
    };
    say("loopback stream");
    let loopback_mb_per_s = loopback(first, last, each)?;
    say("memory and CRC-32C");
    let memcpy_mb_per_s = on_cpu(first, || memcpy(each / 2))?;
    let crc32c_mb_per_s = on_cpu(first, || crc(each / 2))?;
    say("disk");
    let path = dir.join("floors.tmp");
    let disk = disk(&path, each);
    let sequential = disk.as_ref().map_or(Ok((0.0, 0.0)), |_| sequential(&path, each));
    let removed = std::fs::remove_file(&path);
    let (disk, (disk_write_mb_per_s, disk_read_mb_per_s)) = (disk?, sequential?);
    removed?;
    Ok(Floors {
        clock_ns,
        jitter,
        round_trip,
        ring_round_trip,
        loopback_mb_per_s,
        memcpy_mb_per_s,
        crc32c_mb_per_s,
        disk,
        disk_write_mb_per_s,
        disk_read_mb_per_s,
    })
}

fn on_cpu<T: Send>(cpu: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let done = scope.spawn(|| -> Result<T> {
            pin_to(cpu)?;
            Ok(work())
        });
        done.join().map_err(|_| anyhow::anyhow!("a measuring thread has panicked"))?
    })
}

fn clock_cost(each: Nanos) -> f64 {
    let clock = Clock::default();
    let mut count = 0u64;
    let end = loop {
        count += 1;
        let now = clock.now();
        if now >= each {
            break now;
        }
    };
    end as f64 / count as f64
}

fn idle_jitter(cpu: usize, each: Nanos) -> Jitter {
    let clock = Clock::default();
    let mut gaps = Latencies::default();
    let (mut last, mut lost) = (clock.now(), 0);
    let start = last;
    while last - start < each {
        let now = clock.now();
        let gap = now - last;
        if gap >= JITTER_MIN {
            gaps.record(gap);
            lost += gap;
        }
        last = now;
    }
    Jitter { cpu, gaps: gaps.summary(), lost: lost as f64 / (last - start) as f64 }
}

fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

fn round_trip(near_cpu: usize, far_cpu: usize, each: Nanos) -> Result<Latency> {
    let (mut near, mut far) = pair()?;
    thread::scope(|scope| {
        let echo = scope.spawn(move || -> Result<()> {
            pin_to(far_cpu)?;
            let mut bytes = [0; 64];
            // Ends when the near side closes.
            while far.read_exact(&mut bytes).is_ok() {
                far.write_all(&bytes)?;
            }
            Ok(())
        });
        let ask = scope.spawn(move || -> Result<Latency> {
            pin_to(near_cpu)?;
            ping(&mut near, each)
        });
        let result = ask.join().map_err(|_| anyhow::anyhow!("the asking thread has panicked"))?;
        echo.join().map_err(|_| anyhow::anyhow!("the echo has panicked"))??;
        result
    })
}

/// 64 bytes there and back, again and again.
fn ping(stream: &mut TcpStream, each: Nanos) -> Result<Latency> {
    let clock = Clock::default();
    let (mut all, mut bytes) = (Latencies::default(), [7; 64]);
    while clock.now() < each {
        let sent = clock.now();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        all.record(clock.now() - sent);
    }
    Ok(all.summary())
}

/// As [`round_trip`], answered by another program.
fn ring_round_trip(
    program: &Path,
    near_cpu: usize,
    far_cpu: usize,
    each: Nanos,
) -> Result<Latency> {
    let mut child = Command::new(program)
        .arg(far_cpu.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let asked = (|| {
        let mut address = String::new();
        let said = child.stdout.take().context("it has a standard output")?;
        BufReader::new(said).read_line(&mut address)?;
        let mut stream = TcpStream::connect(address.trim())
            .with_context(|| format!("{} said: {address}", program.display()))?;
        stream.set_nodelay(true)?;
        on_cpu(near_cpu, || ping(&mut stream, each))?
    })();
    // It ends with its standard input.
    drop(child.stdin.take());
    child.wait()?;
    asked
}

fn loopback(near_cpu: usize, far_cpu: usize, each: Nanos) -> Result<f64> {
    let (mut near, mut far) = pair()?;
    thread::scope(|scope| {
        let sender = scope.spawn(move || -> Result<()> {
            pin_to(near_cpu)?;
            let (clock, bytes) = (Clock::default(), vec![7; 256 << 10]);
            while clock.now() < each {
                near.write_all(&bytes)?;
            }
            Ok(())
        });
        let receiver = scope.spawn(move || -> Result<f64> {
            pin_to(far_cpu)?;
            let (clock, mut bytes, mut total) = (Clock::default(), vec![0; 256 << 10], 0);
            loop {
                let n = far.read(&mut bytes)?;
                if n == 0 {
                    return Ok(rate(total, clock.now()));
                }
                total += n;
            }
        });
        sender.join().map_err(|_| anyhow::anyhow!("the sender has panicked"))??;
        receiver.join().map_err(|_| anyhow::anyhow!("the receiver has panicked"))?
    })
}

/// MB/s.
fn rate(bytes: usize, took: Nanos) -> f64 {
    bytes as f64 * 1e3 / took.max(1) as f64
}

fn memcpy(each: Nanos) -> f64 {
    // Larger than the caches of most machines: from memory to memory.
    let from = vec![1u8; 64 << 20];
    let mut to = vec![0u8; 64 << 20];
    let (clock, mut total) = (Clock::default(), 0);
    while clock.now() < each {
        to.copy_from_slice(&from);
        std::hint::black_box(&mut to);
        total += from.len();
    }
    rate(total, clock.now())
}

fn crc(each: Nanos) -> f64 {
    let mut bytes = vec![0; 64 << 10];
    Rng::new(1, 1).fill(&mut bytes);
    let (clock, mut total) = (Clock::default(), 0);
    while clock.now() < each {
        for _ in 0..64 {
            std::hint::black_box(record::checksum(std::hint::black_box(&bytes)));
            total += bytes.len();
        }
    }
    rate(total, clock.now())
}

/// A buffer whose aligned part is as long as asked for.
struct Aligned(Vec<u8>, usize, usize);

impl Aligned {
    fn new(size: usize) -> Self {
        let mut bytes = vec![0; size + BLOCK];
        Rng::new(size as u64, 2).fill(&mut bytes);
        let at = bytes.as_ptr().align_offset(BLOCK);
        Self(bytes, at, size)
    }

    fn get(&self) -> &[u8] {
        &self.0[self.1..self.1 + self.2]
    }

    fn get_mut(&mut self) -> &mut [u8] {
        &mut self.0[self.1..self.1 + self.2]
    }
}

const FILE: usize = 64 << 20;

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(O_DIRECT)
        .open(path)
        .with_context(|| path.display().to_string())
}

/// Overwrites of blocks that were written before, as a write-ahead log does them.
fn disk(path: &Path, each: Nanos) -> Result<Vec<(usize, Latency, Latency)>> {
    use rustix::io::{ReadWriteFlags, pwritev2};
    let file = open(path)?;
    let filler = Aligned::new(1 << 20);
    for n in 0..FILE >> 20 {
        pwritev2(&file, &[IoSlice::new(filler.get())], (n << 20) as u64, ReadWriteFlags::empty())?;
    }
    file.sync_all()?;
    let mut all = Vec::new();
    for size in [BLOCK, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
        let bytes = Aligned::new(size);
        let time = |flags: ReadWriteFlags| -> Result<Latency> {
            let (clock, mut all, mut at) = (Clock::default(), Latencies::default(), 0);
            while clock.now() < each / 4 {
                let from = clock.now();
                let n = pwritev2(&file, &[IoSlice::new(bytes.get())], at as u64, flags)?;
                anyhow::ensure!(n == size, "a short write of {n} bytes");
                all.record(clock.now() - from);
                at = (at + size) % FILE;
            }
            Ok(all.summary())
        };
        all.push((size, time(ReadWriteFlags::empty())?, time(ReadWriteFlags::DSYNC)?));
    }
    Ok(all)
}

/// (write, read) in MB/s, 1 MiB at a time, one after the other.
fn sequential(path: &Path, each: Nanos) -> Result<(f64, f64)> {
    use std::os::unix::fs::FileExt;
    let file = open(path)?;
    let mut bytes = Aligned::new(1 << 20);
    let mut go = |write: bool| -> Result<f64> {
        let (clock, mut at, mut total) = (Clock::default(), 0, 0);
        while clock.now() < each / 2 {
            if write {
                file.write_all_at(bytes.get(), at)?;
            } else {
                file.read_exact_at(bytes.get_mut(), at)?;
            }
            total += 1 << 20;
            at = (at + (1 << 20)) % FILE as u64;
        }
        Ok(rate(total, clock.now()))
    };
    Ok((go(true)?, go(false)?))
}

const _: () = assert!(JITTER_MIN < SECOND);
