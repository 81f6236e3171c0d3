//! The command line: what to run, with which configuration, and where each value came from.
//!
//! Default < file < environment < flag. Every flag is a short name of a key, so there is one set of
//! keys: what is described to clients, what a file may hold, and what `millrace config` prints.
//!
//! * [`args`]     flags and environment.
//! * [`mod@file`] TOML, and Kafka's `server.properties`.
//! * [`layers`]   values with their origins.
//! * [`variables`] variables of the environment that begin as ours.
//! * [`listener`] `listeners` and `advertised.listeners`.
//! * [`resolve`]  settings of the server, its storage, its cores; what cannot work, and the cure.
//! * [`memory`]   how much memory this process may use; [`budget`] the bounds that fit in it.
//! * [`show`]     `millrace config`.
pub mod args;
pub mod budget;
pub mod file;
pub mod layers;
pub mod listener;
pub mod memory;
pub mod resolve;
pub mod show;
pub mod variables;

pub use resolve::Resolved;

use args::{Arguments, Command};
use layers::Layers;
use std::{ffi::OsString, fmt};

/// What the process is to do.
#[derive(Debug)]
pub enum Action {
    Run(Box<Resolved>),
    /// Text for the operator, and nothing to run.
    Print(String),
}

/// All that is wrong with a configuration, each with its cure.
#[derive(Debug)]
pub struct Error(pub Vec<String>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => {
                write!(f, "{} problems with the configuration:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

/// Reads the process's arguments, environment and file. Wrong arguments, `--help` and `--version`
/// end the process here.
pub fn read() -> Result<Action, Error> {
    match Arguments::read(std::env::args_os()) {
        Ok(arguments) => decide(&arguments, std::env::vars_os()),
        Err(error) => error.exit(),
    }
}

fn decide(
    arguments: &Arguments,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Action, Error> {
    let (layers, problems) = Layers::gather(arguments, environment)?;
    match arguments.command {
        None => Ok(Action::Run(Box::new(resolve::resolve(layers, problems)?))),
        Some(Command::Config { all }) => {
            // What would stop a start is said here too.
            match resolve::resolve(layers.clone(), problems) {
                Ok(resolved) => {
                    let mut layers = layers;
                    for key in resolved.budget.fitted_keys() {
                        layers.fit(key, resolved.budget.value(key).to_string());
                    }
                    let mut text = show::config(&layers, all);
                    for warning in resolved.warnings {
                        text.push_str(&format!("# {warning}\n"));
                    }
                    Ok(Action::Print(text))
                }
                Err(mut error) => {
                    let text = show::config(&layers, all);
                    error
                        .0
                        .insert(0, format!("this configuration cannot be started with:\n{text}"));
                    Err(error)
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
