//! The bytes of one file, twice: as reads see them, and as a power cut would leave them.
//!
//! Between the two stand the pending changes, in the order in which they were made. A sync retires
//! those that were complete when it was asked for; a write with dsync (FUA) retires itself alone; a
//! power cut keeps, loses or tears each of the rest.
use super::super::rng::Rng;
use std::collections::BTreeMap;

const PAGE: usize = 4096;
/// What a device writes whole or not at all.
const SECTOR: u64 = 512;

/// Sparse bytes with a length. Invariant: what lies beyond `len` is zero.
#[derive(Clone, Debug, Default)]
struct Pages {
    /// Pages that are not all zero.
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    len: u64,
}

impl Pages {
    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(into.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let (page, from) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let n = (PAGE - from).min(count - done);
            match self.pages.get(&page) {
                Some(p) => into[done..done + n].copy_from_slice(&p[from..from + n]),
                None => into[done..done + n].fill(0),
            }
            done += n;
        }
        count
    }
    /// Writes without regard to `len`.
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (page, from) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let n = (PAGE - from).min(bytes.len() - done);
            let piece = &bytes[done..done + n];
            let zero = piece.iter().all(|&b| b == 0);
            if zero && n == PAGE {
                self.pages.remove(&page);
            } else if !zero || self.pages.contains_key(&page) {
                let p = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
                p[from..from + n].copy_from_slice(piece);
            }
            done += n;
        }
    }
    /// Shortens (the cut part is gone for good) or extends with zeros.
    fn set_len(&mut self, len: u64) {
        self.len = len;
        self.clip();
    }
    fn clip(&mut self) {
        let first_gone = self.len.div_ceil(PAGE as u64);
        self.pages.split_off(&first_gone);
        let within = (self.len % PAGE as u64) as usize;
        if within > 0
            && let Some(p) = self.pages.get_mut(&(self.len / PAGE as u64))
        {
            p[within..].fill(0);
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Data {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The file became at least this long.
    Grow(u64),
    /// The file was cut or extended to this length.
    SetLen(u64),
}

#[derive(Clone, Debug)]
struct Pending {
    seq: u64,
    change: Change,
    /// A sync that should have covered it failed: no later sync does.
    orphaned: bool,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    now: Pages,
    durable: Pages,
    pending: Vec<Pending>,
    next_seq: u64,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.now.len
    }
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        self.now.read(offset, into)
    }
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    fn push(&mut self, change: Change) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.pending.push(Pending { seq, change, orphaned: false });
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8], dsync: bool) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        let grows = end > self.now.len;
        self.now.write(offset, bytes);
        self.now.len = self.now.len.max(end);
        if !dsync {
            if grows {
                self.push(Change::Grow(end));
            }
            self.push(Change::Data { offset, bytes: bytes.to_vec() });
            return;
        }
        // What is needed to find these bytes again (the length) becomes durable with them; other
        // writes do not.
        let is_length = |p: &Pending| !matches!(p.change, Change::Data { .. });
        if self.pending.iter().any(is_length) {
            self.retire(is_length);
        }
        self.durable.len = self.durable.len.max(end);
        trim(&mut self.pending, offset, end);
        self.durable.write(offset, bytes);
    }
    pub(crate) fn truncate(&mut self, len: u64) {
        self.now.set_len(len);
        self.push(Change::SetLen(len));
    }
    pub(crate) fn grow(&mut self, len: u64) {
        if len > self.now.len {
            self.now.set_len(len);
            self.push(Change::Grow(len));
        }
    }

    /// What a sync asked for now will cover: changes with a lower number.
    pub(crate) fn mark(&self) -> u64 {
        self.next_seq
    }
    pub(crate) fn synced(&mut self, mark: u64) {
        self.retire(|p| p.seq < mark && !p.orphaned);
    }
    pub(crate) fn sync_failed(&mut self, mark: u64) {
        for p in self.pending.iter_mut().filter(|p| p.seq < mark) {
            p.orphaned = true;
        }
    }
    /// Makes the chosen changes durable. What older changes would write over a newer durable one is
    /// forgotten, or a power cut could bring back old bytes over new ones.
    fn retire(&mut self, chosen: impl Fn(&Pending) -> bool) {
        let mut kept: Vec<Pending> = Vec::new();
        for p in std::mem::take(&mut self.pending) {
            if !chosen(&p) {
                kept.push(p);
                continue;
            }
            match p.change {
                Change::Data { offset, bytes } => {
                    trim(&mut kept, offset, offset + bytes.len() as u64);
                    self.durable.write(offset, &bytes);
                }
                Change::Grow(len) => self.durable.len = self.durable.len.max(len),
                Change::SetLen(len) => {
                    trim(&mut kept, len, u64::MAX);
                    self.durable.set_len(len);
                }
            }
        }
        self.pending = kept;
    }

    /// The power is cut: each pending change is kept, lost, or (data) torn at sectors.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        for p in std::mem::take(&mut self.pending) {
            let fate = rng.below(10);
            match p.change {
                Change::Data { offset, bytes } => match fate {
                    0..4 => self.durable.write(offset, &bytes),
                    4..7 => {}
                    torn => {
                        // 7: a prefix; 8: a suffix; 9: any sectors.
                        let end = offset + bytes.len() as u64;
                        let cut = rng.between(offset, end);
                        let mut at = offset;
                        while at < end {
                            let next = ((at / SECTOR + 1) * SECTOR).min(end);
                            let keep = match torn {
                                7 => next <= cut,
                                8 => at >= cut,
                                _ => rng.chance(0.5),
                            };
                            if keep {
                                self.durable.write(
                                    at,
                                    &bytes[(at - offset) as usize..(next - offset) as usize],
                                );
                            }
                            at = next;
                        }
                    }
                },
                Change::Grow(len) if fate < 6 => self.durable.len = self.durable.len.max(len),
                Change::SetLen(len) if fate < 6 => self.durable.set_len(len),
                Change::Grow(_) | Change::SetLen(_) => {}
            }
        }
        self.durable.clip();
        self.now = self.durable.clone();
    }

    /// Turns bits of one byte in both images: damage that nothing of ours caused. False beyond the
    /// end.
    pub(crate) fn flip(&mut self, position: u64, mask: u8) -> bool {
        let mut byte = [0];
        if self.now.read(position, &mut byte) == 0 {
            return false;
        }
        self.now.write(position, &[byte[0] ^ mask]);
        self.durable.read(position, &mut byte);
        if position < self.durable.len {
            self.durable.write(position, &[byte[0] ^ mask]);
        }
        true
    }
    /// As if it had always been so.
    pub(crate) fn replace(&mut self, bytes: &[u8]) {
        *self = Self { next_seq: self.next_seq, ..Self::default() };
        self.now.write(0, bytes);
        self.now.len = bytes.len() as u64;
        self.durable = self.now.clone();
    }
}

/// Removes `from..to` from pending data.
fn trim(pending: &mut Vec<Pending>, from: u64, to: u64) {
    let hit = |p: &Pending| match &p.change {
        Change::Data { offset, bytes } => *offset < to && offset + bytes.len() as u64 > from,
        _ => false,
    };
    if !pending.iter().any(hit) {
        return;
    }
    let mut kept = Vec::with_capacity(pending.len() + 1);
    for p in pending.drain(..) {
        if !hit(&p) {
            kept.push(p);
            continue;
        }
        let Change::Data { offset, bytes } = p.change else { unreachable!("only data is hit") };
        let end = offset + bytes.len() as u64;
        let mut piece = |a: u64, b: u64| {
            if a < b {
                let bytes = bytes[(a - offset) as usize..(b - offset) as usize].to_vec();
                kept.push(Pending {
                    seq: p.seq,
                    change: Change::Data { offset: a, bytes },
                    orphaned: p.orphaned,
                });
            }
        };
        piece(offset, from.min(end));
        piece(to.max(offset), end);
    }
    *pending = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(c: &Content) -> Vec<u8> {
        let mut v = vec![0; c.len() as usize];
        assert_eq!(c.read(0, &mut v), v.len());
        v
    }
    /// What power cuts can leave of `c`, over many seeds.
    fn outcomes(c: &Content) -> Vec<Vec<u8>> {
        let mut seen: Vec<Vec<u8>> = (0..300)
            .map(|seed| {
                let mut c = c.clone();
                c.crash(&mut Rng::new(seed));
                assert_eq!(c.pending(), 0);
                all(&c)
            })
            .collect();
        seen.sort();
        seen.dedup();
        seen
    }
    fn block(b: u8) -> Vec<u8> {
        vec![b; 4096]
    }

    #[test]
    fn pages_read_back_what_was_written_at_odd_places() {
        let mut c = Content::default();
        let bytes: Vec<u8> = (0..20_000).map(|i| (i % 251) as u8).collect();
        c.write(1_234, &bytes, false);
        c.write(5_000, &[0; 9_000], false);
        let mut want = vec![0; 1_234];
        want.extend(&bytes);
        want[5_000..14_000].fill(0);
        assert_eq!(all(&c), want);
        c.truncate(6_000);
        c.grow(8_000);
        want.truncate(6_000);
        want.resize(8_000, 0);
        assert_eq!(all(&c), want);
        let mut short = [7; 10];
        assert_eq!(c.read(7_995, &mut short), 5);
        assert_eq!(c.read(9_000, &mut short), 0);
    }

    #[test]
    fn unsynced_data_is_lost_kept_or_torn_and_synced_data_stays() {
        let mut c = Content::default();
        c.write(0, &block(1), false);
        let m = c.mark();
        c.write(4096, &block(2), false);
        c.synced(m);
        let seen = outcomes(&c);
        assert!(seen.iter().all(|v| v[..4096] == block(1)), "a synced block stays");
        assert!(seen.iter().any(|v| v.len() == 4096), "lost with its length");
        assert!(seen.iter().any(|v| v.len() == 8192 && v[4096..] == block(2)), "kept");
        assert!(
            seen.iter().any(|v| v.len() == 8192 && v[4096..] == block(0)),
            "length without data"
        );
        let torn =
            |v: &Vec<u8>| v.len() == 8192 && v[4096..].contains(&2) && v[4096..].contains(&0);
        assert!(seen.iter().any(torn), "torn");
        for v in seen.iter().filter(|v| torn(v)) {
            for sector in v[4096..].chunks(512) {
                assert!(sector.iter().all(|b| b == &sector[0]), "sectors are atomic");
            }
        }
    }

    #[test]
    fn dsync_makes_only_itself_durable() {
        let mut c = Content::default();
        c.truncate(3 * 4096);
        c.synced(c.mark());
        c.write(0, &block(1), false);
        c.write(4096, &block(2), true);
        c.write(2 * 4096, &block(3), false);
        let seen = outcomes(&c);
        assert!(seen.iter().all(|v| v.len() == 3 * 4096 && v[4096..8192] == block(2)));
        assert!(
            seen.iter().any(|v| v[..4096] == block(0)),
            "an earlier write may be lost although a later dsync was acked"
        );
        assert!(seen.iter().any(|v| v[8192..] == block(0)));
    }

    #[test]
    fn old_pending_bytes_never_return_over_newer_durable_ones() {
        let mut c = Content::default();
        c.write(0, &block(1), false);
        c.write(0, &block(2), true);
        assert_eq!(outcomes(&c), vec![block(2)]);
        // The same by way of a failed and a later good sync.
        let mut c = Content::default();
        c.write(0, &block(1), true);
        c.write(0, &block(2), false);
        c.sync_failed(c.mark());
        c.write(0, &block(3), false);
        c.synced(c.mark());
        assert_eq!(outcomes(&c), vec![block(3)]);
        // And a truncate that dsync made durable.
        let mut c = Content::default();
        c.write(0, &block(1), false);
        c.truncate(0);
        c.write(4096, &block(2), true);
        assert_eq!(outcomes(&c), vec![[block(0), block(2)].concat()]);
    }

    #[test]
    fn a_failed_sync_leaves_its_writes_at_risk_for_good() {
        let mut c = Content::default();
        c.truncate(4096);
        c.synced(c.mark());
        c.write(0, &block(1), false);
        c.sync_failed(c.mark());
        c.synced(c.mark());
        assert!(outcomes(&c).contains(&block(0)));
        assert_eq!(all(&c), block(1), "reads go on seeing it");
    }

    #[test]
    fn a_sync_covers_what_was_complete_when_it_was_asked_for() {
        let mut c = Content::default();
        c.truncate(8192);
        c.synced(c.mark());
        let m = c.mark();
        c.write(0, &block(1), false);
        c.synced(m);
        assert!(outcomes(&c).iter().any(|v| v[..4096] == block(0)));
    }

    #[test]
    fn flipping_damages_both_images() {
        let mut c = Content::default();
        c.write(0, &block(1), true);
        assert!(c.flip(17, 0x80) && !c.flip(4096, 1));
        assert_eq!(all(&c)[17], 0x81);
        assert_eq!(outcomes(&c)[0][17], 0x81);
    }
}
