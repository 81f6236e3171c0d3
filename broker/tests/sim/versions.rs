//! Every API in every version that is served: the answer is there, decodes in that version, and has
//! Kafka's error codes.
use crate::{
    bed::{Bed, Conn, Errors, every_mode, log_of},
    kafka::{Kafka, batch},
    requests::{ID, Names, filled, minimal, show_answer, versions_of},
};
use broker::api::{Api, TABLE};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use wire::{ApiKey, ErrorCode, Uuid, api_versions::ApiVersionsRequest};

/// A world with a topic and a group in it.
fn world(bed: &mut Bed, kafka: &mut Kafka) -> Names {
    let topic_id = kafka.create_topic(bed, "known", 2).unwrap();
    assert_eq!(kafka.produce(bed, "known", 1, batch(&["value"])).error_code, 0);
    assert_eq!(kafka.commit(bed, "group", "known", 1, 1), ErrorCode::None);
    Names {
        topic: "known".into(),
        topic_id,
        partition: 1,
        group: "group".into(),
        new_topic: String::new(),
        strange: false,
    }
}

/// Sends a request and shows its answer.
fn ask(bed: &mut Bed, conn: &mut Conn, key: ApiKey, version: i16, request: Vec<u8>) -> String {
    conn.client.send(request);
    match bed.frame(conn) {
        Some(answer) => show_answer(key, version, &answer),
        None => panic!(
            "{key:?} version {version}: the connection was closed: {:?}",
            conn.client.ended()
        ),
    }
}

/// The error codes in an answer, each once, without NONE.
fn errors(answer: &str) -> BTreeSet<ErrorCode> {
    codes(answer).collect()
}

/// The error codes in an answer, as often as they are said, without NONE.
fn codes(answer: &str) -> impl Iterator<Item = ErrorCode> {
    let codes = answer.split("error_code: ").skip(1).map(|rest| {
        let digits = rest.find([',', ' ', '}']).map_or(rest, |end| &rest[..end]);
        ErrorCode::from_code(digits.parse().unwrap()).unwrap()
    });
    codes.filter(|&code| code != ErrorCode::None)
}

fn served() -> impl Iterator<Item = (&'static Api, i16)> {
    TABLE.iter().flat_map(|api| (api.min..=api.max).map(move |version| (api, version)))
}

/// The core that an ordinary client sends such a request to.
fn home(bed: &mut Bed, kafka: &mut Kafka, key: ApiKey, names: &Names) -> u16 {
    match key {
        ApiKey::Produce
        | ApiKey::Fetch
        | ApiKey::ListOffsets
        | ApiKey::DeleteRecords
        | ApiKey::OffsetForLeaderEpoch
        | ApiKey::DescribeProducers
        | ApiKey::AlterReplicaLogDirs
            if !names.strange =>
        {
            kafka.leader(bed, &names.topic, names.partition)
        }
        ApiKey::JoinGroup if !names.strange => 0,
        ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::JoinGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::DeleteGroups
        | ApiKey::OffsetDelete => kafka.coordinator(bed, &names.group),
        _ => 0,
    }
}

#[test]
fn a_request_with_nothing_in_it_is_answered_by_every_core() {
    for how in every_mode(11) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        world(&mut bed, &mut kafka);
        for core in 0..bed.cores() {
            let mut conn = bed.connect(core);
            for (api, version) in served() {
                let Some(request) = minimal(api.key, version) else {
                    continue;
                };
                ask(&mut bed, &mut conn, api.key, version, request);
            }
        }
    }
}

#[test]
fn a_request_that_names_what_exists_is_answered_without_error() {
    for how in every_mode(12) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        let known = world(&mut bed, &mut kafka);
        for core in 0..bed.cores() {
            let mut conn = bed.connect(core);
            for (api, version) in served() {
                let mut names =
                    Names { new_topic: format!("new-{version}-{core}"), ..known.clone() };
                if api.key == ApiKey::DeleteTopics {
                    names.topic = format!("gone-{version}-{core}");
                    names.topic_id = kafka.create_topic(&mut bed, &names.topic, 1).unwrap();
                }
                if api.key == ApiKey::DeleteGroups {
                    names.group = format!("gone-{version}-{core}");
                }
                if matches!(api.key, ApiKey::DeleteGroups | ApiKey::OffsetDelete) {
                    assert_eq!(
                        kafka.commit(&mut bed, &names.group, "known", 1, 1),
                        ErrorCode::None
                    );
                }
                let answer =
                    ask(&mut bed, &mut conn, api.key, version, filled(api.key, version, &names));
                let mut found = errors(&answer);
                // A core that is not home says so, which is not an error of the request.
                if !bed.how.settings.single_port
                    && home(&mut bed, &mut kafka, api.key, &names) != core
                {
                    found.remove(&ErrorCode::NotLeaderOrFollower);
                    found.remove(&ErrorCode::ReplicaNotAvailable);
                    found.remove(&ErrorCode::NotCoordinator);
                }
                let group_core = !bed.how.settings.single_port && bed.cores() > 1;
                let wanted: BTreeSet<ErrorCode> = match api.key {
                    ApiKey::JoinGroup if version >= 4 => [ErrorCode::MemberIdRequired].into(),
                    ApiKey::Heartbeat | ApiKey::LeaveGroup | ApiKey::SyncGroup => {
                        [ErrorCode::UnknownMemberId].into()
                    }
                    ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => {
                        [ErrorCode::SecurityDisabled].into()
                    }
                    ApiKey::ElectLeaders => [ErrorCode::ElectionNotNeeded].into(),
                    ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
                        [ErrorCode::UnsupportedVersion].into()
                    }
                    ApiKey::AlterPartitionReassignments => {
                        [ErrorCode::InvalidReplicaAssignment].into()
                    }
                    ApiKey::DescribeUserScramCredentials => [ErrorCode::ResourceNotFound].into(),
                    _ => BTreeSet::new(),
                };
                let elsewhere =
                    group_core && (found.is_empty() || found == [ErrorCode::NotCoordinator].into());
                assert!(
                    found == wanted || elsewhere,
                    "{:?} version {version} at core {core}: {found:?}: {answer}",
                    api.key
                );
            }
        }
    }
}

#[test]
fn what_does_not_exist_has_kafkas_error() {
    use ErrorCode as E;
    for how in every_mode(13) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        world(&mut bed, &mut kafka);
        let strange = Names {
            topic: "unknown".into(),
            topic_id: Uuid::from_random(1, 2),
            partition: 0,
            group: "unknown".into(),
            new_topic: String::new(),
            strange: true,
        };
        for (api, version) in served() {
            let wanted: &[E] = match api.key {
                ApiKey::Produce | ApiKey::Fetch if version >= 13 => &[E::UnknownTopicId],
                ApiKey::OffsetCommit | ApiKey::OffsetFetch if version >= 10 => &[E::UnknownTopicId],
                ApiKey::DeleteTopics if version >= 6 => &[E::UnknownTopicId],
                // Names beside ids count for nothing.
                ApiKey::Metadata if version >= 12 => &[E::UnknownTopicId],
                // These versions always ask for the topic to be made.
                ApiKey::Metadata if version < 4 => continue,
                ApiKey::Produce
                | ApiKey::Fetch
                | ApiKey::ListOffsets
                | ApiKey::Metadata
                | ApiKey::OffsetCommit
                | ApiKey::DeleteTopics
                | ApiKey::DeleteRecords
                | ApiKey::OffsetForLeaderEpoch
                | ApiKey::DescribeConfigs
                | ApiKey::AlterConfigs
                | ApiKey::IncrementalAlterConfigs
                | ApiKey::CreatePartitions
                | ApiKey::DescribeProducers
                | ApiKey::ElectLeaders
                | ApiKey::AlterPartitionReassignments
                | ApiKey::AlterReplicaLogDirs
                | ApiKey::DescribeQuorum
                | ApiKey::DescribeTopicPartitions => &[E::UnknownTopicOrPartition],
                ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => {
                    &[E::SecurityDisabled]
                }
                ApiKey::DescribeUserScramCredentials => &[E::ResourceNotFound],
                ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
                    &[E::UnsupportedVersion]
                }
                ApiKey::JoinGroup | ApiKey::Heartbeat | ApiKey::LeaveGroup | ApiKey::SyncGroup => {
                    &[E::UnknownMemberId]
                }
                ApiKey::DescribeGroups if version >= 6 => &[E::GroupIdNotFound],
                ApiKey::DeleteGroups | ApiKey::OffsetDelete => &[E::GroupIdNotFound],
                ApiKey::CreateTopics => &[E::InvalidTopicException],
                ApiKey::InitProducerId => &[E::TransactionalIdAuthorizationFailed],
                _ => &[],
            };
            // A world in which nothing of the kind was made on the way.
            let core = home(&mut bed, &mut kafka, api.key, &strange);
            let mut conn = bed.connect(core);
            let answer =
                ask(&mut bed, &mut conn, api.key, version, filled(api.key, version, &strange));
            assert_eq!(
                errors(&answer),
                wanted.iter().copied().collect(),
                "{:?} version {version}: {answer}",
                api.key
            );
        }
    }
}

#[test]
fn what_is_not_served_ends_the_connection_and_no_other() {
    for how in every_mode(14) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        world(&mut bed, &mut kafka);
        let core = bed.cores() - 1;
        for code in -1..=120 {
            let key = ApiKey::from_code(code);
            let table = TABLE.iter().find(|api| api.key.code() == code);
            let range = table.map_or((0, -1), |api| (api.min, api.max));
            for version in [i16::MIN, -1, range.0 - 1, range.1 + 1, i16::MAX] {
                if (range.0..=range.1).contains(&version) || key == Some(ApiKey::ApiVersions) {
                    continue;
                }
                let mut conn = bed.connect(core);
                let mut request = Vec::new();
                request.extend(code.to_be_bytes());
                request.extend(version.to_be_bytes());
                request.extend(ID.to_be_bytes());
                request.extend(i16::to_be_bytes(-1));
                request.extend([0; 20]);
                conn.client.send([&(request.len() as i32).to_be_bytes()[..], &request].concat());
                let said = bed.until_closed(&mut conn);
                assert!(said.is_empty(), "{code} version {version}: {said:x?}");
            }
        }
        assert_eq!(kafka.produce(&mut bed, "known", 0, batch(&["still here"])).error_code, 0);
    }
}

#[test]
fn api_versions_of_the_future_says_what_is_served() {
    let future = versions_of(ApiKey::ApiVersions).max + 1;
    for how in every_mode(15) {
        let mut bed = Bed::start(how);
        for core in 0..bed.cores() {
            let mut conn = bed.connect(core);
            for version in [5, future, 9, i16::MAX] {
                let mut request = Vec::new();
                request.extend(ApiKey::ApiVersions.code().to_be_bytes());
                request.extend(version.to_be_bytes());
                request.extend(ID.to_be_bytes());
                request.extend([0, 1, b'c', 0]);
                // Whatever that version may look like.
                request.extend([0xee; 9]);
                conn.client.send([&(request.len() as i32).to_be_bytes()[..], &request].concat());
                let frame = bed.frame(&mut conn).expect("an answer");
                let answer = crate::bed::read_answer::<ApiVersionsRequest<'_>>(&frame, ID, 0);
                assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
                let keys: Vec<_> = answer
                    .api_keys
                    .iter()
                    .map(|k| (k.api_key, k.min_version, k.max_version))
                    .collect();
                assert_eq!(keys, [(18, 0, 4)]);
            }
        }
    }
}

/// What all cores have counted for an API.
fn counted(errors: &Mutex<Errors>, key: ApiKey) -> BTreeMap<i16, u64> {
    let mut sum = BTreeMap::new();
    for (&(api, code), &times) in errors.lock().unwrap().values().flatten() {
        if api == key.code() {
            *sum.entry(code).or_default() += times;
        }
    }
    sum
}

#[test]
fn every_error_of_every_api_is_counted_once() {
    for mut how in every_mode(16) {
        let errors = Arc::default();
        how.errors = Some(Arc::clone(&errors));
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        let known = world(&mut bed, &mut kafka);
        let strange = Names {
            topic: "unknown".into(),
            topic_id: Uuid::from_random(1, 2),
            partition: 0,
            group: "unknown".into(),
            new_topic: String::new(),
            strange: true,
        };
        let mut said_at_all = BTreeSet::new();
        for (api, version) in served() {
            for (core, names) in [(0, &strange), (bed.cores() - 1, &known)] {
                let mut conn = bed.connect(core);
                let request = filled(api.key, version, names);
                let mut wanted = counted(&errors, api.key);
                let answer = ask(&mut bed, &mut conn, api.key, version, request);
                for code in codes(&answer) {
                    *wanted.entry(code.code()).or_default() += 1;
                    said_at_all.insert(api.key.name());
                }
                let counted = counted(&errors, api.key);
                let api = api.key;
                assert_eq!(counted, wanted, "{api:?} version {version}: {answer}");
            }
        }
        assert!(said_at_all.len() > 25, "{said_at_all:?}");
    }
}

#[test]
fn a_request_that_is_not_served_is_logged_with_who_sent_it() {
    for how in every_mode(17) {
        let log = log_of(|| {
            let mut bed = Bed::start(how);
            let mut conn = bed.connect(bed.cores() - 1);
            let hello = ApiVersionsRequest {
                client_software_name: "some-library".into(),
                client_software_version: "1.2.3".into(),
            };
            assert_eq!(bed.call(&mut conn, &hello, 3).error_code, 0);
            let mut request = Vec::new();
            request.extend(ApiKey::Fetch.code().to_be_bytes());
            request.extend(3i16.to_be_bytes());
            request.extend(ID.to_be_bytes());
            request.extend([0, 9]);
            request.extend(b"billing\x1b\n");
            conn.client.send([&(request.len() as i32).to_be_bytes()[..], &request].concat());
            bed.until_closed(&mut conn);
            let mut conn = bed.connect(0);
            bed.sim.run_for(2_000_000_000);
            request[..4].copy_from_slice(&[0x7f, 0, 0, 9]);
            conn.client.send([&(request.len() as i32).to_be_bytes()[..], &request].concat());
            bed.until_closed(&mut conn);
        });
        let line = |what: &str| log.lines().find(|l| l.contains(what)).map(str::to_owned);
        let fetch = line("Fetch version 3").unwrap_or_else(|| panic!("{log}"));
        let id = "client id \"billing\\u{1b}\\n\"";
        assert!(fetch.contains(id), "{fetch}");
        let software = "software \"some-library\" \"1.2.3\"";
        assert!(fetch.contains(software), "{fetch}");
        let unknown = line("API 32512 version 9").unwrap_or_else(|| panic!("{log}"));
        assert!(unknown.contains(id), "{unknown}");
        assert!(unknown.contains("software not said"), "{unknown}");
    }
}
