//! Expired offsets.
use super::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// A day of life for the members.
fn live(bed: &mut Bed, member: &str, days: u64) {
    for _ in 0..days * 24 {
        assert_eq!(bed.heartbeat(member, bed.generation()), ErrorCode::None);
        bed.sleep(HOUR);
    }
}

fn days_to_expiry(days: i64) -> Options {
    let offsets_retention_ms = days * i64::try_from(DAY).unwrap();
    Options { offsets_retention_ms, session_timeout_ms_max: 7_200_000, ..Options::default() }
}

fn long_session(bed: &mut Bed, topics: &[&str]) -> String {
    let asked =
        bed.send_join(Join { version: 3, session_ms: 7_200_000, topics, ..Join::default() });
    bed.sleep(3_000);
    let id = bed.joined(asked).member_id.into_owned();
    bed.sync_all(std::slice::from_ref(&id));
    id
}

#[test]
fn committed_by_hand() {
    let mut bed = Bed::with(days_to_expiry(2));
    assert_eq!(bed.commit("", -1, 1), ErrorCode::None);
    bed.sleep(DAY);
    let second = commit_request("", -1, "u", 0, 2);
    assert_eq!(bed.send_commit(&second, 9), ErrorCode::None);
    bed.sleep(DAY + HOUR);
    assert_eq!((bed.fetch("t", 0), bed.fetch("u", 0)), (-1, 2));
    bed.replay_is_the_same();
    bed.sleep(DAY);
    assert_eq!(bed.coordinator.size(), (0, 0), "nothing is left of the group");
    bed.restart();
    assert_eq!(bed.coordinator.size(), (0, 0));
}

#[test]
fn a_group_that_lost_its_members() {
    let mut bed = Bed::with(days_to_expiry(2));
    let id = long_session(&mut bed, &["t"]);
    assert_eq!(bed.commit(&id, 1, 1), ErrorCode::None);
    // As long as somebody reads the topic, its offsets are kept.
    live(&mut bed, &id, 5);
    assert_eq!(bed.fetch("t", 0), 1);
    bed.leave(&[(&id, None)]);
    bed.sleep(2 * DAY - HOUR);
    assert_eq!(bed.fetch("t", 0), 1, "the retention began when it became empty");
    bed.restart();
    bed.sleep(2 * HOUR);
    assert_eq!(bed.fetch("t", 0), -1);
    assert_eq!(bed.coordinator.size().0, 0);
}

#[test]
fn a_topic_that_is_no_longer_read() {
    let mut bed = Bed::with(days_to_expiry(2));
    let id = long_session(&mut bed, &["t"]);
    for topic in ["t", "u"] {
        let request = commit_request(&id, 1, topic, 0, 1);
        assert_eq!(bed.send_commit(&request, 9), ErrorCode::None);
    }
    live(&mut bed, &id, 1);
    assert_eq!(bed.fetch("u", 0), 1);
    live(&mut bed, &id, 2);
    assert_eq!((bed.fetch("t", 0), bed.fetch("u", 0)), (1, -1));
    assert_eq!(bed.state(), GroupState::Stable);
    bed.replay_is_the_same();
}

#[test]
fn while_it_is_not_known_what_is_read() {
    // Another protocol than the consumers': nothing expires while there are members.
    let mut bed = Bed::with(days_to_expiry(2));
    let asked = bed.send_join(Join {
        version: 3,
        session_ms: 7_200_000,
        kind: "connect",
        ..Join::default()
    });
    bed.sleep(3_000);
    let id = bed.joined(asked).member_id.into_owned();
    bed.sync_all(std::slice::from_ref(&id));
    assert_eq!(bed.commit(&id, 1, 1), ErrorCode::None);
    live(&mut bed, &id, 5);
    assert_eq!(bed.fetch("t", 0), 1);
}

#[test]
fn a_commit_may_name_its_end() {
    let mut bed = Bed::with(days_to_expiry(100));
    let mut request = commit_request("", -1, "t", 0, 1);
    request.retention_time_ms = i64::try_from(HOUR).unwrap();
    assert_eq!(bed.send_commit(&request, 4), ErrorCode::None);
    bed.restart();
    bed.sleep(HOUR - 1);
    assert_eq!(bed.fetch("t", 0), 1);
    bed.sleep(600_001);
    assert_eq!(bed.fetch("t", 0), -1);
}

#[test]
fn a_portion_a_tick() {
    let limits = super::super::Limits { expiry_groups_per_tick: 7, ..Default::default() };
    let mut bed = Bed::with(Options { limits, ..days_to_expiry(1) });
    let ids: Vec<String> = (0..50).map(|n| format!("group-{n:02}")).collect();
    for id in &ids {
        let mut request = commit_request("", -1, "t", 0, 1);
        request.group_id = Cow::Borrowed(id);
        assert_eq!(bed.send_commit(&request, 9), ErrorCode::None);
    }
    bed.pass(DAY + HOUR);
    let mut sizes = vec![bed.coordinator.size().0];
    while bed.coordinator.next_deadline().unwrap() <= bed.now.monotonic_ms {
        let outcome = bed.coordinator.tick(bed.now);
        bed.take(outcome);
        sizes.push(bed.coordinator.size().0);
    }
    assert_eq!(sizes, [50, 43, 36, 29, 22, 15, 8, 1, 0]);
    bed.replay_is_the_same();
}
