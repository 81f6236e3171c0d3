//! What bounds a core: every table in the server has its size here, related to the others.

/// Limits of one core. Exceeding one is back-pressure or a refusal, never growth.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of a core, and from one address.
    pub connections_max: usize,
    pub connections_per_ip_max: usize,
    /// Requests of one connection that wait for their answers.
    pub requests_in_flight_max: usize,
    /// `socket.request.max.bytes`
    pub frame_bytes_max: usize,
    /// Bytes of requests being received or waiting, over all connections of the core.
    pub request_bytes_max: usize,
    /// What the arrays of one request may have together: decoding is one piece of work, for which
    /// others wait. A client that names each of 20,000 topics with one partition of it has 40,000.
    pub elements_max: usize,
    /// `fetch.max.bytes` of the broker.
    pub fetch_bytes_max: usize,
    /// Answers of a core that its clients have not taken, above which a fetch gets one batch at
    /// most.
    pub answer_bytes_max: usize,
    /// Fetch sessions of a core (`max.incremental.fetch.session.cache.slots`).
    pub fetch_sessions_max: usize,
    /// Partitions of this host.
    pub partitions_max: usize,
    /// Metadata appended since the last snapshot that makes the next
    /// (`metadata.log.max.record.bytes.between.snapshots` of Kafka is 20 MiB; ours follows the
    /// bound of internal logs, see docs/data-files.md).
    pub metadata_snapshot_bytes: u64,
    /// `connections.max.idle.ms`
    pub connection_idle_ms: u64,
    /// What a stop may take before it leaves the rest to the next start.
    pub stop_ms: u64,
    /// A frame's four length bytes, and its body, must be complete this long after they began.
    pub frame_header_ms: u64,
    pub frame_body_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_ip_max: 10_000,
            requests_in_flight_max: REQUESTS_IN_FLIGHT,
            frame_bytes_max: 100 << 20,
            request_bytes_max: 256 << 20,
            elements_max: 50_000,
            fetch_bytes_max: 55 << 20,
            answer_bytes_max: 128 << 20,
            fetch_sessions_max: 1_000,
            partitions_max: 100_000,
            metadata_snapshot_bytes: 64 << 20,
            connection_idle_ms: 600_000,
            stop_ms: 8_000,
            frame_header_ms: 30_000,
            frame_body_ms: 60_000,
        }
    }
}

/// The key of [`Limits::elements_max`].
pub const ELEMENTS_MAX: &str = "millrace.request.elements.max";

/// What a connection may do before others have their turn: requests taken, and bytes of them and of
/// answers to them. The last request may go beyond.
pub const TURN_REQUESTS: usize = 64;
pub const TURN_BYTES: usize = 128 << 10;
/// Connections that go on in one turn of the core after they have had theirs; or as many as have
/// begun one in it, if those are more. So neither those who come nor those who rest are kept
/// waiting by the others.
pub const TURNS_MIN: usize = 8;

const REQUESTS_IN_FLIGHT: usize = 128;
// A client that pipelines as Kafka's producer does by default (5 in flight) must never meet the
// bound.
const _: () = assert!(REQUESTS_IN_FLIGHT > 5);
