//! `cargo xtask monitoring`: what `packaging/` and `/metrics` say to Prometheus and Grafana, judged
//! by Prometheus' own promtool.
//!
//! Rules are checked and their tests run, every query of the dashboard is parsed, and so is what a
//! broker with traffic tells, which a test of the broker leaves in `target/tmp`. That names in
//! rules and dashboard are names of metrics is held by that test.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::provision::{self, Dirs};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// What Grafana puts in place of its own variables, about.
const VARIABLES: [(&str, &str); 4] =
    [("$__rate_interval", "5m"), ("$instance", ".*"), ("$topic", ".*"), ("$group", ".*")];

pub(crate) fn run(_: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    let promtool = match promtool(&dirs) {
        Ok(promtool) => promtool,
        Err(why) if provision::must() => return Err(why),
        Err(why) => {
            println!("  promtool: absent, nothing is judged: {why:#}");
            return Ok(());
        }
    };
    let rules = dirs.root.join("packaging/prometheus");
    check(Command::new(&promtool).args(["check", "rules", "rules.yml"]).current_dir(&rules))?;
    check(Command::new(&promtool).args(["test", "rules", "rules_test.yml"]).current_dir(&rules))?;

    let text = fs::read_to_string(dirs.root.join("packaging/grafana/millrace.json"))?;
    let queries = dashboard(&serde_json::from_str(&text).context("millrace.json")?)?;
    let file = dirs.cache.join("dashboard-queries.yml");
    fs::write(&file, as_rules(&queries)?)?;
    check(Command::new(&promtool).args(["check", "rules"]).arg(&file))?;
    println!("  {} queries of the dashboard", queries.len());

    let test = "what_is_written_about_metrics_is_what_a_broker_tells";
    let cargo = ["test", "--quiet", "-p", "broker", "--test", "process", test];
    check(Command::new("cargo").args(cargo).current_dir(&dirs.root))?;
    let scrape = dirs.root.join("target/tmp/metrics.txt");
    let told = fs::File::open(&scrape).with_context(|| scrape.display().to_string())?;
    check(Command::new(&promtool).args(["check", "metrics"]).stdin(told))
}

fn check(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// The one on the PATH, or that of Debian's package, unpacked: installed, it would start a server.
pub(crate) fn promtool(dirs: &Dirs) -> Result<PathBuf> {
    if provision::on_path("promtool") {
        return Ok("promtool".into());
    }
    let home = dirs.cache.join("prometheus");
    let promtool = home.join("usr/bin/promtool");
    if promtool.is_file() {
        return Ok(promtool);
    }
    if let Some(missing) = provision::missing(&["apt-get", "dpkg-deb"]) {
        bail!("no `promtool` on the PATH, and {missing}");
    }
    fs::create_dir_all(&home)?;
    let log = dirs.cache.join("prometheus.log");
    provision::apt_get(&["download", "prometheus"], &home, &log)?;
    let package = fs::read_dir(&home)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .context("apt-get download prometheus left no package")?;
    peers::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&home), &log)?;
    ensure!(promtool.is_file(), "{} has no promtool", package.display());
    Ok(promtool)
}

/// All queries of a dashboard, whose panels must have ids of their own and lie beside each other.
fn dashboard(dashboard: &Value) -> Result<Vec<String>> {
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let (mut ids, mut taken, mut queries) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for panel in panels {
        let title = panel["title"].as_str().context("a panel without a title")?;
        let id = panel["id"].as_u64().with_context(|| format!("{title}: no id"))?;
        ensure!(ids.insert(id), "{title}: another panel has id {id}");
        let place = |side: &str| {
            let value = panel["gridPos"][side].as_u64();
            value.with_context(|| format!("{title}: no {side}"))
        };
        let (x, y, w, h) = (place("x")?, place("y")?, place("w")?, place("h")?);
        ensure!(x + w <= 24, "{title}: wider than the page");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            ensure!(taken.insert(cell), "{title}: lies over another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array();
        let targets = targets.filter(|t| !t.is_empty());
        for target in targets.with_context(|| format!("{title}: no query"))? {
            let expr = target["expr"].as_str();
            queries.push(expr.with_context(|| format!("{title}: no query"))?.to_owned());
        }
    }
    Ok(queries)
}

/// Queries as recording rules, which is a file that promtool checks.
fn as_rules(queries: &[String]) -> Result<String> {
    let rules: Vec<Value> = (0..)
        .zip(queries)
        .map(|(n, query)| {
            let plain =
                VARIABLES.iter().fold(query.clone(), |q, (name, value)| q.replace(name, value));
            ensure!(!plain.contains('$'), "an unknown variable in: {query}");
            Ok(serde_json::json!({ "record": format!("query:{n}"), "expr": plain }))
        })
        .collect::<Result<_>>()?;
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    // JSON is YAML.
    Ok(groups.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_dashboard_is_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/grafana/millrace.json");
        let text = fs::read_to_string(path).unwrap();
        let queries = dashboard(&serde_json::from_str(&text).unwrap()).unwrap();
        assert!(queries.len() > 30, "{}", queries.len());
        as_rules(&queries).unwrap();
    }
}
