//! The open group: what the next frame will hold, in the memory that goes to the disk and stays as
//! tail cache.
use super::frame::{BLOCK, ENTRY_BYTES, Entry, FrameHeader, HEADER_BYTES};
use crate::ids::LogSlot;
use bytes::Bytes;
use netio::{Instant, buffer::ArenaBuf};
use record::{Offset, checksum};

/// What a frame's completion means for one log: everything below `end` is written (or on the
/// device).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub slot: LogSlot,
    pub end: Offset,
}

/// A frame being filled. The header's place is kept free in front; the table gathers aside and goes
/// behind the data at the end.
#[derive(Debug)]
pub(crate) struct Group {
    buf: ArenaBuf,
    table: Vec<u8>,
    entries: u32,
    pub sequence: u64,
    pub opened: Instant,
    /// An entry wants the frame on the device before its ack.
    pub dsync: bool,
    /// Logs with batches in it, the same log in a row once.
    pub reaches: Vec<Reach>,
}

impl Group {
    /// Over `buf`, from which nothing is waiting to be split.
    pub(crate) fn new(mut buf: ArenaBuf, sequence: u64, opened: Instant) -> Group {
        assert!(
            buf.is_empty(),
            "a group begins in a fresh part of its chunk, {} bytes are written",
            buf.len()
        );
        buf.put(&[0; HEADER_BYTES]);
        Group {
            buf,
            table: Vec::new(),
            entries: 0,
            sequence,
            opened,
            dsync: false,
            reaches: Vec::new(),
        }
    }

    /// Bytes a chunk must have to spare for a group of one entry with `data` bytes.
    pub(crate) fn bytes_for(data: usize) -> usize {
        (HEADER_BYTES + data + ENTRY_BYTES).next_multiple_of(BLOCK)
    }

    /// Bytes of the frame as it is now, without its padding.
    pub(crate) fn bytes(&self) -> usize {
        self.buf.len() + self.table.len()
    }

    /// Room in the chunk for one more entry with `data` bytes?
    pub(crate) fn fits(&self, data: usize) -> bool {
        self.buf.spare() >= self.table.len() + data + ENTRY_BYTES
    }

    /// Copies `data` in and returns its place and the copy, to be patched before anything else
    /// happens. The entry follows by [`Self::enter`].
    pub(crate) fn put(&mut self, data: &[u8]) -> (u32, &mut [u8]) {
        let at = self.buf.len();
        self.buf.put(data);
        let place = u32::try_from(at).unwrap_or_else(|_| panic!("a group of {at} bytes"));
        (place, &mut self.buf.written_mut()[at..])
    }

    pub(crate) fn enter(&mut self, entry: Entry) {
        self.table.extend_from_slice(&entry.to_bytes());
        self.entries += 1;
    }

    pub(crate) fn reach(&mut self, slot: LogSlot, end: Offset) {
        match self.reaches.last_mut() {
            // A carried batch lies before what the group already has of its log.
            Some(last) if last.slot == slot => last.end = last.end.max(end),
            _ => self.reaches.push(Reach { slot, end }),
        }
    }

    /// A copy of bytes that are not split off yet.
    pub(crate) fn copy(&mut self, at: u32, len: u32) -> Bytes {
        let at = at as usize;
        Bytes::copy_from_slice(&self.buf.written_mut()[at..at + len as usize])
    }

    /// Padded size of the frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        (self.bytes() as u64).next_multiple_of(BLOCK as u64)
    }

    /// No entry follows: gives the rest of the chunk away, before the frame is sealed. Entries that
    /// come all the same do not fit.
    pub(crate) fn cut_rest(&mut self) -> ArenaBuf {
        let bytes = self.bytes();
        self.buf.cut(bytes)
    }

    /// Completes the frame and splits it off. `header` brings what the writer knows: run,
    /// generation, chain. Returns the frame, its header's checksum, and the rest of the chunk.
    pub(crate) fn seal(mut self, mut header: FrameHeader) -> (Bytes, u32, ArenaBuf, Vec<Reach>) {
        let bytes = self.frame_bytes();
        let table_at = self.buf.len();
        self.buf.put(&self.table);
        header.bytes = u32::try_from(bytes).unwrap_or_else(|_| panic!("a frame of {bytes} bytes"));
        header.table_at = table_at as u32;
        header.entries = self.entries;
        header.table_crc = checksum(&self.table);
        header.sequence = self.sequence;
        let crc = header.write(self.buf.written_mut());
        let frame = self.buf.split();
        assert_eq!(frame.len() as u64, bytes, "a frame is padded to whole blocks");
        (frame, crc, self.buf, self.reaches)
    }
}
