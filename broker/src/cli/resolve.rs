//! From values to the settings of the server's parts. What cannot work is said here, all at once,
//! with the cure.
use super::{
    Error,
    budget::{self, Budget, budget},
    layers::Layers,
    listener::{self, Listener},
    memory::{self, Limit},
};
use crate::{
    config::{Defaults, catalogue, catalogue::Effect, value::without_repeats},
    limits::Limits,
    settings::{GroupSettings, MetricsSettings, Settings},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Everything that a start needs.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub settings: Settings,
    pub defaults: Defaults,
    pub storage: storage::Options,
    pub netio: netio::Options,
    /// Health and metrics.
    pub admin: SocketAddr,
    /// Memory that the bounds allow.
    pub budget: Budget,
    /// What was passed over, or is kept without effect: for the log at the start.
    pub warnings: Vec<String>,
    /// For `millrace config` and the lines of the start.
    pub layers: Layers,
}

/// Where Kafka's defaults would not do: loopback and not the world, no directory below /tmp,
/// bounded tables, one host.
pub(super) const OWN_DEFAULTS: &[(&str, &str)] = &[
    ("listeners", "PLAINTEXT://127.0.0.1:9092"),
    ("log.dirs", "./millrace-data"),
    ("max.connections", "10000"),
    ("max.connections.per.ip", "10000"),
    ("node.id", "1"),
    ("offsets.topic.replication.factor", "1"),
];

/// Ids that clients see are 32 bits.
const NODE_ID_MAX: i64 = i32::MAX as i64;

/// Makes settings of all layers. `problems` are those that were found before.
///
/// # Errors
/// All problems, each once.
pub fn resolve(mut layers: Layers, mut problems: Vec<String>) -> Result<Resolved, Error> {
    let values = layers.defaults();
    let or = |result: Result<Listener, String>, problems: &mut Vec<String>| match result {
        Ok(listener) => Some(listener),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    kraft_roles(&layers, &mut problems);
    let text = |key: &str| values.text(key).unwrap_or_default();
    let controllers = layers.get("controller.listener.names").unwrap_or_default().to_owned();
    let protocols = text("listener.security.protocol.map");
    let listener =
        or(listener::for_clients(&text("listeners"), &controllers, &protocols), &mut problems);
    let advertised = match layers.get("advertised.listeners") {
        Some(list) => or(listener::for_clients(list, &controllers, &protocols), &mut problems),
        None => None,
    };
    let cpus = cpus(&values, &mut problems);
    let cores = u16::try_from(cpus.len()).unwrap_or(u16::MAX);
    let data = data_dir(&layers, &mut problems);
    let insecure = values.boolean("millrace.insecure");
    let admin = admin(&text("millrace.admin.listen"), insecure, &mut problems);
    let single_port = values.boolean("millrace.single.port");
    let id_stride = values.integer("millrace.node.id.stride").unwrap_or(1000);
    let node_id = node_id(&layers, &values, &mut problems);
    check_ids(node_id, id_stride, cores, single_port, &mut problems);

    let listen = listener.as_ref().and_then(|l| match listener::address(&l.host, l.port) {
        Ok(address) => Some(address),
        Err(problem) => {
            problems.push(problem);
            None
        }
    });
    if let Some(address) = listen.filter(|a| !a.ip().is_loopback() && !insecure) {
        problems.push(format!(
            "listening on {address} lets everybody who reaches it read and write, for there is no authentication yet: \
             add --insecure if that is meant, or --listen 127.0.0.1:{}",
            address.port()
        ));
    }
    let (advertised_host, advertised_port) = match (advertised, &listener, listen) {
        (Some(advertised), _, _) if advertised.host.is_empty() => {
            problems.push("advertised.listeners must name the host that clients connect to: --advertise HOST:PORT".into());
            (String::new(), 0)
        }
        (Some(advertised), _, _) if is_unspecified(&advertised.host) => {
            problems.push(format!(
                "advertised.listeners names {}, which no client can connect to: --advertise HOST:PORT",
                listener::authority(&advertised.host, advertised.port)
            ));
            (String::new(), 0)
        }
        (Some(advertised), _, _) => (advertised.host, advertised.port),
        (None, Some(l), Some(address)) if address.ip().is_unspecified() => (host_name(), l.port),
        (None, Some(l), _) => (l.host.clone(), l.port),
        (None, None, _) => (String::new(), 0),
    };
    let ports = if single_port { 1 } else { cores };
    for (what, port) in [("listen", listen.map_or(0, |l| l.port())), ("advertise", advertised_port)]
    {
        if port.checked_add(ports.saturating_sub(1)).is_none() {
            problems.push(format!("--{what}: {ports} cores need the ports {port} to {}: choose a lower one, or --single-port", u32::from(port) + u32::from(ports) - 1));
        }
    }
    let budget = memory_budget(&mut layers, cores, &mut problems);
    let (Some(listen), Some(data), Some(admin), Some(budget), true) =
        (listen, data, admin, budget, problems.is_empty())
    else {
        let mut said = BTreeSet::new();
        problems.retain(|problem| said.insert(problem.clone()));
        return Err(Error(problems));
    };

    layers.settle("node.id", node_id.to_string());
    layers.settle("broker.id", node_id.to_string());
    layers.settle("millrace.cores", cores.to_string());
    layers.settle(
        "advertised.listeners",
        format!("PLAINTEXT://{}", listener::authority(&advertised_host, advertised_port)),
    );
    let defaults = layers.defaults();
    let limits =
        Limits { answer_bytes_max: as_size(budget.value(budget::ANSWERS)), ..limits(&defaults) };
    let nodes = if single_port { 1 } else { cores };
    let warnings = warnings(&layers, &defaults, nodes);
    let settings = Settings {
        node_id,
        id_stride: i32::try_from(id_stride).unwrap_or(i32::MAX),
        cores,
        single_port,
        listen,
        advertised_host,
        advertised_port,
        rack: defaults.text("broker.rack").filter(|rack| !rack.is_empty()),
        auto_create_topics: defaults.boolean("auto.create.topics.enable"),
        default_partitions: small(&defaults, "num.partitions"),
        offsets_partitions: small(&defaults, "offsets.topic.num.partitions"),
        group: group(&defaults),
        metrics: MetricsSettings {
            topics_max: size(&defaults, "millrace.metrics.topics.max"),
            partitions_max: size(&defaults, "millrace.metrics.partitions.max"),
            group_offsets_max: size(&defaults, "millrace.metrics.group.offsets.max"),
        },
        delete_topic_enable: defaults.boolean("delete.topic.enable"),
        limits,
    };
    let netio = netio::Options {
        connections_max: settings.limits.connections_max,
        lock_file: Some(data.join("lock")),
        nice: small(&defaults, "millrace.nice"),
        control_cpus: control_cpus(&cpus),
        cpus,
        ..netio::Options::default()
    };
    Ok(Resolved {
        storage: storage::Options {
            held_bytes_max: budget.value(budget::HELD),
            cold_read_bytes_max: as_size(budget.value(budget::COLD)),
            read_ahead_bytes_max: as_size(budget.value(budget::AHEAD)),
            ..storage(data, &defaults)
        },
        budget,
        settings,
        defaults,
        netio,
        admin,
        warnings,
        layers,
    })
}

/// An address that means all of this host's.
fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

/// What an operator should know of a configuration that works.
fn warnings(layers: &Layers, values: &Defaults, nodes: u16) -> Vec<String> {
    let mut warnings = layers.warnings.clone();
    let factor = values.integer("default.replication.factor").unwrap_or(1);
    // Where factors above the hosts are refused, the nodes that clients see do not count.
    let above = values.text("millrace.replication.factor.above.hosts");
    let nodes = if above.as_deref() == Some("refuse") { 1 } else { nodes };
    if factor > i64::from(nodes) {
        let s = if nodes == 1 { "" } else { "s" };
        warnings.push(format!(
            "default.replication.factor={factor} is more than the {nodes} node{s} that there are: a topic that is \
             created without a factor is refused; set 1"
        ));
    }
    let (limits, others): (Vec<&str>, Vec<&str>) =
        without_effect(layers).partition(|name| is_limit(name));
    for name in limits {
        warnings.push(format!(
            "{name}={} limits nothing here: it is kept and described, and has no effect",
            layers.get(name).unwrap_or_default()
        ));
    }
    if !others.is_empty() {
        warnings.push(format!("kept and described without effect here: {}", others.join(", ")));
    }
    warnings
}

/// Keys that were given with another value than Kafka's default, and do nothing.
fn without_effect(layers: &Layers) -> impl Iterator<Item = &str> {
    layers.keys().filter(|name| {
        let Some(key) = catalogue().broker(name).filter(|_| layers.is_given(name)) else {
            return false;
        };
        let given = layers.get(name).and_then(|text| key.parse(text).ok());
        key.effect == Effect::Stored && given != key.default_value()
    })
}

/// Whether somebody who sets a key means to be protected by it.
fn is_limit(name: &str) -> bool {
    name.starts_with("max.")
        || name.starts_with("queued.max.")
        || name.contains(".max.")
        || name.ends_with(".max")
        || name.contains("quota")
        || name.contains("creation.rate")
}

/// Fits the defaults that nobody chose to the memory of this process.
fn memory_budget(layers: &mut Layers, cores: u16, problems: &mut Vec<String>) -> Option<Budget> {
    let values = layers.defaults();
    let own = values.integer("millrace.memory.bytes").unwrap_or(0);
    let own = u64::try_from(own).ok().filter(|bytes| *bytes > 0);
    let own = own.map(|bytes| Limit { bytes, source: "millrace.memory.bytes".into() });
    let limit =
        memory::limit(Path::new("/")).into_iter().chain(own).min_by_key(|limit| limit.bytes);
    let given = budget::keys()
        .filter(|key| layers.is_given(key))
        .filter_map(|key| Some((key, u64::try_from(values.integer(key)?).ok()?)))
        .collect();
    match budget(limit, cores, &given) {
        Ok(budget) => {
            for key in budget.fitted_keys() {
                layers.fit(key, budget.value(key).to_string());
            }
            Some(budget)
        }
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What a server.properties says of KRaft: a host of its own is what Millrace is.
fn kraft_roles(layers: &Layers, problems: &mut Vec<String>) {
    if let Some(roles) = layers.get("process.roles")
        && !roles.is_empty()
        && !roles.split(',').any(|role| role.trim() == "broker")
    {
        problems.push(format!(
            "process.roles={roles}: Millrace is a broker with its own controller; remove the line"
        ));
    }
    for key in ["controller.quorum.voters", "controller.quorum.bootstrap.servers"] {
        let nodes =
            layers.get(key).unwrap_or_default().split(',').filter(|n| !n.trim().is_empty()).count();
        if nodes > 1 {
            problems.push(format!(
                "{key} names {nodes} nodes: a cluster of one host is served yet; remove the line"
            ));
        }
    }
}

fn node_id(layers: &Layers, values: &Defaults, problems: &mut Vec<String>) -> i32 {
    let node = values.integer("node.id").unwrap_or(1);
    let broker = values.integer("broker.id").filter(|&id| id >= 0);
    let given = layers.origin("node.id").is_some_and(|o| *o != super::layers::Origin::Millrace);
    let id = match broker {
        Some(broker) if given && broker != node => {
            problems.push(format!(
                "node.id={node} and broker.id={broker} name one thing: keep node.id"
            ));
            node
        }
        Some(broker) => broker,
        None => node,
    };
    i32::try_from(id).unwrap_or(i32::MAX)
}

fn check_ids(node_id: i32, stride: i64, cores: u16, single_port: bool, problems: &mut Vec<String>) {
    if single_port {
        return;
    }
    if i64::from(cores) > stride {
        problems.push(format!(
            "{cores} cores need a millrace.node.id.stride of at least {cores}, not {stride}"
        ));
    }
    if i64::from(node_id) * stride + stride - 1 > NODE_ID_MAX {
        let max = (NODE_ID_MAX - stride + 1) / stride;
        problems.push(format!(
            "node.id={node_id}: clients see node.id * {stride} + core, so at most {max} works"
        ));
    }
}

fn data_dir(layers: &Layers, problems: &mut Vec<String>) -> Option<PathBuf> {
    // A file may say log.dir, which Kafka takes when log.dirs is not there.
    let own = layers.origin("log.dirs").is_none_or(|o| *o == super::layers::Origin::Millrace);
    let dirs = match layers.get("log.dir") {
        Some(dir) if own => dir,
        _ => layers.get("log.dirs").unwrap_or_default(),
    };
    // One that is there twice is one (KAFKA-19875).
    let dirs: Vec<&str> = dirs.split(',').map(str::trim).filter(|d| !d.is_empty()).collect();
    let dirs = without_repeats(dirs);
    match dirs.as_slice() {
        [one] => Some(PathBuf::from(one)),
        [] => {
            problems.push("no data directory: --data DIR".into());
            None
        }
        many => {
            problems.push(format!(
                "log.dirs names {} directories: one is served; put them behind one file system",
                many.len()
            ));
            None
        }
    }
}

fn admin(text: &str, insecure: bool, problems: &mut Vec<String>) -> Option<SocketAddr> {
    let read = listener::parse(&format!("ADMIN://{text}"))
        .map_err(|_| format!("--admin {text}: ADDRESS:PORT is wanted, such as 127.0.0.1:9644"))
        .and_then(|l| listener::address(&l.host, l.port));
    match read {
        Ok(address) if address.ip().is_loopback() || insecure => Some(address),
        Ok(address) => {
            problems.push(format!("--admin {address} is open to everybody who reaches it: add --insecure, or use 127.0.0.1"));
            None
        }
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

/// The CPU of each core; `None` leaves a core to the scheduler.
fn cpus(values: &Defaults, problems: &mut Vec<String>) -> Vec<Option<usize>> {
    let allowed = allowed_cpus();
    let cores = values.integer("millrace.cores").and_then(|n| usize::try_from(n).ok());
    let list = values.text("millrace.cpus").unwrap_or_default();
    if list.is_empty() {
        let cores = cores.unwrap_or(allowed.len());
        // A core for every CPU is pinned; fewer share this host with other programs, and more
        // cannot each have one.
        let pinned = cores == allowed.len() && cores > 1;
        return (0..cores).map(|c| allowed.get(c).copied().filter(|_| pinned)).collect();
    }
    let Some(mut chosen) = cpu_list(&list) else {
        problems.push(format!("--cpus {list}: a list of CPUs is wanted, such as 2-5,8"));
        return vec![None];
    };
    if let Some(cpu) = chosen.iter().find(|cpu| !allowed.contains(cpu)) {
        problems.push(format!(
            "--cpus {list}: this process may not run on CPU {cpu}; it may on {}",
            show_cpus(&allowed)
        ));
    }
    match cores {
        Some(cores) if cores > chosen.len() => {
            problems
                .push(format!("--cores {cores} and --cpus {list}: a core needs a CPU of its own"));
        }
        Some(cores) => chosen.truncate(cores),
        None => {}
    }
    chosen.into_iter().map(Some).collect()
}

/// CPUs for what is not a core's own work: those that no core is pinned to.
fn control_cpus(cpus: &[Option<usize>]) -> Vec<usize> {
    if cpus.iter().any(Option::is_none) {
        return Vec::new();
    }
    allowed_cpus().into_iter().filter(|cpu| !cpus.contains(&Some(*cpu))).collect()
}

/// Reads `2-5,8`, each CPU once.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    const CPUS_MAX: usize = 4096;
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CPUS_MAX {
            return None;
        }
        for cpu in first..=last {
            if cpus.contains(&cpu) {
                return None;
            }
            cpus.push(cpu);
        }
    }
    (!cpus.is_empty()).then_some(cpus)
}

fn show_cpus(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// CPUs that this process may run on.
fn allowed_cpus() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let listed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .and_then(|l| cpu_list(l.trim()));
    listed.unwrap_or_else(|| {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..count).collect()
    })
}

/// What Kafka advertises when it listens everywhere.
fn host_name() -> String {
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".into() } else { name.into() }
}

/// An integer key that is never null, as a size.
fn size(values: &Defaults, key: &str) -> usize {
    usize::try_from(values.integer(key).unwrap_or(0)).unwrap_or(0)
}

fn small(values: &Defaults, key: &str) -> i32 {
    i32::try_from(values.integer(key).unwrap_or(0)).unwrap_or(i32::MAX)
}

/// A duration; what is negative lasts for ever.
fn duration(values: &Defaults, key: &str) -> u64 {
    u64::try_from(values.integer(key).unwrap_or(-1)).unwrap_or(u64::MAX / 4)
}

fn limits(values: &Defaults) -> Limits {
    let frame_bytes_max = size(values, "socket.request.max.bytes");
    Limits {
        connections_max: size(values, "max.connections"),
        connections_per_ip_max: size(values, "max.connections.per.ip"),
        requests_in_flight_max: size(values, "millrace.requests.in.flight.max"),
        frame_bytes_max,
        // One request of the largest size must always find room.
        request_bytes_max: size(values, "millrace.request.memory.bytes").max(frame_bytes_max),
        elements_max: size(values, crate::limits::ELEMENTS_MAX),
        fetch_bytes_max: size(values, "fetch.max.bytes"),
        answer_bytes_max: Limits::default().answer_bytes_max,
        metadata_snapshot_bytes: Limits::default().metadata_snapshot_bytes,
        fetch_sessions_max: size(values, "max.incremental.fetch.session.cache.slots"),
        partitions_max: size(values, "millrace.partitions.max"),
        connection_idle_ms: duration(values, "connections.max.idle.ms"),
        stop_ms: duration(values, "millrace.stop.ms"),
        frame_header_ms: duration(values, "millrace.frame.header.ms"),
        frame_body_ms: duration(values, "millrace.frame.body.ms"),
    }
}

fn group(values: &Defaults) -> GroupSettings {
    const MINUTE_MS: i64 = 60_000;
    GroupSettings {
        initial_rebalance_delay_ms: values
            .integer("group.initial.rebalance.delay.ms")
            .unwrap_or(0)
            .max(0),
        min_session_timeout_ms: small(values, "group.min.session.timeout.ms"),
        max_session_timeout_ms: small(values, "group.max.session.timeout.ms"),
        max_size: size(values, "group.max.size"),
        offsets_retention_ms: values.integer("offsets.retention.minutes").unwrap_or(10_080)
            * MINUTE_MS,
        offsets_retention_check_ms: values
            .integer("offsets.retention.check.interval.ms")
            .unwrap_or(600_000),
        offset_metadata_max_bytes: size(values, "offset.metadata.max.bytes"),
        memory_bytes: size(values, "millrace.group.memory.bytes"),
    }
}

fn storage(data: PathBuf, values: &Defaults) -> storage::Options {
    let long = |key: &str| u64::try_from(values.integer(key).unwrap_or(0)).unwrap_or(0);
    let rest = storage::Options::new(data);
    // Only a file that is full can be given back: with less than two to the bound, appends would
    // wait for ever.
    let file_bytes_max = long("millrace.unflushed.bytes.max") / 2;
    storage::Options {
        wal_file_bytes: rest.wal_file_bytes.min(file_bytes_max),
        wal_first_file_bytes: rest.wal_first_file_bytes.min(file_bytes_max),
        group_bytes: size(values, "millrace.wal.group.bytes"),
        linger_us: long("millrace.wal.linger.us"),
        unflushed_bytes_max: long("millrace.unflushed.bytes.max"),
        cache_bytes: size(values, "millrace.cache.bytes"),
        reserve_bytes: long("millrace.disk.reserve.bytes"),
        producer_id_expiration_ms: values
            .integer("producer.id.expiration.ms")
            .unwrap_or(86_400_000),
        producer_ids_max: size(values, "millrace.producer.ids.max"),
        retention_check_ms: long("log.retention.check.interval.ms"),
        ..rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_two_files_of_the_log_fit_its_bound() {
        for bound in [16 << 20, 100 << 20, 1 << 30] {
            let given = [("millrace.unflushed.bytes.max".to_owned(), bound.to_string())];
            let options = storage("data".into(), &Defaults::new(given.into()));
            assert_eq!(options.unflushed_bytes_max, bound);
            assert!(
                2 * options.wal_file_bytes.max(options.wal_first_file_bytes) <= bound,
                "{options:?}"
            );
        }
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list("2-4, 8"), Some(vec![2, 3, 4, 8]));
        assert_eq!(cpu_list("0"), Some(vec![0]));
        for wrong in ["", "a", "3-1", "1,1", "1-2,2", "5000", "0-99999999999", "-1"] {
            assert_eq!(cpu_list(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_process_may_run_somewhere() {
        assert!(!allowed_cpus().is_empty());
        assert!(!host_name().is_empty());
    }
}
