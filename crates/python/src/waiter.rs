//! Waiting for batches so that a signal (Ctrl-C) gets through.
//!
//! Python looks at signals only while its main thread runs Python, and a batch may take seconds:
//! so an epoch that has threads of its own waits on one more, and the caller looks up from time to
//! time.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mapped_anndata::{Batch, Epoch, Error, LoaderState};
use pyo3::prelude::*;

use crate::errors::to_python;

/// The next batch, and where the epoch stands after it.
pub(crate) type Next = (Option<Result<Batch, Error>>, LoaderState);

/// How long a signal may wait.
const SLICE: Duration = Duration::from_millis(50);

/// An epoch on a thread of its own, which moves when it is asked.
pub(crate) struct Waiter {
    /// `None` only while it is dropped.
    thread: Option<Thread>,
    /// An answer that was asked for is on its way: a signal came between.
    asked: bool,
    pid: u32,
}

struct Thread {
    asks: SyncSender<()>,
    answers: Receiver<Next>,
    handle: JoinHandle<()>,
}

impl Waiter {
    /// Starts the thread.
    pub(crate) fn start(mut epoch: Epoch) -> std::io::Result<Waiter> {
        let (asks, asked) = sync_channel(1);
        let (answer, answers) = sync_channel(1);
        let work = move || {
            while asked.recv().is_ok() {
                let batch = epoch.next();
                if answer.send((batch, epoch.state())).is_err() {
                    return;
                }
            }
        };
        let builder = std::thread::Builder::new().name("epoch".to_owned());
        let handle = builder.spawn(work)?;
        Ok(Waiter {
            thread: Some(Thread {
                asks,
                answers,
                handle,
            }),
            asked: false,
            pid: std::process::id(),
        })
    }

    /// Whether this is the process that started the thread.
    pub(crate) fn is_mine(&self) -> bool {
        self.pid == std::process::id()
    }

    /// The next batch. When a signal handler raises, its exception; the batch is not lost.
    pub(crate) fn next(&mut self, py: Python<'_>) -> PyResult<Next> {
        let lost = || to_python(Error::Worker);
        let thread = self.thread.as_mut().ok_or_else(lost)?;
        if !self.asked {
            thread.asks.send(()).map_err(|_| lost())?;
            self.asked = true;
        }
        loop {
            let answers = &mut thread.answers;
            match py.detach(move || answers.recv_timeout(SLICE)) {
                Ok(next) => {
                    self.asked = false;
                    return Ok(next);
                }
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => return Err(lost()),
            }
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if !self.is_mine() {
            // After a fork: the thread is not here, and locks of its channels may be held for ever.
            std::mem::forget(thread);
            return;
        }
        drop((thread.asks, thread.answers));
        // It holds no Python object and takes no lock of Python's, so it ends soon. A panic was
        // reported to whoever waited for its batch.
        let _ = thread.handle.join();
    }
}
