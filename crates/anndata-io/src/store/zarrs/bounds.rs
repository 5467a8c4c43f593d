//! Limits on the output of an array's codecs: zarrs believes the claims of metadata, so no read
//! asks it for more than these limits.

use serde_json::Value;

/// The most that a chunk and its shard may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The most bytes that one stored byte may become.
    pub(super) ratio: u64,
    /// Bytes of a shard's indexes that are read for one of its chunks.
    pub(super) index: u64,
}

/// Above the ratio of any codec.
const BEST_RATIO: u64 = 1 << 20;
/// The most that may be made of almost no stored bytes.
const FREE_BYTES: u64 = 1 << 20;

impl Bounds {
    /// Returns the limits of a chain of codecs, in the notation of zarr v3, for chunks (or shards)
    /// of this many elements.
    pub(super) fn of(codecs: &Value, elements: u64) -> Bounds {
        let mut bounds = Bounds { ratio: 1, index: 0 };
        for codec in codecs.as_array().into_iter().flatten() {
            let name = codec["name"].as_str().or(codec.as_str());
            let name = name.unwrap_or_default();
            bounds.ratio = bounds
                .ratio
                .saturating_mul(best_ratio(name))
                .min(BEST_RATIO);
            if name == "sharding_indexed" {
                let within = &codec["configuration"];
                let extents = within["chunk_shape"].as_array().into_iter().flatten();
                let extents = extents.map(|extent| extent.as_u64().unwrap_or(1).max(1));
                let chunk = extents.fold(1, u64::saturating_mul);
                let index = (elements / chunk).saturating_mul(16);
                let inner = Bounds::of(&within["codecs"], chunk);
                bounds.index = index.saturating_add(inner.index);
            }
        }
        bounds
    }

    /// Whether a shard file of this many bytes can hold its index, which zarrs reads only
    /// uncompressed.
    pub(super) fn has_room_for_index(&self, stored: u64) -> bool {
        self.index <= stored.saturating_add(FREE_BYTES)
    }
}

fn best_ratio(codec: &str) -> u64 {
    match codec.strip_prefix("numcodecs.").unwrap_or(codec) {
        "bytes" | "transpose" | "bitround" | "shuffle" | "crc32c" | "adler32" | "fletcher32" => 1,
        // A text takes four bytes in the file, and sixteen in memory.
        "vlen-utf8" => 4,
        // From one bit to eight bytes.
        "packbits" => 64,
        "gzip" | "zlib" => 1032,
        "zstd" | "blosc" => 1 << 16,
        // A chunk of a shard that was never written has no stored bytes.
        _ => BEST_RATIO,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ratios_of_a_chain_multiply_up_to_the_best() {
        let ratio = |codecs: Value| Bounds::of(&codecs, 1).ratio;
        assert_eq!(
            ratio(json!(["transpose", {"name": "bytes"}, {"name": "crc32c"}])),
            1
        );
        assert_eq!(ratio(json!(["bytes", "numcodecs.zlib"])), 1032);
        assert_eq!(ratio(json!(["vlen-utf8", "gzip"])), 4128);
        assert_eq!(ratio(json!(["numcodecs.pcodec"])), BEST_RATIO);
        assert_eq!(ratio(json!(["bytes", "zstd", "blosc"])), BEST_RATIO);
    }

    #[test]
    fn indexes_of_shards_add_up() {
        let sharded = |chunk: u64, codecs: Value| {
            let configuration = json!({"chunk_shape": [chunk, 1], "codecs": codecs});
            json!([{"name": "sharding_indexed", "configuration": configuration}])
        };
        let one = Bounds::of(&sharded(10, json!(["bytes", "gzip"])), 1000);
        assert_eq!((one.ratio, one.index), (BEST_RATIO, 1600));
        let two = Bounds::of(&sharded(100, sharded(10, json!(["bytes"]))), 1000);
        assert_eq!(two.index, 160 + 160);
        let many = Bounds::of(&sharded(1, json!(["bytes"])), 1 << 48);
        assert!(!many.has_room_for_index(1 << 30) && many.has_room_for_index(1 << 53));
    }
}
