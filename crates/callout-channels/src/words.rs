//! Every word that Callout adds to a message, in every language.
//!
//! One row a phrase, one column a language. A message in one language reads as one.

use callout_core::level::Level;
use callout_core::locale::Locale;

macro_rules! table {
    ($($key:ident: $english:literal, $chinese:literal;)+) => {
        /// The phrases of one language.
        #[derive(Debug)]
        pub(crate) struct Words {
            $(pub(crate) $key: &'static str,)+
        }

        static ENGLISH: Words = Words { $($key: $english,)+ };
        static CHINESE: Words = Words { $($key: $chinese,)+ };
    };
}

table! {
    // English, Chinese
    info: "INFO", "信息";
    warning: "WARNING", "警告";
    error: "ERROR", "错误";
    critical: "CRITICAL", "严重";

    // What the button or line that acknowledges is called.
    acknowledge: "Acknowledge", "确认";
    // The link to the page of an alert, where the button does without it.
    open_page: "Open the page", "打开页面";
    // Between a name and what belongs to it.
    colon: ": ", "：";
    shortened: "shortened", "已截断";
    files_not_sent: "files not sent here", "未在此发送的文件";
    between_names: ", ", "、";
    image: "image", "图片";

    // Levels where a few characters are all there is.
    warning_in_short: "WARN", "警告";
    critical_in_short: "CRIT", "严重";

    // What a telephone call says.
    call_opening: "This is an alert. ", "您有一条告警。";
    call_news: "This is news of an alert. ", "一条告警有了新进展。";
    call_level: "Level", "级别";
    call_press: "Press 1 to acknowledge.", "按 1 确认。";
    call_taken: "Thank you. The alert is acknowledged.", "谢谢，告警已确认。";
    call_answered: "The alert has already been acknowledged by", "告警已被确认，确认人";
    call_over: "The alert is already resolved.", "该告警已经恢复。";
    call_gone: "This alert can no longer be acknowledged here.", "该告警已无法在此确认。";
    call_failed: "This could not be saved. Please acknowledge another way.", "确认未能保存，请用其他方式确认。";
    // Who answered, if all we know is a number.
    telephone: "telephone", "电话";
    link: "Link", "链接";
}

impl Words {
    pub(crate) fn of(locale: Locale) -> &'static Self {
        locale.pick(&ENGLISH, &CHINESE)
    }

    /// A level's word.
    pub(crate) fn level(&self, level: Level) -> &'static str {
        match level {
            Level::Info => self.info,
            Level::Warning => self.warning,
            Level::Error => self.error,
            Level::Critical => self.critical,
        }
    }

    /// A level for the eye: a colour and a word.
    pub(crate) fn marker(&self, level: Level) -> String {
        let colour = match level {
            Level::Info => "🔵",
            Level::Warning => "🟡",
            Level::Error => "🟠",
            Level::Critical => "🔴",
        };
        format!("{colour} {}", self.level(level))
    }
}
