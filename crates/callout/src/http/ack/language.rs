//! Which language a reader wants, by `Accept-Language`.

use crate::config::Locale;

/// The most languages of a header that are looked at.
const RANGES_MAX: usize = 32;

/// The best language for the header; English if it names none that there is.
///
/// The highest weight wins, then the order. `zh` stands for everything that begins with it, `*` for
/// English, and a weight of zero rules a language out.
pub(super) fn pick(accepted: &str) -> Locale {
    let mut best = (Locale::English, 0);
    for range in accepted.split(',').take(RANGES_MAX) {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        if let (Some(locale), Some(weight)) = (of(tag), weight(parameters))
            && weight > best.1
        {
            best = (locale, weight);
        }
    }
    best.0
}

fn of(tag: &str) -> Option<Locale> {
    let primary = tag.trim().split('-').next().unwrap_or_default();
    match primary.to_ascii_lowercase().as_str() {
        "zh" => Some(Locale::Chinese),
        "en" | "*" => Some(Locale::English),
        _ => None,
    }
}

/// A weight in thousandths; nothing for one that is none.
fn weight(parameters: &str) -> Option<u32> {
    let Some((_, value)) = parameters.split_once("q=").or_else(|| parameters.split_once("Q="))
    else {
        return Some(1000);
    };
    let value: f64 = value.trim().parse().ok()?;
    let thousandths = (0..=1000).find(|n| f64::from(*n) >= value * 1000.0 - 0.5)?;
    Some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_highest_weight_wins_and_english_otherwise() {
        use Locale::{Chinese, English};
        for (accepted, locale) in [
            ("", English),
            ("zh", Chinese),
            ("zh-CN,zh;q=0.9,en;q=0.8", Chinese),
            ("ZH-Hant-TW", Chinese),
            ("en-US,en;q=0.9,zh;q=0.8", English),
            ("en;q=0.3, zh-CN ; q=0.9", Chinese),
            ("zh;q=0.3, en;Q=0.9", English),
            ("fr,de;q=0.9,zh;q=0.1", Chinese),
            ("fr,de", English),
            ("zh;q=0", English),
            ("zh;q=0.001", Chinese),
            ("zh;q=2", English),
            ("zh;q=NaN", English),
            ("zh;q=-1,en;q=0.1", English),
            ("zh;q=,en", English),
            ("*,zh;q=0.5", English),
            ("*;q=0.1,zh;q=0.5", Chinese),
            ("zhx,zhou", English),
            (";;;,,,=q", English),
        ] {
            assert_eq!(pick(accepted), locale, "{accepted}");
        }
        assert_eq!(pick(&format!("{}zh", "fr,".repeat(100_000))), English, "bounded");
    }
}
