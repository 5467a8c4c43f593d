//! How the columns of one store move into the joint table.

/// The entry of [`VarMap::file_to_joint`] for a file column that the joint table does not have.
pub const ABSENT: u32 = u32::MAX;

/// Where each column of one store lies in the joint table.
///
/// A *file column* counts the store's own variables, a *joint column* those of the joint table. An inner join drops
/// file columns; an outer join leaves joint columns that no file column fills. The methods that move rows check every
/// column and allocate nothing, so their input may come straight from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarMap {
    n_joint: usize,
    columns: Columns,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Columns {
    /// The file columns are the joint ones, in the same order.
    Identity,
    /// `to_joint[file column]`: a joint column below `n_joint`, each at most once, or `ABSENT`.
    Table {
        to_joint: Box<[u32]>,
        monotonic: bool,
    },
}

impl VarMap {
    /// The map of a store whose `n_vars` variables are the joint ones, in the same order.
    pub(crate) fn identity(n_vars: usize) -> Self {
        VarMap {
            n_joint: n_vars,
            columns: Columns::Identity,
        }
    }

    /// The map that moves file column `i` to `to_joint[i]`: below `n_joint`, each at most once, or [`ABSENT`].
    pub(crate) fn from_table(to_joint: Box<[u32]>, n_joint: usize) -> Self {
        if to_joint.len() == n_joint && to_joint.iter().copied().eq(0..n_joint as u32) {
            return VarMap::identity(n_joint);
        }
        let kept = to_joint.iter().filter(|&&column| column != ABSENT);
        let monotonic = kept.is_sorted();
        VarMap {
            n_joint,
            columns: Columns::Table {
                to_joint,
                monotonic,
            },
        }
    }

    /// The number of variables of the store.
    #[inline]
    pub fn n_file(&self) -> usize {
        match &self.columns {
            Columns::Identity => self.n_joint,
            Columns::Table { to_joint, .. } => to_joint.len(),
        }
    }

    /// The number of joint variables: the width of a destination row.
    #[inline]
    pub fn n_joint(&self) -> usize {
        self.n_joint
    }

    /// Whether no column moves and none is dropped or missing.
    #[inline]
    pub fn is_identity(&self) -> bool {
        matches!(self.columns, Columns::Identity)
    }

    /// Whether columns keep their order: of two file columns that are not dropped, the later one is also the later
    /// joint column.
    #[inline]
    pub fn is_monotonic(&self) -> bool {
        match self.columns {
            Columns::Identity => true,
            Columns::Table { monotonic, .. } => monotonic,
        }
    }

    /// The joint column of a file column; `None` if it is dropped or if the store has no such column.
    #[inline]
    pub fn to_joint(&self, file_col: u32) -> Option<u32> {
        match &self.columns {
            Columns::Identity => Some(file_col).filter(|&column| (column as usize) < self.n_joint),
            Columns::Table { to_joint, .. } => to_joint
                .get(file_col as usize)
                .copied()
                .filter(|&column| column != ABSENT),
        }
    }

    /// The table `[n_file] u32` of joint columns, [`ABSENT`] for dropped ones; `None` for the identity, which needs no
    /// table.
    #[inline]
    pub fn file_to_joint(&self) -> Option<&[u32]> {
        match &self.columns {
            Columns::Identity => None,
            Columns::Table { to_joint, .. } => Some(to_joint),
        }
    }

    /// The file column of each joint column, `[n_joint] u32`, [`ABSENT`] where the store lacks it.
    pub fn joint_to_file(&self) -> Vec<u32> {
        match &self.columns {
            Columns::Identity => (0..self.n_joint as u32).collect(),
            Columns::Table { to_joint, .. } => {
                let mut to_file = vec![ABSENT; self.n_joint];
                for (file_col, &joint_col) in (0_u32..).zip(to_joint) {
                    if let Some(slot) = to_file.get_mut(joint_col as usize) {
                        *slot = file_col;
                    }
                }
                to_file
            }
        }
    }

    /// Which joint variables the store has, `[n_joint] bool`. Where false, the zero in a joint row was filled in, not
    /// measured.
    pub fn presence(&self) -> Vec<bool> {
        let to_file = self.joint_to_file();
        to_file.into_iter().map(|column| column != ABSENT).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four file columns: the second is dropped, the others swap places in a table of four joint columns.
    fn swapped() -> VarMap {
        VarMap::from_table([3, ABSENT, 0, 1].into(), 4)
    }

    #[test]
    fn table_that_moves_nothing_is_the_identity() {
        let map = VarMap::from_table([0, 1, 2].into(), 3);
        assert!(map.is_identity() && map.is_monotonic());
        assert_eq!((map.n_file(), map.n_joint()), (3, 3));
        assert_eq!(map.file_to_joint(), None);
        assert_eq!(map.joint_to_file(), [0, 1, 2]);
        assert_eq!((map.to_joint(2), map.to_joint(3)), (Some(2), None));
        // A prefix of the joint table is not the identity: its rows are narrower.
        assert!(!VarMap::from_table([0, 1].into(), 3).is_identity());
        assert!(!VarMap::from_table([0, 1, ABSENT].into(), 2).is_identity());
    }

    #[test]
    fn columns_map_in_both_directions() {
        let map = swapped();
        assert_eq!((map.n_file(), map.n_joint()), (4, 4));
        assert_eq!(map.file_to_joint(), Some(&[3, ABSENT, 0, 1][..]));
        assert_eq!(map.joint_to_file(), [2, 3, ABSENT, 0]);
        assert_eq!(map.presence(), [true, true, false, true]);
        let joint: Vec<_> = (0..5).map(|column| map.to_joint(column)).collect();
        assert_eq!(joint, [Some(3), None, Some(0), Some(1), None]);
        assert_eq!(map.to_joint(ABSENT), None);
    }

    #[test]
    fn is_monotonic_ignores_dropped_columns() {
        assert!(VarMap::from_table([0, ABSENT, 2, ABSENT, 5].into(), 6).is_monotonic());
        assert!(VarMap::from_table([].into(), 6).is_monotonic());
        assert!(!swapped().is_monotonic());
    }
}
