//! State that belongs to one process: a forked child abandons its parent's and makes its own.

use once_cell::race::OnceBox;

/// The process that made a value: no other process may touch the state behind a lock of that value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    id: u32,
}

impl Process {
    /// Returns this process.
    pub(crate) fn current() -> Process {
        Process {
            id: std::process::id(),
        }
    }

    /// Whether the current process is a forked child of this one.
    pub(crate) fn is_forked(self) -> bool {
        self != Process::current()
    }
}

/// Whether this process was forked from the one that called this function first.
///
/// There, a newly started thread might never get to run: if another thread was starting during the
/// fork, the standard library's list of threads stays locked for ever.
#[doc(hidden)]
pub fn is_forked_child() -> bool {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static FIRST: AtomicU32 = AtomicU32::new(0);
    let current = std::process::id();
    let first = FIRST.compare_exchange(0, current, Relaxed, Relaxed);
    first.is_err_and(|first| first != current)
}

/// The process that first used a library that does not survive a fork.
#[cfg(any(feature = "libhdf5", feature = "zarrs"))]
pub(crate) struct Owner(std::sync::atomic::AtomicU32);

#[cfg(any(feature = "libhdf5", feature = "zarrs"))]
impl Owner {
    pub(crate) const fn new() -> Owner {
        Owner(std::sync::atomic::AtomicU32::new(0))
    }

    /// Whether the current process owns the library, or becomes its owner now.
    pub(crate) fn is_current(&self) -> bool {
        use std::sync::atomic::Ordering::{AcqRel, Acquire};
        let current = std::process::id();
        match self.0.compare_exchange(0, current, AcqRel, Acquire) {
            Ok(_) => true,
            Err(owner) => owner == current,
        }
    }
}

/// A value made anew in every process that uses it.
///
/// A fork copies memory but only the calling thread: a lock that another thread held stays locked
/// in the child for ever, and the state that it guarded may be half changed. So all state behind a
/// lock lives in a `ForkLocal`: the child sees that the process id differs, leaves the parent's
/// value untouched (never locks it, never drops it), and makes its own. Nothing here blocks: racing
/// threads each make a value, and one of them wins.
pub(crate) struct ForkLocal<T> {
    make: fn() -> T,
    first: Slot<T>,
}

struct Slot<T> {
    process: Process,
    value: Option<T>,
    next: OnceBox<Slot<T>>,
}

impl<T> ForkLocal<T> {
    pub(crate) fn new(make: fn() -> T) -> Self {
        ForkLocal {
            make,
            first: Slot::new(make),
        }
    }

    /// Returns the value of this process.
    pub(crate) fn get(&self) -> &T {
        let process = Process::current();
        let mut slot = &self.first;
        while slot.process != process {
            slot = slot.next.get_or_init(|| Box::new(Slot::new(self.make)));
        }
        slot.value
            .as_ref()
            .expect("a slot is emptied only when it is dropped")
    }
}

impl<T> Slot<T> {
    fn new(make: fn() -> T) -> Self {
        Slot {
            process: Process::current(),
            value: Some(make()),
            next: OnceBox::new(),
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.process.is_forked() {
            // The value of another process may be half changed: leak it.
            std::mem::forget(self.value.take());
        }
    }
}

impl<T> std::fmt::Debug for ForkLocal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForkLocal")
            .field("process", &self.first.process)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn fork_local_keeps_one_value_per_process() {
        let local = ForkLocal::new(|| Mutex::new(0));
        *local.get().lock().expect("no holder panicked") = 7;
        assert_eq!(*local.get().lock().expect("no holder panicked"), 7);
    }

    /// A value that a thread of another process holds locked for ever.
    #[test]
    fn fork_local_leaves_the_value_of_another_process_alone() {
        let mut local = ForkLocal::new(|| Mutex::new(0));
        std::mem::forget(local.get().lock());
        local.first.process = Process { id: u32::MAX }; // no process has this id
        *local.get().lock().expect("the value is fresh") = 2;
        assert_eq!(*local.get().lock().expect("no holder panicked"), 2);
    }
}
