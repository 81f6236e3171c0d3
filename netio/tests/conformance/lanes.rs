//! The mesh between cores.
use crate::bed::{Message, Place, act, core};
use netio::{Boot, CoreId, Event, Turn};

pub(crate) fn messages_arrive_in_order_from_all(_: &Place) -> Vec<Boot<Message>> {
    const EACH: u64 = 2_000;
    const CORES: u16 = 3;
    let boot = || {
        core(|_io, mesh| {
            assert_eq!(mesh.cores(), CORES);
            let me = mesh.me();
            let mut sent = [0u64; CORES as usize];
            let mut got = [0u64; CORES as usize];
            act(move |_| {
                let mut full = false;
                for (to, sent) in sent.iter_mut().enumerate() {
                    while *sent < EACH {
                        match mesh.send(CoreId(to as u16), Message::Number(*sent)) {
                            Ok(()) => *sent += 1,
                            Err(back) => {
                                assert_eq!(back, Message::Number(*sent), "refused and given back");
                                full = true;
                                break;
                            }
                        }
                    }
                }
                let mut received = 0;
                while let Some((from, message)) = mesh.receive() {
                    let from = from.expect("nobody outside sends");
                    assert_eq!(
                        message,
                        Message::Number(got[usize::from(from.0)]),
                        "from {from:?} to {me:?}"
                    );
                    got[usize::from(from.0)] += 1;
                    received += 1;
                    if received == 100 {
                        return Turn::Again;
                    }
                }
                if got.iter().all(|&n| n == EACH) && sent.iter().all(|&n| n == EACH) {
                    Turn::Done
                } else if full {
                    Turn::Again
                } else {
                    Turn::Rest
                }
            })
        })
    };
    (0..CORES).map(|_| boot()).collect()
}

pub(crate) fn a_full_lane_gives_the_message_back(_: &Place) -> Vec<Boot<Message>> {
    vec![core(|_io, mesh| {
        act(move |_| {
            for round in 0..3 {
                let mut sent = 0;
                while mesh.send(mesh.me(), Message::Number(sent)).is_ok() {
                    sent += 1;
                }
                assert_eq!(sent, 64, "round {round}: as many as the options say");
                for n in 0..sent {
                    assert_eq!(mesh.receive(), Some((Some(CoreId(0)), Message::Number(n))));
                }
                assert_eq!(mesh.receive(), None);
            }
            Turn::Done
        })
    })]
}

pub(crate) fn a_resting_core_is_woken(_: &Place) -> Vec<Boot<Message>> {
    const ROUNDS: u64 = 60;
    // Core 0 lets core 1 come to rest, then sends; the answer finds core 0 at rest, too.
    let asks = core(|io, mesh| {
        let mut round = 0;
        io.timer(io.now().after_ms(2), 0);
        act(move |events| {
            for event in events.drain(..) {
                let Event::Timer { .. } = event else { panic!("{event:?}") };
                mesh.send(CoreId(1), Message::Number(round)).unwrap();
            }
            if let Some((from, message)) = mesh.receive() {
                assert_eq!((from, message), (Some(CoreId(1)), Message::Number(round + 1_000)));
                round += 1;
                if round == ROUNDS {
                    mesh.send(CoreId(1), Message::Over).unwrap();
                    return Turn::Done;
                }
                // From no pause at all to one that outlasts any spinning.
                io.timer(io.now().after_us(round % 20 * 150), 0);
            }
            Turn::Rest
        })
    });
    let answers = core(|_io, mesh| {
        act(move |events| {
            assert!(events.is_empty());
            while let Some((_, message)) = mesh.receive() {
                match message {
                    Message::Number(n) => mesh.send(CoreId(0), Message::Number(n + 1_000)).unwrap(),
                    Message::Over => return Turn::Done,
                    Message::Listening(_) => panic!("{message:?}"),
                }
            }
            Turn::Rest
        })
    });
    vec![asks, answers]
}

pub(crate) fn an_ended_core_takes_no_messages(_: &Place) -> Vec<Boot<Message>> {
    // A core that ended takes no more messages.
    let first = core(|_io, mesh| {
        act(move |_| match mesh.receive() {
            Some((_, Message::Over)) => Turn::Done,
            _ => Turn::Rest,
        })
    });
    let second = core(|io, mesh| {
        mesh.send(CoreId(0), Message::Over).unwrap();
        io.timer(io.now().after_ms(1), 0);
        let mut tries = 0;
        act(move |events| {
            for _ in events.drain(..) {
                tries += 1;
                match mesh.send(CoreId(0), Message::Number(tries)) {
                    Err(back) => {
                        assert_eq!(back, Message::Number(tries));
                        return Turn::Done;
                    }
                    // It may still be on its way out.
                    Ok(()) => _ = io.timer(io.now().after_ms(1), 0),
                }
            }
            Turn::Rest
        })
    });
    vec![first, second]
}
