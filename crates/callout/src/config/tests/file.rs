//! What can be wrong with the file itself: where it is, who can read it, what it is written in.

use super::*;

#[test]
fn a_credential_that_a_value_has_swallowed_stays_hidden() {
    // Three quotes begin a value of several lines.
    check(
        "time_zone = '''x\n[server]\nack_key = \"s3cret\"'''\n",
        expect![[r#"
        error: time_zone "x …
          callout.toml:1:13
            1 | time_zone = '''x
              |             ^^^^
          help: write a name such as "Asia/Shanghai" or "UTC"

        error: there is no route
          callout.toml
          help: end the file with a route without `match`, such as:
            [[routes]]
            to = ["ops"]
    "#]],
    );
    check(
        "[[routes]]\nto = ['''x\nack_key = \"s3cret\"''']\n",
        expect![[r#"
        error: no receiver is called "x …
          callout.toml:2:7
            2 | to = ['''x
              |       ^^^^
          help: no receiver is configured
    "#]],
    );
}

#[test]
fn a_credential_that_is_taken_for_a_key_stays_hidden() {
    // Where a sign is missing, the parser takes it for one.
    check(
        "server = {d n \"s3cret\"c,\"s3cret\"}\n",
        expect![[r#"
        error: syntax: invalid float, expected `nan`
          callout.toml:1:13
            1 | server = ***
              |          ^^^

        error: syntax: missing assignment between key-value pairs, expected `=`
          callout.toml:1:13
            1 | server = ***
              |          ^^^

        error: syntax: missing comma between key-value pairs, expected `,`
          callout.toml:1:15
            1 | server = ***
              |          ^^^

        error: syntax: missing assignment between key-value pairs, expected `=`
          callout.toml:1:23
            1 | server = ***
              |          ^^^

        error: syntax: string values must be quoted, expected literal string
          callout.toml:1:23
            1 | server = ***
              |          ^^^

        error: syntax: duplicate key
          callout.toml:1:25
            1 | server = ***
              |          ^^^

        error: syntax: invalid literal string, expected `'`
          callout.toml:1:33
            1 | server = ***
              |          ^^^
    "#]],
    );
}

#[test]
fn errors_of_syntax_stand_alone_where_they_break_things() {
    check(
        "[channels.hook\nkind = \"webhook\"\n",
        expect![[r#"
            error: syntax: unclosed table, expected `]`
              callout.toml:1:15
                1 | [channels.hook
                  |               ^
        "#]],
    );
    check(
        "[server]\nlisten = \n[store]\nulr = 1\n",
        expect![[r#"
            error: syntax: string values must be quoted, expected literal string
              callout.toml:2:10
                2 | listen = ***
                  |          ^^^

            error: unknown key `ulr` in store
              callout.toml:4:1
                4 | ulr …
                  | ^^^
              help: did you mean `url`?
        "#]],
    );
    check(
        "[server]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n",
        expect![[r#"
        error: syntax: duplicate key
          callout.toml:3:1
            3 | listen …
              | ^^^^^^
    "#]],
    );
    check(
        "[receivers.运维]\n",
        expect![[r#"
        error: syntax: invalid unquoted key, expected letters, numbers, `-`, `_`
          callout.toml:1:12
            1 | [receivers.运维]
              |            ^^^^
          help: put the name in quotes: [channels."运维"]
    "#]],
    );
    check(
        "[http]\n[http]\n",
        expect![[r#"
            error: syntax: duplicate key
              callout.toml:2:2
                2 | [http]
                  |  ^^^^
        "#]],
    );
    check(
        "[[server.tokens]]\ntoken = \"unterminated-secret\nname = \"x\"\n",
        expect![[r#"
            error: syntax: invalid basic string, expected `"`
              callout.toml:2:29
                2 | token = ***
                  |         ^^^
        "#]],
    );
}

#[test]
fn byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = format!("\u{feff}[server]\r\nlisten = \"x\"\r\n{}", GOOD.replace('\n', "\r\n"));
    check(
        &text,
        expect![[r#"
        error: server.listen: invalid socket address syntax
          callout.toml:2:10
            2 | listen = "x"
              |          ^^^
          help: write an address and a port, such as "127.0.0.1:8470"
    "#]],
    );
    assert!(read(&GOOD.replace('\n', "\r\n")).is_ok());
}

/// The errors of the file at `path`, with the folder left out.
fn check_file(path: &Path, expected: Expect) {
    let folder = path.parent().unwrap().display().to_string();
    let errors = load(path).map(|_| ()).unwrap_err().to_string();
    expected.assert_eq(&format!("{}\n", errors.replace(&folder, "DIR")));
}

#[test]
fn a_file_that_cannot_be_read_comes_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    check_file(
        &folder.path().join("callout.toml"),
        expect![[r#"
        error: there is no configuration file
          DIR/callout.toml
          help: `callout init` writes one; --config FILE names another
    "#]],
    );
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"# ok\n# caf\xe9\n").unwrap();
    check_file(
        &path,
        expect![[r#"
        error: line 2 is not UTF-8
          DIR/latin1.toml
          help: save the file with the encoding UTF-8
    "#]],
    );
}

#[cfg(unix)]
#[test]
fn secrets_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let with_file = |file: &str| {
        GOOD.replace("\"https://hooks.example.com/x\"", &format!("{{ file = \"{file}\" }}"))
    };
    write("private", "https://x.example.com/\r\n", 0o600);
    write("shared", "https://x.example.com/", 0o640);
    write("empty", "\n", 0o600);

    let config = load(&write("literal-private.toml", GOOD, 0o600));
    assert!(config.is_ok());
    let config = load(&write("no-literal.toml", &with_file("private"), 0o644));
    assert!(config.is_ok());
    check_file(
        &write("literal-shared.toml", GOOD, 0o644),
        expect![[r#"
        error: it contains credentials and other users can read it
          DIR/literal-shared.toml
          help: chmod 600 DIR/literal-shared.toml, or use { env = "NAME" }
    "#]],
    );
    check_file(
        &write("shared.toml", &with_file("shared"), 0o600),
        expect![[r#"
        error: channels.hook.url: other users can read DIR/shared
          DIR/shared.toml:4:7
            4 | url = { file = "shared" }
              |       ^^^^^^^^^^^^^^^^^^^
          help: chmod 600 DIR/shared
    "#]],
    );
    check_file(
        &write("empty.toml", &with_file("empty"), 0o600),
        expect![[r#"
        error: channels.hook.url takes an empty file, DIR/empty
          DIR/empty.toml:4:7
            4 | url = ***
              |       ^^^
          help: give it a value
    "#]],
    );
}

#[test]
fn the_file_is_found_where_people_put_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap().to_owned();
    let at = |variable: &'static str| {
        let home = home.clone();
        move |name: &str| (name == variable).then(|| home.clone())
    };
    let named = Path::new("named.toml");
    assert_eq!(locate_with(Some(named), &at("CALLOUT_CONFIG")).unwrap(), named);
    assert_eq!(locate_with(None, &at("CALLOUT_CONFIG")).unwrap(), folder.path());
    let missing = locate_with(None, &at("HOME")).unwrap_err().to_string();
    assert!(missing.contains(".config/callout/callout.toml") && missing.contains("callout init"));

    fs::create_dir_all(folder.path().join(".config/callout")).unwrap();
    let platform = folder.path().join(".config/callout/callout.toml");
    fs::write(&platform, "").unwrap();
    assert_eq!(locate_with(None, &at("HOME")).unwrap(), platform);
    fs::create_dir(folder.path().join("callout")).unwrap();
    let platform = folder.path().join("callout/callout.toml");
    fs::write(&platform, "").unwrap();
    assert_eq!(locate_with(None, &at("XDG_CONFIG_HOME")).unwrap(), platform);
}

#[test]
fn a_file_torn_anywhere_is_refused_without_showing_a_credential() {
    let whole = format!(
        "[channels.\"运维\"]\nkind = \"dingtalk\"\naccess_token = \"hunter2hunter2\"\n[people.\"张\"]\nslack = \"U1\"\n{GOOD}"
    );
    assert!(read(&whole).is_ok());
    for (at, c) in whole.char_indices() {
        let (head, tail) = whole.split_at(at);
        for torn in [
            head.to_owned(),
            format!("{head}{}", tail.strip_prefix(c).unwrap()),
            format!("{head}\"{tail}"),
            format!("{head}={tail}"),
            format!("{head}[{tail}"),
            format!("{head}\n{tail}"),
        ] {
            if let Err(errors) = read(&torn) {
                assert!(!errors.to_string().contains("unter2hunter"), "{torn}\n{errors}");
            }
        }
    }
}

#[test]
fn no_diagnostic_speaks_to_the_terminal() {
    let red = "\u{1b}[31m";
    for text in [
        format!("[rece{red}ivers]\n"),
        format!("# {red}\nnobody = \"{red}\" # {red}\n"),
        "\"nobody\\u001b[31m\" = 1\n".to_owned(),
        "[channels.\"\\u001b[31m\"]\nkind = \"\\u001b[31m\"\n".to_owned(),
        format!("{GOOD}[channels.other]\nkind = \"webhook\"\nurl = \"http://\\u001b[31m\"\n"),
    ] {
        let shown = read(&text).unwrap_err().to_string();
        assert!(shown.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
    }
}
