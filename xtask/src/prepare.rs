//! `cargo xtask prepare`: fetches and builds what later stages of `cargo xtask test` need, while
//! the first ones run.
//!
//! The first stages leave a core idle where one crate is compiled alone, and downloads leave both.
//! This fills the gaps: it runs with the lowest priority and only makes earlier what a stage would
//! make itself. So it judges nothing: what fails here fails again in its stage, which says why.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::provision::Dirs;
use crate::{clients, demo, fuzz, monitoring, provision};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Ends when its input ends: with the program that has started it, however that ends.
    #[arg(long, hide = true)]
    watched: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    if arguments.watched {
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(1);
        });
    }
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

fn crates(dirs: &Dirs) -> [Step<'_>; 4] {
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
        // Not beside the clients, which would wait for cargo's lock.
        (
            "instructions",
            cargo(&["build", "--release", "--package", "broker", "--example", "instructions"]),
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
