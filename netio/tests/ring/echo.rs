//! Connections against real sockets.
use crate::support::{Echo, frame_of, round_trip};
use netio::Options;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

#[test]
fn frames_of_all_sizes_come_back() {
    let (running, address) = Echo::start(Options::default());
    let mut stream = TcpStream::connect(address).unwrap();
    for (seed, len) in [
        0,
        1,
        100,
        16_379,
        16_380,
        16_381,
        40_000,
        10,
        300_000,
        5,
        5,
        5,
        5,
        5,
        70_000,
        1 << 20,
        1,
    ]
    .into_iter()
    .enumerate()
    {
        round_trip(&mut stream, &frame_of(seed as u32, len));
    }
    running.stop();
    running.join().unwrap();
    let mut rest = Vec::new();
    assert_eq!(
        stream.read_to_end(&mut rest).unwrap(),
        0,
        "closed by the end of the core"
    );
}

#[test]
fn two_hundred_connections() {
    let (running, address) = Echo::start(Options::default());
    let mut streams: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for round in 0..20u32 {
        let frames: Vec<_> = (0..200)
            .map(|i| frame_of(round * 200 + i, (i * 37 % 900) as usize))
            .collect();
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
