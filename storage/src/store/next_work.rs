//! What is to be done next to a log's files: one ladder, without effects.
use crate::log::{Dir, Log, Wanted};
use record::Offset;

/// What the ladder looks at of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Its files are being opened or changed.
    busy: bool,
    deleted: bool,
    failed: bool,
    on_disk: bool,
    wanted: Wanted,
}

impl View {
    pub(crate) fn of(log: &Log) -> View {
        View {
            busy: log.busy.is_some() || matches!(log.dir, Dir::Opening(_)),
            deleted: log.deleted,
            failed: log.failed.is_some(),
            on_disk: log.flushed_state().is_some(),
            wanted: log.wanted,
        }
    }
}

/// And of the store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances {
    pub stopping: bool,
    /// The log found no space, or no descriptor, since the stop began.
    pub passed: bool,
    /// As many logs are changed as may be at once. A removal is not held up by them.
    pub crowded: bool,
}

/// The next change of a log's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// Something runs whose end calls for another look.
    Later,
    /// Nothing is on disk that could be changed: a later first flush begins at the log start.
    Forget,
    Remove,
    Truncate(Offset),
    Trim,
    Retain,
}

pub(crate) fn next_work(log: View, store: Circumstances) -> Next {
    if log.busy {
        return Next::Later;
    }
    if log.deleted {
        return if log.wanted.remove { Next::Remove } else { Next::Nothing };
    }
    if store.crowded {
        return Next::Later;
    }
    // Retention has time until the next start.
    let wanted = Wanted { retain: log.wanted.retain && !store.stopping, ..log.wanted };
    if store.passed || log.failed || !wanted.any() {
        return Next::Nothing;
    }
    if !log.on_disk {
        return Next::Forget;
    }
    match wanted {
        Wanted { truncate: Some(to), .. } => Next::Truncate(to),
        Wanted { trim: true, .. } => Next::Trim,
        _ => Next::Retain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted =
        Wanted { trim: true, retain: true, truncate: Some(Offset(7)), remove: false };
    const LOG: View =
        View { busy: false, deleted: false, failed: false, on_disk: true, wanted: ALL };

    #[test]
    fn the_ladder() {
        let quiet = Circumstances::default();
        let stopping = Circumstances { stopping: true, ..quiet };
        let passed = Circumstances { passed: true, ..stopping };
        let crowded = Circumstances { crowded: true, ..quiet };
        let wants = |wanted| View { wanted, ..LOG };
        let retain = Wanted { retain: true, ..Wanted::default() };
        let trim = Wanted { trim: true, ..retain };
        let gone = View { deleted: true, wanted: Wanted { remove: true, ..ALL }, ..LOG };
        for (log, store, next) in [
            (LOG, quiet, Next::Truncate(Offset(7))),
            (wants(trim), quiet, Next::Trim),
            (wants(retain), quiet, Next::Retain),
            (wants(Wanted::default()), quiet, Next::Nothing),
            (LOG, stopping, Next::Truncate(Offset(7))),
            (wants(retain), stopping, Next::Nothing),
            (LOG, passed, Next::Nothing),
            (LOG, crowded, Next::Later),
            (View { busy: true, ..LOG }, quiet, Next::Later),
            (View { failed: true, ..LOG }, quiet, Next::Nothing),
            (View { on_disk: false, ..LOG }, quiet, Next::Forget),
            (gone, quiet, Next::Remove),
            (gone, crowded, Next::Remove),
            (View { busy: true, ..gone }, quiet, Next::Later),
            (View { failed: true, ..gone }, passed, Next::Remove),
            (View { deleted: true, ..LOG }, quiet, Next::Nothing),
        ] {
            assert_eq!(next_work(log, store), next, "{log:?}, {store:?}");
        }
    }
}
