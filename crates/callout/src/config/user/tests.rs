use super::*;

#[test]
fn an_account_goes_by_its_name_or_else_by_its_number() {
    let accounts = "root:x:0:0:root:/root:/bin/sh\n# 7:x:7\nbroken\n:x:9:9::/:\nops:x:1000:1000:,,,:/home/ops:/bin/sh\nlate:x:1000:1::/:\n";
    for (uid, name) in [
        (0, "root"),
        (1000, "ops"),
        (1, "uid 1"),
        (9, "uid 9"),
        (100, "uid 100"),
        (4_294_967_294, "uid 4294967294"),
    ] {
        assert_eq!(name_of(uid, accounts), name);
    }
    assert_eq!(name_of(0, ""), "uid 0");
}

#[test]
fn whoever_runs_the_tests_has_a_name() {
    assert!(login_name().is_some_and(|name| !name.is_empty()));
}

#[test]
fn the_environment_names_the_language() {
    for (set, locale) in [
        (vec![], Locale::English),
        (vec![("LANG", "zh_CN.UTF-8")], Locale::Chinese),
        (vec![("LANG", "zh")], Locale::Chinese),
        (vec![("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")], Locale::English),
        (vec![("LANG", "C.UTF-8"), ("LC_MESSAGES", "zh-TW"), ("LC_ALL", "")], Locale::Chinese),
        (vec![("LANG", "zhuang")], Locale::English),
    ] {
        let look = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(locale_of(&look), locale, "{set:?}");
    }
}
