//! Comments end at column 100, as code does. rustfmt wraps code only.

use super::source::Source;

const COLUMNS_MAX: usize = 100;

pub(super) fn findings(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        findings.extend(too_wide(&source.text).map(|(line, columns)| {
            format!(
                "{}:{line}: a comment of {columns} columns; at most {COLUMNS_MAX} fit",
                source.path
            )
        }));
    }
    findings
}

/// Lines that are a comment, have more columns than fit, and could be broken at a space.
fn too_wide(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut drawing = false;
    text.lines().enumerate().filter_map(move |(i, line)| {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            drawing = false;
            return None;
        };
        let words = comment.trim_start_matches(['/', '!']).trim();
        if words.starts_with("```") {
            drawing = !drawing;
        }
        // Neither a drawing nor a row of a table can be broken, nor a long word alone in its line.
        let one_piece = drawing || words.starts_with('|') || !words.contains(' ');
        let columns = line.chars().count();
        (columns > COLUMNS_MAX && !one_piece).then_some((i + 1, columns))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_comments_are_counted() {
        let line = |start: &str, word: &str, count: usize| {
            let text = format!("{start}{}", word.repeat(count));
            too_wide(&text).map(|(_, columns)| columns).collect::<Vec<_>>()
        };
        assert!(line("    // ", "ä ", 46).is_empty());
        assert_eq!(line("    // ", "ä ", 47), [101]);
        assert_eq!(line("//! ", "a b ", 30), [124]);
        assert!(line("/// ", "x", 200).is_empty());
        assert!(line("/// | ", "x | ", 50).is_empty());
        assert!(line("let x = ", "a + ", 50).is_empty());
        assert!(line("/// ```text\n/// ", "a -> ", 50).is_empty());
        assert_eq!(line("/// ```text\n/// a\n/// ```\n/// ", "a -> ", 50), [254]);
    }
}
