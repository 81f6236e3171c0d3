//! Results of a run, as kept in `target/clients/results/` and, for the document, in `docs/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::provision::Dirs;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    Fail,
    Skip,
}

impl Status {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "ok" => Some(Self::Ok),
            "fail" => Some(Self::Fail),
            "skip" => Some(Self::Skip),
            _ => None,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CaseResult {
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) ms: u64,
    /// Why it failed or was skipped; a remark where it is ok.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientResult {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Wall time of the whole program.
    pub(crate) ms: u64,
    pub(crate) cases: Vec<CaseResult>,
}

impl ClientResult {
    /// A failure of the run itself that belongs to no client.
    pub(crate) fn harness(name: &str, reason: String) -> Self {
        let case = CaseResult { name: name.to_owned(), status: Status::Fail, ms: 0, reason };
        Self { name: "harness".to_owned(), version: String::new(), ms: 0, cases: vec![case] }
    }

    pub(crate) fn count(&self, status: Status) -> usize {
        self.cases.iter().filter(|case| case.status == status).count()
    }

    pub(crate) fn print_summary(&self, log: &Path) {
        println!(
            "   {} ({}): {} ok, {} failed, {} skipped, {:.1} s; log: {}",
            self.name,
            self.version,
            self.count(Status::Ok),
            self.count(Status::Fail),
            self.count(Status::Skip),
            std::time::Duration::from_millis(self.ms).as_secs_f32(),
            log.display()
        );
    }
}

/// All clients against one peer in one mode.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `kafka`, `millrace-core` or `millrace-single`.
    pub(crate) peer: String,
    /// UTC, `YYYY-MM-DD`.
    pub(crate) date: String,
    pub(crate) clients: Vec<ClientResult>,
}

impl Run {
    pub(crate) fn new(peer: &str) -> Self {
        Self { peer: peer.to_owned(), date: today(), clients: Vec::new() }
    }

    pub(crate) fn count(&self, status: Status) -> usize {
        self.clients.iter().map(|client| client.count(status)).sum()
    }

    pub(crate) fn case(&self, client: &str, case: &str) -> Option<&CaseResult> {
        let client = self.clients.iter().find(|one| one.name == client)?;
        client.cases.iter().find(|one| one.name == case)
    }
}

/// Puts a run's clients into the stored results of the same peer: a run of some clients
/// replaces theirs and keeps the others'. With `docs`, also into the committed copy.
pub(crate) fn merge(dirs: &Dirs, run: Run, docs: bool) -> Result<()> {
    let mut places = vec![dirs.cache.join("results").join(format!("{}.json", run.peer))];
    if docs {
        places.push(committed(dirs, &run.peer));
    }
    for place in places {
        let mut all = load(&place)?.unwrap_or_else(|| Run::new(&run.peer));
        all.date.clone_from(&run.date);
        all.clients.retain(|old| run.clients.iter().all(|new| new.name != old.name));
        all.clients.retain(|old| old.name != "harness");
        all.clients.extend(run.clients.iter().cloned());
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&place, serde_json::to_string_pretty(&all)? + "\n")?;
    }
    Ok(())
}

/// Where the results that the document shows are kept.
pub(crate) fn committed(dirs: &Dirs, peer: &str) -> PathBuf {
    dirs.root.join("docs/data").join(format!("clients-{peer}.json"))
}

pub(crate) fn load(path: &Path) -> Result<Option<Run>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is not a results file", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The civil date of a day counted from 1970-01-01 (the days-to-civil algorithm on eras of 400
/// years, with the year beginning in March so that the leap day is its last).
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_770), "2026-11-13");
        assert_eq!(date(47_540), "2100-02-28");
        assert_eq!(date(47_541), "2100-03-01");
    }
}
