//! Configuration files: TOML, whose dotted names and tables are Kafka's dotted keys, and Java's properties format, which is
//! Kafka's `server.properties`.
//!
//! In TOML a name that is the beginning of another (`max.connections` and `max.connections.per.ip`) must be quoted.
use super::args::SHORTS;
use std::path::Path;

/// A key and its value as text, with the line where it stands, if the format says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub key: String,
    pub value: String,
    pub line: Option<usize>,
}

/// Reads a file. `.properties` are properties, everything else is TOML.
pub fn read(path: &Path) -> Result<Vec<Line>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("properties"))
    {
        Ok(properties(&text))
    } else {
        toml(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// Reads TOML; the short names of flags are known too, at the top.
pub fn toml(text: &str) -> Result<Vec<Line>, String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let hint = "(a key that begins another one must be quoted: \"max.connections\" = 5)";
        format!("not TOML: {} {hint}", e.to_string().trim_end())
    })?;
    let mut lines = Vec::new();
    for (name, value) in table {
        let short = SHORTS.iter().find(|s| s.name == name);
        match (short, &value) {
            (Some(short), value) if !value.is_table() => {
                let value = short.value(&scalar(&name, value)?);
                lines.push(Line {
                    key: short.key.to_owned(),
                    value,
                    line: None,
                });
            }
            _ => flatten(&name, &value, &mut lines)?,
        }
    }
    Ok(lines)
}

fn flatten(name: &str, value: &toml::Value, lines: &mut Vec<Line>) -> Result<(), String> {
    if let toml::Value::Table(table) = value {
        for (rest, value) in table {
            flatten(&format!("{name}.{rest}"), value, lines)?;
        }
        return Ok(());
    }
    lines.push(Line {
        key: name.to_owned(),
        value: scalar(name, value)?,
        line: None,
    });
    Ok(())
}

fn scalar(name: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| scalar(name, item)).collect();
            Ok(items?.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => {
            Err(format!("{name}: a text, a number, true or false is wanted"))
        }
    }
}

/// Reads Java's properties format (`java.util.Properties.load`): comments with `#` or `!`, `=` or `:` or a space between key
/// and value, lines that go on after a backslash, escapes.
pub fn properties(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = text.lines().enumerate();
    while let Some((number, first)) = rest.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = first.to_owned();
        while ends_open(&whole) {
            whole.pop();
            match rest.next() {
                Some((_, more)) => whole.push_str(more.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&whole);
        lines.push(Line {
            key: unescape(key),
            value: unescape(value).trim_end().to_owned(),
            line: Some(number + 1),
        });
    }
    lines
}

/// An odd number of backslashes at the end.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1
}

/// Key and value, at the first separator that no backslash hides.
fn split(line: &str) -> (&str, &str) {
    let mut hidden = false;
    let end = line.char_indices().find(|&(_, c)| {
        let ends = !hidden && (matches!(c, '=' | ':') || c.is_ascii_whitespace());
        hidden = !hidden && c == '\\';
        ends
    });
    let Some((at, _)) = end else {
        return (line, "");
    };
    let rest = line[at..].trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..at], value.trim_start())
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32);
                out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(lines: Vec<Line>) -> Vec<(String, String)> {
        lines.into_iter().map(|l| (l.key, l.value)).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn a_server_properties() {
        let text = "# comment\n! too\n\nnode.id=1\nlisteners = PLAINTEXT://:9092,CONTROLLER://:9093\n  num.partitions:3  \n\
                    log.dirs /tmp/a\\ b\nlong=1,\\\n   2,\\\n   3\nempty=\nkey\\=with=\\u0041\\tx\nlast\\";
        let expected = [
            ("node.id", "1"),
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ("num.partitions", "3"),
            ("log.dirs", "/tmp/a b"),
            ("long", "1,2,3"),
            ("empty", ""),
            ("key=with", "A\tx"),
            ("last", ""),
        ];
        let read = properties(text);
        assert_eq!(read[2].line, Some(6));
        assert_eq!(pairs(read), owned(&expected));
    }

    #[test]
    fn toml_in_its_forms() {
        let text = "data = \"/d\"\nlisten = \"127.0.0.1:1\"\nnum.partitions = 3\n\"max.connections\" = 5\n\
                    \"max.connections.per.ip\" = 6\nlog.cleanup.policy = [\"delete\"]\n[log.retention]\nhours = 2\n\
                    [auto.create.topics]\nenable = false\n";
        let mut read = pairs(toml(text).unwrap());
        read.sort();
        let expected = [
            ("auto.create.topics.enable", "false"),
            ("listeners", "PLAINTEXT://127.0.0.1:1"),
            ("log.cleanup.policy", "delete"),
            ("log.dirs", "/d"),
            ("log.retention.hours", "2"),
            ("max.connections", "5"),
            ("max.connections.per.ip", "6"),
            ("num.partitions", "3"),
        ];
        assert_eq!(read, owned(&expected));
        assert!(
            toml("max.connections = 5\nmax.connections.per.ip = 6")
                .unwrap_err()
                .contains("quoted")
        );
        assert!(toml("a = 1979-05-27").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c=:# \\\\\n!u0-9.\\[\\]\"]{0,80}") {
            let _ = properties(&text);
            let _ = toml(&text);
        }
    }
}
