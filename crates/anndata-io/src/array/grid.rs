//! The regular chunk grid of an array.

use crate::limits::{MAX_ARRAY_ELEMENTS, MAX_CHUNK_ELEMENTS};

/// The shape of an array, cut into chunks of one shape, numbered row-major. Every chunk is stored
/// whole, even where it crosses the edge of the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) shape: Vec<u64>,
    pub(crate) chunk: Vec<u64>,
}

impl Grid {
    /// `None` if the ranks differ, a chunk extent is 0, or a chunk or the whole array has more
    /// elements than can be counted.
    pub(crate) fn new(shape: Vec<u64>, chunk: Vec<u64>) -> Option<Grid> {
        let product = |dims: &[u64]| dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d.max(1)));
        let fits = product(&shape).is_some_and(|n| n <= MAX_ARRAY_ELEMENTS)
            && product(&chunk).is_some_and(|n| n <= MAX_CHUNK_ELEMENTS);
        let valid = shape.len() == chunk.len() && !chunk.contains(&0) && fits;
        valid.then_some(Grid { shape, chunk })
    }

    /// Makes a grid of one chunk, the whole array.
    pub(crate) fn single(shape: Vec<u64>) -> Option<Grid> {
        let chunk = shape.iter().map(|&extent| extent.max(1)).collect();
        let product = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d.max(1)));
        product
            .is_some_and(|n| n <= MAX_ARRAY_ELEMENTS)
            .then_some(Grid { shape, chunk })
    }

    /// The number of elements of the array.
    pub(crate) fn len(&self) -> u64 {
        self.shape.iter().product()
    }

    /// The number of elements of one chunk.
    pub(crate) fn chunk_len(&self) -> u64 {
        self.chunk.iter().product()
    }

    /// The number of chunks along an axis.
    pub(crate) fn count(&self, axis: usize) -> u64 {
        self.shape[axis].div_ceil(self.chunk[axis])
    }

    /// The number of chunks along every axis.
    pub(crate) fn counts(&self) -> Vec<u64> {
        (0..self.shape.len()).map(|axis| self.count(axis)).collect()
    }

    /// The number of the chunk at these grid coordinates; `None` outside the grid.
    pub(crate) fn number(&self, coords: &[u64]) -> Option<u64> {
        let mut number = 0u64;
        for (axis, &coord) in coords.iter().enumerate() {
            if coord >= self.count(axis) {
                return None;
            }
            number = number.checked_mul(self.count(axis))?.checked_add(coord)?;
        }
        Some(number)
    }

    /// The number of rows of a chunk; 1 for a scalar.
    pub(crate) fn chunk_rows(&self) -> u64 {
        self.chunk.first().copied().unwrap_or(1)
    }

    /// The number of rows of a chunk that lie within the array.
    pub(crate) fn rows_within(&self, chunk: u64) -> u64 {
        let start = self.start(chunk).first().copied().unwrap_or(0);
        let n_rows = self.shape.first().copied().unwrap_or(1);
        n_rows.saturating_sub(start).min(self.chunk_rows())
    }

    /// The position of a chunk's first element in the array.
    pub(crate) fn start(&self, number: u64) -> Vec<u64> {
        let coords = self.coords(number);
        coords.iter().zip(&self.chunk).map(|(c, n)| c * n).collect()
    }

    /// The grid coordinates of a chunk.
    pub(crate) fn coords(&self, mut number: u64) -> Vec<u64> {
        let mut coords = vec![0; self.shape.len()];
        for axis in (0..coords.len()).rev() {
            let count = self.count(axis).max(1);
            coords[axis] = number % count;
            number /= count;
        }
        coords
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grid_number_refuses_coordinates_outside() {
        let grid = Grid::new(vec![5, 7], vec![2, 3]).expect("a valid grid");
        assert_eq!(grid.counts(), [3, 3]);
        for number in 0..9 {
            assert_eq!(grid.number(&grid.coords(number)), Some(number));
        }
        assert_eq!(grid.number(&[3, 0]), None);
    }

    #[test]
    fn grid_of_impossible_extents_is_refused() {
        assert_eq!(Grid::new(vec![5], vec![0]), None);
        assert_eq!(Grid::new(vec![5], vec![1, 1]), None);
        assert_eq!(Grid::new(vec![u64::MAX, 2], vec![1, 1]), None);
        assert_eq!(Grid::single(vec![1 << 40, 1 << 40]), None);
    }

    proptest! {
        #[test]
        fn grid_numbers_and_coordinates_are_inverse(
            axes in prop::collection::vec((1..9_u64, 1..5_u64), 0..4),
        ) {
            let (shape, chunk): (Vec<u64>, Vec<u64>) = axes.into_iter().unzip();
            let grid = Grid::new(shape, chunk).expect("small");
            let n_chunks = grid.counts().iter().product();
            for number in 0..n_chunks {
                let coords = grid.coords(number);
                prop_assert_eq!(grid.number(&coords), Some(number));
                let starts = grid.start(number);
                prop_assert!(starts.iter().zip(&grid.shape).all(|(start, extent)| start < extent));
            }
            // Each row is in one band of chunks.
            let bands = grid.counts().first().copied().unwrap_or(1);
            let rows = (0..bands).map(|band| grid.rows_within(band * (n_chunks / bands)));
            let n_rows = grid.shape.first().copied().unwrap_or(1);
            prop_assert_eq!(rows.sum::<u64>(), n_rows);
        }
    }
}
