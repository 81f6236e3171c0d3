use super::super::tests::*;
use super::*;
use crate::settings::Settings;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Asked<'a> = (&'a str, i8, Option<&'a str>);

fn with_topic(settings: Settings) -> Controller {
    let mut controller = controller_with(settings);
    for record in controller.auto_create(&["t".to_owned()], numbers()).records {
        controller.apply(&record);
    }
    controller
}

fn request(kind: i8, name: &str, asked: &[Asked<'_>]) -> IncrementalAlterConfigsRequest<'static> {
    let config =
        |(name, operation, value): &Asked<'_>| incremental_alter_configs::AlterableConfig {
            name: (*name).to_owned().into(),
            config_operation: *operation,
            value: value.map(|v| v.to_owned().into()),
        };
    let resource = incremental_alter_configs::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned().into(),
        configs: asked.iter().map(config).collect(),
    };
    IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }
}

fn alter(
    controller: &mut Controller,
    kind: i8,
    name: &str,
    asked: &[Asked<'_>],
) -> (ErrorCode, String) {
    let outcome = controller.incremental_alter_configs(&request(kind, name, asked));
    let failed = outcome.response.responses[0].error_code != 0;
    assert!(!failed || outcome.records.is_empty());
    let response = done(controller, outcome);
    let it = &response.responses[0];
    (
        ErrorCode::from_code(it.error_code).unwrap(),
        it.error_message.clone().unwrap_or_default().into_owned(),
    )
}

fn topic(controller: &mut Controller, asked: &[Asked<'_>]) -> (ErrorCode, String) {
    alter(controller, resource::TOPIC, "t", asked)
}

#[test]
fn a_topic_s_overrides_come_and_go() {
    let mut c = with_topic(settings());
    assert_eq!(
        topic(&mut c, &[("retention.ms", SET, Some("5")), ("flush.ms", SET, Some("9"))]).0,
        ErrorCode::None
    );
    assert_eq!(c.image().topic_configs("t")["retention.ms"], "5");
    assert_eq!(
        topic(&mut c, &[("flush.ms", DELETE, None), ("segment.ms", DELETE, None)]).0,
        ErrorCode::None
    );
    assert_eq!(c.image().topic_configs("t").len(), 1);
    let same = c.incremental_alter_configs(&request(
        resource::TOPIC,
        "t",
        &[("retention.ms", SET, Some("5"))],
    ));
    assert!(same.records.is_empty(), "nothing changes");
    let validated = IncrementalAlterConfigsRequest {
        validate_only: true,
        ..request(resource::TOPIC, "t", &[("retention.ms", SET, Some("6"))])
    };
    assert!(c.incremental_alter_configs(&validated).records.is_empty());
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let mut c = with_topic(settings());
    let key = "leader.replication.throttled.replicas";
    assert_eq!(topic(&mut c, &[(key, APPEND, Some("0:1,1:1"))]).0, ErrorCode::None);
    assert_eq!(topic(&mut c, &[(key, APPEND, Some("1:1,2:1"))]).0, ErrorCode::None);
    assert_eq!(c.image().topic_configs("t")[key], "0:1,1:1,2:1");
    assert_eq!(topic(&mut c, &[(key, SUBTRACT, Some("1:1,9:9"))]).0, ErrorCode::None);
    assert_eq!(c.image().topic_configs("t")[key], "0:1,2:1");
    // From the default: "delete".
    assert_eq!(topic(&mut c, &[("cleanup.policy", SUBTRACT, Some("delete"))]).0, ErrorCode::None);
    assert_eq!(c.image().topic_configs("t")["cleanup.policy"], "");
    assert_eq!(
        topic(&mut c, &[("cleanup.policy", APPEND, Some("compact"))]).0,
        ErrorCode::InvalidConfig
    );
    assert_eq!(topic(&mut c, &[("retention.ms", APPEND, Some("1"))]).0, ErrorCode::InvalidConfig);
}

#[test]
fn a_refusal_does_not_repeat_all_that_is_wrong() {
    let mut c = with_topic(settings());
    let names: Vec<String> = (0..20_000).map(|n| format!("no.such.key.{n}")).collect();
    let asked: Vec<_> = names.iter().map(|name| (&**name, SET, None)).collect();
    let (error, why) = topic(&mut c, &asked);
    assert_eq!(error, ErrorCode::InvalidRequest);
    assert!(why.len() < 2_000 && why.contains("no.such.key.0"), "{}", why.len());
}

#[test]
fn a_list_is_edited_item_by_item() {
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    for (items, operation, value, wanted) in [
        ("a,b", Operation::Append, "c,b,c", "a,b,c"),
        ("a,a", Operation::Append, "a", "a,a"),
        ("a", Operation::Append, ",", "a"),
        ("a", Operation::Append, "", "a,"),
        ("a,b,a,a", Operation::Subtract, "a,x,a", "b,a"),
        ("a,b", Operation::Subtract, "b,b,a", ""),
        ("a,b", Operation::Subtract, ",", "a,b"),
    ] {
        assert_eq!(edit_list(list(items), operation, value), wanted, "{items} {value}");
    }
}

#[test]
fn what_a_topic_cannot_have() {
    let mut c = with_topic(settings());
    for (asked, error, hint) in [
        (("retention.mss", SET, Some("1")), ErrorCode::InvalidConfig, "did you mean retention.ms?"),
        (("retention.ms", SET, Some("-2")), ErrorCode::InvalidConfig, "at least -1"),
        (("compression.type", SET, Some("brotli")), ErrorCode::InvalidConfig, "compression.type"),
        (("retention.ms", SET, None), ErrorCode::InvalidRequest, "Null"),
        (("retention.ms", 9, Some("1")), ErrorCode::InvalidRequest, "9"),
    ] {
        let (code, why) = topic(&mut c, &[asked]);
        assert_eq!(code, error, "{asked:?}");
        assert!(why.contains(hint), "{why}");
    }
    let twice = [("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))];
    assert_eq!(topic(&mut c, &twice).0, ErrorCode::InvalidRequest);
    for (kind, name, error) in [
        (resource::TOPIC, "u", ErrorCode::UnknownTopicOrPartition),
        (resource::TOPIC, "", ErrorCode::InvalidRequest),
        (resource::TOPIC, "a b", ErrorCode::InvalidTopicException),
        (resource::BROKER_LOGGER, "1000", ErrorCode::InvalidRequest),
        (resource::GROUP, "g", ErrorCode::InvalidRequest),
        (0, "t", ErrorCode::InvalidRequest),
    ] {
        assert_eq!(alter(&mut c, kind, name, &[("retention.ms", SET, Some("1"))]).0, error);
    }
}

#[test]
fn a_resource_named_twice_is_refused_twice() {
    let c = with_topic(settings());
    let mut asked = request(resource::TOPIC, "t", &[("retention.ms", SET, Some("1"))]);
    asked.resources.push(asked.resources[0].clone());
    let outcome = c.incremental_alter_configs(&asked);
    assert!(outcome.records.is_empty());
    assert!(
        outcome.response.responses.iter().all(|r| r.error_code == ErrorCode::InvalidRequest.code())
    );
}

#[test]
fn brokers_by_any_of_their_ids_and_all_of_them() {
    let mut c = with_topic(settings());
    let key = "log.retention.ms";
    assert_eq!(
        alter(&mut c, resource::BROKER, "1001", &[(key, SET, Some("5"))]).0,
        ErrorCode::None
    );
    assert_eq!(c.image().broker_configs(1)[key], "5");
    assert_eq!(alter(&mut c, resource::BROKER, "", &[(key, SET, Some("6"))]).0, ErrorCode::None);
    assert_eq!(c.image().default_broker_configs()[key], "6");
    assert_eq!(c.defaults().integer(key), Some(5));
    assert_eq!(alter(&mut c, resource::BROKER, "1000", &[(key, DELETE, None)]).0, ErrorCode::None);
    assert_eq!(c.defaults().integer(key), Some(6));
    for name in ["1", "1002", "2000", "x"] {
        assert_eq!(
            alter(&mut c, resource::BROKER, name, &[(key, SET, Some("5"))]).0,
            ErrorCode::InvalidRequest,
            "{name}"
        );
    }
}

#[test]
fn broker_keys_that_cannot_be_altered() {
    let mut c = with_topic(settings());
    for (name, key, value, hint) in [
        ("1000", "num.partitions", "2", "Cannot update these configs dynamically"),
        ("", "ssl.keystore.type", "PEM", "broker id must be specified"),
        ("1000", "max.connections", "5", "when Millrace starts"),
        ("1000", "log.segment.bytes", "1", "at least"),
        ("1000", "compression.type", "brotli", "compression.type"),
    ] {
        let (code, why) = alter(&mut c, resource::BROKER, name, &[(key, SET, Some(value))]);
        assert_eq!(code, ErrorCode::InvalidRequest, "{key}");
        assert!(why.contains(hint), "{why}");
    }
    let (code, why) =
        alter(&mut c, resource::BROKER, "1000", &[("log.retention.mss", SET, Some("1"))]);
    assert_eq!(code, ErrorCode::InvalidConfig);
    assert!(why.contains("log.retention.ms"), "{why}");
    // Without effect here, so it is only kept.
    assert_eq!(
        alter(&mut c, resource::BROKER, "1000", &[("num.io.threads", SET, Some("9"))]).0,
        ErrorCode::None
    );
    assert_eq!(
        alter(
            &mut c,
            resource::BROKER,
            "",
            &[("leader.replication.throttled.rate", SET, Some("9"))]
        )
        .0,
        ErrorCode::None
    );
}

#[test]
fn the_old_request_removes_what_it_does_not_name() {
    let mut c = with_topic(settings());
    topic(&mut c, &[("retention.ms", SET, Some("5")), ("flush.ms", SET, Some("9"))]);
    let config = |name: &'static str, value: &'static str| alter_configs::AlterableConfig {
        name: name.into(),
        value: Some(value.into()),
    };
    let asked = |configs| AlterConfigsRequest {
        resources: vec![alter_configs::AlterConfigsResource {
            resource_type: resource::TOPIC,
            resource_name: "t".into(),
            configs,
        }],
        validate_only: false,
    };
    let refused = c.alter_configs(&asked(vec![config("retention.ms", "x")]));
    assert_eq!(refused.response.responses[0].error_code, ErrorCode::InvalidConfig.code());
    assert!(refused.records.is_empty());
    let outcome = c.alter_configs(&asked(vec![config("retention.ms", "6")]));
    assert_eq!(done(&mut c, outcome).responses[0].error_code, 0);
    let left: Vec<_> =
        c.image().topic_configs("t").iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(left, [("retention.ms", "6")]);
}

#[test]
fn the_topic_of_groups_stays_alterable() {
    let mut c = controller();
    for record in c.auto_create(&["__consumer_offsets".to_owned()], numbers()).records {
        c.apply(&record);
    }
    let name = "__consumer_offsets";
    assert_eq!(
        alter(&mut c, resource::TOPIC, name, &[("segment.bytes", SET, Some("2000000"))]).0,
        ErrorCode::None
    );
    assert_eq!(
        alter(&mut c, resource::TOPIC, name, &[("cleanup.policy", SET, Some("compact"))]).0,
        ErrorCode::None
    );
}

#[test]
fn compacted_topics_are_kept_where_the_operator_agrees() {
    let mut c = with_topic(settings());
    assert_eq!(
        alter(&mut c, resource::BROKER, "", &[("millrace.compacted.topics", SET, Some("keep"))]).0,
        ErrorCode::None
    );
    for policy in ["compact", "compact,delete"] {
        assert_eq!(topic(&mut c, &[("cleanup.policy", SET, Some(policy))]).0, ErrorCode::None);
    }
    assert_eq!(
        topic(&mut c, &[("cleanup.policy", SET, Some("shrink"))]).0,
        ErrorCode::InvalidConfig
    );
}
