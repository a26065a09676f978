//! Who runs the program, and which language they read. On Unix the system says who it is, not the
//! environment, which anybody can set.

use callout_core::locale::Locale;

/// What names the language, the first that is set.
const LANGUAGE: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// Where accounts are listed; those that live in a directory service are not, and go by their number.
#[cfg(unix)]
const ACCOUNTS: &str = "/etc/passwd";

/// The name of the account that runs the program, if the system tells.
#[cfg(unix)]
pub fn login_name() -> Option<String> {
    let accounts = std::fs::read(ACCOUNTS).unwrap_or_default();
    Some(name_of(rustix::process::getuid().as_raw(), &String::from_utf8_lossy(&accounts)))
}

/// The name of the account that runs the program, as far as the environment tells.
#[cfg(not(unix))]
pub fn login_name() -> Option<String> {
    let names = ["USERNAME", "USER"].into_iter().filter_map(super::environment);
    names.into_iter().find(|name| !name.trim().is_empty())
}

/// The account's name, or `uid 1000` if it has none.
#[cfg(unix)]
fn name_of(uid: u32, accounts: &str) -> String {
    let named = accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next().filter(|name| !name.trim().is_empty())?;
        (parts.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

/// The language of whoever runs the program: Chinese if the environment names it, else English.
pub fn locale() -> Locale {
    if cfg!(test) { Locale::English } else { locale_of(&super::environment) }
}

fn locale_of(environment: &dyn Fn(&str) -> Option<String>) -> Locale {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    let named = LANGUAGE.into_iter().find_map(set).unwrap_or_default().to_lowercase();
    match named.split(['_', '-', '.', '@']).next() {
        Some("zh") => Locale::Chinese,
        Some(_) | None => Locale::English,
    }
}

#[cfg(all(test, unix))]
mod tests;
