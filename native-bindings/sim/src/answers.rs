//! What origins answer: every way an answer may be framed and paced, and every way it may go wrong.

use crate::content::{answer_key, fill};
use crate::dice::Dice;
use crate::ledger::{Ask, Mood};
use crate::requests::chunks;

/// A step of an answer.
#[derive(Clone, Debug)]
pub enum Out {
    Bytes(Vec<u8>),
    /// Bytes no request asked for.
    Stray(Vec<u8>),
    /// The answer to this request and execution was sent whole.
    Whole(u64, u64),
    Close,
    Reset,
}

/// An answer as steps, each after so many microseconds.
pub type Script = Vec<(u64, Out)>;

pub const MALFORMED: &[&str] = &[
    "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.1 2x0 OK\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "\0\0\0\0garbage that is no answer\r\n\r\n",
];

/// What an idle connection may say of its own accord.
pub const STRAY: &[&str] = &["x", "\r\n", "garbage\r\n\r\n", "\0\0\0"];
/// What servers say before they close an idle connection.
pub const STRAY_408: &str =
    "HTTP/1.1 408 Request Timeout\r\nX-Stray: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// How many content bytes an answer is to have.
pub fn size(dice: &mut Dice) -> u64 {
    let most = if dice.chance(25) { 200_000 } else { 1_200 };
    dice.skewed(most)
}

/// An answer to the request. `early`: its body is not read to the end.
pub fn script(dice: &mut Dice, mood: Mood, id: u64, execution: u64, ask: &Ask, bytes: u64) -> Script {
    if mood == Mood::Wild {
        match dice.below(100) {
            0..=2 => return vec![(wait(dice), Out::Close)],
            3..=5 => return vec![(wait(dice), Out::Reset)],
            6..=7 => return Vec::new(),
            8..=11 if !ask.upgrade => return vec![(wait(dice), Out::Bytes(dice.pick(MALFORMED).as_bytes().to_vec()))],
            _ => {}
        }
    }
    let mut script = Script::new();
    interim(dice, id, &mut script);
    let (text, end_of_it) = whole_answer(dice, id, execution, ask, bytes);
    let closes = end_of_it != Ends::Keeps;
    let cut = mood == Mood::Wild && dice.chance(70);
    let end = if cut { dice.below(text.len() as u64) as usize } else { text.len() };
    pieces(dice, mood, &text[..end], &mut script);
    if cut {
        // Without a length a FIN is the end, so only a reset cuts such an answer.
        let resets = end_of_it == Ends::Delimits || dice.chance(500);
        script.push((wait(dice), if resets { Out::Reset } else { Out::Close }));
        return script;
    }
    script.push((0, Out::Whole(id, execution)));
    if mood == Mood::Wild && dice.chance(40) && !closes {
        let gap = if dice.chance(500) { 0 } else { wait(dice) };
        script.push((gap, Out::Stray(dice.pick(STRAY).as_bytes().to_vec())));
    }
    if closes {
        script.push((wait(dice), Out::Close));
    }
    script
}

/// Mostly at once, now and then long.
fn wait(dice: &mut Dice) -> u64 {
    if dice.chance(60) { dice.skewed(4_000_000) } else { dice.skewed(2_000) }
}

fn interim(dice: &mut Dice, id: u64, script: &mut Script) {
    if dice.chance(80) {
        for _ in 0..dice.between(1, 3) {
            let text = format!("HTTP/1.1 103 Early Hints\r\nX-Id: {id}\r\nLink: </a>\r\n\r\n");
            script.push((wait(dice), Out::Bytes(text.into_bytes())));
        }
    }
    if dice.chance(60) {
        script.push((0, Out::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())));
    }
}

/// What an answer means for its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Keeps,
    Closes,
    /// The close is what ends the answer.
    Delimits,
}

/// The answer's bytes, and what they mean for the connection.
fn whole_answer(dice: &mut Dice, id: u64, execution: u64, ask: &Ask, bytes: u64) -> (Vec<u8>, Ends) {
    let fields = format!("X-Id: {id}\r\nX-Execution: {execution}\r\n");
    let key = answer_key(id, execution);
    let close = dice.chance(100);
    let tail = if close { "Connection: close\r\n" } else { "" };
    let ends = if close { Ends::Closes } else { Ends::Keeps };
    if ask.method == "HEAD" || dice.chance(40) {
        let told = if dice.chance(500) { "Content-Length: 77\r\n" } else { "" };
        let status = if ask.method == "HEAD" { "200 OK" } else { *dice.pick(&["204 No Content", "304 Not Modified"]) };
        let told = if status.starts_with("204") { "" } else { told };
        return (format!("HTTP/1.1 {status}\r\n{fields}X-Bytes: 0\r\n{told}{tail}\r\n").into_bytes(), ends);
    }
    let told = format!("{fields}X-Bytes: {bytes}\r\n{tail}");
    let status = dice.pick(&["200 OK", "200 OK", "200 OK", "404 Not Found", "500 Own Fault", "200 "]);
    let mut out;
    match dice.below(10) {
        0..=5 => {
            let keep = if dice.chance(50) { "1.0" } else { "1.1" };
            let kept = if keep == "1.0" && !close { "Connection: keep-alive\r\n" } else { "" };
            out = format!("HTTP/{keep} {status}\r\n{told}{kept}Content-Length: {bytes}\r\n\r\n").into_bytes();
            fill(key, 0, bytes as usize, &mut out);
            (out, ends)
        }
        6..=8 => {
            out = format!("HTTP/1.1 {status}\r\n{told}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            chunks(dice, key, bytes, id, &mut out);
            (out, ends)
        }
        _ => {
            out = format!("HTTP/1.{} {status}\r\n{told}\r\n", dice.below(2)).into_bytes();
            fill(key, 0, bytes as usize, &mut out);
            (out, Ends::Delimits)
        }
    }
}

/// Cuts an answer into steps: at once, in a few pieces, or dripping.
fn pieces(dice: &mut Dice, mood: Mood, text: &[u8], script: &mut Script) {
    let count = match dice.below(10) {
        0..=5 => 1,
        6..=8 => dice.between(2, 5),
        _ => dice.between(5, 20),
    };
    let mut rest = text;
    for left in (1..=count).rev() {
        let size = if left == 1 { rest.len() } else { dice.below(rest.len() as u64 + 1) as usize };
        let gap = if mood == Mood::Calm { dice.skewed(3_000) } else { wait(dice) };
        if size > 0 {
            script.push((gap, Out::Bytes(rest[..size].to_vec())));
        }
        rest = &rest[size..];
    }
}
