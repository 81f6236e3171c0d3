//! How connections begin and end.
use crate::bed::{Message, Place, act, client, core, echo_server, frame, frames, pattern};
use bytes::Bytes;
use netio::{Boot, CloseReason, ConnId, CoreId, Event, Turn};
use std::{collections::BTreeSet, net::SocketAddr};

pub(crate) fn flushing_close_delivers_all(_: &Place) -> Vec<Boot<Message>> {
    const BYTES: usize = 3 << 20;
    let server = core(|io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. } => {
                        for piece in pattern(1, BYTES).chunks(100_000) {
                            io.send(conn, [Bytes::copy_from_slice(piece)]);
                        }
                        io.close(conn, true);
                        io.send(conn, [Bytes::from_static(b"after the close: never sent")]);
                    }
                    Event::Closed { why, .. } => {
                        assert_eq!(why, CloseReason::Local);
                        return Turn::Done;
                    }
                    Event::Writable { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    let reader = core(|io, mesh| {
        let mut all = Vec::new();
        act(move |events| {
            if let Some((_, Message::Listening(addr))) = mesh.receive() {
                io.connect(addr);
            }
            for event in events.drain(..) {
                match event {
                    Event::Connected { conn } => io.start_receiving(conn),
                    Event::Readable { conn } => {
                        let Some(input) = io.take(conn) else { continue };
                        all.extend_from_slice(input.bytes());
                        let n = input.bytes().len();
                        io.put_back(conn, input, n, 0, false);
                    }
                    Event::Closed { conn, why } => {
                        assert_eq!(why, CloseReason::Peer);
                        // What arrived together with the end can still be taken.
                        if let Some(input) = io.take(conn) {
                            all.extend_from_slice(input.bytes());
                        }
                        assert!(all == pattern(1, BYTES), "{} of {BYTES} bytes", all.len());
                        return Turn::Done;
                    }
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    vec![reader, server]
}

pub(crate) fn a_hard_close_ends_both_sides(_: &Place) -> Vec<Boot<Message>> {
    let server = core(|io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. } => io.start_receiving(conn),
                    Event::Readable { conn } => {
                        io.send(conn, [Bytes::from(vec![1; 8 << 20])]);
                        io.close(conn, false);
                        io.close(conn, true);
                        assert_eq!(io.output_bytes(conn), 0);
                    }
                    Event::Closed { conn, why } => {
                        assert_eq!(why, CloseReason::Local);
                        io.close(conn, false);
                        return Turn::Done;
                    }
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    let peer = core(|io, mesh| {
        act(move |events| {
            if let Some((_, Message::Listening(addr))) = mesh.receive() {
                io.connect(addr);
            }
            for event in events.drain(..) {
                match event {
                    Event::Connected { conn } => {
                        io.start_receiving(conn);
                        io.send(conn, [Bytes::from_static(b"hello")]);
                    }
                    Event::Readable { conn } => {
                        let Some(input) = io.take(conn) else { continue };
                        let n = input.bytes().len();
                        io.put_back(conn, input, n, 0, false);
                    }
                    Event::Closed { conn, why } => {
                        assert_eq!(why, CloseReason::Peer);
                        assert_eq!(io.peer(conn).is_some(), io.peer(conn).is_some());
                        return Turn::Done;
                    }
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    vec![peer, server]
}

pub(crate) fn nobody_listens(_: &Place) -> Vec<Boot<Message>> {
    vec![core(|io, _| {
        // A port that was just bound and given up.
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = io.local_addr(listener);
        assert_ne!(addr.port(), 0);
        io.close_listener(listener);
        io.timer(io.now().after_ms(20), 0);
        let mut conn = None;
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Timer { .. } => {
                        let c = io.connect(addr);
                        // Queued on a connection that never stands: gone with it.
                        io.send(c, [Bytes::from_static(b"x")]);
                        conn = Some(c);
                    }
                    Event::Closed { conn: c, why } => {
                        assert_eq!(Some(c), conn);
                        assert_eq!(why, CloseReason::Error(111), "ECONNREFUSED");
                        return Turn::Done;
                    }
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    })]
}

pub(crate) fn late_events_never_reach_the_next_connection(_: &Place) -> Vec<Boot<Message>> {
    // Connections come and go in the same slots, closed by either side with bytes and operations
    // still under way.
    const ROUNDS: u64 = 150;
    let server = core(|io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        let (mut live, mut ever) = (BTreeSet::new(), BTreeSet::new());
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. } => {
                        assert!(ever.insert(conn), "{conn:?} was seen before");
                        live.insert(conn);
                        io.start_receiving(conn);
                    }
                    Event::Readable { conn } => {
                        assert!(live.contains(&conn), "{conn:?} is gone");
                        let mut replies = Vec::new();
                        frames(&io, conn, |body| replies.push(frame(body)));
                        io.send(conn, replies);
                        if ever.len() % 3 == 0 {
                            io.close(conn, ever.len() % 2 == 0);
                        }
                    }
                    Event::Writable { conn } => assert!(live.contains(&conn)),
                    Event::Closed { conn, .. } => {
                        assert!(live.remove(&conn), "{conn:?} ended twice")
                    }
                    other => panic!("{other:?}"),
                }
            }
            match mesh.receive() {
                Some((_, Message::Over)) => Turn::Done,
                Some(other) => panic!("{other:?}"),
                None => Turn::Rest,
            }
        })
    });
    let comes_and_goes = client(|io, addr: SocketAddr| {
        let mut live: Option<ConnId> = Some(io.connect(addr));
        let mut past: Vec<ConnId> = Vec::new();
        let mut round = 0u64;
        let body = move |round: u64| pattern(round, [5, 900, 70_000][(round % 3) as usize]);
        Box::new(move |event| {
            let mut leave = false;
            match event {
                Event::Connected { conn } => {
                    assert_eq!(Some(conn), live);
                    io.start_receiving(conn);
                    io.send(conn, [frame(&body(round))]);
                    // Some do not wait for the answer.
                    leave = round % 5 == 1;
                }
                Event::Readable { conn } => {
                    assert_eq!(Some(conn), live, "bytes for a connection that is gone");
                    frames(&io, conn, |back| {
                        assert!(back == body(round), "bytes of another connection");
                        leave = true;
                    });
                }
                Event::Closed { conn, .. } => {
                    if live == Some(conn) {
                        live = None;
                    } else {
                        assert!(past.contains(&conn));
                    }
                }
                Event::Writable { .. } => {}
                other => panic!("{other:?}"),
            }
            if leave && let Some(conn) = live.take() {
                io.close(conn, round.is_multiple_of(2));
                past.push(conn);
            }
            if live.is_none() {
                round += 1;
                if round == ROUNDS {
                    return Turn::Done;
                }
                // The old ids name nothing.
                for &conn in past.iter().rev().skip(1).take(3) {
                    io.send(conn, [Bytes::from_static(b"stray")]);
                    io.start_receiving(conn);
                }
                live = Some(io.connect(addr));
            }
            Turn::Rest
        })
    });
    vec![comes_and_goes, server]
}

pub(crate) fn a_closed_listener_refuses_and_connections_stay(_: &Place) -> Vec<Boot<Message>> {
    let server = core(|io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. } => {
                        io.start_receiving(conn);
                        io.close_listener(listener);
                        io.close_listener(listener);
                        // Told after it has had time to close.
                        io.timer(io.now().after_ms(20), 0);
                    }
                    Event::Timer { .. } => mesh.send(CoreId(0), Message::Number(0)).unwrap(),
                    Event::Readable { conn } => {
                        let mut replies = Vec::new();
                        frames(&io, conn, |body| replies.push(frame(body)));
                        io.send(conn, replies);
                    }
                    Event::Closed { .. } => return Turn::Done,
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    let peer = core(|io, mesh| {
        let (mut addr, mut first, mut second) = (None, None, None);
        act(move |events| {
            while let Some((_, message)) = mesh.receive() {
                match message {
                    Message::Listening(a) => {
                        addr = Some(a);
                        first = Some(io.connect(a));
                    }
                    Message::Number(_) => second = addr.map(|a| io.connect(a)),
                    Message::Over => panic!("{message:?}"),
                }
            }
            for event in events.drain(..) {
                match event {
                    Event::Connected { conn } => assert_eq!(Some(conn), first),
                    Event::Closed { conn, why } => {
                        assert_eq!((Some(conn), why), (second, CloseReason::Error(111)));
                        let Some(first) = first else { panic!() };
                        io.start_receiving(first);
                        io.send(first, [frame(b"still here")]);
                    }
                    Event::Readable { conn } => {
                        let mut over = false;
                        frames(&io, conn, |body| over = body == b"still here");
                        if over {
                            return Turn::Done;
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            Turn::Rest
        })
    });
    vec![peer, server]
}

pub(crate) fn giving_up_a_connect(_: &Place) -> Vec<Boot<Message>> {
    let gives_up = client(|io, addr| {
        let mut open: BTreeSet<ConnId> = (0..20).map(|_| io.connect(addr)).collect();
        for &conn in &open {
            io.close(conn, false);
        }
        let last = io.connect(addr);
        Box::new(move |event| {
            match event {
                Event::Closed { conn, why } => {
                    assert_eq!(why, CloseReason::Local);
                    assert!(open.remove(&conn));
                }
                Event::Connected { conn } => {
                    assert_eq!(conn, last, "only the one that was not given up");
                    io.start_receiving(conn);
                    io.send(conn, [frame(b"x")]);
                }
                Event::Readable { conn } => {
                    assert_eq!(conn, last);
                    let mut over = false;
                    frames(&io, conn, |body| over = body == b"x");
                    if over {
                        assert!(open.is_empty());
                        return Turn::Done;
                    }
                }
                other => panic!("{other:?}"),
            }
            Turn::Rest
        })
    });
    vec![gives_up, echo_server()]
}

pub(crate) fn close_while_sending_and_receiving(_: &Place) -> Vec<Boot<Message>> {
    // Closed hard with a large send and a large receive in flight; the memory of both stays whole,
    // and the core goes on.
    let closes = client(|io, addr| {
        let mut conn = io.connect(addr);
        let mut round = 0;
        Box::new(move |event| {
            match event {
                Event::Connected { conn } => {
                    io.start_receiving(conn);
                    io.send(conn, [frame(&pattern(2, 6 << 20))]);
                }
                Event::Readable { conn } => {
                    let input = io.take(conn).expect("readable means bytes");
                    // The large frame is being received in one shot.
                    io.put_back(conn, input, 0, 4 + (6 << 20), false);
                    io.timer(io.now().after_us(300), round);
                }
                Event::Timer { token } if token == round => io.close(conn, false),
                Event::Timer { .. } | Event::Writable { .. } => {}
                Event::Closed { conn: c, .. } => {
                    assert_eq!(c, conn);
                    round += 1;
                    if round == 12 {
                        return Turn::Done;
                    }
                    conn = io.connect(addr);
                }
                other => panic!("{other:?}"),
            }
            Turn::Rest
        })
    });
    vec![closes, echo_server()]
}

const ANSWER_BYTES: usize = 200_000;

/// A core that answers the first bytes of a connection, reads no others, and closes in order.
/// `check` sees its counters when core 0 says that it is over.
fn closing_server(check: fn(netio::stats::Stats)) -> Boot<Message> {
    core(move |io, mesh| {
        let listener = io.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        mesh.send(CoreId(0), Message::Listening(io.local_addr(listener))).unwrap();
        let mut ends = 0;
        act(move |events| {
            for event in events.drain(..) {
                match event {
                    Event::Accepted { conn, .. } => io.start_receiving(conn),
                    Event::Readable { conn } => {
                        io.send(conn, [Bytes::from(pattern(9, ANSWER_BYTES))]);
                        io.close(conn, true);
                        io.close(conn, true);
                    }
                    Event::Closed { conn, why } => {
                        assert_eq!(why, CloseReason::Local);
                        ends += 1;
                        // The input of the last turn, and nothing that came later.
                        io.send(conn, [Bytes::from_static(b"after the end: never sent")]);
                        io.start_receiving(conn);
                    }
                    other => panic!("{other:?}"),
                }
            }
            match mesh.receive() {
                Some((_, Message::Over)) => {
                    assert!(ends > 0);
                    check(io.stats());
                    Turn::Done
                }
                Some(other) => panic!("{other:?}"),
                None => Turn::Rest,
            }
        })
    })
}

pub(crate) fn a_flushing_close_is_no_reset_to_who_sends_on(_: &Place) -> Vec<Boot<Message>> {
    const ROUNDS: u64 = 8;
    let sends_on = client(|io, addr| {
        let (mut round, mut back) = (0, Vec::new());
        let mut conn = io.connect(addr);
        io.outlive_peer(conn);
        Box::new(move |event| {
            match event {
                Event::Connected { .. } => {
                    io.start_receiving(conn);
                    // In every second round some of it still waits in the server's kernel when that
                    // closes.
                    let first = if round % 2 == 0 { 10 } else { 300_000 };
                    io.send(conn, [Bytes::from(vec![3; first])]);
                    io.timer(io.now().after_us(300), round);
                }
                Event::Timer { token } if token == round => {
                    io.send(conn, [Bytes::from_static(b"and on, also behind the end")]);
                    io.timer(io.now().after_us(300), round);
                }
                Event::Readable { .. } => {
                    let input = io.take(conn).expect("readable means bytes");
                    back.extend_from_slice(input.bytes());
                    let n = input.bytes().len();
                    io.put_back(conn, input, n, 0, false);
                }
                // Once more at the end of the stream: a reset would be told instead.
                Event::Finished { .. } => {
                    if let Some(input) = io.take(conn) {
                        back.extend_from_slice(input.bytes());
                        let n = input.bytes().len();
                        io.put_back(conn, input, n, 0, false);
                    }
                    assert!(
                        back == pattern(9, ANSWER_BYTES),
                        "{} of {ANSWER_BYTES} bytes",
                        back.len()
                    );
                    back.clear();
                    io.close(conn, true);
                    round += 1;
                    if round == ROUNDS {
                        return Turn::Done;
                    }
                    conn = io.connect(addr);
                    io.outlive_peer(conn);
                }
                Event::Closed { conn: ended, why } => {
                    assert_ne!(ended, conn, "reset after {} bytes: {why:?}", back.len());
                }
                Event::Timer { .. } | Event::Writable { .. } => {}
                other => panic!("{other:?}"),
            }
            Turn::Rest
        })
    });
    vec![sends_on, closing_server(|_| ())]
}

/// A peer that has had the end of the stream and stays. It sends `each` again and again, until that
/// is refused.
fn stays(each: usize, check: fn(netio::stats::Stats)) -> Vec<Boot<Message>> {
    let stays = client(move |io, addr| {
        let conn = io.connect(addr);
        io.outlive_peer(conn);
        let mut finished = false;
        Box::new(move |event| {
            match event {
                Event::Connected { .. } => {
                    io.start_receiving(conn);
                    io.send(conn, [Bytes::from_static(b"hello")]);
                }
                Event::Readable { .. } => {
                    let input = io.take(conn).expect("readable means bytes");
                    let n = input.bytes().len();
                    io.put_back(conn, input, n, 0, false);
                }
                Event::Finished { .. } => {
                    finished = true;
                    io.timer(io.now().after_ms(1), 0);
                }
                Event::Timer { .. } => {
                    if !io.is_congested(conn) {
                        io.send(conn, [Bytes::from(vec![4; each])]);
                    }
                    io.timer(io.now().after_ms(1), 0);
                }
                Event::Closed { why, .. } => {
                    assert!(finished, "{why:?} before the end");
                    return Turn::Done;
                }
                Event::Writable { .. } => {}
                other => panic!("{other:?}"),
            }
            Turn::Rest
        })
    });
    vec![stays, closing_server(check)]
}

pub(crate) fn a_peer_that_never_closes_is_closed(_: &Place) -> Vec<Boot<Message>> {
    stays(1, |_| ())
}

pub(crate) fn a_peer_that_floods_a_closed_connection_is_closed(_: &Place) -> Vec<Boot<Message>> {
    stays(1 << 20, |stats| {
        assert!(
            stats.received_bytes < 3 << 19,
            "{} bytes taken of who should go",
            stats.received_bytes
        );
    })
}
