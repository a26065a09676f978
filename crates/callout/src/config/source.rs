//! A configuration file as text.

use super::diagnostic::{ConfigErrors, Diagnostic};
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes `start..end` of the text.
pub(super) type Span = Range<usize>;

/// The most bytes a configuration may have.
const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A configuration file's text, and what the file system says about the file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Whether other users of this machine can read it.
    pub(super) exposed: bool,
}

impl Source {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigErrors> {
        let fail = |problem: String, help: &str| {
            let (file, help) = (path.to_owned(), Some(help.to_owned()));
            ConfigErrors(vec![Diagnostic { file, place: None, problem, help }])
        };
        let bytes = read_bounded(path, CONFIG_BYTES_MAX).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => fail(
                "there is no configuration file".to_owned(),
                "`callout init` writes one; --config FILE names another",
            ),
            _ => fail(
                format!("the configuration file cannot be read: {error}"),
                "make it a file of at most 4 MiB that this user may read",
            ),
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(good).filter(|b| **b == b'\n').count() + 1;
            fail(format!("line {line} is not UTF-8"), "save the file with the encoding UTF-8")
        })?;
        Ok(Self::new(path, &text, is_exposed(path)))
    }

    /// A text that was read already. A byte order mark is no part of it.
    pub(super) fn new(path: &Path, text: &str, exposed: bool) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        Self { path: path.to_owned(), text, exposed }
    }

    /// What stands at `span`.
    pub(super) fn text_at(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The folder that relative paths in the file start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The number of the line at `offset`, where it starts, and the line itself.
    pub(super) fn line_at(&self, offset: usize) -> (usize, usize, &str) {
        let head = self.text.get(..offset).unwrap_or(&self.text);
        let start = head.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        (head.matches('\n').count() + 1, start, line)
    }
}

/// The bytes of a file that has at most `most` of them.
pub(super) fn read_bounded(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > most {
        return Err(std::io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// Whether users other than its owner can read the file.
#[cfg(unix)]
pub(super) fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o044 != 0)
}

/// Other systems keep a user's files to the user.
#[cfg(not(unix))]
pub(super) fn is_exposed(_path: &Path) -> bool {
    false
}
