//! Runs other programs, each as a step with a heading and its time.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Result, root};

/// The optional features that need nothing installed. Lints, documentation and tests have them on.
pub(crate) const FEATURES: &str = "mapped-anndata/serde,mapped-anndata/sprs";

/// The cargo that runs this command, in the root of the workspace.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs `body` under a heading and prints how long it took.
pub(crate) fn step<T>(name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {name}");
    let start = Instant::now();
    let result = body();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(_) => println!("    {name}: ok, {seconds:.1} s\n"),
        Err(_) => println!("    {name}: FAILED, {seconds:.1} s\n"),
    }
    result
}

/// Runs a program and shows its output. A nonzero exit status is an error.
pub(crate) fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|error| format!("cannot run {}: {error}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed ({status})", shown(command)))
    }
}

/// As [`run`], but also passes every line of the standard output to `line`.
pub(crate) fn run_lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", shown(command)))?;
    let output = child.stdout.take().expect("the output was piped above");
    for text in BufReader::new(output).lines().map_while(|text| text.ok()) {
        println!("{text}");
        line(&text);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed ({status})", shown(command)))
    }
}

/// The command as one would type it, without the folder of the program.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let args = command.get_args();
    std::iter::once(name)
        .chain(args)
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_with_its_arguments() {
        let error = run(&mut cargo(&["no-such-subcommand"])).unwrap_err();
        assert!(error.contains("cargo no-such-subcommand failed"), "{error}");
    }

    #[test]
    fn lines_are_handed_on() {
        let mut lines = Vec::new();
        run_lines(&mut cargo(&["--version"]), |line| lines.push(line.into())).unwrap();
        let lines: Vec<String> = lines;
        assert!(lines[0].starts_with("cargo "), "{lines:?}");
    }
}
