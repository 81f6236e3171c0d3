//! A gate counts what is under way and, once closed, tells when the last has left: stopping in one
//! way.

/// Closes once; `enter` fails after that; `is_drained` when closed and empty.
#[derive(Debug, Default)]
pub struct Gate {
    inside: usize,
    closed: bool,
}

impl Gate {
    /// False when the gate is closed.
    pub fn enter(&mut self) -> bool {
        if self.closed {
            return false;
        }
        self.inside += 1;
        true
    }
    pub fn leave(&mut self) {
        assert!(self.inside > 0, "gate left more often than entered");
        self.inside -= 1;
    }
    pub fn close(&mut self) {
        self.closed = true;
    }
    pub fn is_drained(&self) -> bool {
        self.closed && self.inside == 0
    }
}
