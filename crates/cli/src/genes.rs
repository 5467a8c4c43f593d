//! The genes of a collection: a given list, and the names that stores are joined by.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::CommandFactory;
use clap::error::ErrorKind;
use mapped_anndata::{
    Duplicates, GeneList, GeneOverlap, MappedCollection, MappedCollectionBuilder, NameMismatch,
    read_pairs,
};
use serde::Serialize;

use crate::Result;
use crate::args::Cli;
use crate::lists;
use crate::report::{MOST_WARNINGS, warning};
use crate::text;

/// The options that decide which genes are read, and by which names.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GenesArgs {
    /// The genes of the model, in its order: a file with one name per line, a column of a .csv or .tsv, or
    /// a vocabulary (.json, by ascending id). A gene that a store lacks is 0. Not with --join outer or none.
    #[arg(long, value_name = "FILE[:COLUMN]")]
    genes: Option<String>,
    /// Warn of stores whose overlap with --genes is lower: genes found / min(genes given, genes of
    /// the store).
    #[arg(long, value_name = "FRACTION", default_value_t = 0.5)]
    min_overlap: f64,
    /// The column of var with the names to join by; of several, each store uses the first that it has.
    /// _index is the index. For one store: its path or number, and a colon. Repeatable.
    #[arg(long, value_name = "[STORE:]A|B")]
    var_key: Vec<String>,
    /// Join by Ensembl and RefSeq ids without their versions: ENSG00000141510.16 is ENSG00000141510.
    #[arg(long)]
    strip_version: bool,
    /// Rename genes before they are joined: a table of two columns, old names and new ones.
    #[arg(long, value_name = "FILE")]
    aliases: Option<PathBuf>,
    /// What happens to genes of one name in a store: an error if a join is needed, only the first is
    /// kept, or their values are summed.
    #[arg(long, value_name = "error|first|sum", default_value = "error")]
    duplicates: Duplicates,
}

impl Default for GenesArgs {
    fn default() -> Self {
        GenesArgs {
            genes: None,
            min_overlap: 0.5,
            var_key: Vec::new(),
            strip_version: false,
            aliases: None,
            duplicates: Duplicates::default(),
        }
    }
}

impl GenesArgs {
    pub(crate) fn apply(
        &self,
        mut builder: MappedCollectionBuilder,
        paths: &[PathBuf],
    ) -> Result<MappedCollectionBuilder> {
        if let Some(genes) = &self.genes {
            builder = builder.genes(GeneList::from_argument(genes)?);
        }
        if let Some(aliases) = &self.aliases {
            builder = builder.aliases(read_pairs(aliases)?);
        }
        let (mut for_all, mut known) = (false, HashSet::new());
        for text in &self.var_key {
            let (stores, keys) = stores_and_keys(text, paths);
            let is_repeated = match stores.is_empty() {
                true => std::mem::replace(&mut for_all, true),
                false => stores.iter().any(|store| !known.insert(*store)),
            };
            if is_repeated {
                let message =
                    "--var-key: expected one list of columns for all stores, and for each";
                let error = Cli::command().error(ErrorKind::ArgumentConflict, message);
                return Err(error.into());
            }
            if stores.is_empty() {
                builder = builder.var_key(keys.clone());
            }
            for store in stores {
                builder = builder.var_key_of(store, keys.clone());
            }
        }
        Ok(builder
            .min_overlap(self.min_overlap)
            .strip_version(self.strip_version)
            .duplicates(self.duplicates))
    }
}

/// The columns, and the numbers of the stores that the text before a colon names; no store if it is
/// none. Paths and columns may have colons.
fn stores_and_keys(text: &str, paths: &[PathBuf]) -> (Vec<usize>, Vec<String>) {
    for (at, _) in text.rmatch_indices(':') {
        let (store, keys) = (&text[..at], lists::alternatives(&text[at + 1..]));
        let named = |(_, path): &(usize, &PathBuf)| path.as_os_str() == store;
        let stores: Vec<usize> = paths
            .iter()
            .enumerate()
            .filter(named)
            .map(|(n, _)| n)
            .collect();
        if !stores.is_empty() {
            return (stores, keys);
        }
        if let Some(store) = store.parse().ok().filter(|&number| number < paths.len()) {
            return (vec![store], keys);
        }
    }
    (Vec::new(), lists::alternatives(text))
}

/// Warns of stores that have few of the given genes.
pub(crate) fn warn_of_overlaps(cells: &MappedCollection) {
    let low = cells.low_overlaps();
    for store in low.iter().take(MOST_WARNINGS) {
        warning(&in_options(&store.to_string()));
        if let Some(mismatch) = &store.mismatch {
            hint(&store.file.display().to_string(), mismatch);
        }
    }
    if let more @ 1.. = low.len().saturating_sub(MOST_WARNINGS) {
        warning(&format!(
            "and {more} more stores that have few of the given genes"
        ));
    }
}

/// A text of the library in words of the command line.
pub(crate) fn in_options(text: &str) -> String {
    let names = ["var_key", "strip_version", "aliases", "duplicates"];
    names.iter().fold(text.to_owned(), |text, name| {
        text.replace(
            &format!("({name})"),
            &format!("(--{})", name.replace('_', "-")),
        )
    })
}

/// Prints the options that solve a mismatch, if it is known.
pub(crate) fn hint(store: &str, mismatch: &NameMismatch) {
    let option = match mismatch {
        NameMismatch::Column {
            column,
            strip_version,
            ..
        } => {
            // Other stores often have the same column; those without it are joined by their index.
            let key = match column.as_str() {
                "_index" => format!("{store}:_index"),
                column => format!("{}|_index", lists::written(column)),
            };
            let key = format!("--var-key '{}'", key.replace('\'', r"'\''"));
            let strip = if *strip_version {
                " --strip-version"
            } else {
                ""
            };
            format!("{key}{strip}")
        }
        NameMismatch::Versions { .. } => "--strip-version".to_owned(),
        _ => return,
    };
    eprintln!("hint: {}", crate::escape::escape(&option));
}

/// A note on stores that share few genes, if a reason is known.
pub(crate) fn note_on_mismatch(cells: &MappedCollection) -> Result<()> {
    if cells.join_vars().is_none() {
        return Ok(());
    }
    if let Some(found) = cells.store_mismatch()? {
        warning(&in_options(&format!("the stores share few genes: {found}")));
        hint(&found.files.0.display().to_string(), &found.mismatch);
    }
    Ok(())
}

/// How many of the given genes a store has, in words.
pub(crate) fn overlap_text(overlap: &GeneOverlap) -> String {
    let [found, given] = [overlap.n_found, overlap.n_given].map(|n| text::thousands(n as u64));
    format!(
        "{found} of {given} ({} %)",
        (100.0 * overlap.fraction()).floor()
    )
}

/// How many of the given genes a store has, in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct OverlapLine {
    store: usize,
    table: &'static str,
    found: usize,
    given: usize,
    genes: usize,
    overlap: f64,
}

impl From<&GeneOverlap> for OverlapLine {
    fn from(overlap: &GeneOverlap) -> Self {
        OverlapLine {
            store: overlap.store,
            table: overlap.table,
            found: overlap.n_found,
            given: overlap.n_given,
            genes: overlap.n_vars,
            overlap: overlap.fraction(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_is_named_before_a_colon() {
        let paths = ["a.h5ad", "s3://b/c.h5ad", "a.h5ad"].map(PathBuf::from);
        let of = |text: &str| stores_and_keys(text, &paths);
        let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
        assert_eq!(of("a|b"), (vec![], keys(&["a", "b"])));
        assert_eq!(of("a.h5ad:x|_index"), (vec![0, 2], keys(&["x", "_index"])));
        assert_eq!(of("a.h5ad:gene:id"), (vec![0, 2], keys(&["gene:id"])));
        assert_eq!(of("s3://b/c.h5ad:x"), (vec![1], keys(&["x"])));
        assert_eq!(of("1:x"), (vec![1], keys(&["x"])));
        // Neither a path nor a store: a column with a colon.
        assert_eq!(of("3:x"), (vec![], keys(&["3:x"])));
        assert_eq!(of("x\\|y"), (vec![], keys(&["x|y"])));
    }

    #[test]
    fn options_are_named_as_on_the_command_line() {
        assert_eq!(
            in_options("(var_key), (aliases)"),
            "(--var-key), (--aliases)"
        );
    }
}
