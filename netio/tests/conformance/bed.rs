//! Where scenarios run, and what they are written with.
use bytes::Bytes;
use netio::{
    Boot, ConnId, Event, Io, Mesh, Program, Turn,
    sim::{NodeOptions, Sim, SimOptions},
};
use std::{future::Future, net::SocketAddr, path::PathBuf, sync::mpsc, time::Duration};
pub(crate) use testkit::seeds;

/// What cores of a scenario say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Listening(SocketAddr),
    Number(u64),
    Over,
}

/// What a scenario may use.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// An empty directory on the driver's disk.
    pub(crate) dir: PathBuf,
}

/// The programs of a scenario, one per core. It holds when all of them end.
pub(crate) type Scenario = fn(&Place) -> Vec<Boot<Message>>;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Settings small enough for scenarios to reach the limits.
fn options(cores: usize) -> netio::Options {
    netio::Options { cpus: vec![None; cores], lane_slots: 64, ..netio::Options::default() }
}

pub(crate) fn on_sim(scenario: Scenario) {
    for seed in seeds(6) {
        let mut sim = Sim::new(SimOptions { trace_lines: 40, ..SimOptions::seeded(seed) });
        let node_options = NodeOptions { process: options(1), ..NodeOptions::default() };
        let node = sim.add_node(node_options, scenario(&Place { dir: "data".into() }));
        assert!(
            sim.run_until(300 * SECOND, |sim| sim.has_ended(node)),
            "seed {seed}: the scenario hangs"
        );
    }
}

pub(crate) fn on_ring(name: &str, scenario: Scenario) {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("conformance-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    let boots = scenario(&Place { dir: root.clone() });
    let cores = boots.len();
    let running = netio::start(options(cores), boots).expect("io_uring is there");
    // A core that fails leaves others waiting for it: so the wait has an end.
    let (over, wait) = mpsc::channel();
    std::thread::spawn(move || over.send(running.join()));
    let joined = wait.recv_timeout(Duration::from_secs(60));
    joined.expect("the scenario hangs, or a core failed").expect("no core fails");
    std::fs::remove_dir_all(root).unwrap();
}

struct Act<F>(F);
impl<F: FnMut(&mut Vec<Event>) -> Turn + 'static> Program for Act<F> {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        self.0(events)
    }
}

/// A program that is one closure: its turn.
pub(crate) fn act(turn: impl FnMut(&mut Vec<Event>) -> Turn + 'static) -> Box<dyn Program> {
    Box::new(Act(turn))
}

/// A core whose program is made without waiting for anything.
pub(crate) fn core(
    make: impl FnOnce(Io, Mesh<Message>) -> Box<dyn Program> + Send + 'static,
) -> Boot<Message> {
    Box::new(move |io, mesh| Box::pin(async move { make(io, mesh) }))
}

/// A core that runs one future and ends.
pub(crate) fn task<F: Future<Output = ()> + 'static>(
    f: impl FnOnce(Io) -> F + Send + 'static,
) -> Boot<Message> {
    Box::new(move |io, _mesh| {
        Box::pin(async move {
            f(io).await;
            act(|_| Turn::Done)
        })
    })
}

/// Bytes that differ by place and by `kind`, so that a shift or a mix-up shows.
pub(crate) fn pattern(kind: u64, len: usize) -> Vec<u8> {
    let mut x = kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..len).map(byte).collect()
}

/// A frame: length, then bytes.
pub(crate) fn frame(bytes: &[u8]) -> Bytes {
    let mut out = (bytes.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out.into()
}

/// On `Readable`: takes all whole frames of a connection and says what the next one needs.
pub(crate) fn frames(io: &Io, conn: ConnId, mut each: impl FnMut(&[u8])) {
    let input = io.take(conn).expect("readable means that bytes can be taken");
    let bytes = input.bytes();
    let mut at = 0;
    let mut want = 0;
    while let Some((head, rest)) = bytes[at..].split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*head) as usize;
        match rest.get(..len) {
            Some(body) => each(body),
            None => {
                want = 4 + len;
                break;
            }
        }
        at += 4 + len;
    }
    io.put_back(conn, input, at, want, false);
}

/// A core that echoes frames on a port it tells core 0, until core 0 says that it is over.
pub(crate) fn echo_server() -> Boot<Message> {
    core(|io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(netio::CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. } => io.start_receiving(conn),
                    Event::Readable { conn } => {
                        let mut replies = Vec::new();
                        frames(&io, conn, |body| replies.push(frame(body)));
                        io.send(conn, replies);
                    }
                    _ => {}
                }
            }
            match mesh.receive() {
                Some((_, Message::Over)) => Turn::Done,
                Some(other) => panic!("{other:?}"),
                None => Turn::Rest,
            }
        })
    })
}

/// A core that waits for the address of a server (core 1), then acts; it tells the server when it
/// is done.
pub(crate) fn client(
    make: impl FnOnce(Io, SocketAddr) -> Box<dyn FnMut(Event) -> Turn> + Send + 'static,
) -> Boot<Message> {
    core(|io, mesh| {
        let mut make = Some(make);
        let mut on_event: Option<Box<dyn FnMut(Event) -> Turn>> = None;
        act(move |events| {
            if let Some((_, Message::Listening(addr))) = mesh.receive() {
                let make = make.take().expect("one server");
                on_event = Some(make(io.clone(), addr));
            }
            let mut turn = Turn::Rest;
            for event in events.drain(..) {
                let on_event = on_event.as_mut().expect("no event before the client acts");
                if on_event(event) == Turn::Done {
                    turn = Turn::Done;
                }
            }
            if turn == Turn::Done {
                mesh.send(netio::CoreId(1), Message::Over).unwrap();
            }
            turn
        })
    })
}
