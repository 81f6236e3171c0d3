//! Values and their origins, before they mean anything.
use super::{
    Error,
    args::{Arguments, SHORTS},
    file,
};
use crate::config::Defaults;
use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf};

/// Where a value was given. The later in this list wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Millrace's own default where Kafka's would not do.
    Millrace,
    /// A default, made smaller for the memory that there is.
    Fitted,
    File {
        path: PathBuf,
        line: Option<usize>,
    },
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Millrace => f.write_str("default of Millrace"),
            Self::Fitted => f.write_str("default, fitted to the memory limit"),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What was given for every key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    values: BTreeMap<String, (String, Origin)>,
}

/// Any key in the environment: `MILLRACE_SET_LOG_RETENTION_MS`. Keys have dots and no underscores.
const SET_PREFIX: &str = "MILLRACE_SET_";

impl Layers {
    /// Millrace's defaults, the file, the environment, the flags, the later over the earlier; all keys and values are known
    /// and accepted.
    pub(super) fn gather(
        arguments: &Arguments,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let mut layers = Self::default();
        for (key, value) in super::resolve::OWN_DEFAULTS {
            layers.put(key, (*value).to_owned(), Origin::Millrace);
        }
        let mut problems = Vec::new();
        if let Some(path) = &arguments.config {
            for line in file::read(path)? {
                let origin = Origin::File {
                    path: path.clone(),
                    line: line.line,
                };
                layers.take(&line.key, line.value, origin, &mut problems);
            }
        }
        let mut variables: Vec<(String, String)> = environment
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(SET_PREFIX))
            .collect();
        variables.sort_unstable();
        for (name, value) in variables {
            let key = name[SET_PREFIX.len()..]
                .to_ascii_lowercase()
                .replace('_', ".");
            layers.take(&key, value, Origin::Environment(name), &mut problems);
        }
        let shorts = || {
            SHORTS
                .iter()
                .filter_map(|short| Some((short, arguments.short(short)?)))
        };
        for (short, (value, _)) in shorts().filter(|(_, (_, flag))| !flag) {
            layers.take(
                short.key,
                value,
                Origin::Environment(short.environment.to_owned()),
                &mut problems,
            );
        }
        for set in arguments.sets() {
            match set.split_once('=') {
                Some((key, value)) => layers.take(
                    key.trim(),
                    value.to_owned(),
                    Origin::Flag("--set".into()),
                    &mut problems,
                ),
                None => problems.push(format!(
                    "--set {set}: KEY=VALUE is wanted, such as --set num.partitions=3"
                )),
            }
        }
        for (short, (value, _)) in shorts().filter(|(_, (_, flag))| *flag) {
            layers.take(
                short.key,
                value,
                Origin::Flag(format!("--{}", short.name)),
                &mut problems,
            );
        }
        if problems.is_empty() {
            Ok(layers)
        } else {
            Err(Error(problems))
        }
    }

    fn take(&mut self, key: &str, value: String, origin: Origin, problems: &mut Vec<String>) {
        match Defaults::check_given(key, &value) {
            Ok(()) => self.put(key, value, origin),
            Err(problem) => problems.push(format!("{origin}: {problem}")),
        }
    }

    fn put(&mut self, key: &str, value: String, origin: Origin) {
        self.values.insert(key.to_owned(), (value, origin));
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(value, _)| value.as_str())
    }

    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.values.get(key).map(|(_, origin)| origin)
    }

    /// Every key that was given, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Sets what was worked out, so that it is described to clients as it is.
    pub(super) fn settle(&mut self, key: &str, value: String) {
        let origin = self.origin(key).cloned().unwrap_or(Origin::Millrace);
        self.put(key, value, origin);
    }

    /// Sets a default that was fitted to what there is.
    pub(super) fn fit(&mut self, key: &str, value: String) {
        self.put(key, value, Origin::Fitted);
    }

    /// Whether somebody chose a value.
    pub fn is_given(&self, key: &str) -> bool {
        self.origin(key)
            .is_some_and(|origin| !matches!(origin, Origin::Millrace | Origin::Fitted))
    }

    /// Values without their origins.
    pub fn defaults(&self) -> Defaults {
        Defaults::new(
            self.values
                .iter()
                .map(|(key, (value, _))| (key.clone(), value.clone()))
                .collect(),
        )
    }
}
