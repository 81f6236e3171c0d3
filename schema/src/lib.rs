//! What `broker/wire/schema` says, for tools and tests. The product does not link it: its code is
//! generated from the same facts (`cargo xtask wire generate`).
//!
//! * [`notation`]: the files `*.kw`, read and written.
//! * [`sampler`]: bytes of a message straight from its schema, an encoder that shares nothing with
//!   the generated one.
#![forbid(unsafe_code)]

pub mod notation;
pub mod sampler;

pub use notation::{Field, Kind, Message, Struct, Type, Versions};
pub use sampler::{Random, Sampler, Values};

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every message of `broker/wire/schema`, by name.
///
/// # Panics
/// The directory is not there, or a file of it is not in the notation.
pub fn all() -> BTreeMap<String, Message> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../broker/wire/schema");
    let mut all = BTreeMap::new();
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        let shown = directory.display();
        let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{shown}: {error}"));
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{shown}: {error}")).path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let messages = Message::parse_all(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            all.extend(messages.into_iter().map(|message| (message.name.clone(), message)));
        }
    }
    all
}

/// The requests among them, by the number of their API.
///
/// # Panics
/// As [`all`].
pub fn requests() -> BTreeMap<i16, Message> {
    let requests = all().into_values().filter(|message| message.kind == Kind::Request);
    requests.filter_map(|message| Some((message.key?, message))).collect()
}
