//! Space of the device: what is left by this core's reckoning, and who may still take of it.
//!
//! ```text
//! available:   all appends                    | reserve ............. | floor ........| 0
//!              (what is unflushed goes off)   | metadata, offsets,    | nothing takes
//!                                             | flushes, WAL files    | space
//! ```
//! The file system is asked once a second, and again when this core has taken much since; in
//! between it is reckoned, so that a fast device is not full before anybody has looked. Above all
//! stands what the device itself says: an allocation that fails is the same state, and no fault.
use crate::{
    error::Error,
    store::{Event, Store, turn::Outcome},
};
use netio::{Class, Space};

/// Most of the reserve that nothing takes: so much a start needs.
const FLOOR_MAX: u64 = 64 << 20;
/// Taken by this core since the last look, it makes another.
const LOOK_BYTES: u64 = 16 << 20;
/// An end of refusals is told when it has lasted so long: at the mark they come and go.
const QUIET_MS: u64 = 3_000;

/// Whose append it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A client's records: refused below the reserve.
    Client,
    /// The server's own: metadata, groups and offsets. Without them nobody could delete anything.
    Server,
}

/// What a core knows of its device.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    reserve: u64,
    space: Option<Space>,
    looking: bool,
    /// Taken by this core since the last look began.
    taken: u64,
    /// What is under way may take so much.
    under_way: u64,
}

impl Ledger {
    pub(crate) fn new(reserve: u64, space: Option<Space>) -> Ledger {
        Ledger { reserve, space, ..Ledger::default() }
    }
    /// As last looked at.
    pub(crate) fn space(&self) -> Option<Space> {
        self.space
    }
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve
    }
    /// Below it nothing takes space.
    pub(crate) fn floor(&self) -> u64 {
        (self.reserve / 4).min(FLOOR_MAX)
    }
    /// By reckoning; `None` as long as nobody has looked.
    pub(crate) fn available(&self) -> Option<u64> {
        let gone = self.taken + self.under_way;
        self.space.map(|space| space.available_bytes.saturating_sub(gone))
    }
    /// Whether `mark` bytes are left when `more` have been taken.
    pub(crate) fn is_above(&self, mark: u64, more: u64) -> bool {
        mark == 0 || self.available().is_none_or(|available| available >= mark.saturating_add(more))
    }
    /// Something begins that may take so much.
    pub(crate) fn begin(&mut self, bytes: u64) {
        self.under_way += bytes;
    }
    /// It has ended: the last look may have seen it or not.
    pub(crate) fn end(&mut self, bytes: u64) {
        self.under_way -= bytes;
        self.taken += bytes;
    }
    pub(crate) fn has_taken_much(&self) -> bool {
        self.taken >= LOOK_BYTES
    }
    fn begin_look(&mut self) -> bool {
        if self.looking {
            return false;
        }
        self.taken = 0;
        self.looking = true;
        true
    }
    fn end_look(&mut self, space: Option<Space>) {
        self.looking = false;
        self.space = space.or(self.space);
    }
}

impl Store {
    /// Asks the file system; the answer is there some turns later.
    pub fn look_at_space(&mut self) {
        if self.ending.is_stopped() || !self.room.ledger.begin_look() {
            return;
        }
        self.room.appended_since_space = 0;
        let (io, data) = (self.io.clone(), self.options.data.clone());
        self.tasks.spawn(Class::Maintenance, async move { Outcome::Space(io.space(&data).await) });
    }

    /// Looked at each second while something is going on.
    pub(crate) fn care_for_space(&mut self) {
        if self.room.appended_since_space > 0 || self.is_refusing() || self.room.told_refusing {
            self.look_at_space();
        }
    }

    pub(crate) fn on_space(&mut self, result: Result<Space, netio::Error>) {
        self.room.ledger.end_look(result.ok());
        let Some(available) = self.room.ledger.available() else {
            return;
        };
        let (reserve, floor) = (self.room.ledger.reserve(), self.room.ledger.floor());
        self.weigh(0);
        // A little more than the mark, or it would be met again at once.
        let enough = self.room.ledger.is_above(reserve + reserve / 64, self.unflushed_bytes)
            && (self.wal.files.spares() > 0 || self.may_make_file());
        if enough && self.room.refusing.take().is_some() {
            self.room.refused = true;
        }
        if available < floor {
            self.room.full =
                Some(format!("{available} bytes available, {floor} are kept for the next start"));
            self.keep_files();
        } else if !self.is_stopping() && self.room.full.take().is_some() {
            // A stop tries each log once, and says why something is left.
            self.room.refused = true;
            self.looks.wanted = true;
        }
    }

    /// Refuses clients' appends from the one on that would leave less than the reserve, when all
    /// has been flushed that was taken.
    pub(crate) fn weigh(&mut self, bytes: u64) {
        let (ledger, unflushed) = (&self.room.ledger, self.unflushed_bytes);
        if self.room.refusing.is_some() || ledger.is_above(ledger.reserve(), unflushed + bytes) {
            return;
        }
        self.refuse(format!(
            "{} bytes available, {unflushed} of them for what is unflushed, {} are kept free \
             (millrace.disk.reserve.bytes)",
            ledger.available().unwrap_or(0),
            ledger.reserve(),
        ));
    }

    pub(crate) fn refuse(&mut self, reason: String) {
        self.room.refusing = Some(reason);
        self.keep_files();
        self.look_at_space();
    }

    /// Why clients' appends are refused for want of space; `None` while they are not.
    pub(crate) fn refusal(&self) -> Option<&String> {
        self.room.full.as_ref().or(self.room.refusing.as_ref())
    }

    pub(crate) fn is_refusing(&self) -> bool {
        self.refusal().is_some()
    }

    /// Space for one more file of the write-ahead log. The first that is ready may take of the
    /// reserve: metadata go into it.
    pub(crate) fn may_make_file(&self) -> bool {
        let ledger = &self.room.ledger;
        let mark = match self.wal.files.spares() {
            0 => ledger.floor(),
            _ => ledger.reserve(),
        };
        ledger.is_above(mark, self.options.wal_file_bytes)
    }

    pub(crate) fn check_space(&mut self, whose: Whose, bytes: usize) -> Result<(), Error> {
        if whose == Whose::Client {
            self.weigh(bytes as u64);
            if let Some(reason) = self.refusal() {
                return Err(Error::Full(reason.clone()));
            }
        }
        Ok(())
    }

    /// Tells once when refusals begin, and once when they have ended.
    pub(crate) fn tell_space(&mut self) {
        let refusal = self.refusal().cloned();
        match refusal {
            Some(reason) => {
                self.room.quiet_since = None;
                if !self.room.told_refusing {
                    self.room.told_refusing = true;
                    let refusing = Some(reason);
                    self.events.push_back(Event::Space { refusing });
                }
            }
            None if self.room.told_refusing => {
                let now = self.io.now();
                let since = *self.room.quiet_since.get_or_insert(now);
                if now.since(since) >= QUIET_MS * 1_000_000 {
                    self.room.told_refusing = false;
                    self.events.push_back(Event::Space { refusing: None });
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_since_the_last_look_is_reckoned_with() {
        let space = |available_bytes| Some(Space { total_bytes: 1 << 30, available_bytes });
        let mut ledger = Ledger::new(1 << 20, None);
        assert!(ledger.is_above(1 << 20, 1 << 40), "nobody has looked");
        assert!(ledger.begin_look() && !ledger.begin_look());
        ledger.begin(100);
        ledger.end_look(space(1_000));
        assert_eq!(ledger.available(), Some(900));
        ledger.end(100);
        assert_eq!(ledger.available(), Some(900), "seen by the look, or not");
        assert!(ledger.is_above(800, 100) && !ledger.is_above(800, 101));
        assert!(ledger.begin_look());
        ledger.end_look(space(900));
        assert_eq!(ledger.available(), Some(900));
        assert_eq!((ledger.floor(), Ledger::new(1 << 40, None).floor()), (256 << 10, FLOOR_MAX));
        assert!(Ledger::new(0, space(0)).is_above(0, 1), "without a reserve the device says it");
    }
}
