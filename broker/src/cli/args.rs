//! Flags. Each may also be given in the environment, as `MILLRACE_` and its name.
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use std::{ffi::OsString, path::PathBuf};

/// An Apache Kafka broker on io_uring, one thread per core: an ack means "on the device".
///
/// Without arguments it starts: data in ./millrace-data, listening on 127.0.0.1:9092 and the ports
/// after it, one per core.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, args_conflicts_with_subcommands = false)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// TOML file with Kafka's broker keys, or Kafka's own server.properties
    #[arg(long, global = true, value_name = "FILE", env = "MILLRACE_CONFIG")]
    pub config: Option<PathBuf>,

    /// Data directory [default: ./millrace-data] (log.dirs)
    #[arg(long, global = true, value_name = "DIR", env = "MILLRACE_DATA")]
    data: Option<String>,

    /// Where core 0 listens; core c listens on PORT + c [default: 127.0.0.1:9092] (listeners)
    #[arg(long, global = true, value_name = "ADDRESS:PORT", env = "MILLRACE_LISTEN")]
    listen: Option<String>,

    /// What clients are told to connect to; PORT + c for core c (advertised.listeners)
    #[arg(long, global = true, value_name = "HOST:PORT", env = "MILLRACE_ADVERTISE")]
    advertise: Option<String>,

    /// Number of cores [default: all CPUs of this process] (millrace.cores)
    #[arg(long, global = true, value_name = "N", env = "MILLRACE_CORES")]
    cores: Option<String>,

    /// CPUs to pin the cores to, such as 2-5,8 (millrace.cpus)
    #[arg(long, global = true, value_name = "LIST", env = "MILLRACE_CPUS")]
    cpus: Option<String>,

    /// One port and one broker id for all cores: for containers and NAT (millrace.single.port)
    #[arg(long, global = true, env = "MILLRACE_SINGLE_PORT")]
    single_port: bool,

    /// Health and metrics over HTTP [default: 127.0.0.1:9644] (millrace.admin.listen)
    #[arg(long, global = true, value_name = "ADDRESS:PORT", env = "MILLRACE_ADMIN")]
    admin: Option<String>,

    /// Id of this host; clients see N * 1000 + core [default: 1] (node.id)
    #[arg(long, global = true, value_name = "N", env = "MILLRACE_NODE_ID")]
    node_id: Option<String>,

    /// Listen in plain text beyond loopback: everybody who reaches the port may read and write
    /// (millrace.insecure)
    #[arg(long, global = true, env = "MILLRACE_INSECURE")]
    insecure: bool,

    /// Start with a warning for each key of the file that is unknown here, as Kafka does; old names
    /// of addresses are taken
    #[arg(long, global = true, env = "MILLRACE_LENIENT")]
    pub lenient: bool,

    /// Any broker key of Kafka or Millrace; in the environment: MILLRACE_SET_NUM_PARTITIONS=3
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,

    #[arg(skip)]
    from_flags: Vec<&'static str>,
}

#[derive(Clone, Debug, Subcommand, PartialEq, Eq)]
pub enum Command {
    /// Prints the configuration in force and where each value came from
    Config {
        /// Every key, also those at their default
        #[arg(long)]
        all: bool,
    },
}

/// A flag, and the key that it sets.
#[derive(Clone, Copy, Debug)]
pub struct Short {
    /// Name of the flag, and in a TOML file.
    pub name: &'static str,
    /// Name of the argument inside this program.
    id: &'static str,
    pub environment: &'static str,
    pub key: &'static str,
    /// What goes before the value.
    prefix: &'static str,
}

const fn short(
    name: &'static str,
    id: &'static str,
    environment: &'static str,
    key: &'static str,
    prefix: &'static str,
) -> Short {
    Short { name, id, environment, key, prefix }
}

/// Every flag that is a key.
pub const SHORTS: &[Short] = &[
    short("data", "data", "MILLRACE_DATA", "log.dirs", ""),
    short("listen", "listen", "MILLRACE_LISTEN", "listeners", "PLAINTEXT://"),
    short("advertise", "advertise", "MILLRACE_ADVERTISE", "advertised.listeners", "PLAINTEXT://"),
    short("cores", "cores", "MILLRACE_CORES", "millrace.cores", ""),
    short("cpus", "cpus", "MILLRACE_CPUS", "millrace.cpus", ""),
    short("single-port", "single_port", "MILLRACE_SINGLE_PORT", "millrace.single.port", ""),
    short("admin", "admin", "MILLRACE_ADMIN", "millrace.admin.listen", ""),
    short("node-id", "node_id", "MILLRACE_NODE_ID", "node.id", ""),
    short("insecure", "insecure", "MILLRACE_INSECURE", "millrace.insecure", ""),
];

impl Short {
    pub fn value(&self, text: &str) -> String {
        format!("{}{text}", self.prefix)
    }
}

impl Arguments {
    /// Reads arguments; the error prints itself.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut read = Self::from_arg_matches(&matches)?;
        let given = |short: &&Short| source(&matches, short.id) == Some(ValueSource::CommandLine);
        read.from_flags = SHORTS.iter().filter(given).map(|s| s.name).collect();
        Ok(read)
    }

    /// What the command line or the environment gave for a flag, and whether it was the command
    /// line.
    pub fn short(&self, short: &Short) -> Option<(String, bool)> {
        let switch = |on: bool| on.then(|| "true".to_owned());
        let text = match short.name {
            "data" => self.data.clone(),
            "listen" => self.listen.clone(),
            "advertise" => self.advertise.clone(),
            "cores" => self.cores.clone(),
            "cpus" => self.cpus.clone(),
            "single-port" => switch(self.single_port),
            "admin" => self.admin.clone(),
            "node-id" => self.node_id.clone(),
            "insecure" => switch(self.insecure),
            other => panic!("no flag {other}"),
        };
        text.map(|text| (short.value(&text), self.from_flags.contains(&short.name)))
    }

    /// `--set KEY=VALUE`, in order.
    pub fn sets(&self) -> impl Iterator<Item = &str> {
        self.set.iter().map(String::as_str)
    }
}

/// Where an argument came from; a global one is known to the subcommand when it stands behind it.
fn source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    let inner = matches.subcommand().and_then(|(_, inner)| inner.value_source(id));
    match (inner, matches.value_source(id)) {
        (Some(ValueSource::CommandLine), _) | (_, Some(ValueSource::CommandLine)) => {
            Some(ValueSource::CommandLine)
        }
        (inner, outer) => inner.or(outer),
    }
}
