//! A start that cannot succeed says one sentence and ends with status 1, whichever core finds out;
//! so does one that a signal ends.
use crate::{
    host::{Ended, Host, Process, command, fifo, hears_hangups, wrapped},
    kafka::{Batch, Kafka},
};
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, process::Command};

const CORES: [u16; 2] = [1, 3];

fn fails(host: &Host, sentence: &str) {
    let ended = host.start().end();
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(said(&ended).contains(sentence), "{sentence:?}: {ended:?}");
    assert_eq!(ended.out, "");
}

/// The sentences of this program that are no lines of the log.
fn said(ended: &Ended) -> String {
    let lines = ended.error.lines().filter(|l| l.starts_with("millrace: "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_port_in_use() {
    for cores in CORES {
        for core in 0..cores {
            let host = Host::new(cores);
            let port = host.port + core;
            let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
            fails(&host, &format!("cannot listen on 127.0.0.1:{port}"));
            drop(taken);
            // Nothing is held, and nothing is lost.
            host.start_and_stop();
        }
        let host = Host::new(cores).with(&["--single-port"]);
        let _taken = TcpListener::bind(("127.0.0.1", host.port)).unwrap();
        fails(&host, "cannot listen on");
    }
}

#[test]
fn an_admin_port_in_use() {
    let host = Host::new(2);
    let _taken = TcpListener::bind(("127.0.0.1", host.admin)).unwrap();
    fails(&host, "--admin HOST:PORT");
}

#[test]
fn a_directory_of_another_node() {
    for cores in CORES {
        let host = Host::new(cores);
        host.start_and_stop();
        let host = host.with(&["--node-id", "7"]);
        fails(&host, "use --node-id 1, or another --data");
    }
}

#[test]
fn damage() {
    for cores in CORES {
        let host = Host::new(cores);
        host.start_and_stop();
        fs::remove_file(host.file("wal/recovered.checkpoint")).unwrap();
        fails(&host, "recovered.checkpoint");
        fs::write(host.file("wal/recovered.checkpoint"), "no checkpoint").unwrap();
        fails(&host, "recovered.checkpoint");
    }
}

#[test]
fn files_where_directories_are_wanted() {
    for cores in CORES {
        let host = Host::new(cores);
        fs::create_dir_all(host.data()).unwrap();
        fs::write(host.file("wal"), "").unwrap();
        fails(&host, "wal");
        let host = Host::new(cores);
        fs::write(host.data(), "").unwrap();
        fails(&host, "another with --data DIR");
    }
}

#[test]
fn two_brokers_on_one_directory() {
    let host = Host::new(2);
    let first = host.start();
    host.wait_ready();
    let mut second = Host::new(2);
    second.dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(host.data(), second.data()).unwrap();
    fails(&second, "another process uses this directory");
    first.signal("TERM");
    assert_eq!(first.end().code(), 0);
}

#[test]
fn a_signal_while_it_starts() {
    for cores in CORES {
        for signal in ["TERM", "INT", "HUP"] {
            let host = Host::new(cores);
            fs::create_dir_all(host.file("kafka")).unwrap();
            // The start waits in the middle of its recovery.
            fifo(&host.file("kafka/meta.properties"));
            let process = Process::spawn(&mut hears_hangups(&host.command()));
            host.wait_admin("/readyz", |answer| answer.contains("starting"));
            process.signal(signal);
            let ended = process.end();
            assert_eq!(ended.code(), 1, "{ended:?}");
            let sentence = format!("millrace: SIG{signal} while starting");
            assert!(ended.error.contains(&sentence), "{ended:?}");
            fs::remove_file(host.file("kafka/meta.properties")).unwrap();
            host.start_and_stop();
        }
    }
}

#[test]
fn an_address_of_version_6_is_shown_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        // This machine has none.
        return;
    }
    let host = Host::new(2);
    let mut command = command();
    command
        .args(["--data".as_ref(), host.data().as_os_str()])
        .args(["--set", "millrace.disk.reserve.bytes=0", "--cores", "2"])
        .args(["--listen", &format!("[::1]:{}", host.port)])
        .args(["--admin", &format!("127.0.0.1:{}", host.admin)]);
    let process = Process::spawn(&mut command);
    host.wait_ready();
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let (first, second) = (host.port, host.port + 1);
    for part in [
        format!("endpoints   [::1]:{first} (node 1000), [::1]:{second} (node 1001)"),
        format!("kcat -b [::1]:{first} -P"),
    ] {
        assert!(ended.out.contains(&part), "{part}: {ended:?}");
    }
}

#[test]
fn links_to_what_is_not_there() {
    for (part, cores) in [("", 1), ("", 3), ("wal", 2), ("kafka", 2)] {
        let host = Host::new(cores);
        if !part.is_empty() {
            fs::create_dir_all(host.data()).unwrap();
        }
        let missing = host.dir.path().join("missing");
        let link = if part.is_empty() { host.data() } else { host.file(part) };
        std::os::unix::fs::symlink(&missing, &link).unwrap();
        fails(&host, &format!("is a link to {}, which is not there", missing.display()));
        fs::create_dir(&missing).unwrap();
        host.start_and_stop();
    }
}

#[test]
fn a_directory_of_another_owner() {
    // Only root can become somebody else.
    let other = "exec setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"";
    let allowed = Command::new("sh").args(["-c", other, "sh", "true"]).output();
    if !allowed.unwrap().status.success() {
        return;
    }
    let host = Host::new(2);
    // The other user reaches it, and may not write.
    let root = fs::Permissions::from_mode(0o755);
    fs::set_permissions(host.dir.path(), root).unwrap();
    host.start_and_stop();
    let binary = host.dir.path().join("millrace");
    fs::copy(env!("CARGO_BIN_EXE_millrace"), &binary).unwrap();
    let inner = host.command();
    let mut command = Command::new(&binary);
    command.args(inner.get_args());
    let ended = Process::spawn(&mut wrapped(&command, &other.replace("exec", "set --"))).end();
    assert_eq!(ended.code(), 1, "{ended:?}");
    for part in ["belongs to user 0", "runs as user 12345", "chown -R 12345"] {
        assert!(said(&ended).contains(part), "{part}: {ended:?}");
    }
}

#[test]
fn a_file_system_without_direct_writes() {
    let host = Host::new(2);
    fs::create_dir(host.data()).unwrap();
    // Such a one, for this process alone; it takes root.
    let mount = format!("mount -t ramfs ramfs {} || exit 99", host.data().display());
    let inner = wrapped(&host.command(), &mount);
    let mut command = wrapped(&inner, "set -- unshare --mount \"$@\"");
    let ended = Process::spawn(&mut command).end();
    if [Some(99), Some(1)].contains(&ended.status.code()) && !ended.error.contains("millrace") {
        return;
    }
    assert_eq!(ended.code(), 1, "{ended:?}");
    for part in ["O_DIRECT", "ext4, XFS", "--data DIR"] {
        assert!(said(&ended).contains(part), "{part}: {ended:?}");
    }
}

/// A directory in the way of one partition: that one takes no records, and nothing else is touched.
#[test]
fn a_partition_that_fails_is_named_with_its_cure() {
    let host = Host::new(1);
    let process = host.start();
    host.wait_ready();
    let mut kafka = Kafka::of(&host);
    for topic in ["bad", "good"] {
        assert_eq!(kafka.create_topic(topic, 1), 0);
    }
    // Its directory is made at the first flush.
    fs::write(host.file("kafka/bad-0"), "in the way").unwrap();
    // Small ones would wait a minute for their flush.
    let batch = Batch::of(10_000);
    for topic in ["bad", "good"] {
        assert_eq!(kafka.produce(topic, 0, &batch), Ok(0));
    }
    let line =
        "core 0: partitions that have failed and are read-only until another start: 1; bad-0: ";
    host.wait_admin("/readyz", |said| said.contains(line));
    host.wait_ready();
    host.wait_admin("/metrics", |text| text.contains("millrace_partitions_failed{core=\"0\"} 1\n"));
    assert_eq!(kafka.produce("bad", 0, &batch), Err(56));
    assert_eq!(kafka.read("bad", 0).len(), 1, "reads go on");
    assert_eq!(kafka.produce("good", 0, &batch), Ok(1));
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 75, "{ended:?}");
    let said = ended.error.lines().find(|line| line.contains("read-only since this fault"));
    let said = said.unwrap_or_else(|| panic!("{ended:?}"));
    for part in ["ERROR", "bad-0", "dmesg", "start again: what was acknowledged is recovered"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The cure.
    fs::remove_file(host.file("kafka/bad-0")).unwrap();
    let process = host.start();
    host.wait_ready();
    let mut kafka = Kafka::of(&host);
    assert_eq!((kafka.read("bad", 0).len(), kafka.read("good", 0).len()), (1, 2));
    assert_eq!(kafka.produce("bad", 0, &batch), Ok(1));
    // One that is deleted is none that has failed.
    assert!(!host.admin("/readyz").unwrap().contains("have failed"));
    drop(process);
}
