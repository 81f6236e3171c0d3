//! ListTransactions (key 66): there are none. A pattern that cannot be read is refused all the same
//! (KIP-1152).
use crate::{
    core::request::{Request, Stage},
    shard::Shard,
};
use regex_syntax::{
    ast::{self, Ast},
    hir::translate::Translator,
};
use wire::{
    Decode, ErrorCode, Reader,
    list_transactions::{ListTransactionsRequest, ListTransactionsResponse},
};

/// `TransactionState`
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

pub(crate) fn handle<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = ListTransactionsRequest::decode(reader, request.version())?;
    if let Some(pattern) = &body.transactional_id_pattern
        && !is_pattern(pattern)
    {
        return request.answer(&ListTransactionsResponse {
            error_code: ErrorCode::InvalidRegularExpression.code(),
            ..Default::default()
        });
    }
    let unknown = body
        .state_filters
        .into_iter()
        .filter(|state| !STATES.contains(&&**state))
        .map(|state| state.into_owned().into())
        .collect();
    request
        .answer(&ListTransactionsResponse { unknown_state_filters: unknown, ..Default::default() })
}

/// A longer pattern is not looked at: what it is taken apart into is many times as large.
const PATTERN_BYTES_MAX: usize = 512;
/// RE2/J's bound of `x{n}`.
const REPEATS_MAX: u32 = 1_000;
/// Groups in groups.
const DEPTH_MAX: u32 = 250;

/// Whether this is a regular expression. Kafka's are those of RE2/J. `regex-syntax` knows the same
/// ones, but for `\Q..\E`, which it is spared, and `\C`; what it has beyond them (`[a&&b]`, the
/// flag `x`, `\b{start}`) is let pass.
fn is_pattern(pattern: &str) -> bool {
    if pattern.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let pattern = without_quotes(pattern);
    let parser = ast::parse::ParserBuilder::new().nest_limit(DEPTH_MAX).build().parse(&pattern);
    parser.is_ok_and(|ast| ast::visit(&ast, Checks { pattern: &pattern }).is_ok())
}

/// The pattern with what is quoted by `\Q..\E` escaped instead. A quote that does not end goes to
/// the end.
fn without_quotes(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let (quoted, behind) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            plain.push_str(&regex_syntax::escape(quoted));
            rest = behind;
        } else {
            let escape = rest.chars().take(2).map(char::len_utf8).sum();
            plain.push_str(&rest[..escape]);
            rest = &rest[escape..];
        }
    }
    plain + rest
}

/// What a pattern's form alone does not show: how often something repeats, that it does once, and
/// whether a class has a name that is known.
struct Checks<'a> {
    pattern: &'a str,
}

impl ast::Visitor for Checks<'_> {
    type Output = ();
    type Err = ();

    fn finish(self) -> Result<(), ()> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        use ast::{RepetitionKind::Range, RepetitionRange as R};
        match ast {
            Ast::Repetition(repetition) => {
                let stacked = matches!(*repetition.ast, Ast::Repetition(_));
                let often = match &repetition.op.kind {
                    Range(R::Exactly(n) | R::AtLeast(n) | R::Bounded(_, n)) => *n > REPEATS_MAX,
                    _ => false,
                };
                if stacked || often { Err(()) } else { Ok(()) }
            }
            Ast::ClassUnicode(_) | Ast::ClassBracketed(_) => {
                Translator::new().translate(self.pattern, ast).map(drop).map_err(drop)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_re2() {
        let good = [
            "",
            "abc",
            "^a.*b$",
            "(a|b)+?",
            "(?i)x",
            "(?P<name>a)",
            "[[:alpha:]0-9-]",
            r"\d\w\s\pL\p{Greek}",
            r"\Q(((\E",
            r"a\Q[",
            r"\\Q",
            "a{1000}",
            "(a*)*",
            "a{2,}",
        ];
        for pattern in good {
            assert!(is_pattern(pattern), "{pattern}");
        }
        let deep = format!("{}{}", "(".repeat(251), ")".repeat(251));
        let bad = [
            "(",
            "a)",
            "[a",
            "*a",
            "a**",
            "a{2}{3}",
            "a{2,1}",
            "a{1001}",
            "[b-a]",
            r"\",
            r"\1",
            "(?=a)",
            "(?<!a)",
            r"\p{Nothing}",
            r"[\p{Nothing}]",
            r"\\Q(",
            &deep,
            &"a".repeat(513),
        ];
        for pattern in bad {
            assert!(!is_pattern(pattern), "{pattern}");
        }
    }
}
