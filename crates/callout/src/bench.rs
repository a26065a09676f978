//! `callout bench`: what this machine can do, and how much of it Callout does.
//!
//! Every measurement stands beside its floor, the least work that anything of the kind has to do: raw
//! SQLite commits, bare HTTP requests. Both take turns in one run, so that whatever else the machine is
//! busy with meets both alike; the ratio is what to judge by. JSON:
//! `{"version","rounds","messages","folder","machine":{"processors","load","steal_percent","quiet"},
//! "figures":[{"name","what","unit","value","floor","floor_is","ratio","rounds","floor_rounds"}]}`;
//! `value` and `floor` are medians of the rounds, null where nothing was measured.

mod child;
mod claim;
mod drain;
mod enqueue;
mod figure;
mod ground;
mod growth;
mod idle;
mod latency;
mod machine;
mod sink;
mod stalls;
mod stock;

use crate::cli::Output;
use crate::command::{Failure, serve};
use crate::print;
use anyhow::Context as _;
use child::Role;
use clap::builder::RangedU64ValueParser;
use figure::Figure;
use ground::Ground;
use machine::Machine;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The most rounds, and the most messages in a sample.
const ROUNDS_MAX: u64 = 100;
const MESSAGES_MAX: u64 = 1_000_000;

/// Arguments of `callout bench`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = ABOUT)]
pub struct Args {
    /// Measure the store only: no HTTP, no other process
    #[arg(long)]
    channel_less: bool,
    /// Measure only this; may be given several times [default: all but growth]
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// How often floor and Callout take turns
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=ROUNDS_MAX))]
    rounds: usize,
    /// Messages in a sample
    #[arg(long, value_name = "N", default_value_t = 20_000,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MESSAGES_MAX))]
    messages: usize,
    /// Measure the disk that this folder is on [default: that of the configured outbox, else this folder's]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Measure claims beside backlogs of one and five million, too: takes minutes and some 15 GB
    #[arg(long)]
    full: bool,
    /// Measure although a worker serves the configured outbox, which slows it down
    #[arg(long)]
    even_while_serving: bool,
    #[command(flatten)]
    output: Output,
    /// What this process does for another one.
    #[arg(long, hide = true)]
    role: Option<Role>,
}

const ABOUT: &str = "Everything happens in a folder of its own, which is removed in the end, and with a \
stand-in for the provider on this machine. The configured outbox and channels are not used. Judge by the \
ratios: absolute numbers hold for this machine at this moment.";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Durable enqueue, beside raw commits
    Enqueue,
    /// The slowest commits, beside raw ones
    Stalls,
    /// Claims beside a growing backlog, history and messages for tomorrow
    Claim,
    /// Delivery of a backlog and of a live stream, beside bare requests
    Drain,
    /// From an idle producer to the provider, beside one commit from idle
    Latency,
    /// Memory of a worker, and its processor time while it has nothing to do
    Idle,
    /// Every operation in a large outbox, beside the same in a small one; takes minutes and much room
    Growth,
}

/// What is measured unless something is asked for.
const PARTS: [Part; 6] =
    [Part::Enqueue, Part::Stalls, Part::Claim, Part::Drain, Part::Latency, Part::Idle];

impl Part {
    /// Whether it takes place in the store alone.
    fn is_channel_less(self) -> bool {
        match self {
            Self::Enqueue | Self::Stalls | Self::Claim | Self::Growth => true,
            Self::Drain | Self::Latency | Self::Idle => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Stalls => "the slowest commits",
            Self::Claim => "claims",
            Self::Drain => "delivery",
            Self::Latency => "latency",
            Self::Idle => "a worker at rest and at work",
            Self::Growth => "growth",
        }
    }

    async fn measure(self, ground: &Ground) -> Result<Vec<Figure>, Failure> {
        match self {
            Self::Enqueue => enqueue::measure(ground).await,
            Self::Stalls => stalls::measure(ground).await,
            Self::Claim => claim::measure(ground).await,
            Self::Drain => drain::measure(ground).await,
            Self::Latency => latency::measure(ground).await,
            Self::Idle => idle::measure(ground).await,
            Self::Growth => growth::measure(ground).await,
        }
    }
}

/// Measures, and prints what it found.
///
/// # Errors
/// If it would disturb a worker, or something does not work.
pub fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    match args.role {
        Some(Role::Sink) => return Ok(serve::runtime()?.block_on(be_a_sink())?),
        Some(Role::Serve) => {
            child::end_with_parent()?;
            return serve::run(&serve::Args::default(), named);
        }
        None => {}
    }
    let runtime = serve::runtime()?;
    let measured = runtime.block_on(unless_interrupted(measure(args, named)));
    runtime.shutdown_timeout(Duration::from_secs(1));
    measured
}

async fn measure(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let parts = parts(args)?;
    let ground = Ground::new(args, named)?;
    let machine = Machine::look();
    let mut figures = Vec::new();
    for part in parts {
        print::talk(format_args!("measuring {} ...", part.words()));
        figures.extend(part.measure(&ground).await?);
    }
    let machine = machine.look_again();
    if args.output.json {
        print::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "rounds": ground.rounds,
            "messages": ground.messages,
            "folder": ground.folder().parent().unwrap_or(ground.folder()),
            "machine": machine.json(),
            "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
        }));
    } else {
        figure::table(&figures);
        let (rounds, messages) = (ground.rounds, ground.messages);
        let plural = if rounds == 1 { "" } else { "s" };
        print::out(format_args!(
            "\nRATIO is the median of each round's, not that of the two columns beside it. More is better for \
             what counts a second, less for all else."
        ));
        print::out(format_args!(
            "{rounds} round{plural} of at most {messages} messages. {machine}"
        ));
    }
    Ok(())
}

fn parts(args: &Args) -> Result<Vec<Part>, Failure> {
    let asked: &[Part] = if args.only.is_empty() { &PARTS } else { &args.only };
    if let Some(part) = args.only.iter().find(|part| args.channel_less && !part.is_channel_less()) {
        let problem = format!("{} cannot be measured without a channel", part.words());
        return Err(Failure::usage(problem, "leave out --channel-less"));
    }
    let fits = |part: &Part| !args.channel_less || part.is_channel_less();
    Ok(asked.iter().copied().filter(fits).collect())
}

/// Ends `work` where it stands at the first signal; what it holds is tidied away by dropping it.
async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut signals = serve::Signals::new()?;
    tokio::select! {
        done = work => done,
        () = signals.next() => Err(Failure::new("interrupted", "run it again; nothing was left behind")),
    }
}

/// Answers requests until whoever started this process is gone.
async fn be_a_sink() -> anyhow::Result<()> {
    child::end_with_parent()?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("there is no free port")?;
    print::out(listener.local_addr().context("the listener has no address")?);
    sink::serve(listener, Arc::new(|| ())).await;
    Ok(())
}
