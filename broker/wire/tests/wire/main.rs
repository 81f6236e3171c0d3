//! Every message in every version: against its schema, against another implementation, against
//! bytes that mean harm. Values come from seeds; a failing seed is the bug report.

mod cases;
mod golden;
mod hostile;
mod oracle;
mod sampler;
mod schema;
mod values;

/// The importer's and generator's notation, read here without them.
#[path = "../../../../xtask/src/wire/notation.rs"]
#[allow(dead_code, unreachable_pub)]
mod notation;
