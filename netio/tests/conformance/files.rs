//! Files and directories.
use crate::bed::{Message, Place, act, pattern, task};
use bytes::Bytes;
use netio::{AlignedBuf, Boot, Class, Event, Io, Open, TaskSet, Turn, buffer::BLOCK};
use std::{
    future::{Future, poll_fn},
    path::Path,
    task::Poll,
};

const CREATE: Open =
    Open { write: true, create: true, exclusive: false, truncate: false, direct: false };

fn one<F: Future<Output = ()> + 'static>(
    place: &Place,
    f: impl FnOnce(Io, std::path::PathBuf) -> F + Send + 'static,
) -> Vec<Boot<Message>> {
    let dir = place.dir.clone();
    vec![task(move |io| f(io, dir))]
}

fn aligned(bytes: &[u8]) -> Bytes {
    let mut buf = AlignedBuf::zeroed(bytes.len());
    buf[..bytes.len()].copy_from_slice(bytes);
    buf.freeze()
}

async fn names(io: &Io, dir: &Path) -> Vec<String> {
    io.read_dir(dir).await.unwrap().into_iter().map(|e| e.name).collect()
}

pub(crate) fn written_bytes_are_read_back(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let path = dir.join("f");
        let file = io.open(&path, CREATE).await.unwrap();
        let bytes = pattern(1, 100_000);
        file.write_at(Bytes::from(bytes.clone()), 0, false).await.unwrap();
        file.write_at(Bytes::from_static(b"far"), 200_000, false).await.unwrap();
        assert_eq!(file.len().await, Ok(200_003));
        file.sync(false).await.unwrap();
        file.sync(true).await.unwrap();
        io.sync_dir(&dir).await.unwrap();
        io.sync_all(&dir).await.unwrap();
        assert_eq!(file.read_vec(0, 100_000).await.unwrap(), bytes);
        assert_eq!(file.read_vec(77, 1_000).await.unwrap(), bytes[77..1_077]);
        assert_eq!(
            file.read_vec(99_999, 3).await.unwrap(),
            [bytes[99_999], 0, 0],
            "a hole reads as zeros"
        );
        assert_eq!(file.read_vec(200_000, 50).await.unwrap(), b"far", "short at the end");
        assert_eq!(file.read_vec(300_000, 50).await.unwrap(), b"", "nothing beyond it");
        let (buf, n) = file.read_at(AlignedBuf::zeroed(2 * BLOCK), 4_096).await;
        assert_eq!((n, &buf[..]), (Ok(2 * BLOCK), &bytes[4_096..4_096 + 2 * BLOCK]));
        drop(file);
        let again = io.open(&path, Open::default()).await.unwrap();
        assert_eq!(again.read_vec(0, 100_000).await.unwrap(), bytes);
        let cut = io.open(&path, Open { truncate: true, ..CREATE }).await.unwrap();
        assert_eq!(cut.len().await, Ok(0));
        assert_eq!(again.len().await, Ok(0));
    })
}

pub(crate) fn a_file_grows_by_allocation_and_is_cut(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let file = io.open(&dir.join("f"), CREATE).await.unwrap();
        file.allocate(0, 1 << 20).await.unwrap();
        assert_eq!(file.len().await, Ok(1 << 20));
        assert!(file.read_vec(0, 1 << 20).await.unwrap().iter().all(|&b| b == 0));
        file.write_at(Bytes::from(pattern(2, 5_000)), 1_000, false).await.unwrap();
        file.truncate(3_000).await.unwrap();
        assert_eq!(file.len().await, Ok(3_000));
        file.truncate(6_000).await.unwrap();
        let bytes = file.read_vec(0, 10_000).await.unwrap();
        assert_eq!(bytes.len(), 6_000);
        assert_eq!(bytes[1_000..3_000], pattern(2, 5_000)[..2_000]);
        assert!(bytes[3_000..].iter().all(|&b| b == 0), "what was cut off does not come back");
        // Allocating what is there changes nothing.
        file.allocate(0, 4_096).await.unwrap();
        assert_eq!(file.len().await, Ok(6_000));
    })
}

pub(crate) fn names_move_and_listings_are_sorted(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        for name in ["c", "a", "e", "b", "d"] {
            let file = io.open(&dir.join(name), CREATE).await.unwrap();
            file.write_at(Bytes::copy_from_slice(name.as_bytes()), 0, true).await.unwrap();
        }
        let sub = dir.join("topic-0");
        io.create_dir(&sub).await.unwrap();
        io.create_dir(&sub).await.unwrap();
        let list = io.read_dir(&dir).await.unwrap();
        assert!(list.is_sorted() && list.len() == 6, "{list:?}");
        assert!(list.iter().all(|e| e.is_dir == (e.name == "topic-0")));
        io.rename(&dir.join("a"), &dir.join("b")).await.unwrap();
        io.rename(&dir.join("c"), &sub.join("c")).await.unwrap();
        assert_eq!(names(&io, &dir).await, ["b", "d", "e", "topic-0"]);
        let b = io.open(&dir.join("b"), Open::default()).await.unwrap();
        assert_eq!(b.read_vec(0, 9).await.unwrap(), b"a", "a rename replaces");
        io.rename(&sub, &dir.join("topic-0-stray")).await.unwrap();
        assert_eq!(names(&io, &dir.join("topic-0-stray")).await, ["c"]);
        // A removed file that is open can still be read.
        io.remove_file(&dir.join("b")).await.unwrap();
        assert_eq!(b.read_vec(0, 9).await.unwrap(), b"a");
        io.remove_file(&dir.join("topic-0-stray/c")).await.unwrap();
        io.remove_dir(&dir.join("topic-0-stray")).await.unwrap();
        io.sync_dir(&dir).await.unwrap();
        assert_eq!(names(&io, &dir).await, ["d", "e"]);
    })
}

pub(crate) fn errors_are_those_of_the_system(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let none = dir.join("none");
        let e = io.open(&none, Open::default()).await.unwrap_err();
        assert!(e.is_not_found() && !e.is_full(), "{e}");
        assert!(e.to_string().contains("none"), "an error names the path: {e}");
        let errno = |r: netio::Result<()>| r.unwrap_err().errno;
        const ENOENT: i32 = 2;
        assert_eq!(errno(io.remove_file(&none).await), ENOENT);
        assert_eq!(errno(io.remove_dir(&none).await), ENOENT);
        assert_eq!(errno(io.rename(&none, &dir.join("x")).await), ENOENT);
        assert_eq!(errno(io.sync_dir(&none).await), ENOENT);
        assert_eq!(errno(io.sync_all(&none).await), ENOENT);
        assert_eq!(errno(io.create_dir(&none.join("x")).await), ENOENT);
        assert_eq!(io.read_dir(&none).await.unwrap_err().errno, ENOENT);
        assert_eq!(io.space(&none).await.unwrap_err().errno, ENOENT);
        assert_eq!(io.open(&none.join("x"), CREATE).await.unwrap_err().errno, ENOENT);
        let file = io.open(&dir.join("f"), CREATE).await.unwrap();
        let exclusive = Open { exclusive: true, ..CREATE };
        assert_eq!(io.open(&dir.join("f"), exclusive).await.unwrap_err().errno, 17, "EEXIST");
        assert_eq!(errno(io.remove_dir(&dir.join("f")).await), 20, "ENOTDIR");
        assert_eq!(io.open(&dir.join("f/x"), CREATE).await.unwrap_err().errno, 20, "ENOTDIR");
        let sub = dir.join("sub");
        io.create_dir(&sub).await.unwrap();
        io.open(&sub.join("g"), CREATE).await.unwrap();
        assert_eq!(errno(io.remove_dir(&sub).await), 39, "ENOTEMPTY");
        assert_eq!(errno(io.remove_file(&sub).await), 21, "EISDIR");
        assert_eq!(io.open(&sub, CREATE).await.unwrap_err().errno, 21, "EISDIR");
        let read_only = io.open(&dir.join("f"), Open::default()).await.unwrap();
        assert_eq!(errno(read_only.write_at(Bytes::from_static(b"x"), 0, false).await), 9, "EBADF");
        assert_eq!(file.len().await, Ok(0));
    })
}

pub(crate) fn direct_files_want_aligned_memory(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let file = io.open(&dir.join("f"), Open { direct: true, ..CREATE }).await.unwrap();
        let bytes = pattern(3, 8 * BLOCK);
        file.allocate(0, 8 * BLOCK as u64).await.unwrap();
        file.write_at(aligned(&bytes), 0, true).await.unwrap();
        file.write_at(aligned(&bytes[..BLOCK]), 3 * BLOCK as u64, true).await.unwrap();
        let (buf, n) = file.read_at(AlignedBuf::zeroed(8 * BLOCK), 0).await;
        assert_eq!(n, Ok(8 * BLOCK));
        assert_eq!(buf[..3 * BLOCK], bytes[..3 * BLOCK]);
        assert_eq!(buf[3 * BLOCK..4 * BLOCK], bytes[..BLOCK]);
        assert_eq!(buf[4 * BLOCK..], bytes[4 * BLOCK..]);
        let (_, n) = file.read_at(AlignedBuf::zeroed(4 * BLOCK), 6 * BLOCK as u64).await;
        assert_eq!(n, Ok(2 * BLOCK), "short at the end");
        const EINVAL: i32 = 22;
        let misplaced = file.write_at(aligned(&bytes[..BLOCK]), 100, false).await.unwrap_err();
        assert_eq!(misplaced.errno, EINVAL);
        let short =
            file.write_at(aligned(&bytes[..BLOCK]).slice(..100), 0, false).await.unwrap_err();
        assert_eq!(short.errno, EINVAL);
        let (_, n) = file.read_at(AlignedBuf::zeroed(BLOCK), 1).await;
        assert_eq!(n.unwrap_err().errno, EINVAL);
        let (buf, _) = file.read_at(AlignedBuf::zeroed(BLOCK), 0).await;
        assert_eq!(buf[..], bytes[..BLOCK], "a refused write changes nothing");
    })
}

pub(crate) fn slices_are_written_in_order(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let file = io.open(&dir.join("f"), CREATE).await.unwrap();
        // More slices than one system call takes (IOV_MAX is 1024), of all sizes, some empty.
        let bytes = pattern(4, 400_000);
        let mut slices = Vec::new();
        let mut at = 0;
        for i in 0..2_600usize {
            let n = (i * 37 % 301).min(bytes.len() - at);
            slices.push(Bytes::copy_from_slice(&bytes[at..at + n]));
            at += n;
        }
        file.write_all_at(slices, 123, true).await.unwrap();
        assert_eq!(file.len().await, Ok(123 + at as u64));
        assert_eq!(file.read_vec(123, at).await.unwrap(), bytes[..at]);
        let direct = io.open(&dir.join("d"), Open { direct: true, ..CREATE }).await.unwrap();
        let blocks: Vec<Bytes> = bytes.chunks_exact(BLOCK).take(40).map(aligned).collect();
        direct.write_all_at(blocks, 0, true).await.unwrap();
        let (buf, n) = direct.read_at(AlignedBuf::zeroed(40 * BLOCK), 0).await;
        assert_eq!((n, &buf[..]), (Ok(40 * BLOCK), &bytes[..40 * BLOCK]));
    })
}

pub(crate) fn dsync_is_readable_after_reopening(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        for round in 0..5u64 {
            let path = dir.join("wal");
            let file = io.open(&path, Open { direct: true, ..CREATE }).await.unwrap();
            file.write_at(aligned(&pattern(round, 2 * BLOCK)), round * 2 * BLOCK as u64, true)
                .await
                .unwrap();
            drop(file);
            let file = io.open(&path, Open { direct: true, ..Open::default() }).await.unwrap();
            assert_eq!(file.len().await, Ok((round + 1) * 2 * BLOCK as u64));
            for r in 0..=round {
                let (buf, n) =
                    file.read_at(AlignedBuf::zeroed(2 * BLOCK), r * 2 * BLOCK as u64).await;
                assert_eq!((n, &buf[..]), (Ok(2 * BLOCK), &pattern(r, 2 * BLOCK)[..]));
            }
        }
    })
}

pub(crate) fn disjoint_writes_at_once(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let file = io.open(&dir.join("f"), CREATE).await.unwrap();
        let tasks = TaskSet::new(&io);
        for i in 0..40u64 {
            let file = file.clone();
            tasks.spawn(if i % 2 == 0 { Class::Flush } else { Class::Maintenance }, async move {
                file.write_at(Bytes::from(pattern(i, 10_000)), i * 10_000, i % 3 == 0)
                    .await
                    .unwrap();
                let back = file.read_vec(i * 10_000, 10_000).await.unwrap();
                assert_eq!(back, pattern(i, 10_000), "a write that has ended is seen");
            });
        }
        while tasks.running() > 0 {
            io.yield_now().await;
        }
        for i in 0..40u64 {
            assert_eq!(file.read_vec(i * 10_000, 10_000).await.unwrap(), pattern(i, 10_000));
        }
    })
}

/// Polls a future once, so that its operation is under way, and gives it up.
async fn begin_and_drop(future: impl Future) {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

pub(crate) fn dropped_reads_harm_nobody(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let path = dir.join("f");
        let file = io.open(&path, Open { direct: true, ..CREATE }).await.unwrap();
        let bytes = pattern(5, 64 * BLOCK);
        file.write_at(aligned(&bytes), 0, true).await.unwrap();
        for round in 0..60u64 {
            begin_and_drop(file.read_at(AlignedBuf::zeroed(64 * BLOCK), 0)).await;
            begin_and_drop(io.open(&path, Open::default())).await;
            // Memory that the dropped read may have owned: were it given back too early, the kernel
            // would write here.
            let fresh: Vec<AlignedBuf> = (0..4).map(|_| AlignedBuf::zeroed(64 * BLOCK)).collect();
            if round % 10 == 0 {
                let (buf, n) =
                    file.read_at(AlignedBuf::zeroed(BLOCK), round % 64 * BLOCK as u64).await;
                assert_eq!(n, Ok(BLOCK));
                assert_eq!(buf[..], bytes[(round % 64) as usize * BLOCK..][..BLOCK]);
            } else {
                io.yield_now().await;
            }
            assert!(fresh.iter().all(|b| b.iter().all(|&x| x == 0)));
        }
        // A file that is dropped with reads in flight.
        for _ in 0..20 {
            let file = io.open(&path, Open { direct: true, ..Open::default() }).await.unwrap();
            begin_and_drop(file.read_at(AlignedBuf::zeroed(16 * BLOCK), 0)).await;
        }
        let (buf, n) = file.read_at(AlignedBuf::zeroed(64 * BLOCK), 0).await;
        assert_eq!((n, &buf[..]), (Ok(64 * BLOCK), &bytes[..]));
    })
}

pub(crate) fn foreground_writes_have_tokens(place: &Place) -> Vec<Boot<Message>> {
    let dir = place.dir.clone();
    vec![Box::new(move |io, _mesh| {
        Box::pin(async move {
            let path = dir.join("wal");
            let file = io.open(&path, Open { direct: true, ..CREATE }).await.unwrap();
            let read_only = io.open(&path, Open::default()).await.unwrap();
            for token in 0..10u64 {
                let group = vec![
                    aligned(&pattern(token, BLOCK)),
                    aligned(&pattern(token + 100, 2 * BLOCK)),
                ];
                io.write(&file, group, token * 3 * BLOCK as u64, true, token);
            }
            io.sync(&file, 10);
            io.write(&read_only, vec![aligned(&pattern(0, BLOCK))], 0, false, 11);
            let mut seen = Vec::new();
            let checked = TaskSet::new(&io);
            act(move |events| {
                for event in events.drain(..) {
                    let Event::Written { token, result } = event else { panic!("{event:?}") };
                    match token {
                        11 => {
                            let e = result.unwrap_err();
                            assert!(e.errno == 9 && e.on.contains("wal"), "{e}");
                        }
                        _ => result.unwrap(),
                    }
                    seen.push(token);
                }
                if seen.len() == 12 {
                    seen.sort_unstable();
                    assert_eq!(seen, (0..12).collect::<Vec<_>>(), "each token once");
                    let file = file.clone();
                    checked.spawn(Class::Read, async move {
                        for token in 0..10u64 {
                            let (buf, n) = file
                                .read_at(AlignedBuf::zeroed(3 * BLOCK), token * 3 * BLOCK as u64)
                                .await;
                            assert_eq!(n, Ok(3 * BLOCK));
                            assert_eq!(buf[..BLOCK], pattern(token, BLOCK));
                            assert_eq!(buf[BLOCK..], pattern(token + 100, 2 * BLOCK));
                        }
                    });
                    seen.push(99);
                }
                if checked.take().is_some() { Turn::Done } else { Turn::Rest }
            })
        })
    })]
}

pub(crate) fn many_files_open_and_close(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        for round in 0..3 {
            let mut open = Vec::new();
            for i in 0..150u64 {
                let file = io.open(&dir.join(format!("f{i:03}")), CREATE).await.unwrap();
                file.write_at(Bytes::from(i.to_be_bytes().to_vec()), round * 8, false)
                    .await
                    .unwrap();
                open.push(file);
                if i % 3 == 0 {
                    open.swap_remove((i as usize / 2) % open.len());
                }
            }
        }
        assert_eq!(names(&io, &dir).await.len(), 150);
        for i in 0..150u64 {
            let file = io.open(&dir.join(format!("f{i:03}")), Open::default()).await.unwrap();
            let bytes = file.read_vec(0, 100).await.unwrap();
            assert_eq!(bytes, i.to_be_bytes().repeat(3), "file {i}");
        }
    })
}

pub(crate) fn space_is_told(place: &Place) -> Vec<Boot<Message>> {
    one(place, |io, dir| async move {
        let space = io.space(&dir).await.unwrap();
        assert!(
            space.available_bytes > 1 << 20 && space.available_bytes <= space.total_bytes,
            "{space:?}"
        );
    })
}
