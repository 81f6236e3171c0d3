use super::*;
use layers::Origin;
use std::{io::Write, path::Path};

fn action(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Action, Error> {
    let arguments =
        std::iter::once("millrace").chain(arguments.iter().copied()).map(OsString::from);
    let arguments = Arguments::read(arguments).unwrap_or_else(|e| panic!("{e}"));
    decide(&arguments, environment.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))))
}

fn run(arguments: &[&str]) -> Resolved {
    match action(arguments, &[]) {
        Ok(Action::Run(resolved)) => *resolved,
        other => panic!("{other:?}"),
    }
}

fn refused(arguments: &[&str]) -> String {
    action(arguments, &[]).map(|_| ()).unwrap_err().to_string()
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn without_arguments_it_starts_on_loopback() {
    let it = run(&[]);
    assert_eq!(it.settings.listen, "127.0.0.1:9092".parse().unwrap());
    assert_eq!(
        (it.settings.advertised_host.as_str(), it.settings.advertised_port),
        ("127.0.0.1", 9092)
    );
    assert_eq!(it.storage.data, Path::new("./millrace-data"));
    assert_eq!(it.admin, "127.0.0.1:9644".parse().unwrap());
    assert_eq!((it.settings.node_id, it.settings.single_port), (1, false));
    assert_eq!(usize::from(it.settings.cores), it.netio.cpus.len());
    assert_eq!((it.settings.default_partitions, it.settings.offsets_partitions), (1, 50));
    assert!(it.settings.auto_create_topics && it.settings.delete_topic_enable);
    let (group, expected) = (&it.settings.group, crate::settings::GroupSettings::default());
    assert_eq!(group.initial_rebalance_delay_ms, expected.initial_rebalance_delay_ms);
    assert_eq!(group.offsets_retention_ms, expected.offsets_retention_ms);
    let (limits, expected) = (&it.settings.limits, crate::limits::Limits::default());
    assert_eq!(
        format!("{limits:?}"),
        format!("{expected:?}"),
        "Kafka's defaults and ours are the same"
    );
    assert_eq!(
        format!("{:?}", it.storage),
        format!("{:?}", storage::Options::new("./millrace-data"))
    );
}

#[test]
fn flags() {
    let it = run(&[
        "--data",
        "/d",
        "--listen",
        "127.0.0.1:19092",
        "--advertise",
        "h.example:29092",
        "--cores",
        "3",
        "--single-port",
        "--admin",
        "127.0.0.1:1",
        "--node-id",
        "7",
        "--set",
        "num.partitions=4",
        "--set",
        "log.retention.ms=5",
    ]);
    assert_eq!(it.storage.data, Path::new("/d"));
    assert_eq!(it.settings.listen.port(), 19092);
    assert_eq!(
        (it.settings.advertised_host.as_str(), it.settings.advertised_port),
        ("h.example", 29092)
    );
    assert_eq!((it.settings.cores, it.settings.single_port, it.settings.node_id), (3, true, 7));
    assert_eq!(it.admin.port(), 1);
    assert_eq!(it.settings.default_partitions, 4);
    assert_eq!(it.defaults.integer("log.retention.ms"), Some(5));
    assert_eq!(it.layers.origin("num.partitions"), Some(&Origin::Flag("--set".into())));
    assert_eq!(
        it.defaults.text("advertised.listeners").as_deref(),
        Some("PLAINTEXT://h.example:29092")
    );
}

#[test]
fn the_later_layer_wins() {
    let dir = tempfile::tempdir().unwrap();
    let toml = file(
        dir.path(),
        "m.toml",
        "num.partitions = 2\ndata = \"/file\"\n[log.retention]\nhours = 3\n",
    );
    let environment = [
        ("MILLRACE_SET_NUM_PARTITIONS", "3"),
        ("MILLRACE_SET_FETCH_MAX_BYTES", "2048"),
        ("OTHER", "x"),
    ];
    let Ok(Action::Run(it)) = action(&["--config", &toml], &environment) else { panic!() };
    assert_eq!(it.settings.default_partitions, 3);
    assert_eq!(it.storage.data, Path::new("/file"));
    assert_eq!(it.settings.limits.fetch_bytes_max, 2048);
    assert_eq!(it.defaults.integer("log.retention.hours"), Some(3));
    let Ok(Action::Run(it)) =
        action(&["--config", &toml, "--set", "num.partitions=4", "--data", "/flag"], &environment)
    else {
        panic!()
    };
    assert_eq!(
        (it.settings.default_partitions, it.storage.data.as_path()),
        (4, Path::new("/flag"))
    );
}

/// The file that Kafka ships, in essence.
#[test]
fn a_server_properties_of_kafka() {
    let dir = tempfile::tempdir().unwrap();
    let text = "process.roles=broker,controller\nnode.id=5\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
                listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
                advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
                controller.listener.names=CONTROLLER\n\
                listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
                num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
                socket.request.max.bytes=104857600\nlog.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n\
                num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
                transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                log.retention.hours=168\nlog.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";
    let path = file(dir.path(), "server.properties", text);
    let why = refused(&["--config", &path]);
    assert!(why.contains("--insecure"), "{why}");
    let it = run(&["--config", &path, "--insecure"]);
    assert_eq!(it.settings.listen, "0.0.0.0:9092".parse().unwrap());
    assert_eq!(
        (it.settings.advertised_host.as_str(), it.settings.advertised_port),
        ("localhost", 9092)
    );
    assert_eq!(
        (it.settings.node_id, it.storage.data.as_path()),
        (5, Path::new("/tmp/kraft-combined-logs"))
    );
    assert!(matches!(it.layers.origin("node.id"), Some(Origin::File { line: Some(2), .. })));
}

#[test]
fn errors_name_the_cure() {
    for (arguments, cure) in [
        (&["--set", "num.partition=3"][..], "did you mean num.partitions?"),
        (&["--set", "num.partitions"], "KEY=VALUE"),
        (&["--set", "retention.ms=3"], "log.retention.ms"),
        (&["--set", "num.partitions=0"], "at least 1"),
        (&["--set", "authorizer.class.name=a.B"], "there is no authorizer"),
        (&["--listen", "0.0.0.0:9092"], "--insecure"),
        (&["--listen", "9092"], "PLAINTEXT://127.0.0.1:9092"),
        (&["--listen", "127.0.0.1:65535", "--cores", "2"], "--single-port"),
        (&["--admin", "0.0.0.0:9644"], "--insecure"),
        (&["--admin", "x"], "127.0.0.1:9644"),
        (&["--cpus", "3-1"], "2-5,8"),
        (&["--cpus", "4000"], "this process may not run on CPU 4000"),
        (&["--node-id", "3000000"], "at most 2147482"),
        (&["--set", "log.dirs=/a,/b"], "one is served"),
        (&["--set", "listeners=SSL://127.0.0.1:1"], "only PLAINTEXT"),
        (&["--set", "process.roles=controller"], "remove the line"),
        (&["--node-id", "3", "--set", "broker.id=4"], "keep node.id"),
        (&["--config", "/no/such/file.toml"], "cannot read /no/such/file.toml"),
    ] {
        let why = refused(arguments);
        assert!(why.contains(cure), "{arguments:?}: {why}");
    }
    let both = refused(&["--set", "num.partition=3", "--set", "log.retention.mss=3"]);
    assert!(both.contains("2 problems"), "{both}");
}

#[test]
fn one_port_needs_no_ports_beyond_it_and_any_node_id() {
    let it = run(&[
        "--listen",
        "127.0.0.1:65535",
        "--cores",
        "2",
        "--single-port",
        "--node-id",
        "3000000",
    ]);
    assert_eq!(it.settings.endpoints().len(), 1);
}

#[test]
fn config_prints_what_is_in_force_and_where_it_came_from() {
    let print =
        |arguments: &[&str]| match action(arguments, &[("MILLRACE_SET_NUM_IO_THREADS", "4")]) {
            Ok(Action::Print(text)) => text,
            other => panic!("{other:?}"),
        };
    let text = print(&["config", "--data", "/d", "--set", "ssl.key.password=secret"]);
    let line = |name: &str| {
        text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"))
    };
    assert!(line("log.dirs=/d ").ends_with("# --data"));
    assert!(
        line("num.io.threads=4 ")
            .ends_with("# environment MILLRACE_SET_NUM_IO_THREADS; without effect here")
    );
    assert!(line("listeners=").ends_with("# default of Millrace"));
    assert!(!text.contains("secret") && !text.contains("num.partitions"));
    let all = print(&["config", "--all"]);
    assert!(
        all.lines()
            .any(|l| l.starts_with("num.partitions=1 ") && l.ends_with("# default of Kafka"))
    );
    assert!(all.lines().count() > 300);
    assert!(refused(&["config", "--listen", "0.0.0.0:1"]).contains("--insecure"));
}

/// A file of Kafka 2.x, in essence, with a password that nobody may see.
const ZOOKEEPER_ERA: &str = "broker.id=0\nport=9192\nhost.name=127.0.0.1\nadvertised.host.name=localhost\n\
                             num.network.threads=9\nqueued.max.requests=100\nmax.connection.creation.rate=5\n\
                             log.dirs=/tmp/kafka-logs\nzookeeper.connect=localhost:2181\n\
                             zookeeper.connection.timeout.ms=18000\nzookeeper.ssl.keystore.password=secret\n\
                             inter.broker.protocol.version=2.8\nlog.message.format.version=2.8\n\
                             super.users=User:admin\nconfluent.balancer.enable=true\nno.such.key=1\n\
                             default.replication.factor=300\n";

#[test]
fn a_file_of_the_zookeeper_era_is_refused_in_one_go() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        format!("{ZOOKEEPER_ERA}authorizer.class.name=kafka.security.authorizer.AclAuthorizer\n");
    let path = file(dir.path(), "server.properties", &text);
    // What only the whole configuration can show is said with the rest.
    let why = refused(&["--config", &path, "--listen", "0.0.0.0:9092"]);
    for part in [
        "13 problems",
        "server.properties:2: port went with Kafka 3.0: it is listeners=",
        "server.properties:3: host.name went",
        "server.properties:4: advertised.host.name went with Kafka 3.0: it is advertised.listeners=",
        "server.properties:9: zookeeper.connect went with Kafka 4.0: there is no ZooKeeper",
        "server.properties:12: inter.broker.protocol.version went with Kafka 4.0",
        "server.properties:13: log.message.format.version",
        "server.properties:14: super.users: there is no authorizer",
        "server.properties:15: confluent.balancer.enable: it is a key of Confluent Server",
        "server.properties:16: no.such.key is unknown",
        "server.properties:18: authorizer.class.name",
        "--insecure",
    ] {
        assert_eq!(why.matches(part).count(), 1, "{part}: {why}");
    }
    assert!(!why.contains("secret"), "{why}");
}

#[test]
fn the_lenient_start_with_it_and_are_warned() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "server.properties", ZOOKEEPER_ERA);
    let it = run(&["--config", &path, "--lenient", "--cores", "1"]);
    assert_eq!(it.settings.listen, "127.0.0.1:9192".parse().unwrap());
    let advertised = (&it.settings.advertised_host[..], it.settings.advertised_port);
    assert_eq!(advertised, ("localhost", 9192));
    assert_eq!(it.settings.node_id, 0);
    let all = it.warnings.join("\n");
    for part in [
        "server.properties:2: port went",
        "it is taken as listeners=PLAINTEXT://127.0.0.1:9192",
        "it is taken as advertised.listeners=PLAINTEXT://localhost:9192",
        "server.properties:11: zookeeper.ssl.keystore.password went",
        "server.properties:16: no.such.key is unknown",
        "default.replication.factor=300 is more than the 1 node ",
        "queued.max.requests=100 limits nothing here",
        "max.connection.creation.rate=5 limits nothing here",
        "without effect here: num.network.threads",
    ] {
        assert_eq!(all.matches(part).count(), 1, "{part}: {all}");
    }
    assert!(!all.contains("secret"), "{all}");
    // What would be a false promise, or is no value, is an error all the same; so is a flag.
    for more in ["authorizer.class.name=x.Y\n", "num.partitions=x\n"] {
        let path = file(dir.path(), "more.properties", &format!("{ZOOKEEPER_ERA}{more}"));
        assert!(!refused(&["--config", &path, "--lenient"]).is_empty());
    }
    refused(&["--lenient", "--set", "zookeeper.connect=x"]);
    // Listeners that are named count more than the old names.
    let text = format!("{ZOOKEEPER_ERA}listeners=PLAINTEXT://127.0.0.1:5\n");
    let path = file(dir.path(), "both.properties", &text);
    let it = run(&["--config", &path, "--lenient"]);
    assert_eq!(it.settings.listen.port(), 5);
    let path = file(dir.path(), "lenient.properties", "zookeeper.connect=x\n");
    let Ok(Action::Print(text)) = action(&["config", "--config", &path, "--lenient"], &[]) else {
        panic!()
    };
    assert!(text.contains("# ") && text.contains(":1: zookeeper.connect went"), "{text}");
}

#[test]
fn what_changes_nothing_is_not_warned_of() {
    assert_eq!(run(&[]).warnings, [""; 0]);
    let defaults = run(&["--set", "num.network.threads=3", "--set", "queued.max.requests=500"]);
    assert_eq!(defaults.warnings, [""; 0]);
}

#[test]
fn a_mistyped_variable_is_an_error() {
    let why = action(&[], &[("MILLRACE_LISTENS", "127.0.0.1:1")]).map(|_| ());
    let why = why.unwrap_err().to_string();
    assert!(why.contains("did you mean MILLRACE_LISTEN?"), "{why}");
}

#[test]
fn addresses_of_version_6() {
    for listen in ["[::1]:9092", "::1:9092"] {
        let it = run(&["--listen", listen, "--admin", "[::1]:9644", "--cores", "2"]);
        assert_eq!(it.settings.listen, "[::1]:9092".parse().unwrap());
        assert_eq!(it.admin, "[::1]:9644".parse().unwrap());
        // Kafka's answers have it without brackets, its configurations with them.
        assert_eq!(it.settings.endpoints()[1].host, "::1");
        assert_eq!(
            it.defaults.text("advertised.listeners").as_deref(),
            Some("PLAINTEXT://[::1]:9092")
        );
    }
    let it = run(&["--advertise", "[2001:db8::7]:29092"]);
    assert_eq!(it.settings.advertised_host, "2001:db8::7");
    for (arguments, cure) in [
        (&["--listen", "::1"][..], "PLAINTEXT://[::1]:9092"),
        (&["--listen", "[::]:9092"], "--insecure"),
        (&["--admin", "::1"], "127.0.0.1:9644"),
        (&["--advertise", "[::]:9092"], "no client can connect to"),
        (&["--advertise", "0.0.0.0:9092"], "no client can connect to"),
    ] {
        let why = refused(arguments);
        assert!(why.contains(cure), "{arguments:?}: {why}");
    }
}
