//! Caches of made-up bands: what is kept, what is removed, and what damage does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::format::{Footer, Record, TAIL};
use super::*;

pub(super) fn name(number: u8) -> MatrixName {
    MatrixName {
        key: PackKey([number; 16]),
        file: format!("{number}.h5ad"),
        element: "X".to_owned(),
    }
}

pub(super) fn record(band: u64) -> BandRecord {
    BandRecord {
        band,
        first_row: band * 10,
        n_elements: 100,
    }
}

pub(super) fn bytes(band: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u64 * 31 + band) as u8).collect()
}

/// A cache that has these matrices open.
pub(super) fn opened(folder: &Path, size: u64, matrices: &[u8]) -> PackCache {
    let cache = PackCache::open(&CacheOptions::new(folder).size(size)).expect("it is a cache");
    cache.add_matrices(matrices.iter().map(|&number| name(number).key).collect());
    cache
}

pub(super) fn found(cache: &PackCache, matrix: u8, band: u64) -> Option<Vec<u8>> {
    let parse = |bytes: &[u8]| Some(bytes.len());
    let (record, slice, len) = cache.find(name(matrix).key, band, 1 << 20, parse)?;
    assert_eq!(slice.len(), len);
    assert_eq!(record, self::record(band));
    Some(slice.read(0..slice.len()).expect("readable").into_owned())
}

/// The bytes of all files.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("readable");
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            meta => meta.map_or(0, |meta| meta.len()),
        }
    });
    sizes.sum()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("packs")).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
    paths.sort();
    paths
}

#[test]
fn band_is_found_by_its_writer_at_once_and_by_others_when_it_is_flushed() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = opened(folder.path(), 1 << 24, &[1]);
    let reader = opened(folder.path(), 1 << 24, &[1]);
    let band = bytes(3, 5000);
    assert!(writer.put(&name(1), record(3), &band).is_some());
    assert!(found(&writer, 1, 3) == Some(band.clone()));
    assert_eq!(found(&reader, 1, 3), None);
    writer.flush();
    std::thread::sleep(Duration::from_millis(60));
    assert!(found(&reader, 1, 3) == Some(band.clone()));
    assert!(found(&writer, 1, 3) == Some(band.clone()));
    assert_eq!(found(&reader, 1, 2), None);
    let too_long = writer.find(name(1).key, 3, 4999, |_| Some(()));
    assert!(too_long.is_none(), "it cannot be that long");
    writer.take_warnings();
    writer.put(&name(1), record(3), &band);
    drop((writer, reader));
    let later = opened(folder.path(), 1 << 24, &[2, 1]);
    assert!(found(&later, 1, 3) == Some(band));
    assert!(later.take_warnings().is_empty());
    assert_eq!(segments(folder.path()).len(), 1);
}

#[test]
fn segments_are_read_without_maps_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = CacheOptions::new(folder.path()).size(1 << 24);
    let cache = PackCache::open_mapped(&options, false).expect("it is a cache");
    cache.add_matrices(vec![name(1).key]);
    let band = bytes(0, 100);
    let slice = cache.put(&name(1), record(0), &band).expect("it fits");
    assert!(slice.mapped().is_none());
    assert_eq!(*slice.read(10..20).expect("within it"), band[10..20]);
    assert!(slice.read(10..101).is_err());
    cache.flush();
    assert_eq!(*slice.read(10..20).expect("within it"), band[10..20]);
    assert!(found(&cache, 1, 0) == Some(band));
}

#[test]
fn folder_stays_within_its_size_and_keeps_what_is_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let limit = 1 << 20;
    let cache = opened(folder.path(), limit, &[1]);
    let mut n_kept = 0;
    for number in 0..100 {
        let kept = cache.put(&name(1), record(number), &bytes(number, 50_000));
        n_kept += usize::from(kept.is_some());
        assert!(size(folder.path()) <= limit);
    }
    assert!((15..21).contains(&n_kept), "{n_kept}");
    assert!(cache.is_full());
    assert!(cache.available(u64::MAX) < 100_000);
    // Another matrix gets nothing as long as the first is open.
    let other = opened(folder.path(), limit, &[2]);
    let put = |number| other.put(&name(2), record(number), &bytes(number, 50_000));
    assert!(put(0).is_none() && other.is_full());
    drop(cache);
    assert!(other.available(u64::MAX) > 900_000);
    for number in 0..15 {
        assert!(put(number).is_some(), "{number}");
        assert!(size(folder.path()) <= limit);
    }
    assert!(found(&other, 2, 14) == Some(bytes(14, 50_000)));
    assert!(other.take_warnings().is_empty());
}

#[test]
fn least_recently_used_segment_is_removed_first() {
    let folder = tempfile::tempdir().expect("a folder");
    for matrix in 1..4 {
        let cache = opened(folder.path(), 1 << 20, &[matrix]);
        cache.put(&name(matrix), record(0), &bytes(0, 300_000));
    }
    // The first one was used last.
    let ages = segments(folder.path()).into_iter().zip([1, 3, 2]);
    let ages: Vec<(String, u64)> = ages
        .map(|(path, age)| {
            let time = SystemTime::now() - Duration::from_secs(3600 * age);
            let file = fs::File::options().write(true).open(&path).expect("there");
            file.set_modified(time).expect("settable");
            let footer = segment::read_footer(&path).expect("readable");
            (footer.expect("valid").matrices[0].file.clone(), age)
        })
        .collect();
    let oldest = ages.iter().max_by_key(|(_, age)| *age).expect("three");
    let cache = opened(folder.path(), 1 << 20, &[9]);
    assert!(cache.put(&name(9), record(0), &bytes(0, 300_000)).is_some());
    let rest = cache.list().expect("readable");
    let rest: Vec<_> = rest.iter().map(|element| element.file.clone()).collect();
    assert_eq!(rest.len(), 3);
    assert!(!rest.contains(&PathBuf::from(&oldest.0)));
}

#[test]
fn leftovers_of_dead_processes_are_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = opened(folder.path(), 1 << 24, &[1]);
    cache.put(&name(1), record(0), &bytes(0, 1000));
    cache.flush();
    // What a process that was killed leaves: files that nobody keeps locked.
    fs::write(folder.path().join("packs/dead.part"), [0; 100]).expect("writable");
    fs::write(folder.path().join("uses/dead"), [2; 16]).expect("writable");
    cache.available(u64::MAX);
    assert_eq!(segments(folder.path()).len(), 1);
    assert_eq!(
        fs::read_dir(folder.path().join("uses"))
            .expect("there")
            .count(),
        1
    );
    drop(cache);
    assert_eq!(
        fs::read_dir(folder.path().join("uses"))
            .expect("there")
            .count(),
        0
    );
}

#[test]
fn other_folders_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path| {
        let opened = PackCache::open(&CacheOptions::new(path));
        opened.err().map(|error| error.to_string())
    };
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("writable");
    let of = |path: &Path, found: &str| {
        format!(
            "{}: expected a cache, an empty folder, or a path that does not exist yet, found {found}",
            path.display()
        )
    };
    assert_eq!(open(&file), Some(of(&file, "a file")));
    let foreign = of(folder.path(), "a folder with other files");
    assert_eq!(open(folder.path()), Some(foreign));
    let cache = folder.path().join("a/b");
    assert_eq!(open(&cache), None);
    assert_eq!(open(&cache), None);
    // A process that was killed while it made the folder.
    fs::write(cache.join("CACHEDIR.TAG"), "Signature: 8a47").expect("writable");
    assert_eq!(open(&cache), None);
    fs::write(cache.join("CACHEDIR.TAG"), "Signature: another").expect("writable");
    assert_eq!(
        open(&cache),
        Some(of(&cache, "the cache of another program"))
    );
}

#[test]
fn files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    let cache = opened(&path, 1 << 24, &[1]);
    cache.put(&name(1), record(0), &bytes(0, 1000));
    cache.flush();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("packs")), 0o700);
    assert_eq!(mode(&segments(&path)[0]), 0o600);
    assert_eq!(mode(&path.join("lock")), 0o600);
}

#[test]
fn vanished_folder_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    let cache = opened(&path, 1 << 24, &[1]);
    fs::remove_dir_all(&path).expect("removable");
    assert_eq!(found(&cache, 1, 0), None);
    assert!(cache.put(&name(1), record(0), &bytes(0, 1000)).is_none());
    assert_eq!(cache.available(u64::MAX), 0);
    assert_eq!(found(&cache, 1, 0), None);
    let warnings = cache.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(cache.take_warnings().is_empty());
    assert!(warnings[0].contains("this cache cannot be written"));
}

#[test]
fn locked_folder_does_not_stop_a_process_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = opened(folder.path(), 1 << 24, &[1]);
    let lock = fs::File::options()
        .write(true)
        .open(folder.path().join("lock"));
    let lock = lock.expect("there");
    lock.lock().expect("nobody holds it");
    let started = std::time::Instant::now();
    let put = || cache.put(&name(1), record(0), &bytes(0, 1000));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(put().is_none()));
        }
    });
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "not one after the other"
    );
    let warnings = cache.take_warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("another process keeps the folder locked"));
    lock.unlock().expect("it was locked");
    assert!(cache.available(u64::MAX) > 0 && put().is_some());
}

#[test]
fn caches_that_open_and_close_do_not_disturb_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for number in 0..60 {
                    let cache = opened(path, 1 << 22, &[thread, number]);
                    cache.available(u64::MAX);
                    cache.put(&name(thread), record(number.into()), &bytes(0, 1000));
                    cache.available(u64::MAX);
                    assert_eq!(cache.take_warnings(), [""; 0]);
                }
            });
        }
    });
}

#[test]
fn keys_of_very_many_matrices_stay_within_the_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let limit = 1 << 20;
    let full = opened(folder.path(), limit, &[1]);
    for number in 0..100 {
        full.put(&name(1), record(number), &bytes(number, 50_000));
    }
    full.flush();
    let cache = PackCache::open(&CacheOptions::new(folder.path()).size(limit)).expect("a cache");
    let key = |number: u32| {
        let mut key = [7; 16];
        key[..4].copy_from_slice(&number.to_le_bytes());
        PackKey(key)
    };
    cache.add_matrices((0..5000).map(key).collect());
    assert!(size(folder.path()) <= limit);
    drop(full);
    cache.add_matrices((5000..10_000).map(key).collect());
    assert!(size(folder.path()) <= limit);
    assert!(cache.take_warnings().is_empty());
}

#[test]
fn segment_that_claims_much_is_damaged() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().expect("a folder");
    drop(opened(folder.path(), 1 << 24, &[1]));
    let path = folder.path().join("packs/large.pack");
    let file = fs::File::create(&path).expect("writable");
    let tail = Footer::default().encode(0);
    let len = 1 << 40;
    file.set_len(len).expect("a sparse file");
    file.write_all_at(&tail, len - TAIL as u64)
        .expect("writable");
    let cache = opened(folder.path(), 1 << 50, &[1]);
    assert_eq!(cache.verify(|_, _| {}).expect("readable").len(), 1);
    assert!(found(&cache, 1, 0).is_none());
    assert!(!path.exists() && cache.take_warnings().len() == 1);
    // Records that overlap claim more than there is.
    let matrices = vec![name(1)];
    let record = |band| Record {
        matrix: 0,
        crc: 0,
        offset: 0,
        len: 1 << 62,
        band: record(band),
    };
    let footer = Footer {
        matrices,
        records: (0..5).map(record).collect(),
    };
    let bytes = footer.encode(1 << 62);
    let (bytes, tail) = bytes.split_last_chunk().expect("a tail");
    assert_eq!(Footer::parse(bytes, tail), None);
}

#[test]
fn verify_and_clear_find_all_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = opened(folder.path(), 1 << 24, &[1, 2]);
    for number in 0..6 {
        let matrix = name(1 + (number % 2) as u8);
        cache.put(&matrix, record(number), &bytes(number, 1000));
        if number == 3 {
            cache.flush();
        }
    }
    let listed = cache.list().expect("readable");
    let listed: Vec<_> = listed
        .iter()
        .map(|e| (e.n_bands, e.n_elements, e.n_bytes))
        .collect();
    assert_eq!(listed, [(3, 300, 3000); 2]);
    let mut seen = Vec::new();
    let faults = cache.verify(|done, of| seen.push((done, of)));
    assert_eq!(faults.expect("readable"), []);
    assert_eq!(seen, [(0, 2), (1, 2), (2, 2)]);
    let paths = segments(folder.path());
    let mut segment = fs::read(&paths[0]).expect("readable");
    segment[1500] ^= 1;
    fs::write(&paths[0], &segment).expect("writable");
    fs::write(&paths[1], &segment[..900]).expect("writable");
    let faults = cache.verify(|_, _| {}).expect("readable");
    let n_bands: Vec<_> = faults.iter().map(|fault| fault.n_bands).collect();
    assert_eq!(n_bands, [Some(1), None]);
    assert!(cache.clear().expect("writable") > 3000);
    assert!(segments(folder.path()).is_empty());
    assert_eq!(cache.list().expect("readable"), []);
}

proptest! {
    #[test]
    fn damaged_segment_returns_right_bytes_or_nothing(
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
        cut in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = opened(folder.path(), 1 << 24, &[1, 2]);
        for number in 0..6 {
            writer.put(&name(1 + (number % 2) as u8), record(number), &bytes(number, 40));
        }
        drop(writer);
        let path = segments(folder.path()).remove(0);
        let mut segment = fs::read(&path).expect("readable");
        let at = at.index(segment.len());
        if cut {
            segment.truncate(at);
        } else {
            segment[at] ^= change;
        }
        fs::write(&path, segment).expect("writable");
        let reader = opened(folder.path(), 1 << 24, &[1, 2]);
        let mut n_found = 0;
        for number in 0..6 {
            if let Some(found) = found(&reader, 1 + (number % 2) as u8, number) {
                prop_assert!(found == bytes(number, 40));
                n_found += 1;
            }
        }
        prop_assert!(n_found < 6);
        prop_assert_eq!(reader.take_warnings().len(), 1);
        prop_assert!(segments(folder.path()).is_empty());
    }

    #[test]
    fn footer_of_any_bytes_is_an_error_or_data(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        counts in prop::array::uniform2(0..4_u32),
        footer in 0..400_u64,
    ) {
        // A tail with right checksums, whatever it claims.
        let mut tail = footer.to_le_bytes().to_vec();
        for number in [counts[0], counts[1], 1] {
            tail.extend(number.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &tail);
        tail.extend(crc.to_le_bytes());
        tail.extend(*b"RPCACHE1");
        let tail: [u8; TAIL] = tail.try_into().expect("a tail");
        if let Some(parsed) = Footer::parse(&bytes, &tail) {
            let again = parsed.encode(footer);
            bytes.extend(tail);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn footer_survives_encoding(
        names in prop::collection::vec((any::<[u8; 16]>(), ".{0,8}", ".{0,8}"), 1..4),
        records in prop::collection::vec((any::<u32>(), any::<[u64; 3]>()), 0..5),
    ) {
        let matrices: Vec<MatrixName> = names
            .into_iter()
            .map(|(key, file, element)| MatrixName { key: PackKey(key), file, element })
            .collect();
        let records = records.into_iter().enumerate().map(|(i, (crc, numbers))| Record {
            matrix: (i % matrices.len()) as u32,
            crc,
            offset: 10 * i as u64,
            len: 10,
            band: BandRecord {
                band: numbers[0],
                first_row: numbers[1],
                n_elements: numbers[2],
            },
        });
        let footer = Footer { records: records.collect(), matrices };
        let bytes = footer.encode(50);
        prop_assert_eq!(bytes.len() as u64, footer.len());
        let (bytes, tail) = bytes.split_last_chunk().expect("a tail");
        prop_assert_eq!(Footer::parse(bytes, tail), Some(footer));
    }
}
