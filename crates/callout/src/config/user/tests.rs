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
