//! Runs the command in the folder of the fixtures' stores.

// Each test file uses some of these.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapped-anndata"));
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores");
    command
        .args(args)
        .current_dir(stores)
        .env_remove("RUST_BACKTRACE");
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().expect("the command starts")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// What a command that succeeds without a warning prints.
pub(crate) fn stdout(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{args:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The objects that a command prints with `--json`.
pub(crate) fn objects(args: &[&str]) -> Vec<Value> {
    let text = stdout(&[args, &["--json"]].concat());
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

pub(crate) fn object(args: &[&str]) -> Value {
    let mut objects = objects(args);
    assert_eq!(objects.len(), 1, "{args:?}");
    objects.remove(0)
}

/// What a command that fails says, and with which exit code.
pub(crate) fn failure(args: &[&str]) -> (i32, String) {
    let output = run(args);
    assert_eq!(output.stdout, b"", "{args:?}");
    (output.status.code().expect("an exit code"), stderr(&output))
}
