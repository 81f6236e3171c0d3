//! Few descriptors: files have theirs, whatever connections do.
use crate::host::{Host, Process, wrapped};
use std::net::TcpStream;

#[test]
fn idle_connections_do_not_take_the_descriptors_of_files() {
    let host = Host::new(1);
    let process = Process::spawn(&mut wrapped(&host.command(), "ulimit -n 64"));
    host.wait_ready();
    let idle: Vec<TcpStream> =
        (0..200).filter_map(|_| TcpStream::connect(("127.0.0.1", host.port)).ok()).collect();
    let scrapers: Vec<TcpStream> =
        (0..100).filter_map(|_| TcpStream::connect(("127.0.0.1", host.admin)).ok()).collect();
    assert_eq!((idle.len(), scrapers.len()), (200, 100));
    drop(scrapers);
    // The log's files are made and opened meanwhile: nothing has failed.
    host.wait_admin("/metrics", |text| {
        text.contains("millrace_log_failed{core=\"0\"} 0")
            && !text.contains("millrace_connections_refused_total{core=\"0\"} 0\n")
    });
    drop(idle);
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.error.contains("ulimit -n") && !ended.error.contains("read-only"), "{ended:?}");
}

#[test]
fn a_limit_that_is_too_low_is_an_error_that_names_the_least() {
    let host = Host::new(2);
    let ended = Process::spawn(&mut wrapped(&host.command(), "ulimit -n 40")).end();
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.error.contains("2 cores need 88"), "{ended:?}");
}
