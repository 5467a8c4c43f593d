//! How the columns of one store move into the joint table.

/// A column of a matrix as its store has it: 0 is the store's first variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FileColumn(pub u32);

/// A column of the joint table: 0 is the first joint variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct JointColumn(pub u32);

impl JointColumn {
    /// The entry of [`VarMap::file_to_joint`] for a file column that the joint table does not have. It is greater than
    /// every joint column.
    pub const ABSENT: JointColumn = JointColumn(u32::MAX);

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where each column of one store lies in the joint table.
///
/// An inner join drops file columns; an outer join leaves joint columns that no file column fills; a given list does
/// both. With [`Duplicates::Sum`](crate::Duplicates::Sum), several file columns may move to one joint column. The methods that
/// move rows check every column and allocate nothing, so their input may come straight from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarMap {
    n_joint: usize,
    columns: Columns,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Columns {
    /// The file columns are the joint ones, in the same order.
    Identity,
    /// One entry per file column: a joint column below `n_joint`, or `ABSENT`.
    Table {
        to_joint: Box<[JointColumn]>,
        monotonic: bool,
        /// For each joint column, the number of file columns that move to it; empty if none has several.
        n_file_columns: Box<[u32]>,
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

    /// The map that moves file column `i` to `to_joint[i]`: below `n_joint`, or `ABSENT`.
    pub(crate) fn from_table(to_joint: Box<[JointColumn]>, n_joint: usize) -> Self {
        let in_place = to_joint.iter().zip(0..).all(|(column, i)| column.0 == i);
        if to_joint.len() == n_joint && in_place {
            return VarMap::identity(n_joint);
        }
        let kept = || {
            let columns = to_joint.iter();
            columns.filter(|&&column| column != JointColumn::ABSENT)
        };
        let monotonic = kept().is_sorted();
        let mut n_file_columns = vec![0; n_joint];
        kept().for_each(|column| n_file_columns[column.index()] += 1);
        if n_file_columns.iter().all(|&n| n < 2) {
            n_file_columns.clear();
        }
        VarMap {
            n_joint,
            columns: Columns::Table {
                to_joint,
                monotonic,
                n_file_columns: n_file_columns.into(),
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

    /// Whether several file columns move to one joint column. Their values must be added up.
    #[inline]
    pub fn merges_columns(&self) -> bool {
        match &self.columns {
            Columns::Identity => false,
            Columns::Table { n_file_columns, .. } => !n_file_columns.is_empty(),
        }
    }

    /// The number of file columns that move to a joint column, if the map [merges](Self::merges_columns) columns;
    /// otherwise `None`.
    #[inline]
    pub fn n_file_columns(&self, column: JointColumn) -> Option<u32> {
        match &self.columns {
            Columns::Identity => None,
            Columns::Table { n_file_columns, .. } => n_file_columns.get(column.index()).copied(),
        }
    }

    /// The joint column of a file column; `None` if it is dropped or if the store has no such column.
    #[inline]
    pub fn to_joint(&self, column: FileColumn) -> Option<JointColumn> {
        match &self.columns {
            Columns::Identity => {
                Some(JointColumn(column.0)).filter(|column| column.index() < self.n_joint)
            }
            Columns::Table { to_joint, .. } => to_joint
                .get(column.0 as usize)
                .copied()
                .filter(|&column| column != JointColumn::ABSENT),
        }
    }

    /// The joint column of each file column, `[n_file]`, [`JointColumn::ABSENT`] for dropped ones; `None` for the
    /// identity, which needs no table.
    #[inline]
    pub fn file_to_joint(&self) -> Option<&[JointColumn]> {
        match &self.columns {
            Columns::Identity => None,
            Columns::Table { to_joint, .. } => Some(to_joint),
        }
    }

    /// The file column of each joint column, the first of several, `[n_joint]`; `None` where the store lacks it.
    pub fn joint_to_file(&self) -> Vec<Option<FileColumn>> {
        match &self.columns {
            Columns::Identity => (0..self.n_joint as u32)
                .map(|column| Some(FileColumn(column)))
                .collect(),
            Columns::Table { to_joint, .. } => {
                let mut to_file = vec![None; self.n_joint];
                for (file_column, joint_column) in (0..).zip(to_joint) {
                    if let Some(slot) = to_file.get_mut(joint_column.index()) {
                        slot.get_or_insert(FileColumn(file_column));
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
        to_file.iter().map(Option::is_some).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: u32 = JointColumn::ABSENT.0;

    fn map(to_joint: &[u32], n_joint: usize) -> VarMap {
        VarMap::from_table(
            to_joint.iter().map(|&column| JointColumn(column)).collect(),
            n_joint,
        )
    }

    /// Four file columns: the second is dropped, the others swap places in a table of four joint columns.
    fn swapped() -> VarMap {
        map(&[3, ABSENT, 0, 1], 4)
    }

    #[test]
    fn table_that_moves_nothing_is_the_identity() {
        let identity = map(&[0, 1, 2], 3);
        assert!(identity.is_identity() && identity.is_monotonic());
        assert_eq!((identity.n_file(), identity.n_joint()), (3, 3));
        assert_eq!(identity.file_to_joint(), None);
        assert_eq!(
            identity.joint_to_file(),
            [0, 1, 2].map(|column| Some(FileColumn(column)))
        );
        assert_eq!(identity.to_joint(FileColumn(2)), Some(JointColumn(2)));
        assert_eq!(identity.to_joint(FileColumn(3)), None);
        // A prefix of the joint table is not the identity: its rows are narrower.
        assert!(!map(&[0, 1], 3).is_identity());
        assert!(!map(&[0, 1, ABSENT], 2).is_identity());
    }

    #[test]
    fn columns_map_in_both_directions() {
        let map = swapped();
        assert_eq!((map.n_file(), map.n_joint()), (4, 4));
        assert_eq!(
            map.file_to_joint(),
            Some(&[3, ABSENT, 0, 1].map(JointColumn)[..])
        );
        assert_eq!(
            map.joint_to_file(),
            [Some(2), Some(3), None, Some(0)].map(|column| column.map(FileColumn))
        );
        assert_eq!(map.presence(), [true, true, false, true]);
        let joint: Vec<_> = (0..5)
            .map(|column| map.to_joint(FileColumn(column)))
            .collect();
        assert_eq!(
            joint,
            [Some(3), None, Some(0), Some(1), None].map(|column| column.map(JointColumn))
        );
        assert_eq!(map.to_joint(FileColumn(ABSENT)), None);
    }

    #[test]
    fn map_that_merges_columns_lists_the_first() {
        let map = map(&[1, 0, 1, ABSENT], 3);
        assert!(map.merges_columns() && !swapped().merges_columns());
        let n = |column| map.n_file_columns(JointColumn(column));
        assert_eq!([n(0), n(1), n(2), n(3)], [Some(1), Some(2), Some(0), None]);
        assert_eq!(swapped().n_file_columns(JointColumn(0)), None);
        assert_eq!(
            map.joint_to_file(),
            [Some(1), Some(0), None].map(|column| column.map(FileColumn))
        );
    }

    #[test]
    fn is_monotonic_ignores_dropped_columns() {
        assert!(map(&[0, ABSENT, 2, ABSENT, 5], 6).is_monotonic());
        assert!(map(&[], 6).is_monotonic());
        assert!(!swapped().is_monotonic());
    }
}
