//! Connections to a Kafka broker, made before a run.

use anyhow::{Context, Result, bail};
use client::{Cluster, TopicInfo};
use record::{ProducerEpoch, ProducerId, Timestamp};
use wire::Request;
use wire::fetch::FetchRequest;
use wire::produce::ProduceRequest;

use super::carry::Load;
use super::check::Checker;
use super::fetcher::{self, Fetcher, Position};
use super::producer::{self, Producer, Protocol};
use super::socket::Socket;
use super::{CLIENT_ID, plan};
use crate::workload::frames::{self, Shape};
use crate::workload::{Consume, Produce, Start, Workload};

/// What all connections of a run are made from.
pub(super) struct Setup<'a> {
    pub(super) workload: &'a Workload,
    pub(super) topic: &'a TopicInfo,
    /// In stamps.
    pub(super) run: u32,
    pub(super) load: Load<'a>,
}

impl Setup<'_> {
    pub(super) fn connect_producers(
        &mut self,
        cluster: &mut Cluster,
        produce: &Produce,
    ) -> Result<()> {
        let version = version::<ProduceRequest<'_>>(cluster)?;
        let plan = plan::connections(self.topic, cluster.nodes(), produce.connections, true)?;
        for (n, connection) in plan.iter().enumerate() {
            let producer = if produce.idempotent {
                cluster.init_producer_id()?
            } else {
                (ProducerId::NONE, ProducerEpoch::NONE)
            };
            let shape = Shape {
                topic: self.topic.name.clone(),
                topic_id: self.topic.id,
                version,
                client_id: CLIENT_ID.to_owned(),
                run: self.run,
                timeout_ms: 30_000,
                producer,
            };
            let frames = frames::build(
                self.workload,
                produce,
                &shape,
                &connection.streams,
                n as u64,
                plan.len(),
            )?;
            let settings = producer::Settings {
                protocol: Protocol::Kafka { version },
                acks: produce.acks,
                depth: produce.depth,
                stamp: produce.stamp,
                idempotent: produce.idempotent,
                linger: produce.linger(),
            };
            let socket = Socket::connect(&connection.address)
                .with_context(|| format!("connecting to {}", connection.address))?;
            let streams = connection.streams.clone();
            self.load.producers.push(Producer::new(socket, frames, streams, settings, None));
        }
        Ok(())
    }

    pub(super) fn connect_fetchers(
        &mut self,
        cluster: &mut Cluster,
        consume: &Consume,
    ) -> Result<()> {
        let version = version::<FetchRequest<'_>>(cluster)?;
        let plan = plan::connections(self.topic, cluster.nodes(), consume.connections, false)?;
        for connection in plan {
            let mut positions = Vec::new();
            for stream in &connection.streams {
                positions.push(self.position(cluster, stream.partition, consume.from)?);
            }
            let settings = fetcher::Settings {
                topic: self.topic.name.clone(),
                topic_id: self.topic.id,
                version,
                client_id: CLIENT_ID.to_owned(),
                consume: consume.clone(),
                linger: self.workload.produce.as_ref().and_then(Produce::linger),
            };
            let socket = Socket::connect(&connection.address)
                .with_context(|| format!("connecting to {}", connection.address))?;
            let checker = Checker::new(consume.check, self.run);
            self.load.fetchers.push(Fetcher::new(socket, settings, positions, checker));
        }
        Ok(())
    }

    fn position(&self, cluster: &mut Cluster, partition: i32, from: Start) -> Result<Position> {
        const END: Timestamp = Timestamp(-1);
        const START: Timestamp = Timestamp(-2);
        let mut ask = |at| cluster.list_offset(&self.topic.name, partition.into(), at);
        let end = ask(END)?;
        Ok(match from {
            Start::Tail => {
                Position { partition, offset: end, wrap_at: None, start: end, told: None }
            }
            Start::Stored(_) => {
                let start = ask(START)?;
                if start == end {
                    bail!("partition {partition} holds nothing to read");
                }
                Position { partition, offset: start, wrap_at: Some(end), start, told: None }
            }
        })
    }
}

/// The latest version that the broker and we speak.
fn version<R: Request>(cluster: &mut Cluster) -> Result<i16> {
    Ok(cluster.any()?.version_of::<R>()?)
}
