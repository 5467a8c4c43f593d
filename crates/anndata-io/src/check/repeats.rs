//! Names and categories that occur twice.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use crate::anndata::AnnDataFile;
use crate::array::text::Strings;
use crate::column::{ColumnValues, has_nan, number_key, text_of};
use crate::error::Error;

/// Returns the faults in the names of a table: a join of genes needs each name once, and cells that
/// share a name cannot be distinguished by it.
pub(super) fn repeated_names(file: &AnnDataFile, table: &str) -> Result<Option<Error>, Error> {
    let names = file.names(table)?;
    let Some((first, times, n_names)) = repeated(&names) else {
        return Ok(None);
    };
    let expected = match table {
        "var" => "distinct names, for a join",
        _ => "distinct names",
    };
    let found = match n_names {
        1 => format!("{first:?} {times} times"),
        _ => format!("{n_names} names that repeat, such as {first:?} {times} times"),
    };
    Ok(Some(Error::invalid(file.path(), table, expected, found)))
}

/// Returns the first name that repeats, how often it occurs, and the number of such names.
fn repeated(names: &Strings) -> Option<(&str, u64, usize)> {
    // Few names repeat, so only the hashes of all names are kept.
    let state = RandomState::new();
    let mut hashes: Vec<u64> = names.iter().map(|name| state.hash_one(name)).collect();
    hashes.sort_unstable();
    let twice = hashes.windows(2).filter(|two| two[0] == two[1]);
    let twice: HashSet<u64> = twice.map(|two| two[0]).collect();
    if twice.is_empty() {
        return None;
    }
    let candidates = || {
        let names = names.iter();
        names.filter(|name| twice.contains(&state.hash_one(name)))
    };
    let mut times: HashMap<&str, u64> = HashMap::new();
    candidates().for_each(|name| *times.entry(name).or_default() += 1);
    let first = candidates().find(|name| times[name] > 1)?;
    let n_names = times.values().filter(|&&times| times > 1).count();
    Some((first, times[first], n_names))
}

/// Returns the faults in categories: anndata reads no column whose categories repeat or are
/// missing. This crate treats repeated categories as one label, and a NaN category as a missing
/// label.
pub(super) fn categories(
    file: &AnnDataFile,
    column: &str,
    categories: &ColumnValues,
) -> (Vec<Error>, Option<Error>) {
    let element = file.categories_element(column);
    let invalid = |expected: &str, found: String| {
        Error::invalid(file.path(), element.as_str(), expected, found)
    };
    let (repeats, text): (_, &dyn Fn(usize) -> String) = match categories {
        ColumnValues::Texts(texts) => (repeats(texts.iter().map(Some)), &|i| {
            format!("{:?}", texts.get(i).unwrap_or_default())
        }),
        ColumnValues::Numbers(numbers) => {
            let numbers = numbers.as_slice();
            let keys = (0..numbers.len()).map(|i| number_key(numbers.get(i)));
            (repeats(keys), &move |i| text_of(numbers, i))
        }
    };
    let faults = repeats.iter().map(|&(first, times)| {
        let found = format!("{} {times} times", text(first));
        invalid("distinct categories", found)
    });
    let nan = || invalid("categories without missing ones", "NaN".to_owned());
    (faults.collect(), has_nan(categories).then(nan))
}

/// Returns the first position of each repeated key, and how often it occurs; `None` never counts.
fn repeats<K: Eq + Hash>(keys: impl Iterator<Item = Option<K>>) -> Vec<(usize, u64)> {
    let mut times: HashMap<K, (usize, u64)> = HashMap::new();
    for (number, key) in keys.enumerate() {
        if let Some(key) = key {
            times.entry(key).or_insert((number, 0)).1 += 1;
        }
    }
    let mut repeats: Vec<_> = times
        .into_values()
        .filter(|(_, times)| *times > 1)
        .collect();
    repeats.sort_unstable();
    repeats
}
