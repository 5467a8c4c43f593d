//! A check in progress: opens the elements of a file, and collects the findings.

use std::collections::HashSet;

use super::entry::{Entry, Severity};
use super::report::{ElementCounts, ElementLayout, ElementReport};
use super::scan::Source;
use super::sparse::Sparse;
use super::{Check, repeats};
use crate::anndata::AnnDataFile;
use crate::column::{Column, Kind};
use crate::error::{Error, ErrorKind, nearest_name};
use crate::key::LayerKey;
use crate::matrix::{MatrixParts, MatrixSource};
use crate::path::member;

/// A check in progress.
#[derive(Default)]
pub(super) struct Run {
    pub(super) entries: Vec<Entry>,
    pub(super) sources: Vec<(usize, Source)>,
    /// Elements whose names lead nowhere.
    pub(super) dangling: HashSet<String>,
}

impl Run {
    /// Opens all elements.
    pub(super) fn open(&mut self, check: &Check, file: &AnnDataFile) {
        if file.has_writer() {
            let expected = "a file that its writer closed";
            let found = "the flag of a writer still set (HDF5's h5clear -s clears it)";
            let notice = Error::invalid(file.path(), "", expected, found);
            self.entry(Severity::Notice, None, vec![notice]);
        }
        self.dangling(check, file);
        self.index(file, "obs", file.obs_index());
        self.index(file, "var", file.var_index());
        let keys = self.keys(&check.obs, || file.obs_keys());
        for key in keys.iter().filter(|key| *key != "_index") {
            let column = file.obs_column(key);
            let absent = check.obs.is_some() && matches!(column, Ok(None));
            self.column(file, member("obs", key), Severity::FaultIfSupported, column);
            if absent {
                self.absent(file, "obs", key, file.obs_keys());
            }
        }
        if check.obs.is_none() {
            self.order(file, "obs");
        }
        self.order(file, "var");
        let layers = match &check.layers {
            Some(layers) => layers.clone(),
            None => {
                let layers = self.keys(&None, || Ok(file.keys("layers")?.keys));
                let layers = layers.into_iter().map(LayerKey::Layer);
                [LayerKey::X, LayerKey::RawX]
                    .into_iter()
                    .chain(layers)
                    .collect()
            }
        };
        for key in layers {
            let matrix = file.layer(&key);
            let absent = check.layers.is_some() && matches!(matrix, Ok(None));
            let severity = match key {
                LayerKey::X => Severity::Fault,
                LayerKey::RawX | LayerKey::Layer(_) => Severity::FaultIfSupported,
            };
            self.matrix(key.element(), severity, matrix);
            if absent {
                let known = file.layers_keys();
                let known = known.map(|keys| keys.iter().map(LayerKey::to_string).collect());
                self.absent(file, "", &key.to_string(), known);
            }
        }
        for key in self.keys(&check.obsm, || file.obsm_keys()) {
            let matrix = file.obsm(&key);
            let absent = check.obsm.is_some() && matches!(matrix, Ok(None));
            self.matrix(member("obsm", &key), Severity::FaultIfSupported, matrix);
            if absent {
                self.absent(file, "obsm", &key, file.obsm_keys());
            }
        }
        let asked = [&check.obs, &check.obsm].iter().any(|keys| keys.is_some());
        if !asked && check.layers.is_none() {
            self.unreadable(file);
        }
    }

    /// Reports members of groups that no key can name, except those that are already faults of an
    /// element.
    fn unreadable(&mut self, file: &AnnDataFile) {
        for error in file.unreadable() {
            let mut known = self.entries.iter().flat_map(|entry| &entry.faults);
            if known.all(|(_, _, fault)| fault.element() != error.element()) {
                self.entry(Severity::FaultIfSupported, None, vec![error]);
            }
        }
    }

    /// Returns the requested keys, or all keys.
    fn keys(
        &mut self,
        wanted: &Option<Vec<String>>,
        all: impl FnOnce() -> Result<Vec<String>, Error>,
    ) -> Vec<String> {
        match wanted {
            Some(keys) => keys.clone(),
            None => all().unwrap_or_else(|error| {
                self.entry(Severity::Fault, None, vec![error]);
                Vec::new()
            }),
        }
    }

    pub(super) fn entry(
        &mut self,
        severity: Severity,
        report: Option<ElementReport>,
        faults: Vec<Error>,
    ) -> usize {
        let mut entry = Entry {
            severity,
            report,
            faults: Vec::new(),
            more_faults: 0,
            otherwise: None,
        };
        entry.add(0, faults);
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// Reports a requested key that does not exist.
    fn absent(
        &mut self,
        file: &AnnDataFile,
        group: &str,
        key: &str,
        known: Result<Vec<String>, Error>,
    ) {
        let known = known.unwrap_or_default();
        let nearest = nearest_name(key, known.iter().map(String::as_str));
        let element = match group {
            "" => LayerKey::from(key).element(),
            group => member(group, key),
        };
        if self.is_dangling(&element) {
            return;
        }
        let error = Error::new(file.path(), element, ErrorKind::MissingElement { nearest });
        self.entry(Severity::Notice, None, vec![error]);
    }

    /// Whether the name of an element leads nowhere, or the element lies below such a name.
    fn is_dangling(&self, element: &str) -> bool {
        let ends = element.match_indices('/').map(|(at, _)| at);
        let mut paths = ends.chain([element.len()]).map(|end| &element[..end]);
        paths.any(|path| self.dangling.contains(path))
    }

    /// Reports columns that a table lists but does not have: Python's anndata does not open such a
    /// file.
    fn order(&mut self, file: &AnnDataFile, table: &str) {
        let names = self.keys(&None, || file.column_order(table));
        for name in names {
            let element = format!("{table}/{name}");
            if !self.is_dangling(&element) && !file.has_element(&element) {
                let expected = "the column that attribute column-order names";
                let fault = Error::invalid(file.path(), element, expected, "none");
                self.entry(Severity::Fault, None, vec![fault]);
            }
        }
    }

    /// Checks the index of a table, in which each name may occur once.
    fn index(&mut self, file: &AnnDataFile, table: &str, index: Result<Column, Error>) {
        let index = index.and_then(|index| Ok((file.index_element(table)?, index)));
        let entry = self.entries.len();
        let names = match index {
            Ok((element, index)) => {
                self.column(file, element, Severity::Fault, Ok(Some(index)));
                repeats::repeated_names(file, table)
            }
            Err(error) => {
                self.column(file, table.to_owned(), Severity::Fault, Err(error));
                return;
            }
        };
        match names {
            Ok(None) => {}
            Ok(Some(notice)) => {
                self.entry(Severity::Notice, None, vec![notice]);
            }
            Err(error) => {
                if let Some(entry) = self.entries.get_mut(entry) {
                    entry.otherwise = Some(error);
                }
            }
        }
    }

    /// Checks a column of a table, or its index.
    fn column(
        &mut self,
        file: &AnnDataFile,
        element: String,
        severity: Severity,
        column: Result<Option<Column>, Error>,
    ) {
        let column = match column {
            Ok(Some(column)) => column,
            Ok(None) => return,
            Err(error) => {
                self.entry(severity, None, vec![error]);
                return;
            }
        };
        let (mut repeated, mut missing) = (Vec::new(), None);
        let (layout, sources) = match column.kind() {
            Kind::Categorical { codes, categories } => {
                (repeated, missing) = repeats::categories(file, &element, categories);
                let codes = Source::Codes {
                    codes: codes.clone(),
                    n_categories: categories.len(),
                };
                (ElementLayout::Categorical, vec![codes])
            }
            Kind::Plain { values, mask } => {
                let is_text = values.dtype().is_none();
                let values = values.clone();
                match mask {
                    None if is_text => (ElementLayout::Column, vec![Source::Texts(values)]),
                    None => (ElementLayout::Column, vec![Source::Numbers(values)]),
                    Some(mask) => {
                        let values = match is_text {
                            true => Source::Texts(values),
                            false => Source::Masked(values),
                        };
                        let mask = Source::Mask(mask.clone());
                        (ElementLayout::Nullable, vec![values, mask])
                    }
                }
            }
        };
        let report = ElementReport {
            element,
            shape: vec![column.len()],
            dtype: column.dtype(),
            layout,
            stored: column.len(),
            counts: ElementCounts::default(),
            more_faults: 0,
        };
        self.element(severity, report, sources);
        if let Some(entry) = self.entries.last_mut() {
            entry.add(0, repeated);
        }
        if let Some(notice) = missing {
            self.entry(Severity::Notice, None, vec![notice]);
        }
    }

    fn matrix(
        &mut self,
        element: String,
        severity: Severity,
        matrix: Result<Option<MatrixSource>, Error>,
    ) {
        let matrix = match matrix {
            Ok(Some(matrix)) => matrix,
            Ok(None) => return,
            Err(error) => {
                self.entry(severity, None, vec![error]);
                return;
            }
        };
        let mut stored = matrix.shape().iter().product();
        let mut counts = ElementCounts::default();
        let (layout, sources) = match matrix.parts() {
            MatrixParts::Dense(array) => (ElementLayout::Dense, vec![Source::Dense(array)]),
            MatrixParts::Compressed(parts) => {
                let layout = match parts.major {
                    0 => ElementLayout::Csr,
                    _ => ElementLayout::Csc,
                };
                let sparse = Sparse::new(parts);
                stored = sparse.n_elements();
                counts.unused = sparse.n_unused();
                (layout, vec![Source::Sparse(sparse)])
            }
            MatrixParts::Table(columns) => {
                let columns = columns.into_iter().map(Source::Numbers);
                (ElementLayout::Table, columns.collect())
            }
        };
        let report = ElementReport {
            element,
            shape: matrix.shape().to_vec(),
            dtype: Some(matrix.dtype()),
            layout,
            stored,
            counts,
            more_faults: 0,
        };
        self.element(severity, report, sources);
    }

    fn element(&mut self, severity: Severity, report: ElementReport, sources: Vec<Source>) {
        let entry = self.entry(severity, Some(report), Vec::new());
        self.sources
            .extend(sources.into_iter().map(|source| (entry, source)));
    }
}
