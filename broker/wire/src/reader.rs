//! Reading Kafka's primitive types from a slice, without trust.
//!
//! Every length is compared with the bytes that are left before memory is taken for it, and all
//! memory taken for arrays is charged to a budget of 8 bytes per byte received and 64 KiB. So an
//! array of a billion elements costs its sender a gigabyte and not us. [`Reader::within`] bounds
//! the elements of all arrays together, for what is read in one go.

use std::borrow::Cow;

use crate::{
    Decode, Error,
    types::{Blob, Records, Str, Uuid},
};

/// Memory that decoding may take per byte received.
const BUDGET_FACTOR: usize = 8;
/// Memory that decoding may take besides.
const BUDGET_BASE: usize = 64 * 1024;
/// Kafka's longest string, in either encoding.
const STRING_BYTES_MAX: usize = i16::MAX as usize;

const TRUNCATED: Error = Error::Malformed("ends before a value does");
const LENGTH: Error = Error::Malformed("a length is longer than what is left");
const NULL: Error = Error::Malformed("null where the version has none");
const VARINT: Error = Error::Malformed("a variable-length number is too long");

/// A position in the received bytes, and what may still be spent on them.
///
/// The methods read one value each and move on. `flex` chooses the encoding of lengths: KIP-482's
/// variable-length numbers, or fixed ones. After an error the position is unspecified.
#[derive(Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
    budget: usize,
    /// Elements that arrays may still have, together.
    elements: usize,
}

/// A tagged field's number, and the bytes behind it.
#[derive(Debug)]
pub(crate) struct Tag<'a> {
    pub(crate) number: u32,
    behind: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader::within(bytes, usize::MAX)
    }

    /// A reader whose arrays have at most so many elements together, those in other elements
    /// included.
    pub fn within(bytes: &'a [u8], elements: usize) -> Reader<'a> {
        let budget = bytes.len().saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET_BASE);
        Reader { left: bytes, budget, elements }
    }

    /// Bytes that have not been read.
    pub fn remaining(&self) -> &'a [u8] {
        self.left
    }

    /// Memory that arrays may still take, in bytes.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Fails unless everything has been read.
    pub fn expect_end(&self) -> Result<(), Error> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(Error::Malformed("bytes behind the message"))
        }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Error> {
        let (taken, left) = self.left.split_at_checked(bytes).ok_or(LENGTH)?;
        self.left = left;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, left) = self.left.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.left = left;
        Ok(*taken)
    }

    /// Any byte but 0 is true, as Kafka has it.
    pub fn bool(&mut self) -> Result<bool, Error> {
        Ok(self.i8()? != 0)
    }

    pub fn i8(&mut self) -> Result<i8, Error> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Error> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        self.fixed().map(u16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Error> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Error> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub fn f64(&mut self) -> Result<f64, Error> {
        self.fixed().map(f64::from_be_bytes)
    }

    pub fn uuid(&mut self) -> Result<Uuid, Error> {
        self.fixed().map(Uuid::from)
    }

    /// KIP-482's unsigned variable-length number: 7 bits a byte, low ones first, at most 5 bytes.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, Error> {
        // Nearly all are lengths of a few bytes.
        if let [byte @ 0..0x80, left @ ..] = self.left {
            self.left = left;
            return Ok(u32::from(*byte));
        }
        self.long_uvarint()
    }

    fn long_uvarint(&mut self) -> Result<u32, Error> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(VARINT);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(VARINT)
    }

    /// A length in the flexible encoding: one more than it is, 0 for null.
    fn compact_length(&mut self) -> Result<Option<usize>, Error> {
        Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize))
    }

    /// A fixed-width length; below zero is null.
    fn length(&mut self, flex: bool) -> Result<Option<usize>, Error> {
        if flex {
            return self.compact_length();
        }
        let length = self.i32()?;
        Ok(usize::try_from(length).ok())
    }

    /// As [`Reader::string`]; null is an error unless `nullable`.
    pub fn opt_string(&mut self, flex: bool, nullable: bool) -> Result<Option<Str<'a>>, Error> {
        let length = if flex { self.compact_length()? } else { usize::try_from(self.i16()?).ok() };
        let Some(length) = length else {
            return if nullable { Ok(None) } else { Err(NULL) };
        };
        if length > STRING_BYTES_MAX {
            return Err(Error::Malformed("a string is longer than 32767 bytes"));
        }
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => Err(Error::Malformed("a string is not UTF-8")),
        }
    }

    /// UTF-8 of at most 32,767 bytes, borrowed.
    pub fn string(&mut self, flex: bool) -> Result<Str<'a>, Error> {
        self.opt_string(flex, false)?.ok_or(NULL)
    }

    fn opt_slice(&mut self, flex: bool, nullable: bool) -> Result<Option<&'a [u8]>, Error> {
        match self.length(flex)? {
            Some(length) => self.take(length).map(Some),
            None if nullable => Ok(None),
            None => Err(NULL),
        }
    }

    /// As [`Reader::bytes`]; null is an error unless `nullable`.
    pub fn opt_bytes(&mut self, flex: bool, nullable: bool) -> Result<Option<Blob<'a>>, Error> {
        Ok(self.opt_slice(flex, nullable)?.map(Cow::Borrowed))
    }

    /// A blob, borrowed.
    pub fn bytes(&mut self, flex: bool) -> Result<Blob<'a>, Error> {
        self.opt_bytes(flex, false)?.ok_or(NULL)
    }

    /// As [`Reader::records`]; null is an error unless `nullable`.
    pub fn opt_records(
        &mut self,
        flex: bool,
        nullable: bool,
    ) -> Result<Option<Records<'a>>, Error> {
        Ok(self.opt_slice(flex, nullable)?.map(Records::Borrowed))
    }

    /// Record batches, borrowed and not looked into.
    pub fn records(&mut self, flex: bool) -> Result<Records<'a>, Error> {
        self.opt_records(flex, false)?.ok_or(NULL)
    }

    /// The length of an array whose elements take at least `element_bytes` on the wire each, and an
    /// empty vector that will not grow. Nothing is allocated before both bounds have been checked.
    fn opt_list<T>(
        &mut self,
        flex: bool,
        nullable: bool,
        element_bytes: usize,
    ) -> Result<Option<(usize, Vec<T>)>, Error> {
        let Some(length) = self.length(flex)? else {
            return if nullable { Ok(None) } else { Err(NULL) };
        };
        if length > self.left.len() / element_bytes.max(1) {
            return Err(LENGTH);
        }
        self.elements = self.elements.checked_sub(length).ok_or(Error::TooMany)?;
        let memory = length.saturating_mul(size_of::<T>());
        self.budget = self
            .budget
            .checked_sub(memory)
            .ok_or(Error::Malformed("too much memory for the bytes received"))?;
        Ok(Some((length, Vec::with_capacity(length))))
    }

    /// As [`Reader::array`]; null is an error unless `nullable`.
    pub fn opt_array<T: Decode<'a>>(
        &mut self,
        flex: bool,
        nullable: bool,
        version: i16,
    ) -> Result<Option<Vec<T>>, Error> {
        let Some((length, mut list)) = self.opt_list(flex, nullable, T::MIN_SIZE)? else {
            return Ok(None);
        };
        for _ in 0..length {
            list.push(T::decode(self, version)?);
        }
        Ok(Some(list))
    }

    /// A list of structs or fixed-width values.
    pub fn array<T: Decode<'a>>(&mut self, flex: bool, version: i16) -> Result<Vec<T>, Error> {
        self.opt_array(flex, false, version)?.ok_or(NULL)
    }

    /// As [`Reader::strings`]; null is an error unless `nullable`.
    pub fn opt_strings(
        &mut self,
        flex: bool,
        nullable: bool,
    ) -> Result<Option<Vec<Str<'a>>>, Error> {
        let string_bytes = if flex { 1 } else { 2 };
        let Some((length, mut list)) = self.opt_list(flex, nullable, string_bytes)? else {
            return Ok(None);
        };
        for _ in 0..length {
            list.push(self.string(flex)?);
        }
        Ok(Some(list))
    }

    /// A list of strings.
    pub fn strings(&mut self, flex: bool) -> Result<Vec<Str<'a>>, Error> {
        self.opt_strings(flex, false)?.ok_or(NULL)
    }

    /// A struct behind a byte that says whether it is there (KIP-893); without that byte in
    /// versions in which it cannot be null.
    pub fn opt_struct<T: Decode<'a>>(
        &mut self,
        nullable: bool,
        version: i16,
    ) -> Result<Option<T>, Error> {
        if nullable && self.i8()? < 0 {
            return Ok(None);
        }
        T::decode(self, version).map(Some)
    }

    /// Skips a message's or struct's tagged fields, none of which we know.
    pub(crate) fn skip_tags(&mut self) -> Result<(), Error> {
        let mut tags = self.uvarint()?;
        while let Some(tag) = self.next_tag(&mut tags)? {
            self.end_tag(tag, false)?;
        }
        Ok(())
    }

    /// The next of `tags` tagged fields; until [`Reader::end_tag`] nothing behind it can be read.
    pub(crate) fn next_tag(&mut self, tags: &mut u32) -> Result<Option<Tag<'a>>, Error> {
        if *tags == 0 {
            return Ok(None);
        }
        *tags -= 1;
        let number = self.uvarint()?;
        let size = self.uvarint()? as usize;
        let (value, behind) = self.left.split_at_checked(size).ok_or(LENGTH)?;
        self.left = value;
        Ok(Some(Tag { number, behind }))
    }

    /// Goes on behind a tagged field, which must have been read to its end if it was `known`.
    pub(crate) fn end_tag(&mut self, tag: Tag<'a>, known: bool) -> Result<(), Error> {
        if known && !self.left.is_empty() {
            return Err(Error::Malformed("a tagged field is longer than its value"));
        }
        self.left = tag.behind;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_length_numbers() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x7f], 127),
            (&[0x80, 1], 128),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX),
            (&[0x80, 0x80, 0x80, 0x80, 0x00], 0),
        ] {
            assert_eq!(Reader::new(bytes).uvarint(), Ok(value), "{bytes:?}");
        }
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]] {
            assert_eq!(Reader::new(bytes).uvarint(), Err(VARINT), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[0x80]).uvarint(), Err(TRUNCATED));
    }

    #[test]
    fn strings_and_null() {
        assert_eq!(Reader::new(b"\x00\x02hi").string(false).unwrap(), "hi");
        assert_eq!(Reader::new(b"\x03hi").string(true).unwrap(), "hi");
        assert_eq!(Reader::new(b"\xff\xff").opt_string(false, true), Ok(None));
        assert_eq!(Reader::new(b"\x00").opt_string(true, true), Ok(None));
        assert_eq!(Reader::new(b"\x00").string(true), Err(NULL));
        assert_eq!(Reader::new(b"\x04hi").string(true), Err(LENGTH));
        assert!(Reader::new(b"\x02\xff").string(true).is_err());
        let mut long = vec![0x81, 0x80, 0x02];
        long.resize(3 + 32768, b'x');
        assert!(Reader::new(&long).string(true).is_err());
    }

    #[test]
    fn a_length_costs_nothing_before_it_is_believed() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        assert_eq!(Reader::new(&huge).array::<i32>(true, 0), Err(LENGTH));
        let mut reader = Reader::new(b"\x00\x00\x00\x02\0\0\0\x01\0\0\0\x02");
        let before = reader.budget();
        assert_eq!(reader.array::<i32>(false, 0), Ok(vec![1, 2]));
        assert_eq!(before - reader.budget(), 8);
    }

    #[test]
    fn elements_of_all_arrays_are_counted_together() {
        let bytes = b"\x00\x00\x00\x02\0\0\0\x01\0\0\0\x02\x00\x00\x00\x01\0\0\0\x01";
        let mut reader = Reader::within(bytes, 3);
        assert_eq!(reader.array::<i32>(false, 0), Ok(vec![1, 2]));
        assert_eq!(reader.array::<i32>(false, 0), Ok(vec![1]));
        let mut reader = Reader::within(bytes, 2);
        assert_eq!(reader.array::<i32>(false, 0), Ok(vec![1, 2]));
        assert_eq!(reader.array::<i32>(false, 0), Err(Error::TooMany));
    }

    #[test]
    fn the_budget_ends_what_small_elements_begin() {
        // Empty strings: 1 byte on the wire, 24 in memory.
        let mut bytes = vec![0x81, 0x80, 0x40];
        bytes.resize(3 + (1 << 20), 1);
        assert_eq!(
            Reader::new(&bytes).strings(true),
            Err(Error::Malformed("too much memory for the bytes received"))
        );
    }

    #[test]
    fn tagged_fields_end_where_they_say() {
        let bytes = [2, 0, 1, 7, 9, 2, 0, 0, 5];
        let mut reader = Reader::new(&bytes);
        reader.skip_tags().unwrap();
        assert_eq!(reader.remaining(), &[5]);

        let mut reader = Reader::new(&bytes);
        let mut tags = reader.uvarint().unwrap();
        let tag = reader.next_tag(&mut tags).unwrap().unwrap();
        assert_eq!(tag.number, 0);
        assert_eq!(reader.i16(), Err(TRUNCATED), "the tag has one byte");
        assert!(reader.end_tag(tag, true).is_err());
    }
}
