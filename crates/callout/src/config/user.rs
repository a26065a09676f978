//! Who runs the program. On Unix the system says so, not the environment, which anybody can set.

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

#[cfg(all(test, unix))]
mod tests;
