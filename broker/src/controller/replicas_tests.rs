use super::super::tests::*;
use super::*;
use crate::{
    config::Defaults,
    metadata::{Configs, Image},
    settings::Settings,
};
use wire::{
    alter_partition_reassignments::ReassignableTopic,
    create_partitions::{
        CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
    },
    create_topics::{CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest},
};

/// A controller of a host with four cores, which show themselves as brokers 1000 to 1003.
fn four_cores(configs: &[(&str, &str)]) -> Controller {
    let settings = Settings { cores: 4, ..settings() };
    with(settings, configs)
}

fn with(settings: Settings, configs: &[(&str, &str)]) -> Controller {
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    let given: Configs = configs.iter().map(owned).collect();
    let mut controller = Controller::new(Image::default(), settings, Defaults::new(given));
    for record in controller.start_records(1, 2) {
        controller.apply(&record);
    }
    controller
}

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic<'static> {
    CreatableTopic {
        name: name.to_owned().into(),
        num_partitions: partitions,
        replication_factor: factor,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn manual(name: &str, partitions: &[&[i32]]) -> CreatableTopic<'static> {
    let assignment = |(partition_index, brokers): (i32, &&[i32])| CreatableReplicaAssignment {
        partition_index,
        broker_ids: brokers.to_vec(),
    };
    CreatableTopic {
        assignments: (0..).zip(partitions).map(assignment).collect(),
        ..topic(name, -1, -1)
    }
}

/// Asks for one topic, and makes it. Gives the error with its message, or the factor that is
/// answered and what is clipped.
fn create(
    controller: &mut Controller,
    topic: CreatableTopic<'static>,
    validate_only: bool,
) -> Result<(i16, Vec<Clipped>), (ErrorCode, String)> {
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1, validate_only };
    let outcome = controller.create_topics(&request, numbers());
    let clipped = outcome.clipped.clone();
    let answer = done(controller, outcome).topics.remove(0);
    match ErrorCode::from_code(answer.error_code).unwrap() {
        ErrorCode::None => Ok((answer.replication_factor, clipped)),
        error => Err((error, answer.error_message.unwrap().into_owned())),
    }
}

/// The brokers that lead a topic's partitions.
fn leaders(controller: &Controller, topic: &str) -> Vec<i32> {
    let image = controller.image().topic(topic).unwrap();
    let settings = &controller.settings;
    (0..)
        .zip(&image.partitions)
        .map(|(index, _)| settings.client_id_of(core_of(image.id, index, settings.cores)))
        .collect()
}

fn clipped(topic: &str, asked: usize) -> Vec<Clipped> {
    vec![Clipped { topic: topic.to_owned(), asked, kept: 1 }]
}

#[test]
fn as_many_replicas_as_brokers_are_shown_may_be_asked_for() {
    let mut c = four_cores(&[]);
    assert_eq!(create(&mut c, topic("one", 3, 1), false), Ok((1, vec![])));
    assert_eq!(create(&mut c, topic("two", 3, 2), false), Ok((1, clipped("two", 2))));
    assert_eq!(create(&mut c, topic("four", 1, 4), false), Ok((1, clipped("four", 4))));
    let stored = &c.image().topic("four").unwrap().partitions;
    assert!(stored.iter().all(|p| p.replicas == [1] && p.isr == [1]));
    let (error, why) = create(&mut c, topic("five", 1, 5), false).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidReplicationFactor);
    assert!(
        why.contains("only 4 broker(s) are registered") && why.contains("--single-port"),
        "{why}"
    );
    // Validation answers the same, and the log says nothing.
    assert_eq!(create(&mut c, topic("v", 3, 4), true), Ok((1, vec![])));
    assert!(create(&mut c, topic("v", 3, 5), true).is_err());
    assert!(c.image().topic("v").is_none());
}

#[test]
fn one_port_shows_one_broker() {
    let settings = Settings { cores: 4, single_port: true, ..settings() };
    let mut c = with(settings, &[]);
    let (error, why) = create(&mut c, topic("t", 1, 2), false).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidReplicationFactor);
    assert!(why.contains("only 1 broker(s)") && !why.contains("--"), "{why}");
    let assigned = create(&mut c, manual("t", &[&[1], &[1]]), false);
    assert_eq!(assigned, Ok((1, vec![])));
}

#[test]
fn a_factor_above_the_hosts_can_be_refused() {
    let mut c = four_cores(&[(ABOVE_HOSTS, "refuse")]);
    let (error, why) = create(&mut c, topic("t", 1, 2), false).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidReplicationFactor);
    for hint in ["only 1 broker(s)", "=clip", "--single-port"] {
        assert!(why.contains(hint), "{why}");
    }
    let (error, why) = create(&mut c, manual("t", &[&[1000, 1001]]), false).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidReplicaAssignment);
    assert!(why.contains("=clip"), "{why}");
    assert_eq!(create(&mut c, manual("t", &[&[1001]]), false), Ok((1, vec![])));
}

#[test]
fn the_default_factor_follows_the_same_rule() {
    let name = ["auto".to_owned()];
    let mut c = four_cores(&[("default.replication.factor", "3")]);
    assert_eq!(create(&mut c, topic("t", 1, -1), false), Ok((1, clipped("t", 3))));
    let outcome = c.auto_create(&name, numbers());
    assert_eq!(outcome.clipped, clipped("auto", 3));
    assert_eq!(done(&mut c, outcome), []);
    assert!(c.image().topic("auto").is_some());

    let mut c = four_cores(&[("default.replication.factor", "5")]);
    assert!(create(&mut c, topic("t", 1, -1), false).is_err());
    let offsets = "__consumer_offsets".to_owned();
    let outcome = c.auto_create(&[name[0].clone(), offsets.clone()], numbers());
    let refused = done(&mut c, outcome);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, "auto");
    assert_eq!(refused[0].1.error, ErrorCode::InvalidReplicationFactor);
    assert!(c.image().topic(&offsets).is_some(), "groups need it");
}

#[test]
fn brokers_that_an_assignment_names_lead_its_partitions() {
    let mut c = four_cores(&[]);
    for broker in 1000..1004 {
        let name = format!("on-{broker}");
        assert_eq!(create(&mut c, manual(&name, &[&[broker]]), false), Ok((1, vec![])));
        assert_eq!(leaders(&c, &name), [broker]);
    }
    let round: [&[i32]; 5] = [&[1002], &[1003], &[1000], &[1001], &[1002]];
    assert_eq!(create(&mut c, manual("r", &round), false), Ok((1, vec![])));
    assert_eq!(leaders(&c, "r"), [1002, 1003, 1000, 1001, 1002]);
    // Of several the first leads where that can be; one of them does.
    let spread: [&[i32]; 3] = [&[1001, 1003], &[1002, 1000], &[1003, 1001]];
    assert_eq!(create(&mut c, manual("s", &spread), false), Ok((1, clipped("s", 2))));
    assert_eq!(leaders(&c, "s"), [1001, 1002, 1003]);
    let all: [&[i32]; 3] = [&[1003, 1002, 1001, 1000]; 3];
    assert!(create(&mut c, manual("all", &all), false).is_ok());
    assert_eq!(leaders(&c, "all")[0], 1003);
    // What cannot be honoured is refused.
    for partitions in
        [&[&[1000][..], &[1000]][..], &[&[1000], &[1002]], &[&[1000, 1001], &[1000, 1003]]]
    {
        let (error, why) = create(&mut c, manual("no", partitions), false).unwrap_err();
        assert_eq!(error, ErrorCode::InvalidReplicaAssignment);
        assert!(why.contains("in turn"), "{why}");
    }
    // As Kafka refuses them.
    for partitions in
        [&[&[1000, 1000][..]][..], &[&[1004]], &[&[1]], &[&[]], &[&[1000], &[1001, 1002]]]
    {
        let (error, _) = create(&mut c, manual("no", partitions), false).unwrap_err();
        assert_eq!(error, ErrorCode::InvalidReplicaAssignment, "{partitions:?}");
    }
}

#[test]
fn added_and_reassigned_partitions_follow_the_same_rule() {
    let mut c = four_cores(&[]);
    create(&mut c, manual("t", &[&[1001], &[1002]]), false).unwrap();
    let more = |c: &mut Controller, brokers: &[&[i32]]| {
        let assigned =
            |brokers: &&[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "t".into(),
                count: 2 + i32::try_from(brokers.len()).unwrap(),
                assignments: Some(brokers.iter().map(assigned).collect()),
            }],
            timeout_ms: 1,
            validate_only: true,
        };
        let answer = c.create_partitions(&request).response.results.remove(0);
        ErrorCode::from_code(answer.error_code).unwrap()
    };
    assert_eq!(more(&mut c, &[&[1003], &[1000]]), ErrorCode::None);
    assert_eq!(more(&mut c, &[&[1000, 1003]]), ErrorCode::None);
    for brokers in [&[&[1000][..]][..], &[&[1003], &[1003]], &[&[1000, 1001]]] {
        assert_eq!(more(&mut c, brokers), ErrorCode::InvalidReplicaAssignment);
    }

    let reassign = |c: &mut Controller, partition_index, replicas: Option<&[i32]>, may_change| {
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: 1,
            allow_replication_factor_change: may_change,
            topics: vec![ReassignableTopic {
                name: "t".into(),
                partitions: vec![ReassignablePartition {
                    partition_index,
                    replicas: replicas.map(<[i32]>::to_vec),
                }],
            }],
        };
        let outcome = c.alter_partition_reassignments(&request);
        assert!(outcome.records.is_empty());
        let answer = &outcome.response.responses[0].partitions[0];
        let code = ErrorCode::from_code(answer.error_code).unwrap();
        (code, outcome.clipped)
    };
    let ok = |less| (ErrorCode::None, less);
    let refused = |error| (error, vec![]);
    assert_eq!(reassign(&mut c, 0, Some(&[1001]), true), ok(vec![]));
    assert_eq!(reassign(&mut c, 0, Some(&[1000, 1001]), true), ok(clipped("t", 2)));
    assert_eq!(
        reassign(&mut c, 0, Some(&[1000, 1001]), false),
        refused(ErrorCode::InvalidReplicationFactor)
    );
    let not_so = ErrorCode::InvalidReplicaAssignment;
    for brokers in [&[1002][..], &[1002, 1003], &[1001, 1001], &[7], &[]] {
        let found = reassign(&mut c, 0, Some(brokers), true);
        assert_eq!(found, refused(not_so), "{brokers:?}");
    }
    let none = refused(ErrorCode::NoReassignmentInProgress);
    assert_eq!(reassign(&mut c, 0, None, true), none);
    let unknown = refused(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(reassign(&mut c, 2, Some(&[1001]), true), unknown);
    assert_eq!(reassign(&mut c, -1, Some(&[1001]), true), unknown);
}
