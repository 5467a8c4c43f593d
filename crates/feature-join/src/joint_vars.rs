//! Joins the names of all stores: makes the joint names, and one map per store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::{Duplicates, FileColumn, Join, JoinError, JoinRule, JointColumn, VarMap, VarNames};

/// The variables of several stores, joined.
///
/// Immutable and cheap to clone: names and maps are shared, even between stores that list the same names.
#[derive(Debug, Clone)]
pub struct JointVars {
    /// `None` if no join was requested.
    names: Option<Arc<VarNames>>,
    effective: Option<Join>,
    maps: Vec<Arc<VarMap>>,
}

impl JointVars {
    /// Joins the variables of `stores`, one list of names per store.
    ///
    /// - If all lists are equal (same names, same order; always so for one store), nothing is joined: order and
    ///   duplicates stay, every map is the identity, [`effective`](Self::effective) is `None`. Not so for a given list,
    ///   if variables have no name, or if repeated names are to be dropped or summed.
    /// - [`Join::Inner`]: the order of the first store, restricted to names that every store has.
    /// - [`Join::Outer`]: all names, sorted by Unicode code point. If all stores that have any names are equal, their
    ///   order stays (as in pandas).
    /// - [`JoinRule::given`]: the given names in their order, whether a store has them or not.
    /// - `None`: no joint variables; every map is the identity at its store's own width.
    ///
    /// A variable without a name is dropped.
    ///
    /// # Errors
    ///
    /// [`JoinError::NoStores`] for an empty slice. If a join is needed: [`JoinError::DuplicateName`] for the first
    /// store that lists a name twice (of a given list, one of its names), unless the rule allows it, and
    /// [`JoinError::Disjoint`] for an inner join without a shared name. [`JoinError::RepeatedName`] for a given list with
    /// a name twice, [`JoinError::NoNames`] for [`Join::Given`] without a list. [`JoinError::TooManyVars`] if a store or
    /// the joint table has more than `u32::MAX` variables.
    pub fn new(rule: impl Into<JoinRule>, stores: &[Arc<VarNames>]) -> Result<Self, JoinError> {
        let rule = rule.into();
        let first = stores.first().ok_or(JoinError::NoStores)?;
        for store in stores {
            column_count(store.len())?;
        }
        let (distinct, distinct_idx) = distinct(stores);
        let expand =
            |maps: Vec<Arc<VarMap>>| distinct_idx.iter().map(|&i| maps[i].clone()).collect();

        let moves = |join: &Join| {
            *join == Join::Given || distinct.len() > 1 || drops_some(first, rule.duplicates)
        };
        let Some(join) = rule.join.filter(moves) else {
            let identity = |names: &&Arc<VarNames>| Arc::new(VarMap::identity(names.len()));
            return Ok(JointVars {
                names: rule.join.map(|_| first.clone()),
                effective: None,
                maps: expand(distinct.iter().map(identity).collect()),
            });
        };

        let refuses = rule.duplicates == Duplicates::Error;
        let repeated = |list: usize, name: &str| {
            let store = distinct_idx.iter().position(|&d| d == list);
            JoinError::DuplicateName {
                store: store.expect("every distinct list comes from a store"),
                name: name.to_owned(),
            }
        };
        let names = match join {
            Join::Inner => match inner(&distinct) {
                (_, Some((list, name))) if refuses => return Err(repeated(list, name)),
                (names, _) if names.is_empty() => return Err(JoinError::Disjoint),
                (names, _) => names,
            },
            Join::Outer => outer(&distinct),
            Join::Given => rule.given.clone().ok_or(JoinError::NoNames)?,
        };
        let n_joint = column_count(names.len())?;
        let mut columns = HashMap::with_capacity(names.len());
        for (name, column) in names.iter().zip((0..n_joint).map(JointColumn)) {
            if columns.insert(name, column).is_some() {
                let name = name.to_owned();
                return Err(JoinError::RepeatedName { name });
            }
        }
        let map = |(list, store): (usize, &&Arc<VarNames>)| {
            let mut taken = vec![false; names.len()];
            let column = |name: Option<&str>| {
                let Some((name, &column)) = name.and_then(|name| columns.get_key_value(name))
                else {
                    return Ok(JointColumn::ABSENT);
                };
                let repeats = std::mem::replace(&mut taken[column.index()], true);
                match rule.duplicates {
                    Duplicates::Error if repeats => Err(repeated(list, name)),
                    Duplicates::First if repeats => Ok(JointColumn::ABSENT),
                    _ => Ok(column),
                }
            };
            let to_joint = store.iter_named().map(column).collect::<Result<_, _>>()?;
            Ok(Arc::new(VarMap::from_table(to_joint, names.len())))
        };
        let maps = distinct.iter().enumerate().map(map);
        let maps = expand(maps.collect::<Result<_, JoinError>>()?);
        Ok(JointVars {
            names: Some(names),
            effective: Some(join),
            maps,
        })
    }

    /// The joint names, `[n_vars]`; `None` if no join was requested. If nothing had to be joined, this is the first
    /// store's own list, shared.
    pub fn names(&self) -> Option<&Arc<VarNames>> {
        self.names.as_ref()
    }

    /// The number of joint variables; `None` if no join was requested.
    pub fn n_vars(&self) -> Option<usize> {
        self.names.as_ref().map(|names| names.len())
    }

    /// The join that takes place; `None` if no join was requested or if all lists of names are equal.
    pub fn effective(&self) -> Option<Join> {
        self.effective
    }

    /// One map per store, `[n_stores]`, in the given order.
    pub fn maps(&self) -> &[Arc<VarMap>] {
        &self.maps
    }

    /// Which joint variables the store measured, `[n_vars] bool`. All are true after an inner join. Without a join, the
    /// mask has the store's own width. `None` if there is no such store.
    pub fn presence(&self, store: usize) -> Option<Vec<bool>> {
        self.maps.get(store).map(|map| map.presence())
    }

    /// The positions that `var_indices` of lamindb's `MappedCollection` lists for the store. For an outer join, the
    /// position in the joint table of each variable of the store (`[n_file]`), -1 for a dropped one. For other joins, the
    /// position in the store of each joint variable (`[n_vars]`), -1 if the store lacks it; the first position if several
    /// variables are summed.
    ///
    /// `None` without an [`effective`](Self::effective) join, or if there is no such store.
    pub fn indices(&self, store: usize) -> Option<Vec<i64>> {
        let map = self.maps.get(store)?;
        Some(match self.effective? {
            Join::Inner | Join::Given => {
                let columns = map.joint_to_file().into_iter();
                columns
                    .map(|column| column.map_or(-1, |column| column.0.into()))
                    .collect()
            }
            Join::Outer => {
                let columns = (0..map.n_file() as u32).map(FileColumn);
                let columns = columns.map(|column| map.to_joint(column));
                columns
                    .map(|column| column.map_or(-1, |column| column.0.into()))
                    .collect()
            }
        })
    }
}

/// `n_vars` as the end of a range of `u32` columns.
fn column_count(n_vars: usize) -> Result<u32, JoinError> {
    u32::try_from(n_vars).map_err(|_| JoinError::TooManyVars { n_vars })
}

/// The distinct lists among `stores`, by first appearance, and the list of each store.
fn distinct(stores: &[Arc<VarNames>]) -> (Vec<&Arc<VarNames>>, Vec<usize>) {
    let mut distinct = Vec::new();
    // Stores that share their list are recognised by address, so it is hashed only once.
    let mut by_address: HashMap<*const VarNames, usize> = HashMap::new();
    let mut by_content: HashMap<&VarNames, usize> = HashMap::new();
    let distinct_idx = stores
        .iter()
        .map(|store| {
            *by_address.entry(Arc::as_ptr(store)).or_insert_with(|| {
                *by_content.entry(store).or_insert_with(|| {
                    distinct.push(store);
                    distinct.len() - 1
                })
            })
        })
        .collect();
    (distinct, distinct_idx)
}

/// Whether a store is changed even if all stores are equal.
fn drops_some(names: &VarNames, duplicates: Duplicates) -> bool {
    let repeats = || {
        let mut seen = HashSet::with_capacity(names.len());
        !names.iter().all(|name| seen.insert(name))
    };
    names.n_unnamed() > 0 || duplicates != Duplicates::Error && repeats()
}

/// The names that every list has, and the first name that a list repeats.
fn inner<'a>(distinct: &[&'a Arc<VarNames>]) -> (Arc<VarNames>, Option<(usize, &'a str)>) {
    let (mut shared, mut repeated) = (Vec::new(), None);
    for (list, names) in distinct.iter().enumerate() {
        let mut has = HashSet::with_capacity(names.len());
        for name in names.iter_named().flatten() {
            match has.insert(name) {
                true if list == 0 => shared.push(name),
                true => {}
                false => _ = repeated.get_or_insert((list, name)),
            }
        }
        if list > 0 {
            shared.retain(|name| has.contains(name));
        }
    }
    (Arc::new(shared.into_iter().collect()), repeated)
}

fn outer(distinct: &[&Arc<VarNames>]) -> Arc<VarNames> {
    // pandas unites two indexes at a time and sorts only when both have names and differ, so a store without genes
    // never changes the order.
    let has_names = |names: &&&Arc<VarNames>| names.n_unnamed() < names.len();
    let mut with_names = distinct.iter().filter(has_names);
    if let (Some(only), None) = (with_names.next(), with_names.next()) {
        return Arc::new(distinct_names(only).into_iter().collect());
    }
    let mut union: Vec<&str> = distinct
        .iter()
        .flat_map(|names| names.iter_named().flatten())
        .collect();
    union.sort_unstable();
    union.dedup();
    Arc::new(union.into_iter().collect())
}

/// Each name once, by first appearance.
fn distinct_names(names: &VarNames) -> Vec<&str> {
    let mut seen = HashSet::with_capacity(names.len());
    let named = names.iter_named().flatten();
    named.filter(|name| seen.insert(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores(lists: &[&[&str]]) -> Vec<Arc<VarNames>> {
        lists
            .iter()
            .map(|names| Arc::new(names.iter().collect()))
            .collect()
    }

    fn joined(join: Join, lists: &[&[&str]]) -> JointVars {
        JointVars::new(Some(join), &stores(lists)).unwrap()
    }

    fn names(joint: &JointVars) -> Vec<&str> {
        joint.names().unwrap().iter().collect()
    }

    #[test]
    fn equal_lists_are_not_joined() {
        for join in [Join::Inner, Join::Outer] {
            let joint = joined(join, &[&["b", "a", "b"], &["b", "a", "b"]]);
            assert_eq!(joint.effective(), None);
            assert_eq!(names(&joint), ["b", "a", "b"]);
            assert_eq!(joint.indices(0), None);
            assert!(joint.maps().iter().all(|map| map.is_identity()));
            assert_eq!(joint.presence(1), Some(vec![true; 3]));
        }
    }

    #[test]
    fn single_store_keeps_order_and_duplicates_and_shares_its_names() {
        let given = stores(&[&["b", "a", "b"]]);
        let joint = JointVars::new(Some(Join::Outer), &given).unwrap();
        assert!(Arc::ptr_eq(joint.names().unwrap(), &given[0]));
        assert_eq!(joint.effective(), None);
    }

    #[test]
    fn inner_join_keeps_the_order_of_the_first_store() {
        let joint = joined(Join::Inner, &[&["c", "a", "b", "x"], &["a", "y", "b", "c"]]);
        assert_eq!(joint.effective(), Some(Join::Inner));
        assert_eq!(names(&joint), ["c", "a", "b"]);
        assert_eq!(joint.n_vars(), Some(3));
        assert_eq!(joint.indices(0), Some(vec![0, 1, 2]));
        assert_eq!(joint.indices(1), Some(vec![3, 0, 2]));
        assert_eq!(joint.indices(2), None);
        assert_eq!(joint.presence(1), Some(vec![true; 3]));
        assert_eq!(joint.presence(2), None);
    }

    #[test]
    fn inner_join_of_disjoint_or_empty_stores_is_an_error() {
        for lists in [[&["a"][..], &["b"]], [&["a"], &[]], [&[], &["a"]]] {
            let error = JointVars::new(Some(Join::Inner), &stores(&lists)).unwrap_err();
            assert_eq!(error, JoinError::Disjoint);
            assert!(error.to_string().contains("Join::Outer"), "{error}");
        }
    }

    #[test]
    fn outer_join_sorts_by_code_point() {
        let joint = joined(
            Join::Outer,
            &[
                &["é", "a", "9", "\u{1f600}"],
                &["_", "B", "10", "a", "\u{fffd}"],
            ],
        );
        assert_eq!(
            names(&joint),
            ["10", "9", "B", "_", "a", "é", "\u{fffd}", "\u{1f600}"]
        );
        assert_eq!(joint.indices(0), Some(vec![5, 4, 1, 7]));
        assert_eq!(joint.indices(1), Some(vec![3, 2, 0, 4, 6]));
        let absent = [false, true, false, false, true, true, false, true];
        assert_eq!(joint.presence(0), Some(absent.to_vec()));
    }

    #[test]
    fn outer_join_sorts_equal_names_in_another_order() {
        let joint = joined(Join::Outer, &[&["b", "a", "c"], &["c", "b", "a"]]);
        assert_eq!(joint.effective(), Some(Join::Outer));
        assert_eq!(names(&joint), ["a", "b", "c"]);
    }

    /// The result of `reduce(pandas.Index.union, ...)` in pandas 2.3.3.
    #[test]
    fn outer_join_ignores_stores_without_names() {
        type Case<'a> = (&'a [&'a [&'a str]], &'a [&'a str]);
        let (empty, bac, cad): (&[&str], &[&str], &[&str]) =
            (&[], &["b", "a", "c"], &["c", "a", "d"]);
        let cases: &[Case<'_>] = &[
            (&[bac, empty], &["b", "a", "c"]),
            (&[empty, bac], &["b", "a", "c"]),
            (&[empty, empty, bac], &["b", "a", "c"]),
            (&[bac, empty, bac], &["b", "a", "c"]),
            (&[bac, empty, cad], &["a", "b", "c", "d"]),
            (&[empty, bac, cad], &["a", "b", "c", "d"]),
            (&[bac, cad, empty], &["a", "b", "c", "d"]),
        ];
        for (lists, expected) in cases {
            let joint = joined(Join::Outer, lists);
            assert_eq!(names(&joint), *expected, "{lists:?}");
            assert_eq!(joint.effective(), Some(Join::Outer));
        }
        let joint = joined(Join::Outer, &[bac, empty]);
        assert_eq!(joint.indices(0), Some(vec![0, 1, 2]));
        assert_eq!(joint.indices(1), Some(vec![]));
        assert_eq!(joint.presence(1), Some(vec![false; 3]));
    }

    #[test]
    fn stores_without_any_name_are_equal() {
        let joint = joined(Join::Inner, &[&[], &[]]);
        assert_eq!((joint.n_vars(), joint.effective()), (Some(0), None));
    }

    #[test]
    fn duplicates_are_an_error_if_a_join_is_needed() {
        let lists: &[&[&str]] = &[&["a"], &["a"], &["b", "a", "c", "a", "c"]];
        for join in [Join::Inner, Join::Outer] {
            let error = JointVars::new(Some(join), &stores(lists)).unwrap_err();
            let expected = JoinError::DuplicateName {
                store: 2,
                name: "a".to_owned(),
            };
            assert_eq!(error, expected);
        }
        assert!(JointVars::new(None, &stores(lists)).is_ok());
    }

    fn given(
        list: &[&str],
        duplicates: Duplicates,
        lists: &[&[&str]],
    ) -> Result<JointVars, JoinError> {
        let rule = JoinRule::given(Arc::new(list.iter().collect())).duplicates(duplicates);
        JointVars::new(rule, &stores(lists))
    }

    #[test]
    fn given_list_decides_names_and_order() {
        let joint = given(
            &["x", "b", "a"],
            Duplicates::Error,
            &[&["a", "b", "c"], &["x"]],
        )
        .unwrap();
        assert_eq!(joint.effective(), Some(Join::Given));
        assert_eq!(names(&joint), ["x", "b", "a"]);
        assert_eq!(joint.indices(0), Some(vec![-1, 1, 0]));
        assert_eq!(joint.presence(1), Some(vec![true, false, false]));
        // A single store is joined, too.
        let joint = given(&["b"], Duplicates::Error, &[&["a", "b"]]).unwrap();
        assert_eq!(joint.effective(), Some(Join::Given));
        assert_eq!(joint.maps()[0].n_joint(), 1);
    }

    #[test]
    fn given_list_must_be_distinct_and_present() {
        let error = given(&["a", "b", "a"], Duplicates::First, &[&["a"]]).unwrap_err();
        assert_eq!(error, JoinError::RepeatedName { name: "a".into() });
        let error = JointVars::new(Join::Given, &stores(&[&["a"]])).unwrap_err();
        assert_eq!(error, JoinError::NoNames);
    }

    #[test]
    fn given_list_refuses_only_repeats_of_its_own_names() {
        let lists: &[&[&str]] = &[&["a", "b", "a", "c", "c"]];
        assert!(given(&["b"], Duplicates::Error, lists).is_ok());
        let error = given(&["b", "c"], Duplicates::Error, lists).unwrap_err();
        let (store, name) = (0, "c".to_owned());
        assert_eq!(error, JoinError::DuplicateName { store, name });
    }

    #[test]
    fn repeated_names_are_dropped_or_summed_by_every_join() {
        let lists: [&[&str]; 2] = [&["b", "a", "b"], &["a", "b"]];
        for (duplicates, merges) in [(Duplicates::First, false), (Duplicates::Sum, true)] {
            for join in [Join::Inner, Join::Outer] {
                let rule = || JoinRule::from(join).duplicates(duplicates);
                let joint = JointVars::new(rule(), &stores(&lists)).unwrap();
                assert_eq!(joint.n_vars(), Some(2));
                assert_eq!(joint.maps()[0].merges_columns(), merges);
                assert!(!joint.maps()[1].merges_columns());
                // Also where all stores are equal.
                let joint = JointVars::new(rule(), &stores(&lists[..1])).unwrap();
                assert_eq!(joint.effective(), Some(join));
                assert_eq!(names(&joint), ["b", "a"]);
            }
            let joint = given(&["b"], duplicates, &lists).unwrap();
            assert_eq!(joint.maps()[0].merges_columns(), merges);
            assert_eq!(joint.indices(0), Some(vec![0]));
        }
        let first = JoinRule::from(Join::Outer).duplicates(Duplicates::First);
        let joint = JointVars::new(first, &stores(&lists)).unwrap();
        assert_eq!(joint.indices(0), Some(vec![1, 0, -1]));
        // Without repeats, equal stores need no join.
        let sum = JoinRule::from(Join::Inner).duplicates(Duplicates::Sum);
        let joint = JointVars::new(sum, &stores(&[&["b", "a"]])).unwrap();
        assert_eq!(joint.effective(), None);
    }

    #[test]
    fn variables_without_a_name_are_dropped() {
        let store = || Arc::new(VarNames::with_missing([None, Some("a"), None, Some("b")]));
        for join in [Join::Inner, Join::Outer] {
            let joint = JointVars::new(join, &[store(), store()]).unwrap();
            assert_eq!(joint.effective(), Some(join));
            assert_eq!(names(&joint), ["a", "b"]);
            let map = &joint.maps()[0];
            assert_eq!(map.to_joint(FileColumn(0)), None);
            assert_eq!(map.to_joint(FileColumn(3)), Some(JointColumn(1)));
        }
    }

    #[test]
    fn joint_vars_without_a_join_leave_every_width() {
        let joint = JointVars::new(None, &stores(&[&["a"], &["a", "b"]])).unwrap();
        assert_eq!((joint.names(), joint.n_vars()), (None, None));
        assert_eq!(joint.effective(), None);
        assert_eq!(joint.indices(0), None);
        let widths: Vec<usize> = joint.maps().iter().map(|map| map.n_joint()).collect();
        assert_eq!(widths, [1, 2]);
        assert!(joint.maps().iter().all(|map| map.is_identity()));
    }

    #[test]
    fn stores_with_the_same_names_share_a_map() {
        let panel = Arc::new(VarNames::from_iter(["a", "b"]));
        let copy = Arc::new(VarNames::from_iter(["a", "b"]));
        let other = Arc::new(VarNames::from_iter(["b", "c"]));
        let joint =
            JointVars::new(Some(Join::Outer), &[panel.clone(), other, panel, copy]).unwrap();
        let maps = joint.maps();
        assert!(Arc::ptr_eq(&maps[0], &maps[2]) && Arc::ptr_eq(&maps[0], &maps[3]));
        assert!(!Arc::ptr_eq(&maps[0], &maps[1]));
    }

    #[test]
    fn empty_list_of_stores_is_an_error() {
        assert_eq!(JointVars::new(None, &[]).unwrap_err(), JoinError::NoStores);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn variables_beyond_u32_are_an_error() {
        let n_vars = u32::MAX as usize;
        assert_eq!(column_count(n_vars), Ok(u32::MAX));
        let error = column_count(n_vars + 1).unwrap_err();
        assert_eq!(error, JoinError::TooManyVars { n_vars: n_vars + 1 });
    }
}
