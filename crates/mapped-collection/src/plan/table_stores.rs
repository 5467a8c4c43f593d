//! Which store a text in a table means.

use std::collections::HashMap;
use std::path::Path;

use anndata_io::{AnnDataSource, Strings, nearest_name};

use crate::error::did_you_mean;
use crate::error::option::OptionError;
use crate::obs_table::invalid;

/// Endings of stores, of which names in a table may lack all.
const ENDINGS: [&str; 5] = [".zip", ".h5ad", ".zarr", ".h5mu", ".h5"];
/// The most names of stores in an error.
const MOST_STORES: usize = 5;

/// The names of a store.
#[derive(Debug)]
pub(crate) struct StoreName<'a> {
    given: &'a Path,
    absolute: &'a Path,
    /// Another one that the table knows.
    other: Option<&'a Path>,
}

impl<'a> StoreName<'a> {
    pub(crate) fn of(source: &'a AnnDataSource, other: Option<&'a Path>) -> StoreName<'a> {
        StoreName {
            other,
            given: source.name(),
            absolute: match source {
                AnnDataSource::At(location) => location.path(),
                _ => source.name(),
            },
        }
    }

    fn file_name(&self) -> String {
        let name = self.given.file_name().unwrap_or(self.given.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

/// For each store, the codes of the texts that name it: by its path, otherwise by its file name,
/// otherwise by this name without an ending. A text that names no store belongs to one that is not
/// opened.
///
/// # Errors
/// When a text names two stores, or no text names a store. Also when a text names no store, but
/// resembles one that no text names: such a text is most likely misspelt.
pub(crate) fn codes_of_stores(
    texts: &Strings,
    is_used: &[bool],
    stores: &[StoreName<'_>],
) -> Result<Vec<Vec<u32>>, OptionError> {
    let mut by_path: HashMap<&Path, Vec<usize>> = HashMap::new();
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    let mut by_stem: HashMap<String, Vec<usize>> = HashMap::new();
    for (number, store) in stores.iter().enumerate() {
        let mut paths = vec![store.given, store.absolute];
        paths.extend(store.other);
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            by_path.entry(path).or_default().push(number);
        }
        let name = store.file_name();
        let stem = without_ending(&name).to_owned();
        by_name.entry(name).or_default().push(number);
        by_stem.entry(stem).or_default().push(number);
    }
    let mut of_store: Vec<Vec<u32>> = vec![Vec::new(); stores.len()];
    let mut unknown = Vec::new();
    let texts = texts.iter().enumerate().filter(|(code, _)| is_used[*code]);
    for (code, text) in texts {
        let by_path = by_path.get(Path::new(text));
        let by_other = by_name.get(text).or_else(|| by_stem.get(text));
        match (by_path, by_other.map(Vec::as_slice)) {
            // One path may be opened twice.
            (Some(numbers), _) => numbers.iter().for_each(|&n| of_store[n].push(code as u32)),
            (None, Some(&[number])) => of_store[number].push(code as u32),
            (None, Some(&[first, second, ..])) => {
                let [first, second] = [first, second].map(|n| stores[n].given.display());
                let found = format!("{text:?}, which is {first} and {second}: give their paths");
                return Err(invalid("a name of one store", found));
            }
            (None, _) => unknown.push(text),
        }
    }
    check_unknown(&unknown, &of_store, stores)?;
    Ok(of_store)
}

fn check_unknown(
    unknown: &[&str],
    of_store: &[Vec<u32>],
    stores: &[StoreName<'_>],
) -> Result<(), OptionError> {
    const EXPECTED: &str =
        "stores by their paths as given, by their file names, or by these without the extension";
    let unnamed = of_store.iter().zip(stores);
    let unnamed = unnamed.filter(|(codes, _)| codes.is_empty());
    let plain: HashMap<String, &StoreName<'_>> = unnamed
        .map(|(_, store)| (plain(&store.file_name()), store))
        .collect();
    for text in unknown {
        if let Some(store) = plain.get(&self::plain(text)) {
            let near = Some(store.file_name());
            return Err(invalid(
                EXPECTED,
                format!("{text:?}{}", did_you_mean(&near)),
            ));
        }
    }
    let [first, ..] = unknown else { return Ok(()) };
    if of_store.iter().any(|codes| !codes.is_empty()) {
        return Ok(());
    }
    let names: Vec<String> = stores.iter().map(StoreName::file_name).collect();
    let near = nearest_name(first, names.iter().map(String::as_str));
    let shown: Vec<String> = names
        .iter()
        .take(MOST_STORES)
        .map(|n| format!("{n:?}"))
        .collect();
    let expected = format!("{EXPECTED}, such as {}", shown.join(", "));
    Err(invalid(
        expected,
        format!("{first:?}{}", did_you_mean(&near)),
    ))
}

/// A name without its endings: `a` of `a.zarr.zip`.
fn without_ending(name: &str) -> &str {
    let mut rest = name;
    while let Some(end) = ENDINGS.iter().find(|end| rest.ends_with(**end)) {
        rest = &rest[..rest.len() - end.len()];
    }
    match rest {
        "" => name,
        rest if rest.len() < name.len() => rest,
        _ => Path::new(name)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or(name),
    }
}

/// A name without folders, endings, blanks and capitals, by which misspelt ones are recognised.
fn plain(text: &str) -> String {
    let name = text.trim().trim_end_matches(['/', '\\']);
    let name = name
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(name)
        .to_lowercase();
    without_ending(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(texts: &[&str], paths: &[&str]) -> Result<Vec<Vec<u32>>, String> {
        let stores = paths.iter().map(|path| StoreName {
            given: Path::new(path),
            absolute: Path::new(path),
            other: None,
        });
        let stores: Vec<StoreName<'_>> = stores.collect();
        let texts: Strings = texts.iter().copied().collect();
        let codes = codes_of_stores(&texts, &vec![true; texts.len()], &stores);
        codes.map_err(|error| error.to_string())
    }

    #[test]
    fn stores_are_known_by_path_file_name_or_stem() {
        let paths = [
            "data/a.h5ad",
            "b.zarr.zip",
            "cells.h5mu/mod/rna",
            "c.v2.h5ad",
        ];
        let found = codes(&["a", "b", "data/a.h5ad", "rna", "c.v2", "other"], &paths);
        assert_eq!(found, Ok(vec![vec![0, 2], vec![1], vec![3], vec![4]]));
        assert_eq!(
            codes(&["a.h5ad"], &["a.h5ad", "a.h5ad"]),
            Ok(vec![vec![0], vec![0]])
        );
        // A path comes before the name of another file.
        assert_eq!(
            codes(&["a.h5ad"], &["x/a.h5ad", "a.h5ad"]),
            Ok(vec![vec![], vec![0]])
        );
    }

    #[test]
    fn text_that_means_two_stores_or_a_misspelt_one_is_an_error() {
        let error = codes(&["a"], &["x/a.h5ad", "y/a.h5ad"]).unwrap_err();
        assert!(
            error.ends_with("\"a\", which is x/a.h5ad and y/a.h5ad: give their paths"),
            "{error}"
        );
        for text in ["A.h5ad", "old/a.h5ad", "a.zarr", " a"] {
            let error = codes(&[text, "b"], &["x/a.h5ad", "b.h5ad"]).unwrap_err();
            assert!(error.ends_with(": did you mean \"a.h5ad\"?"), "{error}");
        }
        let error = codes(&["aa", "q"], &["a.h5ad", "b.h5ad"]).unwrap_err();
        assert!(
            error.contains("such as \"a.h5ad\", \"b.h5ad\", found \"aa\""),
            "{error}"
        );
    }
}
