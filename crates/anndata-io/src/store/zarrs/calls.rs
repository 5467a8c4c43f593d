//! Calls of zarrs: refused in a forked child, and guarded against its panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use once_cell::race::OnceBox;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::io::fork::Owner;

/// The process that used zarrs first.
static OWNER: Owner = Owner::new();

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The process was forked from the one that used zarrs first.
    #[error("zarrs does not survive a fork")]
    Forked,
    /// A check of zarrs itself failed.
    #[error("zarrs panicked: {0}")]
    Panicked(String),
    /// An error of zarrs.
    #[error(transparent)]
    Zarrs(Box<dyn std::error::Error + Send + Sync>),
}

impl CallError {
    pub(super) fn of(error: impl std::error::Error + Send + Sync + 'static) -> CallError {
        CallError::Zarrs(Box::new(error))
    }
}

/// Calls zarrs on this thread.
pub(super) fn call<T>(work: impl FnOnce() -> Result<T, CallError>) -> Result<T, CallError> {
    if !OWNER.is_current() {
        return Err(CallError::Forked);
    }
    // A panic leaves only locks of zarrs half done; zarrs finds them poisoned and panics again.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(CallError::Panicked(text(&*panic))))
}

/// Calls zarrs on a pool of one thread that belongs to this crate, for calls that zarrs would
/// otherwise run on rayon's pool of the whole process. Another user of that pool may have started
/// it before a fork, and a child would wait for its threads for ever.
pub(super) fn call_in_pool<T: Send>(
    work: impl FnOnce() -> Result<T, CallError> + Send,
) -> Result<T, CallError> {
    static POOL: OnceBox<ThreadPool> = OnceBox::new();
    call(|| {
        let name = |_| "zarrs".to_owned();
        let make = || {
            let pool = ThreadPoolBuilder::new().num_threads(1).thread_name(name);
            pool.build().map(Box::new).map_err(CallError::of)
        };
        POOL.get_or_try_init(make)?.install(work)
    })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

/// A value of zarrs that a forked child neither uses nor drops: another thread of its parent may
/// have been changing it.
pub(super) struct Own<T>(Option<T>);

impl<T> Own<T> {
    pub(super) fn new(value: T) -> Own<T> {
        Own(Some(value))
    }

    pub(super) fn get(&self) -> Result<&T, CallError> {
        let value = self.0.as_ref().filter(|_| OWNER.is_current());
        value.ok_or(CallError::Forked)
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if !OWNER.is_current() {
            std::mem::forget(self.0.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_becomes_an_error() {
        let panicked = call(|| -> Result<(), CallError> { panic!("index {} of 3", 5) });
        let error = panicked.expect_err("it panicked");
        assert_eq!(error.to_string(), "zarrs panicked: index 5 of 3");
        let panicked = call_in_pool(|| -> Result<(), CallError> { panic!("elsewhere") });
        assert!(matches!(panicked, Err(CallError::Panicked(text)) if text == "elsewhere"));
        assert_eq!(call_in_pool(|| Ok(7)).expect("the pool goes on"), 7);
    }
}
