//! `cargo xtask fuzz`: corpora replayed, then every target for a while. A finding ends it with the
//! input's path.
//!
//! The targets are libFuzzer programs of the workspace in `fuzz/`. LLVM's coverage instrumentation
//! is not a stable flag of the compiler yet, but it is in every compiler: RUSTC_BOOTSTRAP=1 opens
//! it, so the pinned tool chain is all that is needed. Inputs found on the way stay in the target
//! directory; `--keep` takes what adds coverage into the committed corpus.
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for each target; 0 only replays the corpora.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Only the targets whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Targets at a time.
    #[arg(long, default_value_t = processors())]
    at_once: usize,
    /// With AddressSanitizer: for C code and for netio's unsafe code. Three times slower, and more
    /// memory.
    #[arg(long)]
    address: bool,
    /// Writes the seeds of the corpora again, and ends.
    #[arg(long)]
    seeds: bool,
    /// Afterwards takes inputs that add coverage into the committed corpora, smallest first.
    #[arg(long)]
    keep: bool,
}

/// A target, and its longest input.
struct Target {
    name: &'static str,
    about: &'static str,
    bytes_max: u32,
}

const TARGETS: &[Target] = &[
    Target { name: "frame", about: "frames, headers, and the request in each", bytes_max: 4096 },
    Target { name: "api", about: "every request and response in every version", bytes_max: 4096 },
    Target { name: "batch", about: "record batches", bytes_max: 4096 },
    Target { name: "codec", about: "decompressors", bytes_max: 8192 },
    Target { name: "records", about: "records of internal topics, replayed", bytes_max: 4096 },
    Target {
        name: "recovery",
        about: "a data directory whose files were changed",
        bytes_max: 1024,
    },
    Target { name: "store", about: "operations and crashes against a model", bytes_max: 600 },
    Target { name: "session", about: "a client's bytes to a whole broker", bytes_max: 2048 },
];
const _: () = assert!(TARGETS.len() <= 8, "few and broad targets get more time each");

/// Targets that run whole cores: so many inputs a second count in a short run.
const SIMULATED: &[&str] = &["recovery", "store", "session"];
const SIMULATED_INPUTS_PER_SECOND: u64 = 150;
/// Runs up to this long begin from one seed.
const SHORT_SECONDS: u64 = 60;

/// Memory of a process, in MiB: the goal. AddressSanitizer keeps freed memory and a shadow of all.
const RSS_MB_MAX: u32 = 256;
const RSS_MB_MAX_ADDRESS: u32 = 1024;
/// Seconds for one input. The goal is one; the machine that looks may be busy.
const INPUT_SECONDS_MAX: u32 = 5;
/// Largest input that is committed.
const KEPT_BYTES_MAX: u64 = 1024;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let places = Places::new(arguments.address)?;
    let began = Instant::now();
    build(&places, arguments.address)?;
    println!("built in {:.0} s", began.elapsed().as_secs_f64());
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| {
            arguments.only.as_ref().is_none_or(|only| target.name.contains(only.as_str()))
        })
        .collect();
    if arguments.seeds {
        return chosen.iter().try_for_each(|target| write_seeds(&places, target));
    }
    let mut findings = Vec::new();
    for group in chosen.chunks(arguments.at_once.max(1)) {
        let running = group
            .iter()
            .map(|target| Run::start(&places, target, arguments))
            .collect::<Result<Vec<_>>>()?;
        for run in running {
            findings.extend(run.end(&places)?);
        }
    }
    if !findings.is_empty() {
        bail!("findings: {}", findings.join(", "));
    }
    if arguments.keep {
        for target in chosen {
            keep(&places, target)?;
        }
    }
    Ok(())
}

/// Builds the targets.
pub(crate) fn prepare() -> Result<()> {
    build(&Places::new(false)?, false)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where things are.
struct Places {
    fuzz: PathBuf,
    /// Cargo's directory for the instrumented build.
    build: PathBuf,
    host: String,
}

impl Places {
    fn new(address: bool) -> Result<Places> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let output = Command::new("rustc").arg("-vV").output().context("rustc -vV")?;
        let text = String::from_utf8(output.stdout)?;
        let host = text
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("rustc names no host")?;
        let build = target.join(if address { "fuzz-address" } else { "fuzz" });
        Ok(Places { fuzz: root.join("fuzz"), build, host: host.to_owned() })
    }
    fn program(&self, target: &Target) -> PathBuf {
        self.build.join(&self.host).join("fuzz").join(target.name)
    }
    /// Committed inputs.
    fn corpus(&self, target: &Target) -> PathBuf {
        self.fuzz.join("corpus").join(target.name)
    }
    /// Inputs found on this machine.
    fn found(&self, target: &Target) -> PathBuf {
        self.build.join("found").join(target.name)
    }
    /// Inputs that are findings.
    fn artifacts(&self, target: &Target) -> PathBuf {
        self.build.join("artifacts").join(target.name)
    }
}

/// What LLVM's coverage needs; as the project cargo-fuzz passes them.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "--cfg=fuzzing",
];

fn build(places: &Places, address: bool) -> Result<()> {
    let mut flags = COVERAGE.join(" ");
    if address {
        flags.push_str(" -Zsanitizer=address");
    }
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--manifest-path"]).arg(places.fuzz.join("Cargo.toml"));
    // With --target the flags do not reach build scripts.
    command
        .args(["--bins", "--profile", "fuzz", "--target", &places.host, "--target-dir"])
        .arg(&places.build);
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !command.status().context("cargo build")?.success() {
        bail!("the targets do not build");
    }
    Ok(())
}

/// A target makes its own seeds: see `fuzz/src/seeds.rs`.
fn write_seeds(places: &Places, target: &Target) -> Result<()> {
    let mut command = Command::new(places.program(target));
    command.env("MILLRACE_FUZZ_SEEDS", places.fuzz.join("corpus"));
    if !command.status().context(target.name)?.success() {
        bail!("{} wrote no seeds", target.name);
    }
    Ok(())
}

/// A target at work.
struct Run<'t> {
    target: &'t Target,
    child: Child,
    log: PathBuf,
    began: Instant,
    patience: Duration,
}

impl<'t> Run<'t> {
    fn start(places: &Places, target: &'t Target, arguments: &Arguments) -> Result<Run<'t>> {
        let (corpus, found, artifacts) =
            (places.corpus(target), places.found(target), places.artifacts(target));
        for folder in [&corpus, &found, &artifacts] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let log = artifacts.join("log");
        let output = fs::File::create(&log).with_context(|| log.display().to_string())?;
        let rss = if arguments.address { RSS_MB_MAX_ADDRESS } else { RSS_MB_MAX };
        let mut command = Command::new(places.program(target));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg(format!("-rss_limit_mb={rss}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-max_len={}", target.bytes_max)).arg("-print_final_stats=1");
        // New inputs go to the first folder; all are replayed before the first mutation.
        if arguments.seconds == 0 {
            command.arg("-runs=0");
        } else {
            command.arg(format!("-max_total_time={}", arguments.seconds));
            // A short run is a check of this change: the same inputs every time, whatever the
            // machine's speed. Finding new ones is for long runs.
            if arguments.seconds <= SHORT_SECONDS {
                command.arg("-seed=1");
                if SIMULATED.contains(&target.name) {
                    command
                        .arg(format!("-runs={}", arguments.seconds * SIMULATED_INPUTS_PER_SECOND));
                }
            }
        }
        command.arg(&found).arg(&corpus);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let child =
            command.spawn().with_context(|| places.program(target).display().to_string())?;
        // Replaying comes on top of the time given.
        let patience = Duration::from_secs(arguments.seconds + 300);
        Ok(Run { target, child, log, began: Instant::now(), patience })
    }

    /// Waits, prints a line, and returns the finding if there is one.
    fn end(mut self, places: &Places) -> Result<Option<String>> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.began.elapsed() > self.patience {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} does not end; what it said: {}", self.target.name, self.log.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let text = fs::read_to_string(&self.log).unwrap_or_else(|_| String::from("(not text)"));
        let stat = |name: &str| {
            let line = text.lines().rev().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit(' ').next()).unwrap_or("?").to_owned()
        };
        let coverage = text
            .lines()
            .rev()
            .find_map(|line| line.split("cov: ").nth(1))
            .and_then(|rest| rest.split(' ').next());
        println!(
            "{:9} {:>6.1} s  {:>9} inputs  {:>6} edges  {:>3} MB  slowest {} s  {}",
            self.target.name,
            self.began.elapsed().as_secs_f64(),
            stat("stat::number_of_executed_units"),
            coverage.unwrap_or("?"),
            stat("stat::peak_rss_mb"),
            stat("stat::slowest_unit_time_sec"),
            self.target.about,
        );
        if status.success() {
            return Ok(None);
        }
        for line in text.lines().filter(|line| {
            line.contains("panicked at") || line.contains("ERROR") || line.contains("Test unit")
        }) {
            println!("          {line}");
        }
        println!(
            "          all of it: {}; inputs: {}",
            self.log.display(),
            places.artifacts(self.target).display()
        );
        Ok(Some(self.target.name.to_owned()))
    }
}

/// Adds what was found here to the committed corpus, as far as it reaches what that does not.
fn keep(places: &Places, target: &Target) -> Result<()> {
    let small = places.build.join("small").join(target.name);
    fs::create_dir_all(&small)?;
    for entry in fs::read_dir(places.found(target))? {
        let entry = entry?;
        if entry.metadata()?.len() <= KEPT_BYTES_MAX {
            fs::copy(entry.path(), small.join(entry.file_name()))?;
        }
    }
    let before = fs::read_dir(places.corpus(target))?.count();
    let mut command = Command::new(places.program(target));
    command
        .arg("-merge=1")
        .arg(format!("-max_len={}", target.bytes_max))
        .arg(places.corpus(target))
        .arg(&small);
    if !command.stderr(Stdio::null()).stdout(Stdio::null()).status()?.success() {
        bail!("{}: the corpora do not merge", target.name);
    }
    fs::remove_dir_all(&small)?;
    println!(
        "{:9} {before} inputs before, {} now",
        target.name,
        fs::read_dir(places.corpus(target))?.count()
    );
    Ok(())
}
