//! Ranges that were asked for ahead: many requests at once hide how long each takes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

use super::client::{Answer, Part, Request, request};
use super::failure::Failure;
use super::object::Version;
use super::url::RemoteUrl;
use crate::io::fork::{ForkLocal, Process};
use crate::io::lock::lock;

/// The most bytes that a process asks for ahead.
const MOST_BYTES: u64 = 48 << 20;
/// The most bytes of one request.
const MOST_OF_REQUEST: u64 = 1 << 20;
/// When there is no room, ranges that were not read for so long are given up: their chunks were
/// found elsewhere, or nobody wants them any more.
const MOST_AGE: Duration = Duration::from_secs(20);
/// Ranges that are this close are asked for together.
const MOST_BETWEEN: u64 = 4 << 10;

/// The ranges of an object that are on their way or here, by their first byte; or the numbered
/// objects of a folder.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pieces: Arc<Mutex<Pieces>>,
}

type Pieces = BTreeMap<u64, Piece>;

#[derive(Debug)]
struct Piece {
    end: u64,
    asked: Instant,
    /// The bytes that nobody has read yet.
    unread: u64,
    answer: Arc<Pending>,
}

/// An answer that one thread waits for, and all others then have.
#[derive(Debug)]
struct Pending {
    request: Mutex<Request>,
    answer: OnceLock<Result<Arc<Answer>, Failure>>,
    /// Taken until nobody has the answer.
    _room: Room,
}

/// A part of the bytes that a process asks for ahead; dropping it frees the part.
#[derive(Debug)]
struct Room {
    bytes: u64,
    process: Process,
}

/// What the objects of a process share.
#[derive(Debug, Default)]
struct Shared {
    /// The bytes of all parts.
    held: AtomicU64,
    objects: Mutex<Vec<Weak<Mutex<Pieces>>>>,
}

/// A forked child begins anew, and leaves what its parent asked for alone.
static SHARED: OnceBox<ForkLocal<Shared>> = OnceBox::new();

impl Shared {
    fn get() -> &'static Shared {
        let shared = SHARED.get_or_init(|| Box::new(ForkLocal::new(Shared::default)));
        shared.get()
    }

    fn objects(&self) -> MutexGuard<'_, Vec<Weak<Mutex<Pieces>>>> {
        lock(&self.objects)
    }

    /// Gives up old ranges of all objects, except those that are in use at this moment.
    fn free_old(&self) {
        self.objects().retain(|object| {
            let Some(object) = object.upgrade() else {
                return false;
            };
            if let Ok(mut pieces) = object.try_lock() {
                retain_new(&mut pieces);
            }
            true
        });
    }
}

fn retain_new(pieces: &mut Pieces) {
    pieces.retain(|_, piece| piece.asked.elapsed() < MOST_AGE);
}

impl Room {
    /// `None` if there is not so much left.
    fn reserve(bytes: u64) -> Option<Room> {
        let order = Ordering::Relaxed;
        let more = |held: u64| held.checked_add(bytes).filter(|&held| held <= MOST_BYTES);
        let process = Process::current();
        let reserved = Shared::get().held.fetch_update(order, order, more);
        reserved.ok().map(|_| Room { bytes, process })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.process.is_forked() {
            Shared::get().held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Staged {
    /// Asks for ranges, which ascend, as far as there is room. Each comes with the number of its
    /// bytes that will be read.
    pub(super) fn add(
        &self,
        ranges: impl Iterator<Item = (Range<u64>, u64)>,
        url: &RemoteUrl,
        version: &Version,
    ) {
        let mut pieces = self.pieces();
        let ranges = ranges.filter(|(range, _)| !range.is_empty());
        let new: Vec<_> = ranges
            .filter(|(range, _)| !covers(&pieces, range))
            .collect();
        for (range, wanted) in merged(new, |range| !covers(&pieces, range)) {
            let bytes = range.end - range.start;
            let ask = || request(url, Part::Range(range.clone()), Some(version));
            if !insert(&mut pieces, range.clone(), (wanted, bytes), ask) {
                return;
            }
        }
    }

    /// Asks for whole objects that have numbers, as far as there is room. Each comes with the bytes
    /// that it may have.
    pub(super) fn add_objects(
        &self,
        numbers: impl Iterator<Item = (u64, u64)>,
        ask: impl Fn(u64) -> Result<Request, Failure>,
    ) {
        let mut pieces = self.pieces();
        for (number, bytes) in numbers {
            let range = number..number + 1;
            if !covers(&pieces, &range) && !insert(&mut pieces, range, (1, bytes), || ask(number)) {
                return;
            }
        }
    }

    /// Returns the answer to a range, or a number, that was asked for. Waits for it, and gives it up
    /// once all of it was read, unless `is_kept`. `None` if it was not asked for.
    pub(super) fn take(
        &self,
        range: Range<u64>,
        is_kept: bool,
    ) -> Option<Result<Arc<Answer>, Failure>> {
        let (start, pending) = {
            let mut pieces = self.pieces();
            let (&start, piece) = pieces.range_mut(..=range.start).next_back()?;
            if piece.end < range.end {
                return None;
            }
            let pending = piece.answer.clone();
            if !is_kept {
                piece.unread = piece.unread.saturating_sub(range.end - range.start);
                if piece.unread == 0 {
                    pieces.remove(&start);
                }
            }
            (start, pending)
        };
        let answer = pending.answer.get_or_init(|| {
            let mut request = lock(&pending.request);
            request.wait().map(Arc::new)
        });
        if answer.is_err() {
            self.pieces().remove(&start);
        }
        Some(answer.clone())
    }

    /// Gives up a range, or a number, that nobody reads any more. What is on its way for nobody else
    /// is not waited for.
    pub(super) fn give_up(&self, range: Range<u64>) {
        let mut pieces = self.pieces();
        if let Some((&start, piece)) = pieces.range_mut(..=range.start).next_back()
            && piece.end >= range.end
        {
            piece.unread = piece.unread.saturating_sub(range.end - range.start);
            if piece.unread == 0 {
                pieces.remove(&start);
            }
        }
    }

    /// Gives up all ranges.
    pub(super) fn clear(&self) {
        self.pieces().clear();
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        lock(&self.pieces)
    }
}

/// Makes a request and keeps it. Returns whether there is room for its bytes and it could be made.
fn insert(
    pieces: &mut Pieces,
    range: Range<u64>,
    (unread, bytes): (u64, u64),
    ask: impl FnOnce() -> Result<Request, Failure>,
) -> bool {
    let room = Room::reserve(bytes).or_else(|| {
        retain_new(pieces);
        Shared::get().free_old();
        Room::reserve(bytes)
    });
    let Some((room, request)) = room.and_then(|room| Some((room, ask().ok()?))) else {
        return false;
    };
    let piece = Piece {
        end: range.end,
        asked: Instant::now(),
        unread,
        answer: Arc::new(Pending {
            request: Mutex::new(request),
            answer: OnceLock::new(),
            _room: room,
        }),
    };
    pieces.insert(range.start, piece);
    true
}

fn covers(pieces: &Pieces, range: &Range<u64>) -> bool {
    let before = pieces.range(..range.end).next_back();
    before.is_some_and(|(_, piece)| piece.end > range.start)
}

/// Joins neighbouring ranges into requests, with the number of bytes that are wanted of each. What
/// lies between them must be free.
fn merged(
    mut ranges: Vec<(Range<u64>, u64)>,
    is_free: impl Fn(&Range<u64>) -> bool,
) -> Vec<(Range<u64>, u64)> {
    ranges.sort_unstable_by_key(|(range, _)| range.start);
    let mut merged: Vec<(Range<u64>, u64)> = Vec::new();
    for (range, len) in ranges {
        match merged.last_mut() {
            Some((last, wanted))
                if range.start >= last.end
                    && range.start - last.end <= MOST_BETWEEN
                    && range.end - last.start <= MOST_OF_REQUEST
                    && is_free(&(last.end..range.start)) =>
            {
                last.end = range.end;
                *wanted += len;
            }
            Some((last, _)) if range.start < last.end => {}
            _ => merged.push((range, len)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_ranges_are_close_and_not_too_long() {
        let mib = 1 << 20;
        let ranges = vec![
            10_000..10_100,
            0..100,
            100..200,
            5_000..5_001,
            300_000..300_000 + mib,
        ];
        let expected = vec![
            (0..200, 200),
            (5_000..5_001, 1),
            (10_000..10_100, 100),
            (300_000..300_000 + mib, mib),
        ];
        let wanted = |ranges: Vec<Range<u64>>| {
            let ranges = ranges.into_iter();
            ranges
                .map(|range| (range.clone(), range.end - range.start))
                .collect()
        };
        assert_eq!(merged(wanted(ranges.clone()), |_| true), expected);
        let between = merged(wanted(ranges), |between| between.start != 100);
        assert_eq!(between[..2], [(0..100, 100), (100..200, 100)]);
        assert_eq!(
            merged(vec![(0..10, 10), (5..20, 15)], |_| true),
            vec![(0..10, 10)],
            "no byte twice"
        );
    }
}
