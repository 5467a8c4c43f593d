//! Everything that can be read of a store is read, by every way there is.
//!
//! Errors are what hostile files give; what is looked for is anything else: panics, memory, time,
//! rows that are not what a sink is promised.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anndata_io::{
    AnnDataSource, Array, Column, IoContext, IoOptions, MatrixSource, MemoryStore, Node,
    ReadScratch, RowSink, Store, ValuesRef, testing,
};
use mapped_collection::{
    BatchFormat, Join, Loader, LoaderOptions, LoaderState, MappedCollection, MatrixFormat, Shuffle,
};

/// What was found in a store.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Elements that were read, and those that could not be.
    pub(crate) read: u64,
    pub(crate) errors: u64,
    /// The most bytes that one call was asked for and gave.
    pub(crate) output: u64,
    /// Bytes that a collection keeps of the rows that a store claims and its index vouches for.
    pub(crate) kept: u64,
    /// Bytes of the largest chunk that was decoded, or could have been.
    pub(crate) chunk: u64,
    /// Sums over all that was read: equal for equal data.
    pub(crate) digest: u64,
}

/// Rows read of a matrix at the most, and bytes of them.
const MOST_ROWS: u64 = 96;
const MOST_BYTES: u64 = 4 << 20;
/// Arrays that a collection's files are compared by.
const MOST_NODES: usize = 400;

const ATTRIBUTES: [&str; 14] = [
    "encoding-type",
    "encoding-version",
    "shape",
    "_index",
    "column-order",
    "categories",
    "ordered",
    "h5sparse_format",
    "h5sparse_shape",
    "list",
    "texts",
    "texts_fixed",
    "numbers",
    "a1",
];

impl Found {
    fn count<T>(&mut self, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        match result {
            Ok(value) => {
                self.read += 1;
                Some(value)
            }
            Err(error) => {
                // Its text is made, too.
                assert!(!error.to_string().is_empty());
                self.errors += 1;
                None
            }
        }
    }

    fn digest(&mut self, word: u64) {
        self.digest = (self.digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.digest(u64::from_le_bytes(word));
        }
    }

    fn gave(&mut self, bytes: u64) {
        self.output = self.output.max(bytes);
    }
}

/// Some of `n` rows, ascending: the first, the last, and some between; one of them twice.
fn some_rows(n: u64, row_bytes: u64) -> Vec<u64> {
    let most = (MOST_BYTES / row_bytes.max(1)).min(MOST_ROWS);
    if n <= most {
        return (0..n).collect();
    }
    let step = (n / most.max(1)).max(1);
    let mut rows: Vec<u64> = (0..most).map(|i| i * step).chain([n - 1]).collect();
    if rows.len() > 2 {
        rows[0] = rows[1];
    }
    rows.dedup_by(|a, b| a > b);
    rows
}

fn context(variant: u64) -> IoContext {
    IoContext::new(
        IoOptions::new()
            .cache_bytes(if variant & 1 == 0 { 1 << 20 } else { 0 })
            .max_open_files(4)
            .mmap(variant & 2 == 0)
            .pack_bytes(if variant & 4 == 0 { 1 << 20 } else { 0 }),
    )
}

/// Reads the file, directory or archive at `path` in every way. `variant` picks options.
pub(crate) fn everything(path: &Path, variant: u64) -> Found {
    let mut found = Found::default();
    store(path, variant, &mut found);
    anndata(&path.into(), variant, &mut found);
    found
}

/// All nodes, attributes and arrays.
pub(crate) fn store(path: &Path, variant: u64, found: &mut Found) {
    let Some(store) = found.count(Store::open(path, &context(variant))) else {
        return;
    };
    let mut groups = vec![(String::new(), 0)];
    let mut nodes = 0;
    while let Some((group, depth)) = groups.pop() {
        let Some(children) = found.count(store.children(&group)) else {
            continue;
        };
        for child in children {
            nodes += 1;
            if nodes > MOST_NODES {
                return;
            }
            let element = match &group[..] {
                "" => child,
                group => format!("{group}/{child}"),
            };
            for name in ATTRIBUTES {
                found.count(store.attribute(&element, name));
            }
            match found.count(store.node(&element)) {
                // Links may go round in circles.
                Some(Some(Node::Group | Node::Table)) if depth < 6 => {
                    groups.push((element, depth + 1));
                }
                Some(Some(Node::Array)) => {
                    if let Some(array) = found.count(store.array(&element)) {
                        read_array(&array, found);
                    }
                }
                _ => {}
            }
        }
    }
}

/// All elements of a list, some rows of anything else.
pub(crate) fn read_array(array: &Array, found: &mut Found) {
    found.chunk = found.chunk.max(testing::chunk_bytes(array));
    if array.dtype().is_none() {
        if let Some(texts) = found.count(array.read_strings()) {
            let bytes: usize = texts.iter().map(str::len).sum();
            found.gave((bytes + texts.len() * 8) as u64);
            texts.iter().for_each(|text| found.bytes(text.as_bytes()));
        }
        return;
    }
    let item = array.dtype().map_or(1, |dtype| dtype.size()) as u64;
    let shape = array.shape().to_vec();
    if shape.len() < 2 {
        if let Some(values) = found.count(array.read_all()) {
            found.gave(values.as_slice().as_bytes().len() as u64);
            found.bytes(values.as_slice().as_bytes());
        }
        return;
    }
    let row = shape[1..]
        .iter()
        .try_fold(item, |n, &extent| n.checked_mul(extent));
    let Some(row) = row.filter(|&row| row <= MOST_BYTES) else {
        return;
    };
    let mut digest = Vec::new();
    let rows = some_rows(shape[0], row);
    let result = testing::read_rows(array, &rows, |i, start, run| {
        assert!(i < rows.len() && (start + run.len()) as u64 * item <= row);
        digest.extend_from_slice(run.as_bytes());
    });
    found.gave(digest.capacity() as u64);
    if found.count(result).is_some() {
        found.bytes(&digest);
    }
}

/// Holds rows against what a sink is promised.
struct Rows {
    width: usize,
    n_rows: usize,
    digest: u64,
}

impl RowSink for Rows {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        assert!(row < self.n_rows && start + values.len() <= self.width);
        self.digest = self.digest.wrapping_add(values.as_bytes().len() as u64);
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        assert!(row < self.n_rows && columns.len() == values.len());
        assert!(columns.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            columns
                .last()
                .is_none_or(|&column| (column as usize) < self.width)
        );
        self.digest = self.digest.wrapping_add(columns.len() as u64);
    }
}

fn read_matrix(matrix: Option<MatrixSource>, found: &mut Found) -> bool {
    let Some(matrix) = matrix else { return false };
    let width = matrix.row_len();
    let row_bytes = width as u64 * matrix.dtype().size() as u64;
    found.gave(row_bytes);
    let rows = some_rows(matrix.n_rows(), row_bytes);
    let mut sink = Rows {
        width,
        n_rows: rows.len(),
        digest: 0,
    };
    let read = matrix.read_rows(&rows, &mut ReadScratch::default(), &mut sink);
    for &row in rows.iter().take(4) {
        matrix.stored_len(row);
        matrix.band(row);
    }
    found.count(read).is_some()
}

fn read_column(column: Option<Column>, found: &mut Found) -> bool {
    let Some(column) = column else { return false };
    found.kept += column.len().saturating_mul(16);
    let labels = found.count(column.read_labels()).is_some();
    let rows = some_rows(column.len(), 1);
    found.count(column.read_rows(&rows)).is_some() && labels
}

/// Names, columns and matrices of a file, and the collection of it.
pub(crate) fn anndata(source: &AnnDataSource, variant: u64, found: &mut Found) {
    let context = context(variant);
    let Some(file) = found.count(source.open(&context)) else {
        return;
    };
    found.kept += file
        .n_obs()
        .saturating_add(file.n_vars())
        .saturating_mul(16);
    if let Some(names) = found.count(file.var_names()) {
        let bytes: usize = names.iter().map(str::len).sum();
        // The names, their joint list, and a map from each to its number.
        found.kept += (bytes * 4 + names.len() * 64) as u64;
    }
    let index = found.count(file.obs_index());
    read_column(index, found);
    let (mut obs, mut obsm, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    for key in found.count(file.obs_keys()).unwrap_or_default() {
        let column = found.count(file.obs_column(&key)).flatten();
        if read_column(column, found) {
            obs.push(key);
        }
    }
    for key in found.count(file.layers_keys()).unwrap_or_default() {
        let matrix = found.count(file.layer(&key)).flatten();
        found.kept += file.n_obs().saturating_mul(8);
        if read_matrix(matrix, found) {
            layers.push(key.to_string());
        }
    }
    for key in found.count(file.obsm_keys()).unwrap_or_default() {
        let matrix = found.count(file.obsm(&key)).flatten();
        if read_matrix(matrix, found) {
            obsm.push(key);
        }
    }
    drop(file);
    collection(source, variant, [obs, layers, obsm], found);
}

/// Items, batches of both outputs, and epochs.
fn collection(
    source: &AnnDataSource,
    variant: u64,
    [obs, layers, obsm]: [Vec<String>; 3],
    found: &mut Found,
) {
    let builder = MappedCollection::builder([source.clone()])
        .obs(obs.clone())
        .layers(layers)
        .obsm(obsm)
        .join([Some(Join::Inner), Some(Join::Outer), None][(variant % 3) as usize])
        .io(IoOptions::new()
            .mmap(variant & 2 == 0)
            .cache_bytes(1 << 20)
            .pack_bytes(if variant & 4 == 0 { 1 << 20 } else { 0 }));
    let Some(cells) = found.count(builder.open()) else {
        return;
    };
    for key in &obs {
        found.count(cells.merged_labels(key));
        found.count(cells.label_weights([key]));
    }
    let n_obs = cells.n_obs();
    // Widths of all matrices, eight bytes an element.
    let item = found.count(cells.get(0));
    let Some(item) = item else { return };
    let row_bytes: u64 = (item.entries().iter())
        .map(|(_, value)| match value {
            mapped_collection::ItemValue::Row(row) => row.nnz() as u64 * 8,
            _ => 64,
        })
        .sum();
    found.gave(row_bytes * 2);
    drop(item);
    let rows: Vec<i64> = some_rows(n_obs as u64, row_bytes)
        .into_iter()
        .rev()
        .map(|row| row as i64)
        .collect();
    let batch_size = rows.len().clamp(1, 7);
    for output in [MatrixFormat::Dense, MatrixFormat::Csr] {
        let format = BatchFormat::new().output(output);
        found.gave(row_bytes * rows.len() as u64 * 2);
        found.count(cells.get_batch_with(&rows, &format));
        let shuffle = match variant % 2 {
            0 => Shuffle::Exact,
            _ => Shuffle::Blocks { rows: 5 },
        };
        let options = LoaderOptions::new(batch_size)
            .output(output)
            .shuffle(shuffle)
            .workers((variant % 3) as usize)
            .memory(16 << 20);
        if let Some(batches) = found.count(cells.loader(options)) {
            for batch in batches.epoch(variant).take(3) {
                found.count(batch);
            }
        }
    }
}

/// A small collection's batches, and the state after the first of them.
pub(crate) fn loader() -> (Loader, LoaderState) {
    let zeros = mapped_collection::Values::F32(vec![1.0; 20]);
    let store = MemoryStore::new("cells")
        .dataframe("obs", &["a", "b", "c", "d", "e"])
        .dataframe("var", &["w", "x", "y", "z"])
        .array("X", &[5, 4], zeros);
    let cells = MappedCollection::builder([store]).open().expect("valid");
    let options = LoaderOptions::new(2).shuffle(Shuffle::Exact).workers(1);
    let batches = cells.loader(options).expect("valid options");
    let mut epoch = batches.epoch(3);
    epoch.next();
    let state = epoch.state().expect("names can be read");
    (batches, state)
}

/// Goes on from the text of a state: an error, or an epoch that ends.
pub(crate) fn resume(batches: &Loader, state: &[u8]) -> Result<usize, Box<dyn std::error::Error>> {
    let state: LoaderState = serde_json::from_slice(state)?;
    let epoch = batches.resume(&state)?;
    epoch.state()?;
    let n = epoch
        .map(|batch| batch.map(drop))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(n.len())
}

/// An array over whose chunks checksums stand, and where these lie.
pub(crate) type Checked = (String, Vec<(PathBuf, Range<u64>)>);

/// All such arrays of a file that is as it should be; none of one that is refused.
pub(crate) fn checked(path: &Path) -> Vec<Checked> {
    // A few fixtures are refused as a whole.
    let Ok(store) = Store::open(path, &IoContext::default()) else {
        return Vec::new();
    };
    let mut arrays = Vec::new();
    let mut groups = vec![(String::new(), 0)];
    while let Some((group, depth)) = groups.pop() {
        for child in store.children(&group).unwrap_or_default() {
            let element = match &group[..] {
                "" => child,
                group => format!("{group}/{child}"),
            };
            match store.node(&element) {
                Ok(Some(Node::Group | Node::Table)) if depth < 4 => {
                    groups.push((element, depth + 1));
                }
                Ok(Some(Node::Array)) => {
                    let array = store.array(&element);
                    let chunks = array.and_then(|array| testing::checked_chunks(&array));
                    arrays.extend(chunks.ok().map(|chunks| (element, chunks)));
                }
                _ => {}
            }
        }
    }
    arrays.retain(|(_, chunks)| !chunks.is_empty());
    arrays
}

/// The digest of one array; `None` when it cannot be read.
pub(crate) fn digest(path: &Path, element: &str) -> Option<u64> {
    let store = Store::open(path, &IoContext::default()).ok()?;
    let array = store.array(element).ok()?;
    let mut found = Found::default();
    read_array(&array, &mut found);
    (found.errors == 0).then_some(found.digest)
}
