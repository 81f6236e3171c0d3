//! From the JSON schemas in Kafka's published jars to our notation: facts only.
//!
//! Maven fetches and unpacks the jars. Explanations, comments and notices of the JSON stay behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use schema::{Field, Kind, Message, Struct, Type, Versions};
use serde_json::Value;

use super::{Files, names};

/// The version of Kafka whose schemas these are.
pub(crate) const KAFKA: &str = "4.3.1";

/// A jar, where its schemas lie in it, which of them are wanted, and the directory they go to.
struct Source {
    artifact: &'static str,
    inside: &'static str,
    wanted: fn(&Message) -> bool,
    directory: fn(&Message) -> &'static str,
}

const SOURCES: &[Source] = &[
    Source {
        artifact: "kafka-clients",
        inside: "common/message",
        // A response says nothing of listeners: it goes where its request goes.
        wanted: |message| match message.kind {
            Kind::Request => message.listeners.iter().any(|name| name == "broker"),
            _ => true,
        },
        directory: |message| match message.kind {
            Kind::Request | Kind::Response => "api",
            Kind::Header => "header",
            _ => "data",
        },
    },
    Source {
        artifact: "kafka-metadata",
        inside: "common/metadata",
        wanted: |_| true,
        directory: |_| "metadata",
    },
    Source {
        artifact: "kafka-group-coordinator",
        inside: "common/message",
        wanted: |_| true,
        directory: |_| "group",
    },
    Source {
        artifact: "kafka-transaction-coordinator",
        inside: "common/message",
        wanted: |_| true,
        directory: |_| "transaction",
    },
    Source {
        artifact: "kafka-storage",
        inside: "message",
        wanted: |message| message.name == "ProducerSnapshot",
        directory: |_| "data",
    },
];

/// Every schema file by path from the workspace's root; `scratch` keeps what Maven unpacks.
pub(crate) fn schemas(scratch: &Path) -> Result<Files> {
    let mut messages: Vec<(PathBuf, Message)> = Vec::new();
    for source in SOURCES {
        let directory = scratch.join(source.artifact);
        unpack(source, &directory)?;
        for entry in fs::read_dir(directory.join(source.inside))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let message = read(&text).with_context(|| path.display().to_string())?;
            // Removed APIs have no versions.
            let Some(message) = message else { continue };
            if (source.wanted)(&message) {
                let file = Path::new("broker/wire/schema")
                    .join((source.directory)(&message))
                    .join(names::module(&message.name) + ".kw");
                messages.push((file, message));
            }
        }
    }
    messages.sort_by(|a, b| (&a.0, a.1.kind as u8).cmp(&(&b.0, b.1.kind as u8)));

    let mut files = Files::new();
    for (file, message) in messages {
        if message.kind == Kind::Response && !files.contains_key(&file) {
            continue;
        }
        let text = files.entry(file).or_insert_with(|| {
            format!("# Apache Kafka {KAFKA}. Written by `cargo xtask wire import`.\n")
        });
        text.push('\n');
        text.push_str(&message.to_string());
    }
    Ok(files)
}

fn unpack(source: &Source, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let status = Command::new("mvn")
        // Maven leaves marks in its working directory.
        .current_dir(directory)
        .stdout(Stdio::null())
        .args(["-q", "-B", "dependency:unpack"])
        .arg(format!("-Dartifact=org.apache.kafka:{}:{KAFKA}", source.artifact))
        .arg(format!("-Dmdep.unpack.includes={}/*.json", source.inside))
        .arg(format!("-DoutputDirectory={}", directory.display()))
        .status()
        .context("`mvn` is needed to fetch Kafka's jars: install Maven and a JDK")?;
    if !status.success() {
        bail!("mvn could not fetch {}:{KAFKA}", source.artifact);
    }
    Ok(())
}

/// One JSON schema; `None` if it has no valid version.
fn read(text: &str) -> Result<Option<Message>> {
    let json: Value = serde_json::from_str(&without_comments(text))?;
    let Some(valid) = versions(&json, "validVersions")? else {
        return Ok(None);
    };
    let kind = match string(&json, "type")? {
        "coordinator-key" => "key",
        "coordinator-value" => "value",
        kind => kind,
    };
    let listeners = json["listeners"].as_array().map(Vec::as_slice);
    let structs = json["commonStructs"].as_array().map(Vec::as_slice);
    Ok(Some(Message {
        kind: Kind::parse(kind).with_context(|| format!("kind {kind}"))?,
        name: string(&json, "name")?.to_owned(),
        key: json["apiKey"].as_i64().map(i16::try_from).transpose()?,
        versions: valid,
        flexible: versions(&json, "flexibleVersions")?,
        unstable: json["latestVersionUnstable"] == true,
        listeners: listeners
            .unwrap_or_default()
            .iter()
            .map(|name| Ok(name.as_str().context("listeners")?.to_owned()))
            .collect::<Result<_>>()?,
        structs: structs
            .unwrap_or_default()
            .iter()
            .map(|json| {
                Ok(Struct {
                    name: string(json, "name")?.to_owned(),
                    versions: versions(json, "versions")?.context("versions")?,
                    fields: fields(json)?,
                })
            })
            .collect::<Result<_>>()?,
        fields: fields(&json)?,
    }))
}

fn fields(json: &Value) -> Result<Vec<Field>> {
    let list = json["fields"].as_array().map(Vec::as_slice);
    list.unwrap_or_default()
        .iter()
        .map(|json| field(json).with_context(|| format!("field {}", json["name"])))
        .collect()
}

fn field(json: &Value) -> Result<Field> {
    let ty = Type::parse(string(json, "type")?);
    let tagged = versions(json, "taggedVersions")?;
    // A tagged field may leave out its versions: they are those in which it is tagged.
    let versions_ = versions(json, "versions")?.or(tagged).context("no versions")?;
    if tagged.is_some_and(|tagged| tagged != versions_) {
        bail!("tagged in some of its versions only: the notation cannot say that");
    }
    let rigid = match &json["flexibleVersions"] {
        Value::Null => false,
        Value::String(none) if none == "none" => true,
        other => bail!("flexibleVersions {other}: the notation cannot say that"),
    };
    Ok(Field {
        name: string(json, "name")?.to_owned(),
        default: default(&ty, json.get("default"))?,
        ty,
        versions: versions_,
        null: versions(json, "nullableVersions")?,
        tag: match tagged {
            Some(_) => Some(u32::try_from(json["tag"].as_u64().context("no tag")?)?),
            None => None,
        },
        ignorable: json["ignorable"] == true,
        key: json["mapKey"] == true,
        rigid,
        fields: fields(json)?,
    })
}

/// The default as one word; `None` where it is the type's own (zero, empty, false).
fn default(ty: &Type, json: Option<&Value>) -> Result<Option<String>> {
    let text = match json {
        None => return Ok(None),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let word = match ty {
        Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64 => {
            let number = match text.strip_prefix("0x") {
                Some(digits) => i64::from_str_radix(digits, 16)?,
                None => text.parse()?,
            };
            (number != 0).then(|| number.to_string())
        }
        Type::Bool => (text == "true").then_some(text),
        _ => (!text.is_empty()).then_some(text),
    };
    Ok(word)
}

fn string<'j>(json: &'j Value, name: &str) -> Result<&'j str> {
    json[name].as_str().with_context(|| format!("no {name}"))
}

fn versions(json: &Value, name: &str) -> Result<Option<Versions>> {
    match json.get(name).and_then(Value::as_str) {
        None => Ok(None),
        Some(text) => Versions::parse(text).map_err(anyhow::Error::msg),
    }
}

/// JSON with its `//` comments blanked; strings may contain slashes.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut quoted = false;
        let mut before = ' ';
        let end = line.char_indices().find_map(|(at, letter)| {
            if letter == '"' && before != '\\' {
                quoted = !quoted;
            }
            let comment = !quoted && letter == '/' && before == '/';
            before = letter;
            comment.then(|| at - 1)
        });
        out.push_str(line.get(..end.unwrap_or(line.len())).unwrap_or_default());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_over_and_words_do_not() {
        let json = r#"
            // A notice, see http://example.org.
            { "apiKey": 9, "type": "request", "listeners": ["broker"], "name": "ThingRequest",
              // Version 1 does something.
              "validVersions": "0-2", "flexibleVersions": "2+",
              "fields": [
                { "name": "Size", "type": "int32", "versions": "0+", "default": "0x7fffffff",
                  "about": "How large // it is." },
                { "name": "Zero", "type": "int8", "versions": "1+", "default": "0", "ignorable": true },
                { "name": "Rack", "type": "string", "taggedVersions": "2+", "tag": 0,
                  "nullableVersions": "2+", "default": null }
              ] }"#;
        assert_eq!(
            read(json).unwrap().unwrap().to_string(),
            "request ThingRequest key 9 versions 0-2 flexible 2+ listeners broker\n\
             \x20 Size: int32 0+ = 2147483647\n\
             \x20 Zero: int8 1+ ignorable\n\
             \x20 Rack: string 2+ null 2+ tag 0 = null\n"
        );
        let removed = r#"{ "type": "request", "name": "GoneRequest", "validVersions": "none" }"#;
        assert!(read(removed).unwrap().is_none());
    }
}
