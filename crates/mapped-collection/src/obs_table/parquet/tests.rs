//! Parquet files of tables, and damaged ones.

use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

const SCHEMA: &str = "message schema {
    optional int64 n; optional int32 small (INTEGER(8, true)); required double score;
    optional boolean ok; optional binary fate (STRING); optional int64 when (TIMESTAMP(NANOS, true));
    optional binary cell (STRING);
}";

/// Two groups of two rows; the last row lacks every value that it may.
fn written(folder: &Path, index: &str) -> std::path::PathBuf {
    let path = folder.join("t.parquet");
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let pandas = KeyValue::new(
        "pandas".to_owned(),
        format!(r#"{{"index_columns": [{index}]}}"#),
    );
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![pandas]));
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    for group in 0..2 {
        let mut rows = writer.next_row_group().unwrap();
        let n = if group == 0 { 2 } else { 1 };
        let levels = Some(if group == 0 { &[1, 1][..] } else { &[1, 0] });
        let mut number = 0;
        while let Some(mut column) = rows.next_column().unwrap() {
            number += 1;
            let first = 2 * group;
            match column.untyped() {
                ColumnWriter::Int64ColumnWriter(writer) => {
                    let values = [first, first + 1].map(i64::from);
                    writer.write_batch(&values[..n], levels, None).unwrap();
                }
                ColumnWriter::Int32ColumnWriter(writer) => {
                    writer
                        .write_batch(&[-first, 127][..n], levels, None)
                        .unwrap();
                }
                ColumnWriter::DoubleColumnWriter(writer) => {
                    writer.write_batch(&[0.5, f64::NAN], None, None).unwrap();
                }
                ColumnWriter::BoolColumnWriter(writer) => {
                    writer
                        .write_batch(&[true, false][..n], levels, None)
                        .unwrap();
                }
                ColumnWriter::ByteArrayColumnWriter(writer) => {
                    let names = [format!("c{first}"), format!("c{}", first + 1)];
                    let values = names.map(|name| ByteArray::from(name.as_str()));
                    // Every cell has a name.
                    match number {
                        5 => writer.write_batch(&values[..n], levels, None).unwrap(),
                        _ => writer.write_batch(&values, Some(&[1, 1]), None).unwrap(),
                    };
                }
                _ => panic!("no such column"),
            }
            column.close().unwrap();
        }
        rows.close().unwrap();
    }
    writer.close().unwrap();
    path
}

#[test]
fn columns_of_parquet_keep_their_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), r#""cell""#);
    let table = ObsTable::from_file(&path, None).unwrap();
    assert!(table.cell_names().iter().eq(["c0", "c1", "c2", "c3"]));
    let last = Some(&[true, true, true, false][..]);
    let numbers = |name: &str| table.find(name).unwrap().as_numbers().unwrap();
    assert_eq!(numbers("n"), (&Values::I64(vec![0, 1, 2, 0]), last));
    assert_eq!(numbers("small"), (&Values::I8(vec![0, 127, -2, 0]), last));
    assert_eq!(
        numbers("ok").0,
        &Values::Bool([1, 0, 1, 0].map(Bool8).to_vec())
    );
    let (Values::F64(scores), None) = numbers("score") else {
        panic!("not all are there");
    };
    assert!(scores[2] == 0.5 && scores[3].is_nan());
    let fates = table.find("fate").unwrap();
    assert_eq!(
        fates,
        &TableColumn::from([Some("c0"), Some("c1"), Some("c2"), None])
    );
    let when = table.find("when").unwrap();
    assert!(when.as_unsupported().unwrap().contains("Timestamp"));
    assert_eq!(when.len(), 4);
    // Numbers may be names, too, but not where one is missing.
    let error = ObsTable::from_file(&path, Some("n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("row 3: expected a cell name in \"n\", found nothing"),
        "{error}"
    );
    let error = ObsTable::from_file(&path, Some("cel"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("(did you mean \"cell\"?)"), "{error}");
    // The range of numbers that pandas describes is no column.
    let path = written(folder.path(), r#"{"kind": "range"}"#);
    let error = ObsTable::from_file(path, None).unwrap_err().to_string();
    assert!(error.contains("cell name in \"n\""), "{error}");
}

#[test]
fn damaged_parquet_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "");
    let bytes = std::fs::read(&path).unwrap();
    let mut n_errors = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        std::fs::write(&path, &damaged).unwrap();
        // It must not panic; a changed value cannot be recognised.
        n_errors += usize::from(ObsTable::from_file(&path, Some("cell")).is_err());
        std::fs::write(&path, &bytes[..at]).unwrap();
        let cut = ObsTable::from_file(&path, Some("cell"))
            .unwrap_err()
            .to_string();
        assert!(cut.contains("t.parquet"), "{cut}");
    }
    assert!(n_errors > 100);
}
