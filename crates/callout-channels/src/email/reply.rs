//! What the server says, and what that means for the letter.

use callout_core::outcome::{Blame, Outcome, Reason};

/// The part of the conversation that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    Greeting,
    Hello,
    StartTls,
    Login,
    Sender,
    Recipient,
    Data,
    /// The letter itself, up to the answer to its end.
    Letter,
}

impl Step {
    /// Its name for people: the verb where it has one.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connect => "the connection",
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Login => "AUTH",
            Self::Sender => "MAIL",
            Self::Recipient => "RCPT",
            Self::Data => "DATA",
            Self::Letter => "the end of the letter",
        }
    }

    /// What it means that the server said `reply` here, which is not what would let us go on.
    ///
    /// Up to the recipients a refusal is about the endpoint: the server, the account, the addresses in
    /// the settings. From `DATA` on it is about the letter, unless the code speaks of addresses or of a
    /// login after all.
    pub(super) fn refused(self, reply: &Reply) -> Outcome {
        let reason = Reason::new(reply.code, format!("{}: {}", self.name(), reply.text()));
        match (reply.code, self) {
            (400..=499, _) => Outcome::Transient(reason),
            // What the standard wants: old servers say so when there are too many recipients.
            (552, Self::Recipient) => Outcome::Transient(reason),
            (500..=599, _) => Outcome::Rejected { blame: self.blame(reply), reason },
            (_, Self::Letter) => Outcome::Unknown(reason),
            (_, _) => Outcome::Transient(reason),
        }
    }

    fn blame(self, reply: &Reply) -> Blame {
        match (self, reply.code) {
            // The account, or TLS that somebody has to switch on.
            (_, 530 | 534 | 535 | 538) => Blame::Endpoint,
            (Self::Sender, 552) => Blame::Message,
            (Self::Data | Self::Letter, _) if reply.is_about_addresses() => Blame::Endpoint,
            (Self::Data | Self::Letter, _) => Blame::Message,
            (_, _) => Blame::Endpoint,
        }
    }
}

/// One whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// What stands behind the code, line by line.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Its words on one line.
    pub(super) fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// Whether its enhanced code is one of those about addresses.
    fn is_about_addresses(&self) -> bool {
        self.lines.iter().any(|line| line.starts_with("5.1."))
    }

    /// The words behind an extension, if the answer to `EHLO` offers it.
    pub(super) fn offers(&self, extension: &str) -> Option<String> {
        let mut lines = self.lines.iter().skip(1).map(|line| line.to_ascii_uppercase());
        // Some old servers divide AUTH from its words by an equals sign.
        lines.find_map(|line| {
            let rest = line.strip_prefix(extension)?;
            (rest.is_empty() || rest.starts_with([' ', '='])).then(|| rest.replace('=', " "))
        })
    }
}

/// What one line of an answer holds: the code, whether more lines follow, the words.
pub(super) fn line(bytes: &[u8]) -> Option<(u16, bool, String)> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    let (code, rest) = text.split_at_checked(3)?;
    let digits = code.bytes().all(|b| b.is_ascii_digit());
    let code: u16 = code.parse().ok().filter(|code| digits && (200..600).contains(code))?;
    match rest.chars().next() {
        None => Some((code, false, String::new())),
        Some(' ') => Some((code, false, rest.trim().to_owned())),
        Some('-') => Some((code, true, rest.trim_start_matches('-').trim().to_owned())),
        Some(_) => None,
    }
}
