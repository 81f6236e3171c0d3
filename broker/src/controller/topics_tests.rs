use super::super::tests::*;
use super::*;
use crate::settings::Settings;
use proptest::prelude::*;
use wire::create_topics::{CreatableReplicaAssignment, CreatableTopicConfig};

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic<'static> {
    CreatableTopic {
        name: name.to_owned().into(),
        num_partitions: partitions,
        replication_factor: factor,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn with_configs(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic<'static> {
    let config = |(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
        name: (*name).to_owned().into(),
        value: value.map(|v| v.to_owned().into()),
    };
    CreatableTopic { configs: configs.iter().map(config).collect(), ..topic(name, 1, 1) }
}

fn assigned(name: &str, nodes: &[(i32, &[i32])]) -> CreatableTopic<'static> {
    let assignment = |(i, ids): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index: *i,
        broker_ids: ids.to_vec(),
    };
    CreatableTopic { assignments: nodes.iter().map(assignment).collect(), ..topic(name, -1, -1) }
}

fn ask(controller: &Controller, topics: Vec<CreatableTopic<'static>>) -> Outcome<Created> {
    controller.create_topics(
        &CreateTopicsRequest { topics, timeout_ms: 1, validate_only: false },
        numbers(),
    )
}

fn refused(controller: &Controller, topic: CreatableTopic<'static>) -> (ErrorCode, String) {
    let outcome = ask(controller, vec![topic]);
    assert!(outcome.records.is_empty(), "{:?}", outcome.response);
    let result = &outcome.response.topics[0];
    (
        ErrorCode::from_code(result.error_code).unwrap(),
        result.error_message.clone().unwrap_or_default().into_owned(),
    )
}

#[test]
fn a_topic_with_everything_it_says_about_itself() {
    let mut controller = controller();
    let outcome = ask(
        &controller,
        vec![CreatableTopic {
            num_partitions: 3,
            ..with_configs("t", &[("retention.ms", Some("5"))])
        }],
    );
    let response = done(&mut controller, outcome);
    let made = &response.result(0);
    assert_eq!((made.error_code, made.num_partitions, made.replication_factor), (0, 3, 1));
    let configs = made.configs.as_ref().unwrap();
    let retention = configs.iter().find(|c| c.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5"), 1));
    assert!(configs.iter().any(|c| c.name == "segment.bytes" && c.config_source == 5));
    assert!(configs.is_sorted_by(|a, b| a.name < b.name));
    let image = controller.image().topic("t").unwrap();
    assert_eq!((image.id, image.partitions.len()), (made.topic_id, 3));
    assert_eq!(controller.image().topic_configs("t")["retention.ms"], "5");
}

#[test]
fn defaults_apply_and_validation_writes_nothing() {
    let mut controller = controller_with(Settings { default_partitions: 4, ..settings() });
    let request = CreateTopicsRequest {
        topics: vec![topic("t", -1, -1)],
        timeout_ms: 1,
        validate_only: true,
    };
    let outcome = controller.create_topics(&request, numbers());
    assert!(outcome.records.is_empty());
    assert_eq!(outcome.response.topics[0].num_partitions, 4);
    let outcome = ask(&controller, vec![topic("t", -1, -1)]);
    done(&mut controller, outcome);
    assert_eq!(controller.image().partition_count(), 4);
}

#[test]
fn refusals() {
    let mut controller = controller();
    let outcome = ask(&controller, vec![topic("a.b", 1, 1)]);
    done(&mut controller, outcome);
    let code = |topic| refused(&controller, topic).0;
    assert_eq!(code(topic("a.b", 1, 1)), ErrorCode::TopicAlreadyExists);
    assert_eq!(code(topic("a_b", 1, 1)), ErrorCode::InvalidTopicException);
    for name in ["", ".", "..", "a b", "ü", "a/b", &"x".repeat(250)] {
        assert_eq!(code(topic(name, 1, 1)), ErrorCode::InvalidTopicException, "{name}");
    }
    assert_eq!(code(topic("__cluster_metadata", 1, 1)), ErrorCode::InvalidRequest);
    assert_eq!(code(topic("t", 0, 1)), ErrorCode::InvalidPartitions);
    assert_eq!(code(topic("t", -2, 1)), ErrorCode::InvalidPartitions);
    assert_eq!(code(topic("t", 1, 0)), ErrorCode::InvalidReplicationFactor);
    assert_eq!(code(topic("t", 1, -2)), ErrorCode::InvalidReplicationFactor);
    assert_eq!(code(topic("t", 10_001, 1)), ErrorCode::PolicyViolation);
    assert_eq!(code(topic("t", i32::MAX, 1)), ErrorCode::PolicyViolation);
    let (error, why) = refused(&controller, topic("t", 1, 3));
    assert_eq!(error, ErrorCode::InvalidReplicationFactor);
    assert!(why.contains("only 2 broker(s)"), "{why}");
}

#[test]
fn manual_assignments_name_nodes_and_mean_hosts() {
    let mut controller = controller();
    let outcome = ask(&controller, vec![assigned("t", &[(1, &[1001]), (0, &[1000])])]);
    assert_eq!(done(&mut controller, outcome).topics[0].error_code, 0);
    let partitions = &controller.image().topic("t").unwrap().partitions;
    assert!(partitions.len() == 2 && partitions.iter().all(|p| p.replicas == [1]));

    let code = |topic| refused(&controller, topic).0;
    assert_eq!(
        code(CreatableTopic { replication_factor: 1, ..assigned("u", &[(0, &[1000])]) }),
        ErrorCode::InvalidRequest
    );
    assert_eq!(
        code(CreatableTopic { num_partitions: 1, ..assigned("u", &[(0, &[1000])]) }),
        ErrorCode::InvalidRequest
    );
    assert_eq!(
        code(assigned("u", &[(0, &[1000]), (0, &[1001])])),
        ErrorCode::InvalidReplicaAssignment
    );
    assert_eq!(
        code(assigned("u", &[(0, &[1000]), (2, &[1001])])),
        ErrorCode::InvalidReplicaAssignment
    );
    assert_eq!(code(assigned("u", &[(0, &[])])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(code(assigned("u", &[(0, &[1])])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(code(assigned("u", &[(0, &[1002])])), ErrorCode::InvalidReplicaAssignment);
    let (error, why) = refused(&controller, assigned("u", &[(0, &[1000]), (1, &[1000])]));
    assert_eq!(error, ErrorCode::InvalidReplicaAssignment);
    assert!(why.contains("in turn"), "{why}");

    let mut single = controller_with(Settings { single_port: true, ..settings() });
    let outcome = ask(&single, vec![assigned("t", &[(0, &[1])])]);
    assert_eq!(done(&mut single, outcome).topics[0].error_code, 0);
}

#[test]
fn configurations_are_judged_before_anything_is_made() {
    let controller = controller();
    let why = |configs: &[(&str, Option<&str>)]| {
        let (error, why) = refused(&controller, with_configs("t", configs));
        assert_eq!(error, ErrorCode::InvalidConfig, "{why}");
        why
    };
    assert!(why(&[("retention.ms", None)]).contains("Null value"));
    assert!(why(&[("retention.mss", Some("1"))]).contains("retention.ms?"));
    assert!(why(&[("retention.ms", Some("soon"))]).contains("retention.ms"));
    assert!(why(&[("cleanup.policy", Some("compact"))]).contains("compact"));
    assert!(why(&[("compression.type", Some("brotli"))]).contains("compression.type"));
    assert!(why(&[("remote.storage.enable", Some("true"))]).contains("remote"));
    assert!(
        why(&[("min.compaction.lag.ms", Some("9")), ("max.compaction.lag.ms", Some("8"))])
            .contains("conflict")
    );
    assert!(why(&[("flush.ms", Some(&"1".repeat(40_000)))]).contains("32767"));
}

#[test]
fn one_refused_topic_does_not_hinder_another_and_names_collide_within_a_request() {
    let mut controller = controller();
    let topics = vec![
        topic("x.y", 1, 1),
        topic("x_y", 1, 1),
        topic("ok", 1, 1),
        topic("two", 1, 1),
        topic("two", 2, 1),
    ];
    let outcome = ask(&controller, topics);
    let codes: Vec<_> =
        outcome.response.topics.iter().map(|t| (t.name.to_string(), t.error_code)).collect();
    let (invalid, twice) =
        (ErrorCode::InvalidTopicException.code(), ErrorCode::InvalidRequest.code());
    let expected =
        [("x.y", 0), ("x_y", invalid), ("ok", 0), ("two", twice)].map(|(n, c)| (n.to_owned(), c));
    assert_eq!(codes, expected);
    done(&mut controller, outcome);
    assert_eq!(controller.image().topic_count(), 2);
}

#[test]
fn partitions_of_this_host_are_bounded() {
    let mut few = settings();
    few.limits.partitions_max = 5;
    let controller = controller_with(few);
    let outcome = ask(&controller, vec![topic("a", 3, 1), topic("b", 3, 1)]);
    let codes: Vec<_> = outcome.response.topics.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::PolicyViolation.code()]);
}

#[test]
fn a_request_for_too_many_partitions_makes_none() {
    let controller = controller();
    let outcome = ask(&controller, vec![topic("a", 1, 1), topic("b", 10_000, 1)]);
    assert!(outcome.records.is_empty());
    for result in &outcome.response.topics {
        assert_eq!(result.error_code, ErrorCode::PolicyViolation.code());
    }
    // Those that are named twice are refused anyway.
    let twice = vec![topic("a", 1, 1), topic("b", 9_999, 1), topic("b", 9_999, 1)];
    let outcome = ask(&controller, twice);
    let codes = outcome.response.topics.iter().map(|t| t.error_code);
    let invalid = ErrorCode::InvalidRequest.code();
    assert_eq!(codes.collect::<Vec<_>>(), [0, invalid]);
}

#[test]
fn automatic_creation_makes_what_can_be_made() {
    let mut controller = controller();
    let names = ["t", "bad name", "t", "__consumer_offsets", "u.v", "u_v", "__cluster_metadata"]
        .map(str::to_owned);
    for record in controller.auto_create(&names, numbers()).records {
        controller.apply(&record);
    }
    let made: Vec<_> =
        controller.image().topics().map(|t| (t.name.to_string(), t.partitions.len())).collect();
    assert_eq!(
        made,
        [("__consumer_offsets", 50), ("t", 1), ("u.v", 1)].map(|(n, p)| (n.to_owned(), p))
    );
    let configs = controller.image().topic_configs("__consumer_offsets");
    assert_eq!(
        (configs["cleanup.policy"].as_str(), configs["segment.bytes"].as_str()),
        ("compact", "104857600")
    );
    assert!(controller.auto_create(&names, numbers()).records.is_empty());
}

proptest! {
    /// Whatever is asked: every name gets one answer, and what the answers promise is what the
    /// records make.
    #[test]
    fn any_request(
        asked in prop::collection::vec(("[a-c._]{0,3}", -2i32..6, -2i16..4, prop::option::of(0usize..3)), 0..8)
    ) {
        let mut controller = controller();
        let topics = asked
            .iter()
            .map(|(name, partitions, factor, manual)| match manual {
                Some(n) => assigned(name, &(0..*n as i32).map(|i| (i, &[1001][..])).collect::<Vec<_>>()),
                None => topic(name, *partitions, *factor),
            })
            .collect();
        let outcome = ask(&controller, topics);
        let mut names: Vec<_> = outcome.response.topics.iter().map(|t| t.name.to_string()).collect();
        let response = done(&mut controller, outcome);
        let mut unique: Vec<_> = asked.iter().map(|a| a.0.clone()).collect();
        unique.sort();
        unique.dedup();
        names.sort();
        prop_assert_eq!(names, unique);
        for result in &response.topics {
            match controller.image().topic(&result.name) {
                Some(made) => {
                    prop_assert_eq!(result.error_code, 0);
                    prop_assert_eq!(made.id, result.topic_id);
                    prop_assert_eq!(made.partitions.len() as i32, result.num_partitions);
                }
                None => prop_assert_ne!(result.error_code, 0),
            }
        }
    }
}
