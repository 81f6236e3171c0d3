//! Standard streams that nobody reads, and the signals that are not for stopping.
use crate::host::{Host, Process, command, hears_hangups, wrapped};
use std::{fs::OpenOptions, io::Read, process::Stdio};

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe without a reader.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A pipe that is full, with a reader that does not read.
fn stuck() -> (impl Read, Stdio) {
    use std::io::Write;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let other = writer.try_clone().unwrap();
    // Fills it until it would block: a thread is left behind in the last write.
    std::thread::spawn(move || while writer.write_all(&[b'.'; 4096]).is_ok() {});
    (reader, other.into())
}

#[test]
fn a_broker_lives_without_a_reader_of_its_lines() {
    let (_out_reader, stuck_out) = stuck();
    let (_error_reader, stuck_error) = stuck();
    let streams: [(&str, Stdio, Stdio); 6] = [
        ("full", full(), Stdio::piped()),
        ("gone", gone(), Stdio::piped()),
        ("stuck", stuck_out, Stdio::piped()),
        ("no errors", Stdio::piped(), gone()),
        ("errors stuck", Stdio::piped(), stuck_error),
        ("neither", gone(), full()),
    ];
    for (name, out, error) in streams {
        let host = Host::new(2);
        let mut command = host.command();
        let process = Process::spawn(command.stdout(out).stderr(error));
        host.wait_ready();
        // Twice: the second answer comes after the lines of the start.
        host.wait_ready();
        process.signal("TERM");
        let ended = process.end();
        assert_eq!(ended.code(), 0, "{name}: {ended:?}");
        if ["full", "gone"].contains(&name) {
            let said = "standard output does not take the lines of the start";
            assert!(ended.error.contains(said), "{name}: {ended:?}");
        }
    }
}

#[test]
fn what_is_printed_needs_no_reader() {
    let run = |arguments: &[&str], out: Stdio| {
        Process::spawn(command().args(arguments).stdout(out)).end()
    };
    for arguments in [&["config", "--all"][..], &["config"], &["--help"], &["--version"]] {
        let ended = run(arguments, gone());
        assert_eq!((ended.code(), ended.error.as_str()), (0, ""));
    }
    let ended = run(&["config", "--all"], full());
    assert_eq!(ended.code(), 1);
    assert!(ended.error.contains("standard output"), "{ended:?}");
    // An error without a reader.
    let mut command = command();
    let command = command.args(["--set", "no.such.key=1"]);
    assert_eq!(Process::spawn(command.stderr(gone())).end().code(), 78);
    assert_eq!(Process::spawn(command.stderr(full())).end().code(), 78);
}

#[test]
fn no_escape_codes_where_nobody_shows_colours() {
    let host = Host::new(1);
    let process = host.start();
    host.wait_ready();
    process.signal("TERM");
    let ended = process.end();
    assert!(ended.error.contains("stopped"), "{ended:?}");
    assert!(!ended.error.contains('\u{1b}'), "{ended:?}");
    assert!(!ended.out.contains('\u{1b}'), "{ended:?}");
}

#[test]
fn signals_that_ask_for_nothing_do_not_end_it_and_hangup_stops_it() {
    let host = Host::new(2);
    let process = Process::spawn(&mut hears_hangups(&host.command()));
    host.wait_ready();
    for signal in ["USR1", "USR2", "QUIT", "PIPE", "XFSZ"] {
        process.signal(signal);
        host.wait_ready();
    }
    process.signal("HUP");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    for signal in ["SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGXFSZ"] {
        assert!(ended.error.contains(signal), "{signal}: {ended:?}");
    }
    assert!(ended.error.contains("stopped"), "{ended:?}");
}

#[test]
fn under_nohup_a_hangup_is_nothing() {
    let host = Host::new(1);
    // As nohup does: the signal is ignored by whoever starts the broker, and stays so.
    let mut command = wrapped(&host.command(), "trap '' HUP");
    let process = Process::spawn(&mut command);
    host.wait_ready();
    process.signal("HUP");
    host.wait_ready();
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(!ended.error.contains("SIGHUP"), "{ended:?}");
}
