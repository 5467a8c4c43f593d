//! Conversion in memory: writes each entry straight to its place.

use std::io;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};

use super::{CscMatrix, Entry, Progress, Word};
use crate::error::{Error, ErrorKind};
use crate::io::pack_room::Reservation;

impl CscMatrix {
    /// Reads all columns and all values, ordered by rows.
    pub(super) fn in_memory<T: Word>(
        &self,
        starts: &[u64],
        progress: Progress<'_>,
    ) -> Result<(Mmap, Mmap), Error> {
        let n_entries = self.n_entries();
        let mut next = starts[..self.n_rows()].to_vec();
        let failed = |error| self.columns.indices.error(ErrorKind::Io(Arc::new(error)));
        let mut column_map = pages(n_entries * 4).map_err(failed)?;
        let mut value_map = pages(n_entries * size_of::<T>() as u64).map_err(failed)?;
        let columns: &mut [u32] = bytemuck::cast_slice_mut(&mut column_map);
        let values: &mut [T] = bytemuck::cast_slice_mut(&mut value_map);
        let report = &mut |done| progress(n_entries + done, 2 * n_entries);
        self.for_each(report, |entry: Entry<T>| {
            let place = next
                .get_mut(entry.row as usize)
                .ok_or_else(|| self.changed())?;
            let at = *place as usize;
            match (columns.get_mut(at), values.get_mut(at)) {
                (Some(column), Some(value)) => (*column, *value) = (entry.column, entry.value),
                _ => return Err(self.changed()),
            }
            *place += 1;
            Ok(())
        })?;
        let read_only = |map: MmapMut| map.make_read_only().map_err(failed);
        Ok((read_only(column_map)?, read_only(value_map)?))
    }
}

/// Rows in memory, and the part of the budget that they take.
pub(super) struct Mapped(
    Mmap,
    #[expect(dead_code, reason = "its drop is what counts")] Option<Arc<Reservation>>,
);

impl Mapped {
    pub(super) fn new(map: Mmap, reservation: Option<Arc<Reservation>>) -> Mapped {
        Mapped(map, reservation)
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Allocates at least this many zero bytes, in large pages if the system has them: entries are
/// written far from each other, and with small pages the lookup of an address takes longer than the
/// write.
fn pages(n_bytes: u64) -> io::Result<MmapMut> {
    let len = usize::try_from(n_bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let map = MmapMut::map_anon(len.next_multiple_of(8).max(8))?;
    #[cfg(target_os = "linux")]
    if let Err(error) = map.advise(memmap2::Advice::HugePage) {
        tracing::debug!("no large pages: {error}");
    }
    Ok(map)
}
