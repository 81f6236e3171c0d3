//! Memory for O_DIRECT and its ownership.
//!
//! [`AlignedBuf`] is a plain owned buffer. [`ArenaBuf`] is the writable tail of a large chunk: what
//! has been written is split off as immutable [`Bytes`] without a copy, so that a WAL group is at
//! once the disk's input and the tail cache.
pub(crate) mod provided;

pub use provided::Provided;

use bytes::Bytes;
use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    fmt,
    ptr::NonNull,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Alignment of memory, length and offset of every direct read and write.
pub const BLOCK: usize = 4096;

/// `bytes` rounded up to a multiple of [`BLOCK`].
const fn blocks(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK)
}

/// Size and alignment of a huge page, as far as this machine has them.
const HUGE: usize = 2 << 20;

/// Page-aligned memory of a fixed size, all of it initialized: the one owner of a raw allocation
/// here.
///
/// From [`HUGE`] on it is mapped by itself, on huge pages where the system has some to give: a
/// large chunk then costs two page faults instead of a thousand (each a round trip to the
/// hypervisor on a virtual machine), and the kernel pins a few pages for a direct write instead of
/// hundreds.
struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: Memory owns its allocation like a Box<[u8]>; the pointer is never shared except through
// its owner.
unsafe impl Send for Memory {}
// SAFETY: as above; shared access goes through `&self` methods that only read.
unsafe impl Sync for Memory {}

impl Memory {
    fn layout(bytes: usize) -> Layout {
        // At least one block, so that an empty buffer needs no special case.
        Layout::from_size_align(bytes.max(BLOCK), BLOCK).expect("size below isize::MAX")
    }
    fn zeroed(bytes: usize) -> Self {
        if bytes >= HUGE {
            return Self::mapped(bytes);
        }
        let layout = Self::layout(bytes);
        // SAFETY: the layout's size is never 0.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, bytes }
    }

    /// Fresh anonymous memory, which the kernel gives out zeroed, beginning on a huge page.
    fn mapped(bytes: usize) -> Self {
        let reserved = bytes + HUGE;
        // SAFETY: a new private mapping touches no memory that is there.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if map == libc::MAP_FAILED {
            handle_alloc_error(Self::layout(bytes));
        }
        let map = map.cast::<u8>();
        let skip = map.addr().next_multiple_of(HUGE) - map.addr();
        let pages = bytes.next_multiple_of(BLOCK);
        // SAFETY: skip is below HUGE, so start..start + pages lies in the mapping; what is unmapped
        // lies in it beside that.
        let start = unsafe {
            let start = map.add(skip);
            if skip > 0 {
                libc::munmap(map.cast(), skip);
            }
            if reserved - skip > pages {
                libc::munmap(start.add(pages).cast(), reserved - skip - pages);
            }
            // A wish: without huge pages it is the same memory.
            libc::madvise(start.cast(), pages, libc::MADV_HUGEPAGE);
            start
        };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(Self::layout(bytes)) };
        Self { start, bytes }
    }

    /// Has the kernel give the pages now. A wish: where it can't (before Linux 5.14), they come
    /// when they are touched.
    fn populate(&self) {
        // SAFETY: memory that is ours, of this size; its content stays.
        unsafe {
            libc::madvise(
                self.start.as_ptr().cast(),
                self.bytes.next_multiple_of(BLOCK),
                libc::MADV_POPULATE_WRITE,
            )
        };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.bytes >= HUGE {
            // SAFETY: exactly the mapping that `mapped` left, unmapped once.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes.next_multiple_of(BLOCK)) };
            return;
        }
        // SAFETY: allocated by `zeroed` with the same layout, and dropped once.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.bytes)) }
    }
}

/// Owned memory, aligned to [`BLOCK`], of a length that is a multiple of [`BLOCK`]. Zeroed when
/// made.
pub struct AlignedBuf(Memory);

impl AlignedBuf {
    /// `bytes` is rounded up to a multiple of [`BLOCK`].
    pub fn zeroed(bytes: usize) -> Self {
        Self(Memory::zeroed(blocks(bytes)))
    }
    pub fn len(&self) -> usize {
        self.0.bytes
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Makes it immutable and shareable without a copy.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}
impl std::ops::Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the memory is initialized (zeroed when made), owned, and `bytes` long.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.bytes) }
    }
}
impl std::ops::DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.bytes) }
    }
}
impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len()).finish()
    }
}

/// A pool of chunks of one size; a chunk returns to it when the last [`Bytes`] of it is dropped, on
/// whichever core.
#[derive(Clone, Debug)]
pub struct Arena {
    shared: Arc<Shared>,
}

struct Shared {
    chunk_bytes: usize,
    keep: usize,
    free: Mutex<Vec<Memory>>,
    alive: AtomicUsize,
    /// A chunk is being made ahead.
    making: AtomicBool,
}

impl Shared {
    fn free(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Memory of another chunk.
    fn fresh(&self) -> Memory {
        self.alive.fetch_add(self.chunk_bytes, Ordering::Relaxed);
        Memory::zeroed(self.chunk_bytes)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("chunk_bytes", &self.chunk_bytes)
            .field("alive", &self.alive)
            .finish()
    }
}

impl Arena {
    /// Chunks of `chunk_bytes` (multiple of [`BLOCK`]); up to `keep` free chunks are kept, more are
    /// given back to the system at once. See [`Self::trim`].
    pub fn new(chunk_bytes: usize, keep: usize) -> Self {
        assert!(
            chunk_bytes > 0 && chunk_bytes.is_multiple_of(BLOCK),
            "chunk of {chunk_bytes} bytes is not a multiple of {BLOCK}"
        );
        let shared = Shared {
            chunk_bytes,
            keep,
            free: Mutex::new(Vec::new()),
            alive: AtomicUsize::new(0),
            making: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }
    pub fn chunk_bytes(&self) -> usize {
        self.shared.chunk_bytes
    }
    /// A writable buffer over a whole chunk.
    pub fn chunk(&self) -> ArenaBuf {
        let recycled = self.shared.free().pop();
        let memory = recycled.unwrap_or_else(|| self.shared.fresh());
        ArenaBuf {
            chunk: Arc::new(Chunk { memory: Some(memory), arena: self.shared.clone() }),
            start: 0,
            end: 0,
            limit: self.shared.chunk_bytes,
        }
    }
    /// True if there is no free chunk left and nobody makes one: the caller does then, see
    /// [`Self::make_chunk`].
    pub(crate) fn wants_chunk(&self) -> bool {
        let free = self.shared.free();
        free.is_empty() && !self.shared.making.swap(true, Ordering::Relaxed)
    }
    /// Makes a free chunk whose pages are there. Slow: milliseconds where a hypervisor has to find
    /// them first.
    pub(crate) fn make_chunk(&self) {
        let memory = self.shared.fresh();
        memory.populate();
        self.shared.free().push(memory);
        self.shared.making.store(false, Ordering::Relaxed);
    }
    /// Gives a part of the free chunks back to the system, at least one, but for `keep` of them.
    /// Called now and then, it lets the memory of a burst go without a chunk being given back that
    /// is wanted again at once. False when there was nothing to give.
    pub fn trim(&self, keep: usize) -> bool {
        let given: Vec<Memory> = {
            let mut free = self.shared.free();
            let more = free.len().saturating_sub(keep);
            let kept = free.len() - more.div_ceil(8);
            free.drain(kept..).collect()
        };
        self.shared.alive.fetch_sub(given.len() * self.shared.chunk_bytes, Ordering::Relaxed);
        !given.is_empty()
    }
    /// Bytes of chunks alive now (free or in use).
    pub fn bytes_alive(&self) -> usize {
        self.shared.alive.load(Ordering::Relaxed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.free.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// One chunk, shared by its writable tail and all slices split from it.
struct Chunk {
    memory: Option<Memory>,
    arena: Arc<Shared>,
}

impl Chunk {
    fn start(&self) -> *mut u8 {
        self.memory.as_ref().map_or(std::ptr::null_mut(), |m| m.start.as_ptr())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let memory = self.memory.take();
        let mut free = self.arena.free();
        if free.len() < self.arena.keep {
            free.extend(memory);
        } else {
            drop(free);
            self.arena.alive.fetch_sub(self.arena.chunk_bytes, Ordering::Relaxed);
        }
    }
}

/// An immutable part of a chunk; what the `Bytes` of a split own.
struct Part {
    chunk: Arc<Chunk>,
    start: usize,
    len: usize,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: start + len lies in the chunk, its bytes are initialized, and nothing writes to
        // them: they were below `start` of the ArenaBuf that they were split from, and others of
        // the chunk have `start` at or above its `limit`.
        unsafe { std::slice::from_raw_parts(self.chunk.start().add(self.start), self.len) }
    }
}

/// A writable part of a chunk: its tail, or less of it ([`Self::cut`]). Starts and ends on
/// [`BLOCK`] boundaries.
///
/// ```text
/// 0        start      end          limit          chunk_bytes
/// |  split  | written  |    spare    | of another   |
/// ```
pub struct ArenaBuf {
    chunk: Arc<Chunk>,
    start: usize,
    end: usize,
    limit: usize,
}

impl fmt::Debug for ArenaBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaBuf")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("limit", &self.limit)
            .finish()
    }
}

impl ArenaBuf {
    /// Bytes written since the last split.
    pub fn len(&self) -> usize {
        self.end - self.start
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes that can still be written.
    pub fn spare(&self) -> usize {
        self.limit - self.end
    }
    /// Gives away what lies behind the first `bytes` since the last split, rounded up to whole
    /// blocks; they may be more than what has been written, so that an end can follow. What is
    /// given away is a writable part of its own.
    pub fn cut(&mut self, bytes: usize) -> ArenaBuf {
        let limit = self.start + blocks(bytes.max(self.len()));
        assert!(
            limit <= self.limit,
            "{bytes} bytes kept of a part with {}",
            self.limit - self.start
        );
        let rest =
            ArenaBuf { chunk: self.chunk.clone(), start: limit, end: limit, limit: self.limit };
        self.limit = limit;
        rest
    }
    /// Appends; panics if `bytes` is longer than [`Self::spare`].
    pub fn put(&mut self, bytes: &[u8]) {
        assert!(
            bytes.len() <= self.spare(),
            "{} bytes put into a chunk with {} spare",
            bytes.len(),
            self.spare()
        );
        // SAFETY: end + bytes.len() lies in the chunk, at or below `limit` (asserted). No other
        // reference covers start..limit: Parts of this one end at or below `start`, and other
        // ArenaBufs of the chunk, with their Parts, lie wholly below `start` or at or above
        // `limit`. `bytes` cannot overlap, as it would have to be `written_mut`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.chunk.start().add(self.end),
                bytes.len(),
            )
        };
        self.end += bytes.len();
    }
    /// What has been written since the last split, for patching headers.
    pub fn written_mut(&mut self) -> &mut [u8] {
        // SAFETY: start..end lies in the chunk, was written by `put`, and is exclusively ours (see
        // `put`).
        unsafe { std::slice::from_raw_parts_mut(self.chunk.start().add(self.start), self.len()) }
    }
    /// Pads with zeros to the next [`BLOCK`], splits off what was written, leaves the rest of the
    /// chunk writable.
    pub fn split(&mut self) -> Bytes {
        let end = blocks(self.end);
        // SAFETY: `limit` is a multiple of BLOCK, so `end` is at or below it; exclusively ours (see
        // `put`). A recycled chunk holds old bytes, hence the explicit zeros.
        unsafe { self.chunk.start().add(self.end).write_bytes(0, end - self.end) };
        let part = Part { chunk: self.chunk.clone(), start: self.start, len: end - self.start };
        self.start = end;
        self.end = end;
        Bytes::from_owner(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_written_to_by_itself() {
        let arena = Arena::new(4 * BLOCK, 0);
        let mut first = arena.chunk();
        first.put(b"first");
        let mut rest = first.cut(5 + 3);
        assert_eq!((first.spare(), rest.spare()), (BLOCK - 5, 3 * BLOCK));
        rest.put(&[7; BLOCK + 1]);
        first.put(b"end");
        let mut last = rest.cut(0);
        assert_eq!((rest.spare(), last.spare()), (BLOCK - 1, BLOCK));
        last.put(b"last");
        let parts = [rest.split(), first.split(), last.split()];
        assert_eq!(parts.each_ref().map(|part| part.len() / BLOCK), [2, 1, 1]);
        assert_eq!(&parts[1][..9], b"firstend\0");
        assert!(parts[0][..=BLOCK].iter().all(|b| *b == 7) && parts[0][BLOCK + 1] == 0);
        assert_eq!(&parts[2][..5], b"last\0");
        assert_eq!((first.spare(), first.cut(0).spare()), (0, 0));
        drop((first, rest, last));
        assert_eq!(arena.bytes_alive(), 4 * BLOCK);
        drop(parts);
        assert_eq!(arena.bytes_alive(), 0);
    }

    #[test]
    fn aligned_rounds_up_and_is_zero() {
        let mut buf = AlignedBuf::zeroed(5000);
        assert_eq!(buf.len(), 8192);
        assert_eq!(buf.as_ptr() as usize % BLOCK, 0);
        assert!(buf.iter().all(|&b| b == 0));
        buf[8191] = 7;
        let bytes = buf.freeze();
        assert_eq!((bytes.len(), bytes[8191]), (8192, 7));
        assert!(AlignedBuf::zeroed(0).is_empty());
    }

    #[test]
    fn split_pads_with_zeros_and_keeps_the_rest() {
        let arena = Arena::new(4 * BLOCK, 1);
        let mut buf = arena.chunk();
        buf.put(&[1; 5000]);
        buf.written_mut()[0] = 9;
        let first = buf.split();
        assert_eq!(first.len(), 2 * BLOCK);
        assert_eq!((first[0], first[4999], first[5000], first[8191]), (9, 1, 0, 0));
        assert_eq!((buf.len(), buf.spare()), (0, 2 * BLOCK));
        buf.put(&[2; 2 * BLOCK]);
        assert_eq!(buf.spare(), 0);
        let second = buf.split();
        assert!(second.iter().all(|&b| b == 2));
        assert_eq!(first[4999], 1);
    }

    #[test]
    fn large_memory_is_zero_aligned_and_given_back() {
        for bytes in [HUGE, HUGE + BLOCK, 3 * HUGE - BLOCK] {
            let mut buf = AlignedBuf::zeroed(bytes);
            assert_eq!((buf.len(), buf.as_ptr() as usize % HUGE), (bytes, 0));
            assert!(buf.iter().all(|&byte| byte == 0));
            buf[0] = 1;
            buf[bytes - 1] = 2;
            assert_eq!((buf[0], buf[bytes - 1]), (1, 2));
        }
    }

    #[test]
    fn free_chunks_go_in_parts() {
        let arena = Arena::new(BLOCK, 100);
        drop((0..20).map(|_| arena.chunk()).collect::<Vec<_>>());
        assert_eq!(arena.bytes_alive(), 20 * BLOCK);
        assert!(arena.trim(4));
        assert_eq!(arena.bytes_alive(), 18 * BLOCK, "an eighth of sixteen");
        while arena.trim(4) {}
        assert_eq!(arena.bytes_alive(), 4 * BLOCK);
    }

    #[test]
    fn chunks_return_when_the_last_slice_is_dropped_anywhere() {
        let arena = Arena::new(BLOCK, 1);
        let (mut a, mut b) = (arena.chunk(), arena.chunk());
        assert_eq!(arena.bytes_alive(), 2 * BLOCK);
        a.put(b"x");
        b.put(b"y");
        let (x, y) = (a.split(), b.split());
        drop((a, b));
        assert_eq!(arena.bytes_alive(), 2 * BLOCK);
        std::thread::spawn(move || drop(x)).join().unwrap();
        assert_eq!(arena.bytes_alive(), 2 * BLOCK, "one free chunk is kept");
        drop(y);
        assert_eq!(arena.bytes_alive(), BLOCK, "the second is given back");
        let mut again = arena.chunk();
        assert_eq!(arena.bytes_alive(), BLOCK);
        again.put(b"z");
        assert_eq!(&again.split()[..2], b"z\0");
    }
}
