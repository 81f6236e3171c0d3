//! The lock of a data directory.
use crate::support::{Echo, LOOPBACK, run_once};
use netio::{AlignedBuf, Boot, Class, Io, Open, Options, TaskSet};
use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

/// Tells the victim its directory.
const DIR: &str = "NETIO_TEST_DIR";

#[test]
fn a_directory_in_use_is_refused_and_a_freed_one_is_taken() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = Options {
        lock_file: Some(dir.path().join("lock")),
        cpus: vec![None],
        ..Options::default()
    };
    let (first, _) = Echo::start(options.clone());
    let (boot, _) = run_once(|_| Box::pin(async {}));
    let error = netio::start(options.clone(), vec![boot]).unwrap_err();
    assert!(error.to_string().contains("another process uses this directory"), "{error}");
    first.stop();
    first.join().unwrap();
    let (second, _) = Echo::start(options);
    second.stop();
    second.join().unwrap();
}

/// To remove a lock that looks stale is a habit.
#[test]
fn a_lock_file_that_was_removed_frees_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = Options {
        lock_file: Some(dir.path().join("lock")),
        cpus: vec![None],
        ..Options::default()
    };
    let (first, _) = Echo::start(options.clone());
    for round in 0..2 {
        std::fs::remove_file(dir.path().join("lock")).unwrap();
        let (boot, _) = run_once(|_| Box::pin(async {}));
        let error = netio::start(options.clone(), vec![boot]).unwrap_err();
        assert!(error.to_string().contains("another process uses this directory"), "{error}");
        if round == 0 {
            std::fs::write(dir.path().join("lock"), "").unwrap();
        }
    }
    first.stop();
    first.join().unwrap();
    let (second, _) = Echo::start(options);
    second.stop();
    second.join().unwrap();
}

/// Listens on the port of the environment, and writes numbers to a file, several at a time, until
/// it is killed.
#[test]
#[ignore = "the process that the next test kills"]
fn victim() {
    let dir = PathBuf::from(std::env::var_os(DIR).expect("run by the next test"));
    let options = Options { lock_file: Some(dir.join("lock")), ..Options::default() };
    let boot: Boot<()> = Box::new(move |io: Io, _| {
        Box::pin(async move {
            let listener = io.listen(LOOPBACK.parse().unwrap()).unwrap();
            let how = Open { write: true, create: true, direct: true, ..Open::default() };
            let file = io.open(&dir.join("data"), how).await.unwrap();
            let tasks = TaskSet::new(&io);
            for writer in 0..8u64 {
                let file = file.clone();
                tasks.spawn(Class::Flush, async move {
                    for number in 1u64.. {
                        let mut block = AlignedBuf::zeroed(64 << 10);
                        block[..8].copy_from_slice(&number.to_be_bytes());
                        file.write_at(block.freeze(), writer << 16, true).await.unwrap();
                    }
                });
            }
            while file.len().await.unwrap() < 8 << 16 {
                io.yield_now().await;
            }
            std::fs::write(dir.join("address"), io.local_addr(listener).to_string()).unwrap();
            std::future::pending().await
        })
    });
    netio::start(options, vec![boot]).unwrap().join().unwrap();
}

/// 1. The victim's ring has writes in flight, and its accept holds the port.
/// 2. SIGKILL: the process is gone at once, its ring is not.
/// 3. The next process takes the lock: nothing of the victim may reach the file from now on, and
///    the port is free.
#[test]
fn after_sigkill_the_lock_outlasts_the_last_write() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for round in 0..6 {
        drop(std::fs::remove_file(dir.path().join("address")));
        let mut victim = Command::new(std::env::current_exe().unwrap());
        let victim = victim
            .args(["--ignored", "--exact", "lock::victim"])
            .env(DIR, dir.path())
            .stdout(Stdio::null());
        let mut victim = victim.spawn().unwrap();
        let address: SocketAddr = loop {
            let written = std::fs::read_to_string(dir.path().join("address")).unwrap_or_default();
            if let Ok(address) = written.parse() {
                break address;
            }
            assert!(victim.try_wait().unwrap().is_none(), "the victim died by itself");
            std::thread::yield_now();
        };
        let _connected = TcpStream::connect(address).unwrap();
        victim.kill().unwrap();
        if round % 2 == 1 {
            std::fs::remove_file(dir.path().join("lock")).unwrap();
        }

        let data = dir.path().join("data");
        let (boot, results) = run_once(move |io: Io| {
            Box::pin(async move {
                let file = io.open(&data, Open { direct: true, ..Open::default() }).await?;
                let (first, _) = file.read_at(AlignedBuf::zeroed(8 << 16), 0).await;
                io.listen(address)?;
                io.sleep_until(io.now().after_ms(100)).await;
                let (second, _) = file.read_at(AlignedBuf::zeroed(8 << 16), 0).await;
                Ok::<_, netio::Error>(first[..] == second[..])
            })
        });
        let options = Options { lock_file: Some(dir.path().join("lock")), ..Options::default() };
        let running = netio::start(options, vec![boot]).unwrap();
        assert_eq!(
            results.recv().unwrap(),
            Ok(true),
            "a write of the dead process arrived after the lock was taken"
        );
        running.join().unwrap();
        victim.wait().unwrap();
    }
}
