//! The memory that all bounds allow, beside the memory that there is.
//!
//! Every table and buffer of a core has a bound. Their sum, over all cores, is what the process may
//! come to use; where a limit is smaller, the kernel kills it under a load that the bounds allow.
//! So defaults are fitted to the limit: what a busy broker lives from (the write-ahead log,
//! requests, the cache) shrinks with the room, tables that few hosts fill (producers, groups) with
//! its square. What was given is taken as it is, and is an error if it cannot fit.
use super::memory::{Limit, show};
use std::{collections::BTreeMap, fmt::Write};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What the process takes without any load: code, the threads' stacks, the control thread, logging.
const PROCESS_BYTES: u64 = 48 * MIB;
/// What a core takes without any load: ring, receive buffers, spare large ones, the open group and
/// the free chunk of the write-ahead log, its own image of the metadata's first records.
const CORE_BYTES: u64 = 24 * MIB;
/// Of a limit, what the bounds may reach: the rest is for the allocator's gaps and the kernel's own
/// memory (sockets, pages of files being written).
const USABLE: (u64, u64) = (7, 8);
/// How finely defaults are fitted.
const STEPS: u64 = 1024;

/// A bound and what it costs.
struct Item {
    /// The key, or the name of a bound that has none.
    key: &'static str,
    /// In the lines of the start.
    name: &'static str,
    default: u64,
    least: u64,
    /// Memory of each one, in bytes.
    each: u64,
    /// Once a host instead of once a core.
    host: bool,
    /// Filled by few hosts.
    table: bool,
    /// Every `server.properties` that comes with Kafka gives it, at its default.
    in_every_file: bool,
}

const fn buffer(
    key: &'static str,
    name: &'static str,
    default: u64,
    least: u64,
    each: u64,
) -> Item {
    Item { key, name, default, least, each, host: false, table: false, in_every_file: false }
}

const fn table(key: &'static str, name: &'static str, default: u64, least: u64, each: u64) -> Item {
    Item { table: true, ..buffer(key, name, default, least, each) }
}

pub const REQUESTS: &str = "millrace.request.memory.bytes";
pub const FRAME: &str = "socket.request.max.bytes";
pub const UNFLUSHED: &str = "millrace.unflushed.bytes.max";
pub const CACHE: &str = "millrace.cache.bytes";
pub const FETCH: &str = "fetch.max.bytes";
pub const DECOMPRESSED: &str = "max.decompressed.message.bytes";
pub const HELD: &str = "cache held by answers";
pub const ANSWERS: &str = "answers not taken";
pub const COLD: &str = "reads from files";
pub const AHEAD: &str = "read ahead";
const GROUPS: &str = "millrace.group.memory.bytes";
const PRODUCERS: &str = "millrace.producer.ids.max";
const CONNECTIONS: &str = "max.connections";
const SESSIONS: &str = "max.incremental.fetch.session.cache.slots";
const PARTITIONS: &str = "millrace.partitions.max";

const ITEMS: &[Item] = &[
    buffer(REQUESTS, "requests", 256 * MIB, 12 * MIB, 1),
    // One larger than what is left is let in alone.
    Item { in_every_file: true, ..buffer(FRAME, "one request", 100 * MIB, 8 * MIB, 1) },
    buffer(UNFLUSHED, "write-ahead log", 256 * MIB, 16 * MIB, 1),
    // Answers under way hold as much again before they become copies.
    buffer(CACHE, "cache", 64 * MIB, 4 * MIB, 2),
    buffer(HELD, "cache held", 64 * MIB, 8 * MIB, 1),
    buffer(ANSWERS, "answers", 128 * MIB, 8 * MIB, 1),
    buffer(FETCH, "one answer", 55 * MIB, 8 * MIB, 1),
    buffer(COLD, "reads of files", 64 * MIB, 8 * MIB, 1),
    buffer(AHEAD, "read ahead", 32 * MIB, 2 * MIB, 1),
    buffer(DECOMPRESSED, "decompressed", 64 * MIB, 8 * MIB, 1),
    table(GROUPS, "groups", 256 * MIB, 4 * MIB, 1),
    // In the log, in what its files know, and in the snapshots of both.
    table(PRODUCERS, "producers", 1_000_000, 5_000, 600),
    buffer(CONNECTIONS, "connections", 10_000, 200, 8 * KIB),
    buffer(SESSIONS, "fetch sessions", 1_000, 100, 16 * KIB),
    Item { host: true, ..buffer(PARTITIONS, "partitions", 100_000, 1_000, 2 * KIB) },
];

/// Bounds that fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All bounds together, as far as they are known.
    pub bytes: u64,
    /// The limit that they were fitted to.
    pub limit: Option<Limit>,
    /// What each bound is, by key or name.
    values: BTreeMap<&'static str, u64>,
    /// Defaults that are smaller than they would be with more memory.
    pub fitted: Vec<&'static str>,
    cores: u16,
}

impl Budget {
    /// Fitted defaults that are keys of the configuration.
    pub fn fitted_keys(&self) -> impl Iterator<Item = &'static str> {
        let fitted = self.fitted.iter().copied();
        fitted.filter(|name| ![HELD, ANSWERS, COLD, AHEAD].contains(name))
    }

    pub fn value(&self, key: &'static str) -> u64 {
        let value = self.values.get(key);
        *value.unwrap_or_else(|| panic!("{key} is no bound of memory"))
    }

    /// One line: the sum, the limit, and the largest parts of it.
    pub fn describe(&self) -> String {
        let mut parts: Vec<(u64, &str)> = ITEMS
            .iter()
            .filter(|item| !item.host)
            .map(|item| (self.value(item.key).saturating_mul(item.each), item.name))
            .filter(|(bytes, _)| *bytes >= 12 * MIB)
            .collect();
        parts.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut text = format!("at most {}", show(self.bytes));
        if let Some(limit) = &self.limit {
            let _ = write!(text, " of {limit}");
        }
        let cores = if self.cores == 1 { "" } else { "a core: " };
        let parts: Vec<String> = parts
            .into_iter()
            .take(SHOWN_MAX)
            .map(|(bytes, name)| format!("{name} {}", show(bytes)))
            .collect();
        let _ = write!(text, "; {cores}{}", parts.join(", "));
        text
    }
}

/// Parts of the budget in the lines of the start.
const SHOWN_MAX: usize = 6;

/// Bounds for `cores` cores within `limit`. `given` are values that somebody chose, by key.
///
/// # Errors
/// What is missing, with the least that works.
pub fn budget(
    limit: Option<Limit>,
    cores: u16,
    given: &BTreeMap<&str, u64>,
) -> Result<Budget, String> {
    let chosen = |item: &Item| {
        let value = given.get(item.key).copied();
        value.filter(|value| !(item.in_every_file && *value == item.default))
    };
    let value = |item: &Item, step: u64| {
        let scaled = |value: u64| u128::from(value) * u128::from(step) / u128::from(STEPS);
        let fitted = match item.table {
            true => scaled(u64::try_from(scaled(item.default)).unwrap_or(u64::MAX)),
            false => scaled(item.default),
        };
        let least = item.least.max(least_of(item.key, given));
        chosen(item).unwrap_or_else(|| u64::try_from(fitted).unwrap_or(u64::MAX).max(least))
    };
    let frame = |step: u64| {
        let items = ITEMS.iter().filter(|item| item.key == FRAME);
        items.map(|item| value(item, step)).sum::<u64>()
    };
    let sum = |step: u64, cores: u16| {
        let items = ITEMS.iter().map(|item| {
            let times = if item.host { 1 } else { u64::from(cores) };
            let value = match item.key {
                // It is never less than one request.
                REQUESTS => value(item, step).max(frame(step)),
                _ => value(item, step),
            };
            value.saturating_mul(item.each).saturating_mul(times)
        });
        items.fold(PROCESS_BYTES + CORE_BYTES * u64::from(cores), u64::saturating_add)
    };
    let usable = limit.as_ref().map_or(u64::MAX, |limit| limit.bytes / USABLE.1 * USABLE.0);
    if let Some(limit) = limit.as_ref().filter(|_| sum(0, cores) > usable) {
        return Err(too_small(limit, cores, &|cores| sum(0, cores), &chosen));
    }
    // The largest step that fits.
    let (mut fits, mut exceeds) = (0, STEPS + 1);
    while exceeds - fits > 1 {
        let middle = fits.midpoint(exceeds);
        if sum(middle, cores) <= usable {
            fits = middle;
        } else {
            exceeds = middle;
        }
    }
    let is_fitted = |item: &&Item| chosen(item).is_none() && value(item, fits) < item.default;
    Ok(Budget {
        bytes: sum(fits, cores),
        limit,
        values: ITEMS.iter().map(|i| (i.key, value(i, fits))).collect(),
        fitted: ITEMS.iter().filter(is_fitted).map(|item| item.key).collect(),
        cores,
    })
}

/// Keys whose values say how much memory is used.
pub fn keys() -> impl Iterator<Item = &'static str> {
    let items = ITEMS.iter().map(|item| item.key);
    items.filter(|name| ![HELD, ANSWERS, COLD, AHEAD].contains(name)).chain(["message.max.bytes"])
}

/// What other values that were given need of this one.
fn least_of(key: &str, given: &BTreeMap<&str, u64>) -> u64 {
    match key {
        // A request of one batch of the largest size.
        FRAME => given.get("message.max.bytes").map_or(0, |bytes| bytes.saturating_add(MIB)),
        _ => 0,
    }
}

fn count(cores: u16) -> String {
    let s = if cores == 1 { "" } else { "s" };
    format!("the bounds of {cores} core{s}")
}

fn too_small(
    limit: &Limit,
    cores: u16,
    least: &dyn Fn(u16) -> u64,
    chosen: &dyn Fn(&Item) -> Option<u64>,
) -> String {
    let needed =
        |cores: u16| show((least(cores) / USABLE.0).saturating_mul(USABLE.1).saturating_add(MIB));
    let mut text = format!(
        "the memory limit of {limit} is too small: {} need {}",
        count(cores),
        needed(cores)
    );
    if cores > 1 {
        let _ = write!(text, ", 1 core (--cores 1) {}", needed(1));
    }
    let given: Vec<String> = ITEMS
        .iter()
        .filter_map(|item| Some((item, chosen(item)?)))
        .filter(|(item, value)| *value > item.least)
        .map(|(item, value)| {
            let bytes = show(value.saturating_mul(item.each));
            let per = if item.host { "" } else { " a core" };
            format!("{}={value} ({bytes}{per})", item.key)
        })
        .collect();
    if given.is_empty() {
        text.push_str("; raise it");
    } else {
        let _ = write!(text, "; raise it, or lower what was given: {}", given.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(mib: u64) -> Option<Limit> {
        Some(Limit { bytes: mib * MIB, source: "a test".into() })
    }

    fn fit(mib: u64, cores: u16, given: &[(&'static str, u64)]) -> Result<Budget, String> {
        budget(limit(mib), cores, &given.iter().copied().collect())
    }

    #[test]
    fn with_room_nothing_changes() {
        for budget in [fit(64 << 10, 2, &[]), budget(None, 2, &BTreeMap::new())] {
            let budget = budget.unwrap();
            assert_eq!(budget.fitted, [""; 0]);
            for item in ITEMS {
                assert_eq!(budget.value(item.key), item.default, "{}", item.key);
            }
        }
    }

    #[test]
    fn a_table_of_limits() {
        // MiB, cores, write-ahead log and requests of a core in MiB, producers of a core.
        let rows = [
            (512, 1, 59, 59, 53_115),
            (512, 2, 30, 30, 14_428),
            (1_024, 2, 65, 65, 65_964),
            (2_048, 2, 124, 124, 236_514),
            (4_096, 2, 218, 218, 726_822),
            (8_192, 8, 131, 131, 261_855),
        ];
        let found = rows.map(|(mib, cores, ..)| {
            let budget = fit(mib, cores, &[]).unwrap();
            assert!(budget.bytes <= mib * MIB / 8 * 7, "{mib}");
            // A step more would not fit: nothing is left lying about.
            assert!(budget.bytes >= mib * MIB / 8 * 7 - mib * MIB / 50, "{mib}");
            let (log, requests) = (budget.value(UNFLUSHED), budget.value(REQUESTS));
            let producers = budget.value(PRODUCERS);
            (mib, cores, log / MIB, requests / MIB, producers)
        });
        assert_eq!(found, rows);
    }

    #[test]
    fn what_is_given_stays_and_the_rest_makes_room() {
        let free = fit(1_024, 2, &[]).unwrap();
        let given = fit(1_024, 2, &[(CACHE, 100 * MIB)]).unwrap();
        assert_eq!(given.value(CACHE), 100 * MIB);
        assert!(!given.fitted.contains(&CACHE) && given.fitted.contains(&UNFLUSHED));
        assert!(given.value(UNFLUSHED) < free.value(UNFLUSHED));
        // Kafka's own file gives this one at its default, and nobody chose it.
        let stock = fit(1_024, 2, &[(FRAME, 100 * MIB)]).unwrap();
        assert_eq!(stock, free);
        let large = fit(1_024, 2, &[("message.max.bytes", 40 * MIB)]).unwrap();
        assert_eq!(large.value(FRAME), 41 * MIB);
    }

    #[test]
    fn what_cannot_fit_is_an_error_with_the_least_that_works() {
        let error = fit(128, 2, &[]).unwrap_err();
        assert!(error.contains("128 MiB (a test) is too small"), "{error}");
        assert!(error.contains("the bounds of 2 cores need"), "{error}");
        // The numbers that it names do work, and one MiB less does not.
        for cores in [1, 2, 16] {
            let error = fit(64, cores, &[]).unwrap_err();
            let named = error.split(" need ").nth(1).unwrap();
            let named: u64 = named.split(' ').next().unwrap().parse().unwrap();
            fit(named, cores, &[]).unwrap();
            assert!(fit(named - 2, cores, &[]).is_err(), "{error}");
        }
        let error = fit(512, 2, &[(CACHE, 200 * MIB), (REQUESTS, MIB)]).unwrap_err();
        assert!(error.contains("millrace.cache.bytes=209715200 (400 MiB a core)"), "{error}");
        assert!(!error.contains(REQUESTS), "{error}");
    }

    #[test]
    fn it_is_described() {
        let text = fit(512, 2, &[]).unwrap().describe();
        assert!(text.contains(" of 512 MiB (a test); a core: "), "{text}");
        assert!(text.contains("write-ahead log"), "{text}");
    }

    proptest! {
        #[test]
        fn what_fits_is_within_the_limit_and_more_memory_gives_no_less(
            mib in 1u64..100_000,
            cores in 1u16..257,
            cache in proptest::option::of(0..u64::MAX),
        ) {
            let given: BTreeMap<&str, u64> = cache.map(|value| (CACHE, value)).into_iter().collect();
            if let Ok(less) = budget(limit(mib), cores, &given) {
                prop_assert!(less.bytes <= mib * MIB);
                let more = budget(limit(mib * 2), cores, &given).unwrap();
                for item in ITEMS {
                    prop_assert!(less.value(item.key) <= more.value(item.key));
                    prop_assert!(less.value(item.key) >= item.least.min(given.get(item.key).copied().unwrap_or(item.least)));
                }
            }
        }
    }
}
