//! Reading ahead: windows of coming batches, loaded by plain threads while the caller works.
//!
//! One mutex guards what is to be done; no work is done under it. Every thread, and the caller
//! when there are no threads, repeats one step: finish the next batch whose rows have all arrived,
//! or else load the next task that the budget allows, or else plan the next window. Tasks start in
//! order, so the oldest window always gets on, and batches leave in order. The mutex belongs to the
//! process that made it: a forked child makes a pipeline of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anndata_io::ReadScratch;

use crate::batch::{Batch, BatchFormat};
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::recycle::Recycler;
use crate::schedule::Schedule;
use crate::window::Window;

/// Windows grow by this factor, from one batch to what the budget allows: the first batch comes at
/// once, and few windows are small.
const GROWTH: usize = 16;
/// Batches of a window that gains nothing by being larger: enough to keep the threads busy.
const FEW_BATCHES: usize = 4;
/// Finished batches that wait for the caller, at the most.
const MOST_READY: usize = 8;

/// What a pipeline delivers, and within which bounds.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) collection: MappedCollection,
    pub(crate) schedule: Schedule,
    pub(crate) format: BatchFormat,
    pub(crate) workers: usize,
    /// Bytes of rows that may wait for their batches.
    pub(crate) window_bytes: usize,
    /// Finished batches that may wait for the caller.
    pub(crate) most_ready: usize,
    gain: Gain,
    pub(crate) recycler: Arc<Recycler>,
}

impl Job {
    /// Divides a budget: finished batches take at most a quarter, rows that wait the rest.
    ///
    /// # Errors
    /// When one batch does not fit.
    pub(crate) fn new(
        collection: &MappedCollection,
        schedule: Schedule,
        format: BatchFormat,
        workers: usize,
        memory: usize,
        recycler: &Arc<Recycler>,
    ) -> Result<Job, Error> {
        let cache = collection.io().options().cache_bytes;
        let plan = collection.plan();
        let budget = memory.saturating_sub(cache);
        let batch_bytes = match schedule.rows(0) {
            None => 0,
            Some(rows) => {
                let mut rows = Some(rows);
                let window = Window::plan(plan, || rows.take(), 2, 0, &format, None)?;
                window.batch_bytes(0) + window.finishing_bytes(0)
            }
        };
        if batch_bytes * 2 > budget {
            return Err(Error::Option {
                option: "memory",
                expected: format!(
                    "at least {} bytes: {cache} for the cache of chunks, and room for two batches",
                    cache + 2 * batch_bytes
                ),
                found: memory.to_string(),
            });
        }
        let most_ready = (budget / 4 / batch_bytes.max(1)).clamp(1, MOST_READY);
        let window_bytes = budget - most_ready * batch_bytes;
        let sources = plan
            .stores
            .iter()
            .flat_map(|store| store.matrices.iter().flatten());
        let gain = match schedule.order.rows_together() {
            _ if sources.into_iter().all(|source| source.is_direct()) => Gain::Nothing,
            Some(1) => Gain::Nothing,
            Some(rows) => Gain::Within { rows },
            None => Gain::Always,
        };
        let (collection, recycler) = (collection.clone(), recycler.clone());
        Ok(Job {
            collection,
            schedule,
            format,
            workers,
            window_bytes,
            most_ready,
            gain,
            recycler,
        })
    }
}

/// What a larger window is good for: fewer decodes.
#[derive(Debug, Clone, Copy)]
enum Gain {
    /// Rows are read without decoding their neighbours, or come in file order. A small window
    /// stays in the processor's cache.
    Nothing,
    /// Neighbours come within so many positions, and pools of that size follow each other.
    Within { rows: usize },
    /// Neighbours come anywhere.
    Always,
}

impl Job {
    /// Batches of a window that begins at this one, at the most.
    fn most_batches(&self, first: usize) -> usize {
        match self.gain {
            Gain::Nothing => FEW_BATCHES,
            Gain::Within { rows } => {
                let step = self.schedule.step_rows();
                let position = self.schedule.start + first * step;
                // To the end of the pool, or of the next when this one is nearly through.
                let rest = rows - position % rows;
                (if rest < step { rest + rows } else { rest }).div_ceil(step)
            }
            Gain::Always => usize::MAX,
        }
    }
}

/// Batches being prepared.
#[derive(Debug)]
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// For work that the caller does itself.
    scratch: ReadScratch,
    pid: u32,
}

#[derive(Debug)]
struct Shared {
    job: Job,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The next batch that no window has.
    next_planned: usize,
    /// Batches of the next window, at the most.
    window_batches: usize,
    planning: bool,
    windows: VecDeque<Active>,
    /// Bytes of rows that are loaded, or being loaded, and not delivered.
    reserved: usize,
    ready: BTreeMap<usize, Result<Batch, Error>>,
    /// Bytes to give back when a batch is delivered.
    ready_bytes: BTreeMap<usize, usize>,
    finishing: usize,
    next_delivered: usize,
    stop: bool,
    panicked: bool,
}

/// A window in work.
#[derive(Debug)]
struct Active {
    window: Arc<Window>,
    first_batch: usize,
    next_task: usize,
    next_finish: usize,
    /// For each batch, its rows that have not arrived, and what went wrong.
    missing_rows: Vec<usize>,
    errors: Vec<Option<Error>>,
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
        task: usize,
    },
    Plan {
        first_batch: usize,
        most: usize,
    },
}

impl Pipeline {
    /// Starts at a batch.
    pub(crate) fn start(job: Job, first_batch: usize) -> Pipeline {
        let workers = job.workers;
        let state = State {
            next_planned: first_batch,
            window_batches: 1,
            planning: false,
            windows: VecDeque::new(),
            reserved: 0,
            ready: BTreeMap::new(),
            ready_bytes: BTreeMap::new(),
            finishing: 0,
            next_delivered: first_batch,
            stop: false,
            panicked: false,
        };
        let shared = Arc::new(Shared {
            job,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let threads = (0..workers)
            .filter_map(|number| {
                let shared = shared.clone();
                let name = format!("batches-{number}");
                // A thread that cannot be started is done without: the caller helps out.
                std::thread::Builder::new()
                    .name(name)
                    .spawn(move || shared.work())
                    .ok()
            })
            .collect();
        Pipeline {
            shared,
            threads,
            scratch: ReadScratch::for_scan(),
            pid: std::process::id(),
        }
    }

    /// Whether this is the process that made the pipeline.
    pub(crate) fn is_mine(&self) -> bool {
        self.pid == std::process::id()
    }

    /// The next batch; to be called no more often than there are batches.
    pub(crate) fn next(&mut self) -> Result<Batch, Error> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        loop {
            if state.panicked {
                return Err(Error::Worker);
            }
            let number = state.next_delivered;
            if let Some(batch) = state.ready.remove(&number) {
                state.next_delivered += 1;
                let bytes = state.ready_bytes.remove(&number).unwrap_or(0);
                state.reserved = state.reserved.saturating_sub(bytes);
                drop(state);
                shared.changed.notify_all();
                return batch;
            }
            // Without threads, the caller does the work; with threads, it waits.
            state = if self.threads.is_empty() {
                match shared.choose(&mut state) {
                    Some(work) => {
                        drop(state);
                        shared.run(work, &mut self.scratch);
                        shared.lock()
                    }
                    None => return Err(Error::Worker),
                }
            } else {
                shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner)
            };
        }
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
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
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

    /// What a thread does.
    fn work(&self) {
        let _guard = PanicGuard(self);
        let mut scratch = ReadScratch::for_scan();
        loop {
            let mut state = self.lock();
            let work = loop {
                if state.stop {
                    return;
                }
                match self.choose(&mut state) {
                    Some(work) => break work,
                    None => {
                        state = self
                            .changed
                            .wait(state)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(state);
            self.run(work, &mut scratch);
        }
    }

    /// The next step, if there is one that may be taken now.
    fn choose(&self, state: &mut State) -> Option<Work> {
        let awaited = state.finishing == 0 && !state.ready.contains_key(&state.next_delivered);
        if awaited || state.ready.len() + state.finishing < self.job.most_ready {
            // Batches are finished in order: only the first unfinished one matters.
            let unfinished = state
                .windows
                .iter_mut()
                .find(|a| a.next_finish < a.window.n_batches());
            if let Some(active) = unfinished
                && active.missing_rows[active.next_finish] == 0
            {
                let batch = active.next_finish;
                active.next_finish += 1;
                state.finishing += 1;
                let (window, first_batch) = (active.window.clone(), active.first_batch);
                let error = active.errors[batch].take();
                return Some(Work::Finish {
                    window,
                    first_batch,
                    batch,
                    error,
                });
            }
        }
        while state
            .windows
            .front()
            .is_some_and(|a| a.next_finish == a.window.n_batches())
        {
            state.windows.pop_front();
        }
        let unstarted = state
            .windows
            .iter()
            .position(|a| a.next_task < a.window.n_tasks());
        match unstarted {
            Some(number) => {
                let active = &mut state.windows[number];
                let task = active.next_task;
                let bytes = active.window.task_bytes(task);
                // The oldest window fits by itself; a later one takes what is left.
                if number > 0 && state.reserved + bytes > self.job.window_bytes {
                    return None;
                }
                active.next_task += 1;
                state.reserved += bytes;
                let (window, first_batch) = (active.window.clone(), active.first_batch);
                Some(Work::Load {
                    window,
                    first_batch,
                    task,
                })
            }
            None if !state.planning
                && state.next_planned < self.job.schedule.n_batches()
                && state.windows.len() < 2 =>
            {
                state.planning = true;
                let most = state
                    .window_batches
                    .min(self.job.most_batches(state.next_planned));
                state.window_batches = most.saturating_mul(GROWTH);
                Some(Work::Plan {
                    first_batch: state.next_planned,
                    most,
                })
            }
            None => None,
        }
    }

    fn run(&self, work: Work, scratch: &mut ReadScratch) {
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
                state
                    .ready_bytes
                    .insert(first_batch + batch, window.batch_bytes(batch));
            }
            Work::Load {
                window,
                first_batch,
                task,
            } => {
                let errors = window.load(plan, task, scratch);
                let mut state = self.lock();
                let active = state
                    .windows
                    .iter_mut()
                    .find(|a| a.first_batch == first_batch);
                let active = active.expect("a window stays until its batches are finished");
                for batch in window.batches_of(task) {
                    active.missing_rows[batch] -= 1;
                }
                for (batch, error) in errors {
                    active.errors[batch].get_or_insert(error);
                }
            }
            Work::Plan { first_batch, most } => {
                let schedule = &self.job.schedule;
                let mut number = first_batch;
                let next = || {
                    number += 1;
                    schedule.rows(number - 1)
                };
                let Job {
                    window_bytes,
                    format,
                    recycler,
                    ..
                } = &self.job;
                let planned = Window::plan(plan, next, most, *window_bytes, format, Some(recycler));
                let mut state = self.lock();
                state.planning = false;
                match planned {
                    Ok(window) => {
                        let n_batches = window.n_batches();
                        state.next_planned = first_batch + n_batches;
                        state.windows.push_back(Active {
                            first_batch,
                            next_task: 0,
                            next_finish: 0,
                            missing_rows: (0..n_batches)
                                .map(|batch| window.n_rows(batch))
                                .collect(),
                            errors: vec![None; n_batches],
                            window: Arc::new(window),
                        });
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
