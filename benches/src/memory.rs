//! Memory of this process, as Linux tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Bytes of memory in use, mapped file pages included; `None` where there is no `/proc`.
pub(crate) fn resident() -> Option<u64> {
    field("VmRSS:")
}

/// The most that it has been.
pub(crate) fn peak() -> Option<u64> {
    field("VmHWM:")
}

/// Bytes of memory of its own: neither shared nor mapped files.
pub(crate) fn anonymous() -> Option<u64> {
    field("RssAnon:")
}

/// Watches the memory of its own that this process holds.
#[derive(Debug)]
pub(crate) struct Watch {
    most: Arc<AtomicU64>,
    /// Ends the thread when it is dropped.
    _running: Sender<()>,
}

impl Watch {
    /// Looks every few milliseconds, on a thread.
    pub(crate) fn start() -> Watch {
        let most = Arc::new(AtomicU64::new(0));
        let (running, ended) = channel();
        let seen = most.clone();
        std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(2))
            {
                seen.fetch_max(anonymous().unwrap_or(0), Ordering::Relaxed);
            }
        });
        Watch {
            most,
            _running: running,
        }
    }

    /// The most bytes seen so far.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
