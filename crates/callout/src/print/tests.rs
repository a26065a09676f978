use super::*;

#[test]
fn nothing_steers_the_terminal_or_turns_text_around() {
    let hostile =
        "ok\u{202e}txt.exe\u{2066}\u{200f} a\u{2028}b\u{2029}c \u{1b}[2J\r\u{7}\nnext 磁盘 👩‍💻\n";
    assert_eq!(clean(hostile), "oktxt.exe abc \u{fffd}[2J\u{fffd}\u{fffd}\nnext 磁盘 👩‍💻\n");
    assert_eq!(line(hostile, 9), "oktxt.ex…");
    table(&["TITLE"], vec![vec!["a\u{202e}b".to_owned()]]);
    assert_eq!(test::CAPTURED.take().out, "TITLE\nab\n");
}
