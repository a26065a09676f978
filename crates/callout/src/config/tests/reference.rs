//! The tables of channels in `docs/reference/configuration.md` follow from the specifications.

use callout_channels::REGISTRY;
use callout_channels::channel::{Spec, Value};
use expect_test::expect_file;
use std::fmt::Write as _;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
const BEGIN: &str = "<!-- generated from the channels' specifications: begin -->\n";
const END: &str = "<!-- generated from the channels' specifications: end -->\n";

#[test]
fn the_reference_of_the_channels_is_fresh() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let tables: String = REGISTRY.iter().map(|row| table(row.spec)).collect();
    expect_file![PAGE].assert_eq(&format!("{head}{BEGIN}{tables}\n{END}{tail}"));
}

fn table(spec: &Spec) -> String {
    let mut text = format!("\n### `kind = \"{}\"`: {}\n\n", spec.kind, spec.title);
    _ = writeln!(
        text,
        "Default rate: `{}`. Mentions: {}. Against duplicates: {}. Types, richest first: {}. \
         Largest request: {} bytes.\n",
        spec.rate,
        spec.mentions,
        spec.idempotency,
        spec.types.join(", "),
        spec.body_bytes_max
    );
    text.push_str("| key | value | required | meaning |\n| --- | --- | --- | --- |\n");
    for field in spec.fields {
        let value = match field.value {
            Value::Secret => "secret",
            Value::Secrets => "secret, or a list of secrets",
            Value::Url => "address",
            Value::Text => "text",
            Value::Switch => "true or false",
            Value::Texts => "table of secrets",
        };
        let required = if field.required { "yes" } else { "no" };
        let doc = field.doc.replace('|', "\\|");
        _ = writeln!(text, "| `{}` | {value} | {required} | {doc} |", field.name);
    }
    text
}
