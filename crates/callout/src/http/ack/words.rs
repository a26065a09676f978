//! Every word of the page, in every language.
//!
//! One row a phrase, one column a language: another language is another column. What stands in braces
//! is filled in by [`fill`].

use crate::config::Locale;
use serde::Serialize;
use std::time::Duration;

macro_rules! table {
    ($($key:ident: $english:literal, $chinese:literal;)+) => {
        /// The phrases of one language.
        #[derive(Debug, Serialize)]
        pub(super) struct Words {
            $(pub(super) $key: &'static str,)+
        }

        static ENGLISH: Words = Words { $($key: $english,)+ };
        static CHINESE: Words = Words { $($key: $chinese,)+ };

        #[cfg(test)]
        pub(super) const ROWS: &[[&str; 2]] = &[$([$english, $chinese],)+];
    };
}

table! {
    // English, Chinese
    lang: "en", "zh-CN";

    level_info: "Info", "信息";
    level_warning: "Warning", "警告";
    level_error: "Error", "错误";
    level_critical: "Critical", "严重";

    open: "Open", "待处理";
    exhausted: "Nobody left to tell", "已无人可通知";
    acknowledged: "Acknowledged", "已确认";
    resolved: "Resolved", "已解决";
    replaced: "Replaced", "已被取代";

    nobody_has_it: "Nobody has this yet", "还没有人接手";
    nobody_has_it_at_all: "Nobody has this, and nobody is left to tell", "没有人接手，也没有其他人可以通知了";
    has_it: "{name} has this", "{name} 已接手";
    over: "Resolved by {name}", "{name} 已解决";
    over_by_itself: "The system that reported this says it is over", "上报方表示问题已解决";
    superseded: "A newer alert for the same problem took its place", "同一问题已有新的告警，取代了这一条";

    since: "since {time}", "自 {time} 起";
    opens: "opens {time}", "将于 {time} 触发";
    open_for: "It has lasted {length}", "已持续 {length}";
    opened: "Opened {when}", "{when}触发";
    opens_when: "Opens {when}", "{when}触发";
    just_now: "just now", "刚刚";
    ago: "{length} ago", "{length}前";
    any_moment: "any moment now", "即将";
    in_a_while: "in {length}", "{length}后";
    second: "1 second", "1 秒";
    seconds: "{n} seconds", "{n} 秒";
    minute: "1 minute", "1 分钟";
    minutes: "{n} minutes", "{n} 分钟";
    hour: "1 hour", "1 小时";
    hours: "{n} hours", "{n} 小时";
    day: "1 day", "1 天";
    days: "{n} days", "{n} 天";
    between_names: ", ", "、";

    next_told: "If nobody acts, {names} will be told {when}", "若无人处理，{when}通知 {names}";
    next_end: "If nobody acts, the calling ends {when}: nobody else is left to tell", "若无人处理，{when}停止通知：没有其他人可以通知了";
    next_nothing: "Everybody was told as often as planned. Nobody else is called unless you escalate", "已按计划通知所有人。除非手动升级，否则不再通知任何人";
    next_newer: "This one is not followed up any more. Please act on the newer one", "这一条不再跟进，请处理新的告警";
    open_newer: "Open the newer alert", "查看新的告警";
    next_stopped: "Nobody else is called", "不再通知其他人";

    repeated_once: "Reported once more, {when}", "又上报 1 次（{when}）";
    repeated: "Reported {n} more times, the last {when}", "又上报 {n} 次，最近一次：{when}";

    your_name: "Your name", "你的名字";
    your_note: "Note", "备注";
    optional: "optional", "选填";
    acknowledge: "Acknowledge", "确认";
    acknowledge_means: "I have it: nobody else is called", "我来处理，不再通知其他人";
    escalate: "Escalate now", "立即升级";
    escalate_means: "Call {names}", "通知 {names}";
    resolve: "Resolve", "解决";
    resolve_means: "It is over", "问题已结束";
    unack: "Give it back", "交还";
    unack_means: "Calling starts over", "重新开始通知";

    details: "Details", "详情";
    show_all: "Show all", "显示全部";
    cut: "The rest is in the message.", "其余内容见原消息。";
    history: "What happened", "处理记录";
    told_first: "First: {what}", "第 1 步：{what}";
    told_due: "Nobody had acknowledged: {what}", "无人确认，{what}";
    told_unreachable: "Nobody could be reached: {what}", "前一组无法送达，{what}";
    told_pushed: "Help was asked for: {what}", "手动升级，{what}";
    told_restarted: "Open again: {what}", "重新打开，{what}";
    told_nobody: "Nobody was left to tell", "没有其他人可以通知了";
    told: "told {names}", "已通知 {names}";
    telling: "{names} to be told", "待通知 {names}";
    missed: "{names} not reached", "通知 {names}，未送达";
    not_yet_reached: "{name} (not yet reached)", "{name}（尚未送达）";
    not_reached: "{name} (not reached)", "{name}（未送达）";
    round: "round {n}", "第 {n} 轮";
    late: "{length} late, for Callout was down", "因 Callout 停机晚了 {length}";
    did_acknowledge: "{name} acknowledged", "{name} 确认了告警";
    did_unack: "{name} gave it back", "{name} 交还了告警";
    did_resolve: "{name} resolved it", "{name} 解决了告警";
    did_reopen: "{name} opened it again", "{name} 重新打开了告警";
    did_escalate: "{name} escalated", "{name} 手动升级了告警";
    did_cancel: "{name} cancelled the message", "{name} 取消了这条消息";

    sent_to: "This link was sent to {name}. Whoever has it can act.", "此链接是发给 {name} 的，持有链接的人都可以操作。";
    by_command: "Without this page:", "也可使用命令：";

    hint_name: "Please say who you are. Nothing has been changed.", "请填写你的名字。尚未做任何更改。";
    hint_name_long: "That name is too long, or not one plain line. Nothing has been changed.", "名字过长，或不是单行文字。尚未做任何更改。";
    hint_note: "That note is too long. Nothing has been changed.", "备注过长。尚未做任何更改。";
    hint_form: "That was not understood, so nothing has been changed. Please use the buttons here.", "无法识别该请求，尚未做任何更改。请使用此处的按钮。";
    hint_foreign: "That came from another site, so nothing has been changed. Please use the buttons here.", "该请求来自其他网站，尚未做任何更改。请使用此处的按钮。";
    hint_busy: "This could not be written down just now, so nothing has been changed. Try again, or use the command:", "暂时无法保存，尚未做任何更改。请重试，或使用命令：";
    hint_full: "There is no room to write this down, so nothing has been changed. Use the command once there is:", "空间不足，无法保存，尚未做任何更改。腾出空间后请使用命令：";
    hint_unknown: "It is not known whether this was written down. Look at what stands here, try again, or use the command:", "不确定是否已保存。请查看当前状态后重试，或使用命令：";

    gone: "This link does not work", "此链接无效";
    gone_means: "It may be incomplete or too old, or the alert is over. Look for a newer message, or see what is open where Callout runs:", "链接可能不完整、已过期，或告警已结束。请查看更新的消息，或在运行 Callout 的机器上查看未确认的告警：";
    too_many: "Too many links that do not work", "无效链接尝试过多";
    too_many_means: "Please wait a minute. Links that work go on working.", "请稍等一分钟。有效的链接不受影响。";
    trouble: "Not just now", "暂时不可用";
    trouble_means: "What happened cannot be looked up at the moment. Try again, or see what is open where Callout runs:", "目前无法读取记录。请重试，或在运行 Callout 的机器上查看未确认的告警：";
    method: "This page cannot do that", "此页面不支持该操作";
    method_means: "It shows an alert and takes what its buttons send.", "它只显示告警，并接收页面按钮发出的操作。";
}

/// The phrases of a language.
pub(super) fn words(locale: Locale) -> &'static Words {
    match locale {
        Locale::English => &ENGLISH,
        Locale::Chinese => &CHINESE,
    }
}

/// Fills in what stands in braces, in one go: what is filled in is never read again.
pub(super) fn fill(phrase: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = phrase;
    while let Some((before, tail)) = rest.split_once('{') {
        let (key, after) = tail.split_once('}').unwrap_or((tail, ""));
        let value = values.iter().find(|(known, _)| *known == key).map_or("", |(_, value)| value);
        text += before;
        text += value;
        rest = after;
    }
    text + rest
}

impl Words {
    /// A length of time in its largest unit, and in two from an hour on.
    pub(super) fn length(&self, length: Duration) -> String {
        let seconds = length.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        let count = |n: u64, one: &str, many: &str| match n {
            1 => one.to_owned(),
            _ => fill(many, &[("n", &n.to_string())]),
        };
        let (first, second) = if days > 0 {
            (count(days, self.day, self.days), (hours % 24, self.hour, self.hours))
        } else if hours > 0 {
            (count(hours, self.hour, self.hours), (minutes % 60, self.minute, self.minutes))
        } else if minutes > 0 {
            return count(minutes, self.minute, self.minutes);
        } else {
            return count(seconds, self.second, self.seconds);
        };
        match second {
            (0, ..) => first,
            (n, one, many) => format!("{first} {}", count(n, one, many)),
        }
    }

    /// Several names in a row.
    pub(super) fn names<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> String {
        names.into_iter().collect::<Vec<_>>().join(self.between_names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn holes(phrase: &str) -> BTreeSet<&str> {
        phrase.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
    }

    #[test]
    fn every_phrase_leaves_the_same_holes_in_every_language() {
        for [english, chinese] in ROWS {
            assert_eq!(holes(english), holes(chinese), "{english}");
            assert!(!english.is_empty() && !chinese.is_empty());
        }
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let values = [("name", "{when}"), ("when", "now")];
        assert_eq!(fill("{name} since {when}, {no}{", &values), "{when} since now, ");
    }

    #[test]
    fn lengths_read_as_people_say_them() {
        let said = |locale, seconds| words(locale).length(Duration::from_secs(seconds));
        for (seconds, english, chinese) in [
            (0, "0 seconds", "0 秒"),
            (1, "1 second", "1 秒"),
            (59, "59 seconds", "59 秒"),
            (60, "1 minute", "1 分钟"),
            (359, "5 minutes", "5 分钟"),
            (3_600, "1 hour", "1 小时"),
            (5_460, "1 hour 31 minutes", "1 小时 31 分钟"),
            (90_000, "1 day 1 hour", "1 天 1 小时"),
            (604_800, "7 days", "7 天"),
        ] {
            assert_eq!(said(Locale::English, seconds), english);
            assert_eq!(said(Locale::Chinese, seconds), chinese);
        }
    }
}
