//! Reads several files at once while each read waits for a server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use anndata_io::AnnDataSource;

/// The most files that are read at once.
const MOST_THREADS: usize = 16;
/// The reads that a thread may be ahead of their use.
const PER_THREAD: usize = 4;

/// How many of the sources to read at once: several if some lie on a server.
pub(crate) fn n_threads<'a>(sources: impl IntoIterator<Item = &'a AnnDataSource>) -> usize {
    let mut sources = sources.into_iter();
    match sources.any(AnnDataSource::is_remote) {
        true => MOST_THREADS,
        false => 1,
    }
}

/// Reads all items, several at once, and uses what was read in their order. Ends with the first
/// error of a use.
pub(crate) fn in_order<T: Sync, R: Send + Sync, E>(
    items: &[T],
    n_threads: usize,
    read: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    if n_threads < 2 {
        return items.iter().try_for_each(|item| take(read(item)));
    }
    for items in items.chunks(n_threads * PER_THREAD) {
        let found: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..n_threads.min(items.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(at) else { return };
                        let _ = found[at].set(read(item));
                    }
                });
            }
        });
        let mut found = found.into_iter().filter_map(OnceLock::into_inner);
        found.try_for_each(&mut take)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_is_that_of_the_items() {
        let items: Vec<usize> = (0..200).collect();
        for n_threads in [1, 3, 16] {
            let mut taken = Vec::new();
            let read = |&item: &usize| 2 * item;
            let ended = in_order(&items, n_threads, read, |read| {
                taken.push(read);
                if read == 300 { Err("enough") } else { Ok(()) }
            });
            assert_eq!(ended, Err("enough"));
            assert_eq!(taken, (0..=150).map(|item| 2 * item).collect::<Vec<_>>());
        }
    }
}
