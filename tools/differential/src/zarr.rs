//! Compares our reader of zarr with the crate zarrs.

use anndata_io::{IoContext, IoOptions, ZarrBackend};

use crate::compare::{self, Readers};
use crate::options::Options;
use crate::report::Report;
use crate::{Result, files, finish, mutants, root};

const OTHER: &str = "zarrs";

/// Folders with the stores that are compared if no path is given.
const FIXTURES: [&str; 3] = ["fixtures/stores", "fixtures/zarr", "crates/cli/demo"];

/// The elements of the fixtures that zarrs refuses: the end of the store's path, the elements (a star at the end stands
/// for any), and why.
const REFUSALS: [(&str, &[&str], &str); 5] = [
    (
        "v06_dense.zarr",
        &["obs/*", "var/*", "raw.var/*"],
        "fields of arrays of records, which zarr 3 does not have: zarrs reads of zarr 2 what zarr 3 could hold",
    ),
    (
        "v06_dense.zarr",
        &["uns/cell_type_colors"],
        "bytes of fixed length (numpy's S): zarrs has no such data type",
    ),
    (
        "v06_dense.zarr",
        &[
            "uns/cell_type_categories",
            "uns/donor_categories",
            "uns/grade_categories",
            "uns/kind_categories",
        ],
        "the codec json2 of numcodecs: zarrs does not have it",
    ),
    (
        "codecs_v2.zarr.zip",
        &[
            "astype",
            "bitround",
            "crc32",
            "crc32_zlib",
            "delta*",
            "fortran_lz4",
            "fortran_lzma",
            "lz4",
            "lzma",
            "packbits",
            "quantize",
        ],
        "codecs of numcodecs that zarrs does not have, or not in zarr 2",
    ),
    (
        "codecs_v3.zarr.zip",
        &[
            "astype",
            "crc32",
            "delta",
            "jenkins_lookup3",
            "lz4",
            "lzma",
            "numcodecs_*",
            "packbits",
            "quantize",
            "sharded_crc32",
            "sharded_jenkins_lookup3",
            "sharded_lz4",
            "sharded_lzma",
            "sharded_numcodecs_*",
        ],
        "codecs of numcodecs that zarrs does not have, or has by their names in the specification only",
    ),
];

/// Compares the stores. Fails if the readers differ anywhere, or if zarrs refuses an element of the fixtures that is
/// not listed.
pub(crate) fn run(options: &Options) -> Result {
    let fixtures = FIXTURES.map(|folder| root().join(folder));
    let mut stores = files::list(&options.paths, &fixtures, &["zarr", "zip"])?;
    if options.mutants > 0 {
        stores.retain(|path| path.is_file());
        let report = mutants::all(("zarr", OTHER), &stores, options.mutants, options.seed)?;
        return finish(&report, options.json);
    }
    let report = compare::files(&stores, &readers(), options.damaged_from.as_deref())?;
    finish(&report, options.json)?;
    match options.paths.is_empty() {
        true => check_refusals(&report),
        false => Ok(()),
    }
}

fn readers() -> Readers {
    let context = |zarr| IoContext::new(IoOptions::new().zarr(zarr));
    Readers {
        ours: context(ZarrBackend::Pure),
        other: context(ZarrBackend::Zarrs),
        other_name: OTHER,
    }
}

/// Checks that the elements without a verdict are exactly those that zarrs is listed to refuse.
fn check_refusals(report: &Report) -> Result {
    let fits = |name: &str, element: &str| match name.strip_suffix('*') {
        Some(start) => element.starts_with(start),
        None => element == name,
    };
    let mut listed: Vec<(&str, &str)> = Vec::new();
    for (file, elements, _) in REFUSALS {
        listed.extend(elements.iter().map(|element| (file, *element)));
    }
    let is_at = |at: &crate::report::Unread, (file, element): (&str, &str)| {
        at.file.ends_with(file) && fits(element, &at.element)
    };
    for at in &report.not_judged {
        if !listed.iter().any(|&place| is_at(at, place)) {
            let (file, element, reason) = (&at.file, &at.element, &at.reason);
            return Err(format!(
                "zarrs refuses what is not listed: {file}: {element}: {reason}"
            ));
        }
    }
    for &place in &listed {
        if !report.not_judged.iter().any(|at| is_at(at, place)) {
            let (file, element) = place;
            return Err(format!(
                "zarrs reads what is listed as refused: {file}: {element}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unread;

    /// A report with one refusal per listed element.
    fn report() -> Report {
        let mut report = Report::new(OTHER);
        for (file, elements, reason) in REFUSALS {
            report
                .not_judged
                .extend(elements.iter().map(|element| Unread {
                    file: format!("fixtures/{file}"),
                    element: element.replace('*', "x"),
                    reason: reason.to_owned(),
                }));
        }
        report
    }

    #[test]
    fn refusals_are_those_that_are_listed() {
        assert_eq!(check_refusals(&report()), Ok(()));
        let mut more = report();
        more.not_judged[0].element = "X".to_owned();
        let error = check_refusals(&more).expect_err("X is not listed");
        assert!(
            error.contains("not listed") && error.contains("X"),
            "{error}"
        );
        let mut fewer = report();
        fewer.not_judged.pop();
        let error = check_refusals(&fewer).expect_err("one was read");
        assert!(error.contains("sharded_numcodecs_*"), "{error}");
    }
}
