//! Asks a server for all nodes of a tree of chunks, level by level, before the tree is read: its
//! nodes lie all over the file, and one after the other each would cost a round trip.

use hdf5_reader::Storage;

use crate::io::bytes::ByteSource;

/// The entries of a node, unless a file says otherwise; a node of more is read on demand.
const NODE_ENTRIES: usize = 64;
/// Levels of a tree of 64^6 chunks.
const MOST_LEVELS: usize = 6;
/// The most nodes of a level that are asked for.
const MOST_NODES: usize = 1 << 14;

/// Stages the nodes below the root of a tree (version 1) of chunks of `n_axes` axes. What is not as
/// expected is left to those who read the tree.
pub(super) fn stage_chunk_tree(
    source: &ByteSource,
    storage: &dyn Storage,
    (base, root): (u64, u64),
    n_axes: usize,
) {
    if !source.is_remote() {
        return;
    }
    // Size, mask, and a position on each axis and within the element.
    let key = 8 + 8 * (n_axes + 1);
    let node_len = 24 + NODE_ENTRIES * (key + 8) + key;
    let place = |address: u64| {
        let start = base.saturating_add(address);
        start..start.saturating_add(node_len as u64).min(source.len())
    };
    let mut nodes = vec![root];
    for _ in 0..MOST_LEVELS {
        let mut below = Vec::new();
        for &node in &nodes {
            let place = place(node);
            if place.is_empty() || below.len() > MOST_NODES {
                return;
            }
            let len = (place.end - place.start) as usize;
            let Ok(bytes) = storage.read_range(place.start, len) else {
                return;
            };
            match children(&bytes, key) {
                Some(children) => below.extend(children),
                None => return,
            }
        }
        source.stage(&mut below.iter().map(|&node| {
            let place = place(node);
            (place.clone(), place.end - place.start)
        }));
        nodes = below;
    }
}

/// The addresses of the nodes below an inner node; `None` for any other bytes.
fn children(node: &[u8], key: usize) -> Option<impl Iterator<Item = u64>> {
    let [b'T', b'R', b'E', b'E', 1, level, low, high, ..] = *node else {
        return None;
    };
    let n_entries = usize::from(u16::from_le_bytes([low, high]));
    if level == 0 || n_entries > NODE_ENTRIES {
        return None;
    }
    // Siblings take 16 bytes. Files of other widths than 8 are refused.
    let entries = node.get(24..)?.chunks_exact(key + 8).take(n_entries);
    let address = move |entry: &[u8]| {
        let bytes = entry[key..].first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    };
    Some(entries.map(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_those_of_inner_nodes() {
        let mut node = b"TREE\x01\x01\x02\x00".to_vec();
        node.extend([0xff; 16]);
        for child in [0x1000u64, 0x2000, 0x3000] {
            node.extend([7; 24]);
            node.extend(child.to_le_bytes());
        }
        let found: Vec<u64> = children(&node, 24).expect("an inner node").collect();
        assert_eq!(found, [0x1000, 0x2000], "two entries are used");
        for (at, byte) in [(0, b'X'), (4, 0), (5, 0), (7, 9)] {
            let mut other = node.clone();
            other[at] = byte;
            assert!(children(&other, 24).is_none(), "byte {at}");
        }
    }
}
