//! Generated code and schema agree: what the schema writes, the code reads and writes again.

use proptest::prelude::*;
use schema::{Sampler, Values};

use crate::cases;

/// For every message and version: `check(case, sampler)`.
pub(crate) fn for_all(seed: u64, mut check: impl FnMut(&cases::Case, Sampler<'_>)) {
    let schemas = schema::all();
    for case in cases::all() {
        let message = &schemas[case.name];
        assert_eq!(message.versions.lo, case.versions.min);
        assert_eq!(message.versions.hi, case.versions.max);
        for version in case.versions.iter() {
            check(&case, Sampler::new(message, version, seed));
        }
    }
}

#[test]
fn defaults_are_those_of_the_schema() {
    for_all(0, |case, mut sampler| {
        sampler.values = Values::Default;
        let version = sampler.version;
        // Some defaults cannot be said in some versions: null before null was allowed.
        let Ok(ours) = (case.default)(version) else {
            return;
        };
        assert_eq!(ours, sampler.bytes(), "{} v{version}", case.name);
    });
}

fn comes_back(case: &cases::Case, sampler: Sampler<'_>) {
    let version = sampler.version;
    let bytes = sampler.bytes();
    let decoded = (case.decode)(&bytes, version);
    let name = case.name;
    assert_eq!(decoded.result, Ok(()), "{name} v{version}: {bytes:x?}");
    assert_eq!(decoded.left, 0, "{name} v{version}: {bytes:x?}");
    assert_eq!(decoded.again, bytes, "{name} v{version}");
}

/// A least size of elements that is too large would refuse lists of the shortest ones.
#[test]
fn the_shortest_elements_come_back() {
    for seed in 0..64 {
        for_all(4 * seed + 3, comes_back);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_schema_writes_comes_back(seed: u64) {
        for_all(seed, comes_back);
    }

    #[test]
    fn unknown_tagged_fields_are_skipped(seed: u64) {
        for_all(seed, |case, mut sampler| {
            let version = sampler.version;
            sampler.unknown_tags = true;
            let bytes = sampler.bytes();
            let decoded = (case.decode)(&bytes, version);
            assert_eq!(decoded.result, Ok(()), "{} v{version}", case.name);
            let again = (case.decode)(&decoded.again, version);
            assert_eq!(again.again, decoded.again, "{} v{version}", case.name);
            assert!(decoded.again.len() <= bytes.len());
        });
    }
}

#[test]
fn versions_that_do_not_exist_are_refused() {
    for case in cases::all() {
        for version in [-1, case.versions.min - 1, case.versions.max + 1, i16::MAX] {
            let decoded = (case.decode)(&[0; 64], version);
            assert!(
                matches!(decoded.result, Err(wire::Error::Unsupported { .. })),
                "{} v{version}",
                case.name
            );
        }
    }
}
