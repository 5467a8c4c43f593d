//! Compares the join and the movement of rows with maps from name to value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feature_join::{
    FileColumn, Join, JoinError, JoinRule, JointColumn, JointVars, RemappedEntry, VarNames,
};
use proptest::prelude::*;
use proptest::sample::subsequence;

const NAMES: [&str; 9] = ["b", "a", "10", "9", "B", "_", "é", "\u{fffd}", "\u{1f600}"];

/// Distinct names in any order.
fn store() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_shuffle()
}

/// One to four stores, of which some are often equal.
fn stores() -> impl Strategy<Value = Vec<Vec<&'static str>>> {
    prop::collection::vec(store(), 1..=4).prop_flat_map(|pool| {
        let n = pool.len();
        prop::collection::vec(prop::sample::select(pool), 1..=n)
    })
}

/// A join, and the list of a join by a given list.
type Rule = (Join, Vec<&'static str>);

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just((Join::Inner, Vec::new())),
        Just((Join::Outer, Vec::new())),
        store().prop_map(|list| (Join::Given, list)),
    ]
}

fn joint((join, given): &Rule, stores: &[Vec<&str>]) -> Result<JointVars, JoinError> {
    let rule = match join {
        Join::Given => JoinRule::given(Arc::new(given.iter().collect())),
        join => JoinRule::from(*join),
    };
    let lists: Vec<_> = stores
        .iter()
        .map(|names| Arc::new(names.iter().collect::<VarNames>()))
        .collect();
    JointVars::new(rule, &lists)
}

/// As in pandas: intersections keep the order of the first store. Unions go pair by pair, and sort unless one side is
/// empty or both are equal.
fn naive_names((join, given): &Rule, stores: &[Vec<&'static str>]) -> Vec<&'static str> {
    let mut names = stores[0].clone();
    if *join == Join::Given {
        return given.clone();
    }
    if stores.iter().all(|store| *store == names) {
        return names;
    }
    for store in &stores[1..] {
        match join {
            Join::Inner => names.retain(|name| store.contains(name)),
            Join::Given => unreachable!("its names are the given ones"),
            Join::Outer if *store == names || store.is_empty() => {}
            Join::Outer if names.is_empty() => names.clone_from(store),
            Join::Outer => {
                names = names
                    .iter()
                    .chain(store)
                    .copied()
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect();
            }
        }
    }
    names
}

proptest! {
    #[test]
    fn joint_vars_agree_with_the_model(stores in stores(), rule in rule()) {
        let expected = naive_names(&rule, &stores);
        let join = rule.0;
        let equal = join != Join::Given && stores.iter().all(|store| *store == stores[0]);
        let joint = match joint(&rule, &stores) {
            Err(error) => {
                prop_assert_eq!(error, JoinError::Disjoint);
                prop_assert!(join == Join::Inner && expected.is_empty() && !equal);
                return Ok(());
            }
            Ok(joint) => joint,
        };
        prop_assert_eq!(joint.names().unwrap().iter().collect::<Vec<_>>(), expected.clone());
        prop_assert_eq!(joint.n_vars(), Some(expected.len()));
        prop_assert_eq!(joint.effective(), Some(join).filter(|_| !equal));

        for (i, store) in stores.iter().enumerate() {
            let presence: Vec<bool> = expected.iter().map(|name| store.contains(name)).collect();
            prop_assert_eq!(joint.presence(i), Some(presence));

            let find = |list: &[&str], name: &str| list.iter().position(|n| *n == name);
            let indices: Vec<i64> = match join {
                Join::Inner | Join::Given => {
                    expected.iter().map(|n| find(store, n).map_or(-1, |at| at as i64)).collect()
                }
                Join::Outer => store.iter().map(|n| find(&expected, n).unwrap() as i64).collect(),
            };
            prop_assert_eq!(joint.indices(i), Some(indices).filter(|_| !equal));

            let map = &joint.maps()[i];
            let table: Vec<Option<usize>> = store.iter().map(|name| find(&expected, name)).collect();
            for (col, &expected) in table.iter().enumerate() {
                prop_assert_eq!(map.to_joint(FileColumn(col as u32)).map(|c| c.0 as usize), expected);
            }
            if let Some(flat) = map.file_to_joint() {
                let flat: Vec<_> = flat.iter().map(|&c| Some(c.0 as usize).filter(|_| c != JointColumn::ABSENT)).collect();
                prop_assert_eq!(&flat, &table);
            } else {
                prop_assert!(map.is_identity());
            }
            prop_assert_eq!(map.is_identity(), *store == expected);
            prop_assert_eq!(map.is_monotonic(), table.iter().flatten().is_sorted());
            prop_assert_eq!((map.n_file(), map.n_joint()), (store.len(), expected.len()));
        }
    }

    #[test]
    fn rows_keep_their_values_by_name(
        stores in stores(),
        rule in rule(),
        values in prop::collection::vec(any::<u16>(), NAMES.len()),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let Ok(joint) = joint(&rule, &stores) else { return Ok(()) };
        let names: Vec<&str> = joint.names().unwrap().iter().collect();
        for (store, map) in stores.iter().zip(joint.maps()) {
            let values = &values[..store.len()];
            let by_name: BTreeMap<&str, u16> = store.iter().copied().zip(values.iter().copied()).collect();
            let lookup = |row: &BTreeMap<&str, u16>| -> Vec<f32> {
                names.iter().map(|name| f32::from(row.get(name).copied().unwrap_or(0))).collect()
            };

            // A dense row, in two runs.
            let mut row = vec![0.0_f32; names.len()];
            let cut = cut.index(store.len() + 1);
            map.scatter_dense(0, &values[..cut], &mut row, f32::from).unwrap();
            map.scatter_dense(cut, &values[cut..], &mut row, f32::from).unwrap();
            prop_assert_eq!(&row, &lookup(&by_name));

            // A sparse row: columns in any order, some of them twice, summed.
            if store.is_empty() { continue }
            let cols: Vec<u32> = picks.iter().map(|pick| pick.index(store.len()) as u32).collect();
            let stored: Vec<u16> = cols.iter().enumerate().map(|(i, _)| i as u16 + 1).collect();
            let mut sums: BTreeMap<&str, u16> = BTreeMap::new();
            let mut last: BTreeMap<&str, u16> = BTreeMap::new();
            for (&col, &value) in cols.iter().zip(&stored) {
                *sums.entry(store[col as usize]).or_default() += value;
                last.insert(store[col as usize], value);
            }
            row.fill(0.0);
            map.scatter_sparse_with(&cols, &stored, &mut row, |slot, v| *slot += f32::from(v)).unwrap();
            prop_assert_eq!(&row, &lookup(&sums));
            row.fill(0.0);
            map.scatter_sparse(&cols, &stored, &mut row, f32::from).unwrap();
            prop_assert_eq!(&row, &lookup(&last));

            // The same row, staying sparse.
            let mut pairs = Vec::new();
            let mut sort = feature_join::SortScratch::default();
            map.remap_sorted(&cols, &mut pairs).unwrap();
            let mut marked = vec![RemappedEntry { column: JointColumn(7), position: 7 }];
            map.remap_distinct(&cols, &mut sort, &mut marked).unwrap();
            prop_assert_eq!(&marked, &pairs);
            prop_assert!(pairs.is_sorted());
            let mut expected: Vec<RemappedEntry> = (0..).zip(&cols)
                .filter_map(|(position, &col)| Some(RemappedEntry { column: map.to_joint(FileColumn(col))?, position }))
                .collect();
            expected.sort();
            prop_assert_eq!(pairs, expected);
        }
    }

    #[test]
    fn names_may_be_any_text(given in prop::collection::vec(".{0,6}", 0..12)) {
        let names = VarNames::from_iter(&given);
        prop_assert!(names.iter().eq(given.iter().map(String::as_str)));
        prop_assert_eq!(names.len(), given.len());
        let code_points = |name: &String| name.chars().collect::<Vec<char>>();
        prop_assert_eq!(names.is_sorted_ascending(), given.iter().map(code_points).is_sorted());
        prop_assert_eq!(names.is_sorted_descending(), given.iter().rev().map(code_points).is_sorted());
    }

    #[test]
    fn columns_from_anywhere_never_panic(stores in stores(), rule in rule(), cols in prop::collection::vec(any::<u32>(), 0..4), first in any::<usize>()) {
        let Ok(joint) = joint(&rule, &stores) else { return Ok(()) };
        for map in joint.maps() {
            let mut row = vec![0_u8; map.n_joint()];
            let in_range = cols.iter().all(|&col| (col as usize) < map.n_file());
            let values = vec![1_u8; cols.len()];
            prop_assert_eq!(map.scatter_sparse(&cols, &values, &mut row, |v| v).is_ok(), in_range);
            prop_assert_eq!(map.remap_sorted(&cols, &mut Vec::new()).is_ok(), in_range);
            let marked = map.remap_distinct(&cols, &mut Default::default(), &mut Vec::new());
            prop_assert_eq!(marked.is_ok(), in_range);
            let fits = first.checked_add(values.len()).is_some_and(|end| end <= map.n_file());
            prop_assert_eq!(map.scatter_dense(first, &values, &mut row, |v| v).is_ok(), fits);
        }
    }
}
