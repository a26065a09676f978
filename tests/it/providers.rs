//! Whole-system tests against providers that make up their own mind: see [`crate::stage::provider`].

mod dingtalk;
mod feishu;
mod slack_api;
mod sms;
mod webhook;
mod wecom_app;
