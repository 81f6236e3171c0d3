//! confluent-kafka, kafka-python, aiokafka: wheels from PyPI in a virtual environment.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::client::{Client, Program};
use crate::provision::{self, Dirs, Tool};

pub(crate) const CONFLUENT: Client = Client {
    name: "confluent-kafka",
    about: "confluent-kafka (Python on a current librdkafka)",
    provision: |dirs| provision(dirs, "confluent.py"),
};

pub(crate) const KAFKA_PYTHON: Client = Client {
    name: "kafka-python",
    about: "kafka-python (pure Python)",
    provision: |dirs| provision(dirs, "kafka_python.py"),
};

pub(crate) const AIOKAFKA: Client = Client {
    name: "aiokafka",
    about: "aiokafka (Python, asyncio)",
    provision: |dirs| provision(dirs, "aio.py"),
};

fn provision(dirs: &Dirs, program: &str) -> Result<Tool<Program>> {
    let python = match interpreter(dirs)? {
        Tool::Ready(python) => python,
        Tool::Absent(why) => return Ok(Tool::Absent(why)),
    };
    let program = dirs.clients.join("python").join(program);
    Ok(Tool::Ready(Program {
        path: python,
        arguments: vec![program.display().to_string()],
        environment: vec![("PYTHONDONTWRITEBYTECODE", "1".to_owned())],
    }))
}

/// The Python of a virtual environment that has the wheels.
pub(crate) fn interpreter(dirs: &Dirs) -> Result<Tool<PathBuf>> {
    if let Some(missing) = provision::missing(&["python3"]) {
        return Ok(Tool::Absent(missing));
    }
    let cache = dirs.cache.join("python");
    let venv = cache.join("venv");
    let python = venv.join("bin/python");
    let requirements = dirs.clients.join("python/requirements.txt");
    let stamp = cache.join("venv.stamp");
    let log = cache.join("pip.log");
    provision::once(&stamp, &[&requirements], "python: virtual environment and wheels", || {
        if venv.exists() {
            fs::remove_dir_all(&venv)?;
        }
        peers::run(Command::new("python3").args(["-m", "venv"]).arg(&venv), &log)?;
        peers::run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--disable-pip-version-check", "-q", "-r"])
                .arg(&requirements),
            &log,
        )
    })?;
    Ok(Tool::Ready(python))
}
