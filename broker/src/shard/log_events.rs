//! What the store reports, and who waited for it.
use super::Shard;
use crate::{
    core::request::Held,
    partition::{leader::Role, waiters::Watcher},
};
use storage::{Event, LogSlot};
use wire::ErrorCode;

impl Shard {
    pub(crate) fn on_log_event(&mut self, event: Event) {
        match event {
            Event::Advanced(slot) => self.on_advanced(slot),
            // What is neither's was for a fetch whose connection has gone.
            Event::ReadDone { token, result } => {
                if !self.on_coordinator_read(token, &result) {
                    self.on_read_done(token, result);
                }
            }
            Event::TimeFound { token, result } => self.on_time_found(token, result),
            Event::Room => {
                self.run_deferred();
                self.resume(Held::Log);
            }
            Event::LogStartMoved(slot) => self.on_log_start_moved(slot),
            Event::LogFailed { slot, reason } => {
                let partition = self.name_of(slot);
                tracing::error!(
                    partition,
                    reason,
                    "the partition is read-only since this fault: its reads go on, and so do the others; look at the device \
                     (dmesg) and at the partition's directory, mend them, and start again: what was acknowledged is recovered"
                );
                if self.partitions.at(slot).is_some_and(|leader| leader.failed.is_none()) {
                    self.tell_failed(partition, &reason);
                }
                self.on_log_failed(slot, &reason);
            }
            Event::ChainFailed { reason } => {
                tracing::error!(
                    core = self.me.0,
                    reason,
                    "write-ahead log is read-only since this fault: every partition of the core; \
                     look at the device (dmesg), mend or replace it, and start again: what was acknowledged is recovered"
                );
                let core = self.me.0;
                self.health.send_modify(|now| {
                    now.failed_logs.insert(core, reason.clone());
                });
                let slots: Vec<LogSlot> = self.partitions.iter().map(|p| p.slot).collect();
                for slot in slots {
                    self.on_log_failed(slot, &reason);
                }
            }
            Event::Space { refusing } => {
                let core = self.me.0;
                self.health.send_modify(|now| match refusing {
                    Some(reason) => drop(now.refusing.insert(core, reason)),
                    None => drop(now.refusing.remove(&core)),
                });
            }
            Event::Deleted(_) => {}
            Event::Stopped => self.on_store_stopped(),
        }
    }

    /// For `/readyz`.
    pub(crate) fn tell_failed(&self, partition: String, reason: &str) {
        let (core, reason) = (self.me.0, reason.to_owned());
        self.health.send_modify(|now| {
            now.failed_partitions.entry(core).or_default().add(partition, reason);
        });
    }

    fn name_of(&self, slot: LogSlot) -> String {
        self.partitions
            .at(slot)
            .map_or_else(|| format!("{slot:?}"), |p| format!("{}-{}", p.name, p.partition))
    }

    /// The high watermark of a log moved.
    fn on_advanced(&mut self, slot: LogSlot) {
        // An event before this one may have deleted the log: that of the metadata, which removes
        // its topic.
        let Some(leader) = self.partitions.at_mut(slot) else {
            return;
        };
        let offsets = self.store.offsets(slot);
        let high_watermark = offsets.high_watermark.0;
        if offsets.high_watermark > offsets.durable {
            leader.acked.on_acked(high_watermark, offsets.durable.0, self.now);
        } else if !leader.acked.is_empty() {
            leader.acked.settle(offsets.durable.0);
        }
        let role = leader.role;
        let mut reached = Vec::new();
        while let Some(waiter) = leader.acks.pop_reached(high_watermark) {
            reached.push(waiter);
        }
        let passed = leader.watchers.take_passed(high_watermark);
        for waiter in reached {
            let ns = self.now.since(waiter.since);
            self.stats.stage_wal.record(ns);
            self.settle_produce(waiter.op, waiter.index, None);
        }
        self.wake(passed);
        match role {
            Role::User => {}
            Role::Offsets => self.on_offsets_committed(slot, high_watermark),
            Role::Metadata => self.on_metadata_committed(high_watermark),
        }
    }

    pub(crate) fn wake(&mut self, watchers: Vec<Watcher>) {
        for watcher in watchers {
            match watcher {
                Watcher::Local(id) => self.on_woken(id),
                Watcher::Remote { core, id } => {
                    self.tell(core, super::message::Message::Woken { id })
                }
            }
        }
    }

    fn on_log_failed(&mut self, slot: LogSlot, reason: &str) {
        let Some(leader) = self.partitions.at_mut(slot) else {
            return;
        };
        leader.failed.get_or_insert_with(|| reason.into());
        let role = leader.role;
        let waiters: Vec<_> = leader.acks.drain().collect();
        let watchers = leader.watchers.take_all();
        for waiter in waiters {
            self.settle_produce(
                waiter.op,
                waiter.index,
                Some((ErrorCode::KafkaStorageError, reason)),
            );
        }
        self.wake(watchers);
        self.fail_delete_records(slot, ErrorCode::KafkaStorageError);
        match role {
            Role::User => {}
            Role::Offsets => self.on_offsets_failed(slot),
            Role::Metadata => self.on_metadata_failed(reason),
        }
    }
}
