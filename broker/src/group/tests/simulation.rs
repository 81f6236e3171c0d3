//! Members that come, go, dawdle, repeat themselves and die, over restarts of the coordinator, all
//! from a seed. Besides what [`Coordinator::check`] asserts after every step:
//!
//! * every request is answered exactly once, at the latest when the group has come to rest;
//! * generations only rise; in each there is one leader, and all members are told the same
//!   protocol;
//! * a member's assignment is the one that the leader of that generation gave it;
//! * what the log says, and what a snapshot says, is what the coordinator holds.

use super::*;
use std::collections::BTreeSet;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What a client waits for.
#[derive(Debug, Clone, PartialEq)]
enum Waiting {
    Nothing,
    Join(u64),
    Sync(u64),
}

#[derive(Debug)]
struct Client {
    instance: Option<&'static str>,
    id: String,
    generation: i32,
    leads: Option<Vec<String>>,
    waiting: Waiting,
    version: i16,
    topics: &'static [&'static str],
}

#[derive(Default)]
struct Told {
    /// Clients that were told to lead and assign: at most one.
    leaders: BTreeSet<usize>,
    protocol: String,
    is_assigned: bool,
}

struct World {
    bed: Bed,
    random: Random,
    clients: Vec<Client>,
    /// By generation.
    told: BTreeMap<i32, Told>,
    /// Requests whose client no longer listens.
    ignored: Vec<u64>,
    generation: i32,
    trace: Vec<String>,
    assignments: usize,
}

const INSTANCES: [Option<&str>; 8] =
    [None, None, None, None, None, Some("x"), Some("y"), Some("z")];
const PROTOCOLS: [&[&str]; 3] =
    [&["range", "sticky"], &["sticky", "range"], &["range", "sticky", "range"]];
const TOPICS: [&[&str]; 3] = [&["t"], &["t", "u"], &["v"]];

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let options =
            Options { group_size_max: 3 + random.below(8) as usize, ..Options::default() };
        let clients = INSTANCES.map(|instance| Client {
            instance,
            id: String::new(),
            generation: -1,
            leads: None,
            waiting: Waiting::Nothing,
            version: [3, 5, 8, 9][random.below(4) as usize].max(if instance.is_some() {
                5
            } else {
                3
            }),
            topics: TOPICS[random.below(3) as usize],
        });
        Self {
            bed: Bed::with(options),
            random,
            clients: clients.into(),
            told: BTreeMap::new(),
            ignored: Vec::new(),
            generation: 0,
            trace: Vec::new(),
            assignments: 0,
        }
    }

    fn step(&mut self) {
        let who = self.random.below(self.clients.len() as u64) as usize;
        let action = self.random.below(100);
        self.trace.push(format!("{} {who} {action}", self.bed.now.monotonic_ms));
        match action {
            0..40 => self.proceed(who),
            40..55 => self.heartbeat(who),
            55..66 => self.commit(who),
            66 => self.leave(who),
            67 => self.die(who),
            68..71 => self.repeat(who),
            71 => self.clients[who].topics = TOPICS[self.random.below(3) as usize],
            72 => self.restart(),
            73 => self.snapshot(),
            74 => self.meddle(),
            75 => {
                let ms = self.random.below(12_000);
                self.bed.sleep(ms);
            }
            _ => {
                let ms = self.random.below(700);
                self.bed.sleep(ms);
            }
        }
        self.observe();
    }

    fn join(&mut self, who: usize) {
        let client = &self.clients[who];
        let protocols = PROTOCOLS[self.random.below(3) as usize];
        let id = client.id.clone();
        let (instance, version, topics) = (client.instance, client.version, client.topics);
        let join = Join {
            member: &id,
            instance,
            version,
            topics,
            protocols,
            rebalance_ms: 15_000,
            ..Join::default()
        };
        self.clients[who].waiting = Waiting::Join(self.bed.send_join(join));
    }

    fn sync(&mut self, who: usize) {
        let client = &self.clients[who];
        let (id, generation) = (client.id.clone(), client.generation);
        let given: Vec<(String, String)> = client
            .leads
            .iter()
            .flatten()
            .map(|member| (member.clone(), format!("{generation} {member}")))
            .collect();
        let given: Vec<(&str, &[u8])> =
            given.iter().map(|(member, bytes)| (member.as_str(), bytes.as_bytes())).collect();
        self.clients[who].waiting = Waiting::Sync(self.bed.send_sync(&id, generation, &given));
    }

    /// What a client does next that has not been told otherwise.
    fn proceed(&mut self, who: usize) {
        if self.clients[who].waiting != Waiting::Nothing {
            return;
        }
        if self.clients[who].generation < 0 { self.join(who) } else { self.sync(who) }
    }

    /// Lost its connection: asks the same again, and does not hear the first answer.
    fn repeat(&mut self, who: usize) {
        match self.clients[who].waiting {
            Waiting::Nothing => {}
            Waiting::Join(asked) => {
                self.ignored.push(asked);
                self.join(who);
            }
            Waiting::Sync(asked) => {
                self.ignored.push(asked);
                self.sync(who);
            }
        }
    }

    fn heartbeat(&mut self, who: usize) {
        let client = &self.clients[who];
        if client.generation < 0 {
            return;
        }
        let (id, generation, instance) = (client.id.clone(), client.generation, client.instance);
        match self.bed.heartbeat_as(&id, generation, instance) {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => self.clients[who].generation = -1,
            _ => self.forget(who),
        }
    }

    fn commit(&mut self, who: usize) {
        let (id, generation) = (self.clients[who].id.clone(), self.clients[who].generation);
        let offset = i64::try_from(self.random.below(1_000)).unwrap();
        let partition = i32::try_from(self.random.below(3)).unwrap();
        let topic = ["t", "u"][self.random.below(2) as usize];
        let before = self.bed.fetch(topic, partition);
        let request = commit_request(&id, generation, topic, partition, offset);
        let committed = self.bed.send_commit(&request, 9).is_none();
        let expected = if committed { offset } else { before };
        assert_eq!(self.bed.fetch(topic, partition), expected);
    }

    fn leave(&mut self, who: usize) {
        let id = self.clients[who].id.clone();
        if !id.is_empty() {
            self.bed.leave(&[(&id, self.clients[who].instance)]);
            self.abandon(who);
            self.forget(who);
        }
    }

    /// Gone without a word, and another one in its place.
    fn die(&mut self, who: usize) {
        self.abandon(who);
        self.forget(who);
    }

    fn abandon(&mut self, who: usize) {
        match std::mem::replace(&mut self.clients[who].waiting, Waiting::Nothing) {
            Waiting::Nothing => {}
            Waiting::Join(asked) | Waiting::Sync(asked) => self.ignored.push(asked),
        }
    }

    fn forget(&mut self, who: usize) {
        let client = &mut self.clients[who];
        client.id.clear();
        client.generation = -1;
        client.leads = None;
    }

    /// Whoever waits hears nothing, and asks again.
    fn restart(&mut self) {
        // Those who wait in the group: a broker that stops answers them.
        let outcome = self.bed.coordinator.abandon(ErrorCode::NotCoordinator);
        self.bed.take(outcome);
        self.bed.coordinator = self.bed.replayed();
        let outcome = self.bed.coordinator.activate(self.bed.now);
        self.bed.take(outcome);
        // Generations that never became stable are taken back, and their numbers used again.
        self.told.retain(|_, told| told.is_assigned);
        self.generation = self.lasting_generation();
    }

    fn snapshot(&mut self) {
        let bytes_max = self.random.below(500) as usize;
        let mut snapshot = self.bed.coordinator.snapshot();
        let mut log = Vec::new();
        loop {
            let records = self.bed.coordinator.snapshot_next(&mut snapshot, bytes_max);
            if records.is_empty() {
                break;
            }
            log.extend(records);
            // In between, life goes on.
            let start = self.bed.log.len();
            let who = self.random.below(self.clients.len() as u64) as usize;
            self.commit(who);
            self.leave(who);
            log.extend(self.bed.log[start..].iter().cloned());
        }
        self.bed.log = log;
        self.bed.replay_is_the_same();
    }

    /// Administrators and old clients.
    fn meddle(&mut self) {
        match self.random.below(4) {
            0 => {
                self.bed.call(Request::DeleteGroups(&[GROUP.into()]), 2);
                if !self.bed.coordinator.groups.contains_key(GROUP) {
                    self.generation = 0;
                    self.told.clear();
                }
            }
            1 => {
                self.bed.leave(&[("", Some("x")), ("", Some("y"))]);
            }
            2 => {
                self.bed.join(Join { kind: "connect", protocols: &[], ..Join::default() });
            }
            _ => {
                self.bed.call(Request::DescribeGroups(&[GROUP.into()]), 6);
            }
        }
    }

    /// Hears the answers that have come.
    fn observe(&mut self) {
        let ignored = std::mem::take(&mut self.ignored);
        self.ignored =
            ignored.into_iter().filter(|asked| self.bed.answers.remove(asked).is_none()).collect();
        for who in 0..self.clients.len() {
            match self.clients[who].waiting {
                Waiting::Join(asked) if self.bed.answers.contains_key(&asked) => {
                    self.clients[who].waiting = Waiting::Nothing;
                    let answer = self.bed.joined(asked);
                    self.on_joined(who, &answer);
                }
                Waiting::Sync(asked) if self.bed.answers.contains_key(&asked) => {
                    self.clients[who].waiting = Waiting::Nothing;
                    let answer = self.bed.synced(asked);
                    self.on_synced(who, &answer);
                }
                _ => {}
            }
        }
        assert!(self.bed.answers.is_empty(), "answers to nobody: {:?}", self.bed.answers);
        if let Some(group) = self.bed.coordinator.groups.get(GROUP) {
            let generation = group.classic.generation;
            assert!(
                generation >= self.generation,
                "generation went from {} to {generation}",
                self.generation
            );
            self.generation = generation;
        }
        self.bed.replay_is_the_same();
    }

    /// The last generation that was stable (or empty).
    fn lasting_generation(&self) -> i32 {
        self.told
            .iter()
            .rev()
            .find(|(_, told)| told.is_assigned)
            .map_or(0, |(generation, _)| *generation)
    }

    fn on_joined(&mut self, who: usize, answer: &JoinGroupResponse<'_>) {
        let client = &mut self.clients[who];
        match error(answer.error_code) {
            ErrorCode::None => {
                client.id = answer.member_id.to_string();
                client.generation = answer.generation_id;
                let leads = *answer.leader == *answer.member_id && !answer.skip_assignment;
                assert_eq!(
                    leads && !answer.members.is_empty(),
                    leads,
                    "a leader is told who is there"
                );
                client.leads =
                    leads.then(|| answer.members.iter().map(|m| m.member_id.to_string()).collect());
                let protocol = answer.protocol_name.as_deref().unwrap();
                assert!(["range", "sticky"].contains(&protocol));
                let told = self.told.entry(answer.generation_id).or_default();
                if told.protocol.is_empty() {
                    told.protocol = protocol.to_owned();
                }
                assert_eq!(told.protocol, protocol, "generation {}", answer.generation_id);
                if leads {
                    told.leaders.insert(who);
                    assert!(
                        told.leaders.len() <= 1,
                        "{:?} lead {}",
                        told.leaders,
                        answer.generation_id
                    );
                }
            }
            ErrorCode::MemberIdRequired => client.id = answer.member_id.to_string(),
            ErrorCode::RebalanceInProgress | ErrorCode::NotCoordinator => {}
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId
            | ErrorCode::GroupMaxSizeReached
            | ErrorCode::InconsistentGroupProtocol => self.forget(who),
            other => panic!("JoinGroup: {other}"),
        }
    }

    fn on_synced(&mut self, who: usize, answer: &SyncGroupResponse<'_>) {
        let client = &mut self.clients[who];
        match error(answer.error_code) {
            ErrorCode::None => {
                let told = self.told.entry(client.generation).or_default();
                told.is_assigned = true;
                if !answer.assignment.is_empty() {
                    self.assignments += 1;
                    let text = str::from_utf8(&answer.assignment).unwrap();
                    let (generation, member) = text.split_once(' ').unwrap();
                    assert_eq!(generation, client.generation.to_string());
                    // A static member has what its former self was given.
                    assert!(
                        client.instance.is_some() || member == client.id,
                        "{member} {client:?}"
                    );
                }
                client.leads = None;
            }
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => client.generation = -1,
            ErrorCode::NotCoordinator => {}
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => self.forget(who),
            other => panic!("SyncGroup: {other}"),
        }
    }

    /// Everybody goes silent: in the end nobody waits.
    fn rest(&mut self) {
        self.bed.sleep(600_000);
        self.observe();
        assert!(self.ignored.is_empty(), "never answered: {:?}", self.ignored);
        assert!(
            self.clients.iter().all(|client| client.waiting == Waiting::Nothing),
            "{:?}",
            self.clients
        );
        if let Some(group) = self.bed.coordinator.groups.get(GROUP) {
            assert_eq!(group.classic.state, GroupState::Empty);
        }
        self.bed.replay_is_the_same();
    }
}

fn run(seed: u64, steps: usize) -> (Vec<Record>, usize) {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.rest();
    (world.bed.log, world.assignments)
}

/// Says which seed it was.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

#[test]
fn members_from_seeds() {
    let mut assignments = 0;
    for seed in 0..60 {
        let _on_panic = Seed(seed);
        assignments += run(seed, 1_000).1;
    }
    assert!(assignments > 1_000, "only {assignments} assignments: the members hardly meet");
}

#[test]
fn the_same_seed_gives_the_same_log() {
    assert_eq!(run(7, 500), run(7, 500));
}
