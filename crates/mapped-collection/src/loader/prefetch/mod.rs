//! Reading ahead: windows of coming batches, loaded by plain threads while the caller works.
//!
//! Takes a [`Job`]; returns batches in order.
//!
//! ```text
//! threads: choose ─▶ build a window │ load a task │ finish a batch ─▶ record ─┐
//!             ▲          (no lock held while a step is taken)                 │
//!             └───────────────── State, behind one mutex ◀────────────────────┘
//! caller:  next ◀── ready batches
//! ```
//!
//! Every thread, or the caller when there are no threads, repeats one step. It finishes the next
//! batch whose rows have all arrived. Otherwise, it loads a task of the oldest window that has one
//! left, if the budget allows it. Otherwise, it builds the next window. The oldest window always
//! makes progress: later windows take only the memory that it leaves. If its own rows take more
//! memory than expected, its last batches are left to a later window. The mutex belongs to the
//! process that made it: a forked child makes a prefetcher of its own.

mod active;
mod lanes;
mod state;
mod step;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::batch::fill::FillScratch;
use crate::batch::waiting::WaitingRows;
use crate::error::read::ReadError;
use crate::loader::job::Job;
use crate::loader::prefetch::state::State;
use crate::loader::prefetch::step::Step;

/// Batches being prepared.
#[derive(Debug)]
pub(crate) struct Prefetcher {
    shared: Arc<Shared>,
    /// The threads, with their numbers.
    threads: Vec<(usize, JoinHandle<()>)>,
    /// Scratch memory for work that the caller does itself.
    scratch: FillScratch,
    pid: u32,
    /// In a forked process, threads count only once they run.
    is_forked: bool,
}

#[derive(Debug)]
struct Shared {
    job: Job,
    waiting: Arc<WaitingRows>,
    state: Mutex<State>,
    changed: Condvar,
    /// Ends the threads, and a step that waits for another process.
    stop: Arc<AtomicBool>,
}

impl Prefetcher {
    /// Starts preparing at a batch.
    pub(crate) fn start(job: Job, first_batch: usize) -> Prefetcher {
        let workers = job.workers;
        let state = State::new(first_batch, workers);
        let shared = Arc::new(Shared {
            waiting: Arc::new(job.waiting()),
            job,
            state: Mutex::new(state),
            changed: Condvar::new(),
            stop: Arc::default(),
        });
        let threads = (0..workers)
            .filter_map(|number| {
                let shared = shared.clone();
                let name = format!("batches-{number}");
                // If a thread cannot be started, the others or the caller do its work.
                let thread = std::thread::Builder::new()
                    .name(name)
                    .spawn(move || shared.work(number));
                Some((number, thread.ok()?))
            })
            .collect();
        Prefetcher {
            shared,
            threads,
            scratch: FillScratch::for_scan(),
            pid: std::process::id(),
            is_forked: anndata_io::is_forked_child(),
        }
    }

    /// The rows that wait for their batch.
    #[cfg(test)]
    fn waiting(&self) -> &Arc<WaitingRows> {
        &self.shared.waiting
    }

    /// Whether this process made the prefetcher.
    pub(crate) fn is_mine(&self) -> bool {
        self.pid == std::process::id()
    }

    /// Waits until the next batch is ready, for at most `timeout`. Returns whether it is. Without
    /// threads, the caller does the work meanwhile, at least one step of it.
    pub(crate) fn wait(&mut self, timeout: Duration) -> bool {
        self.lock_when_there(Instant::now().checked_add(timeout))
            .is_some()
    }

    /// Returns the next batch. Must not be called more often than there are batches.
    pub(crate) fn next(&mut self) -> Result<Batch, ReadError> {
        let Some(mut state) = self.lock_when_there(None) else {
            return Err(ReadError::Worker);
        };
        let Some(batch) = state.deliver() else {
            return Err(ReadError::Worker);
        };
        drop(state);
        self.shared.changed.notify_all();
        batch
    }

    /// Returns the state once the next batch is ready, or once there is no step left to take.
    /// Returns `None` if that takes longer than until `end`. Without threads, the caller does at
    /// least one step.
    fn lock_when_there(&mut self, end: Option<Instant>) -> Option<MutexGuard<'_, State>> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        while !state.is_next_ready() {
            if self.threads.is_empty() || self.is_forked && !state.running.contains(&true) {
                let Some(step) = shared.choose(&mut state, 0) else {
                    break;
                };
                drop(state);
                shared.run(step, &mut self.scratch);
                state = shared.lock();
            } else {
                let rest = end.map(|end| end.saturating_duration_since(Instant::now()));
                state = shared.wait(state, rest);
            }
            if end.is_some_and(|end| Instant::now() >= end) && !state.is_next_ready() {
                return None;
            }
        }
        Some(state)
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        if !self.is_mine() {
            // The threads are not in this process, and the lock may be held for ever.
            std::mem::forget(std::mem::take(&mut self.threads));
            std::mem::forget(self.shared.clone());
            return;
        }
        let mut state = self.shared.lock();
        // Under the lock, so that no thread begins to wait for a change after it looked.
        self.shared.stop.store(true, Ordering::Relaxed);
        let running = std::mem::take(&mut state.running);
        drop(state);
        self.shared.changed.notify_all();
        for (number, thread) in self.threads.drain(..) {
            // A thread that never ran has nothing to stop, and may never run: do not wait for it.
            if self.is_forked && !running[number] {
                continue;
            }
            // The batch that failed has reported the panic.
            let _ = thread.join();
        }
    }
}

/// Notifies the caller when a thread panics, so that it does not wait for ever.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().panicked = true;
            self.0.changed.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, for at most the given time.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match timeout {
            Some(timeout) => {
                let waited = self.changed.wait_timeout(state, timeout);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.changed.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        }
    }

    /// The loop of a thread.
    fn work(&self, thread: usize) {
        let _guard = PanicGuard(self);
        let mut scratch = FillScratch::for_scan();
        scratch.read.set_stop(self.stop.clone());
        if let Some(running) = self.lock().running.get_mut(thread) {
            *running = true;
        }
        loop {
            let mut state = self.lock();
            let step = loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                match self.choose(&mut state, thread) {
                    Some(step) => break step,
                    None => state = self.wait(state, None),
                }
            };
            drop(state);
            self.run(step, &mut scratch);
        }
    }

    fn choose(&self, state: &mut State, thread: usize) -> Option<Step> {
        state.choose(&self.job, &self.waiting, thread)
    }

    /// Runs a step without the lock, and records it.
    fn run(&self, step: Step, scratch: &mut FillScratch) {
        let done = step.run(&self.job, &self.waiting, scratch);
        self.lock().record(&self.job, done);
        self.changed.notify_all();
    }
}
