use super::*;
use crate::picture::machine;
use proptest::prelude::*;

fn deed(by: &str) -> Deed {
    Deed { by: by.to_owned(), at: Timestamp::EPOCH, via: Via::Page }
}

fn states() -> Vec<State> {
    vec![State::Open, State::Acknowledged(deed("lin")), State::Resolved(deed("lin"))]
}

fn events() -> Vec<Event> {
    vec![
        Event::Acknowledged(deed("wang")),
        Event::Unacknowledged,
        Event::Resolved(deed("wang")),
        Event::Cancelled(deed("wang")),
        Event::Reopened,
    ]
}

/// This machine's part of the picture.
pub(crate) fn picture() -> String {
    let rows = |state: &State| {
        let next = |event: Event| {
            Some((event.name().to_owned(), step(state, event).ok()?.name().to_owned()))
        };
        events().into_iter().filter_map(next).collect()
    };
    let states: Vec<_> = states().iter().map(|state| (state.name(), rows(state))).collect();
    machine("An alert", "A message that somebody has to acknowledge.", states)
}

fn check(story: &[&str], expected: &str) {
    let mut state = State::Open;
    for name in story {
        let event = events().into_iter().find(|event| event.name() == *name).unwrap();
        match step(&state, event) {
            Ok(next) => state = next,
            Err(illegal) => {
                assert_eq!(illegal.to_string(), expected, "{story:?}");
                return;
            }
        }
    }
    assert_eq!(state.name(), expected, "{story:?}");
}

#[test]
fn it_is_taken_given_back_ended_and_opened_again() {
    check(&[], "open");
    check(&["acknowledged"], "acknowledged");
    check(&["resolved"], "resolved");
    check(&["acknowledged", "unacknowledged"], "open");
    check(&["acknowledged", "unacknowledged", "acknowledged"], "acknowledged");
    check(&["acknowledged", "resolved"], "resolved");
    check(&["acknowledged", "resolved", "reopened"], "open");
    check(&["resolved", "reopened", "resolved"], "resolved");
}

#[test]
fn whoever_comes_second_changes_nothing() {
    check(
        &["acknowledged", "acknowledged"],
        "an alert that is acknowledged cannot be acknowledged",
    );
    check(&["resolved", "acknowledged"], "an alert that is resolved cannot be acknowledged");
    check(&["resolved", "resolved"], "an alert that is resolved cannot be resolved");
    check(&["unacknowledged"], "an alert that is open cannot be unacknowledged");
    check(&["reopened"], "an alert that is open cannot be reopened");
    check(&["acknowledged", "reopened"], "an alert that is acknowledged cannot be reopened");
    check(&["resolved", "unacknowledged"], "an alert that is resolved cannot be unacknowledged");
}

#[test]
fn the_deed_names_who_brought_it_here() {
    assert_eq!(State::Open.deed(), None);
    let taken = step(&State::Open, Event::Acknowledged(deed("lin"))).unwrap();
    assert_eq!(taken.deed(), Some(&deed("lin")));
    // Whoever ends it takes the place of whoever had it.
    let over = step(&taken, Event::Resolved(deed("wang"))).unwrap();
    assert_eq!(over.deed(), Some(&deed("wang")));
}

#[test]
fn every_word_is_read_back_as_what_it_was() {
    for standing in Standing::ALL {
        assert_eq!(Standing::from_name(standing.name()), Some(*standing));
    }
    for via in Via::ALL {
        assert_eq!(Via::from_name(via.name()), Some(*via));
    }
    assert_eq!(Via::from_name("Page"), None);
    for state in states() {
        assert_eq!(state.standing().name(), state.name());
    }
}

fn check_author(typed: &str, taken: Result<&str, &str>) {
    let found = author(typed).map_err(|invalid| invalid.to_string());
    assert_eq!(found.as_deref().map_err(String::as_str), taken, "{typed:?}");
}

#[test]
fn a_name_is_one_plain_line() {
    check_author("lin", Ok("lin"));
    check_author(" 王小明 \n", Ok("王小明"));
    check_author("O'Neill <b>", Ok("O'Neill <b>"));
    check_author("", Err("by is empty; say who acts"));
    check_author(" \t ", Err("by is empty; say who acts"));
    check_author("a\nb", Err("by contains a control character; it has to be one plain line"));
    check_author("a\u{1b}[1m", Err("by contains a control character; it has to be one plain line"));
    check_author(&"x".repeat(NAME_BYTES_MAX), Ok(&"x".repeat(NAME_BYTES_MAX)));
    check_author(&"王".repeat(86), Err("by has 258 bytes; at most 256 fit"));
}

proptest! {
    /// Whatever happens in whatever order: nobody takes what is taken, and only a reopening leaves the end.
    #[test]
    fn an_acknowledgment_is_never_overwritten(picks in prop::collection::vec(0usize..5, 0..40)) {
        let mut state = State::Open;
        for (n, pick) in picks.into_iter().enumerate() {
            let event = match events().swap_remove(pick) {
                Event::Acknowledged(_) => Event::Acknowledged(deed(&n.to_string())),
                event => event,
            };
            let Ok(next) = step(&state, event.clone()) else { continue };
            prop_assert_ne!(&next, &state);
            match (&state, &next) {
                (State::Acknowledged(_), next) => prop_assert!(!matches!(next, State::Acknowledged(_))),
                (State::Resolved(_), _) => prop_assert_eq!(event, Event::Reopened),
                (State::Open, _) => {}
            }
            state = next;
        }
    }
}
