//! Writing Kafka's primitive types to a list of slices.
//!
//! Everything goes to one growing buffer, except record batches: they are noted with their place in
//! it and come out as slices of their own, not copied.

use bytes::Bytes;

use crate::{
    Encode, Error,
    frame::SIZE_BYTES,
    types::{Records, Str, Uuid},
};

/// Output under construction.
///
/// `flex` chooses the encoding of lengths, as in [`Reader`](crate::Reader). After an error what has
/// been written is unspecified.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Slices by the place in `buffer` before which they belong, in order.
    inserts: Vec<(usize, Bytes)>,
    inserted: usize,
    /// Error codes written and how often, but for 0.
    errors: Vec<(i16, u32)>,
    gap: Option<Gap>,
}

/// A place for elements that are written elsewhere: the first empty array.
#[derive(Debug)]
struct Gap {
    /// How many elements there will be.
    count: usize,
    /// Where they belong, once the array has been met.
    at: Option<usize>,
    /// What the array is of.
    element: &'static str,
}

/// Where a tagged field's value began.
#[derive(Debug)]
pub(crate) struct TagStart(usize);

/// What the output was before a frame.
#[derive(Debug)]
pub(crate) struct FrameStart {
    at: usize,
    inserts: usize,
    inserted: usize,
}

#[cold]
fn too_long(field: &'static str) -> Error {
    Error::Misuse { field, version: -1, problem: "longer than the protocol can say" }
}

const NULL: Error =
    Error::Misuse { field: "a field", version: -1, problem: "null where the version has none" };

const NO_GAP: Error = Error::Misuse {
    field: "a value around others",
    version: -1,
    problem: "no empty array to hold them",
};

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Continues in `buffer`, which may hold something already (and may have been used before).
    pub fn with_buffer(buffer: Vec<u8>) -> Writer {
        Writer { buffer, ..Writer::default() }
    }

    /// Writes `value` up to the first of its arrays that is empty, which says that it has `count`
    /// elements; they follow, and then what is returned.
    ///
    /// # Errors
    /// The value has no empty array, or `version` cannot carry it.
    pub fn around(
        &mut self,
        value: &impl Encode,
        count: usize,
        version: i16,
    ) -> Result<Vec<u8>, Error> {
        self.leave_gap(count);
        let written = value.encode(self, version);
        let tail = self.end_gap();
        written.and(tail).map(|(tail, _)| tail)
    }

    pub(crate) fn leave_gap(&mut self, count: usize) {
        self.gap = Some(Gap { count, at: None, element: "" });
    }

    /// Takes back what is written behind the gap, and says what belongs into it.
    pub(crate) fn end_gap(&mut self) -> Result<(Vec<u8>, &'static str), Error> {
        let gap = self.gap.take().ok_or(NO_GAP)?;
        let at = gap.at.filter(|&at| at <= self.buffer.len());
        at.map(|at| (self.buffer.split_off(at), gap.element)).ok_or(NO_GAP)
    }

    /// Bytes written, slices included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.inserted
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The output in order, without empty slices; one slice if there were no records.
    pub fn into_slices(self) -> Vec<Bytes> {
        let buffer = Bytes::from(self.buffer);
        if self.inserts.is_empty() {
            return vec![buffer];
        }
        let mut slices = Vec::with_capacity(2 * self.inserts.len() + 1);
        let mut from = 0;
        for (at, insert) in self.inserts {
            if from < at {
                slices.push(buffer.slice(from..at));
                from = at;
            }
            slices.push(insert);
        }
        if from < buffer.len() {
            slices.push(buffer.slice(from..));
        }
        slices
    }

    /// The output in one piece; copies if there were records.
    pub fn into_vec(self) -> Vec<u8> {
        if self.inserts.is_empty() {
            return self.buffer;
        }
        self.into_slices().concat()
    }

    /// Begins a frame with room for its size.
    pub(crate) fn begin_frame(&mut self) -> FrameStart {
        let start = FrameStart {
            at: self.buffer.len(),
            inserts: self.inserts.len(),
            inserted: self.inserted,
        };
        self.i32(0);
        start
    }

    /// Ends the frame that began at `start`: puts its size in front, or takes it back if it was not
    /// `written`.
    pub(crate) fn end_frame(
        &mut self,
        start: FrameStart,
        written: Result<(), Error>,
    ) -> Result<(), Error> {
        let inserted = self.inserted - start.inserted;
        let body = self.buffer.len() - start.at - SIZE_BYTES + inserted;
        let size = written.and_then(|()| i32::try_from(body).map_err(|_| too_long("a frame")));
        match (size, self.buffer.get_mut(start.at..start.at + SIZE_BYTES)) {
            (Ok(size), Some(place)) => {
                place.copy_from_slice(&size.to_be_bytes());
                Ok(())
            }
            (Ok(_), None) => unreachable!("frame at {} of {}", start.at, self.buffer.len()),
            (Err(error), _) => {
                self.buffer.truncate(start.at);
                self.inserts.truncate(start.inserts);
                self.inserted = start.inserted;
                Err(error)
            }
        }
    }

    /// Bytes that are encoded already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub fn bool(&mut self, value: bool) {
        self.buffer.push(u8::from(value));
    }

    pub fn i8(&mut self, value: i8) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// An error code of a response. It is noted, so that who sends the answer can count it.
    #[inline]
    pub fn error_code(&mut self, code: i16) {
        self.i16(code);
        if code != 0 {
            self.note_error(code);
        }
    }

    #[cold]
    fn note_error(&mut self, code: i16) {
        match self.errors.iter_mut().find(|(known, _)| *known == code) {
            Some((_, times)) => *times = times.saturating_add(1),
            None => self.errors.push((code, 1)),
        }
    }

    /// The error codes written since the last call, with how often each.
    pub fn take_errors(&mut self) -> Vec<(i16, u32)> {
        std::mem::take(&mut self.errors)
    }

    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(&value.0);
    }

    /// KIP-482's unsigned variable-length number.
    #[inline]
    pub fn uvarint(&mut self, value: u32) {
        // Nearly all are lengths of a few bytes.
        if value < 0x80 {
            return self.buffer.push(value as u8);
        }
        let (bytes, length) = uvarint_bytes(value);
        self.buffer.extend(bytes.into_iter().take(length));
    }

    /// A fixed or variable length; `None` is null.
    fn length(&mut self, length: Option<usize>, flex: bool) -> Result<(), Error> {
        let length = match length {
            Some(length) => i32::try_from(length).map_err(|_| too_long("a length"))?,
            None => -1,
        };
        if flex {
            // -1..=i32::MAX becomes 0..=2^31.
            self.uvarint(length.wrapping_add(1).cast_unsigned());
        } else {
            self.i32(length);
        }
        Ok(())
    }

    fn null(&mut self, flex: bool, nullable: bool) -> Result<(), Error> {
        if nullable { self.length(None, flex) } else { Err(NULL) }
    }

    pub fn string(&mut self, value: &str, flex: bool) -> Result<(), Error> {
        let length = i16::try_from(value.len()).map_err(|_| too_long("a string"))?;
        if flex {
            self.uvarint(u32::from(length.cast_unsigned()) + 1);
        } else {
            self.i16(length);
        }
        self.buffer.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// As [`Writer::string`]; null is misuse unless `nullable`.
    pub fn opt_string(
        &mut self,
        value: Option<&str>,
        flex: bool,
        nullable: bool,
    ) -> Result<(), Error> {
        match value {
            Some(value) => self.string(value, flex),
            None if !nullable => Err(NULL),
            None if flex => {
                self.uvarint(0);
                Ok(())
            }
            None => {
                self.i16(-1);
                Ok(())
            }
        }
    }

    pub fn bytes(&mut self, value: &[u8], flex: bool) -> Result<(), Error> {
        self.length(Some(value.len()), flex)?;
        self.buffer.extend_from_slice(value);
        Ok(())
    }

    /// As [`Writer::bytes`]; null is misuse unless `nullable`.
    pub fn opt_bytes(
        &mut self,
        value: Option<&[u8]>,
        flex: bool,
        nullable: bool,
    ) -> Result<(), Error> {
        match value {
            Some(value) => self.bytes(value, flex),
            None => self.null(flex, nullable),
        }
    }

    /// Record batches: slices are taken over by reference.
    pub fn records(&mut self, value: &Records<'_>, flex: bool) -> Result<(), Error> {
        self.length(Some(value.len()), flex)?;
        match value {
            Records::Borrowed(bytes) => self.buffer.extend_from_slice(bytes),
            Records::Slices(slices) => {
                let at = self.buffer.len();
                for slice in slices.iter().filter(|slice| !slice.is_empty()) {
                    self.inserted += slice.len();
                    self.inserts.push((at, slice.clone()));
                }
            }
        }
        Ok(())
    }

    /// As [`Writer::records`]; null is misuse unless `nullable`.
    pub fn opt_records(
        &mut self,
        value: Option<&Records<'_>>,
        flex: bool,
        nullable: bool,
    ) -> Result<(), Error> {
        match value {
            Some(value) => self.records(value, flex),
            None => self.null(flex, nullable),
        }
    }

    pub fn array<T: Encode>(
        &mut self,
        values: &[T],
        flex: bool,
        version: i16,
    ) -> Result<(), Error> {
        if values.is_empty() && self.fill_gap(flex, std::any::type_name::<T>())? {
            return Ok(());
        }
        self.length(Some(values.len()), flex)?;
        for value in values {
            value.encode(self, version)?;
        }
        Ok(())
    }

    /// As [`Writer::array`]; null is misuse unless `nullable`.
    pub fn opt_array<T: Encode>(
        &mut self,
        values: Option<&[T]>,
        flex: bool,
        nullable: bool,
        version: i16,
    ) -> Result<(), Error> {
        match values {
            Some(values) => self.array(values, flex, version),
            None => self.null(flex, nullable),
        }
    }

    /// Whether an empty array is the one that others are written into.
    fn fill_gap(&mut self, flex: bool, element: &'static str) -> Result<bool, Error> {
        let Some(Gap { count, at: None, .. }) = self.gap else {
            return Ok(false);
        };
        self.length(Some(count), flex)?;
        self.gap = Some(Gap { count, at: Some(self.buffer.len()), element });
        Ok(true)
    }

    pub fn strings(&mut self, values: &[Str<'_>], flex: bool) -> Result<(), Error> {
        if values.is_empty() && self.fill_gap(flex, std::any::type_name::<Str<'_>>())? {
            return Ok(());
        }
        self.length(Some(values.len()), flex)?;
        for value in values {
            self.string(value, flex)?;
        }
        Ok(())
    }

    /// As [`Writer::strings`]; null is misuse unless `nullable`.
    pub fn opt_strings(
        &mut self,
        values: Option<&[Str<'_>]>,
        flex: bool,
        nullable: bool,
    ) -> Result<(), Error> {
        match values {
            Some(values) => self.strings(values, flex),
            None => self.null(flex, nullable),
        }
    }

    /// A struct that may be null: a byte says whether it is there (KIP-893).
    pub fn opt_struct<T: Encode>(
        &mut self,
        value: Option<&T>,
        nullable: bool,
        version: i16,
    ) -> Result<(), Error> {
        match value {
            Some(value) => {
                if nullable {
                    self.i8(1);
                }
                value.encode(self, version)
            }
            None if nullable => {
                self.i8(-1);
                Ok(())
            }
            None => Err(NULL),
        }
    }

    /// Begins a tagged field; [`Writer::end_tag`] writes its size when it is known.
    pub(crate) fn begin_tag(&mut self, tag: u32) -> TagStart {
        self.uvarint(tag);
        // Most values are shorter than 128 bytes: a size of one byte. If not, they move.
        self.buffer.push(0);
        TagStart(self.buffer.len())
    }

    /// Ends the tagged field that began at `start`.
    pub(crate) fn end_tag(&mut self, start: TagStart) -> Result<(), Error> {
        let TagStart(start) = start;
        // Records in a tagged field would have to move too, and Kafka has none.
        assert!(
            self.inserts.last().is_none_or(|(at, _)| *at < start),
            "records in a tagged field at {start}"
        );
        let size =
            u32::try_from(self.buffer.len() - start).map_err(|_| too_long("a tagged field"))?;
        if size < 0x80
            && let Some(place) = self.buffer.get_mut(start - 1)
        {
            *place = size as u8;
            return Ok(());
        }
        let (bytes, length) = uvarint_bytes(size);
        self.buffer.splice(start - 1..start, bytes.into_iter().take(length));
        Ok(())
    }
}

fn uvarint_bytes(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 16383, 16384, 1 << 28, u32::MAX] {
            let mut writer = Writer::new();
            writer.uvarint(value);
            let bytes = writer.into_vec();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.uvarint(), Ok(value));
            reader.expect_end().unwrap();
        }
    }

    #[test]
    fn records_are_slices_and_not_copies() {
        let first = Bytes::from(vec![1; 3]);
        let second = Bytes::from(vec![2; 2]);
        let mut writer = Writer::new();
        writer.i8(9);
        writer.records(&Records::from(vec![first.clone(), second.clone()]), false).unwrap();
        writer.i8(8);
        assert_eq!(writer.len(), 1 + 4 + 5 + 1);
        let slices = writer.into_slices();
        assert_eq!(slices.len(), 4);
        assert_eq!(slices[1].as_ptr(), first.as_ptr());
        assert_eq!(slices[2].as_ptr(), second.as_ptr());
        assert_eq!(slices.concat(), [9, 0, 0, 0, 5, 1, 1, 1, 2, 2, 8]);
    }

    #[test]
    fn long_tagged_fields_make_room_for_their_size() {
        for size in [0usize, 127, 128, 20_000] {
            let mut writer = Writer::new();
            writer.uvarint(1);
            let start = writer.begin_tag(3);
            for _ in 0..size {
                writer.i8(5);
            }
            writer.end_tag(start).unwrap();
            writer.i8(6);
            let bytes = writer.into_vec();
            let mut reader = Reader::new(&bytes);
            let mut tags = reader.uvarint().unwrap();
            let tag = reader.next_tag(&mut tags).unwrap().unwrap();
            assert_eq!((tag.number, reader.remaining().len()), (3, size));
            reader.end_tag(tag, false).unwrap();
            assert_eq!(reader.remaining(), [6]);
        }
    }

    #[test]
    fn what_cannot_be_said_is_misuse() {
        let mut writer = Writer::new();
        assert!(writer.string(&"x".repeat(32768), true).is_err());
        assert!(writer.string(&"x".repeat(32767), true).is_ok());
        assert!(writer.opt_string(None, true, false).is_err());
        assert!(writer.opt_array::<i32>(None, false, false, 0).is_err());
    }
}
