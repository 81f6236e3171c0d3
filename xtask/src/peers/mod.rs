//! Brokers as processes: Apache Kafka and Millrace, started on loopback for a test or a
//! measurement.
//!
//! A peer is started with its data directory and ports, is ready when [`Kafka::start`] or
//! [`Millrace::start`] returns, writes its output to a log file, and dies with its handle. Both
//! can be stopped in order (SIGTERM) or killed (SIGKILL). What is done to a peer is the caller's
//! business: nothing here speaks Kafka beyond the one ApiVersions request that asks "are you up?".

#![allow(dead_code, reason = "a peer offers all of start, stop and kill; each command uses some")]

mod kafka;
mod millrace;
mod process;
mod ready;

pub(crate) use kafka::{Kafka, KafkaOptions, java, kafka_jars};
pub(crate) use millrace::{Millrace, MillraceOptions};
pub(crate) use ready::free_ports;
