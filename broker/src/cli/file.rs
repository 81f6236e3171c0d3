//! Configuration files: TOML, whose dotted names and tables are Kafka's dotted keys, and Java's
//! properties format, which is Kafka's `server.properties`.
//!
//! In TOML a name that is the beginning of another (`max.connections` and `max.connections.per.ip`)
//! must be quoted.
use super::args::SHORTS;
use std::path::Path;

/// A key and its value as text, with the line where it stands, if the format says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub key: String,
    pub value: String,
    pub line: Option<usize>,
}

/// What a file says, and what its reader should know besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub lines: Vec<Line>,
    pub warnings: Vec<String>,
}

/// Reads a file. `.properties` are properties, everything else is TOML.
pub fn read(path: &Path) -> Result<Read, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let is_properties = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("properties"));
    decode(&bytes, is_properties).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads the bytes of a file. Properties are ISO 8859-1, as
/// `java.util.Properties.load(InputStream)` reads them; TOML is UTF-8.
fn decode(bytes: &[u8], is_properties: bool) -> Result<Read, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16: save it as plain text".into());
    }
    let mut warnings = Vec::new();
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => {
            if is_properties {
                // To Java the mark is three letters before the first key, which nobody knows then.
                warnings.push(
                    "it begins with a byte order mark, which is left out here; Kafka does not know the first key then"
                        .to_owned(),
                );
            }
            rest
        }
        None => bytes,
    };
    if is_properties {
        if !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok() {
            warnings.push(
                "it has letters in UTF-8, which are read as ISO 8859-1, as Java does; write \\u00fc for such a letter".to_owned(),
            );
        }
        let text: String = bytes.iter().copied().map(char::from).collect();
        let lines = properties(&text)?;
        return Ok(Read { lines, warnings });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8, as TOML is")?;
    let lines = toml(text)?;
    Ok(Read { lines, warnings })
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
                lines.push(Line { key: short.key.to_owned(), value, line: None });
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
    lines.push(Line { key: name.to_owned(), value: scalar(name, value)?, line: None });
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

/// Reads Java's properties format (`java.util.Properties.load`): comments with `#` or `!`, `=` or
/// `:` or a space between key and value, lines that go on after a backslash, escapes. A line ends
/// with `\n`, `\r` or both. White space is that of Java's format, so a no-break space is a letter.
///
/// # Errors
/// `\u` without four hexadecimal digits, as in Java.
pub fn properties(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut rest = text.split('\n').enumerate();
    while let Some((number, first)) = rest.next() {
        let first = first.trim_start_matches(SPACES);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = first.to_owned();
        while ends_open(&whole) {
            whole.pop();
            match rest.next() {
                Some((_, more)) => whole.push_str(more.trim_start_matches(SPACES)),
                None => break,
            }
        }
        let (key, value) = split(&whole);
        let number = number + 1;
        let plain = |text| unescape(text).map_err(|e| format!("line {number}: {e}"));
        lines.push(Line {
            key: plain(key)?,
            // Java keeps what is behind, and Kafka's types trim it.
            value: plain(value)?.trim_end_matches(|c| c <= ' ').to_owned(),
            line: Some(number),
        });
    }
    Ok(lines)
}

/// White space of the format.
const SPACES: [char; 3] = [' ', '\t', '\u{c}'];

/// An odd number of backslashes at the end.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1
}

/// Key and value, at the first separator that no backslash hides.
fn split(line: &str) -> (&str, &str) {
    let mut hidden = false;
    let end = line.char_indices().find(|&(_, c)| {
        let ends = !hidden && (matches!(c, '=' | ':') || SPACES.contains(&c));
        hidden = !hidden && c == '\\';
        ends
    });
    let Some((at, _)) = end else {
        return (line, "");
    };
    let rest = line[at..].trim_start_matches(SPACES);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..at], value.trim_start_matches(SPACES))
}

fn unescape(text: &str) -> Result<String, String> {
    // In Java a char is a unit of UTF-16: two of them may be one letter.
    let mut out: Vec<u16> = Vec::with_capacity(text.len());
    let put = |c: char, out: &mut Vec<u16>| {
        out.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    };
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            put(c, &mut out);
            continue;
        }
        match chars.next() {
            Some('t') => put('\t', &mut out),
            Some('n') => put('\n', &mut out),
            Some('r') => put('\r', &mut out),
            Some('f') => put('\u{c}', &mut out),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let is_code = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
                let code = u16::from_str_radix(&digits, 16).ok().filter(|_| is_code);
                out.push(code.ok_or_else(|| {
                    format!("\\u{digits} is no letter: four hexadecimal digits are wanted; a backslash is written \\\\")
                })?);
            }
            Some(other) => put(other, &mut out),
            None => {}
        }
    }
    Ok(String::from_utf16_lossy(&out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(lines: Vec<Line>) -> Vec<(String, String)> {
        lines.into_iter().map(|l| (l.key, l.value)).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
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
        let read = properties(text).unwrap();
        assert_eq!(read[2].line, Some(6));
        assert_eq!(pairs(read), owned(&expected));
    }

    #[test]
    fn bytes_are_read_as_java_reads_them() {
        let read = |bytes: &[u8]| decode(bytes, true).map(|read| pairs(read.lines));
        // Latin-1, a no-break space that is no space, and lines that end as on an old Mac.
        let latin = b"broker.rack=Z\xfcrich\xa0\rnode.id=1\r\n! x\r\rnum.partitions = 3 \t";
        let expected =
            [("broker.rack", "Z\u{fc}rich\u{a0}"), ("node.id", "1"), ("num.partitions", "3")];
        assert_eq!(read(latin).unwrap(), owned(&expected));
        // UTF-8 as Java misreads it, which is said.
        let utf8 = decode("broker.rack=Z\u{fc}rich".as_bytes(), true).unwrap();
        assert_eq!(utf8.lines[0].value, "Z\u{c3}\u{bc}rich");
        assert!(utf8.warnings[0].contains("ISO 8859-1"), "{utf8:?}");
        let escaped = read(b"a=\\u00fc\\ud83d\\ude00\\q").unwrap();
        assert_eq!(escaped, owned(&[("a", "\u{fc}\u{1f600}q")]));
        for wrong in [&b"a=1\nb=\\u12"[..], b"a=1\nb=\\u+123", b"a=1\nC\\users=x"] {
            let error = decode(wrong, true).unwrap_err();
            assert!(error.starts_with("line 2: "), "{error}");
        }
        let marked = decode(b"\xef\xbb\xbfnode.id=1", true).unwrap();
        assert_eq!(pairs(marked.lines), owned(&[("node.id", "1")]));
        assert!(marked.warnings[0].contains("byte order mark"));
        let toml = decode(b"\xef\xbb\xbfa = \"\xc3\xbc\"", false).unwrap();
        assert_eq!(pairs(toml.lines), owned(&[("a", "\u{fc}")]));
        assert!(toml.warnings.is_empty());
        for (bytes, is_properties) in [(&b"\xff\xfea\0"[..], true), (b"\xfe\xff\0a", false)] {
            assert!(decode(bytes, is_properties).unwrap_err().contains("UTF-16"));
        }
        assert!(decode(b"a = \"\xfc\"", false).unwrap_err().contains("UTF-8"));
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
            toml("max.connections = 5\nmax.connections.per.ip = 6").unwrap_err().contains("quoted")
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
