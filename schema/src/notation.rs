//! The notation of `broker/wire/schema/*.kw`: facts about Kafka's messages, one field a line.
//!
//! ```text
//! request FetchRequest key 1 versions 4-18 flexible 12+ listeners broker,controller
//!   ClusterId: string 12+ null 12+ tag 0 = null ignorable
//!   Topics: []FetchTopic 0+
//!     Partitions: []int32 0+
//! ```
//!
//! Two spaces of indentation make a field part of the struct named on the line above. `struct N 0+`
//! directly below a message declares a struct that several fields use. After a field's type come
//! its versions, then, in this order and each only where it holds: `null VERSIONS`, `tag N`,
//! `= DEFAULT`, `ignorable`, `key` (the field is part of the key by which Kafka keeps the list as a
//! map), `rigid` (never in the flexible encoding). `=` with nothing behind it is the empty string.

use std::fmt;

/// Inclusive range of versions; `hi == i16::MAX` stands for "and all later ones".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub lo: i16,
    pub hi: i16,
}

impl Versions {
    pub const ALL: Versions = Versions { lo: 0, hi: i16::MAX };

    /// `3`, `3-7` or `3+`; `None` for `none`.
    pub fn parse(text: &str) -> Result<Option<Versions>, String> {
        let number =
            |s: &str| s.parse::<i16>().map_err(|_| format!("not a version range: {text:?}"));
        Ok(Some(if text == "none" {
            return Ok(None);
        } else if let Some(lo) = text.strip_suffix('+') {
            Versions { lo: number(lo)?, hi: i16::MAX }
        } else if let Some((lo, hi)) = text.split_once('-') {
            Versions { lo: number(lo)?, hi: number(hi)? }
        } else {
            let only = number(text)?;
            Versions { lo: only, hi: only }
        }))
    }

    pub fn contains(self, version: i16) -> bool {
        self.lo <= version && version <= self.hi
    }

    /// Whether every version of `other` is one of `self`.
    pub fn covers(self, other: Versions) -> bool {
        self.lo <= other.lo && other.hi <= self.hi
    }

    pub fn intersect(self, other: Versions) -> Option<Versions> {
        let both = Versions { lo: self.lo.max(other.lo), hi: self.hi.min(other.hi) };
        (both.lo <= both.hi).then_some(both)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.lo, self.hi) {
            (lo, i16::MAX) => write!(f, "{lo}+"),
            (lo, hi) if lo == hi => write!(f, "{lo}"),
            (lo, hi) => write!(f, "{lo}-{hi}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Header,
    /// A record of `__cluster_metadata`.
    Metadata,
    /// The key of a coordinator's record.
    Key,
    /// The value of a coordinator's record.
    Value,
    /// Anything else that Kafka writes in this encoding.
    Data,
}

impl Kind {
    const NAMES: [(Kind, &'static str); 7] = [
        (Kind::Request, "request"),
        (Kind::Response, "response"),
        (Kind::Header, "header"),
        (Kind::Metadata, "metadata"),
        (Kind::Key, "key"),
        (Kind::Value, "value"),
        (Kind::Data, "data"),
    ];

    pub fn name(self) -> &'static str {
        Kind::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    pub fn parse(text: &str) -> Option<Kind> {
        Kind::NAMES.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    pub fn parse(text: &str) -> Type {
        match text {
            "bool" => Type::Bool,
            "int8" => Type::Int8,
            "int16" => Type::Int16,
            "uint16" => Type::Uint16,
            "int32" => Type::Int32,
            "uint32" => Type::Uint32,
            "int64" => Type::Int64,
            "float64" => Type::Float64,
            "uuid" => Type::Uuid,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "records" => Type::Records,
            name => match name.strip_prefix("[]") {
                Some(element) => Type::Array(Box::new(Type::parse(element))),
                None => Type::Struct(name.to_owned()),
            },
        }
    }

    /// The struct that a field of this type holds, once or many times.
    pub fn struct_name(&self) -> Option<&str> {
        match self {
            Type::Struct(name) => Some(name),
            Type::Array(element) => element.struct_name(),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Bool => f.write_str("bool"),
            Type::Int8 => f.write_str("int8"),
            Type::Int16 => f.write_str("int16"),
            Type::Uint16 => f.write_str("uint16"),
            Type::Int32 => f.write_str("int32"),
            Type::Uint32 => f.write_str("uint32"),
            Type::Int64 => f.write_str("int64"),
            Type::Float64 => f.write_str("float64"),
            Type::Uuid => f.write_str("uuid"),
            Type::String => f.write_str("string"),
            Type::Bytes => f.write_str("bytes"),
            Type::Records => f.write_str("records"),
            Type::Struct(name) => f.write_str(name),
            Type::Array(element) => write!(f, "[]{element}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub ty: Type,
    pub versions: Versions,
    pub null: Option<Versions>,
    pub tag: Option<u32>,
    pub default: Option<String>,
    pub ignorable: bool,
    pub key: bool,
    pub rigid: bool,
    /// Fields of the struct that this field declares; empty where it uses a declared one.
    pub fields: Vec<Field>,
}

/// A struct that several fields of a message use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struct {
    pub name: String,
    pub versions: Versions,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    pub name: String,
    /// API key, or the type number of a record.
    pub key: Option<i16>,
    pub versions: Versions,
    pub flexible: Option<Versions>,
    /// The latest version is not final and not to be offered.
    pub unstable: bool,
    pub listeners: Vec<String>,
    pub structs: Vec<Struct>,
    pub fields: Vec<Field>,
}

impl Message {
    /// Every message of one file.
    pub fn parse_all(text: &str) -> Result<Vec<Message>, String> {
        Parser::new(text)?.messages()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)?;
        if let Some(key) = self.key {
            write!(f, " key {key}")?;
        }
        write!(f, " versions {}", self.versions)?;
        match self.flexible {
            Some(versions) => write!(f, " flexible {versions}")?,
            None => f.write_str(" flexible none")?,
        }
        if self.unstable {
            f.write_str(" unstable")?;
        }
        if !self.listeners.is_empty() {
            write!(f, " listeners {}", self.listeners.join(","))?;
        }
        writeln!(f)?;
        for s in &self.structs {
            writeln!(f, "  struct {} {}", s.name, s.versions)?;
            write_fields(f, &s.fields, 2)?;
        }
        write_fields(f, &self.fields, 1)
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[Field], depth: usize) -> fmt::Result {
    for field in fields {
        write!(
            f,
            "{:indent$}{}: {} {}",
            "",
            field.name,
            field.ty,
            field.versions,
            indent = depth * 2
        )?;
        if let Some(null) = field.null {
            write!(f, " null {null}")?;
        }
        if let Some(tag) = field.tag {
            write!(f, " tag {tag}")?;
        }
        match field.default.as_deref() {
            None => {}
            Some("") => f.write_str(" =")?,
            Some(default) => write!(f, " = {default}")?,
        }
        for (set, word) in
            [(field.ignorable, " ignorable"), (field.key, " key"), (field.rigid, " rigid")]
        {
            if set {
                f.write_str(word)?;
            }
        }
        writeln!(f)?;
        write_fields(f, &field.fields, depth + 1)?;
    }
    Ok(())
}

struct Parser<'t> {
    /// Line number, depth and words of every line that says something, last line first.
    lines: Vec<(usize, usize, Vec<&'t str>)>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Result<Parser<'t>, String> {
        let mut lines = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let body = line.trim_start_matches(' ');
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            let indent = line.len() - body.len();
            if indent % 2 != 0 {
                return Err(format!("line {}: odd indentation", at + 1));
            }
            lines.push((at + 1, indent / 2, body.split_whitespace().collect()));
        }
        lines.reverse();
        Ok(Parser { lines })
    }

    /// The next line if it is at `depth`.
    fn next_at(&mut self, depth: usize) -> Option<(usize, Vec<&'t str>)> {
        let (at, _, words) = self.lines.pop_if(|line| line.1 == depth)?;
        Some((at, words))
    }

    fn messages(mut self) -> Result<Vec<Message>, String> {
        let mut messages = Vec::new();
        while let Some((at, words)) = self.next_at(0) {
            let mut message = message(&words).map_err(|e| located(at, &e))?;
            self.body(&mut message)?;
            messages.push(message);
        }
        match self.lines.pop() {
            Some((at, _, _)) => Err(located(at, "belongs to nothing")),
            None => Ok(messages),
        }
    }

    fn body(&mut self, message: &mut Message) -> Result<(), String> {
        while let Some((at, words)) = self.next_at(1) {
            let ["struct", name, versions] = words.as_slice() else {
                message.fields.push(self.field(at, &words, 1)?);
                continue;
            };
            let versions = Versions::parse(versions).map_err(|e| located(at, &e))?;
            message.structs.push(Struct {
                name: (*name).to_owned(),
                versions: versions.ok_or_else(|| located(at, "no versions"))?,
                fields: self.fields(2)?,
            });
        }
        Ok(())
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<Field>, String> {
        let mut fields = Vec::new();
        while let Some((at, words)) = self.next_at(depth) {
            fields.push(self.field(at, &words, depth)?);
        }
        Ok(fields)
    }

    /// The field of a line, and the fields below it.
    fn field(&mut self, at: usize, words: &[&str], depth: usize) -> Result<Field, String> {
        let mut field = field(words).map_err(|e| located(at, &e))?;
        field.fields = self.fields(depth + 1)?;
        Ok(field)
    }
}

fn located(line: usize, error: &str) -> String {
    format!("line {line}: {error}")
}

/// The line that begins a message.
fn message(words: &[&str]) -> Result<Message, String> {
    let mut words = words.iter().copied();
    let mut word = || words.next();
    let kind = word().and_then(Kind::parse).ok_or("a message starts with its kind")?;
    let mut message = Message {
        kind,
        name: word().ok_or("no name")?.to_owned(),
        key: None,
        versions: Versions::ALL,
        flexible: None,
        unstable: false,
        listeners: Vec::new(),
        structs: Vec::new(),
        fields: Vec::new(),
    };
    while let Some(attribute) = word() {
        if attribute == "unstable" {
            message.unstable = true;
            continue;
        }
        let value = word().ok_or_else(|| format!("{attribute} of what?"))?;
        match attribute {
            "key" => message.key = Some(value.parse().map_err(|_| "key: not a number")?),
            "versions" => {
                message.versions = Versions::parse(value)?.ok_or("no valid version")?;
            }
            "flexible" => message.flexible = Versions::parse(value)?,
            "listeners" => message.listeners = value.split(',').map(str::to_owned).collect(),
            other => return Err(format!("unknown attribute {other:?}")),
        }
    }
    Ok(message)
}

/// The line of a field.
fn field(words: &[&str]) -> Result<Field, String> {
    let [name, ty, versions, attributes @ ..] = words else {
        return Err("a field is NAME: TYPE VERSIONS".to_owned());
    };
    let mut field = Field {
        name: name.strip_suffix(':').ok_or("a field's name ends with a colon")?.to_owned(),
        ty: Type::parse(ty),
        versions: Versions::parse(versions)?.ok_or("no versions")?,
        null: None,
        tag: None,
        default: None,
        ignorable: false,
        key: false,
        rigid: false,
        fields: Vec::new(),
    };
    let mut words = attributes.iter().copied().peekable();
    while let Some(attribute) = words.next() {
        match attribute {
            "null" => field.null = Versions::parse(words.next().ok_or("null of what?")?)?,
            "tag" => {
                let tag = words.next().ok_or("tag of what?")?;
                field.tag = Some(tag.parse().map_err(|_| "tag: not a number")?);
            }
            "=" => {
                let value = words.next_if(|word| !matches!(*word, "ignorable" | "key" | "rigid"));
                field.default = Some(value.unwrap_or_default().to_owned());
            }
            "ignorable" => field.ignorable = true,
            "key" => field.key = true,
            "rigid" => field.rigid = true,
            other => return Err(format!("unknown attribute {other:?}")),
        }
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
request FooRequest key 7 versions 1-4 flexible 3+ unstable listeners broker,controller
  struct Pair 0+
    Left: int32 0+ = -1
  Name: string 0+ null 2+ = null ignorable key
  Pairs: []Pair 1+
  Other: []Inline 3+ tag 1
    Rack: string 3+ = ignorable rigid
    Deep: Deeper 3-4
      Id: uuid 3+
response FooResponse key 7 versions 1-4 flexible none
  Ids: []int64 0+
";

    #[test]
    fn what_is_printed_is_what_was_read() {
        let messages = Message::parse_all(SAMPLE).unwrap();
        let printed: String = messages.iter().map(ToString::to_string).collect();
        assert_eq!(printed, SAMPLE);
        assert_eq!(messages[0].fields[2].fields[0].default.as_deref(), Some(""));
        assert!(messages[0].fields[2].fields[0].ignorable);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [
            ("request A versions 0 flexible none\n   X: int8 0\n", 2),
            ("request A versions 0 flexible none\n\n  X int8 0\n", 3),
            ("request A versions 0 flexible none\n  X: int8 0 odd\n", 2),
            ("  X: int8 0\n", 1),
        ] {
            let error = Message::parse_all(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}: ")), "{error}: {text}");
        }
    }
}
