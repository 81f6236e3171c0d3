//! kcat: Debian's package, driven by a Python script that needs nothing but Python itself.

use std::process::Command;

use anyhow::Result;

use super::client::{Client, Program};
use crate::provision::{self, Dirs, Tool};

pub(crate) const CLIENT: Client = Client {
    name: "kcat",
    about: "kcat, the command line on librdkafka (Debian's, an old one: good for version ranges)",
    provision,
};

fn provision(dirs: &Dirs) -> Result<Tool<Program>> {
    if let Some(missing) = provision::missing(&["python3"]) {
        return Ok(Tool::Absent(missing));
    }
    if !provision::on_path("kcat")
        && let Some(why) = install(dirs)?
    {
        return Ok(Tool::Absent(why));
    }
    Ok(Tool::Ready(Program {
        path: "python3".into(),
        arguments: vec![dirs.clients.join("kcat/kcat.py").display().to_string()],
        environment: vec![(
            "PYTHONPATH",
            dirs.clients.join("python").display().to_string(),
        )],
    }))
}

/// Installs the Debian package; says why where it can't.
fn install(dirs: &Dirs) -> Result<Option<String>> {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n");
    if !provision::on_path("apt-get") || !root {
        return Ok(Some(
            "no `kcat` on the PATH; `apt-get install kcat` as root gives it".to_owned(),
        ));
    }
    println!("  kcat: installing Debian's package ...");
    let log = dirs.cache.join("kcat.log");
    let apt = |arguments: &[&str]| {
        provision::run(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(arguments),
            &log,
        )
    };
    let wanted = ["install", "-y", "--no-install-recommends", "kcat"];
    // A machine's package lists may be absent or old: fetch them only then.
    if apt(&wanted).is_err() {
        apt(&["update"])?;
        apt(&wanted)?;
    }
    Ok(None)
}
