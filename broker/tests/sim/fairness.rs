//! A connection beside many that always have more to do. Counted are turns of the core and
//! requests, not time.
use crate::bed::{Bed, Conn, How, TurnNote, seeds};
use broker::limits::{TURN_REQUESTS, TURNS_MIN};
use std::sync::{Arc, Mutex};
use wire::{ApiKey, api_versions::ApiVersionsRequest, metadata::MetadataRequest};

const BUSY: usize = 60;
const PIPELINED: usize = 2_000;

/// A core whose steps take longer than a piece travels: in each, all that clients sent has arrived.
fn how(seed: u64, turns: &Arc<Mutex<Vec<TurnNote>>>) -> How {
    let mut how = How::new(seed, 1);
    how.turns = Some(turns.clone());
    how.sim.step_ns = (200_000, 400_000);
    (how.sim.net.slow, how.sim.disk.slow) = (0.0, 0.0);
    how
}

fn served(note: &TurnNote, key: ApiKey) -> usize {
    note.requests.get(&key.code()).copied().unwrap_or(0) as usize
}

/// Connections, each with many requests on their way at once.
fn busy(bed: &mut Bed) -> Vec<(Conn, Vec<i32>)> {
    let mut busy: Vec<(Conn, Vec<i32>)> = (0..BUSY).map(|_| (bed.connect(0), vec![])).collect();
    bed.sim.run_for(20_000_000);
    for (conn, ids) in &mut busy {
        let request = MetadataRequest { topics: None, ..Default::default() };
        ids.extend((0..PIPELINED).map(|_| conn.send(&request, 5)));
    }
    busy
}

#[test]
fn a_new_connection_waits_for_one_turn_of_each_at_most() {
    for seed in seeds(3) {
        let turns = Arc::default();
        let mut bed = Bed::start(how(seed, &turns));
        let mut busy = busy(&mut bed);
        let first = turns.lock().unwrap().len();
        // The core is in the middle of it when somebody comes.
        bed.sim.run_for(2_000_000);
        let came = turns.lock().unwrap().len();
        let mut new = bed.connect(0);
        bed.call(&mut new, &ApiVersionsRequest::default(), 1);
        let notes = turns.lock().unwrap().clone();
        for pair in notes[first..].windows(2) {
            let requests = served(&pair[1], ApiKey::Metadata) - served(&pair[0], ApiKey::Metadata);
            let events = pair[1].events;
            let most = (events + events.max(TURNS_MIN)) * TURN_REQUESTS;
            assert!(requests <= most, "{requests} requests in a turn with {events} events");
        }
        let accepted = came + notes[came..].iter().position(|n| n.accepted == 1).unwrap();
        let answered = notes.iter().position(|n| served(n, ApiKey::ApiVersions) == 1).unwrap();
        // Its request comes a turn or two after itself.
        assert!(answered - accepted <= 3, "accepted in turn {accepted}, answered in {answered}");
        let before = served(&notes[accepted - 1], ApiKey::Metadata);
        let meanwhile = served(&notes[answered], ApiKey::Metadata) - before;
        assert!(meanwhile <= BUSY * TURN_REQUESTS, "{meanwhile} requests");
        assert!(
            before + meanwhile < BUSY * PIPELINED / 2,
            "nobody was busy any more: {before} and {meanwhile} requests"
        );
        // And nobody is forgotten.
        for (conn, ids) in &mut busy {
            for id in ids {
                let frame = bed.frame(conn).unwrap();
                assert_eq!(frame[..4], id.to_be_bytes());
            }
        }
    }
}

#[test]
fn busy_connections_get_on_alike() {
    let turns = Arc::default();
    let mut bed = Bed::start(how(7, &turns));
    let mut busy = busy(&mut bed);
    // In the middle of it: a third or so is answered.
    let all = BUSY * PIPELINED;
    let some = bed.sim.run_until(crate::bed::PATIENCE_NS, |_| {
        let notes = turns.lock().unwrap();
        notes.last().map_or(0, |n| served(n, ApiKey::Metadata)) > all / 3
    });
    assert!(some);
    bed.sim.run_for(1_000_000);
    let answered: Vec<usize> =
        busy.iter_mut().map(|(conn, _)| std::iter::from_fn(|| conn.poll()).count()).collect();
    let (least, most) = (answered.iter().min().unwrap(), answered.iter().max().unwrap());
    assert!(most - least <= 4 * TURN_REQUESTS && *most < PIPELINED, "{answered:?}");
}
