//! Detects that this process is the child of a fork.

use std::sync::atomic::{AtomicU32, Ordering};

/// Whether this process was forked from the one that called this function first.
///
/// In the child of a fork, a new thread may never run. If another thread was starting during the
/// fork, the standard library's list of threads stays locked in the child for ever.
pub(crate) fn is_forked() -> bool {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    let me = std::process::id();
    let first = FIRST.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed);
    first.is_err_and(|first| first != me)
}
