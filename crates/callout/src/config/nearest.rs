//! "Did you mean?"

/// The candidate a person most likely meant by `word`, if any is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = (length / 3).max(1).min(length.saturating_sub(1));
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters have to be inserted, deleted, replaced or swapped with their neighbour to make
/// `b` of `a`; case does not count.
fn distance(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|text| text.to_lowercase().chars().collect::<Vec<char>>());
    let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX);
    let mut above_that = Vec::new();
    let mut above: Vec<usize> = (0..=a.len()).collect();
    for (y, wanted) in b.iter().enumerate() {
        let mut row = vec![y + 1];
        for (x, given) in a.iter().enumerate() {
            let replaced = at(&above, x) + usize::from(given != wanted);
            let mut best = replaced.min(at(&above, x + 1) + 1).min(at(&row, x) + 1);
            let before = |n: usize| n.checked_sub(1);
            if before(x).is_some_and(|x| a.get(x) == Some(wanted))
                && before(y).is_some_and(|y| b.get(y) == Some(given))
            {
                best = best.min(at(&above_that, x - 1).saturating_add(1));
            }
            row.push(best);
        }
        above_that = std::mem::replace(&mut above, row);
    }
    at(&above, a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = ["dingtalk", "wecom", "slack", "运维群"];
        for (word, meant) in [
            ("dingtlak", Some("dingtalk")),
            ("DingTalk", Some("dingtalk")),
            ("wecon", Some("wecom")),
            ("slcak", Some("slack")),
            ("d", None),
            ("运维", Some("运维群")),
            ("telegram", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
    }
}
