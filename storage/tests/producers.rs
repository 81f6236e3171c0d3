//! The bound of a core's idempotent producers, over all of its logs.
use netio::{
    Boot, Program, Turn,
    sim::{NodeId, NodeOptions, Sim, SimOptions},
};
use record::{BatchBuilder, LeaderEpoch, ProducerEpoch, ProducerId, Timestamp, TopicId};
use std::sync::{Arc, Mutex};
use storage::{LogConfig, LogId, LogSlot, Options, Recovery, Stats, Store};

const SECOND: u64 = 1_000_000_000;
const LOGS: i32 = 3;

type Order = Box<dyn FnOnce(&mut Store, &[LogSlot]) + Send>;
type Orders = Arc<Mutex<Vec<Order>>>;

struct Host {
    store: Store,
    slots: Vec<LogSlot>,
    orders: Orders,
    io: netio::Io,
}

impl Program for Host {
    fn turn(&mut self, events: &mut Vec<netio::Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                netio::Event::Written { token, result } => {
                    assert!(self.store.on_written(token, result));
                }
                netio::Event::Timer { token: 1 } => {
                    self.io.timer(self.io.now().after_ms(1), 1);
                }
                netio::Event::Timer { token } => assert!(self.store.on_timer(token)),
                _ => {}
            }
        }
        let orders = std::mem::take(&mut *self.orders.lock().unwrap());
        for order in orders {
            order(&mut self.store, &self.slots);
        }
        self.store.settle();
        while self.store.take_event().is_some() {}
        Turn::Rest
    }
}

fn log(partition: i32) -> LogId {
    LogId { topic: TopicId([3; 16]), partition }
}

struct Case {
    sim: Sim,
    node: NodeId,
    orders: Orders,
}

impl Case {
    fn new(producer_ids_max: usize) -> Self {
        let orders = Orders::default();
        let mut sim = Sim::new(SimOptions::seeded(1));
        let boots = boot(&orders, producer_ids_max);
        let node = sim.add_node(NodeOptions::default(), boots);
        Self { sim, node, orders }
    }

    /// The process is killed, and a new one has this bound.
    fn restart(&mut self, producer_ids_max: usize) {
        self.sim.run_for(SECOND);
        self.sim.kill(self.node);
        let boots = boot(&self.orders, producer_ids_max);
        self.sim.restart(self.node, boots);
    }

    fn order<T: Send + 'static>(
        &mut self,
        order: impl FnOnce(&mut Store, &[LogSlot]) -> T + Send + 'static,
    ) -> T {
        let result = Arc::new(Mutex::new(None));
        let place = result.clone();
        self.orders.lock().unwrap().push(Box::new(move |store, slots| {
            *place.lock().unwrap() = Some(order(store, slots));
        }));
        let done = self.sim.run_until(30 * SECOND, |_| result.lock().unwrap().is_some());
        assert!(done, "the store takes no turns");
        result.lock().unwrap().take().unwrap()
    }

    /// The first batch of each of these producers, in this order.
    fn produce(&mut self, partition: usize, ids: impl IntoIterator<Item = i64>) {
        let batches: Vec<Vec<u8>> = ids.into_iter().map(batch).collect();
        self.order(move |store, slots| {
            for batch in batches {
                let appended = store.append(slots[partition], &batch, None).expect("room");
                assert!(!appended.duplicate);
            }
        });
    }

    /// The producers of a log, by id.
    fn known(&mut self, partition: usize) -> Vec<i64> {
        self.order(move |store, slots| {
            let views = store.producers(slots[partition]);
            views.iter().map(|view| view.producer_id).collect()
        })
    }

    fn stats(&mut self) -> Stats {
        self.order(|store, _| store.stats())
    }
}

fn boot(orders: &Orders, producer_ids_max: usize) -> Vec<Boot<()>> {
    let orders = orders.clone();
    let options = Options {
        producer_ids_max,
        wal_file_bytes: 256 << 10,
        wal_first_file_bytes: 256 << 10,
        unflushed_bytes_max: 1 << 20,
        group_bytes: 64 << 10,
        reserve_bytes: 0,
        ..Options::new("data")
    };
    vec![Box::new(move |io, _mesh| {
        Box::pin(async move {
            let recovery = Recovery::scan(&io, &options).await.expect("readable");
            let known = |_: LogId| Some(("topic".to_owned(), LogConfig::default()));
            let (logs, _) = recovery.finish(known).await.expect("recovered");
            let mut store = Store::open(io.clone(), options, logs).await.expect("open");
            let slots = (0..LOGS).map(|partition| {
                let id = log(partition);
                let found = store.find(id);
                found.unwrap_or_else(|| {
                    let made = store.create(id, "topic", LogConfig::default(), LeaderEpoch(0));
                    made.expect("new")
                })
            });
            let slots = slots.collect();
            io.timer(io.now().after_ms(1), 1);
            Box::new(Host { store, slots, orders, io }) as Box<dyn Program>
        })
    })]
}

fn batch(producer: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new().producer(ProducerId(producer), ProducerEpoch(0), 0);
    builder.append(None, Some(b"value"), Timestamp(1_000), &[]).expect("a record");
    builder.build().expect("a batch")
}

#[test]
fn the_log_with_the_most_producers_forgets_its_oldest() {
    let mut case = Case::new(10);
    case.produce(0, 0..8);
    case.produce(1, 100..102);
    assert_eq!(case.stats().producer_ids, 10);
    // The bound is that of all logs together: neither of these two has many.
    case.produce(2, 200..203);
    let stats = case.stats();
    assert_eq!((stats.producer_ids, stats.producer_ids_evicted), (10, 3));
    assert_eq!(case.known(0), [3, 4, 5, 6, 7]);
    assert_eq!(case.known(1), [100, 101]);
    assert_eq!(case.known(2), [200, 201, 202]);
    // Who was not forgotten may repeat its batch.
    let again = case.order(|store, slots| store.append(slots[1], &batch(100), None).unwrap());
    assert!(again.duplicate);
    // A client that takes id after id does so at its own cost.
    case.produce(0, 1_000..1_500);
    let stats = case.stats();
    assert_eq!((stats.producer_ids, stats.producer_ids_evicted), (10, 503));
    assert_eq!(case.known(1), [100, 101]);
    assert_eq!(case.known(2), [200, 201, 202]);
    assert_eq!(case.known(0), [1_495, 1_496, 1_497, 1_498, 1_499]);
}

#[test]
fn a_log_alone_may_have_all_of_them() {
    let mut case = Case::new(10);
    case.produce(0, 0..15);
    let stats = case.stats();
    assert_eq!((stats.producer_ids, stats.producer_ids_evicted), (10, 5));
    assert_eq!(case.known(0), (5..15).collect::<Vec<_>>());
}

#[test]
fn what_is_forgotten_otherwise_makes_room() {
    let mut case = Case::new(10);
    case.produce(0, 0..6);
    case.produce(1, 100..104);
    case.order(|store, slots| store.delete(slots[0]));
    assert_eq!(case.stats().producer_ids, 4);
    case.produce(2, 200..206);
    let stats = case.stats();
    assert_eq!((stats.producer_ids, stats.producer_ids_evicted), (10, 0));
}

#[test]
fn a_start_with_a_lower_bound_keeps_it() {
    let mut case = Case::new(100);
    case.produce(0, 0..30);
    case.produce(1, 100..105);
    case.restart(12);
    let stats = case.stats();
    // Recovery gives no log more than the bound; that all of them have no more is seen to here.
    assert_eq!((stats.producer_ids, stats.producer_ids_evicted), (12, 5));
    assert_eq!(case.known(0), (23..30).collect::<Vec<_>>());
    assert_eq!(case.known(1), (100..105).collect::<Vec<_>>());
}
