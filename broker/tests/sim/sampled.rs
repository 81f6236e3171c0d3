//! Well-formed requests with any values in them: an answer that its version carries, and a broker
//! that goes on.
//!
//! A connection that is closed instead is a mistake of ours (an answer that could not be encoded),
//! but for acks=0.
use crate::{
    bed::{Bed, SECOND_NS, every_mode, seeds},
    kafka::{Kafka, batch},
    requests::{ID, Names, filled, show_answer},
};
use broker::api::TABLE;
use schema::{Message, Sampler};
use wire::{ApiKey, header};

fn sampled(message: &Message, key: ApiKey, version: i16, seed: u64) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(key.code().to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(ID.to_be_bytes());
    request.extend(i16::to_be_bytes(-1));
    if header::request_version(key, version) >= 2 {
        request.push(0);
    }
    request.extend(Sampler::new(message, version, seed).bytes());
    [&(request.len() as i32).to_be_bytes()[..], &request].concat()
}

#[test]
fn any_value_in_any_field_is_answered() {
    let schemas = schema::requests();
    for seed in seeds(4) {
        for how in every_mode(seed) {
            println!(
                "seed {seed}, {} cores, single port: {}",
                how.settings.cores, how.settings.single_port
            );
            let mut bed = Bed::start(how);
            let mut kafka = Kafka::default();
            let mut conn = bed.connect(bed.cores() - 1);
            for api in TABLE {
                let message = &schemas[&api.key.code()];
                for version in api.min..=api.max {
                    let request =
                        sampled(message, api.key, version, seed * 1_000_003 + version as u64);
                    conn.client.send(request.clone());
                    let mut frame = None;
                    // Some wait for as long as they say: not for them.
                    bed.sim.run_until(SECOND_NS, |_| {
                        frame = conn.poll();
                        frame.is_some() || conn.client.ended().is_some()
                    });
                    let Some(frame) = frame else {
                        let patient = matches!(
                            api.key,
                            ApiKey::Fetch | ApiKey::Produce | ApiKey::JoinGroup | ApiKey::SyncGroup
                        );
                        assert!(
                            patient,
                            "{:?} version {version}: {:?}, {request:x?}",
                            api.key,
                            conn.client.ended()
                        );
                        assert!(
                            conn.client.ended().is_none() || api.key == ApiKey::Produce,
                            "{:?} version {version}: closed",
                            api.key
                        );
                        conn = bed.connect(bed.cores() - 1);
                        continue;
                    };
                    show_answer(api.key, version, &frame);
                }
            }
            assert_eq!(kafka.produce(&mut bed, "after", 0, batch(&["fine"])).error_code, 0);
        }
    }
}

/// Requests as they should be, with single bits turned: an answer or the end of this connection.
#[test]
fn a_turned_bit_harms_nobody_else() {
    for seed in seeds(2) {
        for how in every_mode(seed) {
            let mut bed = Bed::start(how);
            let mut kafka = Kafka::default();
            let topic_id = kafka.create_topic(&mut bed, "known", 2).unwrap();
            let names = Names {
                topic: "known".into(),
                topic_id,
                partition: 1,
                group: "group".into(),
                new_topic: "new".into(),
                strange: false,
            };
            let mut conns = Vec::new();
            for api in TABLE {
                for version in api.min..=api.max {
                    let mut request = filled(api.key, version, &names);
                    let bit = bed.sim.random() as usize % ((request.len() - 4) * 8);
                    request[4 + bit / 8] ^= 1 << (bit % 8);
                    let conn = bed.connect(bed.cores() - 1);
                    conn.client.send(request);
                    conns.push(conn);
                }
                bed.sim.run_for(20_000_000);
            }
            bed.sim.run_for(SECOND_NS);
            assert!(!bed.sim.has_ended(bed.node));
            assert_eq!(kafka.produce(&mut bed, "after", 0, batch(&["fine"])).error_code, 0);
        }
    }
}
