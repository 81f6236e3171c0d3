//! Provided receive buffers: a ring of equal buffers from which the kernel takes one for each piece
//! that arrives.
//!
//! A buffer that was handed up is a [`Lease`]; dropping it puts the buffer back into the ring. The
//! memory lives until the last lease is dropped, also after the ring.
use io_uring::{IoUring, types::BufRingEntry};
use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::atomic::{AtomicU16, Ordering},
};

/// The one buffer group of a ring.
pub(crate) const GROUP: u16 = 0;

/// Anonymous pages.
#[derive(Debug)]
struct Pages {
    start: *mut u8,
    bytes: usize,
}

impl Pages {
    fn map(bytes: usize) -> io::Result<Self> {
        // SAFETY: a new anonymous mapping, no address asked for.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self { start: start.cast(), bytes })
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our mapping, unmapped once.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    entries: Pages,
    memory: Pages,
    count: u16,
    each_bytes: u32,
    tail: Cell<u16>,
    leased: Cell<u16>,
}

impl Pool {
    /// `count` is a power of two.
    pub(crate) fn new(count: u16, each_bytes: u32) -> io::Result<Rc<Self>> {
        assert!(count.is_power_of_two(), "{count} receive buffers");
        let entries = Pages::map(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Pages::map(usize::from(count) * each_bytes as usize)?;
        let pool = Self {
            entries,
            memory,
            count,
            each_bytes,
            tail: Cell::new(0),
            leased: Cell::new(count),
        };
        (0..count).for_each(|id| pool.give_back(id));
        Ok(Rc::new(pool))
    }

    /// Makes the pool known to the kernel. It must outlive the ring's last receive: the ring keeps
    /// an `Rc` of it.
    pub(crate) fn register(&self, ring: &IoUring) -> io::Result<()> {
        // SAFETY: the entries are page-aligned, `count` long, and live as long as the ring (see
        // above).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                self.entries.start as u64,
                self.count,
                GROUP,
                0,
            )
        }
    }

    /// Buffers that are in the ring, or in completions not yet reaped.
    pub(crate) fn free(&self) -> u16 {
        self.count - self.leased.get()
    }

    /// A buffer that the kernel has filled with `len` bytes.
    pub(crate) fn lease(self: &Rc<Self>, id: u16, len: u32) -> Lease {
        assert!(
            id < self.count && len <= self.each_bytes,
            "buffer {id} of {}, {len} bytes of {}",
            self.count,
            self.each_bytes
        );
        self.leased.set(self.leased.get() + 1);
        Lease { pool: self.clone(), id, len }
    }

    fn address(&self, id: u16) -> *mut u8 {
        // SAFETY: id < count, so the address lies in the mapping.
        unsafe { self.memory.start.add(usize::from(id) * self.each_bytes as usize) }
    }

    fn give_back(&self, id: u16) {
        let tail = self.tail.get();
        let base: *mut BufRingEntry = self.entries.start.cast();
        // SAFETY: the index is masked to the ring; the kernel reads an entry only after the tail
        // has passed it, and there are as many entries as buffers, so this one is not in use. Field
        // by field, as entry 0 overlays the tail.
        unsafe {
            let entry = &mut *base.add(usize::from(tail & (self.count - 1)));
            entry.set_addr(self.address(id) as u64);
            entry.set_len(self.each_bytes);
            entry.set_bid(id);
        }
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: the tail is an aligned u16 in the mapping; the kernel reads it concurrently,
        // hence atomic with release.
        unsafe {
            AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()).store(tail, Ordering::Release)
        };
        self.leased.set(self.leased.get() - 1);
    }
}

/// A received piece in a provided buffer.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    id: u16,
    len: u32,
}

impl Lease {
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer is ours until it is given back; `len` is within it (asserted in
        // `lease`); the mapping is zeroed at first, so all of it is initialized.
        unsafe { std::slice::from_raw_parts(self.pool.address(self.id), self.len as usize) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}

/// A received buffer of the driver; dropping it gives the memory back.
#[derive(Debug)]
pub struct Provided(Memory);

#[derive(Debug)]
enum Memory {
    Owned(Vec<u8>),
    Lease(Lease),
}

impl Provided {
    /// A buffer of ordinary memory.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Provided(Memory::Owned(bytes))
    }
    /// A buffer of a ring's pool.
    pub(crate) fn from_lease(lease: Lease) -> Self {
        Provided(Memory::Lease(lease))
    }
}

impl std::ops::Deref for Provided {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Owned(bytes) => bytes,
            Memory::Lease(lease) => lease.bytes(),
        }
    }
}
