//! A typed view of a CSR matrix.

use std::ops::Range;

use anndata_io::Scalar;

use crate::batch::matrix::CsrIndex;

/// An integer type of row pointers and columns: `i32` or `i64`.
pub trait IndexType: Copy + sealed::Sealed {
    /// `int32` or `int64`.
    const NAME: &'static str;

    #[doc(hidden)]
    fn from_index(index: &CsrIndex) -> Option<&[Self]>;

    /// The index as a position.
    fn to_usize(self) -> usize;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
}

macro_rules! index_type {
    ($($T:ty, $variant:ident, $name:literal);*) => { $(
        impl IndexType for $T {
            const NAME: &'static str = $name;

            fn from_index(index: &CsrIndex) -> Option<&[Self]> {
                match index {
                    CsrIndex::$variant(index) => Some(index),
                    _ => None,
                }
            }

            #[inline]
            fn to_usize(self) -> usize {
                self as usize
            }
        }
    )* };
}

index_type!(i32, I32, "int32"; i64, I64, "int64");

/// A CSR matrix with elements of type `T`: three slices, borrowed from a batch.
///
/// ```
/// # use mapped_collection::{BatchFormat, MappedCollection, MatrixFormat, MemoryStore, Values};
/// # let store = MemoryStore::new("a")
/// #     .dataframe("obs", &["c1", "c2"])
/// #     .dataframe("var", &["g1", "g2", "g3"])
/// #     .csr("X", [2, 3], vec![0, 2, 3], vec![0, 2, 1], Values::F32(vec![1., 2., 3.]));
/// # let cells = MappedCollection::builder([store]).open()?;
/// let format = BatchFormat::new().output(MatrixFormat::Csr);
/// let batch = cells.get_batch_with(&[1, 0], &format)?;
/// let x = batch.x().expect("X is a layer").csr::<f32>()?;
/// assert_eq!(x.shape(), [2, 3]);
/// for (genes, counts) in x.rows() {
///     println!("{} genes, {} counts", genes.len(), counts.iter().sum::<f32>());
/// }
/// # assert_eq!(x.row(1), (&[0, 2][..], &[1., 2.][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CsrView<'a, T, I = i32> {
    pub(super) shape: [usize; 2],
    pub(super) indptr: &'a [I],
    pub(super) indices: &'a [I],
    pub(super) values: &'a [T],
}

impl<'a, T: Scalar, I: IndexType> CsrView<'a, T, I> {
    /// Rows and columns: `[n_obs, n_vars]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The number of stored elements.
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Where each row begins in [`indices`](Self::indices) and [`values`](Self::values), and the
    /// end of the last one: `[n_obs + 1]`.
    pub fn indptr(&self) -> &'a [I] {
        self.indptr
    }

    /// The column of each element: `[nnz]`, ascending and distinct in each row.
    pub fn indices(&self) -> &'a [I] {
        self.indices
    }

    /// The elements: `[nnz]`.
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// The columns and the elements of a row.
    ///
    /// # Panics
    /// When `row` is out of bounds.
    pub fn row(&self, row: usize) -> (&'a [I], &'a [T]) {
        let range = self.range(row);
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The columns and the elements of every row, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&'a [I], &'a [T])> + use<'a, T, I> {
        let view = CsrView { ..*self };
        (0..self.shape[0]).map(move |row| view.row(row))
    }

    fn range(&self, row: usize) -> Range<usize> {
        self.indptr[row].to_usize()..self.indptr[row + 1].to_usize()
    }
}

#[cfg(feature = "sprs")]
impl<'a, T: Scalar, I: IndexType + sprs::SpIndex> CsrView<'a, T, I> {
    /// The same matrix as a view of the crate `sprs`. Copies nothing; `sprs` checks the indices
    /// once.
    pub fn to_sprs(&self) -> sprs::CsMatViewI<'a, T, I> {
        let [n_rows, n_columns] = self.shape;
        let shape = (n_rows, n_columns);
        sprs::CsMatViewI::try_new(shape, self.indptr, self.indices, self.values)
            .unwrap_or_else(|(.., error)| panic!("rows are sorted and in bounds: {error}"))
    }
}
