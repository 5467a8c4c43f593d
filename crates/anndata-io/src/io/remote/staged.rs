//! Ranges that were asked for ahead: many requests at once hide how long each takes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use once_cell::race::OnceBox;

use super::client::{Answer, request};
use super::failure::Failure;
use super::object::Version;
use super::url::RemoteUrl;
use crate::io::fork::{ForkLocal, Process};

/// The most bytes that a process asks for ahead.
const MOST_BYTES: u64 = 48 << 20;
/// The most bytes of one request.
const MOST_OF_REQUEST: u64 = 1 << 20;
/// Ranges that were not read when others were added this often are given up.
const MOST_AGE: u64 = 64;
/// Ranges that are this close are asked for together.
const MOST_BETWEEN: u64 = 4 << 10;

/// The ranges of an object that are on their way or here, by their first byte.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    by_start: BTreeMap<u64, Piece>,
    /// The number of times that ranges were added.
    n_added: u64,
}

#[derive(Debug)]
struct Piece {
    end: u64,
    /// When it was asked for, as the number of times that ranges had been added.
    added: u64,
    /// The bytes that nobody has read yet.
    unread: u64,
    answer: Arc<Pending>,
    _room: Room,
}

/// An answer that one thread waits for, and all others then have.
#[derive(Debug)]
struct Pending {
    receiver: Mutex<Receiver<Result<Answer, Failure>>>,
    answer: OnceLock<Option<Arc<Answer>>>,
}

/// A part of the bytes that a process asks for ahead; dropping it frees the part.
#[derive(Debug)]
struct Room {
    bytes: u64,
    process: Process,
}

/// The bytes of all parts. A forked child starts with what its parent has, and never frees it; so
/// the child has its own count.
static HELD: OnceBox<ForkLocal<AtomicU64>> = OnceBox::new();

impl Room {
    fn held() -> &'static AtomicU64 {
        let held = HELD.get_or_init(|| Box::new(ForkLocal::new(AtomicU64::default)));
        held.get()
    }

    /// `None` if there is not so much left.
    fn reserve(bytes: u64) -> Option<Room> {
        let order = Ordering::Relaxed;
        let more = |held: u64| held.checked_add(bytes).filter(|&held| held <= MOST_BYTES);
        let process = Process::current();
        let reserved = Room::held().fetch_update(order, order, more);
        reserved.ok().map(|_| Room { bytes, process })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.process.is_forked() {
            Room::held().fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Staged {
    /// Asks for ranges, which ascend, as far as there is room.
    pub(super) fn add(
        &self,
        ranges: impl Iterator<Item = Range<u64>>,
        url: &RemoteUrl,
        version: &Version,
    ) {
        let mut pieces = self.pieces();
        let Pieces {
            by_start: pieces,
            n_added,
        } = &mut *pieces;
        *n_added += 1;
        let added = *n_added;
        // Nobody wanted these: their chunks were found elsewhere.
        pieces.retain(|_, piece| piece.added + MOST_AGE > added);
        let ranges = ranges.filter(|range| !range.is_empty());
        let new: Vec<Range<u64>> = ranges.filter(|range| !covers(pieces, range)).collect();
        for (range, wanted) in merged(new) {
            let Some(room) = Room::reserve(range.end - range.start) else {
                return;
            };
            let Ok(receiver) = request(url, range.clone(), Some(version)) else {
                return;
            };
            let piece = Piece {
                end: range.end,
                added,
                unread: wanted,
                _room: room,
                answer: Arc::new(Pending {
                    receiver: Mutex::new(receiver),
                    answer: OnceLock::new(),
                }),
            };
            pieces.insert(range.start, piece);
        }
    }

    /// Returns a range that was asked for, with the position of the first byte of its answer. Waits
    /// for it, and gives it up once all of it was read, unless `is_kept`. `None` if it was not asked
    /// for, an error if the request failed.
    pub(super) fn take(
        &self,
        range: Range<u64>,
        is_kept: bool,
    ) -> Option<Result<(u64, Arc<Answer>), ()>> {
        let (start, pending) = {
            let pieces = &mut self.pieces().by_start;
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
            let receiver = pending
                .receiver
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            receiver.recv().ok()?.ok().map(Arc::new)
        });
        if answer.is_none() {
            self.pieces().by_start.remove(&start);
        }
        Some(answer.clone().map(|answer| (start, answer)).ok_or(()))
    }

    /// Gives up all ranges.
    pub(super) fn clear(&self) {
        self.pieces().by_start.clear();
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn covers(pieces: &BTreeMap<u64, Piece>, range: &Range<u64>) -> bool {
    let before = pieces.range(..range.end).next_back();
    before.is_some_and(|(_, piece)| piece.end > range.start)
}

/// Joins neighbouring ranges into requests, with the number of bytes that are wanted of each.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<(Range<u64>, u64)> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<(Range<u64>, u64)> = Vec::new();
    for range in ranges {
        let len = range.end - range.start;
        match merged.last_mut() {
            Some((last, wanted))
                if range.start >= last.end
                    && range.start - last.end <= MOST_BETWEEN
                    && range.end - last.start <= MOST_OF_REQUEST =>
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
        assert_eq!(merged(ranges), expected);
        assert_eq!(
            merged(vec![0..10, 5..20]),
            vec![(0..10, 10)],
            "no byte twice"
        );
    }
}
