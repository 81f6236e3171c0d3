//! What an answer may take of a core: memory that follows the bytes received, or parts that leave
//! one after the other.
//!
//! * [`small`]  the largest answers that few bytes can ask for.
//! * [`every`]  every array of every API in every version, as long as a frame allows.
//! * [`others`] how long others wait meanwhile, measured on a running broker.
//! * [`long`]   long answers that are asked for in earnest: whole, in order, in little memory,
//!   beside others.
#![allow(clippy::unwrap_used)]

mod crowd;
mod every;
mod long;
mod meter;
mod others;
mod small;

#[path = "../sim/bed.rs"]
#[allow(dead_code, unused_imports)]
mod bed;
#[path = "../process/host.rs"]
#[allow(dead_code)]
mod host;
#[path = "../sim/kafka.rs"]
#[allow(dead_code)]
mod kafka;
#[path = "../sim/requests.rs"]
#[allow(dead_code)]
mod requests;

use bed::{Bed, Conn, SECOND_NS};
use meter::Turn;

/// What became of a request.
#[derive(Debug)]
struct Outcome {
    /// Of the frame that answers it; none if the connection ended.
    answer: Option<usize>,
    /// The most that a turn took.
    turn: Turn,
    /// The most that was held between turns, above what there was before.
    held: usize,
    /// What was still held when the answer was there, above what there was before.
    lasting: usize,
    turns: usize,
    /// The most bytes that one turn sent.
    sent: u64,
}

impl Outcome {
    /// The most that a turn took for the request alone. What lasts may have been made in any of its
    /// turns.
    fn transient(&self) -> usize {
        self.turn.returned.max(self.turn.bytes.saturating_sub(self.lasting))
    }
}

/// Sends a frame, and reads the answer without keeping it.
fn weigh(bed: &mut Bed, conn: &mut Conn, frame: Vec<u8>, patience_ns: u64) -> Outcome {
    let notes = bed.how.turns.clone().unwrap();
    notes.lock().unwrap().clear();
    meter::take_worst();
    let before = meter::held();
    conn.client.send(frame);
    let (mut held, mut arrived, mut size) = (0, 0, None::<usize>);
    let mut begun = Vec::new();
    bed.sim.run_until(patience_ns, |_| {
        held = held.max(meter::held().saturating_sub(before));
        let came = conn.client.take();
        arrived += came.len();
        if size.is_none() {
            begun.extend_from_slice(&came[..came.len().min(4)]);
            size = begun.first_chunk().map(|s| i32::from_be_bytes(*s) as usize + 4);
        }
        size.is_some_and(|size| arrived >= size) || conn.client.ended().is_some()
    });
    let lasting = meter::held().saturating_sub(before);
    let notes = std::mem::take(&mut *notes.lock().unwrap());
    let sent = notes.windows(2).map(|n| n[1].sent_bytes.saturating_sub(n[0].sent_bytes));
    Outcome {
        answer: size.filter(|&size| arrived == size),
        turn: meter::take_worst(),
        held,
        lasting,
        turns: notes.len(),
        sent: sent.max().unwrap_or(0),
    }
}

/// One core, or two behind one port, whose turns are weighed.
fn modes(seed: u64) -> [bed::How; 2] {
    [bed::How::new(seed, 1), bed::How::new(seed, 2).single_port()].map(|mut how| {
        how.turns = Some(std::sync::Arc::default());
        how.around_turn = Some(meter::around);
        how
    })
}

const PATIENCE_NS: u64 = 60 * SECOND_NS;
