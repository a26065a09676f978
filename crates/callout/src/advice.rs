//! What an operator can do about a try that failed, in words.
//!
//! A kind of channel knows its provider's codes; what all share is here: connections, TLS, names, and
//! statuses that came without a code of the provider's own.

use callout_channels::spec::{Advice, Spec};
use callout_core::id::ChannelName;
use callout_core::locale::Locale;
use callout_core::outcome::Reason;

/// What can be done about `reason`, why a try on a channel of this kind failed; `None` if nothing is
/// known to help.
pub fn of(spec: &Spec, reason: &Reason, locale: Locale) -> Option<&'static str> {
    spec.advise(reason, locale).or_else(|| Advice::find(SHARED, reason, locale))
}

/// The same for a reason that is only known in words, such as `310000: sign not match`.
pub fn of_words(spec: &Spec, words: &str, locale: Locale) -> Option<&'static str> {
    let (code, _) = words.split_once(": ").unwrap_or((words, ""));
    of(spec, &Reason { code: Some(code.to_owned()), detail: words.to_owned() }, locale)
}

/// An advice as a line of its own, with the channel that it is about.
pub fn line(channel: &ChannelName, advice: &str, locale: Locale) -> String {
    locale.pick(
        format!("what to do about {channel}: {advice}"),
        format!("处理建议（{channel}）：{advice}"),
    )
}

const fn said(says: &'static str, english: &'static str, chinese: &'static str) -> Advice {
    Advice { code: "", says, english, chinese }
}

const fn status(code: &'static str, english: &'static str, chinese: &'static str) -> Advice {
    Advice { code, says: "", english, chinese }
}

const BROKEN: (&str, &str) = (
    "The provider, or a proxy in front of it, is in trouble. Nothing to mend here: try again in a few minutes, and give receivers a second channel.",
    "服务商或其前面的代理暂时故障，本地无需修改：过几分钟再试，并为接收人配置第二个通道。",
);
const DENIED: (&str, &str) = (
    "The provider does not take the credential: copy it again, whole, from the provider's settings, and see that it may be used from this machine's address.",
    "服务商不认可凭据：请从服务商后台重新完整复制，并确认没有限制本机的 IP 地址。",
);

/// The more special a row, the earlier it stands.
const SHARED: &[Advice] = &[
    said(
        "connection refused",
        "Nothing listens at that address: check host and port, and that the service runs.",
        "该地址没有服务在监听：请检查主机名、端口以及服务是否在运行。",
    ),
    said(
        "connection reset",
        "Something on the way cut the connection, often a firewall or a proxy: check what this machine may reach, and [http] proxy.",
        "连接被中途切断，多为防火墙或代理所致：请检查本机的出网策略和 [http] 的 proxy 设置。",
    ),
    said(
        "the name does not resolve",
        "The host's name is not known here: check how it is spelled, and this machine's DNS.",
        "域名无法解析：请检查拼写和本机的 DNS 设置。",
    ),
    said(
        "no connection within",
        "The host does not answer, often because a firewall drops packets: check what this machine may reach; if it needs a proxy, name it in [http] proxy.",
        "连接超时，多为防火墙丢弃数据包：请检查本机的出网策略；如需代理，请在 [http] 中设置 proxy。",
    ),
    said(
        "no answer within",
        "The host took the request and said nothing, so the message may have arrived. Look there before you send it again; [http] timeout can be raised to 30s.",
        "对方收到请求后没有应答，消息可能已经送达。重发前请先到对方确认；[http] 的 timeout 最长可设为 30s。",
    ),
    said(
        "no access token within",
        "The provider's login is slow or cannot be reached: try again, then check what this machine may reach.",
        "获取访问令牌超时：请重试，仍不成功则检查本机的出网策略。",
    ),
    said(
        "unknownissuer",
        "The server's certificate comes from an authority that is not trusted here: put that authority's certificate, as PEM, into [http] roots.",
        "服务器证书由未受信任的机构签发：请把该机构的 PEM 证书写入 [http] 的 roots。",
    ),
    said(
        "certificate expired",
        "The server's certificate has expired, or this machine's clock is wrong.",
        "服务器证书已过期，或本机时钟不准。",
    ),
    said(
        "certificate not valid for name",
        "The server's certificate is for another name: use the host name that stands in it.",
        "证书与域名不符：请使用证书中写明的域名。",
    ),
    said(
        "tls:",
        "No secure connection came about: check that the address is meant for https, and that no proxy on the way opens connections.",
        "TLS 握手失败：请确认该地址支持 https，并且没有代理在中途解密连接。",
    ),
    said(
        "redirects are not followed",
        "The address leads on to another one: put the final address into the configuration, https instead of http above all.",
        "该地址发生跳转：请在配置中填写最终地址，尤其注意用 https 而不是 http。",
    ),
    said(
        "link-local or metadata address",
        "Such addresses are refused to protect the machine's own credentials; if it is right, list it in [http] allow_link_local.",
        "为保护本机凭据，默认拒绝此类地址；如确需访问，请加入 [http] 的 allow_link_local。",
    ),
    said(
        "the answer is not the provider's",
        "Something else answered, such as a login page, a proxy or another address of the provider: check the address in the configuration.",
        "应答不是来自该服务商，可能是登录页、代理或填错了接口地址：请检查配置中的地址。",
    ),
    status("401", DENIED.0, DENIED.1),
    status("403", DENIED.0, DENIED.1),
    status(
        "404",
        "There is nothing at that address: was the robot or webhook deleted, or the address copied in part?",
        "地址不存在：机器人或 webhook 可能已被删除，或地址没有复制完整。",
    ),
    status(
        "407",
        "The proxy wants a name and a password: put them into the address in [http] proxy.",
        "代理需要用户名和密码：请写进 [http] 的 proxy 地址。",
    ),
    status(
        "410",
        "What was at that address is gone for good: make a new robot or webhook.",
        "该地址已永久失效：请新建机器人或 webhook。",
    ),
    status(
        "413",
        "The message is too large for whoever answered: is a proxy with a small limit on the way?",
        "消息过大被拒绝：请检查中途代理的大小限制。",
    ),
    status(
        "429",
        "The provider wants fewer messages: wait, and lower the channel's rate if it happens again.",
        "发送过于频繁：请稍候；如反复出现，请调低该通道的 rate。",
    ),
    status("500", BROKEN.0, BROKEN.1),
    status("502", BROKEN.0, BROKEN.1),
    status("503", BROKEN.0, BROKEN.1),
    status("504", BROKEN.0, BROKEN.1),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn advise(code: Option<&str>, detail: &str, locale: Locale) -> Option<&'static str> {
        let spec = callout_channels::find("webhook").unwrap().spec;
        let reason = Reason { code: code.map(str::to_owned), detail: detail.to_owned() };
        of(spec, &reason, locale)
    }

    #[test]
    fn what_the_transport_and_bare_statuses_say_has_advice_in_both_languages() {
        for (code, detail, english, chinese) in [
            (None, "connection refused", "Nothing listens", "没有服务在监听"),
            (None, "the name does not resolve: no record", "not known here", "域名无法解析"),
            (None, "no connection within 5s", "drops packets", "连接超时"),
            (None, "no answer within 15s", "may have arrived", "可能已经送达"),
            (
                None,
                "TLS: invalid peer certificate: UnknownIssuer",
                "[http] roots",
                "[http] 的 roots",
            ),
            (
                None,
                "TLS: invalid peer certificate: certificate expired: verification time 1",
                "has expired",
                "已过期",
            ),
            (None, "TLS: received corrupt message of type", "meant for https", "TLS 握手失败"),
            (Some("302"), "redirects are not followed; put …", "final address", "跳转"),
            (Some("401"), "no", "credential", "凭据"),
            (Some("403"), "", "credential", "凭据"),
            (Some("404"), "", "deleted", "地址不存在"),
            (Some("429"), "", "fewer messages", "过于频繁"),
            (Some("503"), "<html>", "in trouble", "暂时故障"),
        ] {
            let [in_english, in_chinese] = [Locale::English, Locale::Chinese]
                .map(|locale| advise(code, detail, locale).unwrap_or_else(|| panic!("{detail}")));
            assert!(in_english.contains(english), "{in_english}");
            assert!(in_chinese.contains(chinese), "{in_chinese}");
        }
        assert_eq!(advise(Some("40035"), "no idea", Locale::English), None);
        let spec = callout_channels::find("dingtalk").unwrap().spec;
        let words = |words| of_words(spec, words, Locale::English).unwrap_or_default();
        assert!(words("310000: sign not match").contains("does not fit"));
        assert!(words("88").contains("access_token"));
        assert!(words("TLS: received corrupt message").contains("https"));
    }

    #[test]
    fn every_text_to_look_for_is_in_lower_case_and_every_advice_in_both_languages() {
        let specs = callout_channels::REGISTRY.iter().map(|row| row.spec.advice);
        for advice in specs.chain([SHARED]).flatten() {
            assert_eq!(advice.says, advice.says.to_lowercase());
            assert!(!advice.code.is_empty() || !advice.says.is_empty(), "{advice:?}");
            assert!(advice.english.is_ascii() || !advice.english.contains('。'), "{advice:?}");
            assert!(!advice.chinese.is_ascii(), "{advice:?}");
        }
    }
}
