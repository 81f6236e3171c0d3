//! What the chain has written and made durable becomes offsets, effects and events.
use crate::{
    ids::LogSlot,
    options::Durability,
    store::{Event, Store},
    wal::group::Reach,
};
use record::Offset;
use std::collections::VecDeque;

/// An entry whose effect outside begins when it is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    LogStart(LogSlot, Offset),
    Truncated(LogSlot),
    Deleted(LogSlot),
}

/// What waits for the chain.
#[derive(Debug, Default)]
pub(crate) struct Advance {
    controls: VecDeque<(u64, Control)>,
    /// Kept for its memory.
    reaches: Vec<Reach>,
    told_failure: bool,
}

impl Advance {
    pub(crate) fn control(&mut self, sequence: u64, control: Control) {
        assert!(
            self.controls.back().is_none_or(|(last, _)| *last <= sequence),
            "entries come in order"
        );
        self.controls.push_back((sequence, control));
    }
}

impl Store {
    /// What the chain has written and made durable becomes offsets and events.
    pub(crate) fn progress(&mut self) {
        let mut reaches = std::mem::take(&mut self.advance.reaches);
        self.wal.take_written(&mut reaches);
        for reach in reaches.drain(..) {
            if let Some(log) = self.any_log(reach.slot) {
                log.on_written(reach.end);
                if log.config.durability != Durability::Device {
                    self.advance(reach.slot);
                }
            }
        }
        self.wal.take_durable(&mut reaches);
        for reach in reaches.drain(..) {
            if let Some(log) = self.any_log(reach.slot) {
                log.on_durable(reach.end);
                self.advance(reach.slot);
            }
        }
        self.advance.reaches = reaches;
        while let Some((sequence, control)) = self.advance.controls.front().copied()
            && sequence <= self.wal.durable_through()
        {
            self.advance.controls.pop_front();
            self.on_control(control);
        }
        self.wal.evict(self.unflushed_bytes + self.options.cache_bytes as u64);
        if self.wal.failed.is_some() && !self.advance.told_failure {
            self.advance.told_failure = true;
            let reason = self.wal.failed.clone().unwrap_or_default();
            self.events.push_back(Event::ChainFailed { reason });
        }
        if self.room.refused && self.room() {
            self.room.refused = false;
            self.events.push_back(Event::Room);
        }
        self.tell_space();
    }

    fn on_control(&mut self, control: Control) {
        match control {
            Control::LogStart(slot, to) => {
                let Some(log) = self.any_log(slot).filter(|log| !log.deleted) else {
                    return;
                };
                log.durable_start = log.durable_start.max(to);
                log.wanted.trim = true;
                self.dirs.wants(slot);
                self.events.push_back(Event::LogStartMoved(slot));
            }
            Control::Truncated(slot) => self.dirs.wants(slot),
            Control::Deleted(slot) => {
                let Some(log) = self.any_log(slot) else {
                    return;
                };
                log.wanted.remove = true;
                let (id, name) = (log.id, log.name.clone());
                self.dirs.leaving(id, name);
                self.dirs.wants(slot);
                self.events.push_back(Event::Deleted(id));
            }
        }
    }

    /// Raises the high watermark of a log and tells about it.
    pub(crate) fn advance(&mut self, slot: LogSlot) {
        let Some(log) = self.any_log(slot) else {
            return;
        };
        if log.raise() && !log.deleted && !log.announced {
            log.announced = true;
            self.events.push_back(Event::Advanced(slot));
        }
    }
}
