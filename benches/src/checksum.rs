//! A checksum of rows that every loader can compute: `checksum.py` has the same.
//!
//! All arithmetic is modulo 2^64. With `mix` the finaliser of splitmix64 after adding its
//! increment, `key(j) = mix(j) | 1` for column `j` of the joined matrix, and `bits(v)` the bit
//! pattern of `v` as a float32:
//!
//! - the number of a row is `mix(sum over j of key(j) * bits(v_j) + mix(label + 2^32))`: which
//!   values stand in which columns, and with which label. Zeros add nothing, so dense and sparse
//!   rows agree;
//! - `set` is the sum of the rows' numbers: which rows there were, in any order;
//! - `sequence` is the sum of `(2 p + 1) * number` with the row's position `p`: in which order.

use mapped_collection::{Batch, Item, Matrix, Values};

use crate::Failure;

/// The key of the matrix and of the label that every benchmark reads.
pub(crate) const MATRIX: &str = "X";
pub(crate) const LABEL: &str = "cell_type";

/// The label of a row without one.
const MISSING: i64 = -100;

/// A scrambled 64-bit number: splitmix64 at state `x`.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[derive(Debug, Default)]
pub(crate) struct Checksum {
    keys: Vec<u64>,
    set: u64,
    sequence: u64,
    position: u64,
}

impl Checksum {
    pub(crate) fn set(&self) -> u64 {
        self.set
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Adds a row: its columns with their values, in any order, and its label.
    fn add(&mut self, row: impl Iterator<Item = (usize, f32)>, label: i64) {
        let values = row.fold(0_u64, |sum, (column, value)| {
            let key = self.keys[column];
            sum.wrapping_add(key.wrapping_mul(value.to_bits().into()))
        });
        let number = mix(values.wrapping_add(mix((label as u64).wrapping_add(1 << 32))));
        self.set = self.set.wrapping_add(number);
        self.sequence = self
            .sequence
            .wrapping_add(number.wrapping_mul(2 * self.position + 1));
        self.position += 1;
    }

    fn make_keys(&mut self, width: usize) {
        let known = self.keys.len() as u64;
        self.keys
            .extend((known..width as u64).map(|column| mix(column) | 1));
    }

    /// Adds an item.
    ///
    /// # Errors
    /// When it has no matrix or its values are no floats.
    pub(crate) fn item(&mut self, item: &Item) -> Result<(), Failure> {
        let values = item.row(MATRIX).ok_or("the item has no matrix")?.values();
        let values = floats(values)?;
        self.make_keys(values.len());
        self.add(
            values.iter().copied().enumerate(),
            item.code(LABEL).unwrap_or(MISSING),
        );
        Ok(())
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// When it has no matrix or label, or its values are no floats.
    pub(crate) fn batch(&mut self, batch: &Batch) -> Result<(), Failure> {
        let labels = batch.codes(LABEL).ok_or("the batch has no labels")?;
        match batch.matrix(MATRIX).ok_or("the batch has no matrix")? {
            Matrix::Dense { shape, values } => {
                let width: usize = shape[1..].iter().product();
                self.make_keys(width);
                let values = floats(values)?;
                for (row, &label) in labels.iter().enumerate() {
                    let row = &values[row * width..(row + 1) * width];
                    self.add(row.iter().copied().enumerate(), label);
                }
            }
            Matrix::Csr {
                shape,
                indptr,
                indices,
                values,
            } => {
                self.make_keys(shape[1]);
                let values = floats(values)?;
                for (row, &label) in labels.iter().enumerate() {
                    let span = indptr.get(row)..indptr.get(row + 1);
                    let columns = span.clone().map(|i| indices.get(i));
                    self.add(columns.zip(values[span].iter().copied()), label);
                }
            }
        }
        Ok(())
    }
}

fn floats(values: &Values) -> Result<&[f32], Failure> {
    match values {
        Values::F32(values) => Ok(values),
        other => Err(format!("expected float32, found {:?}", other.dtype()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[f32]], labels: &[i64]) -> (u64, u64) {
        let mut checksum = Checksum::default();
        for (row, &label) in rows.iter().zip(labels) {
            checksum.make_keys(row.len());
            checksum.add(row.iter().copied().enumerate(), label);
        }
        (checksum.set(), checksum.sequence())
    }

    #[test]
    fn the_numbers_are_those_of_python() {
        let rows: [&[f32]; 3] = [&[0.0, 1.0, 2.5], &[3.0, 0.0, 0.0], &[0.0, 0.0, 0.0]];
        assert_eq!(sum(&rows, &[0, 7, -100]), PYTHON);
    }

    /// What `python checksum.py` prints.
    const PYTHON: (u64, u64) = (0xe209_066d_e4a5_d759, 0xd4fc_b792_b820_1aa1);

    #[test]
    fn labels_columns_and_order_matter() {
        let whole = sum(&[&[1.0, 0.0], &[0.0, 2.0]], &[0, 1]);
        let moved = sum(&[&[0.0, 1.0], &[0.0, 2.0]], &[0, 1]);
        let relabelled = sum(&[&[1.0, 0.0], &[0.0, 2.0]], &[1, 0]);
        let reordered = sum(&[&[0.0, 2.0], &[1.0, 0.0]], &[1, 0]);
        assert_ne!(whole.0, moved.0);
        assert_ne!(whole.0, relabelled.0);
        assert_eq!(whole.0, reordered.0);
        assert_ne!(whole.1, reordered.1);
    }
}
