//! A host with a broker on it, and connections to it.
//!
//! All calls let the simulation run until what they wait for is there, for at most [`PATIENCE_NS`]
//! of virtual time.
use broker::{
    config::Defaults,
    core::plan::{Plan, Progress},
    limits::Limits,
    settings::{GroupSettings, Settings},
    shard::{Shard, boot, message::Message},
};
use netio::{
    Boot, Event, Program, Turn,
    sim::{Client, NodeId, NodeOptions, Sim, SimOptions},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
pub(crate) use testkit::seeds;
use tokio::sync::watch;
use wire::{ApiMessage, Decode, Reader, Request, ResponseHeader};

pub(crate) const PORT: u16 = 9092;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Longer than any time-out of the broker that a test waits for.
pub(crate) const PATIENCE_NS: u64 = 120 * SECOND_NS;

/// How a broker is run.
#[derive(Clone, Debug)]
pub(crate) struct How {
    pub(crate) sim: SimOptions,
    pub(crate) settings: Settings,
    /// Configurations given at start.
    pub(crate) defaults: Defaults,
    pub(crate) storage: storage::Options,
    pub(crate) disk_bytes: u64,
    /// Takes a note of every turn.
    pub(crate) turns: Option<Arc<Mutex<Vec<TurnNote>>>>,
    /// Takes note of the errors that each core has counted.
    pub(crate) errors: Option<Arc<Mutex<Errors>>>,
    /// Runs every turn of which a note is taken.
    pub(crate) around_turn: Option<fn(&mut dyn FnMut())>,
}

/// Errors counted, by core, and by API key and code.
pub(crate) type Errors = BTreeMap<usize, BTreeMap<(i16, i16), u64>>;

/// What a turn of a core began with, and where its totals were at its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct TurnNote {
    pub(crate) events: usize,
    pub(crate) accepted: usize,
    /// By API key, since the start.
    pub(crate) requests: BTreeMap<i16, u64>,
    pub(crate) sent_bytes: u64,
}

impl How {
    /// `cores` cores with ports of their own.
    pub(crate) fn new(seed: u64, cores: u16) -> Self {
        let settings = Settings {
            node_id: 1,
            id_stride: 1000,
            cores,
            single_port: false,
            listen: ([0, 0, 0, 0], PORT).into(),
            advertised_host: "millrace".into(),
            advertised_port: PORT,
            rack: None,
            limits: Limits::default(),
            auto_create_topics: true,
            default_partitions: 2,
            offsets_partitions: 4,
            group: GroupSettings { initial_rebalance_delay_ms: 100, ..GroupSettings::default() },
            metrics: Default::default(),
            delete_topic_enable: true,
        };
        // Small, so that files are recycled and flushed within a test.
        let storage = storage::Options {
            group_bytes: 128 << 10,
            wal_file_bytes: 1 << 20,
            wal_first_file_bytes: 512 << 10,
            unflushed_bytes_max: 8 << 20,
            flush_bytes: 256 << 10,
            flush_age_ms: 500,
            cache_bytes: 1 << 20,
            reserve_bytes: 1 << 20,
            cold_read_bytes_max: 8 << 20,
            ..storage::Options::new("data")
        };
        Self {
            sim: SimOptions::seeded(seed),
            settings,
            storage,
            disk_bytes: 4 << 30,
            defaults: Defaults::default(),
            turns: None,
            errors: None,
            around_turn: None,
        }
    }

    pub(crate) fn single_port(mut self) -> Self {
        self.settings.single_port = true;
        self
    }
}

/// Both modes on one and on two cores.
pub(crate) fn every_mode(seed: u64) -> [How; 4] {
    [
        How::new(seed, 1),
        How::new(seed, 2),
        How::new(seed, 1).single_port(),
        How::new(seed, 2).single_port(),
    ]
}

/// A core that could not start.
struct NotStarted;

impl Program for NotStarted {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        events.clear();
        Turn::Done
    }
}

/// One host in a world.
pub(crate) struct Bed {
    pub(crate) sim: Sim,
    pub(crate) node: NodeId,
    pub(crate) how: How,
    progress: watch::Receiver<Progress>,
}

impl Bed {
    /// A broker that serves.
    pub(crate) fn start(how: How) -> Self {
        let mut sim = Sim::new(how.sim.clone());
        let mut disk = how.sim.disk.clone();
        disk.capacity_bytes = how.disk_bytes;
        let node = sim.add_host(NodeOptions { disk: Some(disk), ..NodeOptions::default() });
        let (_, progress) = watch::channel(Progress::default());
        let mut bed = Self { sim, node, how, progress };
        bed.restart();
        bed
    }

    /// Starts a process on the host, which has none, and waits until it serves.
    pub(crate) fn restart(&mut self) {
        self.begin_restart();
        let progress = self.progress.clone();
        let ready = self.sim.run_until(PATIENCE_NS, |_| {
            let now = progress.borrow();
            now.ready || now.failed.is_some()
        });
        let now = self.progress.borrow().clone();
        assert!(ready && now.failed.is_none(), "the broker does not start: {now:?}");
    }

    /// Cores that say that they refuse records for want of space.
    pub(crate) fn refusing(&self) -> BTreeMap<u16, String> {
        self.progress.borrow().refusing.clone()
    }

    /// Starts a process and does not wait.
    pub(crate) fn begin_restart(&mut self) {
        let (told, progress) = watch::channel(Progress::default());
        self.progress = progress;
        let plan = Plan {
            settings: self.how.settings.clone(),
            defaults: self.how.defaults.clone(),
            storage: self.how.storage.clone(),
            ready: Arc::new(told),
        };
        let boots = (0..self.how.settings.cores)
            .map(|core| boot_of(plan.clone(), usize::from(core), self.how.clone()))
            .collect();
        self.sim.restart(self.node, boots);
    }

    /// How far the last start has come.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// As SIGTERM does it; what the broker says was left. Panics if it is not over after `ns` of
    /// virtual time.
    pub(crate) fn stop_within(&mut self, ns: u64) -> Option<String> {
        self.sim.stop(self.node);
        let node = self.node;
        let ended = self.sim.run_until(ns, |sim| sim.has_ended(node));
        assert!(ended, "the broker does not stop within {ns} ns");
        self.progress.borrow().left.clone()
    }

    pub(crate) fn cores(&self) -> u16 {
        self.how.settings.cores
    }

    /// A connection to a core; to any of them in single-port mode.
    pub(crate) fn connect(&self, core: u16) -> Conn {
        let port = if self.how.settings.single_port { PORT } else { PORT + core };
        Conn {
            client: self.sim.client((self.node.ip(), port).into()),
            arrived: Vec::new(),
            correlation: 0,
        }
    }

    /// Sends a request and waits for its answer. Panics if there is none.
    pub(crate) fn call<Q: Request>(
        &mut self,
        conn: &mut Conn,
        request: &Q,
        version: i16,
    ) -> Q::Response<'static> {
        match self.try_call(conn, request, version) {
            Some(response) => response,
            None => panic!(
                "{:?} version {version}: no answer, the connection is {:?}",
                Q::API_KEY,
                conn.client.ended()
            ),
        }
    }

    /// As [`Self::call`]; `None` when the connection ends first.
    pub(crate) fn try_call<Q: Request>(
        &mut self,
        conn: &mut Conn,
        request: &Q,
        version: i16,
    ) -> Option<Q::Response<'static>> {
        let id = conn.send(request, version);
        self.answer::<Q>(conn, id, version)
    }

    /// Waits for the answer to a request sent before, the next on its connection.
    pub(crate) fn answer<Q: Request>(
        &mut self,
        conn: &mut Conn,
        id: i32,
        version: i16,
    ) -> Option<Q::Response<'static>> {
        let frame = self.frame(conn)?;
        Some(read_answer::<Q>(&frame, id, version))
    }

    /// The next frame, without its length; `None` when the connection ends first.
    pub(crate) fn frame(&mut self, conn: &mut Conn) -> Option<Vec<u8>> {
        let mut frame = None;
        let there = self.sim.run_until(PATIENCE_NS, |_| {
            frame = conn.poll();
            frame.is_some() || conn.client.ended().is_some()
        });
        assert!(there, "no answer in {PATIENCE_NS} ns, and the connection stands");
        frame.or_else(|| conn.poll())
    }

    /// Waits for the end of a connection, and gives what arrived before.
    pub(crate) fn until_closed(&mut self, conn: &mut Conn) -> Vec<u8> {
        let ended = self.sim.run_until(PATIENCE_NS, |_| conn.client.ended().is_some());
        assert!(ended, "the connection was not closed");
        let mut all = std::mem::take(&mut conn.arrived);
        all.append(&mut conn.client.take());
        all
    }
}

/// Decodes an answer, all of it. It borrows from its frame, which lives on: tests are short.
pub(crate) fn read_answer<Q: Request>(frame: &[u8], id: i32, version: i16) -> Q::Response<'static> {
    let key = Q::API_KEY;
    let mut reader = Reader::new(frame.to_vec().leak());
    let header = ResponseHeader::decode(
        &mut reader,
        <Q::Response<'_> as ApiMessage>::header_version(version),
    )
    .unwrap();
    assert_eq!(
        header.correlation_id, id,
        "{key:?} version {version}: the answer to another request"
    );
    let response = Q::Response::decode(&mut reader, version)
        .unwrap_or_else(|e| panic!("{key:?} version {version}: {e}: {frame:x?}"));
    reader.expect_end().unwrap_or_else(|e| panic!("{key:?} version {version}: {e}: {frame:x?}"));
    response
}

/// A core whose turns are taken note of.
struct Watched {
    shard: Shard,
    core: usize,
    turns: Option<Arc<Mutex<Vec<TurnNote>>>>,
    errors: Option<Arc<Mutex<Errors>>>,
    around: Option<fn(&mut dyn FnMut())>,
}

impl Program for Watched {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        let accepted = |e: &&Event| matches!(e, Event::Accepted { .. });
        let mut note = TurnNote {
            events: events.len(),
            accepted: events.iter().filter(accepted).count(),
            ..TurnNote::default()
        };
        let mut said = Turn::Done;
        let mut turn = || said = self.shard.turn(events);
        match self.around {
            Some(around) => around(&mut turn),
            None => turn(),
        }
        note.sent_bytes = self.shard.stats().sent_bytes;
        note.requests =
            (self.shard.stats().apis()).map(|(key, api)| (key.code(), api.requests)).collect();
        if let Some(turns) = &self.turns {
            turns.lock().unwrap().push(note);
        }
        if let Some(errors) = &self.errors {
            let counted = self.shard.stats().errors.clone();
            errors.lock().unwrap().insert(self.core, counted);
        }
        said
    }
}

fn boot_of(plan: Plan, core: usize, how: How) -> Boot<Message> {
    Box::new(move |io, mesh| {
        Box::pin(async move {
            let progress = plan.ready.clone();
            match boot::boot(plan, io, mesh).await {
                Ok(shard) => match (how.turns, how.errors) {
                    (None, None) => Box::new(shard) as Box<dyn Program>,
                    (turns, errors) => {
                        Box::new(Watched { shard, core, turns, errors, around: how.around_turn })
                            as Box<dyn Program>
                    }
                },
                Err(reason) => {
                    progress.send_modify(|p| p.fail(reason));
                    Box::new(NotStarted) as Box<dyn Program>
                }
            }
        })
    })
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) client: Client,
    arrived: Vec<u8>,
    correlation: i32,
}

impl Conn {
    /// Queues a request and gives its correlation id.
    pub(crate) fn send<Q: Request>(&mut self, request: &Q, version: i16) -> i32 {
        self.correlation += 1;
        let slices = wire::encode_request(request, self.correlation, Some("sim"), version)
            .unwrap_or_else(|e| panic!("{:?} version {version}: {e}", Q::API_KEY));
        self.client.send(slices.concat());
        self.correlation
    }

    /// A frame that has arrived whole, without its length.
    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        self.arrived.append(&mut self.client.take());
        let size = i32::from_be_bytes(*self.arrived.first_chunk()?);
        let end = 4 + usize::try_from(size).unwrap_or_else(|_| panic!("a frame of size {size}"));
        if self.arrived.len() < end {
            return None;
        }
        let rest = self.arrived.split_off(end);
        Some(std::mem::replace(&mut self.arrived, rest).split_off(4))
    }
}

/// What the broker logs while `run` does something.
pub(crate) fn log_of(run: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    let log = kept.0.lock().unwrap().clone();
    String::from_utf8(log).unwrap()
}
