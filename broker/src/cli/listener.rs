//! `listeners` and `advertised.listeners`: one listener in plain text is served; a
//! server.properties may also name the listener of a KRaft controller, which Millrace does not
//! need.
use crate::config::value::without_repeats;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// One entry: `NAME://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    /// Empty = all interfaces.
    pub host: String,
    pub port: u16,
}

/// A host as it stands before `:PORT`: an IPv6 address in brackets.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// `HOST:PORT`, to be read by people and by clients.
pub fn authority(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

/// An IPv6 address, perhaps with a zone, such as `fe80::1%eth0`.
fn is_v6(host: &str) -> bool {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    address.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Reads one entry. An IPv6 address may stand in brackets or, as Kafka takes it, without.
pub fn parse(text: &str) -> Result<Listener, String> {
    let wrong = || {
        format!(
            "{text} is not a listener: NAME://HOST:PORT is wanted, such as PLAINTEXT://127.0.0.1:9092"
        )
    };
    let (name, address) = text.trim().split_once("://").ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = inner.unwrap_or(host);
    // Without brackets, and without its port, the end of an address looks like a port.
    if (inner.is_some() || host.contains(':')) && !is_v6(host) {
        return Err(format!(
            "{text} is not a listener: an IPv6 address is wanted in brackets and with a port, such as PLAINTEXT://[::1]:9092"
        ));
    }
    let port = port.parse().map_err(|_| wrong())?;
    if name.is_empty() || host.contains(['/', '[', ']']) {
        return Err(wrong());
    }
    Ok(Listener { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
}

/// The one listener for clients among those of a list. `controllers` are names of listeners that
/// are not for clients; `protocols` is `listener.security.protocol.map`.
pub fn for_clients(list: &str, controllers: &str, protocols: &str) -> Result<Listener, String> {
    let controllers: Vec<String> =
        controllers.split(',').map(|n| n.trim().to_ascii_uppercase()).collect();
    let list = list.split(',').map(str::trim).filter(|l| !l.is_empty());
    // One that is there twice is one (KAFKA-19875).
    let list = without_repeats(list.collect());
    let all: Result<Vec<Listener>, String> = list.into_iter().map(parse).collect();
    let mut clients: Vec<Listener> =
        all?.into_iter().filter(|l| !controllers.contains(&l.name)).collect();
    let Some(listener) = clients.pop() else {
        return Err("no listener for clients: set listeners=PLAINTEXT://127.0.0.1:9092".into());
    };
    if let Some(other) = clients.first() {
        return Err(format!(
            "listeners {} and {}: one listener is served; keep one of them",
            other.name, listener.name
        ));
    }
    let named = protocols.split(',').filter_map(|pair| pair.split_once(':'));
    let protocol = named
        .map(|(n, p)| (n.trim(), p.trim()))
        .find(|(n, _)| n.eq_ignore_ascii_case(&listener.name));
    match protocol.map_or(listener.name.as_str(), |(_, protocol)| protocol) {
        p if p.eq_ignore_ascii_case("PLAINTEXT") => Ok(listener),
        other => {
            Err(format!("listener {} speaks {other}: only PLAINTEXT is served yet", listener.name))
        }
    }
}

/// The address to bind. A name is looked up.
pub fn address(host: &str, port: u16) -> Result<SocketAddr, String> {
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|e| format!("{host} cannot be looked up ({e}): use an IP address"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    // localhost is often ::1 first, which clients that are told 127.0.0.1 do not reach.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("{host} has no address: use an IP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "PLAINTEXT:PLAINTEXT,SSL:SSL,CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT";

    #[test]
    fn entries() {
        let read = |text| parse(text).map(|l| (l.name, l.host, l.port));
        assert_eq!(read("plaintext://:9092"), Ok(("PLAINTEXT".into(), "".into(), 9092)));
        assert_eq!(read(" A://[::1]:1 "), Ok(("A".into(), "::1".into(), 1)));
        assert_eq!(read("A://::1:1"), read("A://[::1]:1"));
        let zone = read("A://[fe80::1%eth0]:1").unwrap();
        assert_eq!(zone.1, "fe80::1%eth0");
        for text in ["[::1]:9092", "h:1", "10.0.0.1:65535", "[fe80::1%eth0]:1"] {
            let it = parse(&format!("A://{text}")).unwrap();
            assert_eq!(authority(&it.host, it.port), text);
        }
        assert_eq!(read("A://h.example:65535"), Ok(("A".into(), "h.example".into(), 65535)));
        for wrong in [
            "",
            "h:1",
            "A://h",
            "A://h:x",
            "A://h:65536",
            "://h:1",
            "A://h/x:1",
            // No port, no end, no address.
            "A://::1",
            "A://[::1]",
            "A://[::1:1",
            "A://::1]:1",
            "A://[h]:1",
            "A://a:b:1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_one_for_clients() {
        let read = |list| for_clients(list, "CONTROLLER", MAP).map(|l| l.port);
        assert_eq!(read("PLAINTEXT://:1,CONTROLLER://:2"), Ok(1));
        assert_eq!(read("CONTROLLER://:2, CLIENT://:3"), Ok(3));
        assert!(read("CONTROLLER://:2").unwrap_err().contains("no listener"));
        assert!(read("PLAINTEXT://:1,CLIENT://:3").unwrap_err().contains("one listener"));
        assert!(read("SSL://:1").unwrap_err().contains("only PLAINTEXT"));
        assert!(read("SASL_SSL://:1").unwrap_err().contains("only PLAINTEXT"));
    }

    #[test]
    fn addresses() {
        assert_eq!(address("", 5).unwrap(), "0.0.0.0:5".parse().unwrap());
        assert_eq!(address("::1", 5).unwrap(), "[::1]:5".parse().unwrap());
        assert!(address("localhost", 5).unwrap().ip().is_loopback());
    }
}
