//! The language of what Callout itself says.

use crate::words::words;

/// A language for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locale {
    /// English.
    #[default]
    English,
    /// Chinese, as it is written on the mainland.
    Chinese,
}

words!(Locale { English = "en", Chinese = "zh" });

impl Locale {
    /// The one of two texts that is in this language.
    pub fn pick<T>(self, english: T, chinese: T) -> T {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}
