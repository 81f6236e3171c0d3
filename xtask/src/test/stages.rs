//! The stages, in the order in which they run: what costs little is judged first.

/// A stage: its name, what it is for, and the command line.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) command: &'static [&'static str],
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// What `cargo xtask prepare` fetches for it must not be fetched twice at a time.
    pub(super) prepared: bool,
    /// Its outcome does not depend on how long it takes, so it runs with the lowest priority beside
    /// stages that mostly wait.
    pub(super) beside: bool,
}

/// A stage that needs nothing special.
pub(super) const PLAIN: Stage =
    Stage { name: "", about: "", command: &[], environment: &[], prepared: false, beside: false };

pub(super) const STAGES: &[Stage] = &[
    Stage {
        name: "format",
        about: "rustfmt",
        command: &["cargo", "xtask", "format", "--check"],
        ..PLAIN
    },
    Stage {
        name: "tidy",
        about: "crates, modules, bans, unsafe code, sizes, comments",
        command: &["cargo", "xtask", "tidy"],
        ..PLAIN
    },
    Stage {
        name: "commits",
        about: "messages of commits",
        command: &["cargo", "xtask", "commits"],
        ..PLAIN
    },
    Stage {
        name: "spelling",
        about: "words that are spelled wrong",
        command: &["cargo", "xtask", "spelling"],
        ..PLAIN
    },
    Stage {
        name: "unused",
        about: "dependencies that no source uses",
        command: &["cargo", "xtask", "unused"],
        ..PLAIN
    },
    Stage {
        name: "deny",
        about: "licences, banned crates, sources, advisories",
        command: &["cargo", "xtask", "deny"],
        ..PLAIN
    },
    Stage {
        name: "lint",
        about: "clippy, warnings are errors",
        command: &["cargo", "xtask", "lint"],
        ..PLAIN
    },
    Stage {
        name: "doc",
        about: "rustdoc, warnings are errors",
        command: &[
            "cargo",
            "doc",
            "--quiet",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ],
        // Private items are documented, so links to them are good.
        environment: &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links")],
        ..PLAIN
    },
    Stage {
        name: "rust",
        about: "tests of every crate, on the ring and in the simulation",
        command: &["cargo", "test", "--workspace", "--no-fail-fast"],
        ..PLAIN
    },
    Stage {
        name: "release",
        about: "the binary that the next stages run",
        command: &["cargo", "build", "--release"],
        ..PLAIN
    },
    Stage {
        name: "seeds",
        about: "1,000 storage runs with crashes in the simulation, each twice",
        command: &["cargo", "test", "--release", "-p", "storage", "--test", "conformance"],
        environment: &[("MILLRACE_SEEDS", "1000")],
        beside: true,
        prepared: false,
    },
    Stage {
        name: "fuzz",
        about: "corpora replayed, every target for 15 s",
        command: &["cargo", "xtask", "fuzz", "--seconds", "15"],
        ..PLAIN
    },
    Stage {
        name: "monitoring",
        about: "metrics, alert rules and dashboard, as promtool judges them",
        command: &["cargo", "xtask", "monitoring"],
        prepared: true,
        ..PLAIN
    },
    Stage {
        name: "instructions",
        about: "instructions of a request, counted by callgrind, against what is recorded",
        command: &["cargo", "xtask", "instructions"],
        beside: true,
        ..PLAIN
    },
    Stage {
        name: "clients",
        about: "foreign clients, both listener modes",
        command: &["cargo", "xtask", "clients"],
        prepared: true,
        ..PLAIN
    },
    Stage {
        name: "demo",
        about: "a year of flights through two languages, with kills",
        command: &["cargo", "xtask", "demo"],
        prepared: true,
        ..PLAIN
    },
];
