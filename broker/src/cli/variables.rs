//! Environment variables that begin as ours do. One that nobody reads is a mistake of its writer,
//! and is said; what a container's orchestrator puts there by itself is not.
use super::args::SHORTS;
use crate::config::catalogue;
use std::ffi::OsString;

const PREFIX: &str = "MILLRACE_";
/// Any key in the environment: `MILLRACE_SET_LOG_RETENTION_MS`. Keys have dots and no underscores.
pub const SET_PREFIX: &str = "MILLRACE_SET_";
/// Read by the argument parser, and no key.
const OTHERS: [&str; 2] = ["MILLRACE_CONFIG", "MILLRACE_LENIENT"];
/// Of the tests of this repository, whose children inherit them.
const OF_TESTS: [&str; 4] =
    ["MILLRACE_SEED", "MILLRACE_SEEDS", "MILLRACE_DISK_SEEDS", "MILLRACE_FUZZ_"];

/// Keys given in the environment with their variables, in order; and what is wrong with others that
/// begin as ours.
pub fn read(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> (Vec<(String, String, String)>, Vec<String>) {
    let mut keys = Vec::new();
    let mut problems = Vec::new();
    let mut variables: Vec<(OsString, OsString)> =
        environment.filter(|(name, _)| name.to_string_lossy().starts_with(PREFIX)).collect();
    variables.sort_unstable();
    for (name, value) in variables {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            let name = name.to_string_lossy();
            problems.push(format!("environment {name}: it is not UTF-8"));
            continue;
        };
        if let Some(key) = name.strip_prefix(SET_PREFIX) {
            keys.push((key_of(key), value.to_owned(), name.to_owned()));
        } else if !is_known(name) && !is_of_a_service(name, value) {
            problems.push(unknown(name));
        }
    }
    (keys, problems)
}

fn key_of(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', ".")
}

fn known() -> impl Iterator<Item = &'static str> {
    SHORTS.iter().map(|short| short.environment).chain(OTHERS)
}

fn is_known(name: &str) -> bool {
    known().any(|known| known == name) || OF_TESTS.iter().any(|test| name.starts_with(test))
}

/// Kubernetes gives every container variables of every service; of one named `millrace`, or
/// `millrace-` and something, they begin as ours: `MILLRACE_SERVICE_HOST`,
/// `MILLRACE_SERVICE_PORT_KAFKA`, `MILLRACE_PORT=tcp://10.0.0.1:9092`,
/// `MILLRACE_PORT_9092_TCP_ADDR`.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let numbered = |rest: &str| {
        let mut parts = rest.split('_');
        let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
        number && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.match_indices("_PORT_").any(|(at, part)| numbered(&name[at + part.len()..]))
}

fn unknown(name: &str) -> String {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    let meant = if catalogue().broker(&key_of(rest)).is_some() {
        Some(format!("{SET_PREFIX}{rest}"))
    } else {
        let near = |known: &'static str| {
            let plain = known.strip_prefix(PREFIX).unwrap_or(known);
            (strsim::jaro_winkler(plain, rest), known)
        };
        known()
            .map(near)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(near, _)| *near > 0.85)
            .map(|(_, known)| known.to_owned())
    };
    match meant {
        Some(meant) => {
            format!("environment {name}: there is no such variable; did you mean {meant}?")
        }
        None => format!(
            "environment {name}: there is no such variable; a key of the configuration is given as {SET_PREFIX}<KEY>"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        read(variables).1
    }

    #[test]
    fn mistyped_ones_are_errors_with_a_suggestion() {
        for (wrong, meant) in [
            ("MILLRACE_DATAS", "MILLRACE_DATA?"),
            ("MILLRACE_LISTENER", "MILLRACE_LISTEN?"),
            ("MILLRACE_NUM_PARTITIONS", "MILLRACE_SET_NUM_PARTITIONS?"),
            ("MILLRACE_SINGLEPORT", "MILLRACE_SINGLE_PORT?"),
            ("MILLRACE_FOO", "MILLRACE_SET_<KEY>"),
        ] {
            let problems = problems(&[(wrong, "1")]);
            assert_eq!(problems.len(), 1, "{wrong}");
            assert!(problems[0].contains(meant), "{problems:?}");
        }
    }

    #[test]
    fn what_is_known_or_not_ours_is_none() {
        let fine = [
            ("MILLRACE_DATA", "/d"),
            ("MILLRACE_LENIENT", "true"),
            ("MILLRACE_SET_NUM_PARTITIONS", "3"),
            ("MILLRACE_SEEDS", "7..8"),
            ("MILLRACE_SERVICE_HOST", "10.0.0.1"),
            ("MILLRACE_SERVICE_PORT", "9092"),
            ("MILLRACE_SERVICE_PORT_KAFKA", "9092"),
            ("MILLRACE_PORT", "tcp://10.0.0.1:9092"),
            ("MILLRACE_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
            ("MILLRACE_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("MILLRACE_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("MILLRACE_ADMIN_PORT_9644_TCP_PROTO", "tcp"),
            ("MILLRACEX", "1"),
        ];
        assert_eq!(problems(&fine), [""; 0]);
        // A port that no orchestrator put there.
        assert_eq!(problems(&[("MILLRACE_PORT", "9092")]).len(), 1);
    }
}
