//! Requests in which one array is as long as a frame allows: with one name again and again, or with
//! another each time.
use schema::{
    Field, Message, Type,
    sampler::{length, uvarint},
};
use wire::{ApiKey, header};

/// What the elements of the array name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// One thing that exists.
    Same,
    /// Each another, of which the first exist.
    Distinct,
}

/// What exists.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) topic: String,
    pub(crate) topic_id: [u8; 16],
    pub(crate) group: String,
}

/// The arrays of a message in a version, as paths of field names.
pub(crate) fn arrays(message: &Message, version: i16) -> Vec<Vec<String>> {
    fn walk(
        message: &Message,
        fields: &[Field],
        version: i16,
        path: &[String],
        all: &mut Vec<Vec<String>>,
    ) {
        for field in fields.iter().filter(|f| f.versions.contains(version)) {
            let path = [path, std::slice::from_ref(&field.name)].concat();
            if matches!(field.ty, Type::Array(_)) {
                all.push(path.clone());
            }
            if field.ty.struct_name().is_some() {
                walk(message, inner(message, field), version, &path, all);
            }
        }
    }
    let mut all = Vec::new();
    walk(message, &message.fields, version, &[], &mut all);
    all
}

fn inner<'m>(message: &'m Message, field: &'m Field) -> &'m [Field] {
    let name = field.ty.struct_name();
    let shared = message.structs.iter().find(|s| Some(&*s.name) == name);
    shared.map_or(&field.fields, |s| &s.fields)
}

/// A frame of about `bytes`, whose array at `path` is as long as that allows, and has at most so
/// many elements.
pub(crate) fn frame(
    message: &Message,
    key: ApiKey,
    version: i16,
    path: &[String],
    (bytes, elements): (usize, usize),
    named: Named,
    world: &World,
) -> Vec<u8> {
    let mut crowd = Crowd { message, version, path, length: 1, at: 0, named, world };
    // Elements are about as long as these.
    let (few, more) = (crowd.body(100).len(), crowd.body(600).len());
    let length = (bytes.saturating_sub(few) * 500 / (more - few).max(1)).clamp(1, elements);
    let mut request = Vec::new();
    request.extend(key.code().to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(crate::requests::ID.to_be_bytes());
    request.extend(i16::to_be_bytes(-1));
    if header::request_version(key, version) >= 2 {
        request.push(0);
    }
    request.extend(crowd.body(length));
    [&(request.len() as i32).to_be_bytes()[..], &request].concat()
}

struct Crowd<'m> {
    message: &'m Message,
    version: i16,
    path: &'m [String],
    length: usize,
    /// The place in the array of the element that is written.
    at: usize,
    named: Named,
    world: &'m World,
}

impl<'m> Crowd<'m> {
    fn body(&mut self, length: usize) -> Vec<u8> {
        (self.length, self.at) = (length, 0);
        let mut out = Vec::new();
        let message = self.message;
        self.fields(&mut out, &message.fields, &[]);
        out
    }

    fn is_flexible(&self) -> bool {
        let flexible = self.message.flexible;
        flexible.is_some_and(|f| f.contains(self.version))
    }

    fn fields(&mut self, out: &mut Vec<u8>, fields: &'m [Field], path: &[String]) {
        let version = self.version;
        let carried = || fields.iter().filter(|f| f.versions.contains(version));
        for field in carried().filter(|f| f.tag.is_none()) {
            self.field(out, field, path);
        }
        if !self.is_flexible() {
            return;
        }
        let mut tags = Vec::new();
        for field in carried() {
            let inner = [path, std::slice::from_ref(&field.name)].concat();
            if let Some(tag) = field.tag
                && self.path.starts_with(&inner)
            {
                let mut value = Vec::new();
                self.field(&mut value, field, path);
                tags.push((tag, value));
            }
        }
        tags.sort();
        uvarint(out, tags.len() as u32);
        for (tag, value) in tags {
            uvarint(out, tag);
            uvarint(out, value.len() as u32);
            out.extend(value);
        }
    }

    fn field(&mut self, out: &mut Vec<u8>, field: &'m Field, path: &[String]) {
        let flex = self.is_flexible() && !field.rigid;
        let path = [path, std::slice::from_ref(&field.name)].concat();
        let on_path = self.path.starts_with(&path);
        let nullable = field.null.is_some_and(|n| n.contains(self.version));
        match &field.ty {
            Type::Array(element) => {
                let count = match (on_path, self.path.len() == path.len()) {
                    (false, _) if nullable && field.default.as_deref() == Some("null") => {
                        return length(out, None, flex);
                    }
                    (false, _) => 0,
                    (true, true) => self.length,
                    (true, false) => 1,
                };
                length(out, Some(count), flex);
                for at in 0..count {
                    if count == self.length && on_path {
                        self.at = at;
                    }
                    self.value(out, element, field, flex, &path);
                }
            }
            Type::Struct(_) => {
                if nullable {
                    let none = !on_path && field.default.as_deref() == Some("null");
                    out.push(if none { 0xff } else { 1 });
                    if none {
                        return;
                    }
                }
                self.value(out, &field.ty, field, flex, &path);
            }
            Type::String if nullable && !self.is_name(field) => {
                if flex {
                    out.push(0);
                } else {
                    out.extend(i16::to_be_bytes(-1));
                }
            }
            Type::Bytes | Type::Records if nullable => length(out, None, flex),
            ty => self.value(out, ty, field, flex, &path),
        }
    }

    fn is_name(&self, field: &Field) -> bool {
        ["Name", "Topic", "TopicName", "ResourceName", "GroupId", "MemberId"]
            .contains(&&*field.name)
    }

    fn value(
        &mut self,
        out: &mut Vec<u8>,
        ty: &'m Type,
        field: &'m Field,
        flex: bool,
        path: &[String],
    ) {
        match ty {
            Type::Struct(_) => self.fields(out, inner(self.message, field), path),
            Type::String => {
                let text = self.text(field);
                if flex {
                    uvarint(out, text.len() as u32 + 1);
                } else {
                    out.extend((text.len() as i16).to_be_bytes());
                }
                out.extend(text.bytes());
            }
            Type::Bytes | Type::Records => length(out, Some(0), flex),
            Type::Uuid => {
                let mut id = self.world.topic_id;
                if self.named == Named::Distinct && self.at > 0 {
                    id[..8].copy_from_slice(&(self.at as u64).to_be_bytes());
                }
                out.extend(id);
            }
            Type::Array(_) => unreachable!("{}: an array of arrays", field.name),
            fixed => {
                let number = self.number(field).to_be_bytes();
                let size = match fixed {
                    Type::Bool | Type::Int8 => 1,
                    Type::Int16 | Type::Uint16 => 2,
                    Type::Int32 | Type::Uint32 => 4,
                    _ => 8,
                };
                out.extend(&number[8 - size..]);
            }
        }
    }

    fn text(&self, field: &Field) -> String {
        let name = field.name.to_lowercase();
        let known = if name.contains("group") || name.contains("key") {
            &self.world.group
        } else if name.contains("name") || name.contains("topic") || name.contains("user") {
            &self.world.topic
        } else if name.contains("filter") || name.contains("member") {
            "nobody"
        } else {
            return String::new();
        };
        match self.named {
            Named::Distinct if self.at > 0 => format!("{known}{}", self.at),
            _ => known.to_owned(),
        }
    }

    fn number(&self, field: &Field) -> i64 {
        let default = field.default.as_deref().and_then(|d| d.parse().ok());
        let distinct = self.named == Named::Distinct;
        match &*field.name {
            "Acks" => -1,
            "ResourceType" => 2,
            "MaxWaitMs" | "TimeoutMs" | "timeoutMs" => 100,
            "MaxBytes" | "PartitionMaxBytes" => 1 << 20,
            "SessionTimeoutMs" | "RebalanceTimeoutMs" => 10_000,
            "NumPartitions" | "ReplicationFactor" | "EndpointType" => 1,
            "Count" => 3,
            "IncludeSynonyms" | "IncludeDocumentation" => 1,
            "ResponsePartitionLimit" => 2_000,
            name if distinct
                && (name.contains("artition")
                    || name.contains("Index")
                    || name.contains("Replicas")) =>
            {
                self.at as i64
            }
            _ => default.unwrap_or(0),
        }
    }
}
