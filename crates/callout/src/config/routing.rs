//! Receivers, routes, retries and the operator, and whether all names they use exist.

use super::channels::name_error;
use super::escalation;
use super::reader::{Item, Section};
use callout_core::escalation::Policy;
use callout_core::id::{ChannelName, ReceiverName};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::plan::Directory;
use callout_core::receiver::Receiver;
use callout_core::retry::{DELAY_MIN, RetryPolicy};
use callout_core::route::Route;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

/// The longest time one channel may keep failing, and the longest pause between tries.
const DAY: Duration = Duration::from_secs(86_400);
/// The most tries on one channel before the next channel's turn.
const ATTEMPTS_MAX: u32 = 20;

type People = BTreeMap<String, BTreeMap<String, String>>;
type Policies = BTreeMap<String, Policy>;

/// What decides about deliveries; `None` after an error.
pub(super) fn directory(
    root: &Section<'_>,
    people: &People,
    policies: &Policies,
    locale: Locale,
) -> Option<Directory> {
    let receivers = receivers(root, people);
    let routes = routes(root, policies);
    let follow_up = escalation::follow_up(root);
    let operator = operator(root);
    let retry = retry(root);
    let told = routes.iter().flat_map(|route| &route.to).chain(operator.as_ref());
    let steps = policies.values().flat_map(|policy| &policy.steps);
    warn_unused(root, &told.chain(steps.flat_map(|step| &step.to)).collect());
    // Which channels are costly or ring is theirs to say.
    let (costly, ringing) = (BTreeSet::new(), BTreeSet::new());
    let retry = retry?;
    Some(Directory { routes, receivers, operator, retry, follow_up, locale, costly, ringing })
}

fn receivers(root: &Section<'_>, people: &People) -> BTreeMap<ReceiverName, Receiver> {
    let mut receivers = BTreeMap::new();
    for (item, section) in root.named_sections("receivers") {
        section.only(&["channels", "failover_after", "mention_all", "mention"]);
        let name: Option<ReceiverName> =
            item.key.parse().map_err(|error| name_error(&item, &error)).ok();
        let channels = chain(root, &section);
        let second = Duration::from_secs(1);
        let failover_after =
            section.get("failover_after").and_then(|item| item.duration(second..=DAY));
        let mention_all = section.get("mention_all").and_then(|item| item.switch());
        let mention = section.get("mention").map(|item| mentions(&item, people));
        if let Some(name) = name {
            let receiver = Receiver {
                name: name.clone(),
                channels,
                failover_after,
                mention_all: mention_all.unwrap_or(false),
                mention: mention.unwrap_or_default(),
            };
            receivers.insert(name, receiver);
        }
    }
    receivers
}

fn chain(root: &Section<'_>, receiver: &Section<'_>) -> Vec<ChannelName> {
    let help = "list its channels, the most wanted first: channels = [\"…\"]";
    let Some(item) = receiver.required("channels", help) else { return Vec::new() };
    let Some(items) = item.list() else { return Vec::new() };
    if items.is_empty() {
        item.wrong(format!("{} is empty", item.path), help);
    }
    references(root, "channel", &items)
}

/// The names in a list, each of which must be that of a table in the section `{what}s`.
pub(super) fn references<T: FromStr>(root: &Section<'_>, what: &str, items: &[Item<'_>]) -> Vec<T> {
    let mut seen = BTreeSet::new();
    for item in items {
        if let Some(text) = item.text()
            && !seen.insert(text)
        {
            let problem = format!("{what} \"{text}\" stands twice in {}", item.path);
            item.wrong(problem, "remove one of the two");
        }
    }
    items.iter().filter_map(|item| reference(root, what, item)).collect()
}

/// The name in `item`, which must be that of a table in the section `{what}s`.
fn reference<T: FromStr>(root: &Section<'_>, what: &str, item: &Item<'_>) -> Option<T> {
    let text = item.text()?;
    let tables = root.named_names(&format!("{what}s"));
    if tables.iter().any(|name| name == text) {
        return text.parse().ok();
    }
    if what == "receiver" && root.named_names("escalation").iter().any(|name| name == text) {
        let problem = format!("\"{text}\" is an escalation policy, and this has to be a receiver");
        let help =
            format!("a policy tells receivers only; a route uses it with escalation = \"{text}\"");
        item.wrong(problem, help);
    } else {
        item.unknown(what, text, tables.iter().map(String::as_str));
    }
    None
}

fn mentions(item: &Item<'_>, people: &People) -> Vec<String> {
    let items = item.list().unwrap_or_default();
    let names = items.iter().filter_map(|item| {
        let name = item.text()?;
        if !people.contains_key(name) {
            let known = people.keys().map(String::as_str).filter(|name| *name != "all");
            item.unknown("person", name, known);
        }
        Some(name.to_owned())
    });
    names.collect()
}

fn routes(root: &Section<'_>, policies: &Policies) -> Vec<Route> {
    let sections = root.numbered_sections("routes");
    let routes: Vec<Option<Route>> =
        sections.iter().map(|section| route(root, section, policies)).collect();
    let help =
        "end the file with a route without `match`, such as:\n    [[routes]]\n    to = [\"ops\"]";
    let is_catch_all = |route: &Option<Route>| route.as_ref().is_some_and(Route::is_catch_all);
    match (sections.last(), routes.last()) {
        (None, _) => root.book.missing_in_file("there is no route", help),
        (Some(section), Some(Some(route))) if !route.is_catch_all() => {
            let problem =
                "the last route does not match everything, so messages could fall through";
            root.book.missing(&section.at, problem, help);
        }
        (Some(_), _) => {}
    }
    if let Some(first) = routes.iter().position(is_catch_all) {
        for section in sections.iter().skip(first + 1) {
            let problem = format!("no message reaches this route: route {} takes all", first + 1);
            root.book.wrong(&section.at, problem, "move it up, or remove it");
        }
    }
    routes.into_iter().flatten().collect()
}

fn route(root: &Section<'_>, section: &Section<'_>, policies: &Policies) -> Option<Route> {
    section.only(&["match", "to", "escalation"]);
    let conditions = match section.get("match") {
        Some(item) => item.section().and_then(|section| conditions(&section)),
        None => Some((Vec::new(), Vec::new())),
    };
    let escalation =
        section.get("escalation").and_then(|item| escalation::chosen(root, policies, &item));
    let to = section.required("to", "name receivers, or record only with to = []");
    let to = to.and_then(|item| item.list())?;
    let to = references(root, "receiver", &to);
    let (levels, labels) = conditions?;
    Some(Route { levels, labels, to, escalation })
}

type Conditions = (Vec<Level>, Vec<callout_core::route::Matcher>);

fn conditions(section: &Section<'_>) -> Option<Conditions> {
    section.only(&["level", "labels"]);
    let each = |key| section.get(key).map(|item: Item<'_>| item.one_or_many()).unwrap_or_default();
    let levels: Vec<Option<Level>> = each("level")
        .iter()
        .map(|item| item.parsed("write info, warning, error or critical"))
        .collect();
    let help = "write it like \"env=prod\" or 'host=~\"db-.*\"'";
    let labels: Vec<Option<_>> = each("labels").iter().map(|item| item.parsed(help)).collect();
    if let Some(item) = section.get("level")
        && item.value.as_array().is_some_and(|list| list.is_empty())
    {
        item.wrong("this list of levels is empty", "leave `level` out to match all levels");
    }
    Some((levels.into_iter().collect::<Option<_>>()?, labels.into_iter().collect::<Option<_>>()?))
}

fn operator(root: &Section<'_>) -> Option<ReceiverName> {
    let help = "add [operator] with receiver = \"…\", who hears when a message cannot be delivered";
    let Some(section) = root.section("operator") else {
        root.book.warn(None, "nobody hears of messages that cannot be delivered", help);
        return None;
    };
    section.only(&["receiver"]);
    reference(root, "receiver", &section.required("receiver", "name a receiver")?)
}

fn retry(root: &Section<'_>) -> Option<RetryPolicy> {
    let default = RetryPolicy::default();
    let Some(section) = root.section("retry") else { return Some(default) };
    section.only(&["base", "cap", "attempts", "round_base", "round_cap"]);
    let length = |key, default| match section.get(key) {
        Some(item) => item.duration(DELAY_MIN..=DAY),
        None => Some(default),
    };
    let (base, cap) = (length("base", default.base), length("cap", default.cap));
    let round_base = length("round_base", default.round_base);
    let round_cap = length("round_cap", default.round_cap);
    for (low, high, names) in
        [(base, cap, ("base", "cap")), (round_base, round_cap, ("round_base", "round_cap"))]
    {
        let item = section.get(names.1).or_else(|| section.get(names.0));
        if let (Some(low), Some(high), Some(item)) = (low, high, item)
            && low > high
        {
            let problem = format!("retry.{} is shorter than retry.{}", names.1, names.0);
            item.wrong(problem, "the first wait cannot be longer than the longest");
        }
    }
    let attempts_max = match section.get("attempts") {
        Some(item) => item.integer(1..=ATTEMPTS_MAX),
        None => Some(default.attempts_max),
    };
    Some(RetryPolicy {
        base: base?,
        cap: cap?,
        attempts_max: attempts_max?,
        round_base: round_base?,
        round_cap: round_cap?,
    })
}

fn warn_unused(root: &Section<'_>, told: &BTreeSet<&ReceiverName>) {
    let mut used = BTreeSet::new();
    for (item, section) in root.named_sections("receivers") {
        let chain = section.get("channels").filter(|item| item.value.is_array());
        let chain = chain.and_then(|item| item.list()).unwrap_or_default();
        used.extend(chain.iter().filter_map(|item| item.value.as_str()));
        if !told.iter().any(|name| name.as_str() == item.key) {
            let problem = format!("no route leads to receiver \"{}\"", item.key);
            let help = "only messages that name it reach it; add a route, or remove it";
            root.book.warn(Some(&item.key_at), problem, help);
        }
    }
    for (item, _) in root.named_sections("channels") {
        if !used.contains(item.key.as_str()) {
            let problem = format!("no receiver uses channel \"{}\"", item.key);
            root.book.warn(Some(&item.key_at), problem, "add it to a receiver, or remove it");
        }
    }
}
