//! What holds for every message, tried on seeded random ones. A failure names its seed.

mod support;

use proto::exchange::{Download, Piece};
use proto::http1::body::ChunkReader;
use proto::http1::encode::{
    AnswerEncoding, Forwarding, LAST_CHUNK, RequestEncoding, encode_answer, encode_request, write_chunk_header,
};
use proto::http1::fields::{FieldKind, KindSet, classify};
use proto::http1::framing::{AnswerBody, RequestBody, decide_answer, decide_request};
use proto::http1::head::{Method, Parsed, RequestHead, ResponseHead, worth_parsing_again};
use proto::limits::HeadLimits;
use support::Dice;

const SEEDS: u64 = 2_000;

type Lines = Vec<(String, Vec<u8>)>;

/// A valid request head; its framing fields are never in conflict.
fn any_request(dice: &mut Dice) -> Vec<u8> {
    let method = dice.pick(&["GET", "POST", "PUT", "DELETE", "BREW", "HEAD"]);
    let target = dice.pick(&["/", "/a/b?c=d", "/.x//%41?", "http://h.example:8080/p?q", "http://h.example", "/a[1]|'"]);
    let version = dice.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let mut lines = vec!["Host: a.example".to_owned()];
    match dice.below(4) {
        0 => lines.push(format!("Content-Length: {}", dice.below(100_000))),
        1 if version == "HTTP/1.1" => lines.push("transfer-encoding: Chunked".to_owned()),
        _ => {}
    }
    for _ in 0..dice.below(12) {
        let at = dice.below(lines.len() + 1);
        lines.insert(at, any_line(dice));
    }
    let empty = if dice.one_in(8) { "\r\n" } else { "" };
    format!("{empty}{method} {target} {version}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

fn any_line(dice: &mut Dice) -> String {
    let name = dice.pick(&[
        "Accept",
        "X-A",
        "x-b",
        "COOKIE",
        "Cache-Control",
        "User-Agent",
        "Via",
        "X_Y",
        "Expect",
        "Date",
        "X-Trace-Id",
    ]);
    let gap = dice.pick(&[" ", " ", " ", "", "\t", "  "]);
    let value =
        dice.pick(&["", "x", "a, b;c=\"d\"", "tab\there", "ümlaut", "0123456789012345678901234567890123456789"]);
    let end = if dice.one_in(5) { " \t" } else { "" };
    match (name, dice.below(6)) {
        ("Expect", _) => "Expect: 100-continue".to_owned(),
        (_, 0) => format!("Connection:{gap}{}", dice.pick(&["close", "keep-alive", "X-A", "upgrade, te", ""])),
        _ => format!("{name}:{gap}{value}{end}"),
    }
}

fn parse(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    let parsed = head.parse(bytes, &HeadLimits::default());
    assert_eq!(parsed, Ok(Parsed::Complete), "{}", bytes.escape_ascii());
    head
}

/// Names and values of the fields that a proxy hands on as they are.
fn end_to_end(bytes: &[u8], head_fields: &[proto::http1::head::Field]) -> Lines {
    use FieldKind as K;
    let handed_on = |kind| matches!(kind, K::Other | K::Cookie | K::CacheControl | K::Date | K::Via | K::ContentType);
    let fields = head_fields.iter().filter(|f| handed_on(f.kind));
    fields
        .map(|f| (String::from_utf8(f.name.of(bytes).to_vec()).expect("names are ASCII"), f.value.of(bytes).to_vec()))
        .collect()
}

fn encoding<'a>(bytes: &'a [u8], head: &RequestHead, body: RequestBody, nominated: bool) -> RequestEncoding<'a> {
    RequestEncoding {
        path: if head.path.is_empty() { b"/" } else { head.path.of(bytes) },
        host: head.host.of(bytes),
        body,
        upgrade: false,
        expect_continue: false,
        nominated,
        via: None,
        received_version: head.version,
        forwarding: Forwarding::default(),
        edits: &[],
        te_trailers: false,
        drops: KindSet::EMPTY,
        lines: b"",
    }
}

#[test]
fn a_request_means_the_same_however_it_arrives() {
    let limits = HeadLimits::default();
    for seed in 0..SEEDS {
        let bytes = any_request(&mut Dice::new(seed));
        let whole = parse(&bytes);
        let framing = decide_request(&bytes, &whole).unwrap_or_else(|f| panic!("seed {seed}: {f:?}"));
        let mut head = RequestHead::new();
        for len in 0..bytes.len() {
            assert_eq!(head.parse(&bytes[..len], &limits), Ok(Parsed::Partial), "seed {seed}, {len} bytes");
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"\0\r\xff behind");
        assert_eq!(head.parse(&longer, &limits), Ok(Parsed::Complete), "seed {seed}");
        assert_eq!(decide_request(&longer, &head), Ok(framing), "seed {seed}");
        assert_eq!(format!("{head:?}"), format!("{whole:?}"), "seed {seed}");
        assert_eq!(head.len, bytes.len(), "seed {seed}");
    }
}

#[test]
fn parsing_only_when_it_is_worth_it_misses_no_end() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let bytes = any_request(&mut dice);
        let mut head = RequestHead::new();
        let mut known = 0;
        let mut parsed = Parsed::Partial;
        for cut in dice.cuts(bytes.len()) {
            if cut > known && worth_parsing_again(known, &bytes[..cut]) {
                parsed = head.parse(&bytes[..cut], &HeadLimits::default()).unwrap_or_else(|f| panic!("{seed}: {f:?}"));
            }
            known = cut;
        }
        assert_eq!(parsed, Parsed::Complete, "seed {seed}");
    }
}

#[test]
fn a_request_written_anew_means_the_same() {
    let mut out = Vec::new();
    for seed in 0..SEEDS {
        let bytes = any_request(&mut Dice::new(seed));
        let head = parse(&bytes);
        let framing = decide_request(&bytes, &head).unwrap_or_else(|f| panic!("seed {seed}: {f:?}"));
        out.clear();
        encode_request(&mut out, &bytes, &head, &encoding(&bytes, &head, framing.body, framing.options.nominated));
        let again = parse(&out);
        assert_eq!(again.len, out.len(), "seed {seed}");
        assert_eq!(again.method, head.method, "seed {seed}");
        assert_eq!(again.host.of(&out), head.host.of(&bytes), "seed {seed}");
        assert_eq!(again.fields.iter().filter(|f| !f.plain).count(), 0, "seed {seed}");
        let mut wanted = end_to_end(&bytes, &head.fields);
        if framing.options.nominated {
            wanted.retain(|(name, _)| !name.eq_ignore_ascii_case("x-a"));
        }
        assert_eq!(end_to_end(&out, &again.fields), wanted, "seed {seed}");
        let anticipates = matches!(head.method, Method::Post | Method::Put) && framing.body == RequestBody::None;
        let body = if anticipates { RequestBody::Length(0) } else { framing.body };
        assert_eq!(decide_request(&out, &again).map(|f| f.body), Ok(body), "seed {seed}");
    }
}

#[test]
fn an_answer_written_anew_means_the_same() {
    let mut out = Vec::new();
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let status = dice.pick(&["200 OK", "404", "304 Not Modified", "204 ", "500 a b\tc"]);
        let framing = dice.pick(&["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"]);
        let lines: String = (0..dice.below(10)).map(|_| any_line(&mut dice) + "\r\n").collect();
        let bytes = format!("HTTP/1.1 {status}\r\n{lines}{framing}\r\n").into_bytes();
        let (mut head, mut again) = (ResponseHead::new(), ResponseHead::new());
        assert_eq!(head.parse(&bytes, &HeadLimits::default()), Ok(Parsed::Complete), "seed {seed}");
        let settled = decide_answer(&bytes, &head, Method::Get).unwrap_or_else(|f| panic!("seed {seed}: {f:?}"));
        out.clear();
        let e = AnswerEncoding {
            body: settled.body,
            length_told: settled.length_told,
            chunked_told: settled.chunked_told,
            close: !settled.keep_alive,
            nominated: settled.options.nominated,
            ..AnswerEncoding::default()
        };
        encode_answer(&mut out, &bytes, &head, &e);
        assert_eq!(again.parse(&out, &HeadLimits::default()), Ok(Parsed::Complete), "seed {seed}");
        assert_eq!((again.len, again.status), (out.len(), head.status), "seed {seed}");
        let mut wanted = end_to_end(&bytes, &head.fields);
        if settled.options.nominated {
            wanted.retain(|(name, _)| !name.eq_ignore_ascii_case("x-a"));
        }
        assert_eq!(end_to_end(&out, &again.fields), wanted, "seed {seed}");
        let resettled = decide_answer(&out, &again, Method::Get).unwrap_or_else(|f| panic!("seed {seed}: {f:?}"));
        assert_eq!((resettled.body, resettled.keep_alive), (settled.body, settled.keep_alive), "seed {seed}");
        assert_eq!(resettled.length_told, settled.length_told, "seed {seed}");
    }
}

#[test]
fn a_chunked_body_is_its_data_however_it_arrives() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let (mut wire, mut data) = (Vec::new(), Vec::new());
        for _ in 0..dice.below(8) {
            let len = 1 + dice.below(300);
            let chunk = dice.bytes(len);
            write_chunk_header(&mut wire, chunk.len());
            if dice.one_in(3) {
                wire.truncate(wire.len() - 2);
                wire.extend_from_slice(b" ; a=\"b c\";d\r\n");
            }
            wire.extend_from_slice(&chunk);
            wire.extend_from_slice(b"\r\n");
            data.extend_from_slice(&chunk);
        }
        wire.extend_from_slice(LAST_CHUNK);
        wire.extend_from_slice(b"X-Sum:1\r\nHost: b\r\n\r\n");
        let len = wire.len();
        wire.extend_from_slice(b"next");
        let (mut reader, mut trailers, mut decoded, mut at) = (ChunkReader::new(), Vec::new(), Vec::new(), 0);
        for cut in dice.cuts(wire.len()) {
            let mut piece = wire[at..cut].to_vec();
            let found = reader.decode(&mut piece, &HeadLimits::default(), &mut trailers);
            let found = found.unwrap_or_else(|f| panic!("seed {seed}: {f:?}"));
            decoded.extend_from_slice(&piece[found.data]);
            at += found.consumed;
            if found.done {
                break;
            }
        }
        assert!(reader.is_done(), "seed {seed}");
        assert_eq!((at, decoded), (len, data), "seed {seed}");
        assert_eq!(trailers, b"X-Sum: 1\r\n", "seed {seed}");
    }
}

/// How anybody would read a request that is known to be clean: lines by CRLF, names by the first colon. `None` = this
/// reading sees something it cannot make sense of.
fn naive_reading(bytes: &[u8]) -> Option<(usize, RequestBody)> {
    let text: String = bytes.iter().map(|b| if b.is_ascii() { *b as char } else { '?' }).collect();
    let skipped = if text.starts_with("\r\n") { 2 } else { 0 };
    let end = skipped + text[skipped..].find("\r\n\r\n")? + 4;
    let mut lines = text[skipped..end - 4].split("\r\n");
    lines.next()?;
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = line.split_once(':')?;
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_ascii_lowercase()),
            _ => {}
        }
    }
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Some((end, RequestBody::None)),
        ([length], []) => Some((end, RequestBody::Length(length.parse().ok()?))),
        ([], [coding]) if coding == "chunked" => Some((end, RequestBody::Chunked)),
        _ => None,
    }
}

#[test]
fn a_mutated_request_is_refused_or_read_as_anybody_would() {
    let limits = HeadLimits::default();
    let interesting = b"\r\n\t \0:;,_.-+\"\x0b\x7f\x80\xff0aZ/%";
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..SEEDS * 20 {
        let mut dice = Dice::new(seed);
        let mut bytes = any_request(&mut Dice::new(seed % SEEDS));
        let at = dice.below(bytes.len());
        let byte = interesting[dice.below(interesting.len())];
        match dice.below(3) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        let mut head = RequestHead::new();
        if head.parse(&bytes, &limits) != Ok(Parsed::Complete) {
            refused += 1;
            continue;
        }
        let Ok(framing) = decide_request(&bytes, &head) else {
            refused += 1;
            continue;
        };
        taken += 1;
        let naive = naive_reading(&bytes);
        assert_eq!(naive, Some((head.len, framing.body)), "seed {seed}: {}", bytes.escape_ascii());
    }
    assert!(taken > 1_000 && refused > 1_000, "the mutations test both: {taken} taken, {refused} refused");
}

#[test]
fn random_bytes_never_panic() {
    let alphabet = b"\r\n \t:;,\"=\\0aF/HTTP1.%[]?*\0\x7f\xff";
    let limits = HeadLimits { head_bytes: 200, request_line_bytes: 60, field_count: 4, chunk_extension_bytes: 20 };
    for seed in 0..SEEDS * 10 {
        let mut dice = Dice::new(seed);
        let mut bytes =
            dice.pick(&[b"".as_slice(), b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 ", b"5\r\nhello\r\n0\r\n"]).to_vec();
        for _ in 0..dice.below(80) {
            let byte = alphabet[dice.below(alphabet.len())];
            bytes.push(byte);
        }
        let mut request = RequestHead::new();
        if request.parse(&bytes, &limits) == Ok(Parsed::Complete) {
            let _ = decide_request(&bytes, &request);
            assert!(request.len <= bytes.len());
        }
        let mut answer = ResponseHead::new();
        if answer.parse(&bytes, &limits) == Ok(Parsed::Complete) {
            let _ = decide_answer(&bytes, &answer, Method::Get);
            assert!(answer.len <= bytes.len());
        }
        let _ = worth_parsing_again(dice.below(bytes.len() + 1), &bytes);
        let _ = classify(&bytes);
        let (mut reader, mut trailers, mut at) = (ChunkReader::new(), Vec::new(), 0);
        for cut in dice.cuts(bytes.len()) {
            let mut piece = bytes[at..cut].to_vec();
            let Ok(found) = reader.decode(&mut piece, &limits, &mut trailers) else { break };
            assert!(found.data.end <= found.consumed && found.consumed <= piece.len());
            at = cut;
        }
    }
}

#[test]
fn a_length_counts_down_to_its_end() {
    let mut body = Download::of(AnswerBody::Length(10));
    let mut take = |available: usize| {
        let taken = body.take(&mut vec![0; available], &HeadLimits::default(), &mut Vec::new());
        taken.expect("a body of known length cannot be wrong")
    };
    assert_eq!(take(4), Piece { consumed: 4, data: 0..4, done: false });
    assert_eq!(take(0), Piece { consumed: 0, data: 0..0, done: false });
    assert_eq!(take(100), Piece { consumed: 6, data: 0..6, done: true });
    assert_eq!(take(1), Piece { consumed: 0, data: 0..0, done: true });
}
