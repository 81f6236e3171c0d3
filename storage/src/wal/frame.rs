//! The bytes of a frame: what one group is on disk.
//!
//! ```text
//! 0        128                       table_at                bytes (multiple of 4096)
//! | header | data of the entries ... | table: 48 B an entry | zeros |
//! ```
//! The table comes last, so that batches are copied once, straight to their place, while their
//! number is not known yet. The header holds its own CRC-32C and the table's; a batch's bytes are
//! under the CRC that its entry repeats, and its base offset and epoch, which no batch CRC covers,
//! are in the entry as well. All integers are little-endian.
//!
//! In every version magic, version, core, start, run and generation keep the places they have here,
//! so that a program can tell a frame of a newer one from garbage; a version that cannot keep them
//! gets another last byte of the magic.
//!
//! A frame belongs to a *run* (one open of a core's store) and to a *generation* of its file (a
//! recycled file gets the next one, which is also the number in its name); it names its predecessor
//! by sequence and checksum. So no byte of an earlier use of the file can be taken for a frame of
//! this run.
use crate::ids::{LogId, OFFSET_MAX};
use record::{LeaderEpoch, Offset, TopicId, checksum};

/// Alignment of frames.
pub(crate) const BLOCK: usize = netio::buffer::BLOCK;
pub(crate) const HEADER_BYTES: usize = 128;
pub(crate) const ENTRY_BYTES: usize = 48;
const MAGIC: [u8; 8] = *b"millwal\x01";
/// Since 2, frames keep to the landmarks of their file (`recycle`).
const VERSION: u32 = 2;
const VERSION_WITHOUT_LANDMARKS: u32 = 1;
/// As an operator reads them.
pub(crate) const VERSIONS: &str = "1 and 2";
/// What all magics begin with.
const FAMILY: &[u8] = b"millwal";
const CRC_AT: usize = HEADER_BYTES - 4;
/// No chain gets this far, and sums stay in range.
const SEQUENCE_MAX: u64 = 1 << 62;

/// Header of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub core: u32,
    /// Counts the starts of the data directory: frames of another start are stale.
    pub start: u64,
    /// Random, one a start and core.
    pub run: u128,
    pub generation: u64,
    /// From 1, without gaps within a run.
    pub sequence: u64,
    /// Highest sequence known to be on the device when this frame was submitted.
    pub acked_through: u64,
    /// Whole frame with its padding.
    pub bytes: u32,
    pub table_at: u32,
    pub entries: u32,
    /// Checksum of the header before; 0 in a run's first frame.
    pub previous: u32,
    pub table_crc: u32,
    /// Written before frames kept to landmarks: only when read.
    pub without_landmarks: bool,
}

/// The beginning of a frame of a version that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Last byte of the magic, and version.
    pub version: (u8, u32),
    pub start: u64,
    pub generation: u64,
}

impl Foreign {
    /// `None` for a frame of a known version, whether it is whole or damaged, and for what is no
    /// frame.
    pub(crate) fn read(bytes: &[u8]) -> Option<Foreign> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let known = [VERSION, VERSION_WITHOUT_LANDMARKS];
        let version = (bytes[7], u32_at(bytes, 8));
        if !bytes.starts_with(FAMILY) || bytes[0..8] == MAGIC && known.contains(&version.1) {
            return None;
        }
        // A flipped bit in magic or version of a frame of ours: with the right ones its checksum is
        // right.
        let is_ours = known.iter().any(|version| {
            let mut header = [0; CRC_AT];
            header.copy_from_slice(&bytes[..CRC_AT]);
            header[0..8].copy_from_slice(&MAGIC);
            header[8..12].copy_from_slice(&version.to_le_bytes());
            checksum(&header) == u32_at(bytes, CRC_AT)
        });
        (!is_ours).then(|| Foreign {
            version,
            start: u64_at(bytes, 16),
            generation: u64_at(bytes, 40),
        })
    }

    /// Garbage of an earlier use of its file, number `generation`, of start `start`. What a magic
    /// of its own says is not known.
    pub(crate) fn is_stale(&self, start: u64, generation: u64) -> bool {
        self.is_of_our_layout() && (self.start < start || self.generation != generation)
    }

    pub(crate) fn is_of_our_layout(&self) -> bool {
        self.version.0 == MAGIC[7]
    }

    pub(crate) fn text(&self) -> String {
        match self.version {
            (magic, version) if magic == MAGIC[7] => version.to_string(),
            (magic, version) => format!("{magic}/{version}"),
        }
    }
}

impl FrameHeader {
    /// Writes the header to the first bytes of `out` and returns its checksum.
    pub(crate) fn write(&self, out: &mut [u8]) -> u32 {
        let out = &mut out[..HEADER_BYTES];
        out.fill(0);
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.core.to_le_bytes());
        out[16..24].copy_from_slice(&self.start.to_le_bytes());
        out[24..40].copy_from_slice(&self.run.to_le_bytes());
        out[40..48].copy_from_slice(&self.generation.to_le_bytes());
        out[48..56].copy_from_slice(&self.sequence.to_le_bytes());
        out[56..64].copy_from_slice(&self.acked_through.to_le_bytes());
        out[64..68].copy_from_slice(&self.bytes.to_le_bytes());
        out[68..72].copy_from_slice(&self.table_at.to_le_bytes());
        out[72..76].copy_from_slice(&self.entries.to_le_bytes());
        out[76..80].copy_from_slice(&self.previous.to_le_bytes());
        out[80..84].copy_from_slice(&self.table_crc.to_le_bytes());
        let crc = checksum(&out[..CRC_AT]);
        out[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        crc
    }

    /// The header at the front of `bytes` and its checksum, if it is one and its sizes make sense.
    pub(crate) fn read(bytes: &[u8]) -> Option<(FrameHeader, u32)> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let version = u32_at(bytes, 8);
        if bytes[0..8] != MAGIC || ![VERSION, VERSION_WITHOUT_LANDMARKS].contains(&version) {
            return None;
        }
        let crc = u32_at(bytes, CRC_AT);
        if checksum(&bytes[..CRC_AT]) != crc {
            return None;
        }
        let header = FrameHeader {
            core: u32_at(bytes, 12),
            start: u64_at(bytes, 16),
            run: u128::from_le_bytes(array(bytes, 24)),
            generation: u64_at(bytes, 40),
            sequence: u64_at(bytes, 48),
            acked_through: u64_at(bytes, 56),
            bytes: u32_at(bytes, 64),
            table_at: u32_at(bytes, 68),
            entries: u32_at(bytes, 72),
            previous: u32_at(bytes, 76),
            table_crc: u32_at(bytes, 80),
            without_landmarks: version == VERSION_WITHOUT_LANDMARKS,
        };
        let table_end = u64::from(header.table_at) + u64::from(header.entries) * ENTRY_BYTES as u64;
        let sane = (header.bytes as usize).is_multiple_of(BLOCK)
            && header.bytes > 0
            && header.table_at as usize >= HEADER_BYTES
            && table_end <= u64::from(header.bytes)
            && header.sequence > 0
            && header.sequence < SEQUENCE_MAX
            && header.acked_through < header.sequence;
        sane.then_some((header, crc))
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A batch, with offsets given by the leader.
    Append = 1,
    /// The log ends at `offset` from here on.
    Truncate = 2,
    /// The log starts at `offset` from here on.
    LogStart = 3,
    /// The leader epoch is `epoch` from here on; `offset` is the log's end then.
    EpochStart = 4,
    /// A new log, first offset `offset`; data: its directory's topic name.
    Created = 5,
    /// The log is deleted; data: its directory's topic name.
    Deleted = 6,
    /// Reserved: a batch that already lies in a segment.
    Extent = 7,
    /// A batch that was appended before in this run and is not in a segment yet: logged again to
    /// free its first place.
    Carry = 8,
}

impl Kind {
    fn from_u8(kind: u8) -> Option<Kind> {
        Some(match kind {
            1 => Kind::Append,
            2 => Kind::Truncate,
            3 => Kind::LogStart,
            4 => Kind::EpochStart,
            5 => Kind::Created,
            6 => Kind::Deleted,
            7 => Kind::Extent,
            8 => Kind::Carry,
            _ => return None,
        })
    }
}

/// An entry of a frame's table. Its data lies behind the data of the entry before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub kind: Kind,
    pub id: LogId,
    pub offset: Offset,
    pub epoch: LeaderEpoch,
    /// Bytes of data.
    pub length: u32,
    /// Batches: the CRC in the batch; other data: CRC-32C of it.
    pub crc: u32,
    /// Batches: last offset - base offset.
    pub last_delta: u32,
}

impl Entry {
    pub(crate) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        out[0] = self.kind as u8;
        out[4..8].copy_from_slice(&self.id.partition.to_le_bytes());
        out[8..24].copy_from_slice(&self.id.topic.0);
        out[24..32].copy_from_slice(&self.offset.0.to_le_bytes());
        out[32..36].copy_from_slice(&self.epoch.0.to_le_bytes());
        out[36..40].copy_from_slice(&self.length.to_le_bytes());
        out[40..44].copy_from_slice(&self.crc.to_le_bytes());
        out[44..48].copy_from_slice(&self.last_delta.to_le_bytes());
        out
    }

    /// Its kind, when that is not known here.
    fn read(bytes: &[u8]) -> Result<Entry, u8> {
        Ok(Entry {
            kind: Kind::from_u8(bytes[0]).ok_or(bytes[0])?,
            id: LogId {
                topic: TopicId(array(bytes, 8)),
                partition: u32_at(bytes, 4).cast_signed(),
            },
            offset: Offset(u64_at(bytes, 24).cast_signed()),
            epoch: LeaderEpoch(u32_at(bytes, 32).cast_signed()),
            length: u32_at(bytes, 36),
            crc: u32_at(bytes, 40),
            last_delta: u32_at(bytes, 44),
        })
    }

    /// Offsets and epoch are such as a log has.
    fn can_be(&self) -> bool {
        let offset = self.offset.is_valid() && self.offset <= OFFSET_MAX;
        offset && self.epoch.0 >= 0 && self.last_delta <= i32::MAX.cast_unsigned()
    }

    /// First offset after the batch.
    pub(crate) fn end(&self) -> Offset {
        Offset(self.offset.0 + i64::from(self.last_delta) + 1)
    }

    pub(crate) fn is_batch(&self) -> bool {
        matches!(self.kind, Kind::Append | Kind::Carry)
    }

    /// Does `data` hold what the entry says? The check behind every read of the log, and behind
    /// every copy into it.
    pub(crate) fn matches(&self, data: &[u8]) -> bool {
        if data.len() != self.length as usize {
            return false;
        }
        if !self.is_batch() {
            return checksum(data) == self.crc;
        }
        record::BatchView::parse_verified(data).is_ok_and(|batch| {
            batch.bytes().len() == data.len()
                && batch.crc == self.crc
                && batch.base_offset == self.offset
                && batch.last_offset_delta.cast_unsigned() == self.last_delta
                && batch.partition_leader_epoch == self.epoch
        })
    }
}

/// Entries with the places of their data.
pub(crate) type Table = Vec<(Entry, std::ops::Range<usize>)>;

/// The table of a frame whose header has been read, or `None` when it is not whole.
///
/// # Errors
/// The kind of an entry, when it is whole and the kind is not known here.
pub(crate) fn read_table(header: &FrameHeader, frame: &[u8]) -> Result<Option<Table>, u8> {
    let table_at = header.table_at as usize;
    let Some(table) = frame.get(table_at..table_at + header.entries as usize * ENTRY_BYTES) else {
        return Ok(None);
    };
    if checksum(table) != header.table_crc {
        return Ok(None);
    }
    let mut entries = Vec::with_capacity(header.entries as usize);
    let mut at = HEADER_BYTES;
    for bytes in table.chunks_exact(ENTRY_BYTES) {
        let entry = Entry::read(bytes)?;
        let end = at + entry.length as usize;
        if end > table_at || !entry.can_be() {
            return Ok(None);
        }
        entries.push((entry, at..end));
        at = end;
    }
    Ok((at == table_at).then_some(entries))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        let name = b"topic";
        bytes[HEADER_BYTES..HEADER_BYTES + 5].copy_from_slice(name);
        let entry = Entry {
            kind: Kind::Created,
            id: LogId { topic: TopicId([7; 16]), partition: 3 },
            offset: Offset(0),
            epoch: LeaderEpoch(5),
            length: 5,
            crc: checksum(name),
            last_delta: 0,
        };
        let table = entry.to_bytes();
        bytes[HEADER_BYTES + 5..HEADER_BYTES + 5 + ENTRY_BYTES].copy_from_slice(&table);
        let header = FrameHeader {
            core: 1,
            start: 2,
            run: 3,
            generation: 4,
            sequence: 6,
            acked_through: 5,
            bytes: BLOCK as u32,
            table_at: HEADER_BYTES as u32 + 5,
            entries: 1,
            previous: 9,
            table_crc: checksum(&table),
            without_landmarks: false,
        };
        header.write(&mut bytes);
        bytes
    }

    #[test]
    fn round_trip() {
        let bytes = frame();
        let (header, crc) = FrameHeader::read(&bytes).expect("a header");
        assert_eq!((header.core, header.start, header.run, header.generation), (1, 2, 3, 4));
        assert_eq!((header.sequence, header.acked_through, header.previous), (6, 5, 9));
        assert_ne!(crc, 0);
        let table = read_table(&header, &bytes).expect("known kinds").expect("a table");
        assert_eq!(table.len(), 1);
        let (entry, range) = &table[0];
        assert_eq!(entry.epoch, LeaderEpoch(5));
        assert!(entry.matches(&bytes[range.clone()]));
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let good = frame();
        let used = HEADER_BYTES + 5 + ENTRY_BYTES;
        for bit in 0..used * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let whole = FrameHeader::read(&bytes).is_some_and(|(header, _)| {
                read_table(&header, &bytes).is_ok_and(|table| {
                    let table = table.unwrap_or_default();
                    !table.is_empty()
                        && table.iter().all(|(entry, range)| entry.matches(&bytes[range.clone()]))
                })
            });
            assert!(!whole, "bit {bit} flipped and not found");
            assert_eq!(Foreign::read(&bytes), None, "bit {bit} is no newer version");
        }
    }

    #[test]
    fn a_frame_of_another_version_is_told_from_garbage_and_from_damage() {
        let ours = frame();
        assert_eq!(Foreign::read(&ours), None);
        assert_eq!(Foreign::read(&[0; BLOCK]), None);
        // Whatever a newer version has instead of a checksum.
        let mut newer = ours;
        newer[8] = 3;
        newer[100..HEADER_BYTES].fill(0x5a);
        let foreign = Foreign::read(&newer).expect("a newer frame");
        assert_eq!(foreign.text(), "3");
        assert_eq!((foreign.start, foreign.generation), (2, 4));
        assert!(!foreign.is_stale(2, 4));
        assert!(foreign.is_stale(3, 4) && foreign.is_stale(2, 5));
        newer[7] = 2;
        let foreign = Foreign::read(&newer).expect("of another magic");
        assert_eq!(foreign.text(), "2/3");
        assert!(!foreign.is_stale(3, 5), "its fields may be anywhere");
    }
}
