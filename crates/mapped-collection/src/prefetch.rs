//! Reading ahead: windows of coming batches, loaded by plain threads while the caller works.
//!
//! One mutex guards what is to be done; no work is done under it. Every thread, and the caller
//! when there are no threads, repeats one step: finish the next batch whose rows have all arrived,
//! or else load the next task that the budget allows, or else plan the next window. Tasks start in
//! order, so the oldest window always gets on, and batches leave in order. The mutex belongs to the
//! process that made it: a forked child makes a pipeline of its own.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::batch::{Batch, BatchFormat, FillScratch};
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::order::Together;
use crate::recycle::{Recycler, Waiting};
use crate::schedule::Schedule;
use crate::window::{Reading, Window};

/// Windows grow by this factor, from one batch to what the budget allows: the first batch comes at
/// once, and few windows are small.
const GROWTH: usize = 16;
/// Part of the budget that windows are planned to fill: rows may pack worse than those before.
const FILLED: f64 = 0.95;
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
    window_bytes: usize,
    /// The most bytes of a batch, as the first one has it.
    batch_bytes: usize,
    /// Finished batches that may wait for the caller.
    most_ready: usize,
    gain: Gain,
    recycler: Arc<Recycler>,
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
        let gain = Gain::new(collection, &schedule);
        let (waiting_bytes, finished_bytes) = match schedule.rows(0) {
            None => (0, 0),
            Some(rows) => {
                let mut rows = Some(rows);
                let (next, reading) = (|| rows.take(), gain.reading());
                let window = Window::plan(plan, next, 1, (0, 1.0), &format, reading, None)?;
                (window.waiting_bytes(0), window.finished_bytes(0))
            }
        };
        let batch_bytes = waiting_bytes.max(finished_bytes);
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
        let most_ready = (budget / 4 / finished_bytes.max(1)).clamp(1, MOST_READY);
        let window_bytes = budget - most_ready * finished_bytes;
        let (collection, recycler) = (collection.clone(), recycler.clone());
        Ok(Job {
            collection,
            schedule,
            format,
            workers,
            window_bytes,
            batch_bytes,
            most_ready,
            gain,
            recycler,
        })
    }
}

/// What a larger window is good for: fewer decodes.
#[derive(Debug, Clone, Copy)]
enum Gain {
    /// Rows are read without decoding their neighbours. A small window stays in the processor's
    /// cache.
    Nothing,
    /// Rows come in file order.
    InOrder,
    /// Neighbours come within so many positions, and pools of that size follow each other.
    Within { rows: usize },
    /// Neighbours come anywhere.
    Always {
        /// Rows of a window that decodes a good part of all chunks already: a larger one costs
        /// little more.
        enough: usize,
    },
}

/// A block cuts chunks at both ends, and what is cut is decoded for its neighbours' windows again.
/// Where that is more than this part of a block, windows as large as the budget allows are worth
/// their memory.
const CUT: f64 = 0.15;

impl Gain {
    fn new(collection: &MappedCollection, schedule: &Schedule) -> Gain {
        let stores = || {
            let stores = collection.plan().stores.iter();
            stores.map(|store| (store.rows.len(), store.matrices.iter().flatten()))
        };
        if stores().all(|(_, mut sources)| sources.all(|source| source.is_direct())) {
            return Gain::Nothing;
        }
        // Bands of chunks that all rows lie in, and rows of one of them.
        let n_bands: f64 = stores()
            .map(|(n_rows, sources)| {
                let rows_per_band = sources.map(|source| source.rows_per_band()).max();
                n_rows as f64 / rows_per_band.unwrap_or(1) as f64
            })
            .sum();
        let rows_per_band = collection.n_obs() as f64 / n_bands.max(1.0);
        let always = Gain::Always {
            enough: n_bands as usize / 2,
        };
        match schedule.order.together() {
            Together::Neighbours => Gain::InOrder,
            Together::Within { block, .. } if rows_per_band > CUT * block as f64 => always,
            Together::Within { pool, .. } => Gain::Within { rows: pool },
            Together::Anywhere => always,
        }
    }

    fn reading(self) -> Reading {
        match self {
            Gain::Nothing => Reading::ByBatch,
            Gain::InOrder => Reading::Together,
            Gain::Within { .. } | Gain::Always { .. } => Reading::Packed,
        }
    }
}

impl Job {
    /// Batches of a window that begins at this one, at the most; `before` is how many the one
    /// before it had.
    fn most_batches(&self, first: usize, before: usize) -> usize {
        let step = self.schedule.step_rows();
        let grown = before.saturating_mul(GROWTH).max(1);
        match self.gain {
            Gain::Nothing | Gain::InOrder => grown.min(FEW_BATCHES),
            Gain::Within { rows } => {
                let position = self.schedule.start + first * step;
                // To the end of the pool, or of the next when this one is nearly through.
                let rest = rows - position % rows;
                let pool = if rest < step { rest + rows } else { rest };
                grown.min(pool.div_ceil(step))
            }
            Gain::Always { enough } => {
                let rows = grown.saturating_mul(self.schedule.batch_size);
                if before > 0 && rows > enough {
                    usize::MAX
                } else {
                    grown
                }
            }
        }
    }
}

/// Batches being prepared.
#[derive(Debug)]
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// For work that the caller does itself.
    scratch: FillScratch,
    pid: u32,
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
    /// Batches that the last window was planned with, at the most.
    window_batches: usize,
    planning: bool,
    windows: VecDeque<Active>,
    /// Bytes that rows which are being loaded may take.
    loading: usize,
    ready: BTreeMap<usize, Result<Batch, Error>>,
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
    /// Batches still wanted: the last ones are left to a later window when memory runs out.
    n_batches: usize,
    lanes: Lanes,
    next_finish: usize,
    /// For each batch, its rows that have not arrived, and what went wrong.
    missing_rows: Vec<usize>,
    errors: Vec<Option<Error>>,
}

/// The tasks of a window that nobody has begun, a lane for each thread: neighbouring tasks share a
/// chunk, which the thread that has just decoded it still holds.
#[derive(Debug)]
struct Lanes(Vec<Range<usize>>);

impl Lanes {
    fn new(n_tasks: usize, n_lanes: usize) -> Lanes {
        let start = |lane: usize| n_tasks * lane / n_lanes;
        let lanes = (0..n_lanes).map(|lane| start(lane)..start(lane + 1));
        Lanes(lanes.collect())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Range::is_empty)
    }

    /// The next task for a thread. One whose lane is empty gets half of the longest one.
    fn next(&mut self, thread: usize) -> Option<usize> {
        let own = thread % self.0.len();
        if self.0[own].is_empty() {
            let longest = self.0.iter_mut().max_by_key(|lane| lane.len())?;
            let middle = longest.start + longest.len() / 2;
            let half = middle..longest.end;
            longest.end = middle;
            self.0[own] = half;
        }
        self.0[own].next()
    }

    /// Leaves a task for later that [`next`](Self::next) just gave.
    fn put_back(&mut self, thread: usize, task: usize) {
        let own = thread % self.0.len();
        self.0[own].start = task;
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
        most: usize,
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
        if is_only && last.n_batches - last.next_finish <= 1 {
            return false;
        }
        last.n_batches -= 1;
        last.window.discard(last.n_batches);
        self.next_planned = last.first_batch + last.n_batches;
        if last.n_batches == last.next_finish && !is_only {
            self.windows.pop_back();
        }
        true
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
        };
        let shared = Arc::new(Shared {
            waiting: Arc::new(Waiting::new(&job.recycler, job.batch_bytes)),
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
                    .spawn(move || shared.work(number))
                    .ok()
            })
            .collect();
        Pipeline {
            shared,
            threads,
            scratch: FillScratch::for_scan(),
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
                drop(state);
                shared.changed.notify_all();
                return batch;
            }
            // Without threads, the caller does the work; with threads, it waits.
            state = if self.threads.is_empty() {
                match shared.choose(&mut state, 0) {
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
    fn work(&self, thread: usize) {
        let _guard = PanicGuard(self);
        let mut scratch = FillScratch::for_scan();
        loop {
            let mut state = self.lock();
            let work = loop {
                if state.stop {
                    return;
                }
                match self.choose(&mut state, thread) {
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

    /// The next step for a thread, if there is one that may be taken now.
    fn choose(&self, state: &mut State, thread: usize) -> Option<Work> {
        let awaited = state.finishing == 0 && !state.ready.contains_key(&state.next_delivered);
        if awaited || state.ready.len() + state.finishing < self.job.most_ready {
            // Batches are finished in order: only the first unfinished one matters.
            let unfinished = state
                .windows
                .iter_mut()
                .find(|a| a.next_finish < a.n_batches);
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
            .is_some_and(|a| a.next_finish == a.n_batches)
        {
            state.windows.pop_front();
        }
        let unstarted = state
            .windows
            .iter()
            .position(|active| !active.lanes.is_empty());
        match unstarted {
            Some(number) => {
                let n_batches = state.windows[number].n_batches;
                let task = state.windows[number].lanes.next(thread)?;
                let active = &state.windows[number];
                let mut bytes = active.window.task_bytes(task, n_batches);
                if self.waiting.bytes() + state.loading + bytes > self.job.window_bytes {
                    // A later window takes what the oldest leaves, and that waits for what is
                    // being read, which may take less than it might.
                    if number > 0 || state.loading > 0 {
                        state.windows[number].lanes.put_back(thread, task);
                        return None;
                    }
                    while self.waiting.bytes() + bytes > self.job.window_bytes
                        && state.discard_last()
                    {
                        let active = &state.windows[0];
                        bytes = active.window.task_bytes(task, active.n_batches);
                    }
                }
                state.loading += bytes;
                let active = &state.windows[number];
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
                let most = self
                    .job
                    .most_batches(state.next_planned, state.window_batches);
                state.window_batches = most;
                Some(Work::Plan {
                    first_batch: state.next_planned,
                    most,
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
                let job = &self.job;
                // Batches that are read one by one come soonest in their order.
                let n_lanes = match job.gain.reading() {
                    Reading::ByBatch => 1,
                    Reading::Together | Reading::Packed => job.workers.max(1),
                };
                let packing = job.recycler.packing() / FILLED;
                let planned = Window::plan(
                    plan,
                    next,
                    most,
                    (job.window_bytes, packing),
                    &job.format,
                    job.gain.reading(),
                    Some(&self.waiting),
                );
                let mut state = self.lock();
                state.planning = false;
                match planned {
                    // Batches before it were left to a later window meanwhile.
                    _ if state.next_planned != first_batch => {}
                    Ok(window) => {
                        let n_batches = window.n_batches();
                        state.next_planned = first_batch + n_batches;
                        state.windows.push_back(Active {
                            first_batch,
                            n_batches,
                            lanes: Lanes::new(window.n_tasks(), n_lanes),
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
