//! The genes of a collection, as the package's Python half passes them.

use std::path::PathBuf;

use mapped_anndata::{Duplicates, GeneList, GeneOverlap, MappedCollectionBuilder};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_python;

/// Which genes are read, and by which names they are joined: a dict of these.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Variables {
    genes: Option<List>,
    min_overlap: f64,
    var_key: Vec<String>,
    var_key_of: Vec<(usize, Vec<String>)>,
    strip_version: bool,
    aliases: Vec<(String, String)>,
    duplicates: String,
}

impl Variables {
    pub(crate) fn apply(
        self,
        mut builder: MappedCollectionBuilder,
    ) -> PyResult<MappedCollectionBuilder> {
        if let Some(genes) = self.genes {
            builder = builder.genes(from_list(genes)?);
        }
        for (store, keys) in self.var_key_of {
            builder = builder.var_key_of(store, keys);
        }
        let duplicates: Result<Duplicates, _> = self.duplicates.parse();
        let invalid = |error| PyValueError::new_err(format!("duplicates: {error}"));
        Ok(builder
            .min_overlap(self.min_overlap)
            .var_key(self.var_key)
            .strip_version(self.strip_version)
            .aliases(self.aliases)
            .duplicates(duplicates.map_err(invalid)?))
    }
}

/// The names of a list, their ids, and the special names with theirs.
type List = (Vec<String>, Option<Vec<i64>>, Vec<(String, i64)>);

fn to_list(list: &GeneList) -> List {
    let names = list.names().iter().map(str::to_owned).collect();
    (
        names,
        list.ids().map(<[i64]>::to_vec),
        list.special().to_vec(),
    )
}

fn from_list((names, ids, special): List) -> PyResult<GeneList> {
    let Some(ids) = ids else {
        return Ok(GeneList::new(names));
    };
    let no_genes: Vec<String> = special.iter().map(|(name, _)| name.clone()).collect();
    let entries = names.into_iter().zip(ids).chain(special);
    GeneList::from_vocabulary(entries, Some(&no_genes)).map_err(to_python)
}

/// Reads a list of genes from a file.
#[pyfunction]
pub(crate) fn read_genes(
    path: PathBuf,
    column: Option<&str>,
    special: Option<Vec<String>>,
) -> PyResult<List> {
    let list = GeneList::from_file(path, column, special.as_deref());
    Ok(to_list(&list.map_err(to_python)?))
}

/// Reads a list of genes from a file that is named in one text: `FILE` or `FILE:COLUMN`.
#[pyfunction]
pub(crate) fn genes_of_argument(text: &str) -> PyResult<List> {
    Ok(to_list(&GeneList::from_argument(text).map_err(to_python)?))
}

/// Returns the genes of a vocabulary.
#[pyfunction]
pub(crate) fn genes_of_vocabulary(
    entries: Vec<(String, i64)>,
    special: Option<Vec<String>>,
) -> PyResult<List> {
    let list = GeneList::from_vocabulary(entries, special.as_deref());
    Ok(to_list(&list.map_err(to_python)?))
}

/// Reads old and new names from a file.
#[pyfunction]
pub(crate) fn read_pairs(path: PathBuf) -> PyResult<Vec<(String, String)>> {
    mapped_anndata::read_pairs(path).map_err(to_python)
}

/// Store, table, genes found, genes given, genes of the store, overlap.
pub(crate) type Overlap = (usize, &'static str, usize, usize, usize, f64);

pub(crate) fn overlap(found: &GeneOverlap) -> Overlap {
    let GeneOverlap {
        store,
        table,
        n_found,
        n_given,
        n_vars,
        ..
    } = *found;
    (store, table, n_found, n_given, n_vars, found.fraction())
}
