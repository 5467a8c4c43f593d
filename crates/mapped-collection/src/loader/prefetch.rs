//! Reading ahead: windows of coming batches, loaded by plain threads while the caller works.
//!
//! One mutex guards what is to be done; no work is done under it. Every thread, and the caller
//! when there are no threads, repeats one step: finish the next batch whose rows have all arrived,
//! or else load a task of the oldest window that has one left, if the budget allows it, or else
//! plan the next window. The oldest window always gets on: later ones take what it leaves, and when
//! its own rows take more memory than was expected, its last batches are left to a later window.
//! Batches leave in order. The mutex belongs to the process that made it: a forked child makes a
//! pipeline of its own.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::batch::pool::Waiting;
use crate::batch::{Batch, FillScratch};
use crate::error::Error;
use crate::loader::bands::Carried;
use crate::loader::job::Job;
use crate::loader::lanes::Lanes;
use crate::loader::window::Window;

/// Whether this process was forked from the one that asked first.
///
/// The child of a fork may never get a thread to run: when another thread was just starting, the
/// standard library's list of threads stays locked in the child for ever.
pub(crate) fn is_forked() -> bool {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    let me = std::process::id();
    let first = FIRST.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed);
    first.is_err_and(|first| first != me)
}

/// Batches being prepared.
#[derive(Debug)]
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    /// With their numbers.
    threads: Vec<(usize, JoinHandle<()>)>,
    /// For work that the caller does itself.
    scratch: FillScratch,
    pid: u32,
    /// Then threads are relied on only once they run.
    is_forked: bool,
}

#[derive(Debug)]
struct Shared {
    job: Job,
    waiting: Arc<Waiting>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The next batch that no window has.
    next_planned: usize,
    /// At most how many batches the last window was planned with.
    window_batches: usize,
    planning: bool,
    windows: VecDeque<Active>,
    /// Bytes that rows which are being loaded may take, at least one for each task.
    loading: usize,
    ready: BTreeMap<usize, Result<Batch, Error>>,
    finishing: usize,
    next_delivered: usize,
    stop: bool,
    panicked: bool,
    /// Which threads have begun to run.
    running: Vec<bool>,
}

/// A window in work.
#[derive(Debug)]
struct Active {
    window: Arc<Window>,
    first_batch: usize,
    /// Batches still wanted: the last ones are left to a later window when memory runs out.
    n_batches: usize,
    /// Whether the last of them is finished by the next window.
    carries: bool,
    lanes: Lanes,
    /// The bands that have room, by their first tasks.
    admitted: HashSet<usize>,
    next_finish: usize,
    /// For each batch, its rows that have not arrived, and what went wrong.
    missing_rows: Vec<usize>,
    errors: Vec<Option<Error>>,
}

impl Active {
    fn new(window: Window, first_batch: usize, n_lanes: usize) -> Active {
        let n_batches = window.n_batches();
        Active {
            first_batch,
            n_batches,
            carries: window.carried().is_some(),
            lanes: Lanes::new(window.n_tasks(), n_lanes),
            admitted: HashSet::new(),
            next_finish: 0,
            missing_rows: window.n_reads().to_vec(),
            errors: vec![None; n_batches],
            window: Arc::new(window),
        }
    }

    /// The most bytes that a task takes which no other task of its band was given room for.
    fn task_bytes(&self, task: usize) -> usize {
        let is_first = !self.admitted.contains(&self.window.band_of(task));
        self.window.task_bytes(task, self.n_batches, is_first)
    }

    /// Batches that are finished here.
    fn n_own(&self) -> usize {
        self.n_batches - usize::from(self.carries)
    }

    /// Leaves the batch that the next window would finish to that one altogether.
    fn drop_carried(&mut self) {
        self.carries = false;
        self.n_batches -= 1;
        self.window.discard(self.n_batches);
    }

    /// What the next window goes on with.
    fn carried(&self) -> Option<Carried> {
        self.window.carried().filter(|_| self.carries)
    }

    /// Whether rows that the next window's first batch needs have not arrived.
    fn holds_up_next(&self) -> bool {
        self.carries && self.missing_rows[self.n_own()] > 0
    }
}

/// One step.
enum Work {
    Finish {
        window: Arc<Window>,
        first_batch: usize,
        batch: usize,
        error: Option<Error>,
    },
    Load {
        window: Arc<Window>,
        first_batch: usize,
        n_batches: usize,
        task: usize,
        bytes: usize,
    },
    Plan {
        first_batch: usize,
        n_batches: usize,
        carried: Option<Carried>,
    },
}

impl State {
    /// Leaves the last batch of the last window to a later one, unless it is the next one to be
    /// finished. Nothing of it may be in work.
    fn discard_last(&mut self) -> bool {
        let is_only = self.windows.len() == 1;
        let Some(last) = self.windows.back_mut() else {
            return false;
        };
        if last.carries {
            last.drop_carried();
            return true;
        }
        if is_only && last.n_batches - last.next_finish <= 1 {
            return false;
        }
        last.n_batches -= 1;
        last.window.discard(last.n_batches);
        self.next_planned = last.first_batch + last.n_batches;
        if last.n_batches == last.next_finish && !is_only {
            self.windows.pop_back();
            // That was the batch of which the window before had rows.
            if let Some(before) = self.windows.back_mut().filter(|before| before.carries) {
                before.drop_carried();
            }
        }
        true
    }

    /// Lets go of windows whose batches are finished. One that has rows of the next window's first
    /// batch stays until they have arrived.
    fn drop_finished(&mut self) {
        while let Some(front) = self.windows.front_mut()
            && front.next_finish == front.n_own()
            && !front.holds_up_next()
        {
            if front.carries && self.windows.len() == 1 {
                return;
            }
            let carried = self.windows.pop_front().filter(|front| front.carries);
            if let (Some(front), Some(next)) = (carried, self.windows.front_mut())
                && let Some(error) = &front.errors[front.n_own()]
            {
                next.errors[0].get_or_insert(error.clone());
            }
        }
    }

    /// The window with the first batch that is not finished, if all rows of it have arrived.
    fn complete(&mut self) -> Option<&mut Active> {
        self.drop_finished();
        let number = self
            .windows
            .iter()
            .position(|a| a.next_finish < a.n_own())?;
        let held_up = number > 0 && self.windows[number - 1].holds_up_next();
        let active = &mut self.windows[number];
        (!held_up && active.missing_rows[active.next_finish] == 0).then_some(active)
    }
}

impl Pipeline {
    /// Starts at a batch.
    pub(crate) fn start(job: Job, first_batch: usize) -> Pipeline {
        let workers = job.workers;
        let state = State {
            next_planned: first_batch,
            window_batches: 0,
            planning: false,
            windows: VecDeque::new(),
            loading: 0,
            ready: BTreeMap::new(),
            finishing: 0,
            next_delivered: first_batch,
            stop: false,
            panicked: false,
            running: vec![false; workers],
        };
        let shared = Arc::new(Shared {
            waiting: Arc::new(job.waiting()),
            job,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let threads = (0..workers)
            .filter_map(|number| {
                let shared = shared.clone();
                let name = format!("batches-{number}");
                // A thread that cannot be started is done without: the caller helps out.
                let thread = std::thread::Builder::new()
                    .name(name)
                    .spawn(move || shared.work(number));
                Some((number, thread.ok()?))
            })
            .collect();
        Pipeline {
            shared,
            threads,
            scratch: FillScratch::for_scan(),
            pid: std::process::id(),
            is_forked: is_forked(),
        }
    }

    /// Whether this is the process that made the pipeline.
    pub(crate) fn is_mine(&self) -> bool {
        self.pid == std::process::id()
    }

    /// Waits until the next batch is there, at most so long, and returns whether it is. Without
    /// threads, the caller does the work meanwhile, at least one step of it.
    pub(crate) fn wait(&mut self, timeout: Duration) -> bool {
        self.lock_when_there(Instant::now().checked_add(timeout))
            .is_some()
    }

    /// The next batch; to be called no more often than there are batches.
    pub(crate) fn next(&mut self) -> Result<Batch, Error> {
        let Some(mut state) = self.lock_when_there(None) else {
            return Err(Error::Worker);
        };
        let number = state.next_delivered;
        let Some(batch) = state.ready.remove(&number) else {
            return Err(Error::Worker);
        };
        state.next_delivered += 1;
        drop(state);
        self.shared.changed.notify_all();
        batch
    }

    /// The state when the next batch is there, or nothing more is done for it; `None` when it is
    /// not by `end`. Without threads, the caller does at least one step.
    fn lock_when_there(&mut self, end: Option<Instant>) -> Option<MutexGuard<'_, State>> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let is_there =
            |state: &State| state.panicked || state.ready.contains_key(&state.next_delivered);
        while !is_there(&state) {
            if self.threads.is_empty() || self.is_forked && !state.running.contains(&true) {
                let Some(work) = shared.choose(&mut state, 0) else {
                    break;
                };
                drop(state);
                shared.run(work, &mut self.scratch);
                state = shared.lock();
            } else {
                let rest = end.map(|end| end.saturating_duration_since(Instant::now()));
                state = shared.wait(state, rest);
            }
            if end.is_some_and(|end| Instant::now() >= end) && !is_there(&state) {
                return None;
            }
        }
        Some(state)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if !self.is_mine() {
            // The threads are not in this process, and the lock may be held for ever.
            std::mem::forget(std::mem::take(&mut self.threads));
            std::mem::forget(self.shared.clone());
            return;
        }
        let mut state = self.shared.lock();
        state.stop = true;
        let running = std::mem::take(&mut state.running);
        drop(state);
        self.shared.changed.notify_all();
        for (number, thread) in self.threads.drain(..) {
            // One that never ran has nothing to end, and may never come to it.
            if self.is_forked && !running[number] {
                continue;
            }
            // A panic was reported by the batch that it failed.
            let _ = thread.join();
        }
    }
}

/// Tells the caller when a thread panics, so that it does not wait for ever.
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

    /// Waits for a change, at most so long.
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

    /// What a thread does.
    fn work(&self, thread: usize) {
        let _guard = PanicGuard(self);
        let mut scratch = FillScratch::for_scan();
        if let Some(running) = self.lock().running.get_mut(thread) {
            *running = true;
        }
        loop {
            let mut state = self.lock();
            let work = loop {
                if state.stop {
                    return;
                }
                match self.choose(&mut state, thread) {
                    Some(work) => break work,
                    None => state = self.wait(state, None),
                }
            };
            drop(state);
            self.run(work, &mut scratch);
        }
    }

    /// The next step for a thread, if there is one that may be taken now.
    fn choose(&self, state: &mut State, thread: usize) -> Option<Work> {
        let awaited = state.finishing == 0 && !state.ready.contains_key(&state.next_delivered);
        if awaited || state.ready.len() + state.finishing < self.job.most_ready {
            // Batches are finished in order: only the first unfinished one matters.
            if let Some(active) = state.complete() {
                let batch = active.next_finish;
                active.next_finish += 1;
                let (window, first_batch) = (active.window.clone(), active.first_batch);
                let error = active.errors[batch].take();
                state.finishing += 1;
                return Some(Work::Finish {
                    window,
                    first_batch,
                    batch,
                    error,
                });
            }
        }
        state.drop_finished();
        let unstarted = state
            .windows
            .iter()
            .position(|active| !active.lanes.is_empty());
        match unstarted {
            Some(number) => {
                let active = &mut state.windows[number];
                let task = active.lanes.next(thread)?;
                let mut bytes = active.task_bytes(task);
                let room = self.job.window_bytes;
                if bytes > 0 && self.waiting.bytes() + state.loading + bytes > room {
                    // A later window takes what the oldest leaves, and that waits for what is
                    // being read, which may take less than it might.
                    if number > 0 || state.loading > 0 {
                        active.lanes.put_back(thread, task);
                        return None;
                    }
                    while self.waiting.bytes() + bytes > room && state.discard_last() {
                        bytes = state.windows[0].task_bytes(task);
                    }
                }
                let bytes = bytes.max(1);
                state.loading += bytes;
                let active = &mut state.windows[number];
                active.admitted.insert(active.window.band_of(task));
                Some(Work::Load {
                    window: active.window.clone(),
                    first_batch: active.first_batch,
                    n_batches: active.n_batches,
                    task,
                    bytes,
                })
            }
            None if !state.planning
                && state.next_planned < self.job.schedule.n_batches()
                && state.windows.len() < 2 =>
            {
                state.planning = true;
                let first_batch = state.next_planned;
                let n_batches = self.job.window_batches(first_batch, state.window_batches);
                state.window_batches = n_batches;
                Some(Work::Plan {
                    first_batch,
                    n_batches,
                    carried: state.windows.back().and_then(Active::carried),
                })
            }
            None => None,
        }
    }

    fn run(&self, work: Work, scratch: &mut FillScratch) {
        let plan = self.job.collection.plan();
        match work {
            Work::Finish {
                window,
                first_batch,
                batch,
                error,
            } => {
                let result = match (self.job.collection.check_open(), error) {
                    (Err(closed), _) => Err(closed),
                    (Ok(()), Some(error)) => Err(error),
                    (Ok(()), None) => window.finish(plan, batch),
                };
                let mut state = self.lock();
                state.finishing -= 1;
                state.ready.insert(first_batch + batch, result);
            }
            Work::Load {
                window,
                first_batch,
                n_batches,
                task,
                bytes,
            } => {
                let errors = window.load(plan, task, n_batches, scratch);
                let mut state = self.lock();
                state.loading -= bytes;
                let active = state
                    .windows
                    .iter_mut()
                    .find(|a| a.first_batch == first_batch);
                // A window stays until the batches that are wanted of it have their rows.
                if let Some(active) = active {
                    for batch in window.batches_of(task) {
                        active.missing_rows[batch] -= 1;
                    }
                    for (batch, error) in errors {
                        active.errors[batch].get_or_insert(error);
                    }
                }
            }
            Work::Plan {
                first_batch,
                n_batches,
                carried,
            } => {
                let job = &self.job;
                let planned =
                    job.plan_window(first_batch, n_batches, &self.waiting, carried.as_ref());
                let mut state = self.lock();
                state.planning = false;
                let carries = state.windows.back().is_some_and(|back| back.carries);
                match planned {
                    // Batches before it, or rows of its first one, were left to a later window
                    // meanwhile.
                    _ if state.next_planned != first_batch || carries != carried.is_some() => {}
                    Ok(window) => {
                        let active = Active::new(window, first_batch, job.n_lanes());
                        state.next_planned = first_batch + active.n_own();
                        state.windows.push_back(active);
                    }
                    // The rows of a batch do not fit together: that batch fails.
                    Err(error) => {
                        state.next_planned = first_batch + 1;
                        state.ready.insert(first_batch, Err(error));
                    }
                }
            }
        }
        self.changed.notify_all();
    }
}
