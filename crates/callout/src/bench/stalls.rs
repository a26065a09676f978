//! How long the slowest commits take, most of them because the log is copied back just then.

use super::enqueue::RAW;
use super::figure::{Figure, Unit, per_mille};
use super::ground::{BODY, Ground, enqueue, new};
use crate::command::Failure;
use callout_store::Floor;
use callout_store::clock::stopwatch;
use std::time::Duration;

/// Commits in a sample at most: enough that the log is copied back several times.
const SAMPLE: usize = 4_000;
/// How long a sample takes at most.
const LENGTH: Duration = Duration::from_secs(2);

/// The share of 1000 commits that are faster, with its name and its words.
const SHARES: [(usize, &str, &str); 4] = [
    (500, "commit_p50", "one enqueue after the other, p50"),
    (990, "commit_p99", "one enqueue after the other, p99"),
    (999, "commit_p999", "one enqueue after the other, p99.9"),
    (1000, "commit_max", "one enqueue after the other, slowest"),
];

/// Measures.
pub(super) async fn measure(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ground.rounds {
        raw.push(commits(ground)?);
        ours.push(enqueues(ground).await?);
    }
    let figure = |(share, name, what): (usize, &str, &str)| {
        let of = |rounds: &[Vec<f64>]| rounds.iter().filter_map(|n| per_mille(n, share)).collect();
        Figure::plain(name, what, Unit::Micros, of(&ours)).beside(RAW, of(&raw))
    };
    Ok(SHARES.into_iter().map(figure).collect())
}

fn sample(ground: &Ground) -> usize {
    SAMPLE.min(ground.messages)
}

fn commits(ground: &Ground) -> Result<Vec<f64>, Failure> {
    let plot = ground.plot()?;
    let mut floor = Floor::create(&plot.file("floor.db"))?;
    let (mut times, whole) = (Vec::new(), stopwatch());
    while times.len() < sample(ground) && whole() < LENGTH {
        let one = stopwatch();
        floor.commit(1, BODY)?;
        times.push(one().as_secs_f64() * 1e6);
    }
    Ok(times)
}

async fn enqueues(ground: &Ground) -> Result<Vec<f64>, Failure> {
    let plot = ground.plot()?;
    let store = plot.store(&plot.config("http://127.0.0.1:9/")?)?;
    let (mut times, whole) = (Vec::new(), stopwatch());
    while times.len() < sample(ground) && whole() < LENGTH {
        let one = stopwatch();
        enqueue(store.as_ref(), new(1)).await?;
        times.push(one().as_secs_f64() * 1e6);
    }
    Ok(times)
}
