//! `cargo xtask commits`: what a commit's message must look like; `cargo xtask hooks`: git asks
//! before it takes one.
//!
//! A subject is read in lists a hundred times and in full once: `area: what`, short enough for one
//! line of `git log --oneline`. The reason stands in the body.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::provision::Dirs;

/// The first commits were written before there was a rule. Those after this one keep it.
const SINCE: &str = "8903d5ec0a63be02de4785cef5eea018a10db8f2";
const SUBJECT_CHARS_MAX: usize = 72;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Checks the message in this file instead of the history; this is what the hook does.
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(file) = &arguments.message {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        return match finding(&without_comments(&text)) {
            Some(finding) => bail!("{finding}; see CONTRIBUTING.md"),
            None => Ok(()),
        };
    }
    let root = Dirs::find()?.root;
    let range = format!("{SINCE}..HEAD");
    let Some(log) = git(&root, &["log", "-z", "--no-merges", "--format=%h%n%B", &range]) else {
        // A copy without history, or with only its end, has nothing to judge.
        println!("commits: NOT CHECKED, this history does not have {}", &SINCE[..12]);
        return Ok(());
    };
    let mut judged = 0;
    let mut findings = Vec::new();
    for commit in log.split('\0').filter(|commit| !commit.is_empty()) {
        judged += 1;
        let (id, message) = commit.split_once('\n').unwrap_or((commit, ""));
        findings.extend(finding(message).map(|finding| format!("{id}: {finding}")));
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} of {judged} commit messages; see CONTRIBUTING.md", findings.len());
    }
    println!("commits: {judged} messages are as CONTRIBUTING.md says");
    Ok(())
}

/// `cargo xtask hooks`: git asks `cargo xtask commits` about each message.
pub(crate) fn install() -> Result<()> {
    let root = Dirs::find()?.root;
    let folder = git(&root, &["rev-parse", "--git-path", "hooks"])
        .context("this is no work tree of git, or git is not on the PATH")?;
    let folder = root.join(folder.trim());
    let hook = folder.join("commit-msg");
    let text =
        "#!/bin/sh\n# Written by `cargo xtask hooks`.\nexec cargo xtask commits --message \"$1\"\n";
    match fs::read_to_string(&hook) {
        Ok(old) if old == text => {}
        Ok(_) => bail!("{} is there already, and is another: remove it first", hook.display()),
        Err(_) => {
            fs::create_dir_all(&folder)?;
            fs::write(&hook, text).with_context(|| hook.display().to_string())?;
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        }
    }
    println!("git asks {} before it takes a commit", hook.display());
    Ok(())
}

/// What git says, or nothing where it fails.
pub(crate) fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As git leaves it: what an editor showed as a comment is no part of the message.
fn without_comments(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.starts_with("# ------------------------ >8"));
    lines.filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// What is wrong with a message.
fn finding(message: &str) -> Option<String> {
    let mut lines = message.trim_start().lines();
    let subject = lines.next().unwrap_or_default();
    if subject.starts_with("fixup! ") || subject.starts_with("Revert \"") {
        return None;
    }
    let chars = subject.chars().count();
    if chars > SUBJECT_CHARS_MAX {
        return Some(format!(
            "the subject has {chars} characters, at most {SUBJECT_CHARS_MAX} fit; \
             the body has room: {subject}"
        ));
    }
    let (area, what) = subject.split_once(": ").unwrap_or(("", ""));
    if area.trim().is_empty() || what.trim().is_empty() {
        return Some(format!("the subject is not `area: what`: {subject}"));
    }
    if lines.next().is_some_and(|second| !second.trim().is_empty()) {
        return Some(format!("no empty line between subject and body: {subject}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_its_area_and_fits_a_line() {
        let fits = format!("wire: {}", "ä".repeat(SUBJECT_CHARS_MAX - 6));
        assert_eq!(finding(&fits), None);
        assert!(finding(&format!("{fits}x")).is_some_and(|f| f.contains("73 characters")));
        assert!(finding("no area").is_some());
        assert!(finding("wire: ").is_some());
        assert!(finding("").is_some());
        assert_eq!(finding("Revert \"wire: something\"\n\nThis reverts commit 1."), None);
    }

    #[test]
    fn the_body_stands_apart() {
        assert_eq!(finding("wire: a field\n\nwhy it is there\n"), None);
        assert!(finding("wire: a field\nwhy it is there\n").is_some());
    }

    #[test]
    fn comments_of_the_editor_do_not_count() {
        let text =
            "# a long comment\nwire: a field\n\nwhy\n# ------------------------ >8 ----\ndiff";
        assert_eq!(without_comments(text), "wire: a field\n\nwhy");
    }
}
