//! The Java clients and console tools: jars from Maven Central, `javac`, one JVM for all cases.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::client::{Client, Program};
use crate::kafka;
use crate::provision::{self, Dirs, Tool};

pub(crate) const CLIENT: Client =
    Client { name: "java", about: "Apache Kafka's Java clients and console tools", provision };

fn provision(dirs: &Dirs) -> Result<Tool<Program>> {
    let jars = match kafka::jars(dirs)? {
        Tool::Ready(jars) => jars,
        Tool::Absent(why) => return Ok(Tool::Absent(why)),
    };
    let source = dirs.clients.join("java/src");
    let mut files: Vec<PathBuf> = fs::read_dir(&source)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "java"));
    files.sort();
    let classes = dirs.cache.join("java/classes");
    let mut inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let pom = dirs.clients.join("java/pom.xml");
    inputs.push(&pom);
    let class_path = format!("{}:{}/*", classes.display(), jars.display());
    let stamp = dirs.cache.join("java/classes.stamp");
    provision::once(&stamp, &inputs, "java: compiling the cases", || {
        if classes.exists() {
            fs::remove_dir_all(&classes)?;
        }
        peers::run(
            Command::new("javac")
                .args([
                    "--release",
                    "17",
                    "-Xlint:all,-processing,-classfile,-path",
                    "-cp",
                    &class_path,
                    "-d",
                ])
                .arg(&classes)
                .args(&files),
            &dirs.cache.join("java/javac.log"),
        )
    })?;
    Ok(Tool::Ready(Program {
        path: "java".into(),
        arguments: ["-Xmx512m", "-XX:+UseSerialGC", "Main"].map(str::to_owned).to_vec(),
        environment: vec![("CLASSPATH", class_path)],
    }))
}
