//! Peers that close for writing and read on, against real sockets.
use crate::support::{LOOPBACK, boot};
use netio::{CloseReason, ConnId, Event, Io, Options, Program, Turn};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc,
};

/// Sends all that came back once its peer has finished, some milliseconds later, and closes.
struct Late {
    io: Io,
    outlives: bool,
    closed: mpsc::Sender<CloseReason>,
    finished: Vec<ConnId>,
    stopping: bool,
}

impl Late {
    fn start(outlives: bool) -> (netio::Running<()>, SocketAddr, mpsc::Receiver<CloseReason>) {
        let (address, addresses) = mpsc::channel();
        let (closed, reasons) = mpsc::channel();
        let program = boot(move |io: Io, _| {
            let listener = io.listen(LOOPBACK.parse().unwrap()).unwrap();
            address.send(io.local_addr(listener)).unwrap();
            Late { io, outlives, closed, finished: Vec::new(), stopping: false }
        });
        let running = netio::start::<()>(Options::default(), vec![program]).unwrap();
        (running, addresses.recv().unwrap(), reasons)
    }
}

impl Program for Late {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                Event::Accepted { conn, .. } => {
                    if self.outlives {
                        self.io.outlive_peer(conn);
                    }
                    self.io.start_receiving(conn);
                }
                Event::Readable { conn } => {
                    let Some(received) = self.io.take(conn) else {
                        continue;
                    };
                    // A large frame is announced: it is received in one shot.
                    let want = if received.bytes()[0] == b'L' { 1 << 20 } else { 0 };
                    self.io.put_back(conn, received, 0, want, false);
                }
                Event::Finished { conn } => {
                    assert!(self.outlives && !self.finished.contains(&conn), "{conn:?}");
                    self.finished.push(conn);
                    self.io.timer(self.io.now().after_ms(5), 0);
                }
                Event::Timer { .. } => {
                    let conn = self.finished.remove(0);
                    if let Some(received) = self.io.take(conn) {
                        let bytes = bytes::Bytes::copy_from_slice(received.bytes());
                        let all = bytes.len();
                        self.io.put_back(conn, received, all, 0, false);
                        self.io.send(conn, [bytes]);
                    }
                    self.io.close(conn, true);
                }
                Event::Closed { why, .. } => self.closed.send(why).unwrap(),
                Event::Stop => self.stopping = true,
                other => panic!("{other:?}"),
            }
        }
        if self.stopping { Turn::Done } else { Turn::Rest }
    }
}

#[test]
fn what_was_sent_before_is_answered_behind_the_end() {
    let (running, address, reasons) = Late::start(true);
    let large = [&b"L"[..], &vec![7; 400_000]].concat();
    for bytes in [&b""[..], b"small", &[b's'; 20_000], &large] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == bytes, "{} of {} bytes", back.len(), bytes.len());
        assert_eq!(reasons.recv().unwrap(), CloseReason::Local);
    }
    running.stop();
    running.join().unwrap();
}

#[test]
fn a_peer_that_has_gone_is_noticed_by_sending() {
    let (running, address, reasons) = Late::start(true);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[b's'; 5_000]).unwrap();
    drop(stream);
    // In order: what it is sent is refused, or it is closed before that is known.
    reasons.recv().unwrap();
    running.stop();
    running.join().unwrap();
}

#[test]
fn without_being_asked_for_the_end_is_the_end() {
    let (running, address, reasons) = Late::start(false);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"small").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"");
    assert_eq!(reasons.recv().unwrap(), CloseReason::Peer);
    running.stop();
    running.join().unwrap();
}
