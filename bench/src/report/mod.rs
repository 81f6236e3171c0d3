//! Results for people: tables on a terminal, Markdown, a page for a browser, drawings.

pub mod chart;
pub mod compared;
pub mod figure;
pub mod figures;
pub mod html;
pub mod study;
pub mod table;
