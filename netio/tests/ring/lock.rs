//! The lock of a data directory.
use crate::support::{Echo, run_once};
use netio::Options;

#[test]
fn a_directory_in_use_is_refused_and_a_freed_one_is_taken() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = Options { lock_file: Some(dir.path().join("lock")), cpus: vec![None], ..Options::default() };
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
