//! One segment: its facts, how its bytes are written, read and judged.
//!
//! * [`facts`]   what is known of the content; when an index entry is made, when a new segment is
//!   begun.
//! * [`tail`]    writing at the end in whole blocks.
//! * [`reader`]  batches at positions, checked.
pub mod facts;
pub(crate) mod reader;
pub(crate) mod tail;
