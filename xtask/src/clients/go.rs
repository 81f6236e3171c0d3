//! franz-go: modules from the Go proxy, checked by go.sum, one binary.

use std::process::Command;

use anyhow::Result;

use super::client::{Client, Program};
use crate::provision::{self, Dirs, Tool};

pub(crate) const CLIENT: Client = Client {
    name: "franz-go",
    about: "franz-go (Go): kgo, kadm, and kmsg for single requests",
    provision,
};

fn provision(dirs: &Dirs) -> Result<Tool<Program>> {
    if let Some(missing) = provision::missing(&["go"]) {
        return Ok(Tool::Absent(missing));
    }
    let binary = dirs.cache.join("go/cases");
    // go keeps its own cache and sees what changed; a build with nothing to do takes 0.2 s.
    if !binary.exists() {
        println!("  go: fetching modules and building ...");
    }
    peers::run(
        Command::new("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg(".")
            .current_dir(dirs.clients.join("go")),
        &dirs.cache.join("go/build.log"),
    )?;
    Ok(Tool::Ready(Program { path: binary, arguments: Vec::new(), environment: Vec::new() }))
}
