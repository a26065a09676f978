//! A button in a chat, from the built program to the provider and back.

use crate::program::{Answer, Folder, Served, exchange, post};
use crate::stage::provider::Provider as _;
use crate::stage::provider::slack_api::SlackApi;
use crate::stage::sink::{Received, Sink};
use callout_store::clock::now;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const TOKEN: &str = "xoxb-token-of-the-app";
const ROOM: &str = "C0123456789";
const SECRET: &str = "signing-secret-of-the-app";

/// A served program with one channel, and Slack on the other side of it.
struct Desk {
    served: Served,
    folder: Folder,
    sink: Sink,
    slack: Arc<Mutex<SlackApi>>,
}

impl Desk {
    async fn new() -> Self {
        let sink = Sink::start().await;
        let slack = Arc::new(Mutex::new(SlackApi::new(TOKEN, ROOM)));
        let shared = slack.clone();
        let answers = move |request: &Received| shared.lock().unwrap().answer(request, now());
        sink.lives_at("slack", Box::new(answers));
        let folder = Folder::new(&format!(
            "[channels.slack]\nkind = \"slack_api\"\nbot_token = \"{TOKEN}\"\n\
             channel = \"{ROOM}\"\nsigning_secret = \"{SECRET}\"\nendpoint = \"{}/api/\"\n",
            sink.address("slack")
        ));
        let config = std::fs::read_to_string(folder.config()).unwrap();
        let server = "[server]\npublic_url = \"https://callout.example.com\"\n\
                      ack_key = \"the key that seals the links of this test\"\n";
        folder.write(&config.replacen("[server]\n", server, 1));
        Self { served: Served::start(&folder).await, folder, sink, slack }
    }

    /// Somebody presses, and Slack tells us, signed with this secret.
    async fn press(&self, secret: &str, button: &Value) -> Answer {
        let (headers, body) = SlackApi::press(secret, button, now());
        self.call(&headers, &body).await
    }

    async fn call(&self, headers: &str, body: &str) -> Answer {
        let path = "/v1/callbacks/slack";
        exchange(&self.served.address, "POST", path, headers, body).await.unwrap()
    }

    fn story(&self, id: &str) -> Value {
        self.folder.json(&["show", id, "--json"])
    }
}

/// What people did, as `acknowledged ada (Slack U0123) channel`.
fn deeds(story: &Value) -> Vec<String> {
    let journal = story["journal"].as_array().unwrap();
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let deed = |entry: &Value| [word(entry, "event"), word(entry, "by"), word(entry, "via")];
    journal.iter().map(|entry| deed(entry).join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_presses_the_button_in_the_chat_has_the_alert() {
    let desk = Desk::new().await;
    let alert = json!({ "level": "critical", "title": "disk full", "require_ack": true });
    let (status, sent) =
        post(&desk.served.address, "/v1/messages", &alert.to_string()).await.unwrap();
    assert_eq!(status, 202, "{sent}");
    let id = sent["id"].as_str().unwrap();
    desk.sink.has_received("slack", 1).await;
    let (ts, button) = {
        let slack = desk.slack.lock().unwrap();
        let ts = slack.messages.keys().next().unwrap().clone();
        let button = slack.button(&ts).unwrap();
        (ts, button)
    };

    let forged = desk.press("another-secret-of-nobody", &button).await;
    assert_eq!(forged.status, 401, "{}", forged.body);
    assert_eq!(deeds(&desk.story(id)), Vec::<String>::new());

    let (headers, body) = SlackApi::press(SECRET, &button, now());
    for _ in 0..2 {
        // The second is what a provider sends that heard no answer, or somebody who listened.
        let answer = desk.call(&headers, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(deeds(&desk.story(id)), ["acknowledged ada (Slack U0123) channel"]);
    }
    let again = desk.press(SECRET, &button).await;
    assert_eq!(again.status, 200, "pressed once more");
    assert_eq!(deeds(&desk.story(id)).len(), 1);

    // The alert, the news, and the alert changed.
    desk.sink.has_received("slack", 3).await;
    let slack = desk.slack.lock().unwrap();
    assert_eq!(slack.book.taken[1].body["thread_ts"], ts.as_str());
    assert_eq!(slack.button(&ts), None);
    let ticket = button["value"].as_str().unwrap();
    let said = desk.served.said();
    assert!(!said.contains(ticket) && !said.contains(SECRET), "a credential was logged:\n{said}");
}
