//! [`Sim`]: the world with its processes, and the choice of who runs next.
use crate::world::{
    client::Client,
    driver::{SimDriver, Waker},
    files::{Fault, FileOp},
    image::DiskImage,
    options::{DiskOptions, NodeOptions, SimOptions},
    world::{CoreKey, NodeId, Power, World},
};
use crate::{
    core::{
        io::Io,
        mesh::{self, Sender},
        program::{Boot, Event, Program, Turn},
        turn::{Core, Step},
    },
    driver::Driver,
    seam::{Wait, Wake},
    stats::Stats,
};
use std::{
    any::Any,
    cell::RefCell,
    fmt,
    future::Future,
    net::SocketAddr,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

/// A process: one life of a node.
struct Process {
    cores: Vec<(CoreKey, Option<Core>)>,
    /// A `Sender<M>`.
    sender: Box<dyn Any>,
    stop: Box<dyn Fn()>,
}

/// A simulation. See the module's text for an example.
pub struct Sim {
    world: Rc<RefCell<World>>,
    nodes: Vec<NodeOptions>,
    processes: Vec<Option<Process>>,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = self.world.borrow();
        f.debug_struct("Sim")
            .field("seed", &w.options.seed)
            .field("now", &w.now)
            .field("nodes", &self.nodes.len())
            .finish()
    }
}

impl Sim {
    pub fn new(options: SimOptions) -> Self {
        Self {
            world: Rc::new(RefCell::new(World::new(options))),
            nodes: Vec::new(),
            processes: Vec::new(),
        }
    }

    // ---- nodes ----------------------------------------------------------------------------------
    /// A host with an empty disk but for its data directory, and a process with one core per boot.
    /// Its address is [`NodeId::ip`].
    pub fn add_node<M: Send + 'static>(
        &mut self,
        options: NodeOptions,
        boots: Vec<Boot<M>>,
    ) -> NodeId {
        let node = self.add_host(options);
        self.restart(node, boots);
        node
    }
    /// A host as above, with no process yet: for [`Self::restart`], [`Self::run_on`], or files put
    /// there first.
    pub fn add_host(&mut self, options: NodeOptions) -> NodeId {
        let mut w = self.world.borrow_mut();
        let disk = options.disk.clone().unwrap_or_else(|| w.options.disk.clone());
        let node = w.add_host(disk, options.wall_skew_ms);
        let disk = &mut w.host(node).disk;
        let mut at = std::path::PathBuf::new();
        for part in Path::new(&options.data_dir).components() {
            at.push(part);
            match disk.create_dir(&at) {
                Ok(()) | Err(libc::EEXIST) => {}
                Err(errno) => panic!("data directory {at:?}: errno {errno}"),
            }
        }
        disk.settle();
        drop(w);
        self.nodes.push(options);
        self.processes.push(None);
        node
    }
    /// Runs one future as the only task of a process of one core on a node that has none, and gives
    /// its result. `None`: it did not end within `max_ns`; it still runs, to be killed or
    /// [`Self::run_for`] longer.
    pub fn run_on<T, F>(
        &mut self,
        node: NodeId,
        max_ns: u64,
        f: impl FnOnce(Io) -> F + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        struct Ended;
        impl Program for Ended {
            fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
                events.clear();
                Turn::Done
            }
        }
        let result = Arc::new(Mutex::new(None));
        let place = result.clone();
        let boot: Boot<()> = Box::new(move |io, _mesh| {
            Box::pin(async move {
                let value = f(io).await;
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Box::new(Ended) as Box<dyn Program>
            })
        });
        self.restart(node, vec![boot]);
        self.run_until(max_ns, |sim| sim.has_ended(node));
        if self.has_ended(node) {
            self.bury(node);
        }
        result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
    /// Starts a process on a node that has none (after [`Self::kill`], [`Self::power_cut`], or its
    /// own end).
    pub fn restart<M: Send + 'static>(&mut self, node: NodeId, boots: Vec<Boot<M>>) {
        self.bury(node);
        assert!(self.processes[index(node)].is_none(), "{node:?} runs");
        assert!(!boots.is_empty(), "a process has at least one core");
        let mut w = self.world.borrow_mut();
        w.host(node).power = Power::Running;
        w.resume_wires();
        let keys: Vec<CoreKey> = boots.iter().map(|_| w.add_core(node)).collect();
        let wakes = keys
            .iter()
            .map(|&k| Arc::new(Waker(w.cores[k].woken.clone())) as Arc<dyn Wake>)
            .collect();
        let (now, words) = (w.now, [w.now, u64::from(node.0), boots.len() as u64]);
        w.trace.note(&words, || format!("{now:>12} {node:?} starts with {} cores", keys.len()));
        drop(w);
        let mut options = self.nodes[index(node)].process.clone();
        options.cpus = vec![None; keys.len()];
        let (meshes, sender) = mesh::create::<M>(wakes, options.lane_slots);
        let cores = keys.into_iter().zip(meshes).zip(boots).map(|((key, mesh), boot)| {
            let driver = Driver::Sim(SimDriver::new(self.world.clone(), key));
            (key, Some(Core::new(driver, &options, mesh, boot)))
        });
        let cores = cores.collect();
        let stop = sender.clone();
        let process =
            Process { cores, sender: Box::new(sender), stop: Box::new(move || stop.stop()) };
        self.processes[index(node)] = Some(process);
    }
    /// SIGKILL: what was in flight to the disk lands whole, in part, or not; the rest is as the
    /// page cache has it. Peers see a reset. The host stays: connections to it are refused.
    pub fn kill(&mut self, node: NodeId) {
        self.end_life(node, Power::Killed);
    }
    /// The power goes: of all that was not durable, each piece is lost, kept, or torn. Nobody
    /// answers for this host until [`Self::restart`].
    pub fn power_cut(&mut self, node: NodeId) {
        self.end_life(node, Power::Off);
    }
    fn end_life(&mut self, node: NodeId, power: Power) {
        let process = self.processes[index(node)].take();
        self.world.borrow_mut().end_life(node, power);
        // Dropped after the world stopped listening to it: a killed process says nothing.
        drop(process);
    }
    /// Asks the process to stop (`Event::Stop` on every core); it [`Self::has_ended`] when its
    /// programs are done.
    pub fn stop(&self, node: NodeId) {
        if let Some(p) = &self.processes[index(node)] {
            (p.stop)();
        }
    }
    /// No core of the node's process is left.
    pub fn has_ended(&self, node: NodeId) -> bool {
        self.processes[index(node)].as_ref().is_none_or(|p| p.cores.iter().all(|c| c.1.is_none()))
    }
    /// Clears away a process that ended by itself.
    fn bury(&mut self, node: NodeId) {
        if self.processes[index(node)].is_some() && self.has_ended(node) {
            self.end_life(node, Power::Killed);
        }
    }
    /// A sender into the mesh of the running process. Panics if it runs with another message type,
    /// or not at all.
    pub fn sender<M: Send + 'static>(&self, node: NodeId) -> Sender<M> {
        let process = self.processes[index(node)].as_ref();
        let sender = process.and_then(|p| p.sender.downcast_ref::<Sender<M>>());
        sender
            .unwrap_or_else(|| {
                panic!("{node:?} has no process with messages of {}", std::any::type_name::<M>())
            })
            .clone()
    }
    /// Counters of each core that has not ended.
    pub fn stats(&self, node: NodeId) -> Vec<Stats> {
        let cores = self.processes[index(node)].iter().flat_map(|p| &p.cores);
        cores.filter_map(|c| c.1.as_ref().map(Core::stats)).collect()
    }

    // ---- time -----------------------------------------------------------------------------------
    /// Virtual nanoseconds since the start of the simulation.
    pub fn now(&self) -> u64 {
        self.world.borrow().now
    }
    /// Runs until `done` says so (true) or `max_ns` of virtual time have passed (false). `done` is
    /// asked between all steps.
    pub fn run_until(&mut self, max_ns: u64, mut done: impl FnMut(&Sim) -> bool) -> bool {
        let deadline = self.now().saturating_add(max_ns);
        loop {
            if done(self) {
                return true;
            }
            if !self.step(deadline) {
                self.world.borrow_mut().now = deadline;
                return done(self);
            }
        }
    }
    pub fn run_for(&mut self, ns: u64) {
        self.run_until(ns, |_| false);
    }

    /// One step: of a core, or of the clock. False when nothing happens up to `deadline`.
    fn step(&mut self, deadline: u64) -> bool {
        let mut w = self.world.borrow_mut();
        if w.now > deadline {
            return false;
        }
        w.run_due();
        let mut ready: Vec<(usize, usize)> = Vec::new();
        let mut next = w.next_event();
        for (p, process) in self.processes.iter().enumerate() {
            for (c, (key, core)) in process.iter().flat_map(|p| p.cores.iter()).enumerate() {
                let Some(core) = core else { continue };
                let state = &w.cores[*key];
                let wants = if core.has_work() { Some(state.busy_until) } else { state.wants() };
                match wants {
                    Some(at) if at <= w.now => ready.push((p, c)),
                    Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
                    None => {}
                }
            }
        }
        if ready.is_empty() {
            return match next {
                Some(at) if at <= deadline => {
                    w.now = w.now.max(at);
                    // What is due happens before anybody asks again: a test's client sees it now,
                    // not at the next event.
                    w.run_due();
                    true
                }
                _ => false,
            };
        }
        let chosen = w.rng.below(ready.len() as u64) as usize;
        let (p, c) = ready[chosen];
        let (low, high) = w.options.step_ns;
        let cost = w.rng.between(low, high).max(1);
        let (now, count) = (w.now, ready.len() as u64);
        w.trace.note(&[now, p as u64, c as u64, count], || {
            format!("{now:>12} node {p} core {c} steps (of {count})")
        });
        drop(w);

        let Some(process) = &mut self.processes[p] else {
            return true;
        };
        let (key, place) = &mut process.cores[c];
        let Some(core) = place else { return true };
        let said = core.step();
        let mut w = self.world.borrow_mut();
        let state = &mut w.cores[*key];
        state.busy_until = now + cost;
        match said {
            Step::Again => state.wait = Wait::No,
            Step::Rest(until) => state.wait = until.map_or(Wait::Forever, Wait::Until),
            Step::Ended => {
                drop(w);
                let ended = place.take();
                drop(ended);
            }
        }
        true
    }

    // ---- disk and network -----------------------------------------------------------------------
    /// The node's disk, past all programs.
    pub fn disk(&self, node: NodeId) -> DiskImage {
        DiskImage { world: self.world.clone(), node }
    }
    /// The next `op` on a path that contains `path` fails with `errno`.
    pub fn fail_next(&self, node: NodeId, op: FileOp, path: &str, errno: i32) {
        self.fault(node, op, path, errno, 0, 1);
    }
    /// As [`Self::fail_next`], when `others` such operations have gone well.
    pub fn fail_after(&self, node: NodeId, op: FileOp, path: &str, errno: i32, others: u64) {
        self.fault(node, op, path, errno, others, 1);
    }
    /// The next `times` such operations fail.
    pub fn fail_times(&self, node: NodeId, op: FileOp, path: &str, errno: i32, times: u64) {
        self.fault(node, op, path, errno, 0, times);
    }
    /// Every such operation fails until [`Self::clear_faults`].
    pub fn fail_always(&self, node: NodeId, op: FileOp, path: &str, errno: i32) {
        self.fault(node, op, path, errno, 0, u64::MAX);
    }
    fn fault(&self, node: NodeId, op: FileOp, path: &str, errno: i32, skip: u64, times: u64) {
        let fault = Fault { op, path: path.to_owned(), errno, skip, times };
        self.world.borrow_mut().host(node).faults.push(fault);
    }
    /// Whether something ordered has not happened (often enough) yet.
    pub fn has_faults(&self, node: NodeId) -> bool {
        !self.world.borrow_mut().host(node).faults.is_empty()
    }
    pub fn clear_faults(&self, node: NodeId) {
        self.world.borrow_mut().host(node).faults.clear();
    }
    /// Changes a disk's options from now on (`capacity_bytes` and `names` are read only when the
    /// node is added).
    pub fn set_disk(&self, node: NodeId, change: impl FnOnce(&mut DiskOptions)) {
        change(&mut self.world.borrow_mut().host(node).disk_options);
    }
    /// A connection of the test itself, from outside of all nodes.
    pub fn client(&self, addr: SocketAddr) -> Client {
        Client::connect(self.world.clone(), addr)
    }
    /// Nothing passes between two nodes any more, in either direction.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        let mut w = self.world.borrow_mut();
        w.cut(a, b);
        w.cut(b, a);
    }
    /// Nothing passes in this direction.
    pub fn cut_one_way(&self, from: NodeId, to: NodeId) {
        self.world.borrow_mut().cut(from, to);
    }
    pub fn heal(&self, a: NodeId, b: NodeId) {
        let mut w = self.world.borrow_mut();
        w.heal(a, b);
        w.heal(b, a);
    }

    // ---- replay ---------------------------------------------------------------------------------
    /// A hash over every choice, operation and result so far: the same for the same seed and the
    /// same programs.
    pub fn trace_hash(&self) -> u64 {
        self.world.borrow().trace.hash()
    }
    /// The last lines of the trace, if [`SimOptions::trace_lines`] asked for them.
    pub fn trace_lines(&self) -> Vec<String> {
        self.world.borrow().trace.lines().map(str::to_owned).collect()
    }
    /// A number from the world's seed, for choices of the test itself (they become part of the
    /// run).
    pub fn random(&self) -> u64 {
        self.world.borrow_mut().rng.next_u64()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(w) = self.world.try_borrow()
        {
            eprintln!("simulation of seed {} at {} ns\n{}", w.options.seed, w.now, w.trace);
        }
        // The programs of all nodes go silently.
        if let Ok(mut w) = self.world.try_borrow_mut() {
            for core in &mut w.cores {
                core.alive = false;
            }
        }
        self.processes.clear();
    }
}

fn index(node: NodeId) -> usize {
    usize::from(node.0)
}
