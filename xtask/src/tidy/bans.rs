//! Calls that are banned, with what to use instead; and homes of unsafe code.

use super::source::Source;
use super::{CRATES, Crate};

struct Ban {
    text: &'static str,
    /// Folders in which it is banned.
    folders: &'static [&'static str],
    instead: &'static str,
}

/// Above `netio`, time, chance and I/O come from it, and nothing may differ between two runs of one
/// seed.
const SHARD: &[&str] = &[
    "storage/src",
    "broker/src/shard",
    "broker/src/session",
    "broker/src/api",
    "broker/src/fetch",
    "broker/src/produce",
    "broker/src/partition",
    "broker/src/group",
    "broker/src/coordinator",
    "broker/src/controller",
    "broker/src/metadata",
];
const PURE: &[&str] = &["storage/record/src", "broker/wire/src"];
const ALL: &[&str] = &["netio/src", "storage", "broker", "tuning", "bench", "xtask/src"];

const BANS: &[Ban] = &[
    Ban { text: "std::time::Instant", folders: SHARD, instead: "netio::Io::now" },
    Ban { text: "SystemTime::now", folders: SHARD, instead: "netio::Io::wall" },
    Ban { text: "std::fs::", folders: SHARD, instead: "netio::File and netio::Io" },
    Ban { text: "std::net::Tcp", folders: SHARD, instead: "netio::Io::listen and connect" },
    Ban { text: "std::thread::", folders: SHARD, instead: "netio::start, or a background task" },
    Ban {
        text: "thread_local!",
        folders: SHARD,
        instead: "a field of the shard: in the simulation all cores share a thread",
    },
    Ban { text: "static mut", folders: ALL, instead: "a field of its owner" },
    Ban { text: "RandomState", folders: SHARD, instead: "foldhash::fast::FixedState" },
    Ban {
        text: "std::collections::HashMap",
        folders: SHARD,
        instead: "BTreeMap, or hashbrown::HashMap with FixedState",
    },
    Ban {
        text: "std::collections::HashSet",
        folders: SHARD,
        instead: "BTreeSet, or hashbrown with FixedState",
    },
    Ban { text: "std::fs", folders: PURE, instead: "slices in, values out" },
    Ban {
        text: "io_uring::",
        folders: &["storage", "broker/src", "broker/wire", "broker/client", "tuning", "bench"],
        instead: "netio",
    },
    Ban {
        text: "libc::",
        folders: &["storage", "broker", "tuning", "bench", "xtask/src"],
        instead: "netio, or rustix",
    },
    Ban { text: concat!("dbg", "!("), folders: ALL, instead: "tracing" },
    Ban {
        text: concat!("print", "ln!("),
        folders: &["broker/src", "storage/src", "netio/src"],
        instead: "broker::output, or tracing: it panics when its reader is gone",
    },
    Ban { text: concat!("to", "do!("), folders: ALL, instead: "the code" },
    Ban {
        text: concat!("unimpl", "emented!("),
        folders: ALL,
        instead: "the code, or an error that names the cure",
    },
];

/// Files that may name a banned thing, with the reason.
const EXEMPT: &[(&str, &str, &str)] = &[
    ("xtask/src/tidy/bans.rs", "", "the list itself"),
    (
        "netio/src/sim/scheduler.rs",
        concat!("print", "ln!("),
        "says seed and time when a test panics",
    ),
];

pub(super) fn findings(sources: &[Source]) -> Vec<String> {
    let mut findings = banned(sources);
    findings.extend(unsafe_homes(sources));
    findings
}

fn banned(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let bans: Vec<&Ban> = BANS
            .iter()
            .filter(|ban| ban.folders.iter().any(|folder| source.is_below(folder)))
            .filter(|ban| {
                !EXEMPT.iter().any(|(file, text, _)| {
                    *file == source.path && (text.is_empty() || *text == ban.text)
                })
            })
            .collect();
        for (number, line) in code_lines(&source.text) {
            for ban in bans.iter().filter(|ban| line.contains(ban.text)) {
                findings.push(format!(
                    "{}:{number}: {} is banned here; use {}",
                    source.path, ban.text, ban.instead
                ));
            }
        }
    }
    findings
}

/// Every crate but netio forbids unsafe code.
fn unsafe_homes(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for Crate { folder, name, .. } in CRATES.iter().filter(|c| c.name != "netio") {
        let roots = ["lib.rs", "main.rs"].map(|file| format!("{folder}/src/{file}"));
        for source in sources.iter().filter(|source| roots.contains(&source.path)) {
            if !source.text.contains("#![forbid(unsafe_code)]") {
                findings.push(format!("{name}: {} lacks #![forbid(unsafe_code)]", source.path));
            }
        }
    }
    findings
}

/// Lines of code with their numbers: no comments, nothing behind the tests at a file's end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .take_while(|(_, line)| !line.starts_with("mod tests"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_do_not_count() {
        let text = "// std::fs::\nuse x;\nmod tests {\n std::fs::\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(2, "use x;")]);
    }
}
