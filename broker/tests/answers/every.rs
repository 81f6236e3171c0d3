//! Every array of every API in every version that is served, as long as a frame of some size
//! allows.
use crate::{
    PATIENCE_NS,
    bed::{Bed, How, SECOND_NS},
    crowd::{self, Named, World},
    kafka::{Kafka, batch},
    meter, modes, weigh,
};
use broker::api::TABLE;
use wire::{ApiKey, ErrorCode, metadata::MetadataRequest};

/// Bytes of a frame: `MILLRACE_FRAME_BYTES` for a larger run.
fn frame_bytes() -> usize {
    let text = std::env::var("MILLRACE_FRAME_BYTES");
    text.map_or(48 << 10, |text| text.parse().unwrap())
}

/// Memory that a turn may take for each byte received, for the request alone: what decoding may
/// take ([`wire::Reader`]). Those with more each have their reason in decision 0010; they are
/// linear, and not to grow.
fn times_allowed(key: ApiKey) -> usize {
    match key {
        // What is made lasts, but its tables double: the old one and the new one are there for a
        // moment.
        ApiKey::Metadata => 80,
        ApiKey::CreateTopics => 60,
        // Each partition is an operation of its own, from what is wanted to what was found and is
        // answered.
        ApiKey::Fetch => 20,
        // Decisions of the controller: a result for each name, beside the request.
        ApiKey::AlterConfigs
        | ApiKey::IncrementalAlterConfigs
        | ApiKey::CreatePartitions
        | ApiKey::DeleteTopics
        | ApiKey::AlterPartitionReassignments => 20,
        // A member that leaves is 72 bytes decoded, against 9 received, and answered beside it.
        ApiKey::LeaveGroup => 20,
        // A topic without partitions is 64 bytes decoded, against 8 received, and named again in
        // the answer.
        ApiKey::OffsetFetch => 10,
        _ => 8,
    }
}

/// What a turn may take beside.
const BESIDE: usize = 64 << 10;

fn world(bed: &mut Bed, kafka: &mut Kafka) -> World {
    let topic_id = kafka.create_topic(bed, "known", 2).unwrap();
    for i in 1..20 {
        kafka.create_topic(bed, &format!("known{i}"), 1).unwrap();
    }
    assert_eq!(kafka.produce(bed, "known", 0, batch(&["value"])).error_code, 0);
    assert_eq!(kafka.commit(bed, "group", "known", 0, 1), ErrorCode::None);
    World { topic: "known".into(), topic_id: topic_id.0, group: "group".into() }
}

fn start(how: &How) -> (Bed, World) {
    let mut bed = Bed::start(how.clone());
    let mut kafka = Kafka::default();
    let world = world(&mut bed, &mut kafka);
    bed.sim.run_for(SECOND_NS);
    (bed, world)
}

fn topics(bed: &mut Bed) -> Vec<String> {
    let request = MetadataRequest { topics: None, ..Default::default() };
    let all = Kafka::default().call(bed, 0, &request, 9);
    all.topics.into_iter().filter_map(|t| Some(t.name?.into_owned())).collect()
}

/// A request with more in its arrays than one may have is closed, whichever array it is, and
/// nothing of it is done.
#[test]
fn no_array_is_longer_than_a_request_may_be() {
    let _alone = meter::alone();
    let schemas = schema::requests();
    let mut wrong = Vec::new();
    for mut how in modes(9) {
        // Of all elements but the largest 48 KiB have more.
        how.settings.limits.elements_max = 100;
        let (mut bed, world) = start(&how);
        let before = topics(&mut bed);
        for api in TABLE {
            let message = &schemas[&api.key.code()];
            for version in [api.min, api.max] {
                for path in crowd::arrays(message, version) {
                    let named = Named::Distinct;
                    let frame = crowd::frame(
                        message,
                        api.key,
                        version,
                        &path,
                        (48 << 10, usize::MAX),
                        named,
                        &world,
                    );
                    let received = frame.len();
                    let mut conn = bed.connect(bed.cores() - 1);
                    let outcome = weigh(&mut bed, &mut conn, frame, PATIENCE_NS);
                    if outcome.answer.is_some() || outcome.transient() > 8 * received + BESIDE {
                        wrong.push(format!(
                            "{:?} {version} {}: {outcome:?}",
                            api.key,
                            path.join(".")
                        ));
                    }
                }
            }
        }
        assert_eq!(topics(&mut bed), before);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_array_takes_more_than_its_bytes() {
    let _alone = meter::alone();
    let schemas = schema::requests();
    let mut wrong = Vec::new();
    for how in modes(3) {
        let single = how.settings.single_port;
        // What is made on the way must not be found by the next request.
        let (mut bed, mut world) = start(&how);
        let mut lines = Vec::new();
        for api in TABLE {
            let message = &schemas[&api.key.code()];
            if [ApiKey::CreateTopics, ApiKey::DeleteTopics, ApiKey::Metadata, ApiKey::DeleteGroups]
                .contains(&api.key)
            {
                (bed, world) = start(&how);
            }
            for version in api.min..=api.max {
                for path in crowd::arrays(message, version) {
                    for named in [Named::Same, Named::Distinct] {
                        let frame = crowd::frame(
                            message,
                            api.key,
                            version,
                            &path,
                            (frame_bytes(), usize::MAX),
                            named,
                            &world,
                        );
                        let received = frame.len();
                        let mut conn = bed.connect(bed.cores() - 1);
                        let outcome = weigh(&mut bed, &mut conn, frame, PATIENCE_NS);
                        let times = |bytes: usize| bytes as f64 / received as f64;
                        let line = format!(
                            "{:?} {version} {} {named:?}, single port {single}: {received} in, {:?} out, transient {:.1}x, turn {:.1}x {:?}, held {:.1}x, lasting {:.1}x, {} turns, {} sent in one",
                            api.key,
                            path.join("."),
                            outcome.answer,
                            times(outcome.transient()),
                            times(outcome.turn.bytes),
                            outcome.turn.took,
                            times(outcome.held),
                            times(outcome.lasting),
                            outcome.turns,
                            outcome.sent,
                        );
                        if outcome.transient() > times_allowed(api.key) * received + BESIDE {
                            wrong.push(line.clone());
                        }
                        lines.push((outcome.transient(), line));
                    }
                }
            }
        }
        lines.sort();
        println!("{} requests, those that take most first", lines.len());
        for (_, line) in lines.iter().rev().take(3000) {
            println!("{line}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
