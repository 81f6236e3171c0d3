//! Search in an index file, block by block: nothing of an index stays in memory.
//!
//! The largest index of a default segment has 2 MiB; a search reads about ten blocks, which the
//! page cache holds when it is used often. Entries are believed only so far that the batch they
//! name is looked at before use.
use super::Entry;
use crate::error::Error;
use netio::File;
use record::Offset;

/// Bytes of a block of either index: a multiple of both entry sizes.
const BLOCK: u64 = 4_080;

/// The last entry of the first `count` with a key <= `key`, and its number.
pub(crate) async fn floor<E: Entry>(
    file: &File,
    base: Offset,
    count: u64,
    key: i64,
) -> Result<Option<(u64, E)>, Error> {
    let entries_per_block = BLOCK / E::SIZE as u64;
    let blocks = count.div_ceil(entries_per_block);
    // The last block whose first entry is <= key lies in low..high.
    let (mut low, mut high) = (0, blocks);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let first = middle * entries_per_block;
        let block = read::<E>(file, base, first, entries_per_block.min(count - first)).await?;
        match block.partition_point(|entry| entry.key() <= key) {
            0 => high = middle,
            at => {
                found = Some((first + at as u64 - 1, block[at - 1]));
                if at < block.len() {
                    break;
                }
                low = middle + 1;
            }
        }
    }
    Ok(found)
}

/// `count` entries from number `first` on; fewer where the file ends.
pub(crate) async fn read<E: Entry>(
    file: &File,
    base: Offset,
    first: u64,
    count: u64,
) -> Result<Vec<E>, Error> {
    let bytes = file
        .read_vec(first * E::SIZE as u64, usize::try_from(count).unwrap_or(0) * E::SIZE)
        .await?;
    Ok(bytes.chunks_exact(E::SIZE).map(|bytes| E::decode(base, bytes)).collect())
}
