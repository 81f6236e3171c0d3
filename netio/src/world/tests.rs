//! The driver at the seam, without the core above it: operations in, completions out.
use super::{driver::SimDriver, options::*, world::*};
use crate::seam::Sharing;
use crate::{
    buffer::AlignedBuf,
    error::Result,
    seam::{Completion, Handle, Op, Open, Outcome, Slot, Wait},
};
use bytes::Bytes;
use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr, path::PathBuf, rc::Rc};

struct Bed {
    world: Rc<RefCell<World>>,
    drivers: Vec<SimDriver>,
    /// Completions by core and slot, in order.
    got: BTreeMap<(usize, Slot), Vec<Completion>>,
    next: Slot,
}

impl Bed {
    fn new(seed: u64, nodes: usize) -> Self {
        Self::with(SimOptions::seeded(seed), nodes)
    }
    fn with(options: SimOptions, nodes: usize) -> Self {
        let world = Rc::new(RefCell::new(World::new(options.clone())));
        let mut bed = Bed { world, drivers: Vec::new(), got: BTreeMap::new(), next: 1 };
        for _ in 0..nodes {
            let node = bed.world.borrow_mut().add_host(options.disk.clone(), 0);
            bed.boot(node);
        }
        bed
    }
    fn boot(&mut self, node: NodeId) -> usize {
        let mut w = self.world.borrow_mut();
        w.host(node).power = Power::Running;
        w.host(node).cores.clear();
        let key = w.add_core(node);
        drop(w);
        self.drivers.push(SimDriver::new(self.world.clone(), key));
        assert_eq!(self.drivers.len(), key + 1);
        key
    }
    fn submit(&mut self, core: usize, op: Op) -> Slot {
        let slot = self.next;
        self.next += 1;
        self.drivers[core].submit(slot, op);
        slot
    }
    /// One event further. False when nothing is left to happen.
    fn step(&mut self) -> bool {
        // What completes as it is submitted needs no event.
        if self.reap() {
            return true;
        }
        let mut w = self.world.borrow_mut();
        let Some(at) = w.next_event() else {
            return false;
        };
        w.now = w.now.max(at);
        w.run_due();
        drop(w);
        self.reap();
        true
    }
    fn reap(&mut self) -> bool {
        let mut any = false;
        for (core, d) in self.drivers.iter_mut().enumerate() {
            let mut out = Vec::new();
            d.reap(&mut out, Wait::Forever);
            for c in out {
                any = true;
                self.got.entry((core, c.slot)).or_default().push(c);
            }
        }
        any
    }
    fn run(&mut self) {
        while self.step() {}
    }
    fn wait(&mut self, core: usize, slot: Slot) -> Outcome {
        loop {
            if let Some(c) =
                self.got.get_mut(&(core, slot)).filter(|v| !v.is_empty()).map(|v| v.remove(0))
            {
                return c.outcome;
            }
            assert!(self.step(), "slot {slot} never completes");
        }
    }
    fn call(&mut self, core: usize, op: Op) -> Outcome {
        let slot = self.submit(core, op);
        self.wait(core, slot)
    }
    fn open(&mut self, core: usize, path: &str, how: Open) -> Result<Handle> {
        match self.call(core, Op::OpenFile { path: path.into(), how }) {
            Outcome::Opened(r) => r,
            o => panic!("{o:?}"),
        }
    }
    fn create(&mut self, core: usize, path: &str, direct: bool) -> Handle {
        self.open(core, path, Open { write: true, create: true, direct, ..Open::default() })
            .unwrap()
    }
    fn done(&mut self, core: usize, op: Op) -> std::result::Result<(), i32> {
        match self.call(core, op) {
            Outcome::Done(r) => r.map_err(|e| e.errno),
            o => panic!("{o:?}"),
        }
    }
    fn write(
        &mut self,
        core: usize,
        file: Handle,
        offset: u64,
        bytes: Bytes,
        dsync: bool,
    ) -> std::result::Result<(), i32> {
        self.done(core, Op::Write { file, slices: vec![bytes], offset, dsync })
    }
    fn read(
        &mut self,
        core: usize,
        file: Handle,
        offset: u64,
        len: usize,
    ) -> std::result::Result<Vec<u8>, i32> {
        match self.call(core, Op::ReadVec { file, buf: vec![0; len], offset }) {
            Outcome::ReadVec { mut buf, result } => result.map_err(|e| e.errno).map(|n| {
                buf.truncate(n);
                buf
            }),
            o => panic!("{o:?}"),
        }
    }
    fn end_life(&mut self, node: NodeId, power: Power) {
        self.world.borrow_mut().end_life(node, power);
    }
    fn hash(&self) -> u64 {
        self.world.borrow().trace.hash()
    }

    fn listen(&mut self, core: usize, addr: &str) -> (Handle, Slot) {
        let (listener, _) =
            self.drivers[core].listen(addr.parse().unwrap(), Sharing::Alone).unwrap();
        (listener, self.submit(core, Op::Accept { listener }))
    }
    /// A connection from `a` to `b`; both handles.
    fn pair(&mut self, a: usize, b: usize) -> (Handle, Handle) {
        let (_, accept) = self.listen(b, "0.0.0.0:9092");
        let addr = SocketAddr::new(NodeId(b as u16).ip(), 9092);
        let Outcome::Connected(Ok(ours)) = self.call(a, Op::Connect { addr }) else { panic!() };
        let Outcome::Accepted(Ok((theirs, _))) = self.wait(b, accept) else { panic!() };
        (ours, theirs)
    }
    /// Receives with multishot, submitting again when it ends early, until `n` bytes, the end, or
    /// an error.
    fn receive(
        &mut self,
        core: usize,
        socket: Handle,
        n: usize,
    ) -> std::result::Result<Vec<u8>, i32> {
        let mut all = Vec::new();
        let mut slot = self.submit(core, Op::Receive { socket });
        let mut early = false;
        while all.len() < n {
            if early {
                slot = self.submit(core, Op::Receive { socket });
            }
            let c = loop {
                if let Some(c) =
                    self.got.get_mut(&(core, slot)).filter(|v| !v.is_empty()).map(|v| v.remove(0))
                {
                    break c;
                }
                assert!(self.step(), "nothing more comes after {} of {n}", all.len());
            };
            match c.outcome {
                Outcome::Received(Ok(p)) if p.is_empty() => return Ok(all),
                Outcome::Received(Ok(p)) => all.extend_from_slice(&p),
                Outcome::Received(Err(e)) => return Err(e.errno),
                o => panic!("{o:?}"),
            }
            early = !c.more;
        }
        if !early {
            self.drivers[core].cancel(slot);
        }
        Ok(all)
    }
}

fn aligned(fill: u8, len: usize) -> Bytes {
    let mut b = AlignedBuf::zeroed(len);
    b.fill(fill);
    b.freeze()
}

#[test]
fn files_read_what_was_written_and_numbers_are_reused() {
    let mut t = Bed::new(1, 1);
    let f = t.create(0, "wal", true);
    t.write(0, f, 0, aligned(1, 8192), true).unwrap();
    t.write(0, f, 8192, aligned(2, 4096), false).unwrap();
    let Outcome::Read { buf, result } =
        t.call(0, Op::Read { file: f, buf: AlignedBuf::zeroed(8192), offset: 4096 })
    else {
        panic!()
    };
    assert_eq!(result, Ok(8192));
    assert!(buf[..4096].iter().all(|&b| b == 1) && buf[4096..].iter().all(|&b| b == 2));
    assert_eq!(t.write(0, f, 100, aligned(1, 4096), false), Err(libc::EINVAL));
    assert_eq!(t.write(0, f, 0, Bytes::from_static(b"short"), false), Err(libc::EINVAL));
    assert_eq!(t.read(0, f, 1, 5), Err(libc::EINVAL));
    t.done(0, Op::CloseFile { file: f }).unwrap();
    assert_eq!(t.read(0, f, 0, 5), Err(libc::EBADF));
    let g = t.open(0, "/wal", Open::default()).unwrap();
    assert_eq!(g, f);
    assert_eq!(t.read(0, g, 8190, 100).unwrap().len(), 100);
    assert_eq!(
        t.write(0, g, 0, Bytes::from_static(b"x"), false),
        Err(libc::EBADF),
        "opened for reading"
    );
    assert_eq!(t.open(0, "none", Open::default()).unwrap_err().errno, libc::ENOENT);
}

#[test]
fn a_dead_process_leaves_each_write_in_flight_whole_in_part_or_not() {
    let mut seen = [0; 3];
    for seed in 0..60 {
        let mut t = Bed::new(seed, 1);
        let f = t.create(0, "f", false);
        t.write(0, f, 0, Bytes::from(vec![1; 4096]), false).unwrap();
        t.submit(
            0,
            Op::Write {
                file: f,
                slices: vec![Bytes::from(vec![2; 4096])],
                offset: 4096,
                dsync: true,
            },
        );
        t.end_life(NodeId(0), Power::Killed);
        let core = t.boot(NodeId(0));
        let f = t.open(core, "f", Open::default()).unwrap();
        let bytes = t.read(core, f, 0, 10_000).unwrap();
        assert!(bytes[..4096].iter().all(|&b| b == 1), "the page cache outlives the process");
        assert!(bytes[4096..].iter().all(|&b| b == 2));
        seen[match bytes.len() {
            4096 => 0,
            8192 => 1,
            _ => 2,
        }] += 1;
    }
    assert!(seen.iter().all(|&n| n > 5), "{seen:?}");
}

#[test]
fn a_power_cut_keeps_what_was_acked_with_dsync() {
    let mut lost = 0;
    for seed in 0..40 {
        let mut t = Bed::new(seed, 1);
        let f = t.create(0, "f", false);
        t.done(0, Op::SyncDir { path: "/".into() }).unwrap();
        t.write(0, f, 0, Bytes::from(vec![1; 512]), false).unwrap();
        t.write(0, f, 4096, Bytes::from(vec![2; 4096]), true).unwrap();
        t.end_life(NodeId(0), Power::Off);
        let core = t.boot(NodeId(0));
        let f = t.open(core, "f", Open::default()).unwrap();
        let bytes = t.read(core, f, 0, 10_000).unwrap();
        assert_eq!(bytes[4096..], [2; 4096]);
        lost += u32::from(bytes[0] == 0);
    }
    assert!((5..35).contains(&lost), "the write before it was lost {lost} times of 40");
}

#[test]
fn ordered_and_chance_faults() {
    let mut t = Bed::new(3, 1);
    let f = t.create(0, "topic-0/x".replace('/', "-").as_str(), false);
    t.world.borrow_mut().host(NodeId(0)).faults.push(super::files::Fault {
        op: super::files::FileOp::Write,
        path: "topic".into(),
        errno: libc::ENOSPC,
        skip: 0,
        times: 1,
    });
    assert_eq!(t.write(0, f, 0, Bytes::from_static(b"abc"), false), Err(libc::ENOSPC));
    assert_eq!(t.write(0, f, 0, Bytes::from_static(b"abc"), false), Ok(()));
    t.world.borrow_mut().host(NodeId(0)).disk_options.read_error = 1.0;
    assert_eq!(t.read(0, f, 0, 3), Err(libc::EIO));
    t.world.borrow_mut().host(NodeId(0)).disk_options.read_error = 0.0;
    t.world.borrow_mut().host(NodeId(0)).disk_options.read_flip = 1.0;
    assert_ne!(t.read(0, f, 0, 3).unwrap(), b"abc");
    t.world.borrow_mut().host(NodeId(0)).disk_options.read_flip = 0.0;
    assert_eq!(t.read(0, f, 0, 3).unwrap(), b"abc");
}

#[test]
fn every_cancelled_operation_completes_once_with_its_buffer() {
    for seed in 0..30 {
        let mut t = Bed::new(seed, 1);
        let f = t.create(0, "f", false);
        t.write(0, f, 0, Bytes::from(vec![7; 9000]), false).unwrap();
        let r = t.submit(0, Op::ReadVec { file: f, buf: vec![0; 9000], offset: 0 });
        t.drivers[0].cancel(r);
        t.drivers[0].cancel(r);
        t.drivers[0].cancel(999);
        t.run();
        let all = t.got.remove(&(0, r)).unwrap();
        assert_eq!(all.len(), 1);
        match &all[0].outcome {
            Outcome::ReadVec { buf, result: Ok(9000) } => assert!(buf.iter().all(|&b| b == 7)),
            Outcome::ReadVec { buf, result: Err(e) } => {
                assert!(e.errno == libc::ECANCELED && buf.len() == 9000)
            }
            o => panic!("{o:?}"),
        }
        assert!(t.world.borrow().cores[0].flight.is_empty());
    }
}

#[test]
fn streams_keep_bytes_and_order_in_any_pieces() {
    for seed in 0..20 {
        let mut t = Bed::new(seed, 2);
        let (a, b) = t.pair(0, 1);
        let bytes: Vec<u8> = (0..700_000u32).map(|i| (i * 7 % 253) as u8).collect();
        let slices = bytes.chunks(333_333).map(Bytes::copy_from_slice).collect();
        let sent = t.submit(0, Op::Send { socket: a, slices });
        assert_eq!(t.receive(1, b, bytes.len()).unwrap(), bytes);
        let Outcome::Sent(Ok(700_000)) = t.wait(0, sent) else { panic!() };
        // And one shot, the other way.
        t.submit(1, Op::Send { socket: b, slices: vec![Bytes::from_static(b"hello")] });
        let mut got = vec![b'>'; 6];
        let mut at = 1;
        while at < 6 {
            let Outcome::ReceivedInto { buf, result } =
                t.call(0, Op::ReceiveInto { socket: a, buf: got, at })
            else {
                panic!()
            };
            got = buf;
            at += result.unwrap();
        }
        assert_eq!(got, b">hello");
    }
}

#[test]
fn a_send_waits_while_the_peer_does_not_receive() {
    let mut t = Bed::new(4, 2);
    let (a, b) = t.pair(0, 1);
    let sent = t.submit(0, Op::Send { socket: a, slices: vec![Bytes::from(vec![1; 1 << 20])] });
    t.run();
    assert!(!t.got.contains_key(&(0, sent)), "1 MiB does not fit the window");
    assert_eq!(t.receive(1, b, 1 << 20).unwrap().len(), 1 << 20);
    let Outcome::Sent(Ok(n)) = t.wait(0, sent) else { panic!() };
    assert_eq!(n, 1 << 20);
}

#[test]
fn closing_in_order_delivers_all_then_the_end() {
    let mut t = Bed::new(5, 2);
    let (a, b) = t.pair(0, 1);
    let sent = t.submit(0, Op::Send { socket: a, slices: vec![Bytes::from(vec![1; 50_000])] });
    t.wait(0, sent);
    t.done(0, Op::CloseSocket { socket: a }).unwrap();
    assert_eq!(t.receive(1, b, usize::MAX).unwrap().len(), 50_000);
    // What is sent to a closed end is answered by a reset.
    t.call(1, Op::Send { socket: b, slices: vec![Bytes::from_static(b"late")] });
    assert_eq!(t.receive(1, b, 1), Ok(vec![]), "the end was seen first");
    t.run();
    let Outcome::Sent(Err(e)) =
        t.call(1, Op::Send { socket: b, slices: vec![Bytes::from_static(b"later")] })
    else {
        panic!()
    };
    assert_eq!(e.errno, libc::ECONNRESET);
    t.done(1, Op::CloseSocket { socket: b }).unwrap();
    t.run();
    assert!(t.world.borrow().net.ends.is_empty(), "nothing is kept of a closed connection");
}

#[test]
fn closing_with_unread_bytes_or_dying_resets() {
    let mut t = Bed::new(6, 2);
    let (a, b) = t.pair(0, 1);
    let s = t.submit(0, Op::Send { socket: a, slices: vec![Bytes::from_static(b"unread")] });
    t.wait(0, s);
    t.run();
    t.done(1, Op::CloseSocket { socket: b }).unwrap();
    assert_eq!(t.receive(0, a, 1), Err(libc::ECONNRESET));

    let mut t = Bed::new(7, 2);
    let (a, _) = t.pair(0, 1);
    let r = t.submit(0, Op::Receive { socket: a });
    t.end_life(NodeId(1), Power::Killed);
    let Outcome::Received(Err(e)) = t.wait(0, r) else { panic!() };
    assert_eq!(e.errno, libc::ECONNRESET);
    let addr = SocketAddr::new(NodeId(1).ip(), 9092);
    let Outcome::Connected(Err(e)) = t.call(0, Op::Connect { addr }) else { panic!() };
    assert_eq!(e.errno, libc::ECONNREFUSED);
}

#[test]
fn a_cut_link_delays_and_then_times_out() {
    let mut t = Bed::new(8, 2);
    let (a, b) = t.pair(0, 1);
    t.world.borrow_mut().cut(NodeId(0), NodeId(1));
    let s = t.submit(0, Op::Send { socket: a, slices: vec![Bytes::from_static(b"one")] });
    t.wait(0, s);
    while t.world.borrow().net.ends.values().all(|e| e.stalled.is_none()) {
        assert!(t.step());
    }
    t.world.borrow_mut().heal(NodeId(0), NodeId(1));
    assert_eq!(t.receive(1, b, 3).unwrap(), b"one", "healed in time: late, not lost");
    t.world.borrow_mut().cut(NodeId(0), NodeId(1));
    t.submit(0, Op::Send { socket: a, slices: vec![Bytes::from_static(b"two")] });
    assert_eq!(t.receive(0, a, 1), Err(libc::ETIMEDOUT));
    let addr = SocketAddr::new(NodeId(1).ip(), 9092);
    let Outcome::Connected(Err(e)) = t.call(0, Op::Connect { addr }) else { panic!() };
    assert_eq!(e.errno, libc::ETIMEDOUT);
}

#[test]
fn addresses_ports_and_backlog() {
    let mut t = Bed::new(9, 2);
    let (l, a) = t.drivers[0].listen("127.0.0.1:0".parse().unwrap(), Sharing::Alone).unwrap();
    assert_ne!(a.port(), 0);
    assert_eq!(t.drivers[0].listen(a, Sharing::Alone).unwrap_err().errno, libc::EADDRINUSE);
    assert_eq!(
        t.drivers[0].listen("10.0.1.1:80".parse().unwrap(), Sharing::Alone).unwrap_err().errno,
        libc::EADDRNOTAVAIL
    );
    // Established before anybody accepts.
    let Outcome::Connected(Ok(_)) = t.call(0, Op::Connect { addr: a }) else { panic!() };
    let far = SocketAddr::new(NodeId(0).ip(), a.port());
    let Outcome::Connected(Err(e)) = t.call(1, Op::Connect { addr: far }) else { panic!() };
    assert_eq!(e.errno, libc::ECONNREFUSED, "a loopback listener is not seen from outside");
    let accept = t.submit(0, Op::Accept { listener: l });
    let Outcome::Accepted(Ok((_, peer))) = t.wait(0, accept) else { panic!() };
    assert!(peer.ip().is_loopback());
    t.done(0, Op::CloseSocket { socket: l }).unwrap();
    let Outcome::Connected(Err(e)) = t.call(0, Op::Connect { addr: a }) else { panic!() };
    assert_eq!(e.errno, libc::ECONNREFUSED);
}

fn busy_run(seed: u64) -> u64 {
    let mut t = Bed::new(seed, 2);
    let (a, b) = t.pair(0, 1);
    let f = t.create(0, "f", false);
    for i in 0..20u64 {
        t.submit(
            0,
            Op::Write {
                file: f,
                slices: vec![Bytes::from(vec![i as u8; 3000])],
                offset: i * 1000,
                dsync: i % 3 == 0,
            },
        );
        t.submit(1, Op::CreateDir { path: PathBuf::from(format!("d{i}")) });
    }
    t.submit(0, Op::Send { socket: a, slices: vec![Bytes::from(vec![3; 90_000])] });
    t.receive(1, b, 90_000).unwrap();
    t.run();
    t.end_life(NodeId(0), Power::Off);
    let core = t.boot(NodeId(0));
    if let Ok(f) = t.open(core, "f", Open::default()) {
        t.read(core, f, 0, 30_000).unwrap();
    }
    t.hash()
}

#[test]
fn the_seed_decides_everything() {
    assert_eq!(busy_run(1), busy_run(1));
    let mut all: Vec<u64> = (0..20).map(busy_run).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 20);
}
