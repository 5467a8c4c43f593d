//! Reasons why bytes do not decode.

use thiserror::Error;

/// The reason why the bytes of a chunk could not be decoded.
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    /// The bytes are not valid output of the codec.
    #[error("the {codec} data is corrupt: {detail}")]
    Corrupt {
        /// The codec that found them.
        codec: &'static str,
        /// The fault in them.
        detail: String,
    },
    /// The bytes decode to another length than that of the chunk.
    #[error("the {codec} data is {found} bytes long where {expected} were expected")]
    Length {
        /// The codec that produced the output; `stored` for a chunk without codecs.
        codec: &'static str,
        /// The expected number of bytes.
        expected: usize,
        /// The number of bytes that it has or claims.
        found: usize,
    },
    /// The bytes changed after they were written.
    #[error("the {codec} checksum is {stored:#010x}, but that of the data is {computed:#010x}")]
    Checksum {
        /// The checksum's name.
        codec: &'static str,
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A container codec names a compressor that it does not support here.
    #[error("{codec} data compressed with {inner}, which this build does not read")]
    UnsupportedInner {
        /// The container.
        codec: &'static str,
        /// The compressor inside it.
        inner: String,
    },
}

impl DecodeError {
    pub(super) fn corrupt(codec: &'static str, detail: impl ToString) -> Self {
        Self::Corrupt {
            codec,
            detail: detail.to_string(),
        }
    }
}
