//! The little XML that WeCom sends: one root, elements with text or CDATA, nothing else.
//!
//! What XML has beyond that is refused, not skipped: attributes, comments, declarations, entities other
//! than the five. Two elements of one name leave none to be relied on.

/// The deepest nesting, and the most elements.
const DEPTH_MAX: usize = 8;
const ELEMENTS_MAX: usize = 256;

/// The elements right below the root, with their texts.
pub(super) struct Elements<'a>(Vec<(&'a str, String)>);

impl Elements<'_> {
    /// The text of the only element called `name`.
    pub(super) fn one(&self, name: &str) -> Option<String> {
        let mut found = self.0.iter().filter(|(have, _)| *have == name);
        let (_, text) = found.next()?;
        found.next().is_none().then(|| text.clone())
    }
}

/// Reads a whole document; `None` if it is anything else than that.
pub(super) fn read(document: &str) -> Option<Elements<'_>> {
    let mut rest = document.trim();
    let (mut open, mut found): (Vec<&str>, Vec<(&str, String)>) = (Vec::new(), Vec::new());
    let (mut text, mut elements) = (String::new(), 0);
    loop {
        let (before, markup) = rest.split_once('<')?;
        text += &unescaped(before)?;
        if open.is_empty() && (elements > 0 || !text.is_empty()) {
            return None;
        }
        if let Some(data) = markup.strip_prefix("![CDATA[") {
            let (data, behind) = data.split_once("]]>").filter(|_| !open.is_empty())?;
            text += data;
            rest = behind;
            continue;
        }
        let (tag, behind) = markup.split_once('>')?;
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop()? != name {
                return None;
            }
            match open.len() {
                0 => return rest.trim().is_empty().then_some(Elements(found)),
                1 => found.push((name, std::mem::take(&mut text))),
                _ => text.clear(),
            }
        } else {
            elements += 1;
            if !is_name(tag) || open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                return None;
            }
            open.push(tag);
            text.clear();
        }
    }
}

fn is_name(tag: &str) -> bool {
    tag.starts_with(|c: char| c.is_ascii_alphabetic())
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `text` with the five entities of XML replaced, each once; `None` if it holds another one.
fn unescaped(text: &str) -> Option<String> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, entity)) = rest.split_once('&') {
        let (name, behind) = entity.split_once(';')?;
        done += before;
        done.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
        rest = behind;
    }
    Some(done + rest)
}
