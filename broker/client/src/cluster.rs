//! Connections to all nodes of a cluster, and the calls that need the right one.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use record::{NodeId, Offset, Partition, ProducerEpoch, ProducerId, Timestamp};
use wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use wire::init_producer_id::InitProducerIdRequest;
use wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use wire::metadata::{MetadataRequest, MetadataRequestTopic};
use wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::{ErrorCode, Records, Request};

use crate::{Connection, Error, Node, Options, Result, TopicInfo};

/// Between two looks at metadata that is not there yet.
const RETRY: Duration = Duration::from_millis(50);

/// First version of DeleteTopics that takes names in `topics`.
const DELETE_BY_STATE: i16 = 6;

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// -1: the broker's default.
    pub partitions: i32,
    /// -1: the broker's default.
    pub replication_factor: i16,
    pub configs: BTreeMap<String, String>,
}

/// How much a fetch waits for and takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchOptions {
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    /// Leaves out records of aborted and open transactions. The aborted ones are still in the bytes
    /// that come back: telling them apart is the caller's.
    pub read_committed: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { max_wait_ms: 500, min_bytes: 1, max_bytes: 1 << 20, read_committed: false }
    }
}

/// What a fetch of one partition brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub high_watermark: Offset,
    pub log_start: Offset,
    /// Whole batches, then perhaps the beginning of one; see `record::Batches`. The first may begin
    /// before the offset asked for.
    pub records: Bytes,
}

/// A cluster, through as many connections as its nodes need.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    bootstrap: Vec<String>,
    nodes: BTreeMap<NodeId, Node>,
    controller: NodeId,
    topics: BTreeMap<String, TopicInfo>,
    connections: BTreeMap<NodeId, Connection>,
}

impl Cluster {
    /// Connects to the first of `bootstrap` (`host:port`) that answers, and learns the nodes.
    ///
    /// # Errors
    /// [`Error::Bootstrap`], and those of [`Connection::call`].
    pub fn connect(bootstrap: &[String], options: Options) -> Result<Self> {
        let mut cluster = Self::unconnected(bootstrap, options);
        cluster.ask_metadata(Some(&[]))?;
        Ok(cluster)
    }

    /// Connects when the first topic is asked for.
    #[must_use]
    pub fn unconnected(bootstrap: &[String], options: Options) -> Self {
        Self {
            options,
            bootstrap: bootstrap.to_vec(),
            nodes: BTreeMap::new(),
            controller: NodeId::NONE,
            topics: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    /// All nodes, by id.
    #[must_use]
    pub const fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// What connections are made with.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// All topics, asked for anew.
    ///
    /// # Errors
    /// Those of [`Connection::call`].
    pub fn all_topics(&mut self) -> Result<Vec<TopicInfo>> {
        self.ask_metadata(None)?;
        Ok(self.topics.values().cloned().collect())
    }

    /// A topic as it was last seen, or asked for now. Never creates it.
    ///
    /// # Errors
    /// [`Error::Kafka`] with UNKNOWN_TOPIC_OR_PARTITION if there is none.
    pub fn topic(&mut self, name: &str) -> Result<&TopicInfo> {
        if !self.topics.contains_key(name) {
            self.ask_metadata(Some(&[name]))?;
        }
        self.topics.get(name).ok_or_else(|| no_topic(name))
    }

    /// Asks for one topic anew.
    ///
    /// # Errors
    /// As [`topic`](Self::topic).
    pub fn refresh(&mut self, name: &str) -> Result<&TopicInfo> {
        self.topics.remove(name);
        self.topic(name)
    }

    /// Makes a topic and waits until each of its partitions has a leader.
    ///
    /// # Errors
    /// [`Error::Kafka`]: TOPIC_ALREADY_EXISTS and others; [`Error::NotThere`] when leaders do not
    /// come within the options' timeout.
    pub fn create_topic(&mut self, topic: &NewTopic) -> Result<TopicInfo> {
        let timeout = self.options.timeout;
        let configs = topic.configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: name.as_str().into(),
            value: Some(value.as_str().into()),
        });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.as_str().into(),
                num_partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                assignments: Vec::new(),
                configs: configs.collect(),
            }],
            timeout_ms: millis(timeout),
            validate_only: false,
        };
        let response = self.controller()?.call(&request)?;
        for result in &response.topics {
            Error::check(result.error_code, result.error_message.as_deref(), || {
                format!("creating topic {}", topic.name)
            })?;
        }
        self.wait_for_leaders(&topic.name, usize::try_from(topic.partitions).unwrap_or(1))
    }

    /// Waits until `count` partitions of a topic have leaders.
    ///
    /// # Errors
    /// [`Error::NotThere`] when they do not within the options' timeout.
    pub fn wait_for_leaders(&mut self, name: &str, count: usize) -> Result<TopicInfo> {
        let deadline = Instant::now() + self.options.timeout;
        loop {
            match self.refresh(name) {
                Ok(info) if info.is_ready(count) => return Ok(info.clone()),
                Err(error) if !error.is_retriable() => return Err(error),
                _ if Instant::now() >= deadline => {
                    return Err(Error::NotThere(format!(
                        "topic {name} has no leaders for {count} partitions"
                    )));
                }
                _ => sleep(RETRY),
            }
        }
    }

    /// Deletes a topic; returns when the broker says so, which may be before its files are gone.
    ///
    /// # Errors
    /// [`Error::Kafka`].
    pub fn delete_topic(&mut self, name: &str) -> Result<()> {
        let timeout_ms = millis(self.options.timeout);
        let connection = self.controller()?;
        let mut request = DeleteTopicsRequest { timeout_ms, ..Default::default() };
        if connection.version_of::<DeleteTopicsRequest<'_>>()? >= DELETE_BY_STATE {
            request.topics.push(DeleteTopicState { name: Some(name.into()), ..Default::default() });
        } else {
            request.topic_names.push(name.into());
        }
        let response = connection.call(&request)?;
        for result in &response.responses {
            Error::check(result.error_code, result.error_message.as_deref(), || {
                format!("deleting topic {name}")
            })?;
        }
        self.topics.remove(name);
        Ok(())
    }

    /// The offset that a special time names (-1 end, -2 start, others by KIP), or of the first
    /// record at or after a time; [`Offset`] -1 if there is no such record.
    ///
    /// # Errors
    /// [`Error::Kafka`], [`Error::NotThere`].
    pub fn list_offset(
        &mut self,
        topic: &str,
        partition: Partition,
        at: Timestamp,
    ) -> Result<Offset> {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition.0,
                    timestamp: at.0,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        self.on_leader(topic, partition, |connection, _| {
            let response = connection.call(&request)?;
            let found = response.topics.first().and_then(|t| t.partitions.first());
            let found = found.ok_or_else(|| empty("ListOffsets"))?;
            Error::check(found.error_code, None, || format!("offsets of {topic}-{partition}"))?;
            Ok(Offset(found.offset))
        })
    }

    /// Sends one batch with acks 1 or -1; returns the offset of its first record. A stale leader is
    /// found and the batch sent again; nothing else is tried twice.
    ///
    /// # Errors
    /// [`Error::Kafka`], [`Error::NotThere`]; after [`Error::Io`] the batch may or may not be
    /// there.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: Partition,
        batch: &[u8],
        acks: i16,
    ) -> Result<Offset> {
        let timeout_ms = millis(self.options.timeout);
        self.on_leader(topic, partition, |connection, info| {
            let request = ProduceRequest {
                acks,
                timeout_ms,
                topic_data: vec![TopicProduceData {
                    name: topic.into(),
                    topic_id: info.id,
                    partition_data: vec![PartitionProduceData {
                        index: partition.0,
                        records: Some(Records::Borrowed(batch)),
                    }],
                }],
                ..Default::default()
            };
            let response = connection.call(&request)?;
            let part = response
                .responses
                .first()
                .and_then(|t| t.partition_responses.first())
                .ok_or_else(|| empty("Produce"))?;
            Error::check(part.error_code, part.error_message.as_deref(), || {
                format!("produce to {topic}-{partition}")
            })?;
            Ok(Offset(part.base_offset))
        })
    }

    /// Reads batches from `offset` on.
    ///
    /// # Errors
    /// [`Error::Kafka`]: OFFSET_OUT_OF_RANGE and others.
    pub fn fetch(
        &mut self,
        topic: &str,
        partition: Partition,
        offset: Offset,
        options: FetchOptions,
    ) -> Result<Fetched> {
        self.on_leader(topic, partition, |connection, info| {
            let request = FetchRequest {
                max_wait_ms: options.max_wait_ms,
                min_bytes: options.min_bytes,
                max_bytes: options.max_bytes,
                isolation_level: i8::from(options.read_committed),
                topics: vec![FetchTopic {
                    topic: topic.into(),
                    topic_id: info.id,
                    partitions: vec![FetchPartition {
                        partition: partition.0,
                        fetch_offset: offset.0,
                        partition_max_bytes: options.max_bytes,
                        ..Default::default()
                    }],
                }],
                ..Default::default()
            };
            let response = connection.call(&request)?;
            let what = || format!("fetch of {topic}-{partition} at {offset}");
            Error::check(response.error_code, None, what)?;
            let part = response.responses.first().and_then(|t| t.partitions.first());
            let part = part.ok_or_else(|| empty("Fetch"))?;
            Error::check(part.error_code, None, what)?;
            let records = part.records.as_ref().map(Records::contiguous);
            Ok(Fetched {
                high_watermark: Offset(part.high_watermark),
                log_start: Offset(part.log_start_offset),
                records: Bytes::copy_from_slice(records.as_deref().unwrap_or_default()),
            })
        })
    }

    /// A new id for an idempotent producer.
    ///
    /// # Errors
    /// [`Error::Kafka`], [`Error::NotThere`] when the broker hands none out within the timeout.
    pub fn init_producer_id(&mut self) -> Result<(ProducerId, ProducerEpoch)> {
        let request = InitProducerIdRequest {
            // The message's own default is the empty id, which is none that a producer may have.
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let deadline = Instant::now() + self.options.timeout;
        loop {
            let response = self.any()?.call(&request)?;
            let id = (ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch));
            match Error::check(response.error_code, None, || "InitProducerId".to_owned()) {
                Ok(()) => return Ok(id),
                // A coordinator that has just started answers so for a moment.
                Err(error) if error.is_retriable() && Instant::now() < deadline => sleep(RETRY),
                Err(error) => return Err(error),
            }
        }
    }

    /// A request to any node.
    ///
    /// # Errors
    /// Those of [`Connection::call`].
    pub fn any(&mut self) -> Result<&mut Connection> {
        let id = match self.connections.keys().next() {
            Some(&id) => id,
            None => *self.nodes.keys().next().ok_or_else(|| {
                Error::NotThere("the cluster's metadata names no nodes".to_owned())
            })?,
        };
        self.node(id)
    }

    /// A connection to the controller's node, or to any where none is named.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub fn controller(&mut self) -> Result<&mut Connection> {
        if self.nodes.contains_key(&self.controller) {
            self.node(self.controller)
        } else {
            self.any()
        }
    }

    /// A connection to one node.
    ///
    /// # Errors
    /// [`Error::NotThere`] for a node that metadata does not name; those of [`Connection::open`].
    pub fn node(&mut self, id: NodeId) -> Result<&mut Connection> {
        use std::collections::btree_map::Entry;
        match self.connections.entry(id) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => {
                let node = self
                    .nodes
                    .get(&id)
                    .ok_or_else(|| Error::NotThere(format!("no node {id} in the metadata")))?;
                Ok(place.insert(Connection::open(&node.address, &self.options)?))
            }
        }
    }

    /// Runs `call` on the leader's connection; on NOT_LEADER_OR_FOLLOWER and the like asks for the
    /// leader anew and tries again until the timeout.
    fn on_leader<T>(
        &mut self,
        topic: &str,
        partition: Partition,
        mut call: impl FnMut(&mut Connection, &TopicInfo) -> Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + self.options.timeout;
        loop {
            let info = self.topic(topic)?.clone();
            let leader = info.partition(partition).map_or(NodeId::NONE, |p| p.leader);
            let result = if leader == NodeId::NONE {
                Err(Error::NotThere(format!("{topic}-{partition} has no leader")))
            } else {
                call(self.node(leader)?, &info)
            };
            let Err(error) = result else { return result };
            if matches!(error, Error::Io { .. } | Error::Wire { .. } | Error::Protocol { .. }) {
                self.connections.remove(&leader);
                return Err(error);
            }
            let moved = matches!(error, Error::NotThere(_))
                || matches!(
                    error.code(),
                    Some(
                        ErrorCode::NotLeaderOrFollower
                            | ErrorCode::LeaderNotAvailable
                            | ErrorCode::FencedLeaderEpoch
                            | ErrorCode::UnknownLeaderEpoch
                    )
                );
            if !moved || Instant::now() >= deadline {
                return Err(error);
            }
            sleep(RETRY);
            self.refresh(topic)?;
        }
    }

    /// Metadata of the named topics (`None`: all), from a connection that is open or else from the
    /// bootstrap servers.
    fn ask_metadata(&mut self, topics: Option<&[&str]>) -> Result<()> {
        let request = MetadataRequest {
            topics: topics.map(|names| {
                let named = names.iter().map(|&name| MetadataRequestTopic {
                    name: Some(name.into()),
                    ..Default::default()
                });
                named.collect()
            }),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        if let Some(id) = self.connections.keys().next().copied() {
            let asked = self.ask_on(id, &request);
            if !matches!(asked, Err(Error::Io { .. })) {
                return asked;
            }
            self.connections.remove(&id);
        }
        let mut last = Error::NotThere("no bootstrap server given".to_owned());
        for address in &self.bootstrap {
            let mut connection = match Connection::open(address, &self.options) {
                Ok(connection) => connection,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let response = connection.call(&request)?;
            Self::learn(&mut self.nodes, &mut self.controller, &mut self.topics, &response);
            // Where the bootstrap address is a node's own, one connection serves for both.
            let own = self.nodes.values().find(|n| n.address == *address);
            if let Some(id) = own.map(|n| n.id) {
                self.connections.insert(id, connection);
            }
            return Ok(());
        }
        Err(Error::Bootstrap(Box::new(last)))
    }

    fn ask_on(&mut self, id: NodeId, request: &MetadataRequest<'_>) -> Result<()> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Err(Error::NotThere(format!("no connection to node {id}")));
        };
        let response = connection.call(request)?;
        Self::learn(&mut self.nodes, &mut self.controller, &mut self.topics, &response);
        Ok(())
    }

    fn learn(
        nodes: &mut BTreeMap<NodeId, Node>,
        controller: &mut NodeId,
        topics: &mut BTreeMap<String, TopicInfo>,
        response: &<MetadataRequest<'_> as Request>::Response<'_>,
    ) {
        *nodes = response.brokers.iter().map(|b| (NodeId(b.node_id), Node::of(b))).collect();
        *controller = NodeId(response.controller_id);
        for topic in &response.topics {
            let info = TopicInfo::of(topic);
            if topic.error_code == 0 {
                topics.insert(info.name.clone(), info);
            } else {
                topics.remove(&info.name);
            }
        }
    }
}

fn no_topic(name: &str) -> Error {
    Error::Kafka {
        what: format!("topic {name}"),
        code: ErrorCode::UnknownTopicOrPartition as i16,
        message: None,
    }
}

fn empty(api: &str) -> Error {
    Error::NotThere(format!("{api}: the response names no partition"))
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
