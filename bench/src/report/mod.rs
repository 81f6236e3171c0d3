//! Results for people: tables on a terminal, Markdown, a page for a browser.

pub mod compared;
pub mod figures;
pub mod table;
pub mod units;
