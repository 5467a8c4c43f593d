//! A file read from end to end: every fault in it, and what its elements hold.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::thread;

use crossbeam_channel::bounded;

use crate::anndata::{AnnDataFile, AnnDataSource};
use crate::column::{Column, Kind};
use crate::context::IoContext;
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, LINK_ELSEWHERE, nearest_name};
use crate::key::LayerKey;
use crate::matrix::{MatrixParts, MatrixSource};

mod members;
mod names;
mod scan;

use scan::{Found, Scratch, Source, Sparse};

/// Faults of one element that are listed; the rest is counted.
const MAX_FAULTS: usize = 100;

/// Reads everything in a file that a model could be given, and says what is wrong with it.
///
/// Every chunk is decoded, so that checksums and codecs are tried; every code, column index and
/// text is looked at. One fault does not hide the others: what follows it is read all the same.
/// Memory stays bounded by a chunk of each array for each thread, the row pointers, and the names.
///
/// ```
/// use anndata_io::{AnnDataFile, Check, MemoryStore, Values};
///
/// let store = MemoryStore::new("cells")
///     .dataframe("obs", &["c1", "c2"])
///     .categorical("obs/kind", vec![0, 7], &["B", "T"])
///     .dataframe("var", &["g1", "g2"])
///     .csr("X", [2, 2], vec![0, 1, 2], vec![0, 9], Values::F32(vec![5., f32::NAN]));
/// let cells = AnnDataFile::from_store(store.into())?;
///
/// let report = Check::new().file(&cells, &mut |_done, _of| {});
/// let faults: Vec<&str> = report.faults.iter().map(|fault| fault.element()).collect();
/// assert_eq!(faults, ["obs/kind/codes", "X/indices"]); // a code and a column that do not exist
/// let x = report.elements.iter().find(|element| element.element == "X").expect("it has an X");
/// assert_eq!((x.stored, x.counts.nan), (2, 1)); // a NaN is no fault, but told
/// # Ok::<(), anndata_io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Check {
    layers: Option<Vec<LayerKey>>,
    obs: Option<Vec<String>>,
    obsm: Option<Vec<String>>,
    workers: usize,
}

/// What was found in a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckReport {
    /// The file or directory.
    pub path: PathBuf,
    /// Cells and genes; `None` when the file could not be opened, which is its only fault then.
    pub shape: Option<[u64; 2]>,
    /// What was read, in the order obs, var, matrices, obsm.
    pub elements: Vec<ElementReport>,
    /// What a model would ask for and cannot get, or what contradicts itself: at most 100 for each
    /// element.
    pub faults: Vec<Error>,
    /// Elements that are [not supported](ErrorKind::Unsupported), which is no fault of the file.
    /// `X` and the indexes, without which nothing can be done, are among the faults.
    pub unsupported: Vec<Error>,
    /// What is worth knowing, and no fault: names that repeat, a flag that a writer left set, keys
    /// that were asked for and do not exist.
    pub notices: Vec<Error>,
}

/// What was found in an element.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ElementReport {
    /// Its path in the file, such as `X` or `obs/cell_type`.
    pub element: String,
    /// Extent along each axis.
    pub shape: Vec<u64>,
    /// The type of its numbers, of the categories where there are any; `None` for text.
    pub dtype: Option<DType>,
    /// How it is stored.
    pub layout: ElementLayout,
    /// Elements that are stored: all but for sparse matrices.
    pub stored: u64,
    /// What of them is worth knowing.
    pub counts: ElementCounts,
    /// Faults of the element that [`CheckReport::faults`] does not list.
    pub more_faults: u64,
}

/// How an element is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementLayout {
    /// An array of all elements.
    Dense,
    /// Compressed sparse rows.
    Csr,
    /// Compressed sparse columns.
    Csc,
    /// One array a column.
    Table,
    /// Categories, and a code a row.
    Categorical,
    /// Values, and a mask of those that are missing.
    Nullable,
    /// A value a row.
    Column,
}

impl ElementLayout {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            ElementLayout::Dense => "dense",
            ElementLayout::Csr => "csr",
            ElementLayout::Csc => "csc",
            ElementLayout::Table => "table",
            ElementLayout::Categorical => "categorical",
            ElementLayout::Nullable => "nullable",
            ElementLayout::Column => "column",
        }
    }
}

impl fmt::Display for ElementLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is worth knowing of the values of an element. None of it is a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElementCounts {
    /// Numbers that are NaN.
    pub nan: u64,
    /// Infinities of either sign.
    pub infinite: u64,
    /// Numbers below zero.
    pub negative: u64,
    /// Zeros that a sparse matrix stores.
    pub explicit_zeros: u64,
    /// Rows of CSR, columns of CSC, whose indices are unsorted or repeat.
    pub unordered: u64,
    /// Elements that a sparse matrix stores behind its last row.
    pub unused: u64,
    /// Labels that are missing: a code of -1, or masked.
    pub missing: u64,
    /// Chunks that were never written, whose elements are the fill value: zarr leaves out chunks
    /// of nothing else. A copy that was cut short looks the same. Those of masks are not counted:
    /// one where nothing is missing is never written.
    pub unwritten: u64,
}

impl ElementCounts {
    fn add(&mut self, other: &ElementCounts) {
        self.nan += other.nan;
        self.infinite += other.infinite;
        self.negative += other.negative;
        self.explicit_zeros += other.explicit_zeros;
        self.unordered += other.unordered;
        self.unused += other.unused;
        self.missing += other.missing;
        self.unwritten += other.unwritten;
    }
}

impl CheckReport {
    /// Faults, also those that are not listed.
    pub fn n_faults(&self) -> u64 {
        let more = self.elements.iter().map(|element| element.more_faults);
        self.faults.len() as u64 + more.sum::<u64>()
    }
}

impl Default for Check {
    fn default() -> Self {
        Check::new()
    }
}

impl Check {
    /// A check of everything, by two threads.
    pub fn new() -> Check {
        Check {
            layers: None,
            obs: None,
            obsm: None,
            workers: 2,
        }
    }

    /// Of the matrices `X`, `raw.X` and layers, only these. None is legal.
    pub fn layers<K: Into<LayerKey>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.layers = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Of the columns of obs, only these, and the index.
    pub fn obs<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.obs = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Of obsm, only these elements.
    pub fn obsm<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.obsm = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Threads that read; at least one does.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Opens a file and checks it. `progress` is told pieces done and pieces to do.
    pub fn source(
        &self,
        source: &AnnDataSource,
        context: &IoContext,
        progress: &mut dyn FnMut(u64, u64),
    ) -> CheckReport {
        match source.open(context) {
            Ok(file) => self.file(&file, progress),
            Err(error) => CheckReport {
                path: error.file().to_owned(),
                shape: None,
                elements: Vec::new(),
                faults: vec![error],
                unsupported: Vec::new(),
                notices: Vec::new(),
            },
        }
    }

    /// Checks a file that is open. `progress` is told pieces done and pieces to do.
    pub fn file(&self, file: &AnnDataFile, progress: &mut dyn FnMut(u64, u64)) -> CheckReport {
        let mut run = Run::default();
        run.open(self, file);
        run.read(self.workers.max(1), progress);
        run.report(file)
    }
}

/// A check on its way.
#[derive(Default)]
struct Run {
    entries: Vec<Entry>,
    sources: Vec<(usize, Source)>,
    /// Elements that have a name and nothing behind it.
    dangling: HashSet<String>,
}

/// What an error of an element is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A fault, whatever its kind: nothing can be done without the element.
    Always,
    /// A fault, unless the element is only not supported.
    IfSupported,
    /// A notice.
    Never,
}

/// An element, or a place in the file that could not be listed.
struct Entry {
    need: Need,
    report: Option<ElementReport>,
    /// The piece in which each was found, and its text.
    faults: Vec<(u64, String, Error)>,
    more_faults: u64,
    /// What reading it at once failed of: a fault, unless its pieces say more precisely which.
    otherwise: Option<Error>,
}

impl Entry {
    fn add(&mut self, piece: u64, faults: Vec<Error>) {
        for fault in faults {
            let text = describe(&fault);
            // Pieces that share a chunk share its fault.
            if !self.faults.iter().any(|(_, known, _)| *known == text) {
                self.faults.push((piece, text, fault));
            }
        }
        self.faults.sort_by_key(|(piece, ..)| *piece);
        self.more_faults += self.faults.len().saturating_sub(MAX_FAULTS) as u64;
        self.faults.truncate(MAX_FAULTS);
    }
}

/// An error and its causes, to tell it from others.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

impl Run {
    /// Opens all elements.
    fn open(&mut self, check: &Check, file: &AnnDataFile) {
        if file.has_writer() {
            let expected = "a file that its writer closed";
            let found = "the flag of a writer still set (HDF5's h5clear -s clears it)";
            let notice = Error::invalid(file.path(), "", expected, found);
            self.entry(Need::Never, None, vec![notice]);
        }
        self.dangling(check, file);
        self.index(file, "obs", file.obs_index());
        self.index(file, "var", file.var_index());
        let keys = self.keys(&check.obs, || file.obs_keys());
        for key in keys.iter().filter(|key| *key != "_index") {
            let column = file.obs_column(key);
            let absent = check.obs.is_some() && matches!(column, Ok(None));
            self.column(file, format!("obs/{key}"), Need::IfSupported, column);
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
            let need = match key {
                LayerKey::X => Need::Always,
                LayerKey::RawX | LayerKey::Layer(_) => Need::IfSupported,
            };
            self.matrix(key.element(), need, matrix);
            if absent {
                let known = file.layers_keys();
                let known = known.map(|keys| keys.iter().map(LayerKey::to_string).collect());
                self.absent(file, "", &key.to_string(), known);
            }
        }
        for key in self.keys(&check.obsm, || file.obsm_keys()) {
            let matrix = file.obsm(&key);
            let absent = check.obsm.is_some() && matches!(matrix, Ok(None));
            self.matrix(format!("obsm/{key}"), Need::IfSupported, matrix);
            if absent {
                self.absent(file, "obsm", &key, file.obsm_keys());
            }
        }
        let asked = [&check.obs, &check.obsm].iter().any(|keys| keys.is_some());
        if !asked && check.layers.is_none() {
            self.unreadable(file);
        }
    }

    /// Members of groups that nothing can ask for, but for those that are faults of an element already.
    fn unreadable(&mut self, file: &AnnDataFile) {
        for error in file.unreadable() {
            let mut known = self.entries.iter().flat_map(|entry| &entry.faults);
            if known.all(|(_, _, fault)| fault.element() != error.element()) {
                self.entry(Need::IfSupported, None, vec![error]);
            }
        }
    }

    /// The keys that were asked for, or all.
    fn keys(
        &mut self,
        wanted: &Option<Vec<String>>,
        all: impl FnOnce() -> Result<Vec<String>, Error>,
    ) -> Vec<String> {
        match wanted {
            Some(keys) => keys.clone(),
            None => all().unwrap_or_else(|error| {
                self.entry(Need::Always, None, vec![error]);
                Vec::new()
            }),
        }
    }

    fn entry(&mut self, need: Need, report: Option<ElementReport>, faults: Vec<Error>) -> usize {
        let mut entry = Entry {
            need,
            report,
            faults: Vec::new(),
            more_faults: 0,
            otherwise: None,
        };
        entry.add(0, faults);
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// A key that was asked for and does not exist.
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
            group => format!("{group}/{key}"),
        };
        if self.is_dangling(&element) {
            return;
        }
        let error = Error::new(file.path(), element, ErrorKind::MissingElement { nearest });
        self.entry(Need::Never, None, vec![error]);
    }

    /// Whether an element has a name and nothing behind it, or lies below one that has.
    fn is_dangling(&self, element: &str) -> bool {
        let ends = element.match_indices('/').map(|(at, _)| at);
        let mut paths = ends.chain([element.len()]).map(|end| &element[..end]);
        paths.any(|path| self.dangling.contains(path))
    }

    /// Columns that a table lists and does not have: Python's anndata does not open such a file.
    fn order(&mut self, file: &AnnDataFile, table: &str) {
        let names = self.keys(&None, || file.column_order(table));
        for name in names {
            let element = format!("{table}/{name}");
            if !self.is_dangling(&element) && !file.has_element(&element) {
                let expected = "the column that attribute column-order names";
                let fault = Error::invalid(file.path(), element, expected, "none");
                self.entry(Need::Always, None, vec![fault]);
            }
        }
    }

    /// The index of a table, whose names may be there once each.
    fn index(&mut self, file: &AnnDataFile, table: &str, index: Result<Column, Error>) {
        let index = index.and_then(|index| Ok((file.index_element(table)?, index)));
        let entry = self.entries.len();
        let names = match index {
            Ok((element, index)) => {
                self.column(file, element, Need::Always, Ok(Some(index)));
                names::repeated_names(file, table)
            }
            Err(error) => {
                self.column(file, table.to_owned(), Need::Always, Err(error));
                return;
            }
        };
        match names {
            Ok(None) => {}
            Ok(Some(notice)) => {
                self.entry(Need::Never, None, vec![notice]);
            }
            Err(error) => {
                if let Some(entry) = self.entries.get_mut(entry) {
                    entry.otherwise = Some(error);
                }
            }
        }
    }

    /// A column of a table, or its index.
    fn column(
        &mut self,
        file: &AnnDataFile,
        element: String,
        need: Need,
        column: Result<Option<Column>, Error>,
    ) {
        let column = match column {
            Ok(Some(column)) => column,
            Ok(None) => return,
            Err(error) => {
                self.entry(need, None, vec![error]);
                return;
            }
        };
        let (mut repeated, mut missing) = (Vec::new(), None);
        let (layout, sources) = match column.kind() {
            Kind::Categorical { codes, categories } => {
                (repeated, missing) = names::categories(file, &element, categories);
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
        self.element(need, report, sources);
        if let Some(entry) = self.entries.last_mut() {
            entry.add(0, repeated);
        }
        if let Some(notice) = missing {
            self.entry(Need::Never, None, vec![notice]);
        }
    }

    fn matrix(&mut self, element: String, need: Need, matrix: Result<Option<MatrixSource>, Error>) {
        let matrix = match matrix {
            Ok(Some(matrix)) => matrix,
            Ok(None) => return,
            Err(error) => {
                self.entry(need, None, vec![error]);
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
        self.element(need, report, sources);
    }

    fn element(&mut self, need: Need, report: ElementReport, sources: Vec<Source>) {
        let entry = self.entry(need, Some(report), Vec::new());
        self.sources
            .extend(sources.into_iter().map(|source| (entry, source)));
    }

    /// Reads all pieces of all elements.
    fn read(&mut self, workers: usize, progress: &mut dyn FnMut(u64, u64)) {
        let (sources, entries) = (&self.sources, &mut self.entries);
        let pieces = sources.iter().flat_map(|(entry, source)| {
            (0..source.n_pieces()).map(move |piece| (*entry, source, piece))
        });
        let n_pieces = sources
            .iter()
            .map(|(_, source)| source.n_pieces())
            .fold(0, u64::saturating_add);
        thread::scope(|scope| {
            let (to_scan, unscanned) = bounded::<(u64, (usize, &Source, u64))>(2 * workers);
            let (to_list, scanned) = bounded(2 * workers);
            for _ in 0..workers.min(usize::try_from(n_pieces).unwrap_or(workers)) {
                let (unscanned, to_list) = (unscanned.clone(), to_list.clone());
                scope.spawn(move || {
                    let mut scratch = Scratch::new();
                    for (number, (entry, source, piece)) in unscanned {
                        let found = source.scan(piece, &mut scratch);
                        if to_list.send((entry, number, found)).is_err() {
                            return;
                        }
                    }
                });
            }
            // The channels end with the threads.
            drop((unscanned, to_list));
            scope.spawn(move || {
                let mut pieces = (0..).zip(pieces);
                pieces.all(|piece| to_scan.send(piece).is_ok())
            });
            for (done, (entry, piece, found)) in (1..).zip(scanned) {
                let Found {
                    counts,
                    faults,
                    more_faults,
                } = found;
                let entry = &mut entries[entry];
                if !faults.is_empty() {
                    entry.add(piece, faults);
                }
                entry.more_faults += more_faults;
                if let Some(report) = &mut entry.report {
                    report.counts.add(&counts);
                }
                progress(done, n_pieces);
            }
        });
        for (entry, source) in &self.sources {
            if let (Source::Sparse(sparse), Some(report)) =
                (source, &mut self.entries[*entry].report)
            {
                report.counts.unordered = sparse.n_unordered();
            }
        }
    }

    fn report(self, file: &AnnDataFile) -> CheckReport {
        let mut report = CheckReport {
            path: file.path().to_owned(),
            shape: Some([file.n_obs(), file.n_vars()]),
            elements: Vec::new(),
            faults: Vec::new(),
            unsupported: Vec::new(),
            notices: Vec::new(),
        };
        for mut entry in self.entries {
            if let Some(error) = entry.otherwise.take().filter(|_| entry.faults.is_empty()) {
                entry.add(0, vec![error]);
            }
            if let Some(mut element) = entry.report {
                element.more_faults = entry.more_faults;
                report.elements.push(element);
            }
            for (_, _, error) in entry.faults {
                let list = match (entry.need, error.kind()) {
                    (Need::Never, _) => &mut report.notices,
                    (Need::IfSupported, ErrorKind::Unsupported { what, .. })
                        if what != LINK_ELSEWHERE =>
                    {
                        &mut report.unsupported
                    }
                    (Need::Always | Need::IfSupported, _) => &mut report.faults,
                };
                list.push(error);
            }
        }
        report
    }
}

#[cfg(test)]
mod tests;
