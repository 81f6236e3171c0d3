//! Programs and clients of these tests.
use netio::{Boot, Event, Io, Mesh, Options, Program, Running, Turn};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    pin::Pin,
    sync::mpsc,
};

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

/// A boot that makes a program without waiting.
pub(crate) fn boot<M: Send + 'static, P: Program>(
    make: impl FnOnce(Io, Mesh<M>) -> P + Send + 'static,
) -> Boot<M> {
    Box::new(move |io, mesh| {
        let program: Box<dyn Program> = Box::new(make(io, mesh));
        Box::pin(std::future::ready(program))
    })
}

/// A boot that runs `work` on a core and then ends it; what it returns arrives in the channel.
pub(crate) fn run_once<T: Send + 'static>(
    work: impl FnOnce(Io) -> Pin<Box<dyn Future<Output = T>>> + Send + 'static,
) -> (Boot<()>, mpsc::Receiver<T>) {
    struct End;
    impl Program for End {
        fn turn(&mut self, _: &mut Vec<Event>) -> Turn {
            Turn::Done
        }
    }
    let (send, receive) = mpsc::channel();
    let boot: Boot<()> = Box::new(move |io, _| {
        Box::pin(async move {
            send.send(work(io).await).expect("the test waits");
            Box::new(End) as Box<dyn Program>
        })
    });
    (boot, receive)
}

/// Answers every frame (4 bytes of length, big endian, and that many more) with itself.
pub(crate) struct Echo {
    io: Io,
    stopping: bool,
}

impl Echo {
    /// Listens, and tells the address.
    pub(crate) fn new(io: Io, address: mpsc::Sender<SocketAddr>) -> Self {
        let listener = io.listen(LOOPBACK.parse().unwrap()).unwrap();
        address.send(io.local_addr(listener)).unwrap();
        Self { io, stopping: false }
    }

    pub(crate) fn start(options: Options) -> (Running<()>, SocketAddr) {
        let (send, receive) = mpsc::channel();
        let running = netio::start(options, vec![boot(move |io, _| Echo::new(io, send))]).unwrap();
        (running, receive.recv().unwrap())
    }
}

/// Length of the first whole frame, or what the first one needs.
pub(crate) fn frame(bytes: &[u8]) -> Result<usize, usize> {
    let Some(length) = bytes.first_chunk() else {
        return Err(0);
    };
    let total = 4 + u32::from_be_bytes(*length) as usize;
    if bytes.len() < total { Err(total) } else { Ok(total) }
}

impl Program for Echo {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                Event::Accepted { conn, .. } => self.io.start_receiving(conn),
                Event::Readable { conn } => {
                    let Some(received) = self.io.take(conn) else {
                        continue;
                    };
                    let mut at = 0;
                    let want = loop {
                        match frame(&received.bytes()[at..]) {
                            Ok(total) => {
                                self.io.send(
                                    conn,
                                    [bytes::Bytes::copy_from_slice(
                                        &received.bytes()[at..at + total],
                                    )],
                                );
                                at += total;
                            }
                            Err(want) => break want,
                        }
                    };
                    self.io.put_back(conn, received, at, want, false);
                }
                Event::Stop => self.stopping = true,
                _ => {}
            }
        }
        if self.stopping { Turn::Done } else { Turn::Rest }
    }
}

/// A frame of `len` bytes whose content says where it came from.
pub(crate) fn frame_of(seed: u32, len: usize) -> Vec<u8> {
    let mut frame = (len as u32).to_be_bytes().to_vec();
    let mut x = seed.wrapping_mul(0x9E37_79B9) | 1;
    frame.extend((0..len).map(|_| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    }));
    frame
}

/// Sends a frame and expects it back.
pub(crate) fn round_trip(stream: &mut TcpStream, frame: &[u8]) {
    stream.write_all(frame).unwrap();
    let mut back = vec![0; frame.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == frame, "a frame of {} bytes came back changed", frame.len());
}
