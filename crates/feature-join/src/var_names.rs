//! A list of variable names in one buffer.

use std::fmt;
use std::iter::FusedIterator;

/// The variable names of one store, in file order. Duplicates and empty names are allowed, and a variable may have no
/// name: it joins with no other.
///
/// All names lie in one `String`, with one offset per name: 20,000 gene symbols take about 300 kB, in two allocations.
/// Equality compares names and order.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct VarNames {
    text: String,
    /// Where each name ends in `text`, in bytes; it starts where the one before ends.
    ends: Vec<usize>,
    /// The positions without a name, ascending. There, the text is empty.
    unnamed: Vec<usize>,
}

impl VarNames {
    /// Names of which some are missing. As text, a missing name is empty.
    pub fn with_missing<S: AsRef<str>>(names: impl IntoIterator<Item = Option<S>>) -> Self {
        let mut list = VarNames::default();
        for name in names {
            if name.is_none() {
                list.unnamed.push(list.len());
            }
            list.push(name.as_ref().map_or("", AsRef::as_ref));
        }
        list.shrink_to_fit();
        list
    }

    fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }

    fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// The number of variables without a name.
    #[inline]
    pub fn n_unnamed(&self) -> usize {
        self.unnamed.len()
    }

    /// The names in order; `None` for variables without one.
    pub fn iter_named(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        let mut unnamed = self.unnamed.iter().peekable();
        self.iter().enumerate().map(move |(position, name)| {
            let missing = unnamed.next_if(|&&at| at == position);
            missing.is_none().then_some(name)
        })
    }

    /// The number of names.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name at position `index`, or `None` past the end.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        Some(&self.text[start..end])
    }

    /// The names in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            names: self,
            range: 0..self.len(),
        }
    }

    /// Whether no name is smaller than the one before it, by Unicode code point (`'10' < '9' < 'B' < '_' < 'a'`).
    pub fn is_sorted_ascending(&self) -> bool {
        // In UTF-8, the order of bytes is the order of code points.
        self.iter().is_sorted()
    }

    /// Whether no name is greater than the one before it, by Unicode code point.
    pub fn is_sorted_descending(&self) -> bool {
        self.iter().is_sorted_by(|before, after| before >= after)
    }
}

impl<S: AsRef<str>> FromIterator<S> for VarNames {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let names = names.into_iter();
        let mut list = VarNames {
            ends: Vec::with_capacity(names.size_hint().0),
            ..VarNames::default()
        };
        for name in names {
            list.push(name.as_ref());
        }
        list.shrink_to_fit();
        list
    }
}

impl<'a> IntoIterator for &'a VarNames {
    type Item = &'a str;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for VarNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// The names of a [`VarNames`] in order, from [`VarNames::iter`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    names: &'a VarNames,
    range: std::ops::Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.names.get(self.range.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.names.get(self.range.next_back()?)
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let given = ["b", "", "a", "é", "", "a"];
        let names = VarNames::from_iter(given);
        assert_eq!(names.len(), 6);
        assert!(names.iter().eq(given));
        assert!(names.iter().rev().eq(given.into_iter().rev()));
        assert_eq!(names.get(3), Some("é"));
        assert_eq!(names.get(6), None);
        assert_eq!(names.get(usize::MAX), None);
        assert_eq!(format!("{names:?}"), r#"["b", "", "a", "é", "", "a"]"#);
    }

    #[test]
    fn names_may_be_empty() {
        let names = VarNames::from_iter(Vec::<String>::new());
        assert!(names.is_empty());
        assert_eq!(names, VarNames::default());
        assert_eq!(names.iter().next(), None);
        assert!(names.is_sorted_ascending() && names.is_sorted_descending());
    }

    #[test]
    fn missing_names_are_not_empty_names() {
        let names = VarNames::with_missing([Some("a"), None, Some(""), None]);
        assert_eq!((names.len(), names.n_unnamed()), (4, 2));
        let named: Vec<_> = names.iter_named().collect();
        assert_eq!(named, [Some("a"), None, Some(""), None]);
        assert!(names.iter().eq(["a", "", "", ""]));
        assert_ne!(names, VarNames::from_iter(["a", "", "", ""]));
    }

    #[test]
    fn equality_compares_boundaries_and_order() {
        let names = VarNames::from_iter(["ab", "c"]);
        assert_eq!(names, VarNames::from_iter(["ab", "c"]));
        assert_ne!(names, VarNames::from_iter(["a", "bc"]));
        assert_ne!(names, VarNames::from_iter(["c", "ab"]));
    }

    #[test]
    fn is_sorted_allows_equal_names() {
        let ascending = ["10", "9", "9", "B", "_", "a", "é", "\u{fffd}", "\u{1f600}"];
        let names = VarNames::from_iter(ascending);
        assert!(names.is_sorted_ascending());
        assert!(!names.is_sorted_descending());
        let reversed = VarNames::from_iter(ascending.into_iter().rev());
        assert!(reversed.is_sorted_descending());
        assert!(!reversed.is_sorted_ascending());
    }
}
