//! What the broker holds in the end, against what went in and what was acknowledged.
//!
//! What must hold, partition by partition from its beginning:
//!
//! 1. offsets 0, 1, 2, ... without a hole, up to the end that the broker names;
//! 2. each record is an event of the input: same key, time stamp, sum and value;
//! 3. a key lies in one partition, its sequence numbers are 0, 1, 2, ... to its last: nothing is
//!    missing, doubled or moved;
//! 4. each event was acknowledged once, with the partition and offset where it lies;
//! 5. the first offset at or after a time is what a look-up by that time has answered.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};

use super::faults::Faults;
use super::input::{Event, Input};
use super::worker::Partition;

/// What lies at an offset. None: a hole, or an event that nobody sent.
type Place<'a> = Option<(&'a str, u32, i64)>;

/// Topic and key.
type Name<'a> = (&'a str, &'a str);

#[derive(Debug)]
struct Key {
    partition: i32,
    /// The next sequence number that is due.
    next: u32,
    acknowledged: Vec<bool>,
}

#[derive(Debug)]
pub(super) struct Contents<'a> {
    input: &'a Input,
    /// By offset: key, sequence number, time stamp.
    partitions: BTreeMap<Partition, Vec<Place<'a>>>,
    keys: HashMap<Name<'a>, Key>,
    /// Acknowledgements without an offset: a retry that the broker knew, but not where it lies.
    pub(super) without_offset: u64,
}

/// A record as the last reader printed it.
#[derive(Debug, Clone, Copy)]
struct Record<'r> {
    topic: &'r str,
    partition: i32,
    offset: i64,
    time_ms: i64,
    key: &'r str,
    seq: u32,
    sum: &'r str,
    value: &'r str,
}

impl<'r> Record<'r> {
    /// Topic, partition, offset, time stamp, key, sequence number, sum, value.
    fn parse(line: &'r str) -> Option<Self> {
        let mut fields = line.splitn(8, '\t');
        Some(Self {
            topic: fields.next()?,
            partition: fields.next()?.parse().ok()?,
            offset: fields.next()?.parse().ok()?,
            time_ms: fields.next()?.parse().ok()?,
            key: fields.next()?,
            seq: fields.next()?.parse().ok()?,
            sum: fields.next()?,
            value: fields.next()?,
        })
    }
}

impl<'a> Contents<'a> {
    pub(super) fn new(input: &'a Input) -> Self {
        Self { input, partitions: BTreeMap::new(), keys: HashMap::new(), without_offset: 0 }
    }

    /// Partitions that hold something, with the offset after their last record.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&Partition, i64)> {
        self.partitions.iter().map(|(partition, places)| (partition, end(places)))
    }

    /// Key and sequence number of what lies there.
    pub(super) fn at(&self, partition: &Partition, offset: i64) -> Option<(&'a str, u32)> {
        let places = self.partitions.get(partition)?;
        let place = places.get(usize::try_from(offset).ok()?)?;
        place.map(|(key, seq, _)| (key, seq))
    }

    /// Takes the next record of its partition: the fields of [`Record`] with tabs between.
    pub(super) fn record(&mut self, line: &str, faults: &mut Faults) -> Result<()> {
        let record = Record::parse(line).with_context(|| format!("not a record: {line}"))?;
        let partition = (record.topic.to_owned(), record.partition);
        let places = self.partitions.entry(partition).or_default();
        let due = end(places);
        if record.offset < due {
            faults
                .add("offset twice or out of order", || format!("due is offset {due}: {record:?}"));
            return Ok(());
        }
        if record.offset > due {
            faults.add("hole in the offsets", || format!("due is offset {due}: {record:?}"));
            places.resize(usize::try_from(record.offset)?, None);
        }
        let event = known(self.input, record.topic, record.key).and_then(|(name, events)| {
            let event = events.get(usize::try_from(record.seq).ok()?)?;
            Some((name, events.len(), event))
        });
        let Some((name, count, event)) = event else {
            places.push(None);
            faults.add("event that nobody sent", || format!("{record:?}"));
            return Ok(());
        };
        places.push(Some((name.1, record.seq, record.time_ms)));
        if (record.time_ms, record.sum, record.value)
            != (event.time_ms, event.sum.as_str(), event.value.as_str())
        {
            faults.add("altered event", || format!("{record:?} was {event:?}"));
        }
        let state = self.keys.entry(name).or_insert_with(|| Key {
            partition: record.partition,
            next: 0,
            acknowledged: vec![false; count],
        });
        if state.partition != record.partition {
            faults.add("key in two partitions", || {
                format!("also in {}: {record:?}", state.partition)
            });
        }
        if record.seq < state.next {
            faults.add("event doubled or moved", || format!("due is {}: {record:?}", state.next));
        } else if record.seq > state.next {
            faults.add("event missing or moved", || format!("due is {}: {record:?}", state.next));
        }
        state.next = state.next.max(record.seq + 1);
        Ok(())
    }

    /// Takes a ledger's lines: topic, key, sequence number, partition, offset.
    pub(super) fn ledger(&mut self, text: &str, faults: &mut Faults) -> Result<()> {
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [topic, key, seq, partition, offset] = fields[..] else {
                anyhow::bail!("not a ledger line: {line}");
            };
            let (seq, offset): (u32, i64) = (seq.parse()?, offset.parse()?);
            let partition = (topic.to_owned(), partition.parse()?);
            let acknowledged = known(self.input, topic, key)
                .and_then(|(name, _)| self.keys.get_mut(&name))
                .and_then(|state| state.acknowledged.get_mut(usize::try_from(seq).ok()?));
            match acknowledged {
                None => {
                    faults.add("acknowledged event of a key that is not there", || line.to_owned())
                }
                Some(true) => faults.add("event acknowledged twice", || line.to_owned()),
                Some(acknowledged) => *acknowledged = true,
            }
            if offset < 0 {
                self.without_offset += 1;
            } else if self.at(&partition, offset) != Some((key, seq)) {
                faults.add("acknowledged event is not at its offset", || {
                    format!("there is {:?}: {line}", self.at(&partition, offset))
                });
            }
        }
        Ok(())
    }

    /// After the last record and the last ledger: `ends` holds what the broker named as start and
    /// end of each partition.
    pub(super) fn finish(&self, ends: &HashMap<Partition, (i64, i64)>, faults: &mut Faults) {
        for (topic, keys) in &self.input.topics {
            for (key, events) in keys {
                let state = self.keys.get(&(topic.as_str(), key.as_str()));
                let held = state.map_or(0, |state| usize::try_from(state.next).unwrap_or(0));
                if held < events.len() {
                    faults.add("last events of a key missing", || {
                        format!("{topic} {key}: {held} of {}", events.len())
                    });
                }
                if let Some(state) = state
                    && let Some(seq) = state.acknowledged.iter().position(|acked| !acked)
                {
                    faults.add("event without acknowledgement", || format!("{topic} {key} {seq}"));
                }
            }
        }
        for (partition, named) in ends {
            let held = self.partitions.get(partition).map_or(0, |p| end(p));
            if *named != (0, held) {
                faults.add("start or end is not what was read", || {
                    format!("{partition:?}: named {named:?}, read 0..{held}")
                });
            }
        }
    }

    /// Whether `answer` is the first offset at or after a time, or the end where there is none.
    pub(super) fn check_time(
        &self,
        partition: &Partition,
        time_ms: i64,
        answer: i64,
        faults: &mut Faults,
    ) {
        let Some(places) = self.partitions.get(partition) else {
            return;
        };
        let first = places
            .iter()
            .position(|place| place.is_some_and(|(_, _, time)| time >= time_ms))
            .and_then(|at| i64::try_from(at).ok())
            .unwrap_or_else(|| end(places));
        if answer != first {
            faults.add("look-up by time", || {
                format!("{partition:?} at {time_ms}: offset {answer}, but {first} is the first")
            });
        }
    }
}

/// A key's events, with the names of topic and key as the input holds them.
fn known<'a>(input: &'a Input, topic: &str, key: &str) -> Option<(Name<'a>, &'a [Event])> {
    let (topic, keys) = input.topics.get_key_value(topic)?;
    let (key, events) = keys.get_key_value(key)?;
    Some(((topic, key), events))
}

fn end(places: &[Place<'_>]) -> i64 {
    i64::try_from(places.len()).expect("a partition's records are counted in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys `a` (two events) and `b` (one).
    fn input() -> Input {
        let mut input = Input::default();
        for line in ["a\t0\t10\tsa0\tva0", "b\t0\t20\tsb0\tvb0", "a\t1\t30\tsa1\tva1"] {
            input.add("t", line).unwrap();
        }
        input
    }

    const RECORDS: [&str; 3] = [
        "t\t0\t0\t10\ta\t0\tsa0\tva0",
        "t\t0\t1\t20\tb\t0\tsb0\tvb0",
        "t\t0\t2\t30\ta\t1\tsa1\tva1",
    ];
    const LEDGER: &str = "t\ta\t0\t0\t0\nt\tb\t0\t0\t1\nt\ta\t1\t0\t2\n";

    fn kinds(records: &[&str], ledger: &str) -> Vec<&'static str> {
        let input = input();
        let mut faults = Faults::default();
        let mut contents = Contents::new(&input);
        for record in records {
            contents.record(record, &mut faults).unwrap();
        }
        contents.ledger(ledger, &mut faults).unwrap();
        let end = (0, i64::try_from(records.len()).unwrap());
        let ends = HashMap::from([(("t".to_owned(), 0), end)]);
        contents.finish(&ends, &mut faults);
        faults.kinds()
    }

    #[test]
    fn what_went_in_passes() {
        assert_eq!(kinds(&RECORDS, LEDGER), [""; 0]);
    }

    #[test]
    fn a_lost_event_fails() {
        let ledger = "t\ta\t0\t0\t0\nt\tb\t0\t0\t1\nt\ta\t1\t0\t2\n";
        let found = kinds(&RECORDS[..2], ledger);
        assert!(found.contains(&"last events of a key missing"), "{found:?}");
        assert!(found.contains(&"acknowledged event is not at its offset"));
        // The first of a key, and its successor moved up.
        let found = kinds(&["t\t0\t0\t20\tb\t0\tsb0\tvb0", "t\t0\t1\t30\ta\t1\tsa1\tva1"], ledger);
        assert!(found.contains(&"event missing or moved"), "{found:?}");
    }

    #[test]
    fn a_doubled_event_fails() {
        let double = "t\t0\t3\t30\ta\t1\tsa1\tva1";
        let found = kinds(&[RECORDS[0], RECORDS[1], RECORDS[2], double], LEDGER);
        assert_eq!(found, ["event doubled or moved"]);
    }

    #[test]
    fn a_moved_event_fails() {
        let found = kinds(
            &[
                "t\t0\t0\t30\ta\t1\tsa1\tva1",
                "t\t0\t1\t20\tb\t0\tsb0\tvb0",
                "t\t0\t2\t10\ta\t0\tsa0\tva0",
            ],
            "t\ta\t0\t0\t2\nt\tb\t0\t0\t1\nt\ta\t1\t0\t0\n",
        );
        assert_eq!(found, ["event doubled or moved", "event missing or moved"]);
        let found = kinds(&[RECORDS[0], RECORDS[1], "t\t1\t0\t30\ta\t1\tsa1\tva1"], LEDGER);
        assert!(found.contains(&"key in two partitions"), "{found:?}");
    }

    #[test]
    fn an_altered_event_fails() {
        for altered in [
            "t\t0\t2\t31\ta\t1\tsa1\tva1",
            "t\t0\t2\t30\ta\t1\tsa2\tva1",
            "t\t0\t2\t30\ta\t1\tsa1\tva2",
        ] {
            let found = kinds(&[RECORDS[0], RECORDS[1], altered], LEDGER);
            assert_eq!(found, ["altered event"]);
        }
        let strange = "t\t0\t3\t30\tc\t0\tsa1\tva1";
        let found = kinds(&[RECORDS[0], RECORDS[1], RECORDS[2], strange], LEDGER);
        assert_eq!(found, ["event that nobody sent"]);
    }

    #[test]
    fn a_hole_fails() {
        let found = kinds(&[RECORDS[0], RECORDS[1], "t\t0\t3\t30\ta\t1\tsa1\tva1"], LEDGER);
        assert!(found.contains(&"hole in the offsets"), "{found:?}");
    }

    #[test]
    fn the_ledger_must_agree() {
        let short = "t\ta\t0\t0\t0\nt\tb\t0\t0\t1\n";
        assert_eq!(kinds(&RECORDS, short), ["event without acknowledgement"]);
        let twice = format!("{LEDGER}t\tb\t0\t0\t1\n");
        assert_eq!(kinds(&RECORDS, &twice), ["event acknowledged twice"]);
        let elsewhere = LEDGER.replace("b\t0\t0\t1", "b\t0\t0\t2");
        let found = kinds(&RECORDS, &elsewhere);
        assert_eq!(found, ["acknowledged event is not at its offset"]);
        // The broker knew the retry, but not its offset.
        let unknown = LEDGER.replace("b\t0\t0\t1", "b\t0\t0\t-1");
        assert_eq!(kinds(&RECORDS, &unknown), [""; 0]);
    }

    #[test]
    fn the_first_at_or_after_a_time() {
        let input = input();
        let mut contents = Contents::new(&input);
        let mut faults = Faults::default();
        for record in RECORDS {
            contents.record(record, &mut faults).unwrap();
        }
        let partition = ("t".to_owned(), 0);
        for (time_ms, offset) in [(0, 0), (10, 0), (11, 1), (30, 2), (31, 3)] {
            contents.check_time(&partition, time_ms, offset, &mut faults);
        }
        assert_eq!(faults.kinds(), [""; 0]);
        contents.check_time(&partition, 11, 2, &mut faults);
        assert_eq!(faults.kinds(), ["look-up by time"]);
    }
}
