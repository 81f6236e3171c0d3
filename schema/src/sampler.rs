//! Bytes of a message straight from its schema: a second encoder that shares nothing with the
//! generated one but the facts.
//!
//! What it writes is canonical: a tagged field is there only if it differs from its default, and
//! tags ascend. So decoding and encoding again must give the same bytes.

use std::collections::BTreeMap;

use crate::notation::{Field, Message, Type};

/// Numbers from a seed (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Every field has its default.
    Default,
    /// From the random numbers.
    Random,
}

#[derive(Debug)]
pub struct Sampler<'m> {
    pub message: &'m Message,
    pub version: i16,
    pub random: Random,
    pub values: Values,
    /// Adds tagged fields that nobody knows.
    pub unknown_tags: bool,
    /// Uses its own numbers, so that the message is the same with and without unknown tags.
    pub tag_random: Random,
    /// Strings and blobs are empty, tags are absent: elements as short as they can be.
    terse: bool,
}

impl<'m> Sampler<'m> {
    pub fn new(message: &'m Message, version: i16, seed: u64) -> Sampler<'m> {
        Sampler {
            message,
            version,
            random: Random(seed),
            values: Values::Random,
            unknown_tags: false,
            tag_random: Random(!seed),
            terse: seed % 4 == 3,
        }
    }

    pub fn bytes(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.fields(&mut out, &self.message.fields);
        out
    }

    fn flexible(&self) -> bool {
        self.message.flexible.is_some_and(|flexible| flexible.contains(self.version))
    }

    fn fields(&mut self, out: &mut Vec<u8>, fields: &'m [Field]) {
        let carried: Vec<_> =
            fields.iter().filter(|field| field.versions.contains(self.version)).collect();
        for field in carried.iter().filter(|field| field.tag.is_none()) {
            self.field(out, field, false);
        }
        if !self.flexible() {
            return;
        }
        let mut tags = BTreeMap::new();
        for field in carried {
            if let Some(tag) = field.tag
                && self.values == Values::Random
                && !self.terse
                && !self.random.one_in(3)
            {
                let mut value = Vec::new();
                self.field(&mut value, field, true);
                if value != self.default_value(field) {
                    tags.insert(tag, value);
                }
            }
        }
        if self.unknown_tags {
            for _ in 0..self.tag_random.below(3) {
                let tag = 5000 + self.tag_random.below(1 << 20) as u32;
                let size = self.tag_random.below(200);
                tags.insert(tag, vec![0xfe; size]);
            }
        }
        uvarint(out, tags.len() as u32);
        for (tag, value) in tags {
            uvarint(out, tag);
            uvarint(out, value.len() as u32);
            out.extend(value);
        }
    }

    fn default_value(&self, field: &'m Field) -> Vec<u8> {
        let mut plain = Sampler {
            values: Values::Default,
            random: self.random.clone(),
            tag_random: self.tag_random.clone(),
            ..*self
        };
        let mut out = Vec::new();
        plain.field(&mut out, field, false);
        out
    }

    /// One value; `set` asks for one that is not null, not empty.
    fn field(&mut self, out: &mut Vec<u8>, field: &'m Field, set: bool) {
        let flex = self.flexible() && !field.rigid;
        let nullable = field.null.is_some_and(|null| null.contains(self.version));
        let null = match self.values {
            Values::Default => field.default.as_deref() == Some("null"),
            Values::Random => nullable && !set && self.random.one_in(4),
        };
        assert!(!null || nullable, "{}: null by default", field.name);
        self.value(out, &field.ty, field, flex, nullable, null);
    }

    fn value(
        &mut self,
        out: &mut Vec<u8>,
        ty: &Type,
        field: &'m Field,
        flex: bool,
        nullable: bool,
        null: bool,
    ) {
        match ty {
            Type::String if null && !flex => out.extend(i16::to_be_bytes(-1)),
            Type::String => {
                let text = self.text();
                if flex {
                    uvarint(out, if null { 0 } else { text.len() as u32 + 1 });
                } else {
                    out.extend((text.len() as i16).to_be_bytes());
                }
                out.extend(text.bytes().filter(|_| !null));
            }
            Type::Bytes | Type::Records => {
                let size = match self.values {
                    Values::Default => 0,
                    Values::Random if self.terse => 0,
                    Values::Random => self.random.below(40),
                };
                length(out, (!null).then_some(size), flex);
                if !null {
                    out.extend((0..size).map(|at| at as u8));
                }
            }
            Type::Array(element) => {
                let size = match self.values {
                    Values::Default => 0,
                    Values::Random => self.random.below(3) + usize::from(field.tag.is_some()),
                };
                length(out, (!null).then_some(size), flex);
                if !null {
                    for _ in 0..size {
                        self.value(out, element, field, flex, false, false);
                    }
                }
            }
            Type::Struct(_) if null => out.push(0xff),
            Type::Struct(name) => {
                if nullable {
                    out.push(1);
                }
                let shared = self.message.structs.iter().find(|s| s.name == *name);
                let fields = shared.map_or(&field.fields, |s| &s.fields);
                self.fields(out, fields);
            }
            Type::Bool => out.push(match self.values {
                Values::Default => u8::from(field.default.as_deref() == Some("true")),
                Values::Random => (self.random.next_u64() & 1) as u8,
            }),
            fixed => {
                let number = match self.values {
                    Values::Default => field.default.as_deref().map_or(0, |n| n.parse().unwrap()),
                    Values::Random => self.number(),
                };
                let bytes = i128::from(number).to_be_bytes();
                let size = match fixed {
                    Type::Int8 => 1,
                    Type::Int16 | Type::Uint16 => 2,
                    Type::Int32 | Type::Uint32 => 4,
                    Type::Int64 | Type::Float64 => 8,
                    _ => 16,
                };
                out.extend(&bytes[16 - size..]);
            }
        }
    }

    /// Small, extreme or any.
    fn number(&mut self) -> i64 {
        match self.random.below(4) {
            0 => self.random.below(5) as i64 - 1,
            1 => i64::MAX >> self.random.below(63),
            _ => self.random.next_u64() as i64,
        }
    }

    fn text(&mut self) -> String {
        const LETTERS: &[char] = &['a', 'Z', '-', '.', '\0', 'é', '語', '🦀'];
        if self.values == Values::Default || self.terse {
            return String::new();
        }
        // Now and then one whose compact length takes two bytes.
        let size = if self.random.one_in(20) { 200 } else { self.random.below(6) };
        (0..size).map(|_| LETTERS[self.random.below(LETTERS.len())]).collect()
    }
}

/// Appends a length as it stands before what has one; `None` is null.
pub fn length(out: &mut Vec<u8>, length: Option<usize>, flex: bool) {
    if flex {
        uvarint(out, length.map_or(0, |length| length as u32 + 1));
    } else {
        out.extend(length.map_or(-1, |length| length as i32).to_be_bytes());
    }
}

/// Appends an unsigned variable-length number.
pub fn uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
