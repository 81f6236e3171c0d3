//! Kafka's names as Rust's: one rule for the importer (files) and the generator (fields, modules).

/// `LogAppendTimeMs`, `leaderEpoch`, `Enable2Pc` -> `log_append_time_ms`, `leader_epoch`,
/// `enable2_pc`.
pub(crate) fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let starts_word = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase()
                    || after.is_some_and(|after| after.is_ascii_lowercase())
            });
        if starts_word {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// A field's name; Rust's keywords get an underscore behind.
pub(crate) fn field(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "type" | "match" => name + "_",
        _ => name,
    }
}

/// The module of a message: its name without what its kind says.
pub(crate) fn module(message: &str) -> String {
    let stem = ["Request", "Response", "Record", "Key", "Value"]
        .iter()
        .find_map(|end| message.strip_suffix(end))
        .unwrap_or(message);
    snake(stem)
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_found() {
        for (kafka, rust) in [
            ("LogAppendTimeMs", "log_append_time_ms"),
            ("leaderEpoch", "leader_epoch"),
            ("Enable2Pc", "enable2_pc"),
            ("KRaftVersion", "k_raft_version"),
            ("PreferredReplicaID", "preferred_replica_id"),
            ("Type", "type_"),
        ] {
            assert_eq!(super::field(kafka), rust);
        }
        assert_eq!(super::module("OffsetCommitKey"), "offset_commit");
        assert_eq!(super::module("NoOpRecord"), "no_op");
    }
}
