//! Names that a request repeats, found in linear memory (4 or 8 bytes a name) and without trust in
//! hashes that can be foreseen.
use std::{
    cmp::Ordering,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Places of the first of each that is named, in order. `by` must be an order of the named things,
/// as `Ord` has it.
pub(crate) fn firsts<T>(named: &[T], by: impl Fn(&T, &T) -> Ordering) -> Vec<u32> {
    let mut places: Vec<u32> = (0..u32::try_from(named.len()).unwrap_or(u32::MAX)).collect();
    let at = |place: &u32| &named[*place as usize];
    // Those that are the same by their place, so that the first of them is the first named.
    places.sort_unstable_by(|a, b| by(at(a), at(b)).then(a.cmp(b)));
    places.dedup_by(|later, first| by(at(later), at(first)) == Ordering::Equal);
    places.sort_unstable();
    places
}

/// Which of them are named more than once.
pub(crate) fn repeated<T>(named: &[T], by: impl Fn(&T, &T) -> Ordering) -> Vec<bool> {
    let mut places: Vec<u32> = (0..u32::try_from(named.len()).unwrap_or(u32::MAX)).collect();
    let at = |place: &u32| &named[*place as usize];
    places.sort_unstable_by(|a, b| by(at(a), at(b)));
    let mut repeated = vec![false; named.len()];
    for same in places.chunk_by(|a, b| by(at(a), at(b)).is_eq()) {
        for place in same.iter().filter(|_| same.len() > 1) {
            repeated[*place as usize] = true;
        }
    }
    repeated
}

/// Hashes what a request names, so that nobody can choose names that meet: it begins with a secret
/// of the core.
#[derive(Clone, Copy, Debug)]
pub struct Secret(u128);

impl Secret {
    pub fn new(random: u128) -> Self {
        Self(random)
    }

    /// For tables that are fast and forget it.
    pub(crate) fn seed(self) -> u64 {
        self.0 as u64
    }

    fn hasher(self) -> DefaultHasher {
        // SipHash. Its keys are known, but what follows 16 bytes that are not cannot be foreseen.
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.0);
        hasher
    }

    /// The places of all that is named, by hashes of 32 bits: of many names few meet by chance.
    /// What comes again and again in a row is hashed once.
    fn hashed<T>(
        self,
        named: &[T],
        hash: impl Fn(&T, &mut DefaultHasher),
        same: impl Fn(&T, &T) -> bool,
    ) -> Vec<u64> {
        let begun = self.hasher();
        let mut last: Option<(&T, u64)> = None;
        let hashed = |(place, name)| {
            let high = match last {
                Some((before, high)) if same(before, name) => high,
                _ => {
                    let mut hasher = begun.clone();
                    hash(name, &mut hasher);
                    hasher.finish() >> 32
                }
            };
            last = Some((name, high));
            high << 32 | u64::from(place)
        };
        // A frame has fewer than that.
        let mut places: Vec<u64> = (0..u32::MAX).zip(named).map(hashed).collect();
        places.sort_unstable();
        places
    }
}

/// For each name the place of the first that is the same: by a hash first, 8 bytes a name. A name
/// is read once and not once for each with which sorting would compare it.
fn first_of_each<T>(
    secret: Secret,
    named: &[T],
    hash: impl Fn(&T, &mut DefaultHasher),
    same: impl Fn(&T, &T) -> bool,
) -> Vec<u32> {
    let places = secret.hashed(named, hash, &same);
    let mut numbers = vec![0; named.len()];
    let mut firsts: Vec<u32> = Vec::new();
    for meeting in places.chunk_by(|a, b| a >> 32 == b >> 32) {
        firsts.clear();
        for place in meeting.iter().map(|place| *place as u32) {
            let own = &named[place as usize];
            let known = firsts.iter().find(|first| same(&named[**first as usize], own));
            let first = known.copied().unwrap_or(place);
            if first == place {
                firsts.push(place);
            }
            numbers[place as usize] = first;
        }
    }
    numbers
}

/// As [`firsts`] finds them, of very many.
pub(crate) fn firsts_of_many<T>(
    secret: Secret,
    named: &[T],
    hash: impl Fn(&T, &mut DefaultHasher),
    same: impl Fn(&T, &T) -> bool,
) -> Vec<u32> {
    let mut firsts = first_of_each(secret, named, hash, same);
    let mut place = 0;
    firsts.retain(|first| {
        place += 1;
        *first == place - 1
    });
    firsts
}

/// For each name the place of the first that is the same.
pub(crate) fn numbered<T>(secret: Secret, named: &[T], name: impl Fn(&T) -> &str) -> Vec<u32> {
    let hash = |named: &T, hasher: &mut DefaultHasher| name(named).hash(hasher);
    first_of_each(secret, named, hash, |a, b| name(a) == name(b))
}

/// Keeps the first of each that is named.
pub(crate) fn keep_firsts<T>(
    secret: Secret,
    named: &mut Vec<T>,
    hash: impl Fn(&T, &mut DefaultHasher),
    same: impl Fn(&T, &T) -> bool,
) {
    if named.len() < 2 {
        return;
    }
    keep(named, firsts_of_many(secret, named, hash, same));
}

/// As [`keep_firsts`], of numbers: sorting takes less than hashing each.
pub(crate) fn keep_numbers_once(named: &mut Vec<i32>) {
    keep(named, firsts(named, Ord::cmp));
}

/// Keeps what stands at these places, which are in order.
fn keep<T>(named: &mut Vec<T>, firsts: Vec<u32>) {
    if firsts.len() == named.len() {
        return;
    }
    let mut firsts = firsts.into_iter().peekable();
    let mut place = 0;
    named.retain(|_| {
        let first = firsts.next_if_eq(&place).is_some();
        place += 1;
        first
    });
}

/// As [`keep_firsts`], of what is the same if all of it is.
pub(crate) fn keep_once<T: Hash + Eq>(secret: Secret, named: &mut Vec<T>) {
    keep_firsts(secret, named, |name, hasher| name.hash(hasher), |a, b| a == b);
}

/// Many names in little memory: their bytes, and 4 for each.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<u32>,
}

impl Names {
    /// With room for names of so many bytes, and no more.
    pub(crate) fn with_room(names: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(names) }
    }

    pub(crate) fn reserve(&mut self, names: usize, bytes: usize) {
        self.text.reserve_exact(bytes);
        self.ends.reserve_exact(names);
    }

    pub(crate) fn push(&mut self, name: &str) {
        self.text.push_str(name);
        // Names come in one frame, which is shorter than that.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)? as usize;
        let start = match at.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.text.get(start..end)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

impl<'a> FromIterator<&'a str> for Names {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut all = Self::default();
        names.into_iter().for_each(|name| all.push(name));
        // They stay as long as the answer is on its way.
        all.text.shrink_to_fit();
        all.ends.shrink_to_fit();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_stays_in_its_place() {
        let mut names = vec!["b", "a", "b", "c", "a", "", ""];
        assert_eq!(firsts(&names, Ord::cmp), [0, 1, 3, 5]);
        let secret = Secret::new(7);
        keep_once(secret, &mut names);
        assert_eq!(names, ["b", "a", "c", ""]);
        keep_once(secret, &mut names);
        assert_eq!(names, ["b", "a", "c", ""]);
    }

    #[test]
    fn names_whose_hashes_meet_are_told_apart() {
        let names = ["b", "a", "b", "c", "a", "", ""];
        // Of which no hash tells anything.
        let firsts = firsts_of_many(Secret::new(7), &names, |_, _| {}, |a, b| a == b);
        assert_eq!(firsts, [0, 1, 3, 5]);
    }

    #[test]
    fn the_same_names_have_the_number_of_their_first() {
        let numbers = |names: &[&str]| numbered(Secret::new(7), names, |name| name);
        assert_eq!(numbers(&["b", "a", "b", "c", "a", ""]), [0, 1, 0, 3, 1, 5]);
        assert_eq!(numbers(&[]), [0; 0]);
    }

    #[test]
    fn hashes_hang_on_the_secret() {
        let hash = |secret| {
            let hash = |name: &&str, hasher: &mut _| name.hash(hasher);
            Secret::new(secret).hashed(&["name", "other"], hash, |a, b| a == b)
        };
        assert_ne!(hash(1), hash(2));
        assert_eq!(hash(1), hash(1));
    }

    #[test]
    fn those_named_again_are_known() {
        let named = ["b", "a", "b", "c"];
        assert_eq!(repeated(&named, Ord::cmp), [true, false, true, false]);
    }

    #[test]
    fn names_in_little_memory() {
        let names: Names = ["one", "", "three"].into_iter().collect();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["one", "", "three"]);
        assert_eq!((names.len(), names.get(3)), (3, None));
    }
}
