//! Escalation policies, and what the links in messages need.

use super::channels::name_error;
use super::reader::{Item, Section};
use super::routing::references;
use super::sections::Server;
use callout_core::escalation::{ACK_WITHIN, Policy, REPEAT, REPEAT_MAX, STEPS_MAX, Step};
use callout_core::id::ReceiverName;
use callout_core::message::ACK_WITHIN_RANGE;
use std::collections::BTreeMap;

/// What a policy without steps is told.
const STEPS_HELP: &str =
    "say who is told, and how long they have: steps = [{ to = [\"…\"], ack_within = \"5m\" }]";

/// Every policy by name; one with an error is not among them.
pub(super) fn policies(root: &Section<'_>) -> BTreeMap<String, Policy> {
    let sections = root.named_sections("escalation");
    let policies = sections.iter().filter_map(|(item, section)| {
        // A policy's name follows the same rule as a receiver's.
        let name = item.key.parse::<ReceiverName>();
        let name = name.map_err(|error| name_error(item, &error)).ok();
        let policy = policy(root, &item.key, section)?;
        Some((name?.to_string(), policy))
    });
    policies.collect()
}

fn policy(root: &Section<'_>, name: &str, section: &Section<'_>) -> Option<Policy> {
    section.only(&["steps", "repeat"]);
    let repeat = match section.get("repeat") {
        Some(item) => item.integer(0..=REPEAT_MAX),
        None => Some(REPEAT),
    };
    let steps = section.required("steps", STEPS_HELP).and_then(|item| steps(root, &item));
    Some(Policy { name: Some(name.to_owned()), steps: steps?, repeat: repeat? })
}

fn steps(root: &Section<'_>, item: &Item<'_>) -> Option<Vec<Step>> {
    let items = item.list()?;
    if items.is_empty() {
        item.wrong(format!("{} is empty", item.path), STEPS_HELP);
        return None;
    }
    if items.len() > STEPS_MAX {
        let problem = format!("{} has {} steps; at most {STEPS_MAX} fit", item.path, items.len());
        item.wrong(problem, "tell more people in one step, or let `repeat` tell them again");
    }
    let steps: Vec<Option<Step>> =
        items.iter().map(|item| item.section().and_then(|section| step(root, &section))).collect();
    steps.into_iter().collect()
}

fn step(root: &Section<'_>, section: &Section<'_>) -> Option<Step> {
    section.only(&["to", "ack_within"]);
    let help = "name at least one receiver: to = [\"…\"]";
    let (shortest, longest) = ACK_WITHIN_RANGE;
    let ack_within = match section.get("ack_within") {
        Some(item) => item.duration(shortest..=longest),
        None => Some(ACK_WITHIN),
    };
    let item = section.required("to", help)?;
    let items = item.list()?;
    if items.is_empty() {
        item.wrong(format!("{} is empty", item.path), help);
        return None;
    }
    Some(Step { to: references(root, "receiver", &items), ack_within: ack_within? })
}

/// The policy that a route names.
pub(super) fn chosen(
    root: &Section<'_>,
    policies: &BTreeMap<String, Policy>,
    item: &Item<'_>,
) -> Option<Policy> {
    let name = item.text()?;
    let tables = root.named_names("escalation");
    if !tables.iter().any(|known| known == name) {
        item.unknown("escalation policy", name, tables.iter().map(String::as_str));
    }
    policies.get(name).cloned()
}

/// Whether those who were told hear who took it; the section `alerts`.
pub(super) fn follow_up(root: &Section<'_>) -> bool {
    let Some(alerts) = root.section("alerts") else { return true };
    alerts.only(&["follow_up"]);
    alerts.get("follow_up").and_then(|item| item.switch()).unwrap_or(true)
}

/// Notes policies that nothing uses, and links that cannot be made or that others can read.
pub(super) fn warn(root: &Section<'_>, server: Option<&Server>) {
    let routes = root.get("routes").filter(|item| item.value.is_array());
    let routes = routes.and_then(|item| item.list()).unwrap_or_default();
    let used: Vec<&str> = routes
        .iter()
        .filter_map(|route| route.value.as_table()?.get("escalation")?.get_ref().as_str())
        .collect();
    for (item, _) in root.named_sections("escalation") {
        if !used.contains(&item.key.as_str()) {
            let problem = format!("no route uses escalation policy \"{}\"", item.key);
            let help = format!("add escalation = \"{}\" to a route, or remove it", item.key);
            root.book.warn(Some(&item.key_at), problem, help);
        }
    }
    let public_url = server.and_then(|server| server.public_url.as_ref());
    if !used.is_empty() && server.is_some() && public_url.is_none() {
        let problem = "messages that have to be acknowledged cannot carry a link to do so";
        let help = "messages will say how to acknowledge by command instead; for links, add \
                    public_url to [server], the address at which people reach this server";
        root.book.warn(None, problem, help);
    }
}
