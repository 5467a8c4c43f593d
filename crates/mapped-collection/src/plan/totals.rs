//! The totals of all rows, for the median of them.

use std::cell::RefCell;
use std::ops::Range;

use anndata_io::{MatrixSource, Packs, ReadScratch, RowSink, ValuesRef};
use feature_join::{JointColumn, VarMap};

use crate::error::read::ReadError;
use crate::plan::ahead::in_order;
use crate::plan::matrices::MatrixKey;
use crate::plan::{Plan, StorePlan};
use crate::transform::Totals;
use crate::transform::pipeline::{Pipeline, TransformFault};
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
        let keys = self.matrices.iter().enumerate();
        let lacking = keys.filter_map(|(number, key)| {
            let pipeline = key.pipeline.as_ref()?;
            pipeline.lacks_median().then_some((number, key, pipeline))
        });
        let lacking: Vec<(usize, &MatrixKey, &Pipeline)> = lacking.collect();
        for (done, &(number, key, pipeline)) in lacking.iter().enumerate() {
            let mut of_all = |part: f64| progress((done as f64 + part) / lacking.len() as f64);
            let of = (number, key, pipeline.totals());
            let Some(totals) = self.row_totals(of, n_threads, &mut of_all)? else {
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
        (number, key, totals_of): (usize, &MatrixKey, Option<&Totals>),
        n_threads: usize,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Vec<f64>>, ReadError> {
        let stores = self.stores.iter().enumerate();
        let stores = stores.filter_map(|(number_of, store)| {
            let source = store.matrices[number].as_ref()?;
            (store.rows.len() > 0).then_some((number_of, store, source))
        });
        let stores: Vec<(usize, &StorePlan, &MatrixSource)> = stores.collect();
        let n_rows: usize = stores.iter().map(|(_, store, _)| store.rows.len()).sum();
        let packs = self.packs_on_disk();
        let mut totals = Vec::with_capacity(n_rows);
        for (store, of_store, source) in stores {
            let before = totals.len();
            let mut report = |part: f64| {
                let done = before as f64 + part * of_store.rows.len() as f64;
                progress(done / n_rows as f64)
            };
            let mut read = |rows: Vec<u64>, map| {
                let (threads, report) = (n_threads, &mut report as &mut dyn FnMut(f64) -> bool);
                let read = read_totals(source, &packs, (rows, map), threads, report);
                read.map_err(|error| ReadError::file(store, error))
            };
            let kept = || of_store.rows.iter();
            let found = match totals_of {
                Some(Totals::ObsKey(name)) => {
                    let known = of_store.obs_totals_of(name).unwrap_or_default();
                    let missing = |total: f64| if total.is_nan() { 0.0 } else { total };
                    Some(kept().map(|row| missing(known[row as usize])).collect())
                }
                Some(Totals::JointGenes) => {
                    read(kept().map(u64::from).collect(), self.var_map(store, key))?
                }
                _ if !source.is_cacheable() => read(kept().map(u64::from).collect(), None)?,
                // All rows of the file: a collection with another filter needs others.
                _ => {
                    let all = match source.cached_totals() {
                        Some(all) => Some(all),
                        None => read((0..source.n_rows()).collect(), None)?
                            .inspect(|all| source.cache_totals(all)),
                    };
                    all.map(|all| kept().map(|row| all[row as usize]).collect())
                }
            };
            let Some(found): Option<Vec<f64>> = found else {
                return Ok(None);
            };
            for (row, &total) in kept().zip(&found) {
                if !(total >= 0.0 && total.is_finite()) {
                    let (expected, found) = TransformFault::Total(total).texts();
                    return Err(self.value_error(store, key, expected, found).in_row(row));
                }
            }
            totals.extend(found);
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
    packs: &Packs,
    (rows, map): (Vec<u64>, Option<&VarMap>),
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
        SCRATCH.with_borrow_mut(|scratch| {
            // What is in the cache is not decoded again.
            scratch.set_packs(Some(packs.clone()));
            let read = source.read_rows(rows, scratch, &mut sink);
            scratch.set_packs(None);
            read.map(|()| sink.totals)
        })
    };
    let ended = in_order(&pieces(source, &rows), n_threads, read, |read| {
        totals.extend(read.map_err(Some)?.into_iter().map(Total::value));
        match progress(totals.len() as f64 / rows.len() as f64) {
            true => Ok(()),
            false => Err(None),
        }
    });
    SCRATCH.with_borrow_mut(|scratch| *scratch = ReadScratch::for_scan());
    match ended {
        Ok(()) => Ok(Some(totals)),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
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
            lower.expect("half of them") / 2.0 + upper / 2.0
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
