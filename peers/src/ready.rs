//! Free ports, and the questions that tell whether a broker is up.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};

/// How long one probe waits for its answer. A broker that is slower is asked again.
const PROBE: Duration = Duration::from_secs(2);

/// The first port of `count` neighbouring loopback ports that nobody listens on.
///
/// Taken below the kernel's ephemeral range (32768..), so that an outgoing connection cannot
/// take one between this look and the broker's bind; started from the process id, so that two
/// runs side by side rarely meet.
///
/// # Errors
/// There are none.
pub fn free_ports(count: u16) -> Result<u16> {
    const FIRST: u16 = 20_000;
    const SPAN: u16 = 12_000;
    let start = u16::try_from(std::process::id() % u32::from(SPAN)).unwrap_or(0);
    for step in 0..SPAN / 16 {
        let base = FIRST + (start + step * 16) % (SPAN - count);
        let held: Vec<_> = (base..base + count)
            .map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .collect();
        if held.len() == usize::from(count) {
            return Ok(base);
        }
    }
    bail!("no {count} neighbouring free ports on 127.0.0.1 in {FIRST}..{}", FIRST + SPAN)
}

/// Whether a Kafka broker answers ApiVersions v0 on this port of loopback.
///
/// # Errors
/// Why not.
pub fn answers_api_versions(port: u16) -> Result<(), String> {
    match probe_api_versions(port) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("port {port}: ApiVersions is answered with an error")),
        Err(error) => Err(format!("port {port}: {error}")),
    }
}

fn probe_api_versions(port: u16) -> std::io::Result<bool> {
    let mut socket = connect(port)?;
    // length, api_key 18, version 0, correlation id 7, client id "ready"
    let request = b"\0\0\0\x0f\0\x12\0\0\0\0\0\x07\0\x05ready";
    socket.write_all(request)?;
    let mut head = [0u8; 10];
    socket.read_exact(&mut head)?;
    Ok(head[4..8] == [0, 0, 0, 7] && head[8..10] == [0, 0])
}

/// Whether `GET /readyz` on the admin port answers 200.
///
/// # Errors
/// Why not.
pub fn answers_readyz(port: u16) -> Result<(), String> {
    match probe_readyz(port) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("port {port}: /readyz does not say 200")),
        Err(error) => Err(format!("port {port}: {error}")),
    }
}

fn probe_readyz(port: u16) -> std::io::Result<bool> {
    let mut socket = connect(port)?;
    write!(socket, "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut status = [0u8; 12];
    socket.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PROBE)?;
    socket.set_read_timeout(Some(PROBE))?;
    socket.set_write_timeout(Some(PROBE))?;
    Ok(socket)
}
