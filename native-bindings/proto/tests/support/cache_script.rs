//! Reads the conversations of test/vectors/cache-*.md. Their format is described in each file's head; anything that is
//! not in it panics.

use super::cache_policy;
use super::cache_scene::Exchange;
use proto::http1::encode::write_http_date;
use proto::plan::CachePolicy;
use std::path::Path;

/// `Sun, 06 Nov 1994 08:49:37 GMT`: second 0 of every conversation.
pub const BASE_S: u64 = 784_111_777;

/// One vector: a heading and a conversation.
pub struct Script {
    pub title: String,
    pub policy: CachePolicy,
    pub steps: Vec<Step>,
}

/// One exchange and what is expected of it.
pub struct Step {
    pub line: String,
    pub exchange: Exchange,
    pub expect: Vec<String>,
}

/// Reads a file; the titles of all its vectors must name a section of an RFC.
pub fn read_scripts(file: &str) -> Vec<Script> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.split("\n### ").skip(1).map(read_script).collect()
}

fn read_script(section: &str) -> Script {
    let (title, rest) = section.split_once('\n').expect("a heading is a line");
    let (_, rest) = rest.split_once("```cache\n").unwrap_or_else(|| panic!("{title}: no block"));
    let (block, _) = rest.split_once("\n```").unwrap_or_else(|| panic!("{title}: the block has no end"));
    let mut script = Script { title: title.to_owned(), policy: CachePolicy::default(), steps: Vec::new() };
    let mut draft = Draft::default();
    for line in block.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("policy", rest) => cache_policy::apply(&mut script.policy, rest),
            ("=", rest) => {
                if let Some(step) = draft.take() {
                    script.steps.push(step);
                }
                let step = script.steps.last_mut().unwrap_or_else(|| panic!("{title}: nothing to expect of"));
                step.expect.extend(rest.split("; ").map(str::to_owned));
            }
            (">", rest) => draft.fields.push(dated(rest)),
            ("<", rest) => draft.answer(rest),
            ("delay", rest) => draft.delay_ms = seconds(rest) * 1000,
            ("origin", "down") => draft.down = true,
            ("origin", "fails") => draft.fails = true,
            ("tls", "") => draft.secure = true,
            ("escalated", rest) => draft.lifetime_s_max = u32::try_from(seconds(rest)).ok(),
            _ => draft.begin(line, title),
        }
    }
    assert!(draft.request.is_none(), "{title}: the last exchange expects nothing");
    script
}

/// An exchange while its lines are read.
#[derive(Default)]
struct Draft {
    at_s: u64,
    request: Option<String>,
    fields: Vec<String>,
    status: Option<String>,
    answer: Vec<String>,
    delay_ms: u64,
    down: bool,
    fails: bool,
    secure: bool,
    lifetime_s_max: Option<u32>,
}

impl Draft {
    /// `[@SECONDS] METHOD target`
    fn begin(&mut self, line: &str, title: &str) {
        assert!(self.request.is_none(), "{title}: `{line}` follows an exchange that expects nothing");
        let (at_s, request) = match line.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').map(|(at, request)| (seconds(at), request)).expect("@SECONDS METHOD"),
            None => (self.at_s, line),
        };
        assert!(request.split(' ').count() == 2, "{title}: `{line}` is not understood");
        *self = Self { at_s, request: Some(request.to_owned()), ..Self::default() };
    }

    /// `< STATUS` or `< Name: value`
    fn answer(&mut self, rest: &str) {
        let is_status = rest.len() == 3 && rest.bytes().all(|b| b.is_ascii_digit());
        match is_status {
            true => self.status = Some(rest.to_owned()),
            false => self.answer.push(dated(rest)),
        }
    }

    fn take(&mut self) -> Option<Step> {
        let request = self.request.take()?;
        let has_host = self.fields.iter().any(|field| field.starts_with("Host:"));
        let host = if has_host { "" } else { "Host: a.example\r\n" };
        let lines: String = self.fields.iter().map(|field| format!("{field}\r\n")).collect();
        let now_s = BASE_S + self.at_s;
        let answers = self.status.is_some() || !self.answer.is_empty();
        let exchange = Exchange {
            request: format!("{request} HTTP/1.1\r\n{host}{lines}\r\n").into_bytes(),
            secure: self.secure,
            now_ms: now_s * 1000,
            delay_ms: self.delay_ms,
            origin_down: self.down,
            origin_fails: self.fails,
            lifetime_s_max: self.lifetime_s_max,
            answer: answers.then(|| self.answer_bytes(now_s + self.delay_ms / 1000)),
        };
        Some(Step { line: format!("@{} {request}", self.at_s), exchange, expect: Vec::new() })
    }

    /// With a Date of now and ten bytes of content, unless the vector says something else of them.
    fn answer_bytes(&self, now_s: u64) -> Vec<u8> {
        let status = self.status.as_deref().unwrap_or("200");
        let says = |name: &str| self.answer.iter().any(|line| line.starts_with(&format!("{name}:")));
        let mut text = format!("HTTP/1.1 {status} X\r\n");
        if !says("Date") && !self.answer.iter().any(|line| line == "no Date") {
            text.push_str(&format!("Date: {}\r\n", date(now_s)));
        }
        let bodiless = status.starts_with('1') || matches!(status, "204" | "206" | "304");
        if !bodiless && !says("Content-Length") && !says("Transfer-Encoding") && !says("Connection") {
            text.push_str("Content-Length: 10\r\n");
        }
        self.answer.iter().filter(|line| *line != "no Date").for_each(|line| text.push_str(&format!("{line}\r\n")));
        text.push_str("\r\n");
        text.into_bytes()
    }
}

fn seconds(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number of seconds"))
}

fn date(seconds: u64) -> String {
    let mut out = [0; 29];
    write_http_date(&mut out, seconds);
    String::from_utf8(out.to_vec()).expect("dates are ASCII")
}

/// `{N}` stands for the date N seconds after second 0, `{-N}` before.
fn dated(line: &str) -> String {
    let Some((before, rest)) = line.split_once('{') else { return line.to_owned() };
    let (offset, after) = rest.split_once('}').expect("a date ends with }");
    let offset: i64 = offset.parse().unwrap_or_else(|_| panic!("`{line}`: no number of seconds"));
    format!("{before}{}{after}", date(BASE_S.saturating_add_signed(offset)))
}
