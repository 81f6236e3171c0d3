//! What lists the generated modules: `mod.rs` files, macros over all messages, and enums of the
//! records that share a topic.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context, Result};
use schema::{Kind, Message};

use super::{MARK, lifetime, stem, structs};

type Modules<'s> = BTreeMap<&'s str, &'s [Message]>;

/// `messages/mod.rs`.
pub(super) fn api_map(modules: &Modules<'_>) -> Result<String> {
    let mut text =
        format!("{MARK}\n//! One module per API, with its request and its response.\n\n");
    for module in modules.keys() {
        writeln!(text, "pub mod {module};")?;
    }
    let mut apis = Vec::new();
    for (module, messages) in modules {
        let find = |kind| {
            messages
                .iter()
                .find(|message| message.kind == kind)
                .with_context(|| format!("{module} lacks one half"))
        };
        let (request, response) = (find(Kind::Request)?, find(Kind::Response)?);
        apis.push((request.key, module, request, response));
    }
    apis.sort_by_key(|api| api.0);

    text.push_str("\nuse crate::Request;\n\n");
    for (_, module, request, response) in &apis {
        writeln!(
            text,
            "impl Request for {module}::{}{} {{ type Response<'a> = {module}::{}{}; }}",
            request.name,
            lifetime(structs::borrows(request)?, "'_"),
            response.name,
            lifetime(structs::borrows(response)?, "'a"),
        )?;
    }
    text.push_str(
        "\n/// Calls `$then!` with `Key, RequestType, ResponseType;` for every API, by key.\n\
         #[macro_export]\nmacro_rules! for_each_api {\n    ($then:ident) => {\n        $then! {\n",
    );
    for (_, module, request, response) in &apis {
        writeln!(
            text,
            "            {}, $crate::{module}::{}{}, $crate::{module}::{}{};",
            stem(&request.name),
            request.name,
            lifetime(structs::borrows(request)?, "'_"),
            response.name,
            lifetime(structs::borrows(response)?, "'_"),
        )?;
    }
    text.push_str("        }\n    };\n}\n");
    Ok(text)
}

/// `records/<directory>/mod.rs`.
pub(super) fn record_map(directory: &str, modules: &Modules<'_>) -> Result<String> {
    let what = match directory {
        "metadata" => "Records of `__cluster_metadata`.",
        "group" => "Records of `__consumer_offsets`.",
        "transaction" => "Records of `__transaction_state`.",
        _ => "What Kafka writes in this encoding elsewhere.",
    };
    let mut text = format!("{MARK}\n//! {what}\n\n");
    for module in modules.keys() {
        writeln!(text, "pub mod {module};")?;
    }
    text.push('\n');
    for (module, messages) in modules {
        let names: Vec<_> = messages.iter().map(|m| m.name.as_str()).collect();
        writeln!(text, "pub use {module}::{{{}}};", names.join(", "))?;
    }
    let camel = {
        let mut letters = directory.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    };
    let sets = [(Kind::Metadata, "Record"), (Kind::Key, "Key"), (Kind::Value, "Value")];
    let mut used = false;
    for (kind, suffix) in sets {
        let mut members: Vec<&Message> = modules
            .values()
            .flat_map(|messages| messages.iter())
            .filter(|message| message.kind == kind && message.key.is_some())
            .collect();
        if members.is_empty() {
            continue;
        }
        members.sort_by_key(|message| message.key);
        used = true;
        set(&mut text, &format!("{camel}{suffix}"), &members)?;
    }
    if used {
        text = text.replacen(
            "\npub use ",
            "\nuse crate::{Decode, Encode, Error, Message, Reader, RecordMessage, RecordSet, Writer, types::{IntoOwned, own}};\n\npub use ",
            1,
        );
    }
    text.push_str(&format!(
        "\n/// Calls `$then!` with `Type;` for every message here.\n\
         #[macro_export]\nmacro_rules! for_each_{directory}_message {{\n    ($then:ident) => {{\n        $then! {{\n",
    ));
    for message in modules.values().flat_map(|messages| messages.iter()) {
        writeln!(
            text,
            "            $crate::records::{directory}::{}{};",
            message.name,
            lifetime(structs::borrows(message)?, "'_")
        )?;
    }
    text.push_str("        }\n    };\n}\n");
    Ok(text)
}

/// An enum of records that are told apart by a number.
fn set(text: &mut String, name: &str, members: &[&Message]) -> Result<()> {
    let mut variants = String::new();
    let (mut id, mut latest, mut decode, mut encode, mut owned) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    let mut from = String::new();
    let mut any_borrows = false;
    for member in members {
        let variant = stem(&member.name);
        let borrows = structs::borrows(member)?;
        any_borrows |= borrows;
        let (ty, borrowed) = (&member.name, lifetime(borrows, "'a"));
        writeln!(variants, "{variant}({ty}{borrowed}),")?;
        writeln!(id, "Self::{variant}(_) => {ty}::ID,")?;
        writeln!(latest, "Self::{variant}(_) => {ty}::VERSIONS.max,")?;
        writeln!(decode, "{ty}::ID => Self::{variant}(Decode::decode(r, version)?),")?;
        writeln!(encode, "Self::{variant}(it) => it.encode(w, version),")?;
        let moved = if borrows { "own(it)" } else { "it" };
        writeln!(owned, "Self::{variant}(it) => {name}::{variant}({moved}),")?;
        writeln!(
            from,
            "impl<'a> From<{ty}{borrowed}> for {name}<'a> {{\n\
             fn from(it: {ty}{borrowed}) -> Self {{ Self::{variant}(it) }}\n}}\n"
        )?;
    }
    anyhow::ensure!(any_borrows, "{name} borrows nothing");
    writeln!(
        text,
        "\n/// Any of them, told apart by Kafka's number for the type.\n\
         #[derive(Debug, Clone, PartialEq)]\n\
         #[allow(clippy::large_enum_variant)] // short-lived: read, applied, dropped\n\
         pub enum {name}<'a> {{\n{variants}}}\n\n\
         impl<'a> RecordSet<'a> for {name}<'a> {{\n\
         fn id(&self) -> i16 {{ match self {{ {id} }} }}\n\
         fn latest_version(&self) -> i16 {{ match self {{ {latest} }} }}\n\
         fn decode_as(id: i16, r: &mut Reader<'a>, version: i16) -> Result<Self, Error> {{\n\
         Ok(match id {{ {decode} _ => {{ return Err(Error::Unsupported {{ message: \"{name} of unknown type\", version: id }}); }} }})\n\
         }}\n}}\n\n\
         impl Encode for {name}<'_> {{\n\
         fn encode(&self, w: &mut Writer, version: i16) -> Result<(), Error> {{ match self {{ {encode} }} }}\n\
         }}\n\n\
         impl IntoOwned for {name}<'_> {{\n\
         type Owned = {name}<'static>;\n\
         fn into_owned(self) -> {name}<'static> {{ match self {{ {owned} }} }}\n\
         }}\n\n{from}"
    )?;
    Ok(())
}

/// `records/mod.rs`.
pub(super) fn records_map(directories: &[&str]) -> String {
    let mut text = format!("{MARK}\n//! What Kafka keeps in its own topics and files.\n\n");
    for directory in directories {
        text.push_str(&format!("pub mod {directory};\n"));
    }
    text
}
