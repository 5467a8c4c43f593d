//! Python interpreters and the virtual environments that the fixtures are written with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::step;

/// A virtual environment with the packages that a requirements file pins.
#[derive(Debug)]
pub(crate) struct Venv {
    python: PathBuf,
}

impl Venv {
    /// Makes the environment `target/venvs/<name>`, or takes the existing one if its requirements are still the same.
    /// `minor` is the 11 of Python 3.11.
    pub(crate) fn prepare_named(
        root: &Path,
        name: &str,
        minor: u32,
        requirements: &Path,
    ) -> Result<Self> {
        let wanted = std::fs::read_to_string(requirements)
            .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
        let folder = root.join("target/venvs").join(name);
        let stamp = folder.join("requirements.txt");
        let venv = Self {
            python: folder.join("bin/python"),
        };
        if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
            return Ok(venv);
        }
        let python = find(minor)?;
        step::run(
            Command::new(python)
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ];
        step::run(Command::new(&venv.python).args(pip).arg(requirements))?;
        // Written last, so that an interrupted installation is made again.
        std::fs::write(&stamp, wanted)
            .map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
        Ok(venv)
    }

    /// Its interpreter.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// Runs a script in the folder that holds it.
    pub(crate) fn run(&self, script: &Path) -> Result {
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(script);
        step::run(&mut command)
    }
}

/// A working `python3.<minor>`, on the path or among the versions that pyenv installed.
fn find(minor: u32) -> Result<PathBuf> {
    let name = format!("python3.{minor}");
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(std::env::home_dir()?.join(".pyenv")));
    let versions = pyenv.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
    let installed = versions
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(&name));
    std::iter::once(PathBuf::from(&name))
        .chain(installed)
        .find(|python| works(python))
        .ok_or_else(|| format!("{name} is neither on the path nor installed by pyenv"))
}

/// Whether it starts: a shim on the path may belong to a version that is not active.
fn works(python: &Path) -> bool {
    let mut probe = Command::new(python);
    probe.args(["-c", "import venv"]);
    let probe = probe.stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_does_not_exist_is_named() {
        let error = find(9999).unwrap_err();
        assert!(error.starts_with("python3.9999 is neither"), "{error}");
    }
}
