//! Which version of each API both ends speak.

use std::collections::BTreeMap;

use wire::api_versions::ApiVersionsResponse;
use wire::{ApiKey, Request, VersionRange};

/// What a broker serves, from its ApiVersions response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    served: BTreeMap<i16, VersionRange>,
}

impl Versions {
    /// Of a response without an error.
    #[must_use]
    pub fn of(response: &ApiVersionsResponse<'_>) -> Self {
        let served = response.api_keys.iter().map(|api| {
            let range = VersionRange { min: api.min_version, max: api.max_version };
            (api.api_key, range)
        });
        Self { served: served.collect() }
    }

    /// For a peer that is not asked: exactly these versions.
    #[must_use]
    pub fn pinned(versions: &[(ApiKey, i16)]) -> Self {
        let served = versions
            .iter()
            .map(|&(key, version)| (key as i16, VersionRange { min: version, max: version }));
        Self { served: served.collect() }
    }

    /// The range the broker serves of an API; `None` if none.
    #[must_use]
    pub fn served(&self, key: ApiKey) -> Option<VersionRange> {
        self.served.get(&(key as i16)).copied()
    }

    /// The latest version that both ends speak; `None` if there is none.
    #[must_use]
    pub fn latest<R: Request>(&self) -> Option<i16> {
        let served = self.served(R::API_KEY)?;
        let version = served.max.min(R::latest_stable());
        (version >= served.min.max(R::VERSIONS.min)).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::metadata::MetadataRequest;

    #[test]
    fn the_latest_version_of_both() {
        let latest = |min, max| {
            let mut versions = Versions::default();
            versions.served.insert(ApiKey::Metadata as i16, VersionRange { min, max });
            versions.latest::<MetadataRequest<'_>>()
        };
        use wire::Message;
        let ours = MetadataRequest::VERSIONS;
        assert_eq!(latest(0, 1), Some(1));
        assert_eq!(latest(4, 99), Some(ours.max));
        assert_eq!(latest(ours.max + 1, 99), None);
        assert_eq!(Versions::default().latest::<MetadataRequest<'_>>(), None);
    }
}
