//! The limit of open files (`ulimit -n`), shared out at the start: files have theirs, so that
//! connections cannot take them.
use crate::cli::Resolved;

/// Of the process: standard streams, signals, the lock, the admin listener and its runtime.
const PROCESS: u64 = 16;
/// Connections of the admin port.
pub const ADMIN: u64 = 16;
/// Of a core beside segments and connections: ring, wake-up, listener, write-ahead log, small
/// files, one being refused.
const CORE: u64 = 16;
/// Segment files of a core, at least and at most.
const FILES: (u64, u64) = (8, 1_024);
/// Connections of a core with which a broker is of any use.
const CONNECTIONS: u64 = 4;

/// What a core may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub files: u64,
    pub connections: u64,
}

/// Shares a limit out. An error names the least that works.
pub fn share(limit: u64, cores: u64, wanted: u64) -> Result<Share, String> {
    let least = PROCESS + ADMIN + cores * (CORE + FILES.0 + CONNECTIONS);
    if limit < least {
        return Err(format!(
            "{limit} open files (ulimit -n) are too few: {cores} cores need {least}; raise the limit \
             (ulimit -n, LimitNOFILE), or start with fewer --cores"
        ));
    }
    let each = (limit - PROCESS - ADMIN) / cores - CORE;
    let files = (each / 4).clamp(FILES.0, FILES.1);
    Ok(Share { files, connections: (each - files).min(wanted) })
}

/// Fits the bounds to the limit of this process; a line for the start if they are lower than they
/// were meant to be.
pub fn fit(resolved: &mut Resolved) -> Result<(), String> {
    let limit = netio::raise_open_files();
    if limit == 0 {
        return Ok(());
    }
    let cores = u64::from(resolved.settings.cores);
    let wanted = resolved.settings.limits.connections_max;
    let share = share(limit, cores, wanted as u64)?;
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    resolved.storage.open_files_max = size(share.files);
    resolved.settings.limits.connections_max = size(share.connections);
    resolved.netio.connections_max = size(share.connections);
    if size(share.connections) < wanted {
        tracing::warn!(
            connections = share.connections,
            wanted,
            limit,
            "the limit of open files (ulimit -n) holds fewer connections a core than max.connections; \
             raise it (ulimit -n, LimitNOFILE)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_share_and_connections_the_rest() {
        let of = |limit, cores| share(limit, cores, 10_000);
        assert_eq!(of(64, 1), Ok(Share { files: 8, connections: 8 }));
        assert_eq!(of(524_288, 2), Ok(Share { files: 1_024, connections: 10_000 }));
        for (limit, cores) in [(64, 1), (100, 2), (1_024, 4), (4_096, 16), (65_536, 64)] {
            let Share { files, connections } = of(limit, cores).unwrap();
            let used = PROCESS + ADMIN + cores * (CORE + files + connections);
            assert!(used <= limit && files >= 8 && connections >= 4, "{limit} {cores}");
        }
        let error = of(50, 1).unwrap_err();
        assert!(error.contains("need 60") && error.contains("ulimit -n"), "{error}");
    }
}
