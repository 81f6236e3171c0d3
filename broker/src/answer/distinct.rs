//! Names that a request repeats, found in linear memory (4 bytes a name) and without trust in
//! hashes.
use std::cmp::Ordering;

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

/// Keeps the first of each that is named.
pub(crate) fn keep_firsts<T>(named: &mut Vec<T>, by: impl Fn(&T, &T) -> Ordering) {
    let firsts = firsts(named, by);
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
        keep_firsts(&mut names, Ord::cmp);
        assert_eq!(names, ["b", "a", "c", ""]);
        keep_firsts(&mut names, Ord::cmp);
        assert_eq!(names, ["b", "a", "c", ""]);
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
