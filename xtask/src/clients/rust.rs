//! rdkafka: a crate of its own workspace, with the librdkafka that its crate carries.

use std::process::Command;

use anyhow::Result;

use super::client::{Client, Program};
use crate::provision::{self, Dirs, Tool};

pub(crate) const CLIENT: Client =
    Client { name: "rdkafka", about: "rdkafka (Rust on librdkafka)", provision };

fn provision(dirs: &Dirs) -> Result<Tool<Program>> {
    if let Some(missing) = provision::missing(&["cargo", "make", "gcc", "g++"]) {
        return Ok(Tool::Absent(missing));
    }
    let target = dirs.cache.join("rust");
    let binary = target.join("debug/clients-rdkafka");
    // cargo sees what changed; the first build compiles librdkafka (about a minute).
    if !binary.exists() {
        println!("  rust: building rdkafka and librdkafka ...");
    }
    peers::run(
        Command::new("cargo")
            .args(["build", "--locked"])
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(dirs.clients.join("rust")),
        &target.with_extension("log"),
    )?;
    Ok(Tool::Ready(Program { path: binary, arguments: Vec::new(), environment: Vec::new() }))
}
