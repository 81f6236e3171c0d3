use super::*;
use record::{Attributes, LeaderEpoch, ProducerEpoch, ProducerId, Timestamp};

/// A batch of `count` records at `offset`.
fn batch(
    producer_id: i64,
    epoch: i16,
    sequence: i32,
    count: i32,
    offset: i64,
    timestamp: i64,
) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(offset),
        batch_length: 49,
        partition_leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: count - 1,
        base_timestamp: Timestamp(timestamp),
        max_timestamp: Timestamp(timestamp),
        producer_id: ProducerId(producer_id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        records_count: count,
    }
}

/// A table whose offsets are given as a log would.
struct Log {
    states: ProducerStates,
    end: i64,
}

impl Log {
    fn new() -> Self {
        Self { states: ProducerStates::new(100), end: 0 }
    }
    fn append(
        &mut self,
        producer_id: i64,
        epoch: i16,
        sequence: i32,
        count: i32,
    ) -> Result<Checked, AppendError> {
        let header = batch(producer_id, epoch, sequence, count, self.end, 1_000 + self.end);
        let checked = self.states.check(&header)?;
        if checked == Checked::Accept {
            self.states.apply(&header);
            self.end += i64::from(count);
        }
        Ok(checked)
    }
}

fn accepted() -> Result<Checked, AppendError> {
    Ok(Checked::Accept)
}
fn duplicate(base: i64, count: i64) -> Result<Checked, AppendError> {
    Ok(Checked::Duplicate {
        base: Offset(base),
        end: Offset(base + count),
        timestamp: 1_000 + base,
    })
}
fn out_of_order(producer_id: i64, expected: i32, got: i32) -> Result<Checked, AppendError> {
    Err(AppendError::OutOfOrderSequence { producer_id, expected, got })
}

#[test]
fn plain_producers_leave_no_trace() {
    let mut log = Log::new();
    assert_eq!(log.append(-1, -1, -1, 3), accepted());
    assert!(log.states.is_empty());
}

#[test]
fn sequences_follow() {
    let mut log = Log::new();
    assert_eq!(log.append(7, 0, 0, 3), accepted());
    assert_eq!(log.append(7, 0, 3, 2), accepted());
    assert_eq!(log.append(7, 0, 6, 1), out_of_order(7, 5, 6));
    assert_eq!(log.append(7, 0, 5, 1), accepted());
    assert_eq!(log.append(8, 0, 0, 1), accepted(), "another producer has its own");
}

#[test]
fn the_last_five_batches_are_duplicates_and_older_ones_are_out_of_order() {
    let mut log = Log::new();
    for n in 0..6 {
        assert_eq!(log.append(7, 0, n * 2, 2), accepted());
    }
    for n in 1..6 {
        assert_eq!(log.append(7, 0, n * 2, 2), duplicate(i64::from(n) * 2, 2));
    }
    assert_eq!(log.append(7, 0, 0, 2), out_of_order(7, 12, 0));
    // Same start, other length: not the same batch.
    assert_eq!(log.append(7, 0, 10, 1), out_of_order(7, 12, 10));
}

#[test]
fn epochs() {
    let mut log = Log::new();
    assert_eq!(log.append(7, 5, 0, 2), accepted());
    assert_eq!(
        log.append(7, 4, 2, 1),
        Err(AppendError::InvalidProducerEpoch { producer_id: 7, current: 5, got: 4 })
    );
    assert_eq!(log.append(7, 6, 2, 1), out_of_order(7, 0, 2), "a new epoch starts at 0");
    assert_eq!(log.append(7, 6, 0, 2), accepted());
    assert_eq!(log.append(7, 6, 0, 2), duplicate(2, 2));
    // Batches of the older epoch are forgotten, even the exact one.
    assert_eq!(
        log.append(7, 5, 0, 2),
        Err(AppendError::InvalidProducerEpoch { producer_id: 7, current: 6, got: 5 })
    );
}

#[test]
fn unknown_producers_may_start_anywhere() {
    let mut log = Log::new();
    assert_eq!(log.append(7, 3, 41, 1), accepted());
    assert_eq!(log.append(7, 3, 42, 1), accepted());
    assert_eq!(log.append(7, 3, 41, 1), duplicate(0, 1));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut log = Log::new();
    // Sequences MAX-1, MAX, 0, 1.
    assert_eq!(log.append(7, 0, i32::MAX - 1, 4), accepted());
    assert_eq!(log.append(7, 0, i32::MAX - 1, 4), duplicate(0, 4));
    assert_eq!(log.append(7, 0, 2, 1), accepted());
    // Exactly at the end.
    assert_eq!(log.append(8, 0, i32::MAX, 1), accepted());
    assert_eq!(log.append(8, 0, i32::MAX, 1), duplicate(5, 1));
    assert_eq!(log.append(8, 0, 1, 1), out_of_order(8, 0, 1));
    assert_eq!(log.append(8, 0, 0, 1), accepted());
}

#[test]
fn an_epoch_set_by_a_marker_starts_at_zero() {
    let mut log = Log::new();
    assert_eq!(log.append(7, 0, 0, 1), accepted());
    let mut marker = batch(7, 1, -1, 1, log.end, 5);
    marker.attributes = Attributes(0).with_control(true).with_transactional(true);
    log.states.apply(&marker);
    log.end += 1;
    assert_eq!(log.append(7, 1, 1, 1), out_of_order(7, 0, 1));
    assert_eq!(log.append(7, 1, 0, 1), accepted());
}

#[test]
fn a_producer_expires_when_it_has_been_quiet_however_old_its_events_are() {
    let mut states = ProducerStates::new(10);
    states.apply(&batch(1, 0, 0, 1, 0, 1));
    states.apply(&batch(2, 0, 0, 1, 1, 2));
    let mut open = batch(3, 0, 0, 1, 2, 3);
    open.attributes = Attributes(0).with_transactional(true);
    states.apply(&open);
    assert_eq!(states.expire(50_000, 1_000), 0, "seen for the first time");
    assert_eq!(states.expire(50_999, 1_000), 0);
    states.apply(&batch(2, 0, 1, 1, 3, 4));
    assert_eq!(
        states.expire(51_000, 1_000),
        1,
        "1 has been quiet, 2 has not, 3 is in a transaction"
    );
    let left: Vec<i64> = states.views().iter().map(|view| view.producer_id).collect();
    assert_eq!(left, [2, 3]);
    assert_eq!(states.expire(52_000, 1_000), 1);
}

#[test]
fn a_full_table_forgets_who_appended_longest_ago() {
    let mut states = ProducerStates::new(3);
    for (n, producer) in [1, 2, 3, 1, 4, 5, 1].into_iter().enumerate() {
        states.apply(&batch(producer, 0, n as i32, 1, n as i64, 0));
        assert!(states.len() <= 3);
    }
    let ids: Vec<i64> = states.views().iter().map(|view| view.producer_id).collect();
    assert_eq!((ids, states.evicted()), (vec![1, 4, 5], 2));
    assert_eq!(states.evict_oldest(), Some(4));
    assert_eq!(states.evict_oldest(), Some(5));
    assert_eq!(states.evict_oldest(), Some(1));
    assert_eq!(states.evict_oldest(), None);
    // Slots are used again.
    states.apply(&batch(9, 0, 0, 1, 9, 0));
    assert_eq!((states.len(), states.nodes.len()), (1, 3));
}

#[test]
fn a_burst_of_producers_does_not_keep_its_memory() {
    let mut states = ProducerStates::new(10_000);
    for producer in 0..5_000 {
        states.apply(&batch(producer, 0, 0, 1, producer, 0));
    }
    assert_eq!(states.retain(|producer| producer % 50 == 3), 4_900);
    assert_eq!(states.len(), 100);
    assert!(states.nodes.capacity() < 500, "{}", states.nodes.capacity());
    // The order of activity is that of before.
    assert_eq!(states.evict_oldest(), Some(3));
    assert_eq!(states.evict_oldest(), Some(53));
    assert_eq!((states.contains(103), states.contains(53)), (true, false));
    assert_eq!(states.evicted(), 2);
}

fn some_states() -> ProducerStates {
    let mut states = ProducerStates::new(10);
    for n in 0..7 {
        states.apply(&batch(20, 1, n, 1, i64::from(n), 100));
    }
    states.apply(&batch(10, 0, 0, 3, 7, 200));
    let mut marker = batch(30, 4, -1, 1, 10, 300);
    marker.attributes = Attributes(0).with_control(true).with_transactional(true);
    states.apply(&marker);
    states
}

#[test]
fn own_bytes_keep_all_five_batches() {
    let states = some_states();
    let bytes = states.to_bytes();
    let read = ProducerStates::from_bytes(&bytes, 10).unwrap();
    assert_eq!(read, states);
    assert_eq!(read.to_bytes(), bytes);
    for n in 2..7 {
        assert!(
            matches!(read.check(&batch(20, 1, n, 1, 0, 0)), Ok(Checked::Duplicate { .. })),
            "{n}"
        );
    }
}

#[test]
fn kafka_snapshot_keeps_the_newest_batch() {
    let states = some_states();
    let bytes = states.to_snapshot();
    assert_eq!(bytes.len(), 10 + 3 * 46);
    assert_eq!(bytes[..2], [0, 1]);
    // The first entry is producer 10: epoch 0, last sequence 2, last offset 9, delta 2.
    assert_eq!(bytes[6..10], [0, 0, 0, 3]);
    assert_eq!(bytes[10..20], [0, 0, 0, 0, 0, 0, 0, 10, 0, 0]);
    assert_eq!(bytes[20..36], [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2]);
    let read = ProducerStates::from_snapshot(&bytes, 10).unwrap();
    assert_eq!(read.views(), states.views());
    assert_eq!(
        read.check(&batch(20, 1, 6, 1, 0, 0)),
        Ok(Checked::Duplicate { base: Offset(6), end: Offset(7), timestamp: 100 })
    );
    assert!(read.check(&batch(20, 1, 5, 1, 0, 0)).is_err());
    assert_eq!(
        ProducerStates::from_snapshot(&ProducerStates::new(1).to_snapshot(), 1).unwrap().len(),
        0
    );
}

#[test]
fn damaged_bytes_are_refused_without_panic() {
    type Read = fn(&[u8], usize) -> Result<ProducerStates, StateError>;
    let own: Read = ProducerStates::from_bytes;
    for (bytes, read) in [
        (some_states().to_bytes(), own),
        (some_states().to_snapshot(), ProducerStates::from_snapshot),
    ] {
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut], 10).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad, 10).is_err(), "flipped at {at}");
        }
        // A wrong count with a right CRC.
        let mut bad = bytes.clone();
        bad[6..10].copy_from_slice(&i32::MAX.to_be_bytes());
        seal(&mut bad);
        assert!(matches!(read(&bad, 10), Err(StateError::Length { .. })));
    }
    assert_eq!(
        ProducerStates::from_snapshot(&some_states().to_bytes(), 10).map(|s| s.len()),
        Err(StateError::Version(101))
    );
}

/// The table against the rules written down a second time, over random appends.
#[test]
fn random_appends_agree_with_a_plain_model() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % bound
    };
    let mut log = Log::new();
    // Producer -> (epoch, all batches of the epoch as (first, last, base)).
    type Batches = Vec<(i32, i32, i64)>;
    let mut model: BTreeMap<i64, (i16, Batches)> = BTreeMap::new();
    let (mut accepted, mut refused, mut repeated) = (0, 0, 0);
    for _ in 0..20_000 {
        let producer = next(4) as i64;
        let count = 1 + next(3) as i32;
        let (epoch, sequence) = match model.get(&producer) {
            None => (0, i32::MAX - next(5) as i32),
            Some((epoch, batches)) => {
                let last = batches.last().unwrap().1;
                match next(8) {
                    0 => (epoch + 1, 0),
                    1 => (epoch - 1, 0),
                    2 => (epoch + 1, 1 + next(3) as i32),
                    3 => (*epoch, next_sequence(last, 2)),
                    4 => (*epoch, batches[next(batches.len() as u64) as usize].0),
                    _ => (*epoch, next_sequence(last, 1)),
                }
            }
        };
        let base = log.end;
        let got = log.append(producer, epoch, sequence, count);
        let last = next_sequence(sequence, count - 1);
        let known = model.entry(producer).or_insert_with(|| (epoch, Vec::new()));
        let recent = known
            .1
            .iter()
            .rev()
            .take(BATCHES_KEPT)
            .find(|b| epoch == known.0 && (b.0, b.1) == (sequence, last));
        let follows = known.1.last().is_none_or(|b| {
            if epoch > known.0 { sequence == 0 } else { sequence == next_sequence(b.1, 1) }
        });
        match (recent, epoch < known.0, follows) {
            (Some(b), ..) => {
                assert_eq!(got, duplicate(b.2, i64::from(count)));
                repeated += 1;
            }
            (None, false, true) => {
                assert_eq!(got, Ok(Checked::Accept));
                if epoch != known.0 {
                    *known = (epoch, Vec::new());
                }
                known.1.push((sequence, last, base));
                accepted += 1;
            }
            (None, ..) => {
                assert!(got.is_err(), "{got:?}");
                refused += 1;
            }
        }
    }
    assert!(
        accepted > 1_000 && refused > 1_000 && repeated > 100,
        "{accepted} {refused} {repeated}"
    );
}
