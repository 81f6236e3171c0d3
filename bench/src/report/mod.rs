//! Results for people: tables on a terminal.

pub mod table;
pub mod units;
