//! Connections that carry bytes: frames, back-pressure, order.
use crate::bed::{Message, Place, act, client, core, echo_server, frame, frames, pattern};
use bytes::Bytes;
use netio::{Boot, ConnId, CoreId, Event, Io, Turn};
use std::{cell::Cell, collections::BTreeMap, net::SocketAddr, rc::Rc};

/// Connects, sends frames of these lengths, a few at a time, and wants each back.
fn echoes(lengths: Vec<usize>, at_once: usize) -> Vec<Boot<Message>> {
    let client = client(move |io, addr| {
        let conn = io.connect(addr);
        let (mut sent, mut got) = (0, 0);
        Box::new(move |event| {
            match event {
                Event::Connected { conn: c } => {
                    assert_eq!(c, conn);
                    assert_eq!(io.peer(conn), Some(addr));
                    io.start_receiving(conn);
                }
                Event::Readable { conn: c } => {
                    assert_eq!(c, conn);
                    frames(&io, conn, |body| {
                        assert!(
                            body == pattern(got as u64, lengths[got]),
                            "frame {got} of {} bytes came back changed",
                            lengths[got]
                        );
                        got += 1;
                    });
                }
                Event::Writable { .. } => {}
                other => panic!("{other:?}"),
            }
            while sent < lengths.len() && sent < got + at_once {
                io.send(conn, [frame(&pattern(sent as u64, lengths[sent]))]);
                sent += 1;
            }
            if got == lengths.len() { Turn::Done } else { Turn::Rest }
        })
    });
    vec![client, echo_server()]
}

pub(crate) fn small_frames_are_echoed(_: &Place) -> Vec<Boot<Message>> {
    echoes((0..400).map(|i| i * 13 % 900).collect(), 20)
}

pub(crate) fn large_frames_are_echoed(_: &Place) -> Vec<Boot<Message>> {
    // Large and small in turn, so that a connection changes its way of receiving, back and forth.
    let lengths =
        [3 << 20, 10, 40_000, 1, 1, 1, 1, 1, 1, 200_000, 0, 3 << 20, 33_000, 100, 2 << 20, 65_536];
    echoes(lengths.to_vec(), 3)
}

pub(crate) fn one_small_frame_follows_a_large_one(_: &Place) -> Vec<Boot<Message>> {
    // Each waits for its answer: nothing else arrives that could bring up what was overlooked.
    let lengths = [100_000, 10, 10, 3 << 20, 10, 40_000, 40_000, 10, 10, 10, 10, 10, 10, 70_000, 5];
    echoes(lengths.to_vec(), 1)
}

pub(crate) fn input_is_kept_until_consumed(_: &Place) -> Vec<Boot<Message>> {
    // The server echoes, the client consumes what came in odd portions and says what it wants.
    let len = 300_000;
    let client = client(move |io, addr| {
        let conn = io.connect(addr);
        let body = pattern(9, len);
        let whole = frame(&body);
        let (mut seen, mut step) = (0usize, 0usize);
        let mut wanted = 0;
        Box::new(move |event| {
            match event {
                Event::Connected { .. } => {
                    io.start_receiving(conn);
                    io.send(conn, [whole.clone()]);
                }
                Event::Readable { .. } => {
                    let input = io.take(conn).expect("readable means bytes");
                    assert!(io.take(conn).is_none(), "taken once");
                    let bytes = input.bytes();
                    assert!(
                        bytes.len() >= wanted,
                        "woken with {} bytes although {wanted} were wanted",
                        bytes.len()
                    );
                    assert!(bytes == &whole[seen..seen + bytes.len()], "at {seen}");
                    step += 1;
                    // Nothing, a part, all; and now and then more is wanted than is there.
                    let consumed = match step % 4 {
                        0 => 0,
                        1 => bytes.len(),
                        2 => bytes.len() / 3,
                        _ => bytes.len() - bytes.len() / 5,
                    };
                    seen += consumed;
                    let (rest, missing) = (bytes.len() - consumed, whole.len() - seen);
                    wanted = if rest < missing { (rest + 1 + step * 977).min(missing) } else { 0 };
                    io.put_back(conn, input, consumed, wanted, false);
                    if rest == missing && rest > 0 {
                        // All is there; it stays until it is consumed.
                        let input = io.take(conn).expect("what was not consumed is still there");
                        assert_eq!(input.bytes(), &whole[seen..]);
                        seen += rest;
                        io.put_back(conn, input, rest, 0, false);
                        assert!(io.take(conn).is_none());
                    }
                }
                other => panic!("{other:?}"),
            }
            if seen == whole.len() { Turn::Done } else { Turn::Rest }
        })
    });
    vec![client, echo_server()]
}

pub(crate) fn a_held_connection_pushes_back(_: &Place) -> Vec<Boot<Message>> {
    // More than sockets of any system buffer.
    const BYTES: usize = 48 << 20;
    let sender = core(|io, mesh| {
        let piece = Bytes::from(pattern(1, 1 << 20));
        let mut conn: Option<ConnId> = None;
        let (mut sent, mut writable, mut stalled) = (0, 0, false);
        act(move |events| {
            while let Some((_, message)) = mesh.receive() {
                match message {
                    Message::Listening(addr) => conn = Some(io.connect(addr)),
                    Message::Over => {
                        assert!(stalled && writable > 0, "{writable} times writable");
                        return Turn::Done;
                    }
                    Message::Number(_) => panic!("{message:?}"),
                }
            }
            for event in events.drain(..) {
                match event {
                    Event::Connected { .. } => _ = io.timer(io.now().after_ms(150), 0),
                    Event::Writable { conn: c } => {
                        assert!(stalled, "nobody receives yet");
                        assert!(!io.is_congested(c));
                        writable += 1;
                    }
                    Event::Timer { .. } => {
                        let Some(c) = conn else { panic!() };
                        assert!(
                            io.is_congested(c) && io.output_bytes(c) > 0,
                            "{} of {sent} wait",
                            io.output_bytes(c)
                        );
                        stalled = true;
                        mesh.send(CoreId(1), Message::Number(0)).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
            let Some(c) = conn else { return Turn::Rest };
            // All at once up to the stall; after that only when it may.
            while sent < BYTES && (!stalled && sent < BYTES / 2 || stalled && !io.is_congested(c)) {
                io.send(c, [piece.clone()]);
                sent += piece.len();
            }
            Turn::Rest
        })
    });
    let receiver = core(|io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        let want = pattern(1, 1 << 20);
        let (mut conn, mut got) = (None, 0usize);
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    // Not receiving: the bytes stay where they are.
                    Event::Accepted { conn: c, .. } => conn = Some(c),
                    Event::Readable { conn: c } => {
                        let input = io.take(c).expect("readable means bytes");
                        for &b in input.bytes().iter().step_by(1_021) {
                            let _ = b;
                        }
                        let n = input.bytes().len();
                        let mut at = 0;
                        while at < n {
                            let from = (got + at) % want.len();
                            let len = (want.len() - from).min(n - at);
                            assert!(
                                input.bytes()[at..at + len] == want[from..from + len],
                                "bytes {} differ",
                                got + at
                            );
                            at += len;
                        }
                        got += n;
                        io.put_back(c, input, n, 0, false);
                    }
                    Event::Closed { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            while let Some((_, message)) = mesh.receive() {
                assert_eq!(message, Message::Number(0));
                assert_eq!(got, 0, "nothing is received before start_receiving");
                io.start_receiving(conn.expect("accepted"));
            }
            assert!(got <= BYTES);
            if got == BYTES {
                mesh.send(CoreId(0), Message::Over).unwrap();
                return Turn::Done;
            }
            Turn::Rest
        })
    });
    vec![sender, receiver]
}

pub(crate) fn put_back_with_hold_rests(_: &Place) -> Vec<Boot<Message>> {
    // The client holds after the first frame; a second is on its way; nothing is readable until it
    // starts again.
    let client = client(|io, addr| {
        let conn = io.connect(addr);
        let mut got = 0;
        let mut held = false;
        Box::new(move |event| {
            match event {
                Event::Connected { .. } => {
                    io.start_receiving(conn);
                    io.send(conn, [frame(b"one")]);
                }
                Event::Readable { .. } => {
                    assert!(!held, "readable while held");
                    let input = io.take(conn).unwrap();
                    let n = input.bytes().len();
                    got += n;
                    held = got == 7;
                    io.put_back(conn, input, n, 0, held);
                    if held {
                        io.send(conn, [frame(b"two")]);
                        io.timer(io.now().after_ms(40), 0);
                    }
                }
                Event::Timer { .. } => {
                    held = false;
                    io.start_receiving(conn);
                }
                other => panic!("{other:?}"),
            }
            if got == 14 { Turn::Done } else { Turn::Rest }
        })
    });
    vec![client, echo_server()]
}

pub(crate) fn output_stays_in_order(_: &Place) -> Vec<Boot<Message>> {
    // One long frame, queued in slices of all sizes over many calls: gathered copies and referenced
    // slices must not change places.
    let client = client(|io, addr| {
        let conn = io.connect(addr);
        let body = pattern(4, 2 << 20);
        let whole = frame(&body);
        let mut queued = 0;
        let mut step = 0usize;
        let mut over = false;
        Box::new(move |event| {
            match event {
                Event::Connected { .. } => io.start_receiving(conn),
                Event::Readable { .. } => frames(&io, conn, |back| {
                    assert!(back == body, "order was lost");
                    over = true;
                }),
                Event::Writable { .. } | Event::Timer { .. } => {}
                other => panic!("{other:?}"),
            }
            if over {
                return Turn::Done;
            }
            for _ in 0..50 {
                let mut slices = Vec::new();
                for _ in 0..step % 5 + 1 {
                    let len = [1, 17, 511, 512, 513, 3_000, 20_000, 0, 100][step % 9]
                        .min(whole.len() - queued);
                    slices.push(whole.slice(queued..queued + len));
                    queued += len;
                    step += 1;
                }
                let before = io.output_bytes(conn);
                io.send(conn, slices);
                assert!(io.output_bytes(conn) >= before);
            }
            if queued < whole.len() {
                io.timer(io.now().after_us(200), 0);
            }
            Turn::Rest
        })
    });
    vec![client, echo_server()]
}

pub(crate) fn many_connections_at_once(_: &Place) -> Vec<Boot<Message>> {
    const CONNECTIONS: u64 = 200;
    const ROUNDS: u64 = 5;
    let client = client(|io, addr| {
        let mut rounds: BTreeMap<ConnId, (u64, u64)> =
            (0..CONNECTIONS).map(|i| (io.connect(addr), (i, 0))).collect();
        assert_eq!(rounds.len() as u64, CONNECTIONS);
        let mut over = 0;
        Box::new(move |event| {
            match event {
                Event::Connected { conn } => {
                    io.start_receiving(conn);
                    io.send(conn, [frame(&pattern(rounds[&conn].0, 700))]);
                }
                Event::Readable { conn } => frames(&io, conn, |body| {
                    let (me, round) = rounds.get_mut(&conn).expect("ours");
                    assert_eq!(body, pattern(*me + *round * CONNECTIONS, 700), "connection {me}");
                    *round += 1;
                    if *round == ROUNDS {
                        over += 1;
                    } else {
                        io.send(conn, [frame(&pattern(*me + *round * CONNECTIONS, 700))]);
                    }
                }),
                other => panic!("{other:?}"),
            }
            if over == CONNECTIONS { Turn::Done } else { Turn::Rest }
        })
    });
    vec![client, echo_server()]
}

/// Pushes `total` bytes and counts what comes.
struct Flow {
    io: Io,
    sent: usize,
    got: Rc<Cell<usize>>,
}

impl Flow {
    const TOTAL: usize = 12 << 20;

    fn on(&mut self, conn: ConnId, event: &Event) {
        if let Event::Readable { .. } = event {
            let input = self.io.take(conn).expect("readable means bytes");
            let n = input.bytes().len();
            assert!(input.bytes().iter().all(|&b| b == 7));
            self.got.set(self.got.get() + n);
            self.io.put_back(conn, input, n, 0, false);
        }
        while self.sent < Self::TOTAL && !self.io.is_congested(conn) {
            self.io.send(conn, [Bytes::from_static(&[7; 50_000]), Bytes::from_static(&[7; 100])]);
            self.sent += 50_100;
        }
    }
    fn is_over(&self, conn: ConnId) -> bool {
        self.sent >= Self::TOTAL && self.got.get() == self.sent && self.io.output_bytes(conn) == 0
    }
}

pub(crate) fn both_directions_at_once(_: &Place) -> Vec<Boot<Message>> {
    // Both sides flood each other, as they may, over one connection: nobody waits for the other for
    // ever.
    fn side(io: Io) -> Flow {
        Flow { io, sent: 0, got: Rc::default() }
    }
    let one = core(|io, mesh| {
        let mut flow = side(io.clone());
        act(move |events| {
            if let Some((_, Message::Listening(addr))) = mesh.receive() {
                let _: SocketAddr = addr;
                io.connect(addr);
            }
            for event in events.drain(..) {
                match event {
                    Event::Connected { conn }
                    | Event::Readable { conn }
                    | Event::Writable { conn } => {
                        io.start_receiving(conn);
                        flow.on(conn, &event);
                        if flow.is_over(conn) {
                            io.timer(io.now(), 0);
                        }
                    }
                    Event::Timer { .. } => {}
                    Event::Closed { .. } => return Turn::Done,
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    let other = core(|io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        let mut flow = side(io.clone());
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. }
                    | Event::Readable { conn }
                    | Event::Writable { conn } => {
                        io.start_receiving(conn);
                        flow.on(conn, &event);
                        if flow.sent >= Flow::TOTAL && flow.got.get() == flow.sent {
                            // Closes when its output is with the peer.
                            io.close(conn, true);
                        }
                    }
                    Event::Closed { .. } => return Turn::Done,
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    vec![one, other]
}
