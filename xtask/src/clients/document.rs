//! docs/clients.md: the matrix of client and feature, written from the committed results.
//!
//! Only what is between the two markers is replaced; text around them is people's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Result, bail};

use super::client::CLIENTS;
use super::features::FEATURES;
use super::results::{self, Run, Status};
use crate::provision::Dirs;

const BEGIN: &str = "<!-- matrix: written by `cargo xtask clients --docs` -->";
const END: &str = "<!-- matrix: end -->";

/// Results name, title.
const PEERS: [(&str, &str); 3] = [
    ("millrace-core", "Millrace, a port per core"),
    ("millrace-single", "Millrace, `--single-port`"),
    ("kafka", "Apache Kafka 4.3.1"),
];

pub(crate) fn write(dirs: &Dirs) -> Result<()> {
    let mut runs = Vec::new();
    for (peer, title) in PEERS {
        if let Some(run) = results::load(&results::committed(dirs, peer))? {
            runs.push((title, run));
        }
    }
    let path = dirs.root.join("docs/clients.md");
    let old = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) => format!("# Clients\n\n{BEGIN}\n{END}\n"),
    };
    let new = replace(&old, &matrix(&runs))?;
    fs::write(&path, new)?;
    println!("wrote {}", path.display());
    Ok(())
}

fn replace(text: &str, matrix: &str) -> Result<String> {
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        bail!("docs/clients.md has lost its markers; put back `{BEGIN}` and `{END}`");
    };
    Ok(format!("{}{BEGIN}\n{matrix}{}", &text[..begin], &text[end..]))
}

fn matrix(runs: &[(&str, Run)]) -> String {
    let mut out = String::new();
    clients(&mut out, runs);
    for (title, run) in runs {
        table(&mut out, title, run);
    }
    differences(&mut out, runs);
    out
}

fn clients(out: &mut String, runs: &[(&str, Run)]) {
    out.push_str("\n| client | what it is | version that ran |\n|---|---|---|\n");
    for client in CLIENTS {
        let version = runs
            .iter()
            .find_map(|(_, run)| run.clients.iter().find(|one| one.name == client.name))
            .map_or("", |one| one.version.as_str());
        let _ = writeln!(out, "| {} | {} | {version} |", client.name, client.about);
    }
}

fn table(out: &mut String, title: &str, run: &Run) {
    let command = match run.peer.as_str() {
        "kafka" => "cargo xtask clients --against kafka",
        "millrace-core" => "cargo xtask clients --mode core",
        _ => "cargo xtask clients --mode single",
    };
    let seconds: u64 = run.clients.iter().map(|client| client.ms).sum::<u64>() / 1000;
    let _ = writeln!(
        out,
        "\n## {title}\n\n`{command}`, {}: {} ok, {} failed, {} skipped, {seconds} s of clients.\n",
        run.date,
        run.count(Status::Ok),
        run.count(Status::Fail),
        run.count(Status::Skip),
    );
    let names: Vec<_> = CLIENTS.iter().map(|client| client.name).collect();
    let _ = writeln!(out, "| feature | {} | what it proves |", names.join(" | "));
    let _ = writeln!(out, "|---|{}---|", ":-:|".repeat(names.len()));
    let mut notes: Vec<String> = Vec::new();
    for (feature, about) in FEATURES {
        if about.is_empty() {
            let _ = writeln!(out, "| **{feature}** |{} |", " |".repeat(names.len()));
            continue;
        }
        let cells: Vec<_> =
            names.iter().map(|client| cell(run, client, feature, &mut notes)).collect();
        let _ = writeln!(out, "| {feature} | {} | {about} |", cells.join(" | "));
    }
    if !notes.is_empty() {
        out.push('\n');
    }
    for (index, note) in notes.iter().enumerate() {
        let _ = writeln!(out, "{}. {note}", index + 1);
    }
}

fn cell(run: &Run, client: &str, feature: &str, notes: &mut Vec<String>) -> String {
    let Some(case) = run.case(client, feature) else {
        return String::new();
    };
    let word = match case.status {
        Status::Ok => "ok",
        Status::Fail => "**FAIL**",
        Status::Skip => "-",
    };
    if case.reason.is_empty() {
        return word.to_owned();
    }
    // One note per text: several clients often stop at the same thing.
    let note = tidy(&case.reason);
    let index = notes.iter().position(|old| *old == note).unwrap_or_else(|| {
        notes.push(note);
        notes.len() - 1
    });
    format!("{word} ({})", index + 1)
}

/// Makes a program's message safe inside Markdown.
fn tidy(text: &str) -> String {
    let short: String = text.chars().take(300).collect();
    short.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

/// Cases whose outcome at Millrace is not Kafka's: each is a finding.
fn differences(out: &mut String, runs: &[(&str, Run)]) {
    let Some((_, kafka)) = runs.iter().find(|(_, run)| run.peer == "kafka") else {
        return;
    };
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (_, run) in runs.iter().filter(|(_, run)| run.peer != "kafka") {
        for client in &run.clients {
            for case in &client.cases {
                let theirs = kafka.case(&client.name, &case.name);
                if theirs.is_some_and(|theirs| theirs.status == case.status) {
                    continue;
                }
                let there = theirs.map_or("did not run", |theirs| theirs.status.word());
                found.entry((case.name.clone(), client.name.clone())).or_default().push(format!(
                    "{}: {} (Kafka: {there}) {}",
                    run.peer,
                    case.status.word(),
                    tidy(&case.reason)
                ));
            }
        }
    }
    out.push_str("\n## Differences from Apache Kafka\n\n");
    if runs.len() < 2 {
        out.push_str("Millrace's results are not here yet.\n");
    } else if found.is_empty() {
        out.push_str("No case ends differently.\n");
    }
    for ((case, client), what) in found {
        let _ = writeln!(out, "* `{case}` with {client}: {}", what.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::{CaseResult, ClientResult};
    use super::*;

    fn run(peer: &str, status: Status, reason: &str) -> Run {
        let mut run = Run::new(peer);
        run.clients.push(ClientResult {
            name: "kcat".to_owned(),
            version: "1".to_owned(),
            ms: 1,
            cases: vec![CaseResult {
                name: "seek".to_owned(),
                status,
                ms: 1,
                reason: reason.to_owned(),
            }],
        });
        run
    }

    #[test]
    fn a_difference_is_listed_and_text_around_stays() {
        let runs = [
            ("Millrace", run("millrace-core", Status::Fail, "it | broke")),
            ("Kafka", run("kafka", Status::Ok, "")),
        ];
        let old = format!("# Head\n{BEGIN}\nold\n{END}\ntail\n");
        let text = replace(&old, &matrix(&runs)).expect("markers are there");
        assert!(text.starts_with("# Head\n") && text.ends_with(&format!("{END}\ntail\n")));
        assert!(!text.contains("\nold\n"));
        assert!(text.contains("| seek |  | **FAIL** (1) |"), "{text}");
        assert!(text.contains("1. it \\| broke"), "{text}");
        assert!(
            text.contains("* `seek` with kcat: millrace-core: FAIL (Kafka: ok) it \\| broke"),
            "{text}"
        );
        assert!(replace("no markers", "x").is_err());
    }
}
