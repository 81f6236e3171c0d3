//! What can go wrong, by whose fault.

use wire::ErrorCode;

/// An error of the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket: refused, closed, timed out.
    #[error("{peer}: {source}")]
    Io {
        /// `host:port` of the other end.
        peer: String,
        source: std::io::Error,
    },
    /// The peer's bytes are no response to what was asked, or we asked for what no version carries.
    #[error("{peer}: {source}")]
    Wire { peer: String, source: wire::Error },
    /// The peer broke the protocol in another way.
    #[error("{peer}: {problem}")]
    Protocol { peer: String, problem: String },
    /// No version of the API is spoken by both ends.
    #[error("{peer} serves no version of {api} that this client speaks")]
    Unsupported { peer: String, api: &'static str },
    /// The broker refused; `what` was asked for.
    #[error("{what}: {}{}", code_name(*.code), .message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default())]
    Kafka {
        what: String,
        /// Kafka's number; it may be one that nobody knows yet.
        code: i16,
        message: Option<String>,
    },
    /// A topic, partition or leader is not there, also after asking again.
    #[error("{0}")]
    NotThere(String),
    /// No bootstrap server could be reached; holds the last error.
    #[error("no bootstrap server answers: {0}")]
    Bootstrap(Box<Error>),
}

/// Of the client's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `Ok` for code 0, else [`Error::Kafka`].
    pub(crate) fn check(
        code: i16,
        message: Option<&str>,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        Err(Error::Kafka { what: what(), code, message: message.map(str::to_owned) })
    }

    /// The broker's code, where it was the broker who said no.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Kafka { code, .. } => ErrorCode::from_code(*code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later, after a look at new metadata.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Kafka { .. } => self.code().is_some_and(ErrorCode::is_retriable),
            Error::Io { .. } | Error::NotThere(_) | Error::Bootstrap(_) => true,
            Error::Wire { .. } | Error::Protocol { .. } | Error::Unsupported { .. } => false,
        }
    }
}

/// Kafka's name of a code, or its number.
#[must_use]
pub fn code_name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |c| c.name().to_owned())
}
