//! Why bytes do not decode.

use thiserror::Error;

/// Why the bytes of a chunk could not be decoded.
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    /// The bytes are not what the codec writes.
    #[error("the {codec} data is corrupt: {detail}")]
    Corrupt {
        /// The codec that met them.
        codec: &'static str,
        /// What is wrong with them.
        detail: String,
    },
    /// The bytes decode, to another length than the chunk has.
    #[error("the {codec} data is {found} bytes long where {expected} were expected")]
    Length {
        /// The codec whose output it is; `stored` for a chunk without codecs.
        codec: &'static str,
        /// Bytes that the chunk should have here.
        expected: usize,
        /// Bytes that it has, or says that it has.
        found: usize,
    },
    /// The bytes changed after they were written.
    #[error("the {codec} checksum is {stored:#010x}, the data gives {computed:#010x}")]
    Checksum {
        /// The checksum's name.
        codec: &'static str,
        /// What the file says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A container codec names a compressor that it is not known to have.
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
