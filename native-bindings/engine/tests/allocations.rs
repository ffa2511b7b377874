//! Allocations of the worker's thread for each forwarded request, counted over loopback after a warm-up. The ceilings
//! are in `bench/counts/allocations.json`; one that is exceeded fails. With `MILLRACE_WRITE_COUNTS=1` in the
//! environment they are set to what was counted.

mod support {
    pub mod allocator;
    pub mod document;
    pub mod loopback;
    pub mod plain_plan;
}

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use support::allocator::Counting;
use support::loopback::{AnswerEnd, Loopback, read_answer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u32 = 1_000;
const REQUESTS: u32 = 10_000;

struct Variant {
    name: &'static str,
    request: Vec<u8>,
    answer: Vec<u8>,
    end: AnswerEnd,
    /// Requests written at once.
    at_once: u32,
    access_log: bool,
    connection_each: bool,
}

fn with_length(len: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; len]].concat()
}

fn chunked() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nServer: origin\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}40\r\n{}\r\n40\r\n{}\r\n0\r\n\r\n", "x".repeat(64), "y".repeat(64)).into_bytes()
}

fn variants() -> Vec<Variant> {
    let get = b"GET /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: counts\r\nAccept: */*\r\n\r\n";
    let post = b"POST /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 64\r\n\r\n";
    let upload = b"POST /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n";
    let plain = |name| Variant {
        name,
        request: get.to_vec(),
        answer: with_length(128),
        end: AnswerEnd::Length(128),
        at_once: 1,
        access_log: false,
        connection_each: false,
    };
    vec![
        plain("get_128"),
        Variant { request: [post.as_slice(), &[b'b'; 64]].concat(), ..plain("post_64") },
        Variant { request: [upload.as_slice(), &[b'b'; 64], b"\r\n0\r\n\r\n"].concat(), ..plain("post_chunked") },
        Variant { answer: chunked(), end: AnswerEnd::LastChunk, ..plain("get_chunked") },
        Variant { answer: with_length(65_536), end: AnswerEnd::Length(65_536), ..plain("get_64k") },
        Variant { access_log: true, ..plain("get_128_access_log") },
        Variant { at_once: 2, ..plain("get_128_pipelined_2") },
        Variant { connection_each: true, ..plain("get_128_connection_each") },
    ]
}

/// Allocations of the worker in the counted requests.
fn measure(variant: &Variant) -> u64 {
    let loopback = Loopback::start(&variant.request, &variant.answer, variant.access_log);
    let written = variant.request.repeat(variant.at_once as usize);
    let mut client = loopback.connect();
    let mut input = Vec::new();
    let mut ask = |requests: u32| {
        for _ in 0..requests / variant.at_once {
            if variant.connection_each {
                client = loopback.connect();
            }
            client.write_all(&written).expect("the worker reads");
            for _ in 0..variant.at_once {
                read_answer(&mut client, variant.end, &mut input);
            }
        }
    };
    ask(WARM_UP);
    let before = loopback.allocations();
    ask(REQUESTS);
    loopback.allocations() - before
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../bench/counts/allocations.json")
}

/// The ceiling of a variant: the number behind its name.
fn ceiling(text: &str, name: &str) -> Option<u64> {
    let (_, behind) = text.split_once(&format!("\"{name}\": "))?;
    let digits = behind.find(|c: char| !c.is_ascii_digit())?;
    behind[..digits].parse().ok()
}

fn write_ceilings(counted: &[(&str, u64)]) {
    let rows: Vec<String> = counted.iter().map(|(name, count)| format!("    \"{name}\": {count}")).collect();
    let says = format!(
        "Heap allocations of the worker's thread in {REQUESTS} forwarded requests after {WARM_UP} as a warm-up; ceilings."
    );
    let command = "MILLRACE_WRITE_COUNTS=1 cargo test --release -p millrace-engine --test allocations";
    let text = format!(
        "{{\n  \"says\": \"{says}\",\n  \"writtenBy\": \"{command}\",\n  \"ceilings\": {{\n{}\n  }}\n}}\n",
        rows.join(",\n")
    );
    std::fs::write(file(), text).expect("the table can be written");
}

#[test]
fn a_warm_worker_stays_under_its_ceilings() {
    let counted: Vec<(&str, u64)> = variants().iter().map(|variant| (variant.name, measure(variant))).collect();
    if std::env::var_os("MILLRACE_WRITE_COUNTS").is_some() {
        write_ceilings(&counted);
    }
    let table = std::fs::read_to_string(file()).expect("bench/counts/allocations.json");
    let mut exceeded = String::new();
    for (name, count) in counted {
        let most = ceiling(&table, name).unwrap_or_else(|| panic!("{name} has no ceiling in the table"));
        println!("{name:<26} {count:>8} allocations in {REQUESTS} requests (at most {most})");
        if count > most {
            writeln!(exceeded, "{name}: {count} allocations in {REQUESTS} requests, at most {most} are allowed")
                .expect("a string takes everything");
        } else if count < most {
            println!("{name}: fewer than its ceiling; lower it to {count} (MILLRACE_WRITE_COUNTS=1)");
        }
    }
    assert!(exceeded.is_empty(), "\n{exceeded}");
}
