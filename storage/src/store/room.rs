//! Whether an append is taken now, and why not.
use crate::{
    error::{AppendError, Error},
    store::{
        Store,
        space::{Ledger, Whose},
    },
    wal::group::Group,
};

/// What is short.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The device was full when space was last asked for, or nearly: nothing takes any.
    pub full: Option<String>,
    /// Clients' appends are refused, so that the reserve is kept.
    pub refusing: Option<String>,
    pub told_refusing: bool,
    pub quiet_since: Option<netio::Instant>,
    /// Something else was short for a moment ([`Error::is_transient`]): until the care timer,
    /// nothing is begun that would only fail again.
    pub short: Option<Error>,
    pub ledger: Ledger,
    pub appended_since_space: u64,
    /// Somebody was told that there is no room, and waits for [`crate::Event::Room`].
    pub refused: bool,
}

impl Store {
    pub(crate) fn check_chain(&self) -> Result<(), Error> {
        match &self.wal.failed {
            Some(reason) => Err(Error::Failed(reason.clone())),
            None => Ok(()),
        }
    }

    /// Is there room for a batch of `bytes`?
    pub(crate) fn check_room(&mut self, whose: Whose, bytes: usize) -> Result<(), AppendError> {
        self.check_space(whose, bytes)?;
        // A frame lies in one file: this batch fits none that will ever be made.
        if Group::bytes_for(bytes) as u64 > self.options.wal_file_bytes {
            return Err(AppendError::TooLarge { bytes, file_bytes: self.options.wal_file_bytes });
        }
        if self.is_stopping() {
            return Err(Error::Failed("the store stops".into()).into());
        }
        if !self.has_room() {
            return Err(AppendError::Busy);
        }
        self.room.appended_since_space += bytes as u64;
        Ok(())
    }

    /// Why [`Self::append_own`] would be refused now, for those who must know before they decide
    /// what to append.
    pub fn can_append_own(&mut self) -> Result<(), AppendError> {
        self.check_chain()?;
        self.check_room(Whose::Server, 0)
    }

    /// Whether appends are taken now; [`crate::Event::Room`] follows when not.
    pub fn has_room(&mut self) -> bool {
        let room = self.room();
        self.room.refused |= !room;
        room
    }

    pub(super) fn room(&self) -> bool {
        // After a fault there is nothing to wait for: the append is refused.
        self.wal.failed.is_some()
            || self.wal.has_room()
                && !(self.wal_files.missing && self.wal.is_starved())
                && self.wal.files.live_bytes() <= self.options.unflushed_bytes_max
                && self.unflushed_bytes <= self.options.unflushed_bytes_max
    }
}
