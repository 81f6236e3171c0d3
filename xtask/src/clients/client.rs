//! What a client is to the harness: a name, and a program that can be run once it is provisioned.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{go, java, kcat, node, python, rust};
use crate::provision::{Dirs, Tool};

/// One column of the table.
#[derive(Debug)]
pub(crate) struct Client {
    /// As in `--only`, the table's head and the names of logs.
    pub(crate) name: &'static str,
    /// What it stands for, for the document.
    pub(crate) about: &'static str,
    pub(crate) provision: fn(&Dirs) -> Result<Tool<Program>>,
}

/// All clients, in the order in which they run and are shown.
pub(crate) const CLIENTS: [&Client; 9] = [
    &java::CLIENT,
    &kcat::CLIENT,
    &python::CONFLUENT,
    &rust::CLIENT,
    &go::CLIENT,
    &python::KAFKA_PYTHON,
    &python::AIOKAFKA,
    &node::KAFKAJS,
    &node::PLATFORMATIC,
];

/// A program to start: no shell, no terminal, told by environment.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// The broker and the choice of cases that a program is told of.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) bootstrap: String,
    /// `kafka` or `millrace`: for the few cases whose right answer differs.
    pub(crate) peer: &'static str,
    /// Comma-separated parts of case names; empty means all.
    pub(crate) case: String,
    pub(crate) jobs: u16,
}

impl Target {
    /// Whether `--case` asks for this case; the client programs choose in the same way.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.case.split(',').any(|part| case.contains(part))
    }
}

impl Program {
    pub(crate) fn command(&self, target: &Target, scratch: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env("CLIENT_BOOTSTRAP", &target.bootstrap)
            .env("CLIENT_PEER", target.peer)
            .env("CLIENT_CASE", &target.case)
            .env("CLIENT_JOBS", target.jobs.to_string())
            .env("CLIENT_TMP", scratch);
        command
    }
}
