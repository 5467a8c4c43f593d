//! Finds out why the names of a store are not those that are expected.

use std::borrow::Cow;
use std::collections::HashSet;

use anndata_io::{DType, VarTable};
use feature_join::{NameRule, VarNames, is_ensembl_id, strip_version};

use crate::error::overlap::NameMismatch;
use crate::plan::var_names::{INDEX, column_names};

/// The lowest overlap that explains something.
const HIGH: f64 = 0.2;
/// How many times as high it must be as the overlap of the names as they are.
const TIMES: f64 = 2.0;
/// The share of names of a kind that makes a list one of this kind.
const MOST: f64 = 0.5;

/// The columns of a table that may hold names.
pub(crate) struct Candidates(Vec<(String, VarNames)>);

impl Candidates {
    /// Reads all columns but booleans, and the index. Leaves out what cannot be read.
    pub(crate) fn of(table: VarTable<'_>, rule: &NameRule) -> Candidates {
        let keys = table.keys().unwrap_or_default();
        let keys = std::iter::once(INDEX.to_owned()).chain(keys);
        let columns = keys.filter_map(|key| {
            let column = table.column(&key).ok()??;
            let may_be_names = column.dtype() != Some(DType::Bool);
            let names = may_be_names.then(|| column_names(&column, rule).ok())??;
            Some((key, names))
        });
        Candidates(columns.collect())
    }
}

/// The genes found ÷ min(genes expected, genes of the store), both changed by `fold`.
fn fraction(expected: &VarNames, names: &VarNames, fold: impl Fn(&str) -> Cow<'_, str>) -> f64 {
    let set = |names: &VarNames| -> HashSet<String> {
        let names = names.iter_named().flatten();
        names.map(|name| fold(name).into_owned()).collect()
    };
    let (expected, names) = (set(expected), set(names));
    match expected.len().min(names.len()) {
        0 => 0.0,
        n => expected.intersection(&names).count() as f64 / n as f64,
    }
}

/// Returns the most likely reason, if there is one.
pub(crate) fn find_mismatch(
    expected: &VarNames,
    names: &VarNames,
    Candidates(columns): Candidates,
) -> Option<NameMismatch> {
    let now = fraction(expected, names, as_is);
    let explains = |fraction: f64| fraction >= HIGH && fraction >= TIMES * now;
    let unversioned = fraction(expected, names, strip_version);
    if explains(unversioned) {
        let fraction = unversioned;
        return Some(NameMismatch::Versions { fraction });
    }
    let of_column = columns.into_iter().flat_map(|(column, values)| {
        [false, true].map(|strip_version| {
            let fraction = match strip_version {
                false => fraction(expected, &values, as_is),
                true => fraction(expected, &values, feature_join::strip_version),
            };
            (column.clone(), fraction, strip_version)
        })
    });
    // The first of equals: without stripping.
    let best = of_column.reduce(|best, next| if next.1 > best.1 { next } else { best });
    if let Some((column, fraction, strip_version)) = best.filter(|(_, found, _)| explains(*found)) {
        return Some(NameMismatch::Column {
            column,
            fraction,
            strip_version,
        });
    }
    let folded = fraction(expected, names, |name| name.to_lowercase().into());
    if explains(folded) {
        return Some(NameMismatch::Case { fraction: folded });
    }
    match (ensembl_prefix(expected), ensembl_prefix(names)) {
        (None, Some(_)) if !expected.is_empty() => Some(NameMismatch::IdsForSymbols),
        (Some(_), None) if !names.is_empty() => Some(NameMismatch::SymbolsForIds),
        (Some(expected), Some(found)) if species(&expected) != species(&found) => {
            Some(NameMismatch::Species { found, expected })
        }
        _ => None,
    }
}

/// The letters before the digits of most names, if most are Ensembl ids.
fn ensembl_prefix(names: &VarNames) -> Option<String> {
    let mut ids = names
        .iter_named()
        .flatten()
        .filter(|name| is_id(name))
        .peekable();
    let id = ids.peek()?;
    let prefix = id[..id.find(|c: char| c.is_ascii_digit())?].to_owned();
    (ids.count() as f64 >= MOST * names.len() as f64).then_some(prefix)
}

/// A prefix without its last letter, which is the kind of feature: gene, transcript, ….
fn species(prefix: &str) -> &str {
    &prefix[..prefix.len() - 1]
}

fn as_is(name: &str) -> Cow<'_, str> {
    name.into()
}

fn is_id(name: &str) -> bool {
    is_ensembl_id(&strip_version(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expected: &[&str], names: &[&str], columns: &[(&str, &[&str])]) -> Option<String> {
        let list = |names: &[&str]| names.iter().collect::<VarNames>();
        let columns = columns.iter();
        let columns = columns.map(|(key, names)| (key.to_string(), list(names)));
        let found = find_mismatch(&list(expected), &list(names), Candidates(columns.collect()));
        found.map(|mismatch| mismatch.to_string())
    }

    const SYMBOLS: [&str; 4] = ["TP53", "CD4", "MYC", "ACTB"];
    const IDS: [&str; 4] = [
        "ENSG00000141510",
        "ENSG00000010610",
        "ENSG00000136997",
        "ENSG00000075624",
    ];

    #[test]
    fn column_with_the_names_is_found() {
        let columns: &[(&str, &[&str])] = &[("_index", &SYMBOLS), ("gene_ids", &IDS)];
        assert_eq!(
            found(&IDS, &SYMBOLS, columns).unwrap(),
            r#"its column "gene_ids" has an overlap of 100 %: join by it (var_key)"#
        );
        let versioned = IDS.map(|id| format!("{id}.3"));
        let versioned: Vec<&str> = versioned.iter().map(String::as_str).collect();
        let columns: &[(&str, &[&str])] = &[("_index", &SYMBOLS), ("gene_ids", &versioned)];
        assert!(
            found(&IDS, &SYMBOLS, columns)
                .unwrap()
                .ends_with("without versions (strip_version)")
        );
    }

    #[test]
    fn reasons_without_a_column_are_found() {
        let versioned = IDS.map(|id| format!("{id}.3"));
        let versioned: Vec<&str> = versioned.iter().map(String::as_str).collect();
        let begins = |expected: &[&str], names: &[&str], text: &str| {
            let found = found(expected, names, &[]).unwrap();
            assert!(found.starts_with(text), "{found}");
        };
        begins(&IDS, &versioned, "without versions, the overlap is 100 %");
        begins(
            &SYMBOLS,
            &["Tp53", "Cd4", "x"],
            "if capital letters did not count",
        );
        begins(
            &SYMBOLS,
            &IDS,
            "its names are Ensembl ids, and symbols are expected",
        );
        begins(
            &IDS,
            &SYMBOLS,
            "its names are symbols, and Ensembl ids are expected",
        );
        let mouse = ["ENSMUSG00000059552", "ENSMUSG00000023274.4"];
        begins(
            &IDS,
            &mouse,
            "its names are ids of another species: ENSMUSG, expected ENSG",
        );
        assert_eq!(found(&SYMBOLS, &["XIST", "GNLY"], &[]), None);
        assert_eq!(found(&SYMBOLS, &[], &[]), None);
    }
}
