//! A device of one gigabyte that is really full: not a byte is left, for the broker and for whoever
//! shares it.
use crate::{
    host::{Ended, Host},
    kafka::{Batch, Kafka},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// KAFKA_STORAGE_ERROR
const STORAGE_ERROR: i16 = 56;
const PATIENCE: Duration = Duration::from_secs(60);

/// A file system of its own, in a file of the test's directory, mounted where the broker's data go.
#[derive(Debug)]
struct Device {
    dir: PathBuf,
    mounted: bool,
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

impl Device {
    /// `None`, and a line that says why, where this process may not make one.
    fn mount(host: &Host) -> Option<Self> {
        let (image, dir) = (host.dir.path().join("device"), host.data());
        File::create(&image).unwrap().set_len(GIB).unwrap();
        std::fs::create_dir(&dir).unwrap();
        // Nothing is kept for root, whose processes would find space where others find none.
        let made = run("mkfs.ext4", &["-q".as_ref(), "-m".as_ref(), "0".as_ref(), image.as_ref()])
            .and_then(|()| {
                run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), dir.as_ref()])
            });
        match made {
            Ok(()) => Some(Self { dir, mounted: true }),
            Err(why) => {
                // Past the capture of the test's output: whoever reads it must see what was not
                // tested.
                let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", module_path!());
                None
            }
        }
    }

    fn foreign(&self) -> PathBuf {
        self.dir.join("foreign")
    }

    /// What others write: all that is left but for `leave` bytes.
    fn fill(&self, leave: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.foreign()).unwrap();
        for piece in [4 * MIB as usize, 4096] {
            let bytes = vec![b'f'; piece];
            while available(&self.dir) > leave {
                match file.write(&bytes) {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
            file.sync_all().unwrap();
        }
        assert!(available(&self.dir) <= leave, "{} bytes are left", available(&self.dir));
    }

    /// Others leave so much of what they have.
    fn give(&self, bytes: u64) {
        let file = OpenOptions::new().write(true).open(self.foreign()).unwrap();
        let len = file.metadata().unwrap().len();
        file.set_len(len - bytes).unwrap();
        file.sync_all().unwrap();
    }

    fn unmount(&mut self) -> Result<(), String> {
        self.mounted = false;
        run("umount", &[self.dir.as_ref()])
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Its process is dead by now, and the kernel may still be at the last of its operations.
        for _ in 0..200 {
            if !self.mounted || self.unmount().is_ok() {
                return;
            }
            self.mounted = true;
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = run("umount", &["--lazy".as_ref(), self.dir.as_ref()]);
    }
}

fn available(dir: &Path) -> u64 {
    let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(dir).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|number| number.parse::<u64>().unwrap()).product()
}

/// What a producer was told is there.
type Acked = BTreeMap<(&'static str, i32), BTreeSet<i64>>;

/// Produces until it is refused.
fn produce_until_refused(kafka: &mut Kafka, acked: &mut Acked, logs: &[(&'static str, i32)]) {
    let batch = Batch::of(1_000_000);
    for n in 0..2_000 {
        let (topic, partition) = logs[n % logs.len()];
        match kafka.produce(topic, partition, &batch) {
            Ok(offset) => {
                acked.entry((topic, partition)).or_default().insert(offset);
            }
            Err(code) => {
                assert_eq!(code, STORAGE_ERROR);
                return;
            }
        }
    }
    panic!("2 GB on a device of 1 GiB");
}

fn check(kafka: &mut Kafka, acked: &Acked) {
    for ((topic, partition), offsets) in acked {
        let found = kafka.read(topic, *partition);
        let lost: Vec<&i64> = offsets.difference(&found).collect();
        assert!(lost.is_empty(), "{topic}-{partition}: {lost:?} of {} are gone", offsets.len());
    }
}

/// Appends come back by themselves.
fn comes_back(kafka: &mut Kafka, acked: &mut Acked, log: (&'static str, i32)) {
    let (since, batch) = (Instant::now(), Batch::of(1_000));
    loop {
        match kafka.produce(log.0, log.1, &batch) {
            Ok(offset) => {
                acked.entry(log).or_default().insert(offset);
                return;
            }
            Err(code) => assert_eq!(code, STORAGE_ERROR),
        }
        assert!(since.elapsed() < PATIENCE, "appends do not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn reserve(bytes: u64) -> Vec<String> {
    vec!["--set".to_owned(), format!("millrace.disk.reserve.bytes={bytes}")]
}

fn host(reserve_bytes: u64) -> Host {
    Host { arguments: reserve(reserve_bytes), ..Host::new(1) }
}

fn stop(process: crate::host::Process) -> Ended {
    process.signal("TERM");
    process.end()
}

/// Filled by a producer, then to the last byte by a foreign file, before and after the end of the
/// process.
fn full_to_the_last_byte(signal: &str) {
    let host = host(64 * MIB);
    let Some(device) = Device::mount(&host) else {
        return;
    };
    // A part of it is somebody else's from the start: writing takes time.
    device.fill(700 * MIB);
    let mut acked = Acked::new();
    // More in what goes than is kept free.
    let logs = [("t", 0), ("other", 0), ("t", 1), ("other", 0)];
    let process = host.start();
    host.wait_ready();
    let mut kafka = Kafka::of(&host);
    for (topic, partitions) in [("t", 2), ("other", 1)] {
        assert_eq!(kafka.create_topic(topic, partitions), 0);
    }
    produce_until_refused(&mut kafka, &mut acked, &logs);
    assert!(acked.values().map(BTreeSet::len).sum::<usize>() > 100, "{acked:?}");
    device.fill(0);
    process.signal(signal);
    let ended = process.end();
    if signal == "TERM" {
        assert!([0, 75].contains(&ended.code()), "{ended:?}");
    }
    // What the end has freed is taken as well.
    device.fill(0);

    let process = host.start();
    host.wait_ready();
    host.wait_admin("/readyz", |said| said.contains("refuses records for want of space"));
    let mut kafka = Kafka::of(&host);
    check(&mut kafka, &acked);
    assert_eq!(kafka.produce("t", 0, &Batch::of(1_000)), Err(STORAGE_ERROR));
    acked.remove(&("other", 0));
    assert_eq!(kafka.delete_topic("other"), 0);
    comes_back(&mut kafka, &mut acked, ("t", 0));
    let ended = stop(process);
    assert!(ended.error.contains("is nearly full: records are refused"), "{ended:?}");
    assert_eq!(ended.code(), 0, "{ended:?}");

    let process = host.start();
    host.wait_ready();
    check(&mut Kafka::of(&host), &acked);
    drop(process);
}

#[test]
fn full_to_the_last_byte_and_stopped() {
    full_to_the_last_byte("TERM");
}

#[test]
fn full_to_the_last_byte_and_killed() {
    full_to_the_last_byte("KILL");
}

#[test]
fn a_reserve_larger_than_the_device() {
    let host = host(4 * GIB);
    let Some(device) = Device::mount(&host) else {
        return;
    };
    let process = host.start();
    host.wait_ready();
    let mut kafka = Kafka::of(&host);
    assert_eq!(kafka.create_topic("t", 1), 0);
    let batch = Batch::of(1_000);
    for _ in 0..50 {
        assert_eq!(kafka.produce("t", 0, &batch), Err(STORAGE_ERROR));
    }
    let ended = stop(process);
    assert!(ended.error.contains("lower millrace.disk.reserve.bytes"), "{ended:?}");
    // What it took before there was such a reserve is served under one, and is there after its end.
    let mut acked = Acked::new();
    for signal in ["TERM", "KILL"] {
        let process = host.start_with(&reserve(0));
        let mut kafka = Kafka::of(&host);
        for _ in 0..50 {
            let offset = kafka.produce("t", 0, &batch).unwrap();
            acked.entry(("t", 0)).or_default().insert(offset);
        }
        process.signal("KILL");
        process.end();
        let process = host.start_with(&[]);
        let mut kafka = Kafka::of(&host);
        check(&mut kafka, &acked);
        assert_eq!(kafka.produce("t", 0, &batch), Err(STORAGE_ERROR));
        process.signal(signal);
        process.end();
    }
    let process = host.start_with(&reserve(0));
    check(&mut Kafka::of(&host), &acked);
    drop(process);
    drop(device);
}

/// More in the write-ahead log than there is space for in segments: a sentence says how much, and a
/// start comes through with it.
#[test]
fn what_is_unflushed_does_not_fit() {
    const LOGS: i32 = 1_800;
    // A directory and a segment each take more than the records, and than the files of the log that
    // can be freed.
    let host = host(0).with(&["--set", "millrace.unflushed.bytes.max=16777216"]);
    let Some(device) = Device::mount(&host) else {
        return;
    };
    let process = host.start();
    host.wait_ready();
    let mut kafka = Kafka::of(&host);
    assert_eq!(kafka.create_topic("t", LOGS), 0);
    kafka.produce_to_all("t", LOGS, &Batch::of(100));
    process.signal("KILL");
    process.end();
    device.fill(0);
    let mut refused = 0;
    let process = loop {
        let process = host.start();
        match host.ready_or_ended(process) {
            Ok(process) => break process,
            Err(ended) => {
                assert_eq!(ended.code(), 1, "{ended:?}");
                let said = ended.error.lines().find(|line| line.starts_with("millrace: "));
                let said = said.unwrap_or_else(|| panic!("{ended:?}"));
                for part in
                    ["bytes are available on the volume of", "start again", "nothing is lost"]
                {
                    assert!(said.contains(part), "{part}: {said}");
                }
                let free = said.split("free at least ").nth(1).unwrap();
                let bytes: u64 = free.split(' ').next().unwrap().parse().unwrap();
                assert!(bytes < 200 * MIB, "{said}");
                refused += 1;
                // What it asks for is enough.
                assert_eq!(refused, 1, "{said}");
                device.give(bytes);
            }
        }
    };
    assert_eq!(refused, 1, "it did fit");
    let mut kafka = Kafka::of(&host);
    for partition in (0..LOGS).step_by(10) {
        assert_eq!(kafka.read("t", partition).len(), 1, "t-{partition}");
    }
    drop(process);
}
