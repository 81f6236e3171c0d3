//! kcat: Debian's package, driven by a Python script that needs nothing but Python itself.

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
    if let Some(why) = provision::debian(dirs, "kcat")? {
        return Ok(Tool::Absent(why));
    }
    Ok(Tool::Ready(Program {
        path: "python3".into(),
        arguments: vec![dirs.clients.join("kcat/kcat.py").display().to_string()],
        environment: vec![("PYTHONPATH", dirs.clients.join("python").display().to_string())],
    }))
}
