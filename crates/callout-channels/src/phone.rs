//! Telephone numbers in settings. They are personal, so no text made here shows a whole one.

use crate::settings::problem;
use crate::spec::Problem;
use callout_core::outcome::{Outcome, Reason};
use std::collections::HashSet;

/// How many digits a number may have behind its plus.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// How many digits at its end tell a number from others without giving it away.
const SHOWN_DIGITS: usize = 4;

/// Whether `text` is a number that can be called from everywhere, such as `+8613800000000` (E.164).
pub(crate) fn is_international(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        let legal = digits.bytes().all(|byte| byte.is_ascii_digit());
        legal && !digits.starts_with('0') && DIGITS.contains(&digits.len())
    })
}

/// The eleven digits of a mobile number of the Chinese mainland, with or without `+86`.
pub(crate) fn mainland(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("+86").unwrap_or(text);
    let legal = digits.len() == 11 && digits.bytes().all(|byte| byte.is_ascii_digit());
    (legal && digits.starts_with('1')).then_some(digits)
}

/// What is wrong with the list `phones`: what is no number, more than `most` of them, and a number that
/// stands there twice, which would cost twice.
pub(crate) fn check(
    field: &'static str,
    phones: &[String],
    most: usize,
    is_legal: impl Fn(&str) -> bool,
) -> Option<Problem> {
    if phones.len() > most {
        return Some(problem(field, format!("holds more than {most} numbers")));
    }
    let mut known = HashSet::new();
    for (at, phone) in (1_usize..).zip(phones.iter().map(|phone| phone.trim())) {
        if !is_legal(phone) {
            let none = "holds a phone number that is none, at position";
            return Some(problem(field, format!("{none} {at}; write it like +8613800000000")));
        }
        if !known.insert(mainland(phone).unwrap_or(phone)) {
            let twice = format!("holds a phone number twice; remove the one at position {at}");
            return Some(problem(field, twice));
        }
    }
    None
}

/// The end of a number, enough to tell whose it is.
pub(crate) fn ending(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    let start = digits.len().saturating_sub(SHOWN_DIGITS);
    format!("…{}", digits.iter().skip(start).collect::<String>())
}

/// `outcome` with no whole number in what the provider said: it repeats whom it was to tell.
pub(crate) fn discreet(outcome: Outcome) -> Outcome {
    let Reason { code, detail } = outcome.reason().clone();
    let detail = without_numbers(&detail);
    outcome.with_reason(Reason { code, detail })
}

/// `text` with only the end left of what could be a telephone number. Digits inside a word are no number.
fn without_numbers(text: &str) -> String {
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (before, tail) = rest.split_at(start);
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(end);
        let is_number = DIGITS.contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
        done += before;
        done += &if is_number { ending(word) } else { word.to_owned() };
        rest = tail;
    }
    done + rest
}
