//! The progress of an epoch, and the choice of the next step.
//!
//! Nothing here waits, reads or locks. Threads hold the [`State`] only while they choose a step or
//! record one, so every rule can be tested without a thread.

use std::collections::{BTreeMap, VecDeque};

use crate::batch::Batch;
use crate::batch::waiting::WaitingRows;
use crate::error::read::ReadError;
use crate::loader::job::Job;
use crate::loader::prefetch::active::ActiveWindow;
use crate::loader::prefetch::step::{Done, Step};
use crate::loader::window::Window;

/// The progress of an epoch.
#[derive(Debug)]
pub(super) struct State {
    /// The first batch that is in no window yet.
    next_built: usize,
    /// The most batches with which the last window was built.
    window_batches: usize,
    building: bool,
    windows: VecDeque<ActiveWindow>,
    /// The most bytes that the rows being loaded may take, at least one byte per task.
    loading: usize,
    /// Finished batches that wait for the caller.
    ready: BTreeMap<usize, Result<Batch, ReadError>>,
    finishing: usize,
    next_delivered: usize,
    pub(super) panicked: bool,
    /// Which threads have begun to run.
    pub(super) running: Vec<bool>,
}

impl State {
    pub(super) fn new(first_batch: usize, workers: usize) -> State {
        State {
            next_built: first_batch,
            window_batches: 0,
            building: false,
            windows: VecDeque::new(),
            loading: 0,
            ready: BTreeMap::new(),
            finishing: 0,
            next_delivered: first_batch,
            panicked: false,
            running: vec![false; workers],
        }
    }

    /// Returns the next step for a thread, if one may be taken now. `waiting` counts the rows that
    /// wait for their batch.
    ///
    /// If no step is in progress and a batch is still to come, there always is a step.
    /// `ARCHITECTURE.md` has the proof.
    pub(super) fn choose(
        &mut self,
        job: &Job,
        waiting: &WaitingRows,
        thread: usize,
    ) -> Option<Step> {
        if let Some(step) = self.choose_finish(job) {
            return Some(step);
        }
        self.drop_finished();
        let mut windows = self.windows.iter();
        match windows.position(|active| !active.lanes.is_empty()) {
            Some(number) => self.choose_load(job, waiting, number, thread),
            None => self.choose_build(job),
        }
    }

    /// Finishes a batch if the caller waits for it or few batches are ready.
    fn choose_finish(&mut self, job: &Job) -> Option<Step> {
        let awaited = self.finishing == 0 && !self.ready.contains_key(&self.next_delivered);
        if !awaited && self.ready.len() + self.finishing >= job.budget.most_ready() {
            return None;
        }
        // Batches are finished in order: only the first unfinished one matters.
        let active = self.complete()?;
        let batch = active.next_finish;
        active.next_finish += 1;
        let step = Step::Finish {
            window: active.window.clone(),
            first_batch: active.first_batch,
            batch,
            error: active.errors[batch].take(),
        };
        self.finishing += 1;
        Some(step)
    }

    /// Loads a task of this window, the oldest that has tasks left, if there is room for its rows.
    fn choose_load(
        &mut self,
        job: &Job,
        waiting: &WaitingRows,
        number: usize,
        thread: usize,
    ) -> Option<Step> {
        let budget = &job.budget;
        let active = &mut self.windows[number];
        let task = active.lanes.next(thread)?;
        let mut bytes = active.task_bytes(task);
        let held = || waiting.bytes() + job.pack_bytes();
        if bytes > 0 && !budget.has_room(held(), self.loading, bytes) {
            // A later window takes only what the oldest leaves. The oldest waits for the tasks
            // being loaded, which may take less than their most.
            if number > 0 || self.loading > 0 {
                active.lanes.put_back(thread, task);
                return None;
            }
            while !budget.has_room(held(), 0, bytes) && self.discard_last() {
                bytes = self.windows[0].task_bytes(task);
            }
        }
        let bytes = bytes.max(1);
        self.loading += bytes;
        let active = &mut self.windows[number];
        active.admit(task);
        Some(Step::Load {
            window: active.window.clone(),
            first_batch: active.first_batch,
            n_batches: active.n_batches,
            task,
            bytes,
        })
    }

    /// Builds the next window if fewer than two are in progress.
    fn choose_build(&mut self, job: &Job) -> Option<Step> {
        let is_last = self.next_built >= job.schedule.n_reads();
        if self.building || is_last || self.windows.len() >= 2 {
            return None;
        }
        self.building = true;
        let first_batch = self.next_built;
        let n_batches = job.window_batches(first_batch, self.window_batches);
        self.window_batches = n_batches;
        Some(Step::Build {
            first_batch,
            n_batches,
            carried: self.windows.back().and_then(ActiveWindow::carried),
        })
    }

    /// Records a step that was run.
    pub(super) fn record(&mut self, job: &Job, done: Done) {
        match done {
            Done::Finish { number, batch } => self.finished(number, batch),
            Done::Load {
                window,
                first_batch,
                task,
                bytes,
                errors,
            } => self.loaded(&window, first_batch, (task, bytes), errors),
            Done::Build {
                first_batch,
                carried,
                window,
            } => self.built(job, first_batch, carried, window),
        }
    }

    /// Records a batch that was finished.
    fn finished(&mut self, number: usize, batch: Result<Batch, ReadError>) {
        self.finishing -= 1;
        self.ready.insert(number, batch);
    }

    /// Records a task that was loaded. `errors` lists the batches with rows that could not be read.
    fn loaded(
        &mut self,
        window: &Window,
        first_batch: usize,
        (task, bytes): (usize, usize),
        errors: Vec<(usize, ReadError)>,
    ) {
        self.loading -= bytes;
        // A window stays until its wanted batches have their rows.
        let mut windows = self.windows.iter_mut();
        if let Some(active) = windows.find(|active| active.first_batch == first_batch) {
            for batch in window.batches_of(task) {
                active.missing_rows[batch] -= 1;
            }
            for (batch, error) in errors {
                active.errors[batch].get_or_insert(error);
            }
        }
    }

    /// Records the window that was built from batch `first_batch` on. It may begin with a batch
    /// that the window before it `carried` over.
    fn built(
        &mut self,
        job: &Job,
        first_batch: usize,
        carried: bool,
        window: Result<Window, ReadError>,
    ) {
        self.building = false;
        let carries = self.windows.back().is_some_and(|back| back.carries);
        if self.next_built != first_batch || carries != carried {
            // Meanwhile, batches before it or rows of its first batch were left to a later window.
            return;
        }
        match window {
            Ok(window) => {
                let n_lanes = job.n_lanes(window.mode());
                let active = ActiveWindow::new(window, first_batch, n_lanes);
                self.next_built = first_batch + active.n_own();
                self.windows.push_back(active);
            }
            // The rows of a batch do not fit together: that batch fails.
            Err(error) => {
                self.next_built = first_batch + 1;
                self.ready.insert(first_batch, Err(error));
            }
        }
    }

    /// Whether [`deliver`](Self::deliver) has an answer.
    pub(super) fn is_next_ready(&self) -> bool {
        self.panicked || self.ready.contains_key(&self.next_delivered)
    }

    /// Returns the next batch for the caller, if it is ready.
    pub(super) fn deliver(&mut self) -> Option<Result<Batch, ReadError>> {
        let batch = self.ready.remove(&self.next_delivered)?;
        self.next_delivered += 1;
        Some(batch)
    }

    /// Leaves the last batch of the last window to a later one, unless it is the next to be
    /// finished. No step of it may be in progress.
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
        self.next_built = last.first_batch + last.n_batches;
        if last.n_batches == last.next_finish && !is_only {
            self.windows.pop_back();
            // That was the batch of which the window before had read rows.
            if let Some(before) = self.windows.back_mut().filter(|before| before.carries) {
                before.drop_carried();
            }
        }
        true
    }

    /// Drops windows whose batches are finished. A window that reads rows of the next window's
    /// first batch stays until they have arrived.
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

    /// The window with the first unfinished batch, if all rows of that batch have arrived.
    fn complete(&mut self) -> Option<&mut ActiveWindow> {
        self.drop_finished();
        let mut windows = self.windows.iter();
        let number = windows.position(|active| active.next_finish < active.n_own())?;
        let held_up = number > 0 && self.windows[number - 1].holds_up_next();
        let active = &mut self.windows[number];
        (!held_up && active.missing_rows[active.next_finish] == 0).then_some(active)
    }
}
