//! Distinct texts, as they come.

use std::hash::{BuildHasher, RandomState};

use anndata_io::{Codes, ColumnValues, EncodedColumn, Strings};
use hashbrown::HashTable;

/// Texts of rows: each distinct one once, and one code per row.
#[derive(Debug, Default)]
pub(crate) struct TextCodes {
    texts: Strings,
    codes: Vec<u32>,
    /// The codes, by their texts.
    known: HashTable<u32>,
    hasher: RandomState,
}

impl TextCodes {
    /// Adds a row; `None` is a missing text.
    pub(crate) fn push(&mut self, text: Option<&str>) {
        let code = text.map_or(u32::MAX, |text| self.code(text));
        self.codes.push(code);
    }

    fn code(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let is_same = |&code: &u32| self.texts.get(code as usize) == Some(text);
        if let Some(&code) = self.known.find(hash, is_same) {
            return code;
        }
        let code = self.texts.len() as u32;
        let hash_of = |&code: &u32| {
            let text = self.texts.get(code as usize);
            self.hasher.hash_one(text.expect("it was added"))
        };
        self.known.insert_unique(hash, code, hash_of);
        self.texts.push(text);
        code
    }

    /// The distinct texts, in order of appearance.
    pub(crate) fn texts(&self) -> &Strings {
        &self.texts
    }

    /// The position of each row's text among the distinct ones; `u32::MAX` if it is missing.
    pub(crate) fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The texts as categories.
    pub(crate) fn into_labels(self) -> EncodedColumn {
        let codes = self.codes.iter();
        let codes = codes.map(|&code| Some(code).filter(|&code| code != u32::MAX));
        EncodedColumn {
            codes: Codes::new(self.texts.len(), codes),
            categories: ColumnValues::Texts(self.texts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_once() {
        let mut texts = TextCodes::default();
        for text in [Some("b"), None, Some("a"), Some("b"), Some("")] {
            texts.push(text);
        }
        assert!(texts.texts().iter().eq(["b", "a", ""]));
        assert_eq!(texts.codes(), [0, u32::MAX, 1, 0, 2]);
        assert_eq!(
            texts.into_labels().codes,
            Codes::U8(vec![0, u8::MAX, 1, 0, 2])
        );
    }
}
