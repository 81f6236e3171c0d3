//! What the server runs with, after configuration has been read, checked and resolved.
use crate::limits::Limits;
use netio::CoreId;
use std::net::SocketAddr;
use wire::Str;

/// Settings of this host, the same on every core.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `node.id` of the host: what records of the metadata log say.
    pub node_id: i32,
    /// Client-visible ids are `node_id * id_stride + core`, unless `single_port`.
    pub id_stride: i32,
    pub cores: u16,
    /// One advertised port and id; requests are forwarded between cores.
    pub single_port: bool,
    /// Core c listens on port + c; with `single_port` all cores share one (SO_REUSEPORT).
    pub listen: SocketAddr,
    /// Host and port that clients are told; port + core.
    pub advertised_host: String,
    pub advertised_port: u16,
    pub rack: Option<String>,
    pub limits: Limits,
    /// `auto.create.topics.enable`
    pub auto_create_topics: bool,
    /// `num.partitions`
    pub default_partitions: i32,
    /// `offsets.topic.num.partitions`
    pub offsets_partitions: i32,
    pub group: GroupSettings,
    pub metrics: MetricsSettings,
    /// `delete.topic.enable`
    pub delete_topic_enable: bool,
}

/// Settings of group coordinators, with Kafka's defaults.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    pub initial_rebalance_delay_ms: i64,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    pub max_size: usize,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_ms: i64,
    pub offset_metadata_max_bytes: usize,
    /// Memory of groups and offsets of a core, estimated; what asks for more is refused
    /// ([`crate::group::Limits::bytes`]).
    pub memory_bytes: usize,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: i32::MAX as usize,
            offsets_retention_ms: 7 * 86_400_000,
            offsets_retention_check_ms: 600_000,
            offset_metadata_max_bytes: 4096,
            memory_bytes: 256 << 20,
        }
    }
}

/// Bounds on the time series of `/metrics`, for the process; 0 switches a kind off.
#[derive(Clone, Copy, Debug)]
pub struct MetricsSettings {
    /// Topics with counters of their own; the others share.
    pub topics_max: usize,
    /// Partitions whose size and offsets are told.
    pub partitions_max: usize,
    /// Committed offsets of groups that are told, with their lag.
    pub group_offsets_max: usize,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { topics_max: 1_000, partitions_max: 10_000, group_offsets_max: 10_000 }
    }
}

/// A broker as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

impl Settings {
    /// Whether requests are split by the core that owns what they name: clients see one node for
    /// several cores.
    pub fn splits(&self) -> bool {
        self.single_port && self.cores > 1
    }

    /// The id under which clients know `core` of this host.
    pub fn client_id_of(&self, core: CoreId) -> i32 {
        if self.single_port {
            self.node_id
        } else {
            self.node_id * self.id_stride + i32::from(core.0)
        }
    }

    /// The host behind an id that a client names: the inverse of [`Self::client_id_of`]. `None` for
    /// a core that this host does not have; whether another host exists, the image says.
    pub fn host_of(&self, client_id: i32) -> Option<i32> {
        if self.single_port {
            return Some(client_id);
        }
        let (host, core) =
            (client_id.div_euclid(self.id_stride), client_id.rem_euclid(self.id_stride));
        (host != self.node_id || core < i32::from(self.cores)).then_some(host)
    }

    /// The core of this host behind an id that a client names, where its cores show themselves as
    /// brokers.
    pub fn core_behind(&self, client_id: i32) -> Option<CoreId> {
        let here = !self.single_port && self.host_of(client_id) == Some(self.node_id);
        let core = u16::try_from(client_id.rem_euclid(self.id_stride)).ok()?;
        here.then_some(CoreId(core))
    }

    /// The endpoints that Metadata and DescribeCluster name for this host.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let cores = if self.single_port { 1 } else { self.cores };
        (0..cores)
            .map(|c| Endpoint {
                id: self.client_id_of(CoreId(c)),
                host: self.advertised_host.clone(),
                port: self.advertised_port + c,
            })
            .collect()
    }

    /// The endpoints in the form that an answer has them, with the rack. Every API has a type of
    /// its own.
    pub fn endpoints_as<T>(&self, make: impl Fn(Endpoint, Option<Str<'static>>) -> T) -> Vec<T> {
        let rack = self.rack.clone().map(Into::into);
        let endpoints = self.endpoints().into_iter();
        endpoints.map(|e| make(e, rack.clone())).collect()
    }

    /// The endpoint of `core`.
    pub fn endpoint(&self, core: CoreId) -> Endpoint {
        let c = if self.single_port { 0 } else { core.0 };
        Endpoint {
            id: self.client_id_of(core),
            host: self.advertised_host.clone(),
            port: self.advertised_port + c,
        }
    }
}
