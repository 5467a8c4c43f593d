//! The kind of a file, recognised by its first bytes.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use libdeflater::Decompressor;

use crate::error::Error;
use crate::limits::{MAX_FOLDER_NAMES, MAX_GZIP_HEAD_BYTES, MAX_HEAD_BYTES};

/// The content of a file, as far as it decides how the file is opened.
pub(super) enum Content {
    Hdf5,
    Gzip,
    Zip,
    /// Neither: a description of the file, and advice.
    Other(String),
}

const HDF5_SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// Reads the head of a file and returns the kind of its content.
pub(super) fn sniff(path: &Path) -> Result<Content, Error> {
    let io_error = |error| Error::io(path, "", error);
    let mut head = Vec::new();
    let file = File::open(path).map_err(io_error)?;
    file.take(MAX_HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(io_error)?;
    Ok(content(&head))
}

/// Describes a folder that is not a zarr store.
pub(super) fn folder(path: &Path) -> String {
    let names = std::fs::read_dir(path).into_iter().flatten().flatten();
    let names = names.take(MAX_FOLDER_NAMES).map(|entry| entry.file_name());
    let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    let has = |ends: &[&str]| {
        names
            .iter()
            .any(|name| ends.iter().any(|end| name.ends_with(end)))
    };
    let what = if has(&["matrix.mtx", "matrix.mtx.gz"]) {
        ": read its files with scanpy.read_10x_mtx, and write them with write_h5ad"
    } else if has(&[".h5ad", ".zarr", ".h5mu"]) {
        ": name the files in it"
    } else {
        ""
    };
    format!("a directory without zarr.json or .zgroup{what}")
}

/// Describes a path that is neither a file nor a folder.
pub(super) fn special(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_fifo() {
        "a pipe: write what it carries to a file first"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Returns the kind of content that begins with these bytes.
pub(super) fn content(head: &[u8]) -> Content {
    // The signature may follow a user block of 512, 1024, 2048, ... bytes.
    let user_blocks = std::iter::successors(Some(512usize), |n| n.checked_mul(2));
    let mut offsets = std::iter::once(0)
        .chain(user_blocks)
        .take_while(|&n| n < head.len());
    if offsets.any(|at| head[at..].starts_with(&HDF5_SIGNATURE)) {
        return Content::Hdf5;
    }
    match head {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Content::Zip,
        [0x1f, 0x8b, ..] => in_gzip(head).map_or(Content::Gzip, Content::Other),
        _ => Content::Other(
            binary(head)
                .or_else(|| text(head))
                .unwrap_or("a file without the HDF5 signature")
                .to_owned(),
        ),
    }
}

/// Describes the content of a gzip file, if it is known not to be AnnData.
fn in_gzip(head: &[u8]) -> Option<String> {
    let mut inflated = vec![0; MAX_GZIP_HEAD_BYTES];
    // A longer content is an error, but by then the buffer is filled.
    let _ = Decompressor::new().gzip_decompress(head, &mut inflated);
    let known = binary(&inflated).or_else(|| text(trimmed_of_zeros(&inflated)));
    known
        .filter(|_| inflated.iter().any(|&byte| byte != 0))
        .map(|what| format!("gzip-compressed, {what}"))
}

fn trimmed_of_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0);
    &bytes[..end.map_or(0, |end| end + 1)]
}

/// Formats that begin with a signature.
fn binary(head: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 18] = [
        (
            b"BZh",
            "a file compressed with bzip2: decompress it first (bunzip2)",
        ),
        (
            b"\xfd7zXZ\0",
            "a file compressed with xz: decompress it first (unxz)",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "a file compressed with zstd: decompress it first (unzstd)",
        ),
        (
            b"\x04\x22\x4d\x18",
            "a file compressed with lz4: decompress it first (unlz4)",
        ),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
        (b"Rar!", "a rar archive: unpack it first"),
        (b"X\n\0\0\0", R_DATA),
        (b"A\n2\n", R_DATA),
        (b"A\n3\n", R_DATA),
        (b"RDX", R_DATA),
        (b"RDA", R_DATA),
        (
            b"PAR1",
            "a parquet file: read it with pandas, and write an AnnData object of it",
        ),
        (
            b"ARROW1",
            "an Arrow file: read it with pandas, and write an AnnData object of it",
        ),
        (
            b"\x93NUMPY",
            "a numpy array (.npy): write an AnnData object of it",
        ),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"CDF", "a netCDF file: write an AnnData object of it"),
        (
            b"\x80\x04\x95",
            "a Python pickle: load it, and write it with write_h5ad",
        ),
        (
            b"\x80\x05\x95",
            "a Python pickle: load it, and write it with write_h5ad",
        ),
    ];
    let known = SIGNATURES.iter().find(|(start, _)| head.starts_with(start));
    match known {
        Some((_, what)) => Some(what),
        None if head.get(257..262) == Some(b"ustar") => {
            Some("a tar archive: unpack it first (tar xf)")
        }
        None if head.is_empty() => Some("an empty file"),
        None if head.iter().all(|&byte| byte == 0) => {
            Some("a file that begins with nothing but zeros, as a broken download does")
        }
        None => None,
    }
}

const R_DATA: &str = "a file of R (RDS or RData): convert it in R (anndataR::write_h5ad or \
     zellkonverter::writeH5AD)";

/// Describes a text by its beginning.
fn text(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(4096)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let head = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The end of the head may divide a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_control = |c: char| c.is_control() && !c.is_whitespace();
    if head.contains(is_control) {
        return None;
    }
    let start = head.trim_start();
    let begins = |with: &str| {
        let head = start.get(..with.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(with))
    };
    let first_line = start.lines().next().unwrap_or_default();
    Some(if begins("version https://git-lfs") {
        "a pointer of git-lfs instead of the file itself: fetch that (git lfs pull)"
    } else if begins("/annex/objects/") || first_line.contains(".git/annex/objects/") {
        "a pointer of git-annex instead of the file itself: fetch that (git annex get)"
    } else if begins("<!doctype html") || begins("<html") {
        "a web page (HTML), as a download without a login leaves it: download the file again"
    } else if begins("<?xml") || begins("<error") {
        "an XML text, as a failed download leaves it: download the file again"
    } else if begins("%%matrixmarket") {
        "a Matrix Market file: read it with anndata.io.read_mtx or scanpy.read_10x_mtx, and write \
         it with write_h5ad"
    } else if start.starts_with('{') && start.contains("\"zarr_format\"") {
        "the metadata of a zarr store: name its folder instead"
    } else if start.starts_with('{') {
        "a JSON text"
    } else if first_line.contains([',', '\t', ';']) {
        "a CSV text file: read it with anndata.io.read_csv, and write it with write_h5ad"
    } else {
        "a text without the HDF5 signature"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use libdeflater::{CompressionLvl, Compressor};

    fn found(head: &[u8]) -> String {
        match content(head) {
            Content::Hdf5 => "HDF5".to_owned(),
            Content::Gzip => "gzip".to_owned(),
            Content::Zip => "zip".to_owned(),
            Content::Other(found) => found,
        }
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
        let len = compressor.gzip_compress(data, &mut out);
        out.truncate(len.expect("the bound suffices"));
        out
    }

    #[test]
    fn content_describes_the_file_and_the_way_out() {
        let mut tar = vec![0; 512];
        tar[..6].copy_from_slice(b"a.h5ad");
        tar[257..262].copy_from_slice(b"ustar");
        let mut behind_user_block = vec![0; 512];
        behind_user_block.extend(HDF5_SIGNATURE);
        let cases: [(&[u8], &str); 26] = [
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (&behind_user_block, "HDF5"),
            (b"PK\x03\x04rest", "zip"),
            (b"PK\x05\x06rest", "zip"),
            (b"", "an empty file"),
            (&[0; 4096], "zeros"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
                "git lfs pull",
            ),
            (b"/annex/objects/SHA256E-s12--4d7a.h5ad\n", "git annex get"),
            (b"\n <!DOCTYPE HTML PUBLIC><html>", "web page"),
            (b"\xef\xbb\xbf<html lang=\"en\">", "web page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied", "XML"),
            (b"BZh91AY&SY", "bunzip2"),
            (b"\xfd7zXZ\0\0\x04", "unxz"),
            (b"\x28\xb5\x2f\xfd\x04", "unzstd"),
            (&tar, "tar xf"),
            (b"X\n\0\0\0\x03\0\x04", "file of R"),
            (b"RDX3\nX\n", "file of R"),
            (b"PAR1\x15\x04", "parquet"),
            (b"\x93NUMPY\x01\0", ".npy"),
            (b",gene1,gene2\ncell1,0,1\n", "CSV"),
            (b"cell\tgene1\ncell1\t0\n", "CSV"),
            (b"%%MatrixMarket matrix coordinate", "Matrix Market"),
            (
                b"{\"zarr_format\": 3, \"node_type\": \"group\"}",
                "name its folder",
            ),
            (b"{\"message\": \"forbidden\"}", "JSON"),
            (b"hello", "without the HDF5 signature"),
            (b"\x01\x02\x03", "without the HDF5 signature"),
        ];
        for (head, what) in cases {
            assert!(found(head).contains(what), "{} is not {what}", found(head));
        }
    }

    #[test]
    fn content_of_a_gzip_file_is_examined() {
        let mut tar = vec![0; 20_000];
        tar[257..262].copy_from_slice(b"ustar");
        let mut hdf5 = HDF5_SIGNATURE.to_vec();
        hdf5.extend((0..50_000u32).flat_map(|i| (i * i).to_le_bytes()));
        let mut rds = b"X\n\0\0\0\x03".to_vec();
        rds.extend((0..50_000u32).flat_map(|i| (i * i).to_le_bytes()));
        for (data, what) in [
            (&hdf5[..], "gzip"),
            (&rds, "file of R"),
            (b"X\n\0\0\0\x03", "file of R"),
            (&tar, "tar archive"),
            (b"gene,cell1\n", "CSV"),
            (&[7, 0, 1, 200], "gzip"),
        ] {
            let whole = gzip(data);
            let cut = &whole[..whole.len().min(1500)];
            assert!(found(&whole).contains(what), "{}: {what}", found(&whole));
            assert!(found(cut).contains(what), "{}: {what}", found(cut));
        }
        assert_eq!(found(b"\x1f\x8b\x08\0"), "gzip");
    }
}
