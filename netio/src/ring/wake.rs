//! Waking a parked ring from another thread: an eventfd whose read is always armed on the ring.
//!
//! The eventfd is written only when the core is parked, and once per park, so a busy core costs its
//! senders no system call.
use crate::seam::Wake;
use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering, fence},
};

#[derive(Debug)]
pub(crate) struct RingWake {
    parked: AtomicBool,
    eventfd: OwnedFd,
}

impl RingWake {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers. Blocking on purpose: the ring's read then waits for a count instead
        // of failing with EAGAIN.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        let eventfd = unsafe { OwnedFd::from_raw_fd(fd) };
        let parked = AtomicBool::new(false);
        Ok(Self { parked, eventfd })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

impl Wake for RingWake {
    fn wake(&self) {
        // Between the sender's push (before) and its look at the flag (after), see core::mesh.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::SeqCst) && self.parked.swap(false, Ordering::SeqCst) {
            let one = 1u64;
            // SAFETY: 8 valid bytes. It can only fail if the counter is full, and then the ring is
            // woken anyway.
            unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
        }
    }
    fn set_parked(&self, parked: bool) {
        self.parked.store(parked, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}
