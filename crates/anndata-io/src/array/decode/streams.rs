//! Compressors that are rare in zarr stores: bzip2 and xz (numcodecs' `bz2` and `lzma`).

use bzip2::{Decompress, Status};
use xz4rust::{XzDecoder, XzNextBlockResult};

use super::DecodeError;
use crate::limits::MAX_XZ_DICTIONARY_BYTES;

/// Extra room beyond a full output, to see whether the stream ends there.
const PROBE: usize = 1;

/// Decompresses one bzip2 stream into the front of `out`.
pub(super) fn bz2(source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let corrupt = |detail: &str| DecodeError::corrupt("bz2", detail);
    let mut stream = Decompress::new(false);
    let mut probe = [0; PROBE];
    loop {
        let (read, written) = (stream.total_in() as usize, stream.total_out() as usize);
        if written > out.len() {
            return Err(corrupt("it decompresses to more bytes than fit"));
        }
        let room = match &mut out[written..] {
            [] => &mut probe[..],
            room => room,
        };
        let status = stream.decompress(&source[read..], room);
        let status = status.map_err(|error| DecodeError::corrupt("bz2", error))?;
        let (read_now, written_now) = (stream.total_in() as usize, stream.total_out() as usize);
        match status {
            Status::StreamEnd if read_now < source.len() => {
                return Err(corrupt("bytes follow the end of the stream"));
            }
            Status::StreamEnd if written_now <= out.len() => return Ok(written_now),
            _ if (read_now, written_now) == (read, written) => {
                return Err(corrupt("not a whole stream"));
            }
            _ => {}
        }
    }
}

/// An xz decoder, kept for its dictionary.
pub(super) type Xz = Box<XzDecoder<'static>>;

pub(super) fn new_xz() -> Xz {
    XzDecoder::in_heap_with_alloc_dict_size(0, MAX_XZ_DICTIONARY_BYTES)
}

/// Decompresses one xz stream into the front of `out`.
pub(super) fn xz(source: &[u8], out: &mut [u8], decoder: &mut Xz) -> Result<usize, DecodeError> {
    let corrupt = |detail: &str| DecodeError::corrupt("lzma", detail);
    decoder.reset();
    let mut probe = [0; PROBE];
    let (mut read, mut written) = (0, 0);
    loop {
        let room = match &mut out[written..] {
            [] => &mut probe[..],
            room => room,
        };
        let result = decoder.decode(&source[read..], room);
        let result = result.map_err(|error| DecodeError::corrupt("lzma", error))?;
        read += result.input_consumed();
        written += result.output_produced();
        if written > out.len() {
            return Err(corrupt("it decompresses to more bytes than fit"));
        }
        match result {
            XzNextBlockResult::EndOfStream(..) if read < source.len() => {
                return Err(corrupt("bytes follow the end of the stream"));
            }
            XzNextBlockResult::EndOfStream(..) => return Ok(written),
            result if !result.made_progress() => return Err(corrupt("not a whole stream")),
            _ => {}
        }
    }
}
