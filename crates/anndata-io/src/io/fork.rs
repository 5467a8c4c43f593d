//! State that belongs to one process: a forked child abandons its parent's and makes its own.

use once_cell::race::OnceBox;

/// A value made anew in every process that uses it.
///
/// A fork copies memory but only the calling thread: a lock that another thread held stays
/// locked in the child for ever, and what it guarded may be half changed. So whatever sits
/// behind a lock lives in a `ForkLocal`: the child sees that the process id differs, leaves
/// the parent's value untouched (never locks it, never drops it), and makes its own. Nothing
/// here blocks: racing threads each make a value, and one of them wins.
pub(crate) struct ForkLocal<T> {
    make: fn() -> T,
    first: Slot<T>,
}

struct Slot<T> {
    pid: u32,
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

    /// The value of this process.
    pub(crate) fn get(&self) -> &T {
        let pid = std::process::id();
        let mut slot = &self.first;
        while slot.pid != pid {
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
            pid: std::process::id(),
            value: Some(make()),
            next: OnceBox::new(),
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            // Another process's value may be half changed: leak it.
            std::mem::forget(self.value.take());
        }
    }
}

impl<T> std::fmt::Debug for ForkLocal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForkLocal")
            .field("pid", &self.first.pid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn one_process_keeps_one_value() {
        let local = ForkLocal::new(|| Mutex::new(0));
        *local.get().lock().expect("no holder panicked") = 7;
        assert_eq!(*local.get().lock().expect("no holder panicked"), 7);
    }

    /// A value that another process's thread holds locked for ever.
    #[test]
    fn a_value_of_another_process_is_left_alone() {
        let mut local = ForkLocal::new(|| Mutex::new(0));
        std::mem::forget(local.get().lock());
        local.first.pid = u32::MAX; // no process has this id
        *local.get().lock().expect("the value is fresh") = 2;
        assert_eq!(*local.get().lock().expect("no holder panicked"), 2);
    }
}
