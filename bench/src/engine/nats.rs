//! As much of NATS's protocol as publishing to JetStream takes, so that the same event loops,
//! clocks and payloads measure it as measure Kafka's brokers.
//!
//! NATS's own Rust client would do, but it would be the limit: a task and a channel per message,
//! and timers of a millisecond. What is here is text in lines: `PUB subject reply size`, payload;
//! the ack comes as `MSG reply sid size` with JSON. (Protocol: docs.nats.io, "Client Protocol".)

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::producer::{Producer, Protocol, Settings};
use super::socket::{Framing, Socket};
use crate::rng::Rng;
use crate::workload::frames::{Frame, Stream};
use crate::workload::number;
use crate::workload::{Produce, Workload};

/// Answers to the server's question whether we are there.
pub(super) const PONG: &[u8] = b"PONG\r\n";
const HELLO: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0\",\"headers\":true,\"no_responders\":true}\r\n";
/// A line of control is longer than this only if it is none.
const LINE_MAX: usize = 16 << 10;

/// Something whole that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// The ack of a request: its number, and what JetStream says.
    Ack(i32, &'a [u8]),
    Ping,
    Error(&'a str),
    Other,
}

/// Bytes of the whole message at the front of `bytes`, once they are all there.
///
/// # Errors
/// It is not NATS's protocol.
pub(super) fn message_size(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = bytes.iter().take(LINE_MAX).position(|&b| b == b'\n') else {
        if bytes.len() >= LINE_MAX {
            return Err(io::Error::other("a line without end"));
        }
        return Ok(None);
    };
    let line = end + 1;
    if !bytes.starts_with(b"MSG ") {
        return Ok(Some(line));
    }
    let size = std::str::from_utf8(&bytes[..end])
        .ok()
        .and_then(|text| text.trim_end().rsplit(' ').next()?.parse::<usize>().ok())
        .filter(|size| *size <= LINE_MAX)
        .ok_or_else(|| io::Error::other("a message without size"))?;
    let whole = line + size + 2;
    Ok((bytes.len() >= whole).then_some(whole))
}

/// What a whole message says.
pub(super) fn parse(bytes: &[u8]) -> Message<'_> {
    if bytes.starts_with(b"PING") {
        return Message::Ping;
    }
    if let Some(text) = bytes.strip_prefix(b"-ERR") {
        return Message::Error(std::str::from_utf8(text).unwrap_or("?").trim());
    }
    let Some(rest) = bytes.strip_prefix(b"MSG ") else {
        return Message::Other;
    };
    let Some(end) = rest.iter().position(|&b| b == b'\n') else {
        return Message::Other;
    };
    let (line, body) = rest.split_at(end + 1);
    let subject = line.split(|&b| b == b' ').next().unwrap_or_default();
    let digits = subject.rsplit(|&b| b == b'.').next().unwrap_or_default();
    let number = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
    number.map_or(Message::Other, |n| Message::Ack(n, body))
}

/// A blocking conversation: to make streams, and to find out whether the server is there.
#[derive(Debug)]
pub(crate) struct Talk {
    stream: BufReader<TcpStream>,
    asked: u32,
}

impl Talk {
    /// Connects and says hello.
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut talk = Self { stream: BufReader::new(stream), asked: 0 };
        talk.send(&format!("{HELLO}SUB _INBOX.talk.* 1\r\nPING\r\n"))?;
        while !talk.line()?.starts_with("PONG") {}
        Ok(talk)
    }

    /// A request and the body of its answer; an answer that holds an error is one.
    pub(crate) fn ask(&mut self, subject: &str, body: &str) -> Result<String> {
        self.asked += 1;
        let reply = format!("_INBOX.talk.{}", self.asked);
        self.send(&format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len()))?;
        loop {
            let line = self.line()?;
            if line.starts_with("PING") {
                self.send("PONG\r\n")?;
            } else if line.starts_with("-ERR") {
                bail!("{subject}: {}", line.trim());
            } else if line.starts_with("MSG ") {
                let size: usize = line
                    .trim_end()
                    .rsplit(' ')
                    .next()
                    .and_then(|n| n.parse().ok())
                    .filter(|n| *n <= 1 << 20)
                    .context("a message without size")?;
                let mut answer = vec![0; size + 2];
                self.stream.read_exact(&mut answer)?;
                answer.truncate(size);
                let answer = String::from_utf8(answer)?;
                if !line.contains(&reply) {
                    continue;
                }
                if answer.contains("\"error\"") {
                    bail!("{subject}: {answer}");
                }
                return Ok(answer);
            }
        }
    }

    fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.get_mut().write_all(text.as_bytes())?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the server has closed the connection");
        }
        Ok(line)
    }
}

/// Connections that publish: subject `PREFIX.<partition>`, one message a request, as long as the
/// values of the request together.
pub(crate) fn producers(
    address: &str,
    prefix: &str,
    workload: &Workload,
    produce: &Produce,
) -> Result<Vec<Producer>> {
    let mut all = Vec::new();
    for n in 0..produce.connections {
        let inbox = format!("_INBOX.b{n}");
        let mut socket = Socket::connect(address)?;
        // The socket's buffer takes a line; nothing has been sent before.
        write!(socket.stream(), "{HELLO}SUB {inbox}.* 1\r\n")?;
        socket.set_framing(Framing::Nats);
        let partition = i32::try_from(n)? % workload.partitions;
        let mut body = vec![0; produce.record_bytes * produce.records_per_batch()];
        Rng::new(workload.seed, n as u64).fill(&mut body);
        let head = format!("PUB {prefix}.{partition} {inbox}.");
        let mut bytes =
            format!("{head}{} {}\r\n", "0".repeat(number::DIGITS), body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(b"\r\n");
        let stream = Stream { partition, id: u32::try_from(n)? };
        let frame =
            Frame::of_nats(bytes, head.len(), body.len() as u64, produce.records_per_batch());
        let settings = Settings {
            protocol: Protocol::Nats,
            acks: -1,
            depth: produce.depth,
            stamp: false,
            idempotent: false,
            linger: produce.linger(),
        };
        all.push(Producer::new(socket, vec![frame], vec![stream], settings, None));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_and_read() {
        let bytes = b"MSG _INBOX.b3.0000000042 1 7\r\n{\"a\":1}\r\nPING\r\n";
        let size = message_size(bytes).unwrap().unwrap();
        assert_eq!(parse(&bytes[..size]), Message::Ack(42, b"{\"a\":1}\r\n"));
        assert_eq!(message_size(&bytes[size..]).unwrap(), Some(6));
        assert_eq!(parse(&bytes[size..]), Message::Ping);
        for end in 0..size {
            assert_eq!(message_size(&bytes[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(parse(b"-ERR 'no'\r\n"), Message::Error("'no'"));
        assert_eq!(parse(b"INFO {}\r\n"), Message::Other);
        assert!(message_size(b"MSG a b\r\n").is_err());
        assert!(message_size(&[b'x'; LINE_MAX]).is_err());
    }
}
