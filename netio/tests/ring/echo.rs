//! Connections against real sockets.
use crate::support::{Echo, boot, frame_of, round_trip};
use netio::{Event, Io, Options, Program, Running, Turn, stats::Stats};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
};

#[test]
fn frames_of_all_sizes_come_back() {
    let (running, address) = Echo::start(Options::default());
    let mut stream = TcpStream::connect(address).unwrap();
    for (seed, len) in
        [0, 1, 100, 16_379, 16_380, 16_381, 40_000, 10, 300_000, 5, 5, 5, 5, 5, 70_000, 1 << 20, 1]
            .into_iter()
            .enumerate()
    {
        round_trip(&mut stream, &frame_of(seed as u32, len));
    }
    running.stop();
    running.join().unwrap();
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0, "closed by the end of the core");
}

#[test]
fn two_hundred_connections() {
    let (running, address) = Echo::start(Options::default());
    let mut streams: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for round in 0..20u32 {
        let frames: Vec<_> =
            (0..200).map(|i| frame_of(round * 200 + i, (i * 37 % 900) as usize)).collect();
        for (stream, frame) in streams.iter_mut().zip(&frames) {
            stream.write_all(frame).unwrap();
        }
        for (stream, frame) in streams.iter_mut().zip(&frames) {
            let mut back = vec![0; frame.len()];
            stream.read_exact(&mut back).unwrap();
            assert!(&back == frame);
        }
    }
    running.stop();
    running.join().unwrap();
}

#[test]
fn large_frames_both_ways_at_once() {
    const FRAMES: u32 = 40;
    let (running, address) = Echo::start(Options::default());
    let mut writer = TcpStream::connect(address).unwrap();
    let mut reader = writer.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        (0..FRAMES).for_each(|i| writer.write_all(&frame_of(i, 1 << 20)).unwrap())
    });
    let mut back = vec![0; 4 + (1 << 20)];
    for i in 0..FRAMES {
        reader.read_exact(&mut back).unwrap();
        assert!(back == frame_of(i, 1 << 20), "frame {i} came back changed");
    }
    sending.join().unwrap();
    running.stop();
    running.join().unwrap();
}

/// An echo that reports its counters every few milliseconds.
struct Reporting {
    echo: Echo,
    io: Io,
    stats: mpsc::Sender<Stats>,
}

impl Program for Reporting {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        if events.iter().any(|event| matches!(event, Event::Timer { .. })) {
            self.io.timer(self.io.now().after_ms(2), 0);
        }
        // The test may have heard enough.
        let _ = self.stats.send(self.io.stats());
        self.echo.turn(events)
    }
}

/// A core with one, where it listens, and its reports.
fn reporting() -> (Running<()>, SocketAddr, mpsc::Receiver<Stats>) {
    let (address, addresses) = mpsc::channel();
    let (stats, reports) = mpsc::channel();
    let program = boot(move |io: Io, _| {
        io.timer(io.now(), 0);
        Reporting { echo: Echo::new(io.clone(), address), io, stats }
    });
    let running = netio::start::<()>(Options::default(), vec![program]).unwrap();
    (running, addresses.recv().unwrap(), reports)
}

#[test]
fn a_connection_that_ends_leaves_its_large_buffer_to_the_next() {
    let (running, address, reports) = reporting();
    // Large input of a client that leaves: with the buffer at rest, lent for the next frame, and
    // with part of one in it.
    for part in [0, 10, 100_000] {
        let mut stream = TcpStream::connect(address).unwrap();
        round_trip(&mut stream, &frame_of(1, 100_000));
        stream.write_all(&frame_of(2, 200_000)[..part]).unwrap();
        drop(stream);
        // Told within the turn that sees the end; the buffer is there after it. Reports of before
        // it began may wait as well.
        let reports = reports.iter().skip_while(|report| report.connections == 0);
        let mut since = reports.skip_while(|report| report.connections > 0);
        let spare = since.nth(2).unwrap().spare_buffer_bytes;
        assert!(spare >= 256 << 10, "part of {part}: {spare}");
    }
    running.stop();
    running.join().unwrap();
}

#[test]
fn a_connection_at_rest_holds_no_buffer() {
    let (running, address, reports) = reporting();
    let mut stream = TcpStream::connect(address).unwrap();
    let holds = |report: &Stats| report.connections == 1 && report.receive_buffer_bytes >= 1 << 20;
    let holds_nothing = |report: &Stats| {
        report.connections == 1 && report.receive_buffer_bytes + report.output_bytes == 0
    };

    round_trip(&mut stream, &frame_of(1, 1 << 20));
    assert!(
        reports.iter().any(|report| holds(&report)),
        "a large buffer is kept for the next large frame"
    );
    // Without traffic it is freed after a while ...
    assert!(reports.iter().any(|report| holds_nothing(&report)));
    round_trip(&mut stream, &frame_of(2, 1 << 20));
    // ... and with small frames at once.
    (0..10).for_each(|i| round_trip(&mut stream, &frame_of(i, 10)));
    assert!(reports.iter().any(|report| holds_nothing(&report)));
    // A part of a small frame costs its own size, and nothing when the rest has come.
    let frame = frame_of(3, 1_000);
    stream.write_all(&frame[..500]).unwrap();
    assert!(reports.iter().any(|report| (500..=1024).contains(&report.receive_buffer_bytes)));
    stream.write_all(&frame[500..]).unwrap();
    assert!(reports.iter().any(|report| holds_nothing(&report)));
    running.stop();
    running.join().unwrap();
}
