//! Assigns the tasks of a window to threads.

use std::ops::Range;

/// The tasks of a window that nobody has begun, in one lane per thread. Neighbouring tasks share a
/// chunk, and the thread that has just decoded it still holds it.
#[derive(Debug)]
pub(crate) struct TaskLanes(Vec<Range<usize>>);

impl TaskLanes {
    pub(crate) fn new(n_tasks: usize, n_lanes: usize) -> TaskLanes {
        let start = |lane: usize| n_tasks * lane / n_lanes;
        let lanes = (0..n_lanes).map(|lane| start(lane)..start(lane + 1));
        TaskLanes(lanes.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Range::is_empty)
    }

    /// Returns the next task for a thread. A thread whose lane is empty takes half of the longest
    /// lane.
    pub(crate) fn next(&mut self, thread: usize) -> Option<usize> {
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

    /// Puts back a task that [`next`](Self::next) just returned.
    pub(crate) fn put_back(&mut self, thread: usize, task: usize) {
        let own = thread % self.0.len();
        self.0[own].start = task;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_hand_out_each_task_once_and_threads_help_out() {
        for (n_tasks, n_lanes) in [(0, 1), (1, 3), (10, 3), (100, 4)] {
            let mut lanes = TaskLanes::new(n_tasks, n_lanes);
            let mut taken: Vec<usize> = (0..)
                .map_while(|turn| {
                    // The first thread is twice as fast as all others together.
                    let thread = if turn % 3 < 2 { 0 } else { turn / 3 % n_lanes };
                    lanes.next(thread)
                })
                .collect();
            assert!(lanes.is_empty());
            taken.sort_unstable();
            assert!(taken.into_iter().eq(0..n_tasks));
        }
    }

    #[test]
    fn lanes_continue_beside_the_last_task_of_a_thread() {
        let mut lanes = TaskLanes::new(10, 2);
        assert_eq!([lanes.next(0), lanes.next(1)], [Some(0), Some(5)]);
        assert_eq!([lanes.next(0), lanes.next(1)], [Some(1), Some(6)]);
        lanes.put_back(1, 6);
        assert_eq!(lanes.next(1), Some(6));
        assert_eq!((2..5).map(|_| lanes.next(0)).last(), Some(Some(4)));
        // The thread takes the far half of what the other thread has left.
        assert_eq!([lanes.next(0), lanes.next(1)], [Some(8), Some(7)]);
    }
}
