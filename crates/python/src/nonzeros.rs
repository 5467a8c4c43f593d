//! A matrix as the bits that tell which of its elements are not zero, and these elements: what
//! goes from one process to another.

use std::sync::Mutex;

use bytemuck::{AnyBitPattern, NoUninit};
use numpy::{PyArray1, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arguments;
use crate::arrays::{Owner, View, bytes};

/// Elements that one word of bits tells of.
const BLOCK: usize = 64;

/// Elements by their bits: -0.0 is not zero.
trait Word: AnyBitPattern + NoUninit + PartialEq + Default {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// The bits of all blocks, then the elements that are not zero; `None` when there are more of
/// these than `most`.
fn pack<T: Word>(elements: &[T], most: usize) -> Option<Vec<u8>> {
    let n_bits = elements.len().div_ceil(BLOCK) * 8;
    let mut packed = Vec::with_capacity(n_bits + most * size_of::<T>());
    let (blocks, rest) = elements.as_chunks();
    packed.extend(blocks.iter().flat_map(|block| nonzero(block).to_le_bytes()));
    if !rest.is_empty() {
        let mut block = [T::default(); BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        packed.extend(nonzero(&block).to_le_bytes());
    }
    let mut n_left = most;
    for (number, block) in elements.chunks(BLOCK).enumerate() {
        let mut word = bits_of(&packed, number);
        n_left = n_left.checked_sub(word.count_ones() as usize)?;
        while word != 0 {
            let element = &block[word.trailing_zeros() as usize];
            packed.extend_from_slice(bytemuck::bytes_of(element));
            word &= word - 1;
        }
    }
    Some(packed)
}

fn bits_of(packed: &[u8], block: usize) -> u64 {
    let word = &packed[block * 8..block * 8 + 8];
    u64::from_le_bytes(word.try_into().expect("eight bytes"))
}

/// Which elements of a block are not zero.
fn nonzero<T: Word>(block: &[T; BLOCK]) -> u64 {
    // One byte an element is what a compiler makes vector instructions of.
    let bytes: [u8; BLOCK] = std::array::from_fn(|i| u8::from(block[i] != T::default()));
    let (eights, _) = bytes.as_chunks::<8>();
    let mut word = 0;
    for (number, eight) in eights.iter().enumerate() {
        // Moves bit 0 of byte i to bit i of the last byte.
        let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= bits << (8 * number);
    }
    word
}

/// The elements again. `None` when there are not as many as the bits tell.
fn join<T: Word>(bits: &[u64], found: &[T], elements: &mut [T]) -> Option<()> {
    let mut found = found.iter();
    for (&word, block) in bits.iter().zip(elements.chunks_mut(BLOCK)) {
        block.fill(T::default());
        let mut word = word;
        while word != 0 {
            *block.get_mut(word.trailing_zeros() as usize)? = *found.next()?;
            word &= word - 1;
        }
    }
    found.next().is_none().then_some(())
}

/// Packs elements of which three quarters or more are zero.
fn pack_bytes<T: Word>(bytes: &[u8]) -> Option<Vec<u8>> {
    let elements: &[T] = bytemuck::try_cast_slice(bytes).ok()?;
    pack(elements, elements.len() / 4)
}

fn unpack<T: Word>(packed: &[u8], n_elements: usize, words: &mut [u64]) -> Option<()> {
    let (bits, found) = packed.split_at_checked(n_elements.div_ceil(BLOCK) * 8)?;
    let elements: &mut [T] = bytemuck::cast_slice_mut(words);
    join(
        bytemuck::try_cast_slice(bits).ok()?,
        bytemuck::try_cast_slice(found).ok()?,
        elements.get_mut(..n_elements)?,
    )
}

/// Memory of matrices that were unpacked and are gone: memory never touched is slow to touch.
static SPARE: Mutex<Vec<Vec<u64>>> = Mutex::new(Vec::new());
/// The most bytes of it.
const MOST_SPARE: usize = 128 << 20;

/// Memory that comes from there and goes back.
struct Recycled(Vec<u64>);

impl Recycled {
    /// `len` words of any value. Never waits: in a forked child the lock may be taken for ever.
    fn take(len: usize) -> Recycled {
        let found = SPARE.try_lock().ok().and_then(|mut spare| {
            let at = spare.iter().rposition(|words| words.len() == len)?;
            Some(spare.swap_remove(at))
        });
        Recycled(found.unwrap_or_else(|| vec![0; len]))
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.0);
        if let Ok(mut spare) = SPARE.try_lock() {
            spare.push(words);
            // The oldest go: batches of another size are no longer wanted.
            let bytes =
                |spare: &[Vec<u64>]| spare.iter().map(|words| words.len() * 8).sum::<usize>();
            while bytes(&spare) > MOST_SPARE {
                spare.remove(0);
            }
        }
    }
}

/// Packs a matrix; `None` when that would not make it much smaller.
#[pyfunction]
pub(crate) fn pack_nonzeros<'py>(
    py: Python<'py>,
    array: &Bound<'py, PyUntypedArray>,
) -> Option<Bound<'py, PyArray1<u8>>> {
    // SAFETY: the array is alive until the return, and whoever writes to it meanwhile, from
    // another thread, would as well do so while torch copies it.
    let bytes = unsafe { bytes(array)? };
    let packed = match array.dtype().itemsize() {
        1 => pack_bytes::<u8>(bytes),
        2 => pack_bytes::<u16>(bytes),
        4 => pack_bytes::<u32>(bytes),
        8 => pack_bytes::<u64>(bytes),
        _ => None,
    };
    Some(PyArray1::from_vec(py, packed?))
}

/// The matrix again, as an array of numpy's type `dtype`.
#[pyfunction]
pub(crate) fn unpack_nonzeros<'py>(
    py: Python<'py>,
    packed: &Bound<'py, PyUntypedArray>,
    shape: Vec<usize>,
    dtype: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let broken = || PyValueError::new_err("packed matrix: not what a worker sends");
    // SAFETY: as above; what is sent is this process's alone.
    let bytes = unsafe { bytes(packed).ok_or_else(broken)? };
    let dtype = arguments::dtype(Some(dtype))?.ok_or_else(broken)?;
    let n_elements: usize = shape.iter().product();
    // As many bits as elements are there, or it is refused before memory is taken.
    if n_elements.div_ceil(BLOCK) * 8 > bytes.len() {
        return Err(broken());
    }
    let mut words = Recycled::take((n_elements * dtype.size()).div_ceil(8));
    let unpacked = match dtype.size() {
        1 => unpack::<u8>(bytes, n_elements, &mut words.0),
        2 => unpack::<u16>(bytes, n_elements, &mut words.0),
        4 => unpack::<u32>(bytes, n_elements, &mut words.0),
        _ => unpack::<u64>(bytes, n_elements, &mut words.0),
    };
    unpacked.ok_or_else(broken)?;
    let view = View::of_words(dtype, shape, &mut words.0);
    let owner = Owner::new(py, words)?;
    // SAFETY: the owner has the words, and looks at them no more.
    unsafe { view.array(&owner) }
}
