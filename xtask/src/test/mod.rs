//! `cargo xtask test`: everything that is tested, stage by stage, with the time that each took.
//!
//! It installs what the tests need from the package registries. A tool chain that is absent is
//! skipped with a line that says so, or is an error when CI=true.

mod beside;
mod stages;
mod times;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::provision::Dirs;
use beside::Beside;
use stages::{STAGES, Stage};
use times::{StageTime, Times};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the stages whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Leaves out the stages whose name contains this.
    #[arg(long)]
    skip: Vec<String>,
    /// Shows the stages and ends.
    #[arg(long)]
    list: bool,
    /// Ends at the first stage that fails; without it the other stages are run all the same.
    #[arg(long)]
    fail_fast: bool,
    /// Writes the times of the last run into docs/ci.md, and ends.
    #[arg(long)]
    docs: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    if arguments.docs {
        return times::write_document(&dirs);
    }
    let chosen: Vec<&'static Stage> =
        STAGES.iter().filter(|stage| arguments.wants(stage)).collect();
    if arguments.list {
        chosen.iter().for_each(|stage| println!("{:12} {}", stage.name, stage.about));
        return Ok(());
    }
    // Stages that were asked for by name are few: they run in front, and fetch what they need.
    let whole = arguments.only.is_none();
    let (beside, in_front): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|stage| whole && stage.beside);
    let mut times = Times::begin();
    let mut background = whole.then(|| Beside::start(&dirs, beside)).transpose()?;
    for stage in &in_front {
        if stage.prepared
            && let Some(background) = &mut background
        {
            background.wait_for_packages()?;
        }
        stage.run(&dirs, &mut times)?;
        if times.failed() && arguments.fail_fast {
            break;
        }
    }
    while !(times.failed() && arguments.fail_fast)
        && let Some((time, log)) = background.as_mut().and_then(Beside::next).transpose()?
    {
        println!("\n==> {}, which ran beside the others:", time.name);
        print!("{}", String::from_utf8_lossy(&std::fs::read(log)?));
        times.stages.push(time);
    }
    times.end();
    print!("\n{}", times.table());
    times.write(&dirs)?;
    let failed = times.stages.iter().filter(|stage| !stage.passed).count();
    println!("{} passed, {failed} failed", times.stages.len() - failed);
    if failed > 0 {
        bail!("{failed} of {} stages failed", times.stages.len());
    }
    Ok(())
}

impl Arguments {
    fn wants(&self, stage: &Stage) -> bool {
        self.only.as_ref().is_none_or(|only| stage.name.contains(only.as_str()))
            && !self.skip.iter().any(|skip| stage.name.contains(skip.as_str()))
    }
}

impl Stage {
    fn run(&self, dirs: &Dirs, times: &mut Times) -> Result<()> {
        println!("\n==> {}: {} ({})", self.name, self.about, self.command.join(" "));
        let began = Instant::now();
        let status = Command::new(self.command[0])
            .args(&self.command[1..])
            .envs(self.environment.iter().copied())
            .current_dir(&dirs.root)
            .status()
            .with_context(|| format!("cannot start {}", self.command[0]))?;
        let passed = status.success();
        let seconds = began.elapsed().as_secs_f64();
        let name = self.name.to_owned();
        times.stages.push(StageTime { name, seconds, passed, beside: false });
        Ok(())
    }
}
