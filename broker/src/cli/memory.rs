//! What the process may use of memory, read from the system: control groups (version 1 and 2, with
//! their parents), `ulimit`, and what the machine has.
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// The smallest of all limits, and who sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub bytes: u64,
    pub source: String,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", show(self.bytes), self.source)
    }
}

/// Bytes as an operator reads them.
pub fn show(bytes: u64) -> String {
    match bytes {
        0..0x0010_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        0x0010_0000..0x0002_8000_0000 => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes >> 20 & 1023) * 10 / 1024),
    }
}

/// Version 1 says "no limit" with a number near the largest.
const NO_LIMIT: u64 = 1 << 60;

/// The smallest limit below `root`, which is `/` but for tests. `None` where the system says
/// nothing.
pub fn limit(root: &Path) -> Option<Limit> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut found = Vec::new();
    let total = read("proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    found.extend(total.map(|kib| Limit { bytes: kib << 10, source: "all of this machine".into() }));
    for line in read("proc/self/limits").lines() {
        for (name, option) in [("Max address space", "-v"), ("Max data size", "-d")] {
            let soft = line.strip_prefix(name).and_then(|rest| {
                let soft = rest.split_whitespace().next()?;
                soft.parse::<u64>().ok()
            });
            found.extend(soft.map(|bytes| Limit { bytes, source: format!("ulimit {option}") }));
        }
    }
    found.extend(control_groups(root, &read("proc/self/cgroup"), &read("proc/self/mountinfo")));
    found.into_iter().min_by_key(|limit| limit.bytes)
}

/// A mounted hierarchy that accounts memory.
struct Mounted {
    /// The group that is seen at the mount point.
    group: String,
    at: PathBuf,
    /// Of version 2.
    unified: bool,
}

fn control_groups(root: &Path, groups: &str, mounts: &str) -> Vec<Limit> {
    let mut found = Vec::new();
    for line in groups.lines() {
        // 4:memory:/a/b of version 1, 0::/a/b of version 2
        let mut columns = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (columns.next(), columns.next()) else {
            continue;
        };
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|name| name == "memory") {
            continue;
        }
        let mounted = mounts.lines().filter_map(mounted);
        for mount in mounted.filter(|mount| mount.unified == unified) {
            found.extend(path_limits(root, &mount, group));
        }
    }
    found
}

/// A line of mountinfo: id, parent, device, root, mount point, options, optional fields, `-`, type,
/// source, super options.
fn mounted(line: &str) -> Option<Mounted> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (group, at) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let unified = match after.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let options = after.nth(1)?;
    if !unified && !options.split(',').any(|option| option == "memory") {
        return None;
    }
    // A space in a path is written as \040.
    let plain = |text: &str| text.replace("\\040", " ");
    Some(Mounted { group: plain(group), at: PathBuf::from(plain(at)), unified })
}

/// Limits of a group and of all groups that it lies in, as far as they can be seen.
fn path_limits(root: &Path, mount: &Mounted, group: &str) -> Vec<Limit> {
    // In a container, the group of this process may be named as the host sees it, while only its
    // own part is mounted.
    let inside = if mount.group == "/" {
        group
    } else {
        group.strip_prefix(mount.group.as_str()).unwrap_or("")
    };
    let inside = Path::new(inside.trim_start_matches('/'));
    let files: &[&str] = if mount.unified {
        // Above `memory.high` a group is not killed but stands still.
        &["memory.max", "memory.high"]
    } else {
        &["memory.limit_in_bytes"]
    };
    let mut found = Vec::new();
    for part in inside.ancestors() {
        let dir = mount.at.join(part);
        let seen = root.join(dir.strip_prefix("/").unwrap_or(&dir));
        for file in files {
            let text = fs::read_to_string(seen.join(file)).unwrap_or_default();
            if let Ok(bytes) = text.trim().parse::<u64>()
                && bytes < NO_LIMIT
            {
                found.push(Limit { bytes, source: dir.join(file).display().to_string() });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Files below a root of their own.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn found(files: &[(&str, &str)]) -> Option<(u64, String)> {
        let mut all = vec![("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n")];
        all.extend(files);
        let limit = limit(system(&all).path())?;
        Some((limit.bytes / MIB, limit.source))
    }

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "30 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn without_control_groups_it_is_the_machine() {
        assert_eq!(found(&[]), Some((8192, "all of this machine".into())));
        assert_eq!(limit(system(&[]).path()), None);
        let none = "Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(found(&[("proc/self/limits", none)]).unwrap().0, 8192);
        let some = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max address space         1073741824           unlimited            bytes\n";
        let some = found(&[("proc/self/limits", some)]);
        assert_eq!(some, Some((1024, "ulimit -v".into())));
    }

    #[test]
    fn version_2_and_the_groups_around_it() {
        let base = [("proc/self/cgroup", "0::/a.slice/b c.scope\n"), ("proc/self/mountinfo", V2)];
        let with = |more: &[(&str, &str)]| found(&[&base[..], more].concat());
        let inner = "sys/fs/cgroup/a.slice/b c.scope/memory.max";
        let outer = "sys/fs/cgroup/a.slice/memory.max";
        let high = "sys/fs/cgroup/a.slice/memory.high";
        assert_eq!(with(&[(inner, "max\n")]).unwrap().0, 8192);
        assert_eq!(
            with(&[(inner, "536870912\n"), (outer, "max\n")]),
            Some((512, format!("/{inner}")))
        );
        assert_eq!(
            with(&[(inner, "536870912\n"), (outer, "268435456\n")]),
            Some((256, format!("/{outer}")))
        );
        assert_eq!(
            with(&[(inner, "536870912\n"), (high, "134217728\n")]),
            Some((128, format!("/{high}")))
        );
    }

    #[test]
    fn version_1_beside_an_empty_version_2() {
        let base = [
            ("proc/self/cgroup", "4:memory,blkio:/docker/x\n1:cpu:/\n0::/docker/x\n"),
            ("proc/self/mountinfo", V1),
        ];
        let with = |more: &[(&str, &str)]| found(&[&base[..], more].concat()).unwrap().0;
        let inner = "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes";
        let outer = "sys/fs/cgroup/memory/docker/memory.limit_in_bytes";
        assert_eq!(with(&[(inner, "9223372036854771712\n")]), 8192);
        assert_eq!(with(&[(inner, "536870912\n")]), 512);
        assert_eq!(with(&[(inner, "536870912\n"), (outer, "67108864\n")]), 64);
        // A limit of another controller's hierarchy is none of memory.
        assert_eq!(with(&[("sys/fs/cgroup/cpu/memory.max", "5\n")]), 8192);
    }

    #[test]
    fn in_a_container_the_mount_shows_only_its_own_part() {
        let limit = ("sys/fs/cgroup/memory.max", "536870912\n");
        let deep = ("sys/fs/cgroup/inner/memory.max", "268435456\n");
        // With a namespace, and as the host names it.
        for (group, mounts, expected) in [
            ("0::/\n", V2.to_owned(), 512),
            ("0::/host/x\n", V2.replace(" / /sys", " /host/x /sys"), 512),
            ("0::/host/x/inner\n", V2.replace(" / /sys", " /host/x /sys"), 256),
            ("0::/elsewhere\n", V2.replace(" / /sys", " /host/x /sys"), 512),
        ] {
            let files =
                [("proc/self/cgroup", group), ("proc/self/mountinfo", &mounts), limit, deep];
            assert_eq!(found(&files).unwrap().0, expected, "{group}");
        }
    }

    #[test]
    fn nonsense_is_no_limit() {
        let files = [
            ("proc/self/cgroup", "x\n\n::::\n0::\n"),
            ("proc/self/mountinfo", "1 2 3\n - \n1 2 3 4 5 6 - cgroup2\n"),
            ("proc/self/limits", "Max address space\n"),
        ];
        assert_eq!(found(&files).unwrap().0, 8192);
    }

    #[test]
    fn this_machine_has_some() {
        assert!(limit(Path::new("/")).is_some_and(|limit| limit.bytes > 64 * MIB));
    }

    #[test]
    fn shown() {
        let shown = [5_000, 512 * MIB, 10_240 * MIB, 24_576 * MIB + 512 * MIB].map(show);
        assert_eq!(shown, ["5 KiB", "512 MiB", "10.0 GiB", "24.5 GiB"]);
    }
}
