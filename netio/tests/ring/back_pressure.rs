//! Bounds: slow readers, held connections, few receive buffers, many connections, peers that
//! vanish.
use crate::support::{Echo, LOOPBACK, boot, frame_of, round_trip};
use bytes::Bytes;
use netio::{CloseReason, ConnId, Event, Io, Options, Program, Turn};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
    sync::mpsc,
};

/// Closing this stream resets the connection.
fn linger_0(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let bytes = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: a valid struct of the given size.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            bytes,
        )
    };
    assert_eq!(set, 0);
}

/// Sends endless numbers to whoever connects, as `is_congested` and `Writable` allow.
struct Source {
    io: Io,
    next: u64,
    most_bytes: mpsc::Sender<usize>,
    most: usize,
}

impl Source {
    fn produce(&mut self, conn: ConnId) {
        while !self.io.is_congested(conn) && self.io.peer(conn).is_some() {
            let numbers: Vec<u8> =
                (self.next..self.next + 8192).flat_map(u64::to_be_bytes).collect();
            self.next += 8192;
            self.io.send(conn, [Bytes::from(numbers)]);
            self.most = self.most.max(self.io.output_bytes(conn));
        }
    }
}

impl Program for Source {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                Event::Accepted { conn, .. } | Event::Writable { conn } => self.produce(conn),
                Event::Closed { why, .. } => {
                    assert_eq!(why, CloseReason::Peer);
                    self.most_bytes.send(self.most).unwrap();
                    return Turn::Done;
                }
                _ => {}
            }
        }
        Turn::Rest
    }
}

#[test]
fn a_slow_reader_holds_the_producer_back_and_gets_every_byte() {
    let (address, addresses) = mpsc::channel();
    let (most_bytes, most) = mpsc::channel();
    let source = boot(move |io: Io, _| {
        let listener = io.listen(LOOPBACK.parse().unwrap()).unwrap();
        address.send(io.local_addr(listener)).unwrap();
        Source { io, next: 0, most_bytes, most: 0 }
    });
    let running = netio::start::<()>(Options::default(), vec![source]).unwrap();
    let mut stream = TcpStream::connect(addresses.recv().unwrap()).unwrap();
    let mut piece = vec![0; 8 * 1000];
    for round in 0..5_000u64 {
        stream.read_exact(&mut piece).unwrap();
        for (i, number) in piece.chunks_exact(8).enumerate() {
            assert_eq!(u64::from_be_bytes(number.try_into().unwrap()), round * 1000 + i as u64);
        }
    }
    drop(stream);
    let most = most.recv().unwrap();
    assert!(most > 1 << 20, "it was congested at {most}");
    assert!(most <= (1 << 20) + 8 * 8192, "output grew to {most} bytes");
    running.join().unwrap();
}

/// Accepts, and receives only when told by a byte on another connection.
struct Holder {
    io: Io,
    held: Option<ConnId>,
    got: mpsc::Sender<usize>,
}

impl Program for Holder {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                Event::Accepted { conn, .. } if self.held.is_none() => self.held = Some(conn),
                Event::Accepted { .. } => self.io.start_receiving(self.held.unwrap()),
                Event::Readable { conn } => {
                    let received = self.io.take(conn).unwrap();
                    let bytes = received.bytes().len();
                    self.io.put_back(conn, received, bytes, 0, false);
                    self.got.send(bytes).unwrap();
                }
                Event::Closed { .. } => return Turn::Done,
                _ => {}
            }
        }
        Turn::Rest
    }
}

#[test]
fn a_held_connection_leaves_its_bytes_in_the_kernel() {
    let (address, addresses) = mpsc::channel();
    let (got, gots) = mpsc::channel();
    let holder = boot(move |io: Io, _| {
        let listener = io.listen(LOOPBACK.parse().unwrap()).unwrap();
        address.send(io.local_addr(listener)).unwrap();
        Holder { io, held: None, got }
    });
    let running = netio::start::<()>(Options::default(), vec![holder]).unwrap();
    let address: SocketAddr = addresses.recv().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    // The kernel's buffers fill up, and nobody empties them.
    let (mut sent, mut refused) = (0, 0);
    while refused < 3 {
        match stream.write(&[7; 1 << 16]) {
            Ok(bytes) => (sent, refused) = (sent + bytes, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refused += 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
    assert!(gots.try_recv().is_err());
    let _go = TcpStream::connect(address).unwrap();
    let mut received = 0;
    while received < sent {
        received += gots.recv().unwrap();
    }
    assert_eq!(received, sent);
    drop(stream);
    running.join().unwrap();
}

#[test]
fn two_receive_buffers_serve_fifty_connections() {
    let options = Options { recv_buffers: 2, recv_buffer_bytes: 4096, ..Options::default() };
    let (running, address) = Echo::start(options);
    let clients: Vec<_> = (0..50u32)
        .map(|i| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                (0..40).for_each(|round| {
                    round_trip(
                        &mut stream,
                        &frame_of(i * 100 + round, (round * 523 % 30_000) as usize),
                    )
                });
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    running.stop();
    running.join().unwrap();
}

#[test]
fn a_reset_peer_is_closed_and_its_slot_serves_the_next() {
    let (running, address) = Echo::start(Options { connections_max: 1, ..Options::default() });
    for round in 0..100u32 {
        // While the slot of the last one is taken, the next is refused: it tries again.
        let mut stream = loop {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut back = [0; 4];
            if stream.write_all(&frame_of(0, 0)).is_ok() && stream.read_exact(&mut back).is_ok() {
                break stream;
            }
        };
        round_trip(&mut stream, &frame_of(round, 2_000));
        if round % 2 == 0 {
            linger_0(&stream);
            stream.write_all(&frame_of(round, 50_000)[..20_000]).unwrap();
        }
    }
    running.stop();
    running.join().unwrap();
}

/// Connects to a port where nobody listens, then to its own listener, and talks to itself.
struct Dialer {
    io: Io,
    refused: ConnId,
    dialed: Option<ConnId>,
    said: mpsc::Sender<String>,
}

impl Program for Dialer {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                Event::Closed { conn, why } if conn == self.refused => {
                    assert_eq!(why, CloseReason::Error(libc::ECONNREFUSED));
                    let listener = self.io.listen(LOOPBACK.parse().unwrap()).unwrap();
                    let dialed = self.io.connect(self.io.local_addr(listener));
                    self.io
                        .send(dialed, [Bytes::from_static(b"hello "), Bytes::from_static(b"self")]);
                    self.dialed = Some(dialed);
                }
                Event::Accepted { conn, .. } => self.io.start_receiving(conn),
                Event::Connected { conn } => {
                    assert_eq!(Some(conn), self.dialed);
                    self.io.close(conn, true);
                }
                Event::Readable { conn } => {
                    let received = self.io.take(conn).unwrap();
                    let said = String::from_utf8(received.bytes().to_vec()).unwrap();
                    let whole = said.len() == 10;
                    self.io.put_back(conn, received, if whole { 10 } else { 0 }, 10, false);
                    if whole {
                        self.said.send(said).unwrap();
                    }
                }
                Event::Closed { conn, why } if Some(conn) == self.dialed => {
                    assert_eq!(why, CloseReason::Local)
                }
                Event::Closed { why, .. } => {
                    assert_eq!(why, CloseReason::Peer);
                    return Turn::Done;
                }
                _ => {}
            }
        }
        Turn::Rest
    }
}

#[test]
fn connecting_sending_and_closing() {
    let free = std::net::TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let (said, heard) = mpsc::channel();
    let dialer =
        boot(move |io: Io, _| Dialer { refused: io.connect(free), io, dialed: None, said });
    let running = netio::start::<()>(Options::default(), vec![dialer]).unwrap();
    assert_eq!(heard.recv().unwrap(), "hello self");
    running.join().unwrap();
}
