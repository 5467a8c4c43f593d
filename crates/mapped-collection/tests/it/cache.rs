//! Packs on disk: they are filled once and change nothing; changed, damaged and crowded out ones
//! are decoded anew.

use std::fs;
use std::path::{Path, PathBuf};

use mapped_collection::{
    Batch, CacheOptions, IoOptions, Join, LoaderOptions, MappedCollection, MatrixFormat, Shuffle,
};

use crate::storage::{copy, files};

fn demo(name: &str) -> PathBuf {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    demo.join(name)
}

/// A file of each kind: gzip h5ad and zarr.
fn demo_files() -> Vec<PathBuf> {
    ["a.h5ad", "c.zarr", "b.h5ad"].map(demo).into()
}

/// No chunk is kept, and no row is packed in memory.
fn open(paths: &[PathBuf], cache: Option<CacheOptions>) -> MappedCollection {
    let cells = MappedCollection::builder(paths.iter().map(PathBuf::as_path))
        .obs(["cell_type"])
        .join(Join::Outer)
        .io(IoOptions::new().cache_bytes(0).pack_bytes(0))
        .cache(cache);
    cells.open().expect("the files open")
}

fn options(shuffle: Shuffle, memory: usize) -> LoaderOptions {
    let options = LoaderOptions::new(32).shuffle(shuffle).seed(3);
    options.memory(memory).output(MatrixFormat::Csr)
}

/// The batches of an epoch, and the number of chunks that it decoded.
fn epoch(cells: &MappedCollection, options: &LoaderOptions) -> (Vec<Batch>, u64) {
    let before = cells.io().decoded_chunks();
    let loader = cells.loader(options.clone()).expect("valid options");
    let batches: Result<Vec<Batch>, _> = loader.epoch(1).collect();
    let decoded = cells.io().decoded_chunks() - before;
    (batches.expect("readable"), decoded)
}

fn warnings(cells: &MappedCollection) -> Vec<String> {
    cells.io().cache().expect("a cache").take_warnings()
}

/// The bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let sizes = files(folder).into_iter();
    let sizes = sizes.filter_map(|path| Some(path.metadata().ok()?.len()));
    sizes.sum()
}

/// Everything fits in this much.
const MUCH: usize = 256 << 20;
/// Windows of a few batches fit in this much.
const LITTLE: usize = 4 << 20;

#[test]
fn cache_is_filled_by_one_epoch_and_read_by_other_processes() {
    let files = demo_files();
    for shuffle in [Shuffle::Exact, Shuffle::Blocks { rows: 16 }, Shuffle::None] {
        for memory in [LITTLE, MUCH] {
            let options = options(shuffle, memory);
            let expected = epoch(&open(&files, None), &options).0;
            let folder = tempfile::tempdir().expect("a folder");
            let cache = CacheOptions::new(folder.path());
            let first = open(&files, Some(cache.clone()));
            assert_eq!(first.cached().map(|cached| cached.fraction()), Some(0.0));
            let (found, decoded) = epoch(&first, &options);
            assert!(found == expected && decoded > 0);
            assert_eq!(first.cached().map(|cached| cached.fraction()), Some(1.0));
            assert!(epoch(&first, &options) == (expected.clone(), 0));
            // The first one is still open.
            let second = open(&files, Some(cache.clone()));
            let opening = second.io().decoded_chunks();
            assert!(epoch(&second, &options) == (expected.clone(), 0));
            for index in [0, 3, -1] {
                let expected = open(&files, None).get(index).expect("readable");
                assert!(second.get(index).expect("readable") == expected);
            }
            assert_eq!(second.io().decoded_chunks(), opening);
            assert!(warnings(&first).is_empty() && warnings(&second).is_empty());
        }
    }
}

#[test]
fn rows_read_by_index_fill_the_cache_the_second_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let cells = open(&demo_files(), Some(CacheOptions::new(folder.path())));
    let expected = open(&demo_files(), None);
    for _ in 0..2 {
        for index in 0..cells.n_obs() as i64 {
            let (found, expected) = (cells.get(index), expected.get(index));
            assert!(found.expect("readable") == expected.expect("readable"));
        }
    }
    let decoded = cells.io().decoded_chunks();
    let rows: Vec<i64> = (0..cells.n_obs() as i64).rev().collect();
    let batch = cells.get_batch(&rows).expect("readable");
    assert!(batch == expected.get_batch(&rows).expect("readable"));
    assert_eq!(cells.io().decoded_chunks(), decoded);
    drop(cells);
    let later = open(&demo_files(), Some(CacheOptions::new(folder.path())));
    let opening = later.io().decoded_chunks();
    assert!(batch == later.get_batch(&rows).expect("readable"));
    assert_eq!(later.io().decoded_chunks(), opening);
}

#[test]
fn prepare_fills_the_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let cells = open(&demo_files(), Some(CacheOptions::new(folder.path())));
    let mut parts = Vec::new();
    cells.prepare(|part| parts.push(part)).expect("readable");
    assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{parts:?}");
    let cached = cells.cached().expect("a cache");
    assert!(cached.n_cached == cached.n_bands && cached.n_bands >= 3 && cached.bytes > 10_000);
    let options = options(Shuffle::Exact, LITTLE);
    let expected = epoch(&open(&demo_files(), None), &options).0;
    assert!(epoch(&cells, &options) == (expected, 0));
}

fn csc_files() -> Vec<PathBuf> {
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores");
    let names = ["csc_gzip.h5ad", "csc_v3.zarr", "csc_no_genes.h5ad"];
    names.map(|name| stores.join(name)).into()
}

fn open_csc(cache: Option<CacheOptions>) -> MappedCollection {
    let builder = MappedCollection::builder(csc_files());
    let cells = builder.join(Join::Outer).cache(cache);
    cells.open().expect("the files open")
}

#[test]
fn rows_of_a_csc_matrix_are_read_from_the_cache() {
    let options = options(Shuffle::Exact, MUCH);
    let (expected, n_decodes) = epoch(&open_csc(None), &options);
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CacheOptions::new(folder.path());
    let first = open_csc(Some(cache.clone()));
    let before = first.cached().expect("a cache");
    assert!(before.n_cached == 0 && before.n_bands >= 2);
    assert_eq!(epoch(&first, &options), (expected.clone(), n_decodes));
    assert_eq!(first.cached().map(|cached| cached.fraction()), Some(1.0));
    for number in 0..2 {
        let later = open_csc(Some(cache.clone()));
        assert_eq!(later.cached().map(|cached| cached.fraction()), Some(1.0));
        assert_eq!(epoch(&later, &options), (expected.clone(), 0), "{number}");
        let opening = later.io().decoded_chunks();
        later.prepare(|_| {}).expect("readable");
        assert_eq!(later.io().decoded_chunks(), opening);
        for index in [0, -1] {
            let expected = open_csc(None).get(index).expect("readable");
            assert!(later.get(index).expect("readable") == expected);
        }
        later.close();
        let error = later.get(0).expect_err("it is closed").to_string();
        assert!(error.contains("closed"), "{error}");
    }
}

#[test]
fn prepare_leaves_the_rows_of_csc_in_the_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CacheOptions::new(folder.path());
    let cells = open_csc(Some(cache.clone()));
    let mut parts = Vec::new();
    cells.prepare(|part| parts.push(part)).expect("readable");
    assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{parts:?}");
    drop(cells);
    let later = open_csc(Some(cache));
    assert_eq!(epoch(&later, &options(Shuffle::Exact, MUCH)).1, 0);
}

/// Damage to any byte, and records that are missing, only cost another conversion.
#[test]
fn damaged_rows_of_csc_are_converted_anew() {
    let options = options(Shuffle::Exact, MUCH);
    let expected = epoch(&open_csc(None), &options).0;
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CacheOptions::new(folder.path());
    open_csc(Some(cache.clone()))
        .prepare(|_| {})
        .expect("readable");
    let read = |path: PathBuf| (path.clone(), fs::read(path).expect("readable"));
    let packs = || files(&folder.path().join("packs"));
    let segments: Vec<(PathBuf, Vec<u8>)> = packs().into_iter().map(read).collect();
    for number in 0..60 {
        packs()
            .iter()
            .for_each(|path| fs::remove_file(path).expect("removable"));
        for (at, (path, bytes)) in segments.iter().enumerate() {
            let mut bytes = bytes.clone();
            if at == number as usize % segments.len() {
                damage(&mut bytes, number);
            }
            fs::write(path, bytes).expect("writable");
        }
        // The second one converts what the first had read before it found the damage.
        for _ in 0..2 {
            let cells = open_csc(Some(cache.clone()));
            assert!(epoch(&cells, &options).0 == expected, "mutant {number}");
        }
        let later = open_csc(Some(cache.clone()));
        assert!(
            epoch(&later, &options) == (expected.clone(), 0),
            "mutant {number}"
        );
    }
}

#[test]
fn rows_of_csc_that_do_not_fit_are_not_kept() {
    let options = options(Shuffle::Exact, MUCH);
    let expected = epoch(&open_csc(None), &options).0;
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CacheOptions::new(folder.path()).size(600);
    for _ in 0..2 {
        let cells = open_csc(Some(cache.clone()));
        let (found, decoded) = epoch(&cells, &options);
        assert!(found == expected && decoded > 0 && size(folder.path()) <= 600);
    }
}

#[test]
fn crowded_folder_keeps_what_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = CacheOptions::new(folder.path());
    let cells = open(&demo_files(), Some(full));
    cells.prepare(|_| {}).expect("readable");
    let needed = cells.cached().expect("a cache").bytes;
    drop(cells);
    let options = options(Shuffle::Exact, LITTLE);
    let (expected, without) = epoch(&open(&demo_files(), None), &options);
    for part in [10, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let limit = needed / part + (64 << 10);
        let cache = CacheOptions::new(folder.path()).size(limit);
        for number in 0..3 {
            let cells = open(&demo_files(), Some(cache.clone()));
            let opening = cells.io().decoded_chunks();
            let loader = cells.loader(options.clone()).expect("valid options");
            let mut found = Vec::new();
            for batch in loader.epoch(1) {
                found.push(batch.expect("readable"));
                assert!(size(folder.path()) <= limit);
            }
            assert!(found == expected);
            let decoded = cells.io().decoded_chunks() - opening;
            assert!(0 < decoded && decoded <= without);
            let cached = cells.cached().expect("a cache");
            assert!(number == 0 || cached.n_cached < cached.n_bands);
            assert!(warnings(&cells).is_empty());
        }
    }
}

#[test]
fn changed_files_are_never_served_from_the_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CacheOptions::new(folder.path().join("cache"));
    let options = options(Shuffle::Exact, LITTLE);
    for (name, others) in [
        ("x.h5ad", ["a.h5ad", "b.h5ad"]),
        ("x.zarr", ["c.zarr", "d.zarr"]),
    ] {
        let path = folder.path().join(name);
        for other in [others[0], others[1], others[0]] {
            let _ = fs::remove_dir_all(&path);
            copy(&demo(other), &path);
            let expected = epoch(&open(&[demo(other)], None), &options).0;
            let (found, decoded) = epoch(
                &open(std::slice::from_ref(&path), Some(cache.clone())),
                &options,
            );
            assert!(decoded > 0, "{other} was written anew");
            assert!(found == expected);
            // The second time it is what it was.
            assert_eq!(
                epoch(
                    &open(std::slice::from_ref(&path), Some(cache.clone())),
                    &options
                )
                .1,
                0
            );
        }
    }
}

/// What a rewritten store left in the cache is removed when there is no room for both.
#[test]
fn rewritten_store_is_cached_again_in_a_small_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.zarr");
    copy(&demo("c.zarr"), &path);
    let cache = folder.path().join("cache");
    let cells = open(std::slice::from_ref(&path), Some(CacheOptions::new(&cache)));
    cells.prepare(|_| {}).expect("readable");
    let limit = size(&cache) * 3 / 2;
    drop(cells);
    for _ in 0..3 {
        let chunk = path.join("X/data/0");
        fs::write(&chunk, fs::read(&chunk).expect("readable")).expect("writable");
        let options = CacheOptions::new(&cache).size(limit);
        let cells = open(std::slice::from_ref(&path), Some(options));
        assert_eq!(cells.cached().map(|cached| cached.fraction()), Some(0.0));
        cells.prepare(|_| {}).expect("readable");
        assert_eq!(cells.cached().map(|cached| cached.fraction()), Some(1.0));
        assert!(size(&cache) <= limit && warnings(&cells).is_empty());
    }
}

/// One chunk of many is written anew, with the same length, while a collection has the store open.
#[test]
fn changed_chunk_is_decoded_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.zarr");
    copy(&demo("c.zarr"), &path);
    let cache = CacheOptions::new(folder.path().join("cache"));
    let options = options(Shuffle::None, LITTLE);
    let cells = open(std::slice::from_ref(&path), Some(cache.clone()));
    epoch(&cells, &options);
    let chunk = path.join("X/data/1");
    let bytes = fs::read(&chunk).expect("readable");
    fs::write(&chunk, bytes).expect("writable");
    let again = open(std::slice::from_ref(&path), Some(cache.clone()));
    let (found, decoded) = epoch(&again, &options);
    assert!(decoded > 0);
    assert!(found == epoch(&open(&[path], None), &options).0);
    assert_eq!(epoch(&again, &options).1, 0);
}

/// Damages a byte, or cuts, of the given bytes; the same change for the same number.
fn damage(bytes: &mut Vec<u8>, number: u64) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    // Half of the changes are near the end, where the footer is.
    let from = match next(2) {
        0 => 0,
        _ => bytes.len().saturating_sub(400),
    };
    let at = from + next(bytes.len() - from);
    match next(8) {
        0 => bytes.truncate(at),
        1 => bytes[at..].fill(0),
        2 => drop(bytes.drain(at..(at + 1 + next(40)).min(bytes.len()))),
        3 => bytes.extend(vec![7; 1 + next(100)]),
        _ => bytes[at] ^= 1 + next(255) as u8,
    }
}

/// `MAPPED_ANNDATA_CACHE_MUTANTS` sets another number of mutants than 150.
#[test]
fn damaged_segments_are_decoded_anew_with_a_warning() {
    let variable = std::env::var("MAPPED_ANNDATA_CACHE_MUTANTS").ok();
    let n_mutants = variable.map_or(150, |number| number.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = [demo("a.h5ad")];
    let cache = CacheOptions::new(folder.path());
    let cells = open(&file, Some(cache.clone()));
    cells.prepare(|_| {}).expect("readable");
    drop(cells);
    let options = options(Shuffle::Exact, MUCH).workers(0);
    let expected = epoch(&open(&file, None), &options).0;
    let packs = folder.path().join("packs");
    let [segment] = &files(&packs)[..] else {
        panic!("one segment holds a small file");
    };
    let bytes = fs::read(segment).expect("readable");
    for number in 0..n_mutants {
        files(&packs)
            .iter()
            .for_each(|path| fs::remove_file(path).expect("removable"));
        let mut mutant = bytes.clone();
        damage(&mut mutant, number);
        if mutant == bytes {
            continue;
        }
        fs::write(segment, &mutant).expect("writable");
        let cells = open(&file, Some(cache.clone()));
        let (found, decoded) = epoch(&cells, &options);
        assert!(found == expected, "mutant {number}");
        assert!(decoded > 0, "mutant {number}");
        assert_eq!(warnings(&cells).len(), 1, "mutant {number}");
        assert!(!segment.exists(), "mutant {number}");
    }
}

#[test]
fn prepare_repairs_a_damaged_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CacheOptions::new(folder.path());
    let files = demo_files();
    open(&files, Some(cache.clone()))
        .prepare(|_| {})
        .expect("readable");
    for segment in self::files(&folder.path().join("packs")) {
        let mut bytes = fs::read(&segment).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&segment, bytes).expect("writable");
    }
    let cells = open(&files, Some(cache));
    cells.prepare(|_| {}).expect("readable");
    assert_eq!(cells.cached().map(|cached| cached.fraction()), Some(1.0));
    assert_eq!(warnings(&cells).len(), 1);
}

#[test]
fn folder_that_cannot_be_written_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    let cache = CacheOptions::new(&path);
    let files = demo_files();
    let cells = open(&files[..1], Some(cache.clone()));
    cells.prepare(|_| {}).expect("readable");
    drop(cells);
    let options = options(Shuffle::Exact, LITTLE);
    let expected = epoch(&open(&files, None), &options).0;
    let mode = |mode| {
        for path in [
            &path,
            &path.join("packs"),
            &path.join("uses"),
            &path.join("lock"),
        ] {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(path, permissions).expect("ours");
        }
    };
    mode(0o500);
    // The superuser may write anyway.
    let is_writable = fs::write(path.join("packs/probe"), "").is_ok();
    if !is_writable {
        let cells = open(&files, Some(cache.clone()));
        let (found, decoded) = epoch(&cells, &options);
        assert!(found == expected && decoded > 0);
        let warnings = warnings(&cells);
        assert!(
            warnings.len() == 1 && warnings[0].contains("cannot be written"),
            "{warnings:?}"
        );
        let first = open(&files[..1], Some(cache));
        assert_eq!(epoch(&first, &options).1, 0);
    } else {
        println!("skipped: this user may write to every folder");
    }
    mode(0o700);
}
