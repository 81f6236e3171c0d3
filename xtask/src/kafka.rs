//! Apache Kafka's jars, as `clients/java/pom.xml` names them.

use std::path::PathBuf;

use anyhow::Result;

use crate::provision::{self, Dirs, Tool};

/// The directory of Kafka's jars, fetched from Maven Central on first use (about a minute).
pub(crate) fn jars(dirs: &Dirs) -> Result<Tool<PathBuf>> {
    if let Some(missing) = provision::missing(&["java", "javac", "mvn"]) {
        return Ok(Tool::Absent(missing));
    }
    let pom = dirs.clients.join("java/pom.xml");
    let cache = dirs.cache.join("java");
    let jars = cache.join("jars");
    provision::once(
        &cache.join("jars.stamp"),
        &[&pom],
        "java: fetching Apache Kafka's jars",
        || peers::kafka::fetch(&pom, &jars, &cache.join("mvn.log")),
    )?;
    Ok(Tool::Ready(jars))
}
