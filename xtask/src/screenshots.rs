//! `cargo xtask screenshots FILE.html`: a page as a browser shows it, light and dark, wide and
//! narrow.
//!
//! Debian's chromium, without a window; pngquant makes the pictures small where it is there. They
//! are looked at by people: nothing here judges them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::provision::{self, Dirs};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A page that needs nothing else, such as a report of millrace-bench.
    page: PathBuf,
    /// Where the pictures go.
    #[arg(long, value_name = "DIR", default_value = "docs/images")]
    out: PathBuf,
    /// What their names begin with.
    #[arg(long, default_value = "report")]
    name: String,
}

/// Suffix, width and height in CSS pixels, and whether the page is asked to be dark.
const SHOTS: [(&str, u32, u32, bool); 4] = [
    ("light", 1280, 1500, false),
    ("dark", 1280, 1500, true),
    ("narrow-light", 420, 1500, false),
    ("narrow-dark", 420, 1500, true),
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    if let Some(why) = provision::debian(&dirs, "chromium")? {
        bail!("{why}");
    }
    let page =
        arguments.page.canonicalize().with_context(|| arguments.page.display().to_string())?;
    std::fs::create_dir_all(&arguments.out)?;
    for (suffix, width, height, dark) in SHOTS {
        let to = arguments.out.join(format!("{}-{suffix}.png", arguments.name));
        shoot(&dirs, &page, &to, (width, height), dark)?;
        println!("{}", to.display());
    }
    Ok(())
}

fn shoot(
    dirs: &Dirs,
    page: &Path,
    to: &Path,
    (width, height): (u32, u32),
    dark: bool,
) -> Result<()> {
    let profile = dirs.cache.join("chromium-profile");
    if profile.exists() {
        std::fs::remove_dir_all(&profile)?;
    }
    // A browser's window is at least 500 pixels wide: a narrow page is shown in a frame.
    let frame = dirs.cache.join("frame.html");
    std::fs::write(
        &frame,
        format!(
            "<body style=\"margin:0\"><iframe src=\"file://{}\" style=\"border:0;display:block;width:{width}px;height:{height}px\"></iframe>",
            page.display()
        ),
    )?;
    let raw = dirs.cache.join("screenshot.png");
    let mut browser = Command::new("chromium");
    browser
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--screenshot={}", raw.display()));
    if dark {
        browser.arg("--blink-settings=preferredColorScheme=0");
    }
    browser.arg(format!("file://{}", frame.display()));
    peers::run(&mut browser, &dirs.cache.join("chromium.log"))?;
    ensure!(raw.is_file(), "the browser has left no picture");
    if provision::on_path("pngquant") {
        let mut small = Command::new("pngquant");
        small.args(["--force", "--strip", "--speed", "1", "64", "--output"]).arg(to).arg(&raw);
        peers::run(&mut small, &dirs.cache.join("pngquant.log"))?;
    } else {
        std::fs::copy(&raw, to)?;
    }
    std::fs::remove_file(&raw)?;
    Ok(())
}
