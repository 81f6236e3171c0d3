//! How a log line names a client: by what it says of itself, which is cut and escaped before it is
//! shown.
use crate::{
    core::request::{Closing, ReplyTo, Request, Stage},
    limits::ELEMENTS_MAX,
    shard::Shard,
};

/// Longest text of a client's that a log line shows, in characters.
const SHOWN_MAX: usize = 100;

/// Text from outside, as a log line may have it: in quotes, control characters escaped, and cut.
pub fn shown(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(SHOWN_MAX).collect();
    let cut = if letters.next().is_some() { ".." } else { "" };
    format!("{start:?}{cut}")
}

impl Shard {
    /// Notes what the client of a connection says of its software.
    pub(crate) fn note_software(&mut self, to: ReplyTo, name: &str, version: &str) {
        if let ReplyTo::Session { conn, .. } = to
            && let Some(session) = self.sessions.get_mut(conn)
        {
            session.software = Some(format!("{} {}", shown(name), shown(version)).into());
        }
    }

    /// The client behind a request: its id, and its software where it has said so.
    pub(crate) fn client_behind(&mut self, to: ReplyTo, client_id: Option<&str>) -> String {
        let id = client_id.map_or_else(|| "none".to_owned(), shown);
        let software = match to {
            ReplyTo::Session { conn, .. } => self.sessions.get_mut(conn),
            ReplyTo::Core { .. } => None,
        };
        match software.and_then(|session| session.software.as_deref()) {
            Some(software) => format!("client id {id}, software {software}"),
            None => format!("client id {id}, software not said"),
        }
    }

    /// A request with more in its arrays than one may have: its sender is named.
    pub(crate) fn names_too_many(&mut self, request: &Request<'_>) -> Stage {
        let pending = request.pending;
        let client = self.client_behind(pending.reply, request.client_id);
        let (name, version) = (pending.key.name(), pending.version);
        let (received, max) = (request.frame.len(), self.settings.limits.elements_max);
        Stage::Close(Closing {
            kind: "too many elements",
            why: format!(
                "{name} version {version} of {received} bytes names more than {max} things; ask in parts, or raise \
                 {ELEMENTS_MAX} ({client})"
            )
            .into(),
        })
    }

    /// A request for what is not in the table of APIs: it cannot be answered, and its sender is
    /// named.
    pub(crate) fn not_served(&mut self, request: &Request<'_>, what: &str) -> Stage {
        let pending = request.pending;
        let client = self.client_behind(pending.reply, request.client_id);
        let (name, version) = (pending.key.name(), pending.version);
        Stage::Close(Closing {
            kind: "not served",
            why: format!("{name} version {version}: this {what} is not served ({client})").into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_cut_and_escaped() {
        assert_eq!(shown("rdkafka"), "\"rdkafka\"");
        assert_eq!(shown("a\nb\u{1b}[31m"), "\"a\\nb\\u{1b}[31m\"");
        let long = shown(&"\u{fc}".repeat(5_000));
        assert_eq!(long.chars().count(), SHOWN_MAX + 4);
    }
}
