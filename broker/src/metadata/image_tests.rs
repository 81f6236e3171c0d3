use super::*;
use proptest::prelude::*;

fn id(n: u8) -> TopicId {
    TopicId([n; 16])
}

fn topic(n: u8, name: &str) -> MetadataRecord {
    TopicRecord { name: name.to_owned().into(), topic_id: id(n) }.into()
}

fn partition(n: u8, partition_id: i32) -> MetadataRecord {
    PartitionRecord {
        partition_id,
        topic_id: id(n),
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: vec![TopicId::ZERO],
        ..Default::default()
    }
    .into()
}

fn config(resource_type: i8, resource: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    ConfigRecord {
        resource_type,
        resource_name: resource.to_owned().into(),
        name: name.to_owned().into(),
        value: value.map(|v| v.to_owned().into()),
    }
    .into()
}

#[test]
fn topics_by_name_by_id_and_in_order() {
    let image =
        Image::of(&[topic(2, "b"), partition(2, 0), topic(1, "c"), topic(3, "a"), partition(2, 1)]);
    assert_eq!(image.topics().map(|t| &*t.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(image.topics_from("b").map(|t| &*t.name).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(image.topics_from("aa").map(|t| &*t.name).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(image.topic("b"), image.topic_by_id(id(2)));
    assert_eq!(image.topic("b").unwrap().partitions.len(), 2);
    assert_eq!((image.topic_count(), image.partition_count()), (3, 2));
    assert!(image.partition(id(2), 2).is_none() && image.partition(id(2), -1).is_none());
}

#[test]
fn a_removed_topic_takes_its_configurations_along_and_its_name_can_come_back() {
    let mut image = Image::of(&[
        topic(1, "t"),
        partition(1, 0),
        config(resource::TOPIC, "t", "retention.ms", Some("5")),
    ]);
    assert_eq!(image.topic_configs("t")["retention.ms"], "5");
    assert!(!image.apply(&topic(2, "t")), "the name is taken");
    assert!(image.apply(&RemoveTopicRecord { topic_id: id(1) }.into()));
    assert_eq!(image, Image::default());
    assert!(image.apply(&topic(2, "t")));
    assert!(image.topic_configs("t").is_empty());
    assert!(image.topic("t").unwrap().partitions.is_empty());
}

#[test]
fn naming_a_leader_raises_its_epoch() {
    let mut image = Image::of(&[topic(1, "t"), partition(1, 0)]);
    let change =
        PartitionChangeRecord { partition_id: 0, topic_id: id(1), leader: 1, ..Default::default() };
    assert!(image.apply(&change.clone().into()));
    let p = image.partition(id(1), 0).unwrap();
    assert_eq!((p.leader, p.leader_epoch, p.partition_epoch), (1, 1, 1));
    assert!(
        image.apply(&PartitionChangeRecord { leader: -2, isr: Some(vec![1, 2]), ..change }.into())
    );
    let p = image.partition(id(1), 0).unwrap();
    assert_eq!((p.isr.as_slice(), p.leader_epoch, p.partition_epoch), (&[1, 2][..], 1, 2));
}

#[test]
fn records_that_refer_to_nothing_change_nothing() {
    let mut image = Image::of(&[topic(1, "t"), partition(1, 0)]);
    let before = image.clone();
    for record in [
        partition(2, 0),
        partition(1, 2),
        partition(1, -1),
        PartitionChangeRecord { partition_id: 1, topic_id: id(1), ..Default::default() }.into(),
        RemoveTopicRecord { topic_id: id(2) }.into(),
        config(resource::TOPIC, "t", "retention.ms", None),
        BrokerRegistrationChangeRecord { broker_id: 1, ..Default::default() }.into(),
        FeatureLevelRecord { name: "x".into(), feature_level: 0 }.into(),
    ] {
        assert!(!image.apply(&record), "{record:?}");
        assert_eq!(image, before);
    }
}

fn record() -> impl Strategy<Value = MetadataRecord> {
    let name = || prop::sample::select(vec!["a", "b", "c.d", ""]);
    prop_oneof![
        3 => (0u8..4, name()).prop_map(|(n, name)| topic(n, name)),
        4 => (0u8..4, 0i32..3, prop::collection::vec(0i32..4, 0..3)).prop_map(|(n, i, nodes)| {
            let MetadataRecord::Partition(mut r) = partition(n, i) else { unreachable!() };
            r.isr = nodes.clone();
            r.last_known_elr = (!nodes.is_empty()).then(|| nodes.clone());
            r.replicas = nodes;
            r.into()
        }),
        3 => (0u8..4, 0i32..3, -2i32..3, prop::option::of(prop::collection::vec(0i32..4, 0..3))).prop_map(|(n, partition_id, leader, isr)| {
            PartitionChangeRecord { partition_id, topic_id: id(n), leader, eligible_leader_replicas: isr.clone(), isr, ..Default::default() }.into()
        }),
        1 => (0u8..4).prop_map(|n| RemoveTopicRecord { topic_id: id(n) }.into()),
        2 => (prop::sample::select(vec![resource::TOPIC, resource::BROKER]), name(), name(), prop::option::of(name()))
            .prop_map(|(kind, resource, name, value)| config(kind, resource, name, value)),
        1 => (name(), 0i16..3).prop_map(|(name, feature_level)| FeatureLevelRecord { name: name.into(), feature_level }.into()),
        1 => (0i64..9000).prop_map(|next_producer_id| ProducerIdsRecord { broker_id: 1, broker_epoch: 2, next_producer_id }.into()),
        1 => (0i32..3, any::<bool>()).prop_map(|(broker_id, fenced)| {
            RegisterBrokerRecord { broker_id, fenced, rack: None, ..Default::default() }.into()
        }),
        1 => (0i32..3, -1i8..=1).prop_map(|(broker_id, fenced)| {
            BrokerRegistrationChangeRecord { broker_id, fenced, log_dirs: vec![id(7)], ..Default::default() }.into()
        }),
    ]
}

proptest! {
    /// Through bytes too: what is snapshotted is what is read back.
    #[test]
    fn a_snapshot_makes_the_same_image(records in prop::collection::vec(record(), 0..60)) {
        let mut image = Image::of(&records);
        let snapshot: Vec<_> = image
            .to_records()
            .iter()
            .map(|r| MetadataRecord::decode(&r.encode()).unwrap().unwrap())
            .collect();
        let again = Image::of(&snapshot);
        prop_assert_eq!(&again, &image);
        prop_assert_eq!(image.partition_count(), image.topics().map(|t| t.partitions.len()).sum::<usize>());
        // A log that holds the old records and the snapshot.
        for record in &snapshot {
            image.apply(record);
        }
        prop_assert_eq!(again, image);
    }

    #[test]
    fn records_survive_their_bytes(record in record()) {
        prop_assert_eq!(MetadataRecord::decode(&record.encode()), Ok(Some(record)));
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = MetadataRecord::decode(&bytes);
    }
}
