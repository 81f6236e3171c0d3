//! The Millrace server.
//!
//! One [`shard::Shard`] per core owns everything of its core: connections, partitions,
//! coordinators, and on core 0 the controller. A turn gathers a bounded batch of events, applies
//! each with `&mut self`, and settles.
//!
//! In reading order:
//! * [`settings`]    what the server runs with, after configuration; [`limits`] what bounds it,
//!   [`descriptors`] too.
//! * [`shard`]       a core: its turn, the closed set of events, the messages between cores, who
//!   owns what.
//! * [`session`]     a connection: framing, admission, order of replies.
//! * [`api`]         the table of Kafka's APIs, and one file per API.
//! * [`partition`]   leaders and those who wait for their watermarks.
//! * [`metadata`]    the image that every core holds, and the records that make it.
//! * [`controller`]  requests in, records out.
//! * [`coordinator`], [`group`]  consumer groups as replicated state machines.
//! * [`config`]      keys, files, environment, command line.
//! * [`admin`]       health and metrics, on the control thread.
//! * [`start`]       from a configuration to cores that serve; [`signals`] and [`output`] what the
//!   process hears and says.
#![forbid(unsafe_code)]

pub mod admin;
pub mod answer;
pub mod api;
pub mod banner;
pub mod cli;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod core;
pub mod descriptors;
pub mod fetch;
pub mod group;
mod heap;
pub mod identity;
pub mod limits;
pub mod metadata;
pub mod output;
pub mod partition;
pub mod produce;
pub mod session;
pub mod settings;
pub mod shard;
pub mod signals;
pub mod start;
pub mod time_lookup;
