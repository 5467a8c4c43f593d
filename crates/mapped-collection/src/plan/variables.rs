//! The variables of every store, and their joins.

use std::path::PathBuf;
use std::sync::Arc;

use anndata_io::{AnnDataFile, IoContext, LayerKey, VarTable};
use feature_join::{Join, JoinError, JoinRule, JointVars, VarNames, strip_version};

use crate::error::Error;
use crate::error::open::OpenError;
use crate::error::option::OptionError;
use crate::error::read::ReadError;
use crate::options::Options;
use crate::plan::ahead::{in_order, n_threads};
use crate::plan::layers::LayerChoice;
use crate::plan::matrices::MatrixKey;
use crate::plan::overlap::{Overlaps, store_mismatch};
use crate::plan::var_names::{SharedNames, read_names};
use crate::plan::{Plan, StorePlan};

/// A table of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// `var`, of X and the layers.
    Var,
    /// That of `raw.X`.
    Raw,
}

impl Table {
    /// Whether a layer of a store is joined by it, given the elements that they were taken from.
    pub(crate) fn is_used(
        self,
        options: &Options,
        layers: &[LayerChoice],
        taken: &[Option<LayerKey>],
    ) -> bool {
        let mut tables = layers.iter().zip(taken).map(|(layer, taken)| {
            let table = table_of(options, layer, taken.as_ref());
            // The joint variables are those of `var` if the first matrix is not joined.
            table.unwrap_or(Table::Var)
        });
        options.join.is_some()
            && (tables.any(|table| table == self) || (layers.is_empty() && self == Table::Var))
    }

    /// Its path in errors and reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Table::Var => "var",
            Table::Raw => "raw/var",
        }
    }

    /// The table of a file; `None` if the file has no raw.
    pub(crate) fn of(self, file: &AnnDataFile) -> Result<Option<VarTable<'_>>, anndata_io::Error> {
        match self {
            Table::Var => Ok(Some(file.var())),
            Table::Raw => file.raw_var(),
        }
    }

    /// Reads the names that a store is joined by; none if it has no raw.
    pub(crate) fn read(
        self,
        file: &AnnDataFile,
        store: usize,
        options: &Options,
    ) -> Result<VarNames, OpenError> {
        match self.of(file)? {
            Some(table) => {
                let keys = options.var_key.of(store);
                read_names(file, table, keys, &options.name_rule)
            }
            None => Ok(VarNames::default()),
        }
    }
}

/// The names of each table, one list per store; empty if no layer is joined by it.
#[derive(Default)]
pub(crate) struct TableNames {
    pub(crate) var: Vec<Arc<VarNames>>,
    pub(crate) raw: Vec<Arc<VarNames>>,
}

/// The table that a layer is joined by, if it was taken from this element; `None` if it is not
/// joined: `raw.X` as such is joined only by a given list.
pub(crate) fn table_of(
    options: &Options,
    layer: &LayerChoice,
    taken: Option<&LayerKey>,
) -> Option<Table> {
    match (layer.is_plain_raw(), &options.genes) {
        (true, None) => None,
        (true, Some(_)) => Some(Table::Raw),
        (false, _) if taken == Some(&LayerKey::RawX) => Some(Table::Raw),
        (false, _) => Some(Table::Var),
    }
}

/// For each layer, the table of each store by which it is joined; `None` if it is not joined.
pub(crate) fn tables_of(
    options: &Options,
    layers: &[LayerChoice],
    stores: &[StorePlan],
) -> Vec<Option<Vec<Table>>> {
    let of_layer = |(number, layer): (usize, &LayerChoice)| {
        let tables = stores.iter();
        tables
            .map(|store| table_of(options, layer, store.taken[number].as_ref()))
            .collect()
    };
    layers.iter().enumerate().map(of_layer).collect()
}

/// A join of variables.
#[derive(Debug)]
pub(crate) struct Joint {
    /// The table of each store.
    pub(crate) tables: Vec<Table>,
    /// The names that each store is joined by.
    pub(crate) names: Vec<Arc<VarNames>>,
    pub(crate) vars: JointVars,
}

/// Makes the joins that the layers need. The first is that of `var`, if a layer is not joined, or if
/// there are no layers.
///
/// # Errors
/// When names repeat, stores share no name, or a store has none of the given genes.
pub(crate) fn join_tables(
    options: &Options,
    io: &IoContext,
    stores: &[StorePlan],
    files: &[PathBuf],
    tables: &[Option<Vec<Table>>],
    names: &TableNames,
) -> Result<(Vec<Joint>, Overlaps), Error> {
    let given = given_names(options)?;
    let (mut joints, mut overlaps): (Vec<Joint>, _) = (Vec::new(), Overlaps::default());
    if options.join.is_none() {
        return Ok((joints, overlaps));
    }
    let by_var =
        (tables.is_empty() || tables.contains(&None)).then(|| vec![Table::Var; stores.len()]);
    for tables in by_var.iter().chain(tables.iter().flatten()) {
        if joints.iter().any(|joint| joint.tables == *tables) {
            continue;
        }
        let name = |(store, table): (usize, &Table)| match table {
            Table::Var => names.var[store].clone(),
            Table::Raw => names.raw[store].clone(),
        };
        let names: Vec<_> = tables.iter().enumerate().map(name).collect();
        let vars = join_vars(options, given.as_ref(), (&names, tables), files).map_err(
            |error| match error {
                Error::Open(OpenError::Disjoint { .. }) => {
                    let mismatch = store_mismatch(options, io, stores, (&names, tables));
                    let mismatch = mismatch.map(Box::new);
                    OpenError::Disjoint { mismatch }.into()
                }
                error => error,
            },
        )?;
        let tables = tables.clone();
        let joint = Joint {
            tables,
            names,
            vars,
        };
        if let Some(given) = &given {
            overlaps.add(options, io, (&joints, &joint), given, stores)?;
        }
        joints.push(joint);
    }
    Ok((joints, overlaps))
}

/// The given list as it is matched: by the same rule as the names of stores, but without aliases,
/// which lead from the stores' names to those of the list.
///
/// # Errors
/// When names repeat.
fn given_names(options: &Options) -> Result<Option<Arc<VarNames>>, OptionError> {
    let Some(genes) = &options.genes else {
        return Ok(None);
    };
    if genes.names().is_empty() {
        return Err(OptionError::new("genes", "at least one name", "none"));
    }
    if !options.name_rule.strips_version() {
        return Ok(Some(genes.names().clone()));
    }
    let names = genes.names().iter().map(strip_version);
    Ok(Some(Arc::new(names.collect())))
}

/// Joins one table of all stores.
fn join_vars(
    options: &Options,
    given: Option<&Arc<VarNames>>,
    (names, tables): (&[Arc<VarNames>], &[Table]),
    files: &[PathBuf],
) -> Result<JointVars, Error> {
    let rule = match given {
        Some(given) => JoinRule::given(given.clone()),
        None => JoinRule::from(options.join),
    };
    let joined = JointVars::new(rule.duplicates(options.duplicates), names);
    joined.map_err(|error| match error {
        JoinError::DuplicateName { store, name } => OpenError::DuplicateVariable {
            file: files[store].clone(),
            element: tables[store].as_str(),
            name,
        }
        .into(),
        JoinError::Disjoint => OpenError::Disjoint { mismatch: None }.into(),
        JoinError::RepeatedName { name } => {
            let without = match options.name_rule.strips_version() {
                true => " without versions",
                false => "",
            };
            let expected = format!("distinct names{without}");
            Error::option("genes", expected, format!("{name:?} more than once"))
        }
        error => OpenError::Join(error).into(),
    })
}

/// Checks the options of the join against each other.
pub(crate) fn check_join(options: &Options) -> Result<(), OptionError> {
    let found = match options.join {
        Some(Join::Given) if options.genes.is_none() => {
            let expected = "a list of genes for Join::Given";
            return Err(OptionError::new("genes", expected, "none"));
        }
        Some(Join::Inner | Join::Given) => None,
        Some(Join::Outer) => Some("an outer join"),
        None => Some("no join"),
    };
    if let Some(found) = found.filter(|_| options.genes.is_some()) {
        let expected = "its default beside .genes(..), which decide on the variables";
        return Err(OptionError::new("join", expected, found));
    }
    if !(0.0..=1.0).contains(&options.min_overlap) {
        let expected = "a fraction from 0 to 1";
        return Err(OptionError::new(
            "min_overlap",
            expected,
            options.min_overlap,
        ));
    }
    let n_stores = options.sources.len();
    let stores = options.var_key.of_store.iter().map(|(store, _)| *store);
    if let Some(store) = stores.into_iter().find(|store| *store >= n_stores) {
        let expected = format!("numbers of stores, below {n_stores}");
        return Err(OptionError::new("var_key", expected, store));
    }
    Ok(())
}

impl Plan {
    /// The join of the first matrix; without a matrix that is joined, that of `var`.
    pub(crate) fn joint(&self) -> Option<&Joint> {
        let of_first = self.matrices.first().and_then(|key| key.join);
        self.joints.get(of_first.unwrap_or_default())
    }

    /// A matrix by its name.
    pub(crate) fn matrix_key(&self, name: &str) -> Option<&MatrixKey> {
        self.matrices.iter().find(|key| key.name == name)
    }

    /// The join of a matrix.
    pub(crate) fn joint_of(&self, key: &MatrixKey) -> Option<&Joint> {
        self.joints.get(key.join?)
    }

    /// The joint variables of a matrix.
    pub(crate) fn vars_of(&self, key: &MatrixKey) -> Option<&Arc<VarNames>> {
        self.names_of(self.joint_of(key)?)
    }

    /// The names of the joint variables: a given list as it was given.
    pub(crate) fn names_of<'a>(&'a self, joint: &'a Joint) -> Option<&'a Arc<VarNames>> {
        match &self.genes {
            Some(genes) => Some(genes.names()),
            None => joint.vars.names(),
        }
    }

    /// The names that every store is joined by, in order; equal lists are shared. Without a join,
    /// they are read now.
    pub(crate) fn var_list(&self, options: &Options) -> Result<Vec<Arc<VarNames>>, Error> {
        if let Some(joint) = self.joint() {
            return Ok(joint.names.clone());
        }
        self.check_open()?;
        let mut names = SharedNames::default();
        let n_threads = n_threads(self.stores.iter().map(|store| &store.source));
        let mut lists = Vec::with_capacity(self.stores.len());
        let stores: Vec<(usize, &StorePlan)> = self.stores.iter().enumerate().collect();
        let read = |(number, store): &(usize, &StorePlan)| {
            let file = store.source.open(&self.io)?;
            Table::Var.read(&file, *number, options)
        };
        in_order(&stores, n_threads, read, |read| {
            let read = read.map_err(|error| match error {
                OpenError::File(error) => ReadError::file(lists.len(), error).into(),
                error => Error::from(error),
            })?;
            lists.push(names.share(read));
            Ok::<_, Error>(())
        })?;
        Ok(lists)
    }
}
