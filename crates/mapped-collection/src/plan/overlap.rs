//! How many of the given genes each store has.

use std::collections::HashSet;
use std::sync::Arc;

use anndata_io::IoContext;
use feature_join::VarNames;

use crate::error::Error;
use crate::error::open::{OpenError, StoreMismatch};
use crate::error::overlap::{GeneOverlap, LowOverlap, NameMismatch};
use crate::options::Options;
use crate::plan::StorePlan;
use crate::plan::mismatch::{Candidates, find_mismatch};
use crate::plan::variables::{Joint, Table};

/// The most examples of names.
const N_EXAMPLES: usize = 5;
/// The most stores whose files are searched for a reason, or whose names are compared with others.
const MOST_SEARCHED: usize = 10;
/// The part of the names of the smaller store below which two stores share few.
const FEW: f64 = 0.5;

/// The overlap of every store with a given list, and the stores where it is low.
#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    pub(crate) all: Vec<GeneOverlap>,
    pub(crate) low: Vec<LowOverlap>,
}

impl Overlaps {
    /// Adds the tables of one more join, but for those that an earlier join has.
    ///
    /// # Errors
    /// When a store has none of the genes.
    pub(crate) fn add(
        &mut self,
        options: &Options,
        io: &IoContext,
        (earlier, joint): (&[Joint], &Joint),
        given: &VarNames,
        stores: &[StorePlan],
    ) -> Result<(), Error> {
        for (number, (names, &table)) in joint.names.iter().zip(&joint.tables).enumerate() {
            // A store without raw has none of its genes, which is no fault.
            if table == Table::Raw && names.is_empty() {
                continue;
            }
            if earlier.iter().any(|joint| joint.tables[number] == table) {
                continue;
            }
            let presence = joint.vars.presence(number).unwrap_or_default();
            let overlap = GeneOverlap {
                store: number,
                table: table.as_str(),
                n_found: presence.iter().filter(|is_there| **is_there).count(),
                n_given: given.len(),
                n_vars: names.iter_named().flatten().collect::<HashSet<_>>().len(),
            };
            let is_low = overlap.n_found == 0 || overlap.fraction() < options.min_overlap;
            if is_low {
                let given_names: HashSet<&str> = given.iter().collect();
                let lacking = given.iter().zip(&presence);
                let lacking = lacking.filter(|(_, is_there)| !**is_there);
                let others = names.iter_named().flatten();
                let others = others.filter(|name| !given_names.contains(name));
                let owned = |name: &str| name.to_owned();
                let mismatch = (self.low.len() < MOST_SEARCHED)
                    .then(|| reason(options, io, &stores[number], (given, names), table))
                    .flatten();
                let low = LowOverlap {
                    file: stores[number].file.clone(),
                    overlap: overlap.clone(),
                    lacking: lacking
                        .map(|(name, _)| owned(name))
                        .take(N_EXAMPLES)
                        .collect(),
                    others: others.map(owned).take(N_EXAMPLES).collect(),
                    mismatch,
                };
                if overlap.n_found == 0 {
                    return Err(OpenError::NoOverlap(Box::new(low)).into());
                }
                self.low.push(low);
            }
            self.all.push(overlap);
        }
        Ok(())
    }
}

/// Why the names of a store are not the expected ones. A file that cannot be read has no reason.
fn reason(
    options: &Options,
    io: &IoContext,
    store: &StorePlan,
    (expected, names): (&VarNames, &VarNames),
    table: Table,
) -> Option<NameMismatch> {
    let file = store.source.open(io).ok()?;
    let table = table.of(&file).ok()??;
    let columns = Candidates::of(table, &options.name_rule);
    find_mismatch(expected, names, columns)
}

/// Compares the names of the first store with those of others, and explains the lowest overlap if it
/// is low.
pub(crate) fn store_mismatch(
    options: &Options,
    io: &IoContext,
    stores: &[StorePlan],
    (names, tables): (&[Arc<VarNames>], &[Table]),
) -> Option<StoreMismatch> {
    let first: HashSet<&str> = names.first()?.iter_named().flatten().collect();
    // Equal lists are shared.
    let mut compared = HashSet::from([Arc::as_ptr(&names[0])]);
    let others = (1..names.len()).filter(|&other| compared.insert(Arc::as_ptr(&names[other])));
    let overlaps = others.take(MOST_SEARCHED).map(|other| {
        let named: HashSet<&str> = names[other].iter_named().flatten().collect();
        let smaller = named.len().min(first.len()).max(1);
        (
            named.intersection(&first).count() as f64 / smaller as f64,
            other,
        )
    });
    let lowest = overlaps.min_by(|a, b| a.0.total_cmp(&b.0));
    let (_, other) = lowest.filter(|(overlap, _)| *overlap < FEW)?;
    let of = |store: usize, expected: usize| {
        let expected_names = &*names[expected];
        let found = reason(
            options,
            io,
            &stores[store],
            (expected_names, &names[store]),
            tables[store],
        );
        found.map(|mismatch| StoreMismatch {
            files: (stores[store].file.clone(), stores[expected].file.clone()),
            mismatch,
        })
    };
    // A reason that names a column has a way out.
    let (forth, back) = (of(other, 0), of(0, other));
    let overlap = |found: &Option<StoreMismatch>| match found.as_ref().map(|found| &found.mismatch)
    {
        Some(NameMismatch::Column { fraction, .. }) => *fraction,
        _ => 0.0,
    };
    match overlap(&back) > overlap(&forth) {
        true => back,
        false => forth.or(back),
    }
}
