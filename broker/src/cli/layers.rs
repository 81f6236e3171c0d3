//! Values and their origins, before they mean anything.
use super::{
    Error,
    args::{Arguments, SHORTS},
    file::{self, Line},
    listener, variables,
};
use crate::config::{Defaults, catalogue};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

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
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
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
    /// What was passed over, or read otherwise than it was meant.
    pub warnings: Vec<String>,
}

impl Layers {
    /// Millrace's defaults, the file, the environment, the flags, the later over the earlier; all
    /// keys and values are known and accepted. What is not is returned besides, so that it can be
    /// said together with what else is wrong.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub(super) fn gather(
        arguments: &Arguments,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Vec<String>), Error> {
        let mut layers = Self::default();
        for (key, value) in super::resolve::OWN_DEFAULTS {
            layers.put(key, (*value).to_owned(), Origin::Millrace);
        }
        let mut problems = Vec::new();
        if let Some(path) = &arguments.config {
            let read = file::read(path)?;
            let warnings = read.warnings.into_iter();
            layers
                .warnings
                .extend(warnings.map(|warning| format!("{}: {warning}", path.display())));
            layers.take_file(path, read.lines, arguments.lenient, &mut problems);
        }
        let (variables, unknown) = variables::read(environment);
        problems.extend(unknown);
        for (key, value, name) in variables {
            layers.take(&key, value, Origin::Environment(name), &mut problems);
        }
        let shorts = || SHORTS.iter().filter_map(|short| Some((short, arguments.short(short)?)));
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
            layers.take(short.key, value, Origin::Flag(format!("--{}", short.name)), &mut problems);
        }
        Ok((layers, problems))
    }

    /// All lines of a file. What is unknown here is a problem; to the lenient, as to Kafka, a
    /// warning.
    fn take_file(
        &mut self,
        path: &Path,
        lines: Vec<Line>,
        lenient: bool,
        problems: &mut Vec<String>,
    ) {
        // Values of the keys by which Kafka was told its addresses before it had listeners.
        let mut old: BTreeMap<String, (String, Origin)> = BTreeMap::new();
        for Line { key, value, line } in lines {
            let path = path.to_owned();
            let origin = Origin::File { path, line };
            if !lenient || catalogue().broker(&key).is_some() {
                self.take(&key, value, origin, problems);
            } else if let Err(problem) = Defaults::check_given(&key, &value) {
                self.warnings.push(format!("{origin}: {problem}"));
                old.insert(key, (value, origin));
            }
        }
        for (listeners, host, port) in [
            ("listeners", "host.name", "port"),
            ("advertised.listeners", "advertised.host.name", "advertised.port"),
        ] {
            let (host, port) = (old.get(host), old.get(port));
            let Some((_, origin)) = port.or(host).filter(|_| !self.is_given(listeners)) else {
                continue;
            };
            let host = host.map_or("", |(host, _)| host);
            // Kafka advertised the port that it listened on.
            let own = || self.get("listeners").and_then(|own| own.rsplit_once(':'));
            let port = match port {
                Some((port, _)) => port.as_str(),
                None if listeners == "listeners" => "9092",
                None => own().map_or("9092", |(_, port)| port),
            };
            let value = format!("PLAINTEXT://{}:{port}", listener::bracketed(host));
            self.warnings.push(format!("{origin}: it is taken as {listeners}={value}"));
            self.take(listeners, value, origin.clone(), problems);
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
        self.origin(key).is_some_and(|origin| !matches!(origin, Origin::Millrace | Origin::Fitted))
    }

    /// Values without their origins.
    pub fn defaults(&self) -> Defaults {
        Defaults::new(
            self.values.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect(),
        )
    }
}
