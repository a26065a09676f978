//! What the codes of WeCom ask the operator to do.

use crate::spec::Advice;

pub(super) static ADVICE: &[Advice] = &[
    Advice {
        code: "40001",
        says: "",
        english: "WeCom refuses the secret: copy the Secret of this very application from the admin console into corp_secret.",
        chinese: "企业微信不接受这个 Secret：请在管理后台重新复制该应用自己的 Secret，填入 corp_secret。",
    },
    Advice {
        code: "40013",
        says: "",
        english: "WeCom knows no such company: compare corp_id with \"My company\" in the admin console.",
        chinese: "企业 ID 不对：请在管理后台“我的企业”页面核对 corp_id。",
    },
    Advice {
        code: "60020",
        says: "",
        english: "WeCom does not trust this machine's public address: add it to the application's trusted IPs, or send through a proxy whose address is listed.",
        chinese: "本机的公网 IP 不在可信名单里：请在该应用的“企业可信 IP”中添加，或改走已加入名单的代理。",
    },
    Advice {
        code: "301002",
        says: "",
        english: "The secret and agent_id belong to different applications: take both from the same page.",
        chinese: "corp_secret 与 agent_id 不属于同一个应用：请从同一应用页面复制两者。",
    },
    Advice {
        code: "50003",
        says: "",
        english: "The application is switched off: enable it in the admin console.",
        chinese: "该应用已被停用：请在管理后台重新启用。",
    },
    Advice {
        code: "81013",
        says: "",
        english: "Nobody in `to` can be reached: use user ids (not names or mobile numbers) of people in the application's visible range.",
        chinese: "to 里的人都收不到：请填成员账号（不是姓名或手机号），并确认他们在该应用的可见范围内。",
    },
    Advice {
        code: "invaliduser",
        says: "",
        english: "Somebody in `to` cannot be reached: correct the user id, or add the person to the application's visible range.",
        chinese: "to 里有人收不到：请改正成员账号，或把此人加入该应用的可见范围。",
    },
    Advice {
        code: "40014",
        says: "",
        english: "WeCom refuses even a new token: check that `endpoint` leads to the same service for every call.",
        chinese: "刚取得的 access_token 也被拒绝：请确认 endpoint 背后的所有调用都到达同一套服务。",
    },
    Advice {
        code: "45009",
        says: "",
        english: "Too many calls: lower `rate`, and check what else uses this application.",
        chinese: "调用过于频繁：请调低 rate，并检查还有谁在使用这个应用。",
    },
];
