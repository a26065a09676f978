//! What a measurement found, for people and for machines.

use crate::print;
use serde_json::{Value, json};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Messages, commits or requests a second.
    PerSecond,
    /// Microseconds.
    Micros,
    /// Bytes of memory or of disk.
    Bytes,
    /// Per cent of one processor.
    Percent,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per_second",
            Self::Micros => "microseconds",
            Self::Bytes => "bytes",
            Self::Percent => "percent",
        }
    }

    fn show(self, n: f64) -> String {
        match self {
            Self::PerSecond if n >= 10_000.0 => format!("{:.1} k/s", n / 1e3),
            Self::PerSecond => format!("{n:.0} /s"),
            Self::Micros if n >= 10_000.0 => format!("{:.1} ms", n / 1e3),
            Self::Micros if n >= 1_000.0 => format!("{:.2} ms", n / 1e3),
            Self::Micros => format!("{n:.0} µs"),
            Self::Bytes if n >= 1e6 => format!("{:.1} MB", n / 1e6),
            Self::Bytes => format!("{n:.0} B"),
            Self::Percent => format!("{n:.2} %"),
        }
    }
}

/// One line of the result: what Callout does, and what it is compared with.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// For machines; never changes its meaning.
    pub(super) name: String,
    /// For people.
    pub(super) what: String,
    pub(super) unit: Unit,
    /// One for each round; none where only the floor was measured.
    pub(super) ours: Vec<f64>,
    /// One for each round; none where there is nothing to compare with.
    pub(super) floor: Vec<f64>,
    /// What the floor is; empty where there is none.
    pub(super) floor_is: &'static str,
}

impl Figure {
    /// A figure that is compared with nothing.
    pub(super) fn plain(
        name: impl Into<String>,
        what: impl Into<String>,
        unit: Unit,
        ours: Vec<f64>,
    ) -> Self {
        let (name, what) = (name.into(), what.into());
        Self { name, what, unit, ours, floor: Vec::new(), floor_is: "" }
    }

    /// A figure beside its floor, measured in turns.
    pub(super) fn beside(self, floor_is: &'static str, floor: Vec<f64>) -> Self {
        Self { floor, floor_is, ..self }
    }

    /// The median over the rounds of ours to the floor.
    pub(super) fn ratio(&self) -> Option<f64> {
        let of_round = |(ours, floor): (&f64, &f64)| ours / floor;
        median(&self.ours.iter().zip(&self.floor).map(of_round).collect::<Vec<_>>())
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "what": self.what,
            "unit": self.unit.name(),
            "value": median(&self.ours),
            "floor": median(&self.floor),
            "floor_is": (!self.floor_is.is_empty()).then_some(self.floor_is),
            "ratio": self.ratio(),
            "rounds": self.ours,
            "floor_rounds": self.floor,
        })
    }

    fn row(&self) -> Vec<String> {
        let show = |rounds: &[f64]| median(rounds).map_or("-".to_owned(), |n| self.unit.show(n));
        let ratio = self.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        vec![
            self.what.clone(),
            show(&self.ours),
            show(&self.floor),
            ratio,
            self.floor_is.to_owned(),
        ]
    }
}

/// Prints figures as a table.
pub(super) fn table(figures: &[Figure]) {
    let header = ["MEDIAN OF", "CALLOUT", "FLOOR", "RATIO", "THE FLOOR IS"];
    print::table(&header, figures.iter().map(Figure::row).collect());
}

/// The one in the middle; the mean of the two there.
pub(super) fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => None,
        1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle - 1)? + sorted.get(middle)?) / 2.0),
    }
}

/// The number that `share` of 1000 of those given do not exceed; none of none.
pub(super) fn per_mille(numbers: &[f64], share: usize) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get((sorted.len() * share).div_ceil(1000).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_ratio_is_that_of_each_round() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let figure = Figure::plain("n", "w", Unit::PerSecond, vec![1.0, 20.0, 5.0]);
        assert_eq!(figure.ratio(), None);
        let figure = figure.beside("f", vec![2.0, 80.0, 5.0]);
        assert_eq!(figure.ratio(), Some(0.5));
        assert_eq!(figure.row(), ["w", "5 /s", "5 /s", "0.50", "f"]);
        assert_eq!(figure.json()["value"], 5.0);
    }

    #[test]
    fn few_exceed_a_high_percentile() {
        let numbers: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(per_mille(&numbers, 500), Some(500.0));
        assert_eq!(per_mille(&numbers, 999), Some(999.0));
        assert_eq!(per_mille(&numbers, 1000), Some(1000.0));
        assert_eq!(per_mille(&[7.0], 999), Some(7.0));
        assert_eq!(per_mille(&[], 999), None);
    }
}
