//! The number of a request for NATS: decimal digits in the subject its ack comes to.

/// Acks carry the request's number in so many digits at the end of their subject.
pub(crate) const DIGITS: usize = 10;

/// Patches the number into a frame at `at`.
pub(super) fn write(frame: &mut [u8], at: usize, number: i32) {
    let mut left = number;
    for place in frame[at..at + DIGITS].iter_mut().rev() {
        *place = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_all_their_digits() {
        let mut frame = b"PUB a b.0000000000 1".to_vec();
        write(&mut frame, 8, i32::MAX);
        assert_eq!(frame, b"PUB a b.2147483647 1");
        write(&mut frame, 8, 7);
        assert_eq!(frame, b"PUB a b.0000000007 1");
    }
}
