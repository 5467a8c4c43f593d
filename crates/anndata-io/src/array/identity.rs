//! What the elements of an array depend on, for packs that outlive the process.

use std::ops::Range;

use super::{Array, ArrayParts};

impl Array {
    /// Adds everything that the decoded chunks depend on to `out`: the file as it was when it was
    /// opened, the place of the chunks and how they are decoded. `None` if the array does not lie in
    /// files that can be identified.
    pub(crate) fn identify(&self, out: &mut Vec<u8>) -> Option<()> {
        let ArrayParts {
            context: _,
            file: _,
            element,
            grid,
            item,
            big_endian,
            pipeline,
            stored_axes,
            chunks,
            fill,
            record,
            conversion,
            missing,
            id: _,
        } = self.parts();
        let file = self.canonical_file()?;
        let decoding = (pipeline, stored_axes, fill, record, conversion, missing);
        let described = format!("{file:?} {element:?} {grid:?} {item:?} {big_endian} {decoding:?}");
        out.extend((described.len() as u64).to_le_bytes());
        out.extend(described.as_bytes());
        chunks.identify(out)
    }

    /// Whether the files of a range along the first axis are those that were there when the array
    /// was opened.
    pub(crate) fn is_unchanged(&self, span: Range<u64>) -> bool {
        let parts = self.parts();
        parts
            .chunks
            .are_unchanged(self.chunks_of(&span), &parts.grid)
    }
}
