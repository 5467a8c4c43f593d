//! A store in memory: for tests, and for data that was never in a file.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Attribute, Backend, Node, Store};
use crate::array::chunks::Chunks;
use crate::array::grid::Grid;
use crate::array::memory::{chunked_parts, memory_parts};
use crate::array::text::{Padding, TextEncoding};
use crate::array::{Array, ItemType};
use crate::dtype::Values;
use crate::error::{Error, ErrorKind};
use crate::io::bytes::ByteSource;
use crate::io::context::IoContext;

/// Groups, arrays and attributes put together by hand.
///
/// ```
/// use anndata_io::{AnnDataFile, MemoryStore, Values};
///
/// let store = MemoryStore::new("cells")
///     .dataframe("obs", &["c1", "c2"])
///     .dataframe("var", &["g1", "g2", "g3"])
///     .array("X", &[2, 3], Values::F32(vec![1., 0., 2., 0., 3., 0.]));
/// let cells = AnnDataFile::from_store(store.into())?;
/// assert_eq!((cells.n_obs(), cells.n_vars()), (2, 3));
/// # Ok::<(), anndata_io::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    name: PathBuf,
    nodes: BTreeMap<String, (Contents, BTreeMap<String, Attribute>)>,
    chunk_rows: Option<NonZeroU64>,
    chunks: BTreeMap<String, Vec<u64>>,
    before_read: Option<Arc<ReadHook>>,
    context: IoContext,
}

/// Receives the path of an array.
type ReadHook = dyn Fn(&str) -> io::Result<()> + Send + Sync;

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore")
            .field("name", &self.name)
            .field("elements", &self.nodes.keys())
            .finish_non_exhaustive()
    }
}

/// Equal in name and content, with the same [`before_read`](MemoryStore::before_read) function.
impl PartialEq for MemoryStore {
    fn eq(&self, other: &Self) -> bool {
        let same_hook = match (&self.before_read, &other.before_read) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_hook
            && self.name == other.name
            && self.nodes == other.nodes
            && self.chunk_rows == other.chunk_rows
            && self.chunks == other.chunks
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Contents {
    Group,
    Numbers(Vec<u64>, Values),
    Texts(Vec<String>),
}

impl MemoryStore {
    /// Makes an empty store; errors show the name as the file.
    pub fn new(name: impl Into<PathBuf>) -> Self {
        MemoryStore {
            name: name.into(),
            nodes: BTreeMap::new(),
            chunk_rows: None,
            chunks: BTreeMap::new(),
            before_read: None,
            context: IoContext::default(),
        }
    }

    /// The name, as errors show it.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Stores arrays of numbers in chunks of this many rows, each with a checksum, so that they are
    /// decoded like those of compressed files.
    pub fn chunked(mut self, rows: NonZeroU64) -> Self {
        self.chunk_rows = Some(rows);
        self
    }

    /// Stores one array of numbers in chunks of this shape, each with a checksum. Opening it panics
    /// if the array has another number of dimensions.
    pub fn chunks(mut self, element: &str, shape: &[NonZeroU64]) -> Self {
        let shape = shape.iter().map(|extent| extent.get()).collect();
        self.chunks.insert(element.to_owned(), shape);
        self
    }

    /// Calls `hook` with the path of an array before bytes of it are read, to simulate slow or
    /// failing storage.
    pub fn before_read(
        mut self,
        hook: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.before_read = Some(Arc::new(hook));
        self
    }

    /// Returns the store with its chunks in the cache of a context, and counted there.
    pub(crate) fn in_context(mut self, context: &IoContext) -> Self {
        self.context = context.clone();
        self
    }

    fn put(mut self, element: &str, contents: Contents) -> Self {
        for (at, _) in element.match_indices('/') {
            let group = (Contents::Group, BTreeMap::new());
            self.nodes.entry(element[..at].to_owned()).or_insert(group);
        }
        self.nodes
            .insert(element.to_owned(), (contents, BTreeMap::new()));
        self
    }

    /// Adds a group, and the groups above it.
    pub fn group(self, element: &str) -> Self {
        self.put(element, Contents::Group)
    }

    /// Adds an array of numbers, row-major.
    ///
    /// # Panics
    /// When the number of values differs from that of the shape.
    pub fn array(self, element: &str, shape: &[u64], values: Values) -> Self {
        assert_eq!(
            shape.iter().product::<u64>(),
            values.len() as u64,
            "elements of {element}"
        );
        self.put(element, Contents::Numbers(shape.to_vec(), values))
    }

    /// Adds an array of the crate `ndarray`, such as `array.view()`.
    #[cfg(feature = "ndarray")]
    pub fn ndarray<T: crate::Scalar, D: ndarray::Dimension>(
        self,
        element: &str,
        array: ndarray::ArrayView<'_, T, D>,
    ) -> Self {
        let shape: Vec<u64> = array.shape().iter().map(|&extent| extent as u64).collect();
        // In the order of the elements' indices, whatever the memory layout of the array.
        let values = array.iter().copied().collect();
        self.array(element, &shape, T::into_values(values))
    }

    /// Adds a 1-D array of text.
    pub fn texts(self, element: &str, texts: &[&str]) -> Self {
        self.put(
            element,
            Contents::Texts(texts.iter().map(|&text| text.to_owned()).collect()),
        )
    }

    /// Sets an attribute of an element that was added before.
    ///
    /// # Panics
    /// When there is no such element.
    pub fn attribute(mut self, element: &str, name: &str, value: Attribute) -> Self {
        let (_, attributes) = self
            .nodes
            .get_mut(element)
            .expect("the element was added before");
        attributes.insert(name.to_owned(), value);
        self
    }

    /// Adds a table with an index and no columns yet: `obs`, `var`, `raw/var`.
    pub fn dataframe(self, element: &str, index: &[&str]) -> Self {
        self.group(element)
            .texts(&format!("{element}/_index"), index)
            .attribute(
                element,
                "encoding-type",
                Attribute::Text("dataframe".into()),
            )
            .attribute(element, "_index", Attribute::Text("_index".into()))
    }

    /// Adds a categorical column: `codes` index `categories`, -1 is missing.
    pub fn categorical(self, element: &str, codes: Vec<i8>, categories: &[&str]) -> Self {
        let n = codes.len() as u64;
        self.group(element)
            .attribute(
                element,
                "encoding-type",
                Attribute::Text("categorical".into()),
            )
            .array(&format!("{element}/codes"), &[n], Values::I8(codes))
            .texts(&format!("{element}/categories"), categories)
    }

    /// Adds a CSR matrix of `shape`.
    pub fn csr(
        self,
        element: &str,
        shape: [u64; 2],
        indptr: Vec<i64>,
        indices: Vec<i32>,
        data: Values,
    ) -> Self {
        self.compressed("csr_matrix", element, shape, indptr, indices, data)
    }

    /// Adds a CSC matrix of `shape`.
    pub fn csc(
        self,
        element: &str,
        shape: [u64; 2],
        indptr: Vec<i64>,
        indices: Vec<i32>,
        data: Values,
    ) -> Self {
        self.compressed("csc_matrix", element, shape, indptr, indices, data)
    }

    fn compressed(
        self,
        encoding: &str,
        element: &str,
        shape: [u64; 2],
        indptr: Vec<i64>,
        indices: Vec<i32>,
        data: Values,
    ) -> Self {
        let shape_attribute = Attribute::Integers(shape.iter().map(|&n| n as i64).collect());
        self.group(element)
            .attribute(element, "encoding-type", Attribute::Text(encoding.into()))
            .attribute(element, "shape", shape_attribute)
            .array(
                &format!("{element}/indptr"),
                &[indptr.len() as u64],
                Values::I64(indptr),
            )
            .array(
                &format!("{element}/indices"),
                &[indices.len() as u64],
                Values::I32(indices),
            )
            .array(&format!("{element}/data"), &[data.len() as u64], data)
    }
}

impl From<MemoryStore> for Store {
    fn from(store: MemoryStore) -> Store {
        Store::from_backend(store.name.clone(), Box::new(store))
    }
}

impl Backend for MemoryStore {
    fn unreadable(&self, _: &str) -> Result<Vec<Error>, Error> {
        Ok(Vec::new())
    }

    fn dangling(&self, _: &str) -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    fn has_writer(&self) -> bool {
        false
    }

    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        if element.is_empty() {
            return Ok(Some(Node::Group));
        }
        Ok(self.nodes.get(element).map(|(contents, _)| match contents {
            Contents::Group => Node::Group,
            _ => Node::Array,
        }))
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        let prefix = if group.is_empty() {
            String::new()
        } else {
            format!("{group}/")
        };
        let names = self
            .nodes
            .keys()
            .filter_map(|element| element.strip_prefix(&prefix));
        Ok(names
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect())
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        let attributes = self.nodes.get(element).map(|(_, attributes)| attributes);
        Ok(attributes
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect())
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        Ok(self
            .nodes
            .get(element)
            .and_then(|(_, attributes)| attributes.get(name).cloned()))
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        let missing = || ErrorKind::MissingElement { nearest: None };
        let (contents, _) = self
            .nodes
            .get(element)
            .ok_or_else(|| Error::new(&self.name, element, missing()))?;
        let (shape, item, bytes) = match contents {
            Contents::Group => {
                return Err(Error::invalid(&self.name, element, "an array", "a group"));
            }
            Contents::Numbers(shape, values) => {
                let bytes = values.as_slice().as_bytes().to_vec();
                (shape.clone(), ItemType::Number(values.dtype()), bytes)
            }
            Contents::Texts(texts) => {
                let size = texts.iter().map(String::len).max().unwrap_or(0).max(1);
                let mut bytes = Vec::with_capacity(size * texts.len());
                for (i, text) in texts.iter().enumerate() {
                    bytes.extend(text.as_bytes());
                    bytes.resize((i + 1) * size, 0);
                }
                let encoding = TextEncoding::Fixed {
                    size,
                    padding: Padding::Nulls,
                };
                (vec![texts.len() as u64], ItemType::Text(encoding), bytes)
            }
        };
        let has_rows =
            matches!(item, ItemType::Number(_)) && shape.iter().all(|&extent| extent > 0);
        let by_rows = |rows: NonZeroU64| {
            let mut chunk = shape.clone();
            *chunk.first_mut()? = rows.get();
            Some(chunk)
        };
        let chunk = self.chunks.get(element).cloned();
        let chunk = chunk.or_else(|| self.chunk_rows.and_then(by_rows));
        let mut parts = match chunk.filter(|_| has_rows) {
            Some(chunk) => {
                let grid = Grid::new(shape, chunk).expect("chunks have the array's dimensions");
                chunked_parts(element, grid, item, &bytes)
            }
            None => {
                let grid = Grid::single(shape).expect("as many elements as there are values");
                memory_parts(element, grid, item, bytes)
            }
        };
        if let (Some(hook), Chunks::Contiguous { source, .. } | Chunks::Table { source, .. }) =
            (&self.before_read, &mut parts.chunks)
            && let ByteSource::Memory(memory) = source
        {
            let (hook, element) = (hook.clone(), element.to_owned());
            let call = Arc::new(move || hook(&element));
            *memory = memory.clone().before_read(call);
        }
        parts.context = self.context.clone();
        parts.file = self.name.clone();
        Ok(Array::new(parts))
    }
}
