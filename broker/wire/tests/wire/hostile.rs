//! Bytes that are no message: never a panic, never more memory than the budget.
//!
//! A length that is believed too early would abort the process here: no allocator has what
//! `ff ff ff ff 0f` asks for.

use proptest::prelude::*;

use schema::Random;

use crate::{agreement::for_all, cases};

fn check(case: &cases::Case, bytes: &[u8], version: i16) -> cases::Decoded {
    let decoded = (case.decode)(bytes, version);
    assert!(
        decoded.memory <= 8 * bytes.len() + 64 * 1024,
        "{} v{version}: {} bytes of memory for {}",
        case.name,
        decoded.memory,
        bytes.len()
    );
    decoded
}

#[test]
fn every_truncation_is_an_error() {
    for_all(7, |case, sampler| {
        let version = sampler.version;
        let bytes = sampler.bytes();
        for end in 0..bytes.len() {
            let decoded = check(case, &bytes[..end], version);
            assert!(
                matches!(decoded.result, Err(wire::Error::Malformed(_))),
                "{} v{version} cut at {end}: {:?}",
                case.name,
                decoded.result
            );
        }
    });
}

#[test]
fn lengths_that_cannot_be_are_not_believed() {
    const BOMBS: &[&[u8]] = &[
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0x00, 0x00, 0x00],
    ];
    for_all(11, |case, sampler| {
        let version = sampler.version;
        let bytes = sampler.bytes();
        for at in 0..bytes.len() {
            for bomb in BOMBS {
                let mut bytes = bytes[..at].to_vec();
                bytes.extend_from_slice(bomb);
                check(case, &bytes, version);
            }
        }
    });
}

#[test]
fn the_seven_bytes_that_cost_another_library_309_gigabytes() {
    let bytes = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let result = wire::decode::<wire::metadata::MetadataRequest<'_>>(&bytes, 12);
    assert!(matches!(result, Err(wire::Error::Malformed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_message_or_an_error(seed: u64, size in 0usize..300) {
        let mut random = Random(seed);
        let bytes: Vec<u8> = (0..size)
            // Small numbers get deeper: they are believable lengths.
            .map(|_| if random.below(2) == 0 { random.below(4) as u8 } else { random.next_u64() as u8 })
            .collect();
        for_all(seed, |case, sampler| {
            let decoded = check(case, &bytes, sampler.version);
            if decoded.result.is_ok() {
                let again = (case.decode)(&decoded.again, sampler.version);
                assert_eq!(again.again, decoded.again, "{}", case.name);
            }
        });
    }

    #[test]
    fn damaged_messages_are_a_message_or_an_error(seed: u64) {
        for_all(seed, |case, sampler| {
            let version = sampler.version;
            let mut bytes = sampler.bytes();
            if bytes.is_empty() {
                return;
            }
            let mut random = Random(seed);
            for _ in 0..8 {
                let at = random.below(bytes.len());
                bytes[at] = random.next_u64() as u8;
                check(case, &bytes, version);
            }
        });
    }
}
