//! What a group saw, against what the broker holds.
//!
//! After a kill a group may read again what it had not committed; it may not miss, skip or see
//! anything else. Member by member and partition by partition:
//!
//! 1. what was read is what lies at that offset in the end: nothing seen was unsaid later;
//! 2. within a session (from one assignment to the next) the next offset follows the last, or
//!    goes back; it never skips;
//! 3. a commit is never ahead of what the member has processed in the session;
//! 4. where a session begins is not before a commit that was acknowledged before the session:
//!    commits survive a kill;
//! 5. together the members saw every offset, and the committed offset is the end.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};

use super::contents::Contents;
use super::faults::Faults;
use super::worker::Partition;

#[derive(Debug)]
pub(super) struct Group<'a> {
    name: &'a str,
    contents: &'a Contents<'a>,
    seen: BTreeMap<Partition, Vec<bool>>,
    /// Acknowledged: wall clock (ms), offset.
    commits: HashMap<Partition, Vec<(u64, i64)>>,
    /// Where a session began or went back: the session's wall clock (ms), offset.
    begins: Vec<(u64, Partition, i64)>,
    pub(super) read: u64,
}

impl<'a> Group<'a> {
    pub(super) fn new(name: &'a str, contents: &'a Contents<'a>) -> Self {
        let seen = contents
            .ends()
            .map(|(partition, end)| {
                let len = usize::try_from(end).unwrap_or(0);
                (partition.clone(), vec![false; len])
            })
            .collect();
        Self { name, contents, seen, commits: HashMap::new(), begins: Vec::new(), read: 0 }
    }

    /// Takes all lines of a member; `clients/demo/java/Reader.java` tells what they are.
    pub(super) fn member(&mut self, text: &str, faults: &mut Faults) -> Result<()> {
        let mut session_ms = 0;
        let mut next: HashMap<Partition, i64> = HashMap::new();
        // Reading again does not undo what was processed.
        let mut processed: HashMap<Partition, i64> = HashMap::new();
        for line in text.lines() {
            let mut fields = line.split('\t');
            match fields.next() {
                Some("S") => {
                    session_ms = number(fields.next(), line)?;
                    next.clear();
                    processed.clear();
                }
                Some("R") => {
                    let partition = partition(&mut fields, line)?;
                    let offset: i64 = number(fields.next(), line)?;
                    let key = fields.next().with_context(|| line.to_owned())?;
                    let seq: u32 = number(fields.next(), line)?;
                    self.event(&partition, offset, (key, seq), faults);
                    match next.get(&partition) {
                        Some(due) if offset == *due => {}
                        Some(due) if offset > *due => {
                            faults.add("a reader skipped events", || {
                                format!("{}: due is {due}: {line}", self.name)
                            });
                        }
                        _ => self.begins.push((session_ms, partition.clone(), offset)),
                    }
                    let most = processed.entry(partition.clone()).or_default();
                    *most = (*most).max(offset + 1);
                    next.insert(partition, offset + 1);
                }
                Some("C") => {
                    let ms = number(fields.next(), line)?;
                    let partition = partition(&mut fields, line)?;
                    let offset = number(fields.next(), line)?;
                    let most = processed.get(&partition);
                    if most.is_none_or(|most| offset > *most) {
                        faults.add("a commit ahead of what was processed", || {
                            format!("{}: {most:?}: {line}", self.name)
                        });
                    }
                    self.commits.entry(partition).or_default().push((ms, offset));
                }
                _ => anyhow::bail!("{}: not a line of a reader: {line}", self.name),
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        partition: &Partition,
        offset: i64,
        event: (&str, u32),
        faults: &mut Faults,
    ) {
        self.read += 1;
        let held = self.contents.at(partition, offset);
        if held != Some(event) {
            faults.add("a reader saw what is not there", || {
                format!("{}: {partition:?} {offset}: saw {event:?}, there is {held:?}", self.name)
            });
        }
        if let Some(seen) = self.seen.get_mut(partition)
            && let Some(seen) = usize::try_from(offset).ok().and_then(|offset| seen.get_mut(offset))
        {
            *seen = true;
        }
    }

    /// After the last member: `committed` is what the broker holds for the group.
    /// Returns how often a member began or went back.
    pub(super) fn finish(&self, committed: &HashMap<Partition, i64>, faults: &mut Faults) -> usize {
        for (session_ms, partition, offset) in &self.begins {
            let before = self.commits.get(partition).and_then(|commits| {
                let before = commits.iter().filter(|(ms, _)| ms < session_ms);
                before.map(|(_, offset)| *offset).max()
            });
            if before.is_some_and(|before| *offset < before) {
                faults.add("an acknowledged commit was lost", || {
                    format!(
                        "{}: {partition:?} began at {offset}, committed was {before:?}",
                        self.name
                    )
                });
            }
        }
        for (partition, seen) in &self.seen {
            for (offset, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
                faults.add("an event that a group has not seen", || {
                    format!("{}: {partition:?} {offset}", self.name)
                });
            }
        }
        for (partition, end) in self.contents.ends() {
            let held = committed.get(partition);
            if held != Some(&end) {
                faults.add("the committed offset is not the end", || {
                    format!("{}: {partition:?}: {held:?}, the end is {end}", self.name)
                });
            }
        }
        self.begins.len()
    }
}

fn number<T: std::str::FromStr>(field: Option<&str>, line: &str) -> Result<T> {
    field
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("not a line of a reader: {line}"))
}

fn partition<'t>(fields: &mut impl Iterator<Item = &'t str>, line: &str) -> Result<Partition> {
    let topic = fields.next().with_context(|| line.to_owned())?;
    Ok((topic.to_owned(), number(fields.next(), line)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::input::Input;

    /// One partition with a0, b0, a1; the group's files and its committed offset.
    fn kinds(members: &[&str], committed: i64) -> Vec<&'static str> {
        let mut input = Input::default();
        let mut faults = Faults::default();
        for line in ["a\t0\t10\ts\tv", "b\t0\t20\ts\tv", "a\t1\t30\ts\tv"] {
            input.add("t", line).unwrap();
        }
        let mut contents = Contents::new(&input);
        for line in
            ["t\t0\t0\t10\ta\t0\ts\tv", "t\t0\t1\t20\tb\t0\ts\tv", "t\t0\t2\t30\ta\t1\ts\tv"]
        {
            contents.record(line, &mut faults).unwrap();
        }
        let mut group = Group::new("g", &contents);
        for member in members {
            group.member(member, &mut faults).unwrap();
        }
        group.finish(&HashMap::from([(("t".to_owned(), 0), committed)]), &mut faults);
        faults.kinds()
    }

    const A0: &str = "R\tt\t0\t0\ta\t0\n";
    const B0: &str = "R\tt\t0\t1\tb\t0\n";
    const A1: &str = "R\tt\t0\t2\ta\t1\n";

    #[test]
    fn reading_all_once_or_again_passes() {
        assert_eq!(kinds(&[&format!("S\t5\n{A0}{B0}{A1}C\t9\tt\t0\t3\n")], 3), [""; 0]);
        let first = format!("S\t5\n{A0}C\t6\tt\t0\t1\n{B0}");
        let second = format!("S\t7\n{B0}{A1}C\t9\tt\t0\t3\n");
        assert_eq!(kinds(&[&first, &second], 3), [""; 0]);
        assert_eq!(kinds(&[&format!("S\t5\n{A0}{B0}{B0}{A1}")], 3), [""; 0]);
        let late = format!("S\t5\n{A0}{B0}{A0}C\t6\tt\t0\t2\n{B0}{A1}");
        assert_eq!(kinds(&[&late], 3), [""; 0]);
    }

    #[test]
    fn what_a_group_misses_or_skips_fails() {
        let found = kinds(&[&format!("S\t5\n{A0}{A1}")], 3);
        assert_eq!(found, ["a reader skipped events", "an event that a group has not seen"]);
        assert_eq!(kinds(&[&format!("S\t5\n{A0}{B0}")], 3), ["an event that a group has not seen"]);
    }

    #[test]
    fn what_is_not_there_fails() {
        let found = kinds(&[&format!("S\t5\n{A0}{B0}R\tt\t0\t2\tb\t1\n{A1}")], 3);
        assert_eq!(found, ["a reader saw what is not there"]);
    }

    #[test]
    fn commits_are_kept_and_never_ahead() {
        let ahead = format!("S\t5\n{A0}C\t6\tt\t0\t2\n{B0}{A1}");
        assert_eq!(kinds(&[&ahead], 3), ["a commit ahead of what was processed"]);
        let lost = format!("S\t5\n{A0}{B0}C\t6\tt\t0\t2\nS\t7\n{A0}{B0}{A1}");
        assert_eq!(kinds(&[&lost], 3), ["an acknowledged commit was lost"]);
        assert_eq!(
            kinds(&[&format!("S\t5\n{A0}{B0}{A1}")], 2),
            ["the committed offset is not the end"]
        );
    }
}
