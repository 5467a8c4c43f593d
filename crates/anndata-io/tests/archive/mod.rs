//! Zip archives as other programs write them, and as nobody should.

use libdeflater::{CompressionLvl, Compressor};

use crate::files::Entries;

/// How an archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Files as they are.
    Stored,
    /// Deflated.
    Deflated,
    /// Deflated, with lengths after the bytes, as a program that cannot seek writes them.
    Descriptors,
    /// Deflated, with lengths of 8 bytes.
    Zip64,
    /// Entries claim more bytes than deflate makes.
    Bomb,
    /// Entries have another checksum.
    WrongSum,
    /// Entries claim a byte more.
    WrongLength,
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut out = vec![0; compressor.deflate_compress_bound(bytes.len())];
    let len = compressor.deflate_compress(bytes, &mut out);
    out.truncate(len.expect("the bound suffices"));
    out
}

/// The bytes of an archive.
pub(crate) fn zip(entries: &Entries, form: Form) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let stored = if form == Form::Stored {
            bytes.clone()
        } else {
            deflated(bytes)
        };
        let len = match form {
            Form::Bomb => bytes.len() as u64 + (stored.len() as u64 + 1) * 1033,
            Form::WrongLength => bytes.len() as u64 + 1,
            _ => bytes.len() as u64,
        };
        let crc = libdeflater::crc32(bytes) ^ u32::from(form == Form::WrongSum);
        let lens = [stored.len() as u64, len];
        let header = out.len() as u32;
        let (flags, method) = (
            if form == Form::Descriptors { 8 } else { 0u16 },
            if form == Form::Stored { 0 } else { 8u16 },
        );
        // In the header before the bytes, a descriptor leaves all of them zero.
        let described = form == Form::Descriptors;
        out.extend(b"PK\x03\x04");
        out.extend(fields(flags, method, if described { 0 } else { crc }));
        let extra = lengths(&mut out, if described { [0; 2] } else { lens }, form);
        out.extend((name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(&extra);
        out.extend(&stored);
        if described {
            out.extend(b"PK\x07\x08");
            out.extend(crc.to_le_bytes());
            lens.iter()
                .for_each(|&len| out.extend((len as u32).to_le_bytes()));
        }
        directory.extend(b"PK\x01\x02\x2d\x03");
        directory.extend(fields(flags, method, crc));
        let extra = lengths(&mut directory, lens, form);
        directory.extend((name.len() as u16).to_le_bytes());
        directory.extend((extra.len() as u16).to_le_bytes());
        // No comment, the first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(header.to_le_bytes());
        directory.extend(name.as_bytes());
        directory.extend(&extra);
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    let n = (entries.len() as u16).to_le_bytes();
    out.extend([n, n].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// Version, flags, method, time and checksum.
fn fields(flags: u16, method: u16, crc: u32) -> Vec<u8> {
    let mut out = vec![45, 0];
    out.extend(flags.to_le_bytes());
    out.extend(method.to_le_bytes());
    out.extend([0, 0, 0x21, 0]);
    out.extend(crc.to_le_bytes());
    out
}

/// Writes the two lengths, and returns the extra field that has them where they are of 8 bytes.
fn lengths(out: &mut Vec<u8>, [stored, len]: [u64; 2], form: Form) -> Vec<u8> {
    if form != Form::Zip64 {
        out.extend((stored as u32).to_le_bytes());
        out.extend((len as u32).to_le_bytes());
        return Vec::new();
    }
    out.extend([0xff; 8]);
    let mut extra = vec![1, 0, 16, 0];
    extra.extend(len.to_le_bytes());
    extra.extend(stored.to_le_bytes());
    extra
}
