//! What can go wrong, by whose fault.

/// An error of decoding or encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The peer's bytes are not a message; nothing more can be read from its connection.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The peer's arrays have more elements than may be read in one go; nothing more can be read
    /// from its connection.
    #[error("more elements in arrays than a message may have")]
    TooMany,
    /// The peer asks for a version that does not exist.
    #[error("{message} has no version {version}")]
    Unsupported { message: &'static str, version: i16 },
    /// We asked for something that the version cannot carry. Where only the writer noticed, which
    /// knows neither field nor version, the field is what was written and the version is -1.
    #[error("misuse: {field} in version {version}: {problem}")]
    Misuse { field: &'static str, version: i16, problem: &'static str },
}

impl Error {
    /// A field that is not ignorable holds a value that the version cannot carry.
    #[cold]
    pub(crate) fn not_carried(field: &'static str, version: i16) -> Error {
        Error::Misuse { field, version, problem: "the version does not carry this field" }
    }
}
