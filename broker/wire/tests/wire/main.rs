//! Every message in every version: against its schema, against another implementation, against
//! bytes that mean harm. Values come from seeds; a failing seed is the bug report.

mod agreement;
mod cases;
mod golden;
mod hostile;
mod oracle;
mod values;
