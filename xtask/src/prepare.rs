//! `cargo xtask prepare`: fetches and builds what later stages of `cargo xtask test` need, while
//! the first ones run.
//!
//! The first stages leave a core idle where one crate is compiled alone, and downloads leave both.
//! This fills the gaps: it runs with the lowest priority and only makes earlier what a stage would
//! make itself. So it judges nothing: what fails here fails again in its stage, which says why.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::provision::Dirs;
use crate::{clients, demo, fuzz, monitoring, provision};

pub(crate) fn run() -> Result<()> {
    let dirs = Dirs::find()?;
    let failed = std::thread::scope(|scope| {
        // Packages wait for the network, crates for the compiler.
        let packages = scope.spawn(|| steps(&packages(&dirs)));
        steps(&crates(&dirs)) + packages.join().unwrap_or(1)
    });
    if failed > 0 {
        bail!("{failed} steps failed; their stages will say more");
    }
    Ok(())
}

/// What to do, and its name.
type Step<'a> = (&'static str, Box<dyn Fn() -> Result<()> + 'a>);

fn packages(dirs: &Dirs) -> [Step<'_>; 4] {
    [
        ("clients", Box::new(|| clients::prepare(dirs))),
        ("demo", Box::new(|| demo::prepare(dirs))),
        ("promtool", Box::new(|| monitoring::promtool(dirs).map(drop))),
        ("valgrind", Box::new(|| provision::debian(dirs, "valgrind").map(drop))),
    ]
}

fn crates(dirs: &Dirs) -> [Step<'_>; 3] {
    let cargo = |arguments: &'static [&'static str]| -> Box<dyn Fn() -> Result<()> + '_> {
        Box::new(move || {
            let mut command = Command::new("cargo");
            command.args(arguments).arg("--quiet").current_dir(&dirs.root);
            crate::tools::must_pass(&mut command, "its stage shows the error")
        })
    };
    [
        ("release", cargo(&["build", "--release"])),
        (
            "seeds",
            cargo(&["test", "--release", "-p", "storage", "--test", "conformance", "--no-run"]),
        ),
        ("fuzz", Box::new(fuzz::prepare)),
    ]
}

/// Does all of them; returns how many failed.
fn steps(steps: &[Step<'_>]) -> usize {
    let mut failed = 0;
    for (name, step) in steps {
        let began = Instant::now();
        match step() {
            Ok(()) => println!("{name}: {:.1} s", began.elapsed().as_secs_f64()),
            Err(error) => {
                failed += 1;
                println!("{name}: {error:#}");
            }
        }
    }
    failed
}

/// `cargo xtask prepare` as a process beside this one. Dropped before its end, it is killed; the
/// compiler that it has started ends by itself.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    began: Instant,
    ended: bool,
}

impl Background {
    pub(crate) fn start(log: &Path) -> Result<Self> {
        let own = std::env::current_exe()?;
        let mut command = match provision::on_path("nice") {
            true => Command::new("nice"),
            false => Command::new(&own),
        };
        if provision::on_path("nice") {
            command.args(["-n", "19"]).arg(&own);
        }
        let out = std::fs::File::create(log).with_context(|| log.display().to_string())?;
        command.arg("prepare").stdin(std::process::Stdio::null());
        command.stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().context("cannot start `cargo xtask prepare`")?;
        Ok(Self { child, began: Instant::now(), ended: false })
    }

    /// Returns when it has ended, however it has.
    pub(crate) fn wait(&mut self) -> Result<()> {
        if !self.ended {
            let from = Instant::now();
            let status = self.child.wait()?;
            self.ended = true;
            println!(
                "prepared beside the stages: {status}, {:.1} s, the last {:.1} s of which waited for",
                self.began.elapsed().as_secs_f64(),
                from.elapsed().as_secs_f64()
            );
        }
        Ok(())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
