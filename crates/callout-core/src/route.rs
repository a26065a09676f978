//! Which messages go to whom.
//!
//! Routes are tried in order and the first that matches decides. The last one has to match
//! everything, so that no message can fall through. Label matchers are Alertmanager's:
//! `env=prod`, `team!=web`, `host=~"db-[0-9]+"`, `host!~test.*`; patterns match the whole value
//! and a missing label counts as empty.

use crate::escalation::Policy;
use crate::id::ReceiverName;
use crate::level::Level;
use crate::message::Message;
use regex_lite::Regex;
use std::fmt;
use std::str::FromStr;

/// One rule.
#[derive(Clone, Debug)]
pub struct Route {
    /// Levels it matches. Empty: all.
    pub levels: Vec<Level>,
    /// Label matchers, all of which must hold.
    pub labels: Vec<Matcher>,
    /// Who is told. Empty: the message is recorded and nobody is told.
    pub to: Vec<ReceiverName>,
    /// What follows if nobody acknowledges the message. `None`: nobody has to.
    pub escalation: Option<Policy>,
}

impl Route {
    /// Whether this route decides about `message`.
    pub fn matches(&self, message: &Message) -> bool {
        (self.levels.is_empty() || self.levels.contains(&message.level))
            && self.labels.iter().all(|matcher| {
                matcher.holds(message.labels.get(&matcher.label).map_or("", String::as_str))
            })
    }

    /// Whether it matches every message there can be.
    pub fn is_catch_all(&self) -> bool {
        self.labels.is_empty()
            && (self.levels.is_empty()
                || Level::ALL.iter().all(|level| self.levels.contains(level)))
    }
}

/// What the route asks for, as a person would write it: `level critical, env=prod`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels: Vec<&str> = self.levels.iter().map(|level| level.name()).collect();
        let mut parts = Vec::new();
        if !levels.is_empty() {
            parts.push(format!("level {}", levels.join(" or ")));
        }
        parts.extend(self.labels.iter().map(|matcher| matcher.text.clone()));
        f.write_str(if parts.is_empty() { "everything" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    label: String,
    test: Test,
    negated: bool,
    text: String,
}

#[derive(Clone, Debug)]
enum Test {
    Equals(String),
    Matches(Regex),
}

impl Matcher {
    fn holds(&self, value: &str) -> bool {
        let hit = match &self.test {
            Test::Equals(wanted) => value == wanted,
            Test::Matches(pattern) => pattern.is_match(value),
        };
        hit != self.negated
    }
}

/// Why a text is no label matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMatcher {
    /// No operator, or no label before it.
    #[error(
        "{0:?} is not a label matcher; write it like env=prod, team!=web, host=~\"db-.*\" or host!~test.*"
    )]
    Shape(String),
    /// The pattern is no regular expression.
    #[error("the pattern in {text:?} is no regular expression: {problem}")]
    Pattern {
        /// The whole matcher.
        text: String,
        /// What the expression's parser says.
        problem: String,
    },
}

/// Operators, longer ones first.
const OPERATORS: [(&str, bool, bool); 4] =
    [("=~", true, false), ("!~", true, true), ("!=", false, true), ("=", false, false)];

impl FromStr for Matcher {
    type Err = BadMatcher;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = || BadMatcher::Shape(text.to_owned());
        let at = text.find(['=', '!']).ok_or_else(shape)?;
        let (label, rest) = text.split_at(at);
        let (value, pattern, negated) = OPERATORS
            .iter()
            .find_map(|(sign, pattern, negated)| {
                Some((rest.strip_prefix(sign)?, *pattern, *negated))
            })
            .ok_or_else(shape)?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        if label.trim().is_empty() {
            return Err(shape());
        }
        let test = if pattern {
            let problem = |e: regex_lite::Error| BadMatcher::Pattern {
                text: text.to_owned(),
                problem: e.to_string(),
            };
            Test::Matches(Regex::new(&format!("^(?:{value})$")).map_err(problem)?)
        } else {
            Test::Equals(value.to_owned())
        };
        Ok(Self { label: label.trim().to_owned(), test, negated, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matcher: &str, value: &str, holds: bool) {
        let mut message = Message::new(Level::Error, "x");
        message.labels.insert("host".into(), value.into());
        let route = Route {
            levels: vec![],
            labels: vec![matcher.parse().unwrap()],
            to: vec![],
            escalation: None,
        };
        assert_eq!(route.matches(&message), holds, "{matcher} on {value:?}");
    }

    #[test]
    fn matchers_mean_what_they_mean_in_alertmanager() {
        check("host=db-1", "db-1", true);
        check("host=db-1", "db-11", false);
        check("host!=db-1", "db-2", true);
        check("host=~\"db-[0-9]+\"", "db-42", true);
        check("host=~db", "db-42", false);
        check("host!~db-.*", "web-1", true);
        check("env=", "x", true);
        check("env!=prod", "x", true);
        check("env=prod", "x", false);
    }

    #[test]
    fn a_broken_matcher_says_what_is_wrong() {
        assert!("host".parse::<Matcher>().is_err());
        assert!("=x".parse::<Matcher>().is_err());
        assert!(
            "host=~(".parse::<Matcher>().unwrap_err().to_string().contains("no regular expression")
        );
    }

    #[test]
    fn a_route_matches_the_levels_it_names() {
        let route =
            Route { levels: vec![Level::Critical], labels: vec![], to: vec![], escalation: None };
        assert!(route.matches(&Message::new(Level::Critical, "x")));
        assert!(!route.matches(&Message::new(Level::Info, "x")));
        assert!(!route.is_catch_all());
        assert_eq!(route.to_string(), "level critical");
    }
}
