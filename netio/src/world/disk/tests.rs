//! The disk's rules, each as its outcomes over many power cuts.
use super::*;

fn disk(rule: Names) -> Disk {
    Disk::new(1 << 30, rule)
}
fn p(s: &str) -> &Path {
    Path::new(s)
}
fn create(d: &mut Disk, path: &str) -> Inode {
    d.open(p(path), Open { write: true, create: true, ..Open::default() }).unwrap()
}
fn synced(d: &mut Disk, inode: Inode) {
    let m = d.file_mark(inode);
    d.synced(inode, m);
}
fn sync_dir(d: &mut Disk, path: &str) {
    let m = d.names_mark();
    d.sync_dir(p(path), m).unwrap();
}
/// What lists of files power cuts can leave.
fn outcomes(d: &Disk) -> Vec<Vec<(String, u64)>> {
    let mut seen: Vec<_> = (0..200)
        .map(|seed| {
            let mut d = d.clone();
            d.crash(&mut Rng::new(seed));
            d.list()
        })
        .collect();
    seen.sort();
    seen.dedup();
    seen
}
fn files(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|&(n, l)| (n.to_owned(), l)).collect()
}

#[test]
fn a_name_needs_its_directory_synced() {
    let mut d = disk(Names::Strict);
    let f = create(&mut d, "a");
    d.write(f, 0, &[1; 4096], false).unwrap();
    synced(&mut d, f);
    assert_eq!(
        outcomes(&d),
        vec![files(&[]), files(&[("a", 4096)])],
        "fsync of the file does not keep its name"
    );
    sync_dir(&mut d, "");
    assert_eq!(outcomes(&d), vec![files(&[("a", 4096)])]);

    let mut d = disk(Names::Journal);
    let f = create(&mut d, "a");
    synced(&mut d, f);
    assert_eq!(outcomes(&d), vec![files(&[("a", 0)])], "with a journal it does");
}

#[test]
fn an_unsynced_file_with_a_durable_name_may_be_empty() {
    let mut d = disk(Names::Strict);
    let f = create(&mut d, "a");
    d.write(f, 0, &[1; 4096], false).unwrap();
    sync_dir(&mut d, "/");
    let seen = outcomes(&d);
    assert!(
        seen.contains(&files(&[("a", 0)])) && seen.contains(&files(&[("a", 4096)])),
        "{seen:?}"
    );
}

#[test]
fn a_sync_of_everything_keeps_what_was_complete() {
    for rule in [Names::Strict, Names::Journal] {
        let mut d = disk(rule);
        d.create_dir(p("t-0")).unwrap();
        let f = create(&mut d, "t-0/a.tmp");
        d.write(f, 0, &[1; 4096], false).unwrap();
        d.rename(p("t-0/a.tmp"), p("t-0/a")).unwrap();
        let (names, contents) = (d.names_mark(), d.file_marks());
        let later = create(&mut d, "t-0/b");
        d.write(f, 4096, &[2; 4096], false).unwrap();
        d.sync_all(p("t-0"), names, &contents).unwrap();
        let seen = outcomes(&d);
        assert!(
            seen.iter().all(|list| list.iter().any(|(name, len)| name == "t-0/a" && *len >= 4096))
        );
        assert!(seen.contains(&files(&[("t-0/a", 4096)])), "what came later may go: {seen:?}");
        synced(&mut d, later);
    }
}

#[test]
fn a_rename_is_atomic_and_replaces() {
    let mut d = disk(Names::Strict);
    for (name, len) in [("checkpoint", 1), ("checkpoint.tmp", 2)] {
        let f = create(&mut d, name);
        d.write(f, 0, &vec![9; len], true).unwrap();
    }
    sync_dir(&mut d, "");
    d.rename(p("checkpoint.tmp"), p("checkpoint")).unwrap();
    assert_eq!(d.list(), files(&[("checkpoint", 2)]));
    let (old, new) =
        (files(&[("checkpoint", 1), ("checkpoint.tmp", 2)]), files(&[("checkpoint", 2)]));
    assert_eq!(outcomes(&d), vec![old, new.clone()]);
    sync_dir(&mut d, "");
    assert_eq!(outcomes(&d), vec![new]);
}

#[test]
fn a_rename_between_directories_is_seen_whole_or_not() {
    let mut d = disk(Names::Strict);
    d.create_dir(p("x")).unwrap();
    d.create_dir(p("y")).unwrap();
    create(&mut d, "x/f");
    d.settle();
    d.rename(p("x/f"), p("y/g")).unwrap();
    let (old, new) = (files(&[("x/f", 0)]), files(&[("y/g", 0)]));
    assert_eq!(outcomes(&d), vec![old, new.clone()]);
    sync_dir(&mut d, "y");
    assert_eq!(outcomes(&d), vec![new]);
}

#[test]
fn a_removal_may_come_back_until_synced_and_frees_space_at_once() {
    let mut d = disk(Names::Strict);
    let f = create(&mut d, "a");
    d.allocate(f, 0, 10_000).unwrap();
    d.settle();
    let before = d.space().available_bytes;
    d.remove_file(p("a")).unwrap();
    assert_eq!(d.space().available_bytes, before, "still open");
    assert_eq!(d.len(f), 10_000);
    d.close(f);
    assert_eq!(d.space().available_bytes, before + 12_288);
    assert_eq!(outcomes(&d), vec![files(&[]), files(&[("a", 10_000)])]);
    sync_dir(&mut d, "");
    assert_eq!(outcomes(&d), vec![files(&[])]);
    assert_eq!(d.nodes.len(), 1, "nothing is kept of it");
}

#[test]
fn a_lost_directory_takes_all_with_it() {
    let mut d = disk(Names::Strict);
    d.create_dir(p("t-0")).unwrap();
    create(&mut d, "t-0/0.log");
    sync_dir(&mut d, "t-0");
    assert_eq!(outcomes(&d), vec![files(&[]), files(&[("t-0/0.log", 0)])]);
    sync_dir(&mut d, "");
    assert_eq!(outcomes(&d), vec![files(&[("t-0/0.log", 0)])]);
}

#[test]
fn creations_in_one_directory_are_lost_independently_or_in_order() {
    let mut d = disk(Names::Strict);
    create(&mut d, "a");
    create(&mut d, "b");
    assert_eq!(outcomes(&d).len(), 4);
    let mut d = disk(Names::Journal);
    create(&mut d, "a");
    create(&mut d, "b");
    assert_eq!(outcomes(&d), vec![files(&[]), files(&[("a", 0)]), files(&[("a", 0), ("b", 0)])]);
}

#[test]
fn a_reused_name_never_costs_the_file_that_had_it_before() {
    let mut d = disk(Names::Strict);
    let f = create(&mut d, "a");
    d.write(f, 0, &[1; 7], true).unwrap();
    d.settle();
    d.rename(p("a"), p("b")).unwrap();
    create(&mut d, "a");
    for seen in outcomes(&d) {
        assert!(seen.iter().any(|(_, len)| *len == 7), "{seen:?}");
    }
}

#[test]
fn space_runs_out_and_comes_back() {
    let mut d = Disk::new(16_384, Names::Strict);
    let f = create(&mut d, "a");
    d.allocate(f, 0, 8_192).unwrap();
    d.write(f, 8_192, &[1; 4_096], false).unwrap();
    assert_eq!(d.allocate(f, 0, 20_000), Err(libc::ENOSPC));
    assert_eq!(d.write(f, 12_288, &[1; 4_097], false), Err(libc::ENOSPC));
    assert_eq!(d.len(f), 12_288, "a refused write leaves nothing");
    d.write(f, 0, &[2; 12_288], false).unwrap();
    d.truncate(f, 1).unwrap();
    assert_eq!(d.space().available_bytes, 12_288);
}

#[test]
fn errors_are_those_of_linux() {
    let mut d = disk(Names::Strict);
    d.create_dir(p("dir")).unwrap();
    let f = create(&mut d, "dir/f");
    let how = |create, exclusive| Open { write: true, create, exclusive, ..Open::default() };
    assert_eq!(d.open(p("none"), Open::default()), Err(libc::ENOENT));
    assert_eq!(d.open(p("none/f"), how(true, false)), Err(libc::ENOENT));
    assert_eq!(d.open(p("dir/f"), how(true, true)), Err(libc::EEXIST));
    assert_eq!(d.open(p("dir"), how(false, false)), Err(libc::EISDIR));
    assert_eq!(d.open(p("dir/f/x"), how(true, false)), Err(libc::ENOTDIR));
    assert_eq!(d.create_dir(p("dir")), Err(libc::EEXIST));
    assert_eq!(d.remove_dir(p("dir")), Err(libc::ENOTEMPTY));
    assert_eq!(d.remove_file(p("dir")), Err(libc::EISDIR));
    assert_eq!(d.remove_file(p("none")), Err(libc::ENOENT));
    assert_eq!(d.rename(p("none"), p("x")), Err(libc::ENOENT));
    assert_eq!(d.rename(p("dir"), p("dir/f")), Err(libc::EINVAL));
    assert_eq!(d.read_dir(p("dir/f")), Err(libc::ENOTDIR));
    assert_eq!(d.allocate(f, 0, 0), Err(libc::EINVAL));
    let list = d.read_dir(p("/")).unwrap();
    assert_eq!(list, vec![DirEntry { name: "dir".into(), is_dir: true, bytes: 0 }]);
}

#[test]
fn a_test_can_put_and_damage_files() {
    let mut d = disk(Names::Strict);
    d.put(p("x/y/z"), b"hello").unwrap();
    assert_eq!(outcomes(&d), vec![files(&[("x/y/z", 5)])]);
    d.flip(p("x/y/z"), 1, 1).unwrap();
    assert_eq!(d.contents(p("x/y/z")).unwrap(), b"hdllo");
    assert_eq!(d.at_risk(p("x/y/z")), Ok(0));
}
