//! The totals of all rows, for the median of them.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};

use anndata_io::{MatrixSource, ReadScratch, RowSink, ValuesRef};
use feature_join::{JointColumn, VarMap};

use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::ahead::in_order;
use crate::plan::matrices::MatrixKey;
use crate::transform::Totals;
use crate::transform::pipeline::TransformFault;
use crate::transform::total::Total;

/// The rows that a thread reads before it reports progress: at least these, up to the end of a band.
const PIECE_ROWS: usize = 4096;

thread_local! {
    static SCRATCH: RefCell<ReadScratch> = RefCell::new(ReadScratch::for_scan());
}

impl Plan {
    /// Whether a median of totals is not yet known.
    pub(crate) fn lacks_median(&self) -> bool {
        let mut pipelines = self.matrices.iter().filter_map(|key| key.pipeline.as_ref());
        pipelines.any(|pipeline| pipeline.lacks_median())
    }

    /// Computes the medians of totals that are not yet known. Calls `progress` with the fraction
    /// that is done; if that returns false, stops soon, and they remain unknown.
    ///
    /// # Errors
    /// When a row cannot be read, or its total is negative or not finite.
    pub(crate) fn find_medians(
        &self,
        n_threads: usize,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<(), ReadError> {
        for (number, key) in self.matrices.iter().enumerate() {
            let Some(pipeline) = key.pipeline.as_ref().filter(|known| known.lacks_median()) else {
                continue;
            };
            let Some(totals) = self.row_totals((number, key), n_threads, progress)? else {
                return Ok(());
            };
            pipeline.set_median(median(totals));
        }
        Ok(())
    }

    /// The totals of the kept rows of all stores that have a matrix; `None` if `progress` returned
    /// false.
    fn row_totals(
        &self,
        (number, key): (usize, &MatrixKey),
        n_threads: usize,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Vec<f64>>, ReadError> {
        let mut totals = Vec::with_capacity(self.n_obs());
        for (store, of_store) in self.stores.iter().enumerate() {
            let Some(source) = of_store.matrices[number].as_ref() else {
                continue;
            };
            let before = totals.len();
            let mut report = |done: f64| {
                let n_done = before as f64 + done * of_store.rows.len() as f64;
                progress(n_done / self.n_obs().max(1) as f64)
            };
            let of_file = |row: u32| row as usize;
            match key.pipeline.as_ref().and_then(|pipeline| pipeline.totals()) {
                Some(Totals::ObsKey(name)) => {
                    let known = of_store.obs_totals.iter().find(|(key, _)| key == name);
                    let known = known.map_or(&[][..], |(_, totals)| totals);
                    let kept = of_store.rows.iter().map(|row| known[of_file(row)]);
                    totals.extend(kept.map(|total| if total.is_nan() { 0.0 } else { total }));
                }
                totals_of @ Some(Totals::JointGenes | Totals::AllGenes)
                    if totals_of == Some(&Totals::JointGenes) || !source.is_cacheable() =>
                {
                    let map = self.var_map(store, key);
                    let map = map.filter(|_| totals_of == Some(&Totals::JointGenes));
                    let rows = of_store.rows.iter().map(u64::from).collect();
                    let read = read_totals(source, rows, map, n_threads, &mut report);
                    match read.map_err(|error| ReadError::file(store, error))? {
                        None => return Ok(None),
                        Some(read) => totals.extend(read),
                    }
                }
                _ if of_store.rows.len() == 0 => {}
                _ => {
                    let all = match source.cached_totals() {
                        Some(all) => all,
                        // All rows of the file: another filter may need others.
                        None => {
                            let rows = (0..source.n_rows()).collect();
                            let read = read_totals(source, rows, None, n_threads, &mut report);
                            let read = read.map_err(|error| ReadError::file(store, error))?;
                            let Some(read) = read else { return Ok(None) };
                            source.cache_totals(&read);
                            read
                        }
                    };
                    totals.extend(of_store.rows.iter().map(|row| all[of_file(row)]));
                }
            }
            let of_rows = of_store.rows.iter().zip(&totals[before..]);
            for (row, &total) in of_rows {
                if !(total >= 0.0 && total.is_finite()) {
                    let (expected, found) = TransformFault::Total(total).texts();
                    return Err(self.value_error(store, key, expected, found).in_row(row));
                }
            }
            if !report(1.0) {
                return Ok(None);
            }
        }
        Ok(Some(totals))
    }
}

/// The totals of rows of a file, over all columns or over those that a map keeps. `None` if
/// `progress` returned false.
fn read_totals(
    source: &MatrixSource,
    rows: Vec<u64>,
    map: Option<&VarMap>,
    n_threads: usize,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<Option<Vec<f64>>, anndata_io::Error> {
    let to_joint = map.and_then(VarMap::file_to_joint);
    let mut totals = Vec::with_capacity(rows.len());
    let read = |piece: &Range<usize>| {
        let mut sink = TotalsSink {
            to_joint,
            totals: vec![Total::default(); piece.len()],
        };
        let rows = &rows[piece.clone()];
        let read = SCRATCH.with_borrow_mut(|scratch| source.read_rows(rows, scratch, &mut sink));
        read.map(|()| sink.totals)
    };
    let ended = in_order(&pieces(source, &rows), n_threads, read, |read| match read {
        Err(error) => Err(ControlFlow::Break(error)),
        Ok(read) => {
            totals.extend(read.into_iter().map(Total::value));
            match progress(totals.len() as f64 / rows.len() as f64) {
                true => Ok(()),
                false => Err(ControlFlow::Continue(())),
            }
        }
    });
    SCRATCH.with_borrow_mut(|scratch| *scratch = ReadScratch::for_scan());
    match ended {
        Ok(()) => Ok(Some(totals)),
        Err(ControlFlow::Break(error)) => Err(error),
        Err(ControlFlow::Continue(())) => Ok(None),
    }
}

/// Cuts rows into pieces that end where bands do.
fn pieces(source: &MatrixSource, rows: &[u64]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < rows.len() {
        let mut end = (start + PIECE_ROWS).min(rows.len());
        while end < rows.len() && source.band(rows[end]) == source.band(rows[end - 1]) {
            end += 1;
        }
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// The median of those that are not 0; 1 if all are.
fn median(mut totals: Vec<f64>) -> f64 {
    totals.retain(|&total| total != 0.0);
    let n = totals.len();
    if n == 0 {
        return 1.0;
    }
    let (below, &mut upper, _) = totals.select_nth_unstable_by(n / 2, f64::total_cmp);
    match n % 2 {
        1 => upper,
        _ => {
            let lower = below.iter().copied().max_by(f64::total_cmp);
            (lower.expect("half of them") + upper) / 2.0
        }
    }
}

/// Adds up the values of rows: all, or those of joint genes.
struct TotalsSink<'a> {
    /// The joint column of each column of the file, if only joint genes count.
    to_joint: Option<&'a [JointColumn]>,
    totals: Vec<Total>,
}

impl RowSink for TotalsSink<'_> {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        let total = match self.to_joint {
            None => Total::of(values),
            Some(to_joint) => {
                let columns = start..start + values.len();
                Total::of_some(values, |i| {
                    to_joint[columns.start + i] != JointColumn::ABSENT
                })
            }
        };
        self.totals[row] = self.totals[row].plus(total);
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.totals[row] = match self.to_joint {
            None => Total::of(values),
            Some(to_joint) => Total::of_some(values, |i| {
                to_joint[columns[i] as usize] != JointColumn::ABSENT
            }),
        };
    }
}
