//! Files against a real file system.
use crate::support::run_once;
use netio::{AlignedBuf, Io, Open, Options};
use std::path::PathBuf;

async fn all_file_operations(io: Io, root: PathBuf) -> netio::Result<()> {
    let dir = root.join("d");
    io.create_dir(&dir).await?;
    io.create_dir(&dir).await?;
    let how = Open { write: true, create: true, direct: true, ..Open::default() };
    let file = io.open(&dir.join("a"), how).await?;
    file.allocate(0, 1 << 20).await?;
    assert_eq!(file.len().await?, 1 << 20);
    let mut buf = AlignedBuf::zeroed(8192);
    buf.fill(3);
    file.write_at(buf.freeze(), 4096, true).await?;
    let mut tail = AlignedBuf::zeroed(4096);
    tail.fill(4);
    let parts = vec![AlignedBuf::zeroed(4096).freeze(), tail.freeze()];
    file.write_all_at(parts, 8192, true).await?;
    let (read, count) = file.read_at(AlignedBuf::zeroed(1 << 20), 0).await;
    assert_eq!(count?, 1 << 20);
    assert_eq!(
        [read[4095], read[4096], read[8191], read[8192], read[12_288], read[16_384]],
        [0, 3, 3, 0, 4, 0]
    );
    file.truncate(5000).await?;
    file.sync(true).await?;
    let (_, count) = file.read_at(AlignedBuf::zeroed(8192), 0).await;
    assert_eq!(count?, 5000);
    drop(file);

    io.rename(&dir.join("a"), &dir.join("b")).await?;
    io.sync_dir(&dir).await?;
    let file = io.open(&dir.join("b"), Open::default()).await?;
    assert_eq!(file.read_vec(4990, 100).await?.len(), 10);
    let missing = io.open(&dir.join("a"), Open::default()).await.unwrap_err();
    assert!(missing.is_not_found() && missing.on.ends_with("d/a"), "{missing}");
    let exists = io
        .open(
            &dir.join("b"),
            Open { write: true, create: true, exclusive: true, ..Open::default() },
        )
        .await;
    assert_eq!(exists.unwrap_err().errno, 17);

    io.create_dir(&dir.join("c")).await?;
    let names: Vec<_> =
        io.read_dir(&dir).await?.into_iter().map(|entry| (entry.name, entry.is_dir)).collect();
    assert_eq!(names, [("b".to_string(), false), ("c".to_string(), true)]);
    io.remove_dir(&dir.join("c")).await?;
    io.remove_file(&dir.join("b")).await?;
    io.remove_dir(&dir).await?;
    assert!(io.read_dir(&dir).await.unwrap_err().is_not_found());
    let space = io.space(&root).await?;
    assert!(space.available_bytes > 0 && space.available_bytes <= space.total_bytes, "{space:?}");
    Ok(())
}

#[test]
fn every_operation() {
    // Not in /tmp, which may be memory without O_DIRECT.
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = root.path().to_path_buf();
    let (boot, result) = run_once(move |io| Box::pin(all_file_operations(io, path)));
    let running = netio::start(Options::default(), vec![boot]).unwrap();
    result.recv().unwrap().unwrap();
    running.join().unwrap();
}
