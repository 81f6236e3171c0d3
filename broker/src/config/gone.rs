//! Keys that Kafka no longer has, or that belong to what Millrace has not, each with what to do
//! about it. A file of the ZooKeeper era is full of them.
use super::catalogue::lines;
use std::sync::LazyLock;

/// One key, or all that begin with it.
#[derive(Debug)]
struct Gone {
    name: &'static str,
    prefix: bool,
    /// The last Kafka that knew it; `None` for other reasons.
    last: Option<&'static str>,
    cure: &'static str,
}

static GONE: LazyLock<Vec<Gone>> = LazyLock::new(|| {
    let read = |line: &'static str| {
        let (name, rest) = line.split_once(' ')?;
        let (last, cure) = rest.trim_start().split_once(' ')?;
        let (name, prefix) = match name.strip_suffix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        Some(Gone {
            name,
            prefix,
            last: Some(last).filter(|last| *last != "-"),
            cure: cure.trim_start(),
        })
    };
    lines(include_str!("tables/gone.table"))
        .map(|line| read(line).unwrap_or_else(|| panic!("a line of a configuration table: {line}")))
        .collect()
});

/// What to do about a key; `None` for one that never was.
pub fn cure(name: &str) -> Option<String> {
    let fits = |gone: &&Gone| match gone.prefix {
        true => name.starts_with(gone.name),
        false => name == gone.name,
    };
    let gone = GONE.iter().find(fits)?;
    Some(match gone.last {
        Some(last) => format!("{name} went with Kafka {}: {}", after(last), gone.cure),
        None => format!("{name}: {}", gone.cure),
    })
}

/// The Kafka that came after one, as far as keys went with it.
fn after(last: &str) -> &str {
    match last {
        "0.8" => "0.9",
        "2.8" => "3.0",
        "3.4" => "3.5",
        "3.7" => "3.8",
        "3.9" => "4.0",
        last => panic!("what came after Kafka {last}?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::catalogue::catalogue;

    #[test]
    fn every_line_has_a_cure_and_is_of_a_key_that_nobody_knows() {
        for gone in GONE.iter() {
            let name = match gone.prefix {
                true => format!("{}x.y", gone.name),
                false => gone.name.to_owned(),
            };
            let known = catalogue().broker(&name).filter(|key| key.name == name);
            assert!(known.is_none(), "{name} is a key of Kafka 4.3");
            let cure = cure(&name).unwrap();
            assert!(cure.starts_with(&name) && cure.len() > name.len() + 20, "{cure}");
        }
    }

    #[test]
    fn keys_of_the_zookeeper_era() {
        let cured = [
            ("zookeeper.connect", "no ZooKeeper"),
            ("zookeeper.ssl.truststore.password", "no ZooKeeper"),
            ("port", "--listen ADDRESS:PORT"),
            ("advertised.host.name", "Kafka 3.0: it is advertised.listeners"),
            ("log.message.format.version", "Kafka 4.0: every batch"),
            ("inter.broker.protocol.version", "Kafka 4.0"),
            ("super.users", "no authorizer"),
            ("authorizer.zookeeper.url", "no ZooKeeper and no authorizer"),
        ];
        for (name, part) in cured {
            let said = cure(name).unwrap();
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(cure("num.partitions"), None);
        assert_eq!(cure("ports"), None);
    }
}
