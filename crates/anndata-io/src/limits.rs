//! Every limit on what a file may make this crate do, in one place.
//!
//! Files are untrusted: a limit bounds the cost of a file that claims too much. The doc of each
//! constant states its unit, the reason for its value, and the promise of SECURITY.md that it
//! keeps:
//!
//! * **memory**: at most [`PROMISED_BYTES`], plus four times the length of the file, one decoded
//!   chunk per thread, and the requested data;
//! * **time**: each call ends, after work in proportion to the request and the length of the file;
//! * **no abort**: no recursion is deeper than the stack allows.
//!
//! The sizes of single reads (`array::READ_BYTES`, `array::STEP_ELEMENTS`) are not limits on files;
//! they stand where they are used.

/// Bytes that SECURITY.md allows beyond those that depend on the file and the request. *Memory.*
pub(crate) const PROMISED_BYTES: u64 = 64 << 20;

// ---- The most that arrays may claim beyond the decoded size of their stored bytes

/// Bytes of an array that need no stored bytes: chunks that were never written, and texts that
/// repeat. Zarr leaves out chunks that hold only the fill value. *Memory.*
pub(crate) const FREE_ARRAY_BYTES: u64 = PROMISED_BYTES;

/// The same for an index, in bytes. Names differ, so nearly every one has stored bytes; and all
/// other lengths of a file are compared with that of its indexes. *Memory.*
pub(crate) const FREE_INDEX_BYTES: u64 = 1 << 20;

/// Bytes of one chunk that need no stored bytes: short chunks compress better than the best ratio
/// of their codec. *Memory.*
pub(crate) const FREE_CHUNK_BYTES: u64 = 1 << 20;

/// Bytes that a chunk of texts may hold beyond [`DEFLATE_RATIO`]: only its own bytes state its
/// decoded length. *Memory.*
pub(crate) const FREE_TEXT_CHUNK_BYTES: usize = 32 << 20;

/// Bytes of rows that one call of `Array::read_row_range` returns. *Memory.*
pub(crate) const MAX_ROW_RANGE_BYTES: u64 = PROMISED_BYTES;

/// Elements of an array: their numbers and bytes fit in 64 bits, even after additions. *No abort.*
pub(crate) const MAX_ARRAY_ELEMENTS: u64 = 1 << 60;

/// Elements of a chunk: its bytes fit in 64 bits, even after multiplications. *No abort.*
pub(crate) const MAX_CHUNK_ELEMENTS: u64 = 1 << 48;

/// Elements of one row of an element whose width nothing else in the file confirms: obsm, and
/// `raw.X` without variables. A sink holds whole rows. *Memory.*
pub(crate) const MAX_UNVOUCHED_ROW_ELEMENTS: usize = 1 << 24;

/// Bytes of HDF5 global heaps that are kept while a list of texts is read: neighbouring texts refer
/// to the same heaps. *Memory.*
pub(crate) const HEAP_CACHE_BYTES: usize = 16 << 20;

/// Bands of chunks of a matrix that may be packed: each takes 16 bytes before it is. *Memory.*
pub(crate) const MOST_PACKED_BANDS: u64 = 1 << 21;

/// Bytes of a band of a dense matrix that may be packed: a larger one would be decoded too often.
/// *Time.*
pub(crate) const MOST_PACKED_DENSE_BYTES: u64 = 1 << 30;

/// Bytes that a thread holds of the nonzeros of a dense band while it packs them. *Memory.*
pub(crate) const MOST_PACKING_BYTES: usize = PROMISED_BYTES as usize / 2;

/// Bytes of the pack of a dense band. The thread that packs it may hold three times as much: the
/// pack, the buffer in which it grew, and what that had room for. *Memory.*
pub(crate) const MOST_PACK_BYTES: u64 = PROMISED_BYTES + PROMISED_BYTES / 4;

/// Bytes of the footer of a segment of a cache. *Memory.*
pub(crate) const MOST_FOOTER_BYTES: u64 = PROMISED_BYTES;

/// Bytes of the file of a chunk of texts on a server that does not list files. *Memory.*
pub(crate) const MOST_FETCHED_CHUNK_BYTES: u64 = 4 * PROMISED_BYTES;

/// Bytes of the index of a shard on such a server. *Memory.*
pub(crate) const MOST_FETCHED_INDEX_BYTES: u64 = PROMISED_BYTES;

/// Bytes of the documents of a zarr store on such a server, in one. *Memory.*
pub(crate) const MOST_CONSOLIDATED_BYTES: u64 = PROMISED_BYTES;

/// Files of a zarr store in a bucket: each takes some 100 bytes in the list of them. *Memory.*
pub(crate) const MOST_LISTED_FILES: usize = 1 << 20;

/// Documents of a zarr store in a bucket without consolidated metadata. *Memory.*
pub(crate) const MOST_DOCUMENTS: usize = 1 << 14;

// ---- Expansion by honest codecs: decoded bytes per stored byte

/// deflate: 258 bytes per two bits. *Memory.*
pub(crate) const DEFLATE_RATIO: usize = 1032;

/// LZ4 and LZF: a long length takes one byte per 255. *Memory.*
pub(crate) const LZ_RATIO: usize = 256;

/// zstd, alone and in Blosc: its run-length blocks expand one byte to as much as 32 KiB. *Memory.*
pub(crate) const ZSTD_RATIO: usize = 1 << 16;

/// xz: the highest measured ratio is 7090. *Memory.*
pub(crate) const XZ_RATIO: usize = 1 << 13;

/// bzip2: about a million. *Memory.*
pub(crate) const BZIP2_RATIO: usize = 1 << 20;

/// Conversions of elements: from one byte to eight, from one bit to a byte. *Memory.*
pub(crate) const ELEMENTS_RATIO: usize = 8;

/// Several codecs in a row: the product of their ratios, up to this one. *Memory.*
pub(crate) const MAX_PIPELINE_RATIO: u64 = 1 << 20;

/// The longest dictionary that an xz stream may ask for, in bytes: that of the highest preset.
/// *Memory.*
pub(crate) const MAX_XZ_DICTIONARY_BYTES: usize = 64 << 20;

// ---- zarr

/// Bytes of a metadata document: a parsed document takes some 20 times its text. *Memory.*
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// Characters, or bytes, of a fixed-length text in numpy's notation. *Memory.*
pub(crate) const MAX_FIXED_TEXT_LEN: usize = 65_536;

/// Bytes of a fixed-length text in zarr format 3: the same number of characters, four bytes each.
/// *Memory.*
pub(crate) const MAX_FIXED_TEXT_BYTES: u64 = 4 * MAX_FIXED_TEXT_LEN as u64;

/// Bytes of a record of a table: a field is read together with all others of the record. *Memory.*
pub(crate) const MAX_RECORD_BYTES: usize = 1 << 20;

/// Characters of a document's value that an error shows.
pub(crate) const MAX_SHOWN_CHARS: usize = 200;

// ---- HDF5

/// Bytes of structure that one call may read beyond four times the file: references that share a
/// block make a reader pass over that block again and again. *Time, memory.*
pub(crate) const FREE_STRUCTURE_BYTES: u64 = 32 << 20;

/// The same for the chunk index of one array, beyond twice the file. Each of its blocks is needed
/// once, and an entry of 8 bytes takes some 100 in memory. *Time, memory.*
pub(crate) const FREE_CHUNK_INDEX_BYTES: u64 = 1 << 20;

/// Bytes that each read of structure counts for in addition to its length. *Time.*
pub(crate) const STRUCTURE_READ_COST: u64 = 64;

/// The cache of structure: bytes per block, and number of blocks. Structure is read in small pieces
/// that lie close together. *Memory.*
pub(crate) const STRUCTURE_CACHE: (usize, usize) = (16 << 10, 256);

/// Bytes of header messages that are kept. *Memory.*
pub(crate) const HEADER_CACHE_BYTES: usize = 64 << 20;

/// Bytes of one header. *Memory.*
pub(crate) const MAX_HEADER_BYTES: u64 = 64 << 20;

/// Pieces of one header. *Time.*
pub(crate) const MAX_HEADER_PIECES: usize = 1024;

/// Links to paths in a chain, each leading to the next: as many as the C library follows. *No
/// abort.*
pub(crate) const MAX_LINK_DEPTH: u32 = 16;

/// Links to paths that are followed to find one name. *Time.*
pub(crate) const MAX_LINKS: u32 = 1024;

/// Datatypes within datatypes. *No abort.*
pub(crate) const MAX_DATATYPE_DEPTH: usize = 32;

// ---- Groups, whatever the format: a group may lead back to itself

/// Groups that are searched for the keys of an element. *Time.*
pub(crate) const MAX_KEY_GROUPS: usize = 1000;

/// Groups that are searched for unreadable elements. *Time.*
pub(crate) const MAX_UNREADABLE_GROUPS: u32 = 10_000;

/// Depth of nested groups that are searched for unreadable elements. *Time.*
pub(crate) const MAX_UNREADABLE_DEPTH: u32 = 8;

/// Tables of a MuData or SpatialData file that are examined for an error. *Time.*
pub(crate) const MAX_TABLES: usize = 1000;

/// Tables that an error lists.
pub(crate) const MAX_LISTED_TABLES: usize = 20;

/// Faults of one element that a check lists; the others are counted. *Memory.*
pub(crate) const MAX_LISTED_FAULTS: usize = 100;

// ---- Kinds of files, examined before they are opened

/// Bytes at the beginning of a file that are examined: user blocks before HDF5 may be long.
/// *Memory.*
pub(crate) const MAX_HEAD_BYTES: u64 = 1 << 20;

/// Inflated bytes of a gzip file that are examined. *Memory.*
pub(crate) const MAX_GZIP_HEAD_BYTES: usize = 1024;

/// Names in a folder that are examined, to say what it holds instead of a store. *Time.*
pub(crate) const MAX_FOLDER_NAMES: usize = 1000;

// ---- Memory for this crate's own work

/// Bytes that sorting a CSC matrix into a temporary file takes for blocks. It takes them twice: for
/// the blocks that are written, and for the one that is put in order. *Memory.*
pub(crate) const CSC_SORT_BYTES: u64 = 24 << 20;

/// The smallest share of these for one block, in bytes: shorter writes cost more than they save.
pub(crate) const MIN_CSC_BLOCK_BYTES: usize = 4 << 10;

/// The promise holds: each of these limits, even fully used, stays within it.
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
    // SECURITY.md has this for each thread that packs.
    assert!(MOST_PACKING_BYTES as u64 + 3 * MOST_PACK_BYTES <= 5 * PROMISED_BYTES);
};
