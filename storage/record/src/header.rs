//! The 61 bytes in front of the records of a batch (v2), and what a broker changes in them.
//!
//! ```text
//!  0  base_offset             i64   not under the CRC: the leader sets it
//!  8  batch_length            i32   bytes after this field
//! 12  partition_leader_epoch  i32   not under the CRC: the leader sets it
//! 16  magic                   i8    2
//! 17  crc                     u32   CRC-32C of everything from 21 to the end
//! 21  attributes              i16   0-2 codec, 3 timestamp type, 4 transactional, 5 control,
//!                                   6 delete horizon; the others are unused
//! 23  last_offset_delta       i32   kept by compaction, so not always records_count - 1
//! 27  base_timestamp          i64   the delete horizon, if bit 6 is set (KIP-534)
//! 35  max_timestamp           i64
//! 43  producer_id             i64
//! 51  producer_epoch          i16
//! 53  base_sequence           i32
//! 57  records_count           i32
//! 61  records
//! ```
//! Source: Kafka's `DefaultRecordBatch`. Magic 0 and 1 are told apart and refused.

use crate::{
    Error, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Records, Timestamp, checksum::checksum,
};

/// Bytes of the header (`RECORD_BATCH_OVERHEAD`).
pub const HEADER_SIZE: usize = 61;
/// Bytes up to and including the length field (`LOG_OVERHEAD`): what says how long a batch is.
pub const LOG_OVERHEAD: usize = 12;
/// The format's version.
pub const MAGIC: i8 = 2;

pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// First byte under the CRC.
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
const COUNT_AT: usize = 57;

/// Codec of a batch's records (attribute bits 0..=2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Compression {
    /// Records as they are.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks, in xerial's framing as Java writes it, or raw.
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// RFC 8878 (KIP-110).
    Zstd = 4,
}

impl Compression {
    /// Every codec, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this id.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Kafka's name of it, as in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// Who stamped the records (attribute bit 3; `message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer; each record has its own.
    #[default]
    CreateTime,
    /// The broker; all records have the batch's max timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// Id in bits 0..=2, known or not.
    #[must_use]
    pub fn codec_id(self) -> u8 {
        (self.0 & Self::CODEC).to_be_bytes()[1]
    }

    /// The codec.
    ///
    /// # Errors
    /// [`Error::Codec`] for an id without a codec.
    pub fn compression(self) -> Result<Compression, Error> {
        let id = self.codec_id();
        Compression::from_id(id).ok_or(Error::Codec(id))
    }

    /// Who stamped the records.
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction (markers included).
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Holds one control record, which no consumer sees.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// `base_timestamp` is the time from which tombstones may go (KIP-534).
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// With another codec.
    #[must_use]
    pub const fn with_compression(self, codec: Compression) -> Self {
        Self(self.0 & !Self::CODEC | codec as i16)
    }

    /// With another timestamp type.
    #[must_use]
    pub const fn with_timestamp_type(self, kind: TimestampType) -> Self {
        self.with_bit(Self::LOG_APPEND_TIME, matches!(kind, TimestampType::LogAppendTime))
    }

    /// Transactional or not.
    #[must_use]
    pub const fn with_transactional(self, on: bool) -> Self {
        self.with_bit(Self::TRANSACTIONAL, on)
    }

    /// Control batch or not.
    #[must_use]
    pub const fn with_control(self, on: bool) -> Self {
        self.with_bit(Self::CONTROL, on)
    }

    /// With or without a delete horizon.
    #[must_use]
    pub const fn with_delete_horizon(self, on: bool) -> Self {
        self.with_bit(Self::DELETE_HORIZON, on)
    }

    const fn with_bit(self, bit: i16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// The fields of a batch's header, by value.
///
/// Parsed from the first 61 bytes; says nothing about whether the rest is there or right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (of the original batch, if it was compacted).
    pub base_offset: Offset,
    /// Bytes after the length field; at least 49.
    pub batch_length: i32,
    /// Epoch of the leader that appended it.
    pub partition_leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Last offset minus base offset.
    pub last_offset_delta: i32,
    /// What record timestamps are relative to.
    pub base_timestamp: Timestamp,
    /// Largest record timestamp, or the log append time.
    pub max_timestamp: Timestamp,
    /// [`ProducerId::NONE`] for a plain producer.
    pub producer_id: ProducerId,
    /// [`ProducerEpoch::NONE`] for a plain producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record; -1 for a plain producer and for control batches.
    pub base_sequence: i32,
    /// Records held.
    pub records_count: i32,
}

/// Bytes of the whole batch at the front of `bytes`, and its number of records, without a look at
/// the rest of its header; `None` if no header fits there.
#[must_use]
pub fn size_and_count(bytes: &[u8]) -> Option<(usize, u64)> {
    let header = bytes.first_chunk::<HEADER_SIZE>()?;
    let at = |at: usize| {
        let field = header.get(at..)?.first_chunk()?;
        usize::try_from(i32::from_be_bytes(*field)).ok()
    };
    Some((at(LENGTH_AT)? + LOG_OVERHEAD, at(COUNT_AT)? as u64))
}

impl BatchHeader {
    /// Reads a header from the front of `bytes`; the records need not be there.
    ///
    /// # Errors
    /// [`Error::Truncated`] below 61 bytes, [`Error::Length`], [`Error::OldMagic`] and
    /// [`Error::Magic`]. The length and the magic are judged as soon as their bytes are there, so
    /// that old formats, whose headers are shorter, are not taken for truncated.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let short = Error::Truncated { need: HEADER_SIZE, have: bytes.len() };
        let &magic = bytes.get(MAGIC_AT).ok_or(short)?;
        match magic.cast_signed() {
            MAGIC => {}
            old @ 0..=1 => return Err(Error::OldMagic(old)),
            other => return Err(Error::Magic(other)),
        }
        let mut at = bytes.get(..HEADER_SIZE).ok_or(short)?;
        let header = Self {
            base_offset: Offset(i64::from_be_bytes(take(&mut at, short)?)),
            batch_length: i32::from_be_bytes(take(&mut at, short)?),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(take(&mut at, short)?)),
            crc: {
                let [_magic] = take(&mut at, short)?;
                u32::from_be_bytes(take(&mut at, short)?)
            },
            attributes: Attributes(i16::from_be_bytes(take(&mut at, short)?)),
            last_offset_delta: i32::from_be_bytes(take(&mut at, short)?),
            base_timestamp: Timestamp(i64::from_be_bytes(take(&mut at, short)?)),
            max_timestamp: Timestamp(i64::from_be_bytes(take(&mut at, short)?)),
            producer_id: ProducerId(i64::from_be_bytes(take(&mut at, short)?)),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(take(&mut at, short)?)),
            base_sequence: i32::from_be_bytes(take(&mut at, short)?),
            records_count: i32::from_be_bytes(take(&mut at, short)?),
        };
        // Cannot overflow where it passes: at least 49, so it fits usize.
        if usize::try_from(header.batch_length).is_ok_and(|n| n + LOG_OVERHEAD >= HEADER_SIZE) {
            Ok(header)
        } else {
            Err(Error::Length(header.batch_length))
        }
    }

    /// Bytes of the whole batch, this header included.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        // `parse` has seen it at least 49; by hand it can be anything, and then saturates at 12.
        usize::try_from(self.batch_length).unwrap_or(0) + LOG_OVERHEAD
    }

    /// Offset of the last record (held at the largest value on overflow).
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        self.base_offset.saturating_add(self.last_offset_delta as i64)
    }

    /// Offset after this batch.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// Sequence number of the last record; wraps from `i32::MAX` to 0, as Kafka's does. -1 if
    /// there is none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        next_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// The time from which this batch's tombstones may go (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Writes the 61 bytes; `batch_length` and `crc` as they are in `self`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        use bytes::BufMut;
        let mut bytes = [0; HEADER_SIZE];
        let mut out = &mut bytes[..];
        out.put_i64(self.base_offset.0);
        out.put_i32(self.batch_length);
        out.put_i32(self.partition_leader_epoch.0);
        out.put_i8(MAGIC);
        out.put_u32(self.crc);
        out.put_i16(self.attributes.0);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp.0);
        out.put_i64(self.max_timestamp.0);
        out.put_i64(self.producer_id.0);
        out.put_i16(self.producer_epoch.0);
        out.put_i32(self.base_sequence);
        out.put_i32(self.records_count);
        bytes
    }
}

/// `sequence + by` within 0..=`i32::MAX`, around the end to 0
/// (`DefaultRecordBatch.incrementSequence`).
#[must_use]
pub fn next_sequence(sequence: i32, by: i32) -> i32 {
    let sum = (i64::from(sequence) + i64::from(by)) & i64::from(i32::MAX);
    i32::try_from(sum).unwrap_or(i32::MAX)
}

/// One whole batch, borrowed. Its length fits; its CRC is looked at only by
/// [`verify_crc`](Self::verify_crc).
#[derive(Clone, Copy)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Reads the batch at the front of `bytes`; what comes after it is left alone.
    ///
    /// # Errors
    /// Those of [`BatchHeader::parse`], and [`Error::Truncated`] if the batch is longer than
    /// `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let header = BatchHeader::parse(bytes)?;
        let need = header.size_in_bytes();
        let have = bytes.len();
        let bytes = bytes.get(..need).ok_or(Error::Truncated { need, have })?;
        Ok(Self { header, bytes })
    }

    /// Reads and checks the CRC.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse) and [`verify_crc`](Self::verify_crc).
    pub fn parse_verified(bytes: &'a [u8]) -> Result<Self, Error> {
        let view = Self::parse(bytes)?;
        view.verify_crc()?;
        Ok(view)
    }

    /// The header's fields.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records' bytes, compressed if the batch is.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_SIZE..).unwrap_or_default()
    }

    /// Compares the stored CRC with the bytes'. Costs a pass over the batch.
    ///
    /// # Errors
    /// [`Error::Crc`].
    pub fn verify_crc(&self) -> Result<(), Error> {
        let computed = crc_of(self.bytes);
        let stored = self.header.crc;
        if computed == stored { Ok(()) } else { Err(Error::Crc { stored, computed }) }
    }

    /// The records of an uncompressed batch; `None` if it is compressed.
    #[must_use]
    pub fn records(&self) -> Option<Records<'a>> {
        (self.header.attributes.codec_id() == 0).then(|| Records::new(self.payload(), &self.header))
    }
}

impl std::ops::Deref for BatchView<'_> {
    type Target = BatchHeader;

    fn deref(&self) -> &BatchHeader {
        &self.header
    }
}

impl std::fmt::Debug for BatchView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BatchView").field(&self.header).finish()
    }
}

fn take<const N: usize>(at: &mut &[u8], short: Error) -> Result<[u8; N], Error> {
    let (&field, rest) = at.split_first_chunk().ok_or(short)?;
    *at = rest;
    Ok(field)
}

fn crc_of(batch: &[u8]) -> u32 {
    checksum(batch.get(ATTRIBUTES_AT..).unwrap_or_default())
}

/// Writes `field` at `at`.
///
/// # Panics
/// If `batch` is shorter: callers pass batches they have parsed.
fn put<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    let len = batch.len();
    match batch.get_mut(at..at + N) {
        Some(place) => place.copy_from_slice(&field),
        None => panic!("a batch of {len} bytes has no field at {at}: parse it first"),
    }
}

/// Sets the base offset of a parsed batch. Not under the CRC.
///
/// # Panics
/// If `batch` is shorter than the field: callers pass batches they have parsed. So do all below.
pub fn set_base_offset(batch: &mut [u8], offset: Offset) {
    put(batch, 0, offset.0.to_be_bytes());
}

/// Sets the leader epoch of a parsed batch. Not under the CRC.
///
/// # Panics
/// As [`set_base_offset`].
pub fn set_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    put(batch, 12, epoch.0.to_be_bytes());
}

/// Stamps a batch for a LogAppendTime topic: timestamp type, max timestamp, and the CRC anew.
/// `batch` is exactly one batch.
///
/// # Panics
/// As [`set_base_offset`].
pub fn restamp_log_append_time(batch: &mut [u8], now: Timestamp) {
    restamp(batch, TimestampType::LogAppendTime, now);
}

/// Corrects the max timestamp of a CreateTime batch, and the CRC: Kafka's leader stores what it
/// found in the records and not what the producer claimed. `batch` is exactly one batch.
///
/// # Panics
/// As [`set_base_offset`].
pub fn restamp_max_timestamp(batch: &mut [u8], max: Timestamp) {
    restamp(batch, TimestampType::CreateTime, max);
}

fn restamp(batch: &mut [u8], kind: TimestampType, max: Timestamp) {
    let old = batch.get(ATTRIBUTES_AT..).and_then(|b| b.first_chunk());
    let attributes = Attributes(i16::from_be_bytes(*old.unwrap_or(&[0; 2])));
    let attributes = attributes.with_timestamp_type(kind);
    put(batch, ATTRIBUTES_AT, attributes.0.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, max.0.to_be_bytes());
    refresh_crc(batch);
}

/// Computes and stores the CRC of exactly one batch, after a change under it.
///
/// # Panics
/// As [`set_base_offset`].
pub fn refresh_crc(batch: &mut [u8]) {
    let crc = crc_of(batch);
    put(batch, CRC_AT, crc.to_be_bytes());
}
