//! Apprise addresses: what they become, and what is refused.

use super::*;
use crate::apprise::{schemes, translate};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn settings(address: &str) -> String {
    match translate(address) {
        Ok((kind, settings)) => format!("{kind} {}", Value::Object(settings)),
        Err(text) => text,
    }
}

#[test]
fn an_address_becomes_the_settings_of_its_kind() {
    for (address, expected) in [
        ("dingtalk://tOken12345", json!({ "access_token": "tOken12345" })),
        (
            "dingtalk://SECx@tOken12345/",
            json!({ "access_token": "tOken12345", "sign_key": "SECx" }),
        ),
        ("DINGTALK://tOken12345?secret=SEC%2Bx", {
            json!({ "access_token": "tOken12345", "sign_key": "SEC+x" })
        }),
        ("wecombot://693a-91f6", json!({ "key": "693a-91f6" })),
        ("slack://TA/BB/cC", json!({ "webhook_url": "https://hooks.slack.com/services/TA/BB/cC" })),
        ("ntfy://Topic", json!({ "topic": "Topic" })),
        // Never in the clear to a server that need not be spoken to so.
        ("ntfy://ntfy.sh/Topic", json!({ "topic": "Topic" })),
        ("ntfy://[::1]:80/Topic", json!({ "topic": "Topic", "endpoint": "http://[::1]:80/" })),
        ("ntfys://tk_x@h.example/t", {
            json!({ "topic": "t", "endpoint": "https://h.example/", "token": "tk_x" })
        }),
        ("ntfys://a%3Ab:p%40w@h.example/t", {
            let endpoint = "https://h.example/";
            json!({ "topic": "t", "endpoint": endpoint, "user": "a:b", "password": "p@w" })
        }),
        ("bark://h.example:8080/Key", {
            json!({ "device_key": "Key", "endpoint": "http://h.example:8080/" })
        }),
        ("schan://SCT1tx", json!({ "key": "SCT1tx" })),
        ("pushplus://tok/group", json!({ "token": "tok", "topic": "group" })),
    ] {
        let (_, settings) = translate(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        assert_eq!(Value::Object(settings), expected, "{address}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (address, expected) in [
        ("", "is no Apprise address"),
        ("tOken12345", "is no Apprise address"),
        ("://tOken12345", "is no Apprise address"),
        ("ntfy://one, ntfy://two", "has to be one address"),
        (
            "json://host/path",
            "begins with no scheme that Callout knows; it knows dingtalk, wecombot",
        ),
        ("dingtalk://", "is no Apprise address"),
        ("dingtalk:///", "has no token"),
        ("dingtalk://tok/13800000000", "names people to mention"),
        ("dingtalk://tok?to=13800000000", "names people to mention"),
        ("dingtalk://SECx:pw@tok", "has a password"),
        ("dingtalk://tok:443", "has a port"),
        ("dingtalk://tok?verify=no", "has the option `verify`"),
        ("dingtalk://tok?hunter2hunter2=1", "has an option that Callout does not know"),
        ("dingtalk://tok?%2Bx-header=1", "has an option that Callout does not know"),
        ("wecombot://me@key", "has something before an @"),
        ("wecombot://key/more", "names somebody behind the key"),
        ("slack://TA/BB", "has no third part"),
        ("slack://TA/BB/cC/%23ops", "names a channel"),
        ("slack://TA/BB/cC/#ops", "names a channel"),
        ("slack://TA/BB/cC?mode=workflow", "has another `mode`"),
        ("slack://TA/BB/c-C", "has to hold the three parts"),
        ("ntfys://h.example/a/b", "names several targets"),
        ("ntfys://h.example/a?to=b", "names several targets"),
        ("ntfys://h.example/a?mode=cloud", "names several topics"),
        ("ntfys://ntfy.sh", "has no topic"),
        ("ntfys://topic:8080", "has a port, but no server"),
        ("ntfys://h.example/a?priority=5", "has the option `priority`"),
        ("ntfys://h.example/a?auth=magic", "has an `auth`"),
        ("barks://h.example", "has no device key"),
        ("barks://h.example/a/b", "names several targets"),
        ("barks://me:pw@h.example/a", "has a user"),
        ("barks://h.example/a?level=critical", "has the option `level`"),
        ("schan://SCT1tx/more", "says more than the key"),
        ("pushplus://tok/a?topic=b", "names several groups"),
        ("pushplus://tok?channel=sms", "asks for another way"),
        ("pushplus://hook@tok", "asks for another way"),
        ("lark://c0ffee00/more", "says more than the token"),
        ("workflows://x.example.com/643e69f83c89", "has no signature"),
        ("gchat://SpaceX/key/token/thread", "names a thread"),
        ("mmosts://mm.example.com/3ccd?to=ops", "has the option `to`"),
        ("rockets://bob:pass@rc.example.com", "is not that of a webhook"),
        ("rockets://a1/b2@rc.example.com/%23ops", "names a room"),
        ("slack://xoxb-1/a/b", "names several targets"),
        ("slack://xoxb-1", "names no channel"),
        ("slack://xoxb-1/@ada", "names a person"),
        ("tgram://123:abc", "names no chat"),
        ("tgram://abc/1", "has no bot's token"),
        ("tgram://123:abc/1:x", "has a topic that is no number"),
        ("discord://1/t/x", "says more than id and token"),
        ("pagerduty://I@A/src", "names a source"),
        ("pagerduty://I@A?region=mars", "has a `region`"),
        ("twilio://AC1:t@15551230000", "names nobody to tell"),
        ("twilio://AC1:t@15551230000/15551239999?method=call", "has another `method`"),
        ("mailtos://phil:pass@example.com", "names no server"),
        ("mailto://127.0.0.1/ops@example.org", "has no sender"),
    ] {
        let found = translate(address).expect_err(address);
        assert!(found.starts_with(expected), "{address}: {found}");
    }
}

#[test]
fn no_text_about_an_address_shows_a_part_of_it() {
    const CANARY: &str = "hunter2hunter2";
    let known = schemes();
    for scheme in known.iter().copied().chain(["json", CANARY]) {
        for rest in [
            "CANARY",
            "CANARY/CANARY/CANARY/CANARY",
            "CANARY:CANARY@CANARY:CANARY/CANARY",
            "CANARY@CANARY:99/CANARY",
            "h?CANARY=CANARY",
            "h?to=CANARY,CANARY&mode=CANARY",
            "h/CANARY?auth=CANARY&channel=CANARY",
            "?CANARY",
            "CANARY CANARY",
            "%",
        ] {
            let address = format!("{scheme}://{}", rest.replace("CANARY", CANARY));
            let Err(text) = translate(&address) else { continue };
            assert!(!text.contains(CANARY), "{address}: {text}");
            let text = format!("{scheme}:/{}", rest.replace("CANARY", CANARY));
            assert!(!settings(&text).contains(CANARY), "{text}");
        }
    }
}

/// What of a request says where it goes, on whose behalf, and to whom: the parts of the body at `pointers`.
/// With `!login` among these the login is not compared.
fn place(method: &str, url: &str, login: Option<&str>, body: &Value, pointers: &str) -> Value {
    // Signatures and the time in them differ with every request.
    let url = url::Url::parse(url).unwrap();
    let passing = |name: &str| matches!(name, "sign" | "timestamp");
    let query: BTreeMap<String, String> = url
        .query_pairs()
        // How Discord shall answer, and what Google Chat does with a thread.
        .filter(|(name, _)| !matches!(&**name, "wait" | "messageReplyOption"))
        .map(|(name, value)| {
            let value = if passing(&name) { "signed".into() } else { value };
            (name.into_owned(), value.into_owned())
        })
        .collect();
    let login = login.filter(|_| !pointers.contains("!login"));
    let pointers = pointers.split_whitespace().filter(|pointer| pointer.starts_with('/'));
    let target: BTreeMap<&str, String> = pointers
        .map(|pointer| (pointer, body.pointer(pointer).map(text).unwrap_or_default()))
        .collect();
    json!({
        "method": method, "scheme": url.scheme(), "host": url.host_str(), "port": url.port_or_known_default(),
        "path": url.path().trim_end_matches('/'), "query": query, "login": login, "target": target,
    })
}

/// A number and the text of it are the same target.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn our_place(address: &str, pointers: &str) -> Value {
    let (kind, settings) = translate(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    let channel = Channel::build(kind, Value::Object(settings.clone()));
    let channel = channel.unwrap_or_else(|problems| panic!("{address}: {problems:?}"));
    let Some(http) = channel.speaks_http() else { return our_mailbox(&settings) };
    let (message, mentions) = (Message::new(Level::Info, "title"), Mentions::default());
    let request = http.request(&outgoing(&message, &mentions, false), now()).unwrap();
    let login = request.headers.iter().find(|(name, _)| name == "authorization");
    let login = login.map(|(_, value)| value.expose());
    place(request.method, request.url.expose(), login, &tree(&request), pointers)
}

/// The same of mail, whose requests are the library's.
fn our_mailbox(settings: &Map<String, Value>) -> Value {
    let server = url::Url::parse(settings["smtp"].as_str().unwrap()).unwrap();
    let user = Some(server.username()).filter(|user| !user.is_empty());
    json!({
        "host": server.host_str(), "port": server.port(), "from": settings["from"], "to": settings["to"],
        "login": user.map(|user| json!([user, settings["password"]])),
    })
}

/// Apprise writes a letter to each.
fn apprises_mailbox(sent: &[Value]) -> Value {
    let to: Vec<&Value> =
        sent.iter().flat_map(|sent| sent["body"]["to"].as_array().unwrap()).collect();
    let server = url::Url::parse(sent[0]["url"].as_str().unwrap()).unwrap();
    let (from, login) = (&sent[0]["body"]["from"], &sent[0]["login"]);
    json!({ "host": server.host_str(), "port": server.port(), "from": from, "to": to, "login": login })
}

fn apprises_place(sent: &Value, pointers: &str) -> Value {
    let basic = sent["login"].as_array().map(|pair| {
        let [user, password] = [0, 1].map(|n| pair[n].as_str().unwrap_or_default());
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    });
    let login = basic.as_deref().or(sent["headers"]["authorization"].as_str());
    let (method, url) = (sent["method"].as_str().unwrap(), sent["url"].as_str().unwrap());
    place(method, url, login, &sent["body"], pointers)
}

/// `scripts/apprise-compare` runs this with Apprise itself.
#[test]
fn an_address_leads_where_apprise_itself_would_send() {
    let folder = fixtures().join("apprise");
    let table = read(&folder.join("addresses.txt"));
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows: Vec<(&str, &str)> = rows.map(|line| line.split_once(" | ").unwrap()).collect();
    for scheme in schemes() {
        let in_table = rows.iter().any(|(address, _)| address.starts_with(&format!("{scheme}://")));
        assert!(in_table, "no address begins with {scheme}");
    }
    let ours: Vec<Value> =
        rows.iter().map(|(address, pointers)| our_place(address, pointers)).collect();
    let Some(python) = std::env::var_os("CALLOUT_APPRISE") else {
        println!("not compared with Apprise itself; scripts/apprise-compare does");
        return;
    };
    let mut apprise = Command::new(python);
    let apprise =
        apprise.arg(folder.join("record.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut apprise = apprise.spawn().unwrap();
    let addresses: String = rows.iter().map(|(address, _)| format!("{address}\n")).collect();
    apprise.stdin.take().unwrap().write_all(addresses.as_bytes()).unwrap();
    let said = apprise.wait_with_output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().count(), rows.len(), "Apprise did not finish");
    let mut different = Vec::new();
    for ((line, ours), (address, pointers)) in said.lines().zip(&ours).zip(&rows) {
        let sent: Vec<Value> = serde_json::from_str(line).unwrap();
        let theirs: Vec<Value> = match sent.first() {
            Some(first) if first["method"] == "MAIL" => vec![apprises_mailbox(&sent)],
            _ => sent.iter().map(|sent| apprises_place(sent, pointers)).collect(),
        };
        if theirs != [ours.clone()] {
            different.push(format!("{address}\n  ours    {ours}\n  theirs  {theirs:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    println!("Apprise and Callout agree on {} addresses", rows.len());
}
