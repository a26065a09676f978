//! Libraries that stand between a program and the machine, loaded under it with `LD_PRELOAD`.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The library made from a file in `tests/preload`, compiled once by each process.
pub(crate) fn library(source: &str) -> PathBuf {
    static MADE: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.get_or_insert_default();
    made.entry(source.to_owned()).or_insert_with(|| compile(source)).clone()
}

/// It gets its name when it is complete: another process may be loading the one that was there.
fn compile(source: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(source).with_extension("so");
    let unfinished = folder.join(format!("{source}.{}", std::process::id()));
    let output = Command::new("cc")
        .args(["-Wall", "-Wextra", "-O1", "-shared", "-fPIC", "-o"])
        .arg(&unfinished)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("preload").join(source))
        .args(["-ldl", "-lpthread"])
        .output()
        .expect("there is a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(unfinished, &library).unwrap();
    library
}

/// Time that passes at once, for programs that run under `later.c`.
pub(crate) struct Later {
    file: File,
    /// The value of `CALLOUT_LATER_CONTROL`.
    pub(crate) control: PathBuf,
}

impl Later {
    /// Is told to programs through a file in this folder.
    pub(crate) fn within(folder: &Path) -> Self {
        let control = folder.join("later");
        let file = File::create_new(&control).unwrap();
        let later = Self { file, control };
        later.skip(Duration::ZERO);
        later
    }

    /// For the programs it is so much later than it really is.
    pub(crate) fn skip(&self, length: Duration) {
        self.file.write_all_at(&length.as_secs().to_le_bytes(), 0).unwrap();
    }
}
