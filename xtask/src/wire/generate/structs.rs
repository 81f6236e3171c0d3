//! A message's structs: definition, defaults, decoding, encoding.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Context, Result, ensure};
use schema::{Field, Kind, Message, Type, Versions};

use super::{is_api, lifetime, stem};
use crate::wire::names;

/// Appends everything about `message`, which shares its module with `siblings`.
pub(super) fn message(out: &mut String, message: &Message, siblings: &[Message]) -> Result<()> {
    let writer = Generator::new(message, siblings)?;
    for part in &writer.parts {
        writer.part(out, part)?;
    }
    writer.traits(out)
}

/// Whether a message's struct has a lifetime.
pub(super) fn borrows(message: &Message) -> Result<bool> {
    let generator = Generator::new(message, &[])?;
    Ok(generator.any_borrows(&message.fields))
}

/// Messages of APIs that outlive the frame they were read from.
const KEPT: &[&str] = &[
    "DescribeGroupsResponse",
    "FindCoordinatorResponse",
    "ListGroupsResponse",
    "OffsetFetchRequest",
    "OffsetFetchResponse",
];

/// Whether a message can be detached from the bytes it was read from, as every record can.
fn is_kept(message: &Message) -> bool {
    !is_api(message.kind) || KEPT.contains(&message.name.as_str())
}

/// One struct to be written.
struct Part<'m> {
    /// Rust's name.
    name: String,
    fields: &'m [Field],
    /// The versions in which it can occur: conditions that hold in all of them are left out.
    range: Versions,
    is_message: bool,
}

struct Generator<'m> {
    message: &'m Message,
    parts: Vec<Part<'m>>,
    /// Kafka's names that both messages of this module use for structs of their own.
    shared: BTreeSet<&'m str>,
}

impl<'m> Generator<'m> {
    fn new(message: &'m Message, siblings: &'m [Message]) -> Result<Generator<'m>> {
        let own = struct_names(message);
        let shared = siblings
            .iter()
            .filter(|sibling| sibling.name != message.name)
            .flat_map(struct_names)
            .filter(|name| own.contains(name))
            .collect();
        let mut generator = Generator { message, parts: Vec::new(), shared };
        generator.add(message.name.clone(), &message.fields, message.versions, true)?;
        for part in &message.structs {
            let range =
                part.versions.intersect(message.versions).context("a struct of no version")?;
            generator.add(generator.rust_name(&part.name), &part.fields, range, false)?;
        }
        Ok(generator)
    }

    fn add(
        &mut self,
        name: String,
        fields: &'m [Field],
        range: Versions,
        is_message: bool,
    ) -> Result<()> {
        self.parts.push(Part { name, fields, range, is_message });
        for field in fields.iter().filter(|field| !field.fields.is_empty()) {
            let Some(range) = field.versions.intersect(range) else {
                continue;
            };
            let name = field.ty.struct_name().context("fields of what?")?;
            self.add(self.rust_name(name), &field.fields, range, false)?;
        }
        Ok(())
    }

    fn rust_name(&self, kafka: &str) -> String {
        let prefix = match self.message.kind {
            _ if !self.shared.contains(kafka) => "",
            Kind::Request => "Request",
            Kind::Response => "Response",
            Kind::Key => "Key",
            _ => "Value",
        };
        format!("{prefix}{kafka}")
    }

    fn part_named(&self, kafka: &str) -> Option<&Part<'m>> {
        let name = self.rust_name(kafka);
        self.parts.iter().find(|part| part.name == name)
    }

    // Types.

    fn any_borrows(&self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.type_borrows(&field.ty))
    }

    fn type_borrows(&self, ty: &Type) -> bool {
        match ty {
            Type::String | Type::Bytes | Type::Records => true,
            Type::Array(element) => self.type_borrows(element),
            Type::Struct(name) => {
                self.part_named(name).is_some_and(|part| self.any_borrows(part.fields))
            }
            _ => false,
        }
    }

    fn type_text(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::Int8 => "i8".to_owned(),
            Type::Int16 => "i16".to_owned(),
            Type::Uint16 => "u16".to_owned(),
            Type::Int32 => "i32".to_owned(),
            Type::Uint32 => "u32".to_owned(),
            Type::Int64 => "i64".to_owned(),
            Type::Float64 => "f64".to_owned(),
            Type::Uuid => "Uuid".to_owned(),
            Type::String => "Str<'a>".to_owned(),
            Type::Bytes => "Blob<'a>".to_owned(),
            Type::Records => "Records<'a>".to_owned(),
            Type::Struct(name) => self.rust_name(name) + &lifetime(self.type_borrows(ty), "'a"),
            Type::Array(element) => format!("Vec<{}>", self.type_text(element)),
        }
    }

    /// Least bytes on the wire in one version.
    fn min_size(&self, fields: &[Field], version: i16) -> usize {
        let flex = self.message.flexible.is_some_and(|flexible| flexible.contains(version));
        let sizes = fields
            .iter()
            .filter(|field| field.tag.is_none() && field.versions.contains(version))
            .map(|field| {
                let compact = flex && !field.rigid;
                match &field.ty {
                    Type::Bool | Type::Int8 => 1,
                    Type::Int16 | Type::Uint16 => 2,
                    Type::Int32 | Type::Uint32 => 4,
                    Type::Int64 | Type::Float64 => 8,
                    Type::Uuid => 16,
                    Type::String if !compact => 2,
                    Type::Bytes | Type::Records | Type::Array(_) if !compact => 4,
                    Type::Struct(name)
                        if !field.null.is_some_and(|null| null.contains(version)) =>
                    {
                        self.part_named(name).map_or(0, |part| self.min_size(part.fields, version))
                    }
                    _ => 1,
                }
            });
        sizes.sum::<usize>() + usize::from(flex)
    }

    // A struct.

    fn part(&self, out: &mut String, part: &Part<'m>) -> Result<()> {
        let borrows = self.any_borrows(part.fields);
        let fields = self.fields(part);
        if part.is_message {
            writeln!(
                out,
                "/// {} `{}`, versions {}, flexible {}.",
                match self.message.kind {
                    Kind::Request => "Request",
                    Kind::Response => "Response",
                    Kind::Metadata => "Metadata record",
                    Kind::Key => "Record key",
                    Kind::Value => "Record value",
                    Kind::Header | Kind::Data => "Structure",
                },
                self.message.name,
                self.message.versions,
                self.message
                    .flexible
                    .map_or_else(|| "none".to_owned(), |flexible| flexible.to_string())
            )?;
        } else {
            writeln!(out, "/// Part of [`{}`].", self.message.name)?;
        }
        let derives_default = fields.iter().all(|field| field.derived_default());
        writeln!(
            out,
            "#[derive(Debug, Clone, PartialEq{})]\npub struct {}{} {{",
            if derives_default { ", Default" } else { "" },
            part.name,
            lifetime(borrows, "'a")
        )?;
        for field in &fields {
            if let Some(note) = field.note() {
                writeln!(out, "/// {note}")?;
            }
            writeln!(out, "pub {}: {},", field.name, field.rust_type)?;
        }
        out.push_str("}\n\n");

        let anonymous = lifetime(borrows, "'_");
        if !derives_default {
            writeln!(
                out,
                "impl Default for {}{anonymous} {{ fn default() -> Self {{ Self {{",
                part.name
            )?;
            for field in &fields {
                writeln!(out, "{}: {},", field.name, field.default_text()?)?;
            }
            out.push_str("} } }\n\n");
        }
        self.decode(out, part, &fields, borrows)?;
        self.encode(out, part, &fields, &anonymous)?;
        if borrows && is_kept(self.message) {
            self.detach(out, part, &fields)?;
        }
        Ok(())
    }

    fn fields(&self, part: &Part<'m>) -> Vec<RustField<'m>> {
        part.fields
            .iter()
            .filter_map(|field| {
                let range = field.versions.intersect(part.range)?;
                let null = field.null.and_then(|null| null.intersect(range));
                let plain = self.type_text(&field.ty);
                Some(RustField {
                    field,
                    name: names::field(&field.name),
                    borrows: self.type_borrows(&field.ty),
                    rust_type: match null {
                        Some(_) => format!("Option<{plain}>"),
                        None => plain,
                    },
                    range,
                    null,
                    part_range: part.range,
                })
            })
            .collect()
    }

    /// `true`, `false`, or `flex` for a name bound by [`Generator::bind_flex`].
    fn flex(&self, range: Versions) -> &'static str {
        match self.message.flexible {
            Some(flexible) if flexible.covers(range) => "true",
            Some(flexible) if flexible.intersect(range).is_some() => "flex",
            _ => "false",
        }
    }

    fn bind_flex(&self, body: &mut String, range: Versions) -> Result<()> {
        if let (Some(flexible), "flex") = (self.message.flexible, self.flex(range)) {
            ensure!(flexible.hi == i16::MAX, "flexible, and later not?");
            writeln!(body, "let flex = version >= {};", flexible.lo)?;
        }
        Ok(())
    }

    fn decode(
        &self,
        out: &mut String,
        part: &Part<'m>,
        fields: &[RustField<'m>],
        borrows: bool,
    ) -> Result<()> {
        let flex = self.flex(part.range);
        let mut body = String::new();
        if part.is_message {
            body.push_str("Self::check_version(version)?;\n");
        }
        self.bind_flex(&mut body, part.range)?;
        let tagged: Vec<_> = sorted_tags(fields);
        let mut literal = String::from("Self {\n");
        for field in fields {
            let value = if field.field.tag.is_some() {
                field.default_text()?
            } else {
                let read = field.read(flex);
                match condition(field.range, part.range) {
                    Some(condition) => {
                        format!("if {condition} {{ {read} }} else {{ {} }}", field.default_text()?)
                    }
                    None => read,
                }
            };
            writeln!(literal, "{}: {value},", field.name)?;
        }
        literal.push('}');

        let mut tags = String::new();
        if flex != "false" {
            if tagged.is_empty() {
                tags.push_str("r.skip_tags()?;");
            } else {
                tags.push_str(
                    "let mut tags = r.uvarint()?;\n\
                     while let Some(tag) = r.next_tag(&mut tags)? {\n\
                     let known = match tag.number {\n",
                );
                for field in &tagged {
                    // Tagged fields only exist where the message is flexible.
                    let guard = condition(field.range, self.flexible_part(part.range)?)
                        .map_or(String::new(), |condition| format!(" if {condition}"));
                    writeln!(
                        tags,
                        "{}{guard} => {{ it.{} = {}; true }}",
                        field.field.tag.unwrap_or_default(),
                        field.name,
                        field.read("true")
                    )?;
                }
                tags.push_str("_ => false,\n};\nr.end_tag(tag, known)?;\n}\n");
            }
            if flex == "flex" {
                tags = format!("if flex {{ {tags} }}\n");
            }
        }
        if tags.is_empty() {
            write!(body, "Ok({literal})")?;
        } else {
            let mutable = if tagged.is_empty() { "" } else { "mut " };
            write!(body, "let {mutable}it = {literal};\n{}\nOk(it)", tags.trim_end())?;
        }

        let min_size = (part.range.lo..=part.range.hi)
            .map(|version| self.min_size(part.fields, version))
            .min()
            .unwrap_or(0);
        let (generic, named, anonymous) =
            if borrows { ("<'a>", "<'a>", "<'a>") } else { ("", "", "<'_>") };
        writeln!(
            out,
            "impl{generic} Decode{anonymous} for {name}{named} {{\n\
             const MIN_SIZE: usize = {min_size};\n\
             fn decode({r}: &mut Reader{anonymous}, {version}: i16) -> Result<Self, Error> {{\n\
             {body}\n}}\n}}\n",
            name = part.name,
            r = used("r", &body),
            version = used("version", &body),
        )?;
        Ok(())
    }

    /// The flexible versions of a range that has some.
    fn flexible_part(&self, range: Versions) -> Result<Versions> {
        self.message
            .flexible
            .and_then(|flexible| flexible.intersect(range))
            .context("a tagged field where nothing is flexible")
    }

    fn encode(
        &self,
        out: &mut String,
        part: &Part<'m>,
        fields: &[RustField<'m>],
        anonymous: &str,
    ) -> Result<()> {
        let flex = self.flex(part.range);
        let mut body = String::new();
        if part.is_message {
            body.push_str("Self::check_version(version)?;\n");
        }
        self.bind_flex(&mut body, part.range)?;
        for field in fields {
            let refuse = if field.field.ignorable {
                String::new()
            } else {
                format!(
                    "return Err(Error::not_carried(\"{}.{}\", version));",
                    part.name, field.name
                )
            };
            let carried = condition(field.range, part.range);
            if field.field.tag.is_some() {
                if let (Some(carried), false) = (carried, refuse.is_empty()) {
                    writeln!(
                        body,
                        "if {} && {} {{ {refuse} }}",
                        negated(&carried),
                        field.differs_from_default()?
                    )?;
                }
                continue;
            }
            let write = match self.message.kind {
                Kind::Response if field.is_error_code() => {
                    format!("w.error_code(self.{});", field.name)
                }
                _ => field.write(flex),
            };
            match carried {
                None => writeln!(body, "{write}")?,
                Some(carried) if refuse.is_empty() => {
                    writeln!(body, "if {carried} {{ {write} }}")?;
                }
                Some(carried) => writeln!(
                    body,
                    "if {carried} {{ {write} }} else if {} {{ {refuse} }}",
                    field.differs_from_default()?
                )?,
            }
        }
        if flex != "false" {
            let mut tags = String::new();
            let tagged = sorted_tags(fields);
            let mut count = Vec::new();
            for field in &tagged {
                let tag = field.field.tag.unwrap_or_default();
                let carried = condition(field.range, self.flexible_part(part.range)?)
                    .map_or(String::new(), |condition| format!("{condition} && "));
                writeln!(tags, "let tag{tag} = {carried}{};", field.differs_from_default()?)?;
                count.push(format!("u32::from(tag{tag})"));
            }
            if count.is_empty() {
                tags.push_str("w.uvarint(0);");
            } else {
                writeln!(tags, "w.uvarint({});", count.join(" + "))?;
            }
            for field in &tagged {
                let tag = field.field.tag.unwrap_or_default();
                writeln!(
                    tags,
                    "if tag{tag} {{ let start = w.begin_tag({tag}); {} w.end_tag(start)?; }}",
                    field.write("true")
                )?;
            }
            if flex == "flex" {
                tags = format!("if flex {{ {tags} }}");
            }
            writeln!(body, "{tags}")?;
        }
        body.push_str("Ok(())");
        writeln!(
            out,
            "impl Encode for {name}{anonymous} {{\n\
             fn encode(&self, {w}: &mut Writer, {version}: i16) -> Result<(), Error> {{\n\
             {body}\n}}\n}}\n",
            name = part.name,
            w = used("w", &body),
            version = used("version", &body),
        )?;
        Ok(())
    }

    fn detach(&self, out: &mut String, part: &Part<'m>, fields: &[RustField<'m>]) -> Result<()> {
        let name = &part.name;
        writeln!(
            out,
            "impl IntoOwned for {name}<'_> {{\n\
             type Owned = {name}<'static>;\n\
             fn into_owned(self) -> {name}<'static> {{ {name} {{"
        )?;
        for field in fields {
            let name = &field.name;
            if field.borrows {
                writeln!(out, "{name}: own(self.{name}),")?;
            } else {
                writeln!(out, "{name}: self.{name},")?;
            }
        }
        out.push_str("} } }\n\n");
        Ok(())
    }

    // What a message is.

    fn traits(&self, out: &mut String) -> Result<()> {
        let Message { kind, name, versions, .. } = self.message;
        let anonymous = lifetime(self.any_borrows(&self.message.fields), "'_");
        let flexible = self
            .message
            .flexible
            .map_or_else(|| "i16::MAX".to_owned(), |flexible| flexible.lo.to_string());
        writeln!(
            out,
            "impl Message for {name}{anonymous} {{\n\
             const NAME: &'static str = \"{name}\";\n\
             const VERSIONS: VersionRange = VersionRange {{ min: {}, max: {} }};\n\
             const FLEXIBLE_FROM: i16 = {flexible};\n}}\n",
            versions.lo, versions.hi
        )?;
        if is_api(*kind) {
            let header = match kind {
                Kind::Request => "1 + i16::from(Self::is_flexible(version))",
                // Readable by a client that does not know yet what the broker speaks (KIP-511).
                _ if name == "ApiVersionsResponse" => "0",
                _ => "i16::from(Self::is_flexible(version))",
            };
            writeln!(
                out,
                "impl ApiMessage for {name}{anonymous} {{\n\
                 const API_KEY: ApiKey = ApiKey::{};\n\
                 const LATEST_UNSTABLE: bool = {};\n\
                 fn header_version({}: i16) -> i16 {{ {header} }}\n}}\n",
                stem(name),
                self.message.unstable,
                used("version", header),
            )?;
        } else if let Some(id) = self.message.key {
            writeln!(
                out,
                "impl RecordMessage for {name}{anonymous} {{ const ID: i16 = {id}; }}\n"
            )?;
        }
        Ok(())
    }
}

fn struct_names(message: &Message) -> BTreeSet<&str> {
    fn add<'m>(names: &mut BTreeSet<&'m str>, fields: &'m [Field]) {
        for field in fields {
            if !field.fields.is_empty() {
                names.extend(field.ty.struct_name());
            }
            add(names, &field.fields);
        }
    }
    let mut names = BTreeSet::new();
    add(&mut names, &message.fields);
    for part in &message.structs {
        names.insert(part.name.as_str());
        add(&mut names, &part.fields);
    }
    names
}

fn sorted_tags<'f, 'm>(fields: &'f [RustField<'m>]) -> Vec<&'f RustField<'m>> {
    let mut tagged: Vec<_> = fields.iter().filter(|field| field.field.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.field.tag);
    tagged
}

/// `version` is in `range`, known to be in `within`; `None` if that is always so.
fn condition(range: Versions, within: Versions) -> Option<String> {
    match (range.lo > within.lo, range.hi < within.hi) {
        (false, false) => None,
        (true, false) => Some(format!("version >= {}", range.lo)),
        (false, true) => Some(format!("version <= {}", range.hi)),
        (true, true) if range.lo == range.hi => Some(format!("version == {}", range.lo)),
        (true, true) => Some(format!("({}..={}).contains(&version)", range.lo, range.hi)),
    }
}

fn negated(condition: &str) -> String {
    for (sign, opposite) in [(" >= ", " < "), (" <= ", " > "), (" == ", " != ")] {
        if condition.contains(sign) {
            return condition.replace(sign, opposite);
        }
    }
    format!("!{condition}")
}

/// A parameter's name, with an underscore if `body` does not use it.
fn used(name: &str, body: &str) -> String {
    let mut words = body.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    if words.any(|word| word == name) { name.to_owned() } else { format!("_{name}") }
}

/// A field as Rust has it.
struct RustField<'m> {
    field: &'m Field,
    name: String,
    rust_type: String,
    borrows: bool,
    /// Versions in which it is carried, of those in which its struct occurs.
    range: Versions,
    /// Versions in which it may be null, of those in which it is carried.
    null: Option<Versions>,
    part_range: Versions,
}

impl RustField<'_> {
    /// What a reader of the struct must know: when it is carried, and what it is when it is not.
    fn note(&self) -> Option<String> {
        let mut notes = Vec::new();
        if condition(self.range, self.part_range).is_some() {
            notes.push(format!("versions {}", self.field.versions));
        }
        if let Some(null) = self.null
            && condition(null, self.range).is_some()
        {
            notes.push(format!("null {null}"));
        }
        if let Some(tag) = self.field.tag {
            notes.push(format!("tag {tag}"));
        }
        if let Some(default) = self.field.default.as_deref() {
            notes.push(format!("default {default}"));
        }
        let text = notes.join(", ");
        let mut letters = text.chars();
        let first = letters.next()?.to_ascii_uppercase();
        Some(format!("{first}{}.", letters.as_str()))
    }

    fn default_is_null(&self) -> bool {
        self.null.is_some() && self.field.default.as_deref() == Some("null")
    }

    fn derived_default(&self) -> bool {
        match self.null {
            Some(_) => self.default_is_null(),
            None => self.field.default.is_none(),
        }
    }

    fn default_text(&self) -> Result<String> {
        if self.default_is_null() {
            return Ok("None".to_owned());
        }
        let plain = match (&self.field.ty, self.field.default.as_deref()) {
            (Type::Bool, default) => default.unwrap_or("false").to_owned(),
            (
                Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64,
                default,
            ) => {
                // i64::MAX and the like are better read by name.
                match default {
                    None => "0".to_owned(),
                    Some("2147483647") => "i32::MAX".to_owned(),
                    Some("-2147483648") => "i32::MIN".to_owned(),
                    Some("9223372036854775807") => "i64::MAX".to_owned(),
                    Some(number) => number.to_owned(),
                }
            }
            (Type::Float64, None) => "0.0".to_owned(),
            (Type::Array(_), None) => "Vec::new()".to_owned(),
            (_, None) => "Default::default()".to_owned(),
            (ty, Some(default)) => anyhow::bail!("default {default} of {ty}"),
        };
        Ok(match self.null {
            Some(_) => format!("Some({plain})"),
            None => plain,
        })
    }

    fn differs_from_default(&self) -> Result<String> {
        let name = &self.name;
        Ok(match (&self.field.ty, self.null) {
            (_, Some(_)) if self.default_is_null() => format!("self.{name}.is_some()"),
            (Type::String | Type::Array(_) | Type::Bytes, Some(_)) => {
                format!("self.{name}.as_ref().is_none_or(|it| !it.is_empty())")
            }
            (Type::String | Type::Array(_) | Type::Bytes | Type::Records, None) => {
                format!("!self.{name}.is_empty()")
            }
            (Type::Bool, None) if self.field.default.is_some() => format!("!self.{name}"),
            (Type::Bool, None) => format!("self.{name}"),
            (Type::Struct(_) | Type::Uuid, None) => format!(
                "self.{name} != {}::default()",
                self.rust_type.split('<').next().unwrap_or_default()
            ),
            _ => format!("self.{name} != {}", self.default_text()?),
        })
    }

    /// `true`, `false` or a condition: null is possible in this version.
    fn nullable(&self) -> String {
        match self.null {
            None => "false".to_owned(),
            Some(null) => condition(null, self.range).unwrap_or_else(|| "true".to_owned()),
        }
    }

    fn flex<'f>(&self, flex: &'f str) -> &'f str {
        if self.field.rigid { "false" } else { flex }
    }

    /// An expression that reads the field.
    fn read(&self, flex: &str) -> String {
        let flex = self.flex(flex);
        let (opt, null) = match self.null {
            Some(_) => ("opt_", format!(", {}", self.nullable())),
            None => ("", String::new()),
        };
        match &self.field.ty {
            Type::String => format!("r.{opt}string({flex}{null})?"),
            Type::Bytes => format!("r.{opt}bytes({flex}{null})?"),
            Type::Records => format!("r.{opt}records({flex}{null})?"),
            Type::Array(element) if **element == Type::String => {
                format!("r.{opt}strings({flex}{null})?")
            }
            Type::Array(_) => format!("r.{opt}array({flex}{null}, version)?"),
            Type::Struct(_) if self.null.is_some() => {
                format!("r.opt_struct({}, version)?", self.nullable())
            }
            Type::Struct(_) => "Decode::decode(r, version)?".to_owned(),
            ty => format!("r.{}()?", fixed_method(ty)),
        }
    }

    /// Whether a response says by it what went wrong.
    fn is_error_code(&self) -> bool {
        self.field.ty == Type::Int16 && self.field.name.ends_with("ErrorCode")
    }

    /// A statement that writes the field.
    fn write(&self, flex: &str) -> String {
        let flex = self.flex(flex);
        let name = &self.name;
        let null = self.nullable();
        match (&self.field.ty, self.null) {
            (Type::String, None) => format!("w.string(&self.{name}, {flex})?;"),
            (Type::String, Some(_)) => {
                format!("w.opt_string(self.{name}.as_deref(), {flex}, {null})?;")
            }
            (Type::Bytes, None) => format!("w.bytes(&self.{name}, {flex})?;"),
            (Type::Bytes, Some(_)) => {
                format!("w.opt_bytes(self.{name}.as_deref(), {flex}, {null})?;")
            }
            (Type::Records, None) => format!("w.records(&self.{name}, {flex})?;"),
            (Type::Records, Some(_)) => {
                format!("w.opt_records(self.{name}.as_ref(), {flex}, {null})?;")
            }
            (Type::Array(element), None) if **element == Type::String => {
                format!("w.strings(&self.{name}, {flex})?;")
            }
            (Type::Array(element), Some(_)) if **element == Type::String => {
                format!("w.opt_strings(self.{name}.as_deref(), {flex}, {null})?;")
            }
            (Type::Array(_), None) => format!("w.array(&self.{name}, {flex}, version)?;"),
            (Type::Array(_), Some(_)) => {
                format!("w.opt_array(self.{name}.as_deref(), {flex}, {null}, version)?;")
            }
            (Type::Struct(_), None) => format!("self.{name}.encode(w, version)?;"),
            (Type::Struct(_), Some(_)) => {
                format!("w.opt_struct(self.{name}.as_ref(), {null}, version)?;")
            }
            (ty, _) => format!("w.{}(self.{name});", fixed_method(ty)),
        }
    }
}

fn fixed_method(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::Int8 => "i8",
        Type::Int16 => "i16",
        Type::Uint16 => "u16",
        Type::Int32 => "i32",
        Type::Uint32 => "u32",
        Type::Int64 => "i64",
        Type::Float64 => "f64",
        _ => "uuid",
    }
}
