//! Memory that the machine really has, before a broker with a page cache is measured.
//!
//! In a virtual machine a page that was never written, or that the guest has handed back (free page
//! reporting of the balloon driver), is not there: the first write to it waits for the host, here
//! 10 to 30 us for 4 KiB. A broker that writes through the page cache meets such a page with every
//! 4 KiB that it is sent, and would be measured at the speed of the host's memory management: 150
//! MB/s in place of 450. On a host of its own, or after hours of work, no broker pays that.
//!
//! So memory is written once, then given back to the kernel in pieces too small to be handed on: of
//! every [`PIECE`] one page is held until the comparison ends. Free memory, for the page cache of
//! whoever needs it, and the host has it no more.

use anyhow::{Context, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

use crate::units::bytes;

/// Blocks of 2 MiB and more are handed back to the host; what is free between two held pages is
/// smaller.
const PIECE: u64 = 256 << 10;
const PAGE: u64 = 4096;
/// Written at a time.
const STEP: usize = 1 << 20;

/// Holds the pages between the free ones. Dropping it lets the kernel do with its memory what it
/// likes.
#[derive(Debug)]
pub struct Kept {
    /// A file in memory that is mostly holes.
    _file: OwnedFd,
    /// Bytes that were written.
    pub bytes: u64,
}

/// Writes `wanted` bytes of memory, at most half of what is available, and frees most of it.
///
/// # Errors
/// The kernel has no files in memory.
pub fn keep(wanted: u64, say: &mut dyn FnMut(&str)) -> Result<Kept> {
    let size = wanted.min(available() / 2) / STEP as u64 * STEP as u64;
    let file = memfd_create("kept", MemfdFlags::CLOEXEC).context("a file in memory")?;
    let filler = vec![0x5a; STEP];
    let mut written = 0;
    while written < size {
        written += rustix::io::write(&file, &filler)? as u64;
        if written.is_multiple_of(256 << 20) {
            say(&format!("memory: {} of {}", bytes(written), bytes(size)));
        }
    }
    for piece in 0..written / PIECE {
        fallocate(
            &file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            piece * PIECE + PAGE,
            PIECE - PAGE,
        )?;
    }
    Ok(Kept { _file: file, bytes: written })
}

/// Bytes that could be had without swapping.
fn available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_the_memory_is_free_again() {
        let kept = keep(4 << 20, &mut |_| {}).unwrap();
        assert_eq!(kept.bytes, 4 << 20);
        let stat = rustix::fs::fstat(&kept._file).unwrap();
        // Blocks of 512 bytes: a page of each piece.
        assert_eq!(stat.st_size, 4 << 20);
        assert_eq!(stat.st_blocks * 512, (4 << 20) / 64);
    }
}
