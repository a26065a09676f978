//! Credentials: a literal, `{ env = "NAME" }` or `{ file = "path" }`.
//!
//! They are resolved after parsing and never parsed again, so that a value cannot inject structure.
//! No text made here contains one.

use super::reader::Item;
use super::source::{is_exposed, read_bounded};
use callout_core::secret::Secret;
use std::path::{Path, PathBuf};

/// The most bytes a credential may have.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// What a credential may be.
const FORMS: &str = "\"literal\", { env = \"NAME\" } or { file = \"path\" }";

impl Item<'_> {
    /// A credential.
    pub(super) fn secret(&self) -> Option<Secret> {
        if let Some(text) = self.value.as_str() {
            self.book.has_literal_secret.set(true);
            return self.non_empty(text.to_owned(), "is empty");
        }
        if !self.value.is_table() {
            self.wrong_type(FORMS);
            return None;
        }
        let section = self.section()?;
        match (section.get("env"), section.get("file"), section.items().len()) {
            (Some(name), None, 1) => name.text().and_then(|name| self.read_variable(name)),
            (None, Some(path), 1) => path.path().and_then(|path| self.read_file(&path)),
            _ => {
                section.only(&["env", "file"]);
                if section.items().iter().all(|item| matches!(item.key.as_str(), "env" | "file")) {
                    let problem = format!("{} needs exactly one of env and file", self.path);
                    self.wrong(problem, format!("write {FORMS}"));
                }
                None
            }
        }
    }

    fn read_variable(&self, name: &str) -> Option<Secret> {
        let Some(text) = (self.book.environment)(name) else {
            let problem = format!("{}: environment variable {name} is not set", self.path);
            self.wrong(problem, format!("set {name}, or use {{ file = \"path\" }}"));
            return None;
        };
        self.non_empty(text, &format!("takes an empty environment variable, {name}"))
    }

    fn read_file(&self, path: &Path) -> Option<Secret> {
        let shown = path.display();
        let text = read_bounded(path, SECRET_BYTES_MAX).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))
        });
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                let problem = format!("{}: {shown} cannot be read: {error}", self.path);
                self.wrong(problem, "put the credential into that file, with mode 0600");
                return None;
            }
        };
        if is_exposed(path) {
            let problem = format!("{}: other users can read {shown}", self.path);
            self.wrong(problem, format!("chmod 600 {shown}"));
            return None;
        }
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        self.non_empty(text, &format!("takes an empty file, {shown}"))
    }

    fn non_empty(&self, text: String, problem: &str) -> Option<Secret> {
        if text.trim().is_empty() {
            self.wrong_secret(format!("{} {problem}", self.path), "give it a value");
            return None;
        }
        Some(Secret::new(text))
    }

    /// A path; a relative one starts at the folder of the configuration file.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            self.wrong(format!("{} is empty", self.path), "write the path of a file");
            return None;
        }
        Some(self.book.source.folder().join(text))
    }

    /// A credential of at least `least` bytes.
    pub(super) fn secret_of(&self, least: usize) -> Option<Secret> {
        let secret = self.secret()?;
        let bytes = secret.expose().len();
        if bytes < least {
            let problem = format!("{} has {bytes} bytes", self.path);
            self.wrong_secret(problem, format!("make it at least {least}, from a random source"));
            return None;
        }
        Some(secret)
    }
}
