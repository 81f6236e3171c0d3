//! Lines of files and of functions: what is above the limit is in `xtask/sizes.toml` with its
//! number, and may only become smaller.
//!
//! A larger number, or a new line, is written by hand, with the reason above it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::source::Source;

const FILE: &str = "xtask/sizes.toml";
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 100;

/// Lines by name: `path` of a file, `path name` of a function.
type Sizes = BTreeMap<String, usize>;

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Table {
    files: Sizes,
    functions: Sizes,
}

pub(super) fn findings(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
    let recorded: Table = toml::from_str(&text).context(FILE)?;
    Ok(compared(&recorded, &too_large(sources)))
}

/// Lowers the numbers of what is smaller, and takes out what fits.
pub(super) fn record(root: &Path, sources: &[Source]) -> Result<()> {
    let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
    fs::write(root.join(FILE), lowered(&text, &too_large(sources))).context(FILE)
}

fn too_large(sources: &[Source]) -> Table {
    let mut table = Table::default();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            table.files.insert(source.path.clone(), lines);
        }
        for function in source.functions() {
            if function.lines > FUNCTION_LINES_MAX {
                let name = format!("{} {}", source.path, function.name);
                let lines = table.functions.entry(name).or_default();
                *lines = function.lines.max(*lines);
            }
        }
    }
    table
}

fn compared(recorded: &Table, real: &Table) -> Vec<String> {
    let mut findings = Vec::new();
    for (recorded, real, max) in [
        (&recorded.files, &real.files, FILE_LINES_MAX),
        (&recorded.functions, &real.functions, FUNCTION_LINES_MAX),
    ] {
        for (name, lines) in real {
            let allowed = recorded.get(name).copied().unwrap_or(max);
            if *lines > allowed {
                findings.push(format!(
                    "{name}: {lines} lines, at most {allowed}; split it, or write the number and \
                     the reason into {FILE}"
                ));
            }
        }
        for name in recorded.keys().filter(|name| !real.contains_key(*name)) {
            findings.push(format!(
                "{name}: is not above {max} lines any more; so that it stays: \
                 `cargo xtask tidy --record`"
            ));
        }
    }
    findings
}

/// The text of the file with numbers that are not larger than those in `real`.
fn lowered(text: &str, real: &Table) -> String {
    let mut kept = String::new();
    // A comment belongs to the line below it, and goes with that.
    let mut comments = String::new();
    for line in text.lines() {
        if line.starts_with('#') {
            comments.push_str(line);
            comments.push('\n');
            continue;
        }
        let number = line.strip_prefix('"').and_then(|rest| rest.split_once("\" = "));
        let line = match number {
            None => Some(line.to_owned()),
            Some((name, old)) => real
                .files
                .get(name)
                .or_else(|| real.functions.get(name))
                .map(|new| old.parse().map_or(*new, |old: usize| old.min(*new)))
                .map(|lines| format!("\"{name}\" = {lines}")),
        };
        if let Some(line) = line {
            kept.push_str(&comments);
            kept.push_str(&line);
            kept.push('\n');
        }
        comments.clear();
    }
    kept.push_str(&comments);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(files: &[(&str, usize)], functions: &[(&str, usize)]) -> Table {
        let sizes = |of: &[(&str, usize)]| of.iter().map(|(n, l)| ((*n).to_owned(), *l)).collect();
        Table { files: sizes(files), functions: sizes(functions) }
    }

    #[test]
    fn what_is_too_large_is_found() {
        let long = "// x\n".repeat(FILE_LINES_MAX) + "fn f() {}\n";
        let function = format!("fn g() {{\n{}}}\n", "a();\n".repeat(FUNCTION_LINES_MAX - 1));
        let sources = [("a.rs", long), ("b.rs", function)]
            .map(|(path, text)| Source::new(path.to_owned(), text).unwrap());
        assert_eq!(too_large(&sources), table(&[("a.rs", 601)], &[("b.rs g", 101)]));
    }

    #[test]
    fn the_numbers_may_only_become_smaller() {
        let recorded = table(&[("a", 700), ("b", 800)], &[]);
        assert!(compared(&recorded, &table(&[("a", 700), ("b", 650)], &[])).is_empty());
        assert_eq!(compared(&recorded, &table(&[("a", 701), ("b", 800)], &[])).len(), 1);
        assert_eq!(compared(&recorded, &table(&[("a", 700)], &[])).len(), 1);
        assert_eq!(compared(&table(&[], &[]), &table(&[], &[("a f", 101)])).len(), 1);
    }

    #[test]
    fn recording_lowers_and_keeps_reasons() {
        let text = "# head\n\n[files]\n# why\n\"a\" = 700\n# gone\n\"b\" = 650\n\n\
                    [functions]\n\"a f\" = 120\n";
        let real = table(&[("a", 690)], &[("a f", 130)]);
        assert_eq!(
            lowered(text, &real),
            "# head\n\n[files]\n# why\n\"a\" = 690\n\n[functions]\n\"a f\" = 120\n"
        );
    }
}
