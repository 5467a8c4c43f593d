//! Compares damaged copies of files, each in its own process: the other reader may crash.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::report::{Difference, Mutants, Report};
use crate::{Result, root};

#[allow(dead_code, reason = "other tests damage more than files of HDF5")]
#[path = "../../../crates/mapped-collection/tests/hostile/mutate.rs"]
mod mutate;

use mutate::{Marks, Random};

/// A process that takes longer is killed: the C library loops for ever on some damaged files. Another test measures how
/// long our reader takes.
const MOST_TIME: Duration = Duration::from_secs(4);
/// The KiB of memory that a process may map: the C library trusts the sizes that files claim.
const MOST_MEMORY: u64 = 8 << 20;

/// Compares `n` damaged copies of every file by a subcommand of this program, which takes the options `--json` and
/// `--damaged-from`.
pub(crate) fn all(
    (subcommand, other_name): (&str, &'static str),
    files: &[PathBuf],
    n: u64,
    seed: u64,
) -> Result<Report> {
    let (mut report, mut mutants) = (Report::new(other_name), Mutants::default());
    let folder = root().join("target/mutants");
    std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let original = std::fs::read(path).map_err(|error| failed(path, &error))?;
        let marks = Marks::of(&original);
        for number in 0..n {
            let mut random = Random(seed << 32 ^ number);
            for byte in name.bytes() {
                random = Random(random.next() ^ u64::from(byte));
            }
            let copy = folder.join(format!("{seed}-{number}-{name}"));
            let bytes = marks.mutate(&mut random, &original);
            std::fs::write(&copy, bytes).map_err(|error| failed(&copy, &error))?;
            report.files += 1;
            let before = (report.differences(), mutants.hung);
            compare(subcommand, &copy, path, &mut report, &mut mutants)?;
            if (report.differences(), mutants.hung) == before {
                std::fs::remove_file(&copy).map_err(|error| failed(&copy, &error))?;
            }
        }
    }
    report.mutants = Some(mutants);
    Ok(report)
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Compares one file in its own process.
fn compare(
    subcommand: &str,
    path: &Path,
    original: &Path,
    report: &mut Report,
    mutants: &mut Mutants,
) -> Result {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {MOST_MEMORY}; exec \"$@\""))
        .arg("sh")
        .arg(&this)
        .args([subcommand, "--json", "--damaged-from"])
        .args([original, path])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&this, &error))?;
    let mut output = child.stdout.take().expect("piped");
    let text = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let status = wait(&mut child).map_err(|error| failed(&this, &error))?;
    let text = text.join().expect("reading does not panic");
    let text = text.map_err(|error| failed(&this, &error))?;
    let found = serde_json::from_str::<Value>(&text).ok();
    let Some(status) = status else {
        mutants.hung += 1;
        return Ok(());
    };
    match (status.code(), found) {
        (Some(0 | 1), Some(found)) => report.add(&found),
        // The exit code of a Rust panic.
        (Some(code @ 101), _) => {
            let file = path.display().to_string();
            report.different.push(Difference {
                file,
                element: String::new(),
                what: "end of the process".to_owned(),
                index: None,
                ours: format!("code {code}"),
                other: String::new(),
            });
        }
        _ => mutants.died += 1,
    }
    Ok(())
}

/// How the process ended; `None` when it took too long.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + MOST_TIME;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
