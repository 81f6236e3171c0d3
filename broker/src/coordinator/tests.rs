//! The runtime: what waits for what.

use super::outcome::to_batches;
use super::*;
use crate::group::{Options, Request, Response};
use record::{
    BatchBuilder, Compression, EndTxnMarker, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    Timestamp,
};
use wire::ErrorCode;
use wire::heartbeat::HeartbeatRequest;
use wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};

const NOW: Now = Now { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 };
const CONTEXT: Context<'static> =
    Context { api_version: 9, client_id: "client", client_host: "/127.0.0.1", random: 7 };

fn commit(group: &'static str, offset: i64) -> OffsetCommitRequest<'static> {
    OffsetCommitRequest {
        group_id: group.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch(group: &'static str) -> OffsetFetchRequestGroup<'static> {
    OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    }
}

fn join() -> JoinGroupRequest<'static> {
    JoinGroupRequest {
        group_id: "members".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }],
        ..Default::default()
    }
}

fn active() -> Runtime {
    let mut runtime = Runtime::new(Options::default());
    assert!(runtime.activate(Offset(0), Offset(0), NOW).is_empty());
    runtime
}

fn submit(runtime: &mut Runtime, request: Request<'_>, to: u64) -> Vec<Record> {
    runtime.submit(request, &CONTEXT, ReplyTo(to), NOW)
}

/// The answers that may be given: to whom, and the error or, for a fetch, the offset.
fn replies(runtime: &mut Runtime) -> Vec<(u64, i64)> {
    std::iter::from_fn(|| runtime.next_reply())
        .map(|(to, response)| {
            let what = match response {
                Response::OffsetCommit(answer) => answer.topics[0].partitions[0].error_code.into(),
                Response::OffsetFetch(answer) if answer.error_code != 0 => answer.error_code.into(),
                Response::OffsetFetch(answer) => answer.topics[0].partitions[0].committed_offset,
                Response::Heartbeat(answer) => answer.error_code.into(),
                Response::JoinGroup(answer) => answer.error_code.into(),
                other => panic!("{other:?}"),
            };
            (to.0, what)
        })
        .collect()
}

fn code(error: ErrorCode) -> i64 {
    error.code().into()
}

#[test]
fn answers_wait_for_what_was_appended_before() {
    let mut runtime = active();
    assert!(submit(&mut runtime, Request::OffsetFetch(&fetch("g")), 1).is_empty());
    assert_eq!(replies(&mut runtime), [(1, -1)], "nothing is appended: at once");
    for (to, end) in [(2, 1), (3, 2)] {
        assert_eq!(submit(&mut runtime, Request::OffsetCommit(&commit("g", end)), to).len(), 1);
        runtime.appended(Offset(end));
        // A read sees what is appended, and says so when it is committed.
        assert!(submit(&mut runtime, Request::OffsetFetch(&fetch("g")), 10 + to).is_empty());
    }
    assert_eq!(replies(&mut runtime), []);
    runtime.committed(Offset(1));
    assert_eq!(replies(&mut runtime), [(2, 0), (12, 1)]);
    runtime.committed(Offset(2));
    runtime.committed(Offset(1));
    assert_eq!(replies(&mut runtime), [(3, 0), (13, 2)]);
    assert!(submit(&mut runtime, Request::OffsetFetch(&fetch("g")), 4).is_empty());
    assert_eq!(replies(&mut runtime), [(4, 2)]);
}

#[test]
fn a_log_that_fails() {
    let mut runtime = active();
    // One waits for other members, one for the commit, one for the append.
    let first = JoinGroupRequest { group_instance_id: Some("a".into()), ..join() };
    assert_eq!(submit(&mut runtime, Request::JoinGroup(&first), 1).len(), 1);
    runtime.appended(Offset(1));
    runtime.committed(Offset(1));
    assert_eq!(submit(&mut runtime, Request::OffsetCommit(&commit("g", 5)), 2).len(), 1);
    runtime.appended(Offset(2));
    assert!(submit(&mut runtime, Request::OffsetFetch(&fetch("g")), 3).is_empty());
    assert_eq!(submit(&mut runtime, Request::OffsetCommit(&commit("g", 6)), 4).len(), 1);
    runtime.failed(ErrorCode::KafkaStorageError);
    let told = code(ErrorCode::NotCoordinator);
    assert_eq!(replies(&mut runtime), [(2, told), (3, told), (4, told), (1, told)]);
    assert_eq!((runtime.status(), runtime.state().size()), (Status::Failed, (0, 0)));
    assert!(submit(&mut runtime, Request::OffsetFetch(&fetch("g")), 5).is_empty());
    assert_eq!(replies(&mut runtime), [(5, told)]);
    assert_eq!(runtime.next_deadline(), None);
    assert!(runtime.tick(NOW).is_empty());
}

#[test]
fn errors_of_the_log_as_kafka_tells_them() {
    for (error, to_commit, to_fetch) in [
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator, ErrorCode::NotCoordinator),
        (ErrorCode::RequestTimedOut, ErrorCode::CoordinatorNotAvailable, ErrorCode::NotCoordinator),
        (ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError, ErrorCode::UnknownServerError),
    ] {
        let mut runtime = active();
        assert_eq!(submit(&mut runtime, Request::OffsetCommit(&commit("g", 5)), 1).len(), 1);
        runtime.appended(Offset(1));
        assert!(submit(&mut runtime, Request::OffsetFetch(&fetch("g")), 2).is_empty());
        runtime.failed(error);
        assert_eq!(replies(&mut runtime), [(1, code(to_commit)), (2, code(to_fetch))]);
    }
}

#[test]
fn while_it_loads() {
    let mut runtime = Runtime::new(Options::default());
    let heartbeat = HeartbeatRequest { group_id: "g".into(), ..Default::default() };
    for (to, request) in [
        (1, Request::OffsetCommit(&commit("g", 5))),
        (2, Request::OffsetFetch(&fetch("g"))),
        (3, Request::JoinGroup(&join())),
        (4, Request::Heartbeat(&heartbeat)),
    ] {
        assert!(submit(&mut runtime, request, to).is_empty());
    }
    let told = code(ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(replies(&mut runtime), [(1, told), (2, told), (3, told), (4, 0)]);
    assert_eq!(runtime.next_deadline(), None);
    // Of a member that no group was looked for in, nothing is said.
    let request = JoinGroupRequest { member_id: "member".into(), ..join() };
    assert!(submit(&mut runtime, Request::JoinGroup(&request), 5).is_empty());
    match runtime.next_reply() {
        Some((_, Response::JoinGroup(answer))) => assert_eq!(answer.member_id, ""),
        other => panic!("{other:?}"),
    }
}

#[test]
fn timers_run_through_the_log() {
    let mut runtime = active();
    let request = JoinGroupRequest { group_instance_id: Some("a".into()), ..join() };
    assert_eq!(submit(&mut runtime, Request::JoinGroup(&request), 1).len(), 1);
    runtime.appended(Offset(1));
    runtime.committed(Offset(1));
    let due = runtime.next_deadline().unwrap();
    assert_eq!(due, NOW.monotonic_ms + 3_000);
    assert!(runtime.tick(Now { monotonic_ms: due - 1, ..NOW }).is_empty());
    assert_eq!(replies(&mut runtime), []);
    assert!(runtime.tick(Now { monotonic_ms: due, ..NOW }).is_empty());
    assert_eq!(replies(&mut runtime), [(1, 0)]);
    // Its session ends: a record, in a tick.
    let records = runtime.tick(Now { monotonic_ms: due + 10_000, ..NOW });
    assert_eq!(records.len(), 1);
    runtime.appended(Offset(2));
}

/// The batches of a log, one behind the other, with offsets from 0.
fn log(batches: Vec<Vec<u8>>) -> Vec<u8> {
    let mut offset = Offset(0);
    let mut log = Vec::new();
    for mut batch in batches {
        let end = {
            record::set_base_offset(&mut batch, offset);
            record::BatchView::parse_verified(&batch).unwrap().next_offset()
        };
        log.append(&mut batch);
        offset = end;
    }
    log
}

fn loaded(log: &[u8]) -> Result<Runtime, LoadError> {
    let mut runtime = Runtime::new(Options::default());
    runtime.load(log, NOW.wall_ms)?;
    assert!(runtime.activate(Offset(100), Offset(100), NOW).is_empty());
    Ok(runtime)
}

fn offset_of(runtime: &mut Runtime, group: &'static str) -> i64 {
    assert!(submit(runtime, Request::OffsetFetch(&fetch(group)), 1).is_empty());
    replies(runtime)[0].1
}

/// Records that commit offset `n` for group g, for n in 0..count.
fn commits(count: i64) -> Vec<Record> {
    let mut runtime = active();
    let mut records = Vec::new();
    for offset in 0..count {
        records.extend(submit(&mut runtime, Request::OffsetCommit(&commit("g", offset)), 1));
        runtime.appended(Offset(offset + 1));
    }
    records
}

#[test]
fn records_go_into_batches_and_come_back() {
    let records = commits(50);
    for (bytes_max, expected) in [(1, 50), (100_000, 1)] {
        let batches = to_batches(&records, bytes_max, Timestamp(7)).unwrap();
        assert_eq!(batches.len(), expected);
        let mut runtime = loaded(&log(batches)).unwrap();
        assert_eq!((offset_of(&mut runtime, "g"), runtime.skipped()), (49, 0));
    }
    assert!(
        to_batches(&records, 1_000, Timestamp(7)).unwrap().iter().all(|batch| batch.len() <= 1_000)
    );
    assert_eq!(to_batches(&[], 1, Timestamp(7)).unwrap().len(), 0);
}

#[test]
fn logs_that_others_wrote() {
    let record = commits(8).pop().unwrap();
    let batch = |builder: BatchBuilder| {
        let mut builder = builder;
        builder.append(Some(&record.key), record.value.as_deref(), Timestamp(7), &[]).unwrap();
        builder.append(None, Some(b"no key"), Timestamp(7), &[]).unwrap();
        builder.append(Some(b"\0\x63"), Some(b"from the future"), Timestamp(7), &[]).unwrap();
        builder.build().unwrap()
    };
    for codec in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut runtime =
            loaded(&log(vec![batch(BatchBuilder::new().compression(codec))])).unwrap();
        assert_eq!((offset_of(&mut runtime, "g"), runtime.skipped()), (7, 2), "{codec:?}");
    }
    // Offsets of a transaction count once it is committed.
    let producer = ProducerId(5);
    for (marker, expected) in
        [(Some(EndTxnMarker::Commit), 7), (Some(EndTxnMarker::Abort), -1), (None, -1)]
    {
        let mut batches = vec![batch(
            BatchBuilder::new().producer(producer, ProducerEpoch(0), 0).transactional(true),
        )];
        batches.extend(marker.map(|marker| {
            let epoch = ProducerEpoch(0);
            record::end_txn_batch(
                Offset(0),
                LeaderEpoch(0),
                producer,
                epoch,
                marker,
                0,
                Timestamp(7),
            )
        }));
        assert_eq!(offset_of(&mut loaded(&log(batches)).unwrap(), "g"), expected, "{marker:?}");
    }
}

#[test]
fn logs_that_cannot_be_read() {
    let good = log(to_batches(&commits(3), 100_000, Timestamp(7)).unwrap());
    assert!(loaded(&[]).is_ok());
    assert!(matches!(loaded(&good[..good.len() - 1]), Err(LoadError::Batch { .. })));
    assert!(matches!(loaded(&[0; 100]), Err(LoadError::Batch { .. })));
    let mut builder = BatchBuilder::new();
    builder
        .append(Some(b"\0\x01\0\x01g\0\x01t\0\0\0\0"), Some(b"\0\x09"), Timestamp(7), &[])
        .unwrap();
    let bad = log(vec![builder.build().unwrap()]);
    let error = loaded(&bad).unwrap_err();
    assert!(matches!(error, LoadError::Record { offset: Offset(0), .. }), "{error}");
}
