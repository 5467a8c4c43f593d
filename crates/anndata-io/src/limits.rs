//! Every limit on what a file may make this crate do, in one place.
//!
//! Files are untrusted: a limit bounds what one that claims too much can cost. Each constant names
//! its unit, why it has this value, and which promise of SECURITY.md it keeps:
//!
//! * **memory**: no more than [`PROMISED_BYTES`], four times the length of the file, one decoded
//!   chunk for each thread, and what was asked for;
//! * **time**: each call ends, after work that follows from what was asked for and the length of
//!   the file;
//! * **no abort**: nothing recurses deeper than a stack holds.
//!
//! How much is read at a time (`array::READ_BYTES`, `array::STEP_ELEMENTS`) is no limit on files,
//! and stands where it is used.

/// Bytes that SECURITY.md allows beyond what depends on a file and a request. *Memory.*
pub(crate) const PROMISED_BYTES: u64 = 64 << 20;

// ---- What arrays may claim beyond what their stored bytes decode to

/// Bytes of an array that may be made of nothing, such as chunks that were never written, and of
/// texts that repeat: zarr leaves out chunks of nothing but the fill value. *Memory.*
pub(crate) const FREE_ARRAY_BYTES: u64 = PROMISED_BYTES;

/// The same for an index, in bytes. Names differ, so that hardly any are made of nothing, and all
/// other lengths of a file are compared with that of its indexes. *Memory.*
pub(crate) const FREE_INDEX_BYTES: u64 = 1 << 20;

/// Bytes that one chunk may be made of nothing: short chunks compress better than the best ratio of
/// their codec says. *Memory.*
pub(crate) const FREE_CHUNK_BYTES: u64 = 1 << 20;

/// Bytes that a chunk of texts, whose decoded length is known from its own bytes only, may be made
/// of beyond [`DEFLATE_RATIO`]. *Memory.*
pub(crate) const FREE_TEXT_CHUNK_BYTES: usize = 32 << 20;

/// Bytes of rows that one call of `Array::read_row_range` returns. *Memory.*
pub(crate) const MAX_ROW_RANGE_BYTES: u64 = PROMISED_BYTES;

/// Elements of an array: their numbers and bytes fit in 64 bits, whatever is added. *No abort.*
pub(crate) const MAX_ARRAY_ELEMENTS: u64 = 1 << 60;

/// Elements of a chunk: its bytes fit in 64 bits, whatever they are multiplied with. *No abort.*
pub(crate) const MAX_CHUNK_ELEMENTS: u64 = 1 << 48;

/// Elements of one row of an element for whose width nothing else in the file vouches: obsm, and
/// `raw.X` without variables. A sink holds whole rows. *Memory.*
pub(crate) const MAX_UNVOUCHED_ROW_ELEMENTS: usize = 1 << 24;

/// Bytes of the global heaps of HDF5 that are kept while a list of texts is read: neighbours refer
/// to the same ones. *Memory.*
pub(crate) const HEAP_CACHE_BYTES: usize = 16 << 20;

// ---- What codecs expand, in good faith: decoded bytes for each stored one

/// deflate: 258 bytes for every two bits. *Memory.*
pub(crate) const DEFLATE_RATIO: usize = 1032;

/// LZ4 and LZF: a length that goes on takes a byte for each 255. *Memory.*
pub(crate) const LZ_RATIO: usize = 256;

/// zstd, alone and in Blosc: its run-length blocks reach 32 KiB for each byte. *Memory.*
pub(crate) const ZSTD_RATIO: usize = 1 << 16;

/// xz: 7090 was measured. *Memory.*
pub(crate) const XZ_RATIO: usize = 1 << 13;

/// bzip2: a million. *Memory.*
pub(crate) const BZIP2_RATIO: usize = 1 << 20;

/// Conversions of elements: from a byte to eight, from a bit to a byte. *Memory.*
pub(crate) const ELEMENTS_RATIO: usize = 8;

/// Several codecs in a row: their ratios multiplied, but no more than this. *Memory.*
pub(crate) const MAX_PIPELINE_RATIO: u64 = 1 << 20;

/// The longest dictionary that an xz stream may ask for, in bytes: that of its highest preset.
/// *Memory.*
pub(crate) const MAX_XZ_DICTIONARY_BYTES: usize = 64 << 20;

// ---- zarr

/// Bytes of a metadata document: a parsed one takes some 20 times its text. *Memory.*
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// Characters, or bytes, of a text of fixed length in numpy's notation. *Memory.*
pub(crate) const MAX_FIXED_TEXT_LEN: usize = 65_536;

/// Bytes of a text of fixed length in zarr format 3: as many characters, of four bytes. *Memory.*
pub(crate) const MAX_FIXED_TEXT_BYTES: u64 = 4 * MAX_FIXED_TEXT_LEN as u64;

/// Bytes of a record of a table: a field is read with all others beside it. *Memory.*
pub(crate) const MAX_RECORD_BYTES: usize = 1 << 20;

/// Characters of a value in a document that an error shows.
pub(crate) const MAX_SHOWN_CHARS: usize = 200;

// ---- HDF5

/// Bytes of structure that one call may read beyond four times the file: references that share a
/// block make a reader pass over it again and again. *Time, memory.*
pub(crate) const FREE_STRUCTURE_BYTES: u64 = 32 << 20;

/// The same for the index of the chunks of one array, beyond twice the file. Each of its blocks is
/// needed once, and an entry of 8 bytes becomes some 100 in memory. *Time, memory.*
pub(crate) const FREE_CHUNK_INDEX_BYTES: u64 = 1 << 20;

/// Bytes that a read of structure counts for beyond its length. *Time.*
pub(crate) const STRUCTURE_READ_COST: u64 = 64;

/// The cache of structure: bytes of a block, and blocks. Structure is read in small pieces that lie
/// close together. *Memory.*
pub(crate) const STRUCTURE_CACHE: (usize, usize) = (16 << 10, 256);

/// Bytes of the messages of headers that are kept. *Memory.*
pub(crate) const HEADER_CACHE_BYTES: usize = 64 << 20;

/// Bytes of one header. *Memory.*
pub(crate) const MAX_HEADER_BYTES: u64 = 64 << 20;

/// Pieces of one header. *Time.*
pub(crate) const MAX_HEADER_PIECES: usize = 1024;

/// Links to paths that lead to others, one after the other: as many as the C library follows.
/// *No abort.*
pub(crate) const MAX_LINK_DEPTH: u32 = 16;

/// Links to paths that are followed for one name. *Time.*
pub(crate) const MAX_LINKS: u32 = 1024;

/// Datatypes within datatypes. *No abort.*
pub(crate) const MAX_DATATYPE_DEPTH: usize = 32;

// ---- Groups, whatever the format: one may lead back to itself

/// Groups that are looked through for the keys of an element. *Time.*
pub(crate) const MAX_KEY_GROUPS: usize = 1000;

/// Groups that are looked through for what cannot be read. *Time.*
pub(crate) const MAX_UNREADABLE_GROUPS: u32 = 10_000;

/// Groups within groups that are looked through for what cannot be read. *Time.*
pub(crate) const MAX_UNREADABLE_DEPTH: u32 = 8;

/// Tables of a MuData or SpatialData file that are looked at for an error. *Time.*
pub(crate) const MAX_TABLES: usize = 1000;

/// Tables that an error lists.
pub(crate) const MAX_LISTED_TABLES: usize = 20;

/// Faults of one element that a check lists; the others are counted. *Memory.*
pub(crate) const MAX_LISTED_FAULTS: usize = 100;

// ---- What a file is, before it is opened

/// Bytes at the beginning of a file that are looked at: user blocks before HDF5 may be long.
/// *Memory.*
pub(crate) const MAX_HEAD_BYTES: u64 = 1 << 20;

/// Inflated bytes of a gzip file that are looked at. *Memory.*
pub(crate) const MAX_GZIP_HEAD_BYTES: usize = 1024;

/// Names in a folder that are looked at, to say what it holds instead of a store. *Time.*
pub(crate) const MAX_FOLDER_NAMES: usize = 1000;

// ---- Memory of our own

/// Bytes that sorting a CSC matrix into a temporary file takes for blocks, twice: for those that
/// are written, and for the one that is put in order. *Memory.*
pub(crate) const CSC_SORT_BYTES: u64 = 24 << 20;

/// The least of it for one block, in bytes: shorter writes cost more than they spare.
pub(crate) const MIN_CSC_BLOCK_BYTES: usize = 4 << 10;

/// The promise holds: what each of these may take at once is within it.
const _: () = {
    assert!(FREE_ARRAY_BYTES <= PROMISED_BYTES);
    assert!(FREE_INDEX_BYTES <= PROMISED_BYTES);
    assert!(FREE_CHUNK_BYTES <= PROMISED_BYTES);
    assert!(FREE_TEXT_CHUNK_BYTES as u64 <= PROMISED_BYTES);
    assert!(MAX_ROW_RANGE_BYTES <= PROMISED_BYTES);
    assert!(HEAP_CACHE_BYTES as u64 <= PROMISED_BYTES);
    assert!(MAX_XZ_DICTIONARY_BYTES as u64 <= PROMISED_BYTES);
    assert!(FREE_STRUCTURE_BYTES <= PROMISED_BYTES);
    assert!(HEADER_CACHE_BYTES as u64 <= PROMISED_BYTES);
    assert!(MAX_HEADER_BYTES <= PROMISED_BYTES);
    assert!(MAX_HEAD_BYTES <= PROMISED_BYTES);
    assert!(2 * CSC_SORT_BYTES <= PROMISED_BYTES);
};
