//! Runs the readable vectors of test/vectors/http1-*.md. Every vector is tried whole and byte by byte: how the bytes
//! arrive must not change what they mean.

mod support;

use proto::fault::WireFault;
use proto::http1::body::ChunkReader;
use proto::http1::framing::{AnswerBody, RequestBody, decide_answer, decide_request};
use proto::http1::head::{Method, Parsed, RequestHead, ResponseHead, TargetForm, Version};
use proto::limits::HeadLimits;
use support::{Vector, read_vectors, unescape};

/// What a message turned out to be: facts spelled as in the vector files, or that it is not whole yet.
#[derive(Debug, PartialEq)]
enum Seen {
    Partial,
    Facts(Vec<(String, Vec<u8>)>),
}

type Verdict = Result<Seen, WireFault>;

/// A fact that is only there, or has a value.
fn fact(facts: &mut Vec<(String, Vec<u8>)>, name: &str, value: impl AsRef<[u8]>) {
    facts.push((name.to_owned(), value.as_ref().to_vec()));
}

fn read_request(bytes: &[u8]) -> Verdict {
    let mut head = RequestHead::new();
    if head.parse(bytes, &HeadLimits::default())? == Parsed::Partial {
        return Ok(Seen::Partial);
    }
    let framing = decide_request(bytes, &head)?;
    let mut facts = Vec::new();
    fact(&mut facts, "method", head.method_span.of(bytes));
    fact(&mut facts, "version", version(head.version));
    fact(
        &mut facts,
        "form",
        match head.target_form {
            TargetForm::Origin => "origin",
            TargetForm::Absolute => "absolute",
            TargetForm::Authority => "authority",
            TargetForm::Asterisk => "asterisk",
        },
    );
    for (name, span) in [("target", head.target), ("path", head.path), ("query", head.query), ("host", head.host)] {
        fact(&mut facts, name, span.of(bytes));
    }
    fact(&mut facts, if head.path_plain { "path-plain" } else { "path-odd" }, "");
    fact(&mut facts, if framing.keep_alive { "keep-alive" } else { "close" }, "");
    fact(&mut facts, "fields", head.fields.len().to_string());
    let flags = [
        ("expect-continue", framing.expect_continue),
        ("expectation-unknown", framing.expectation_unknown),
        ("upgrade", framing.upgrade),
        ("nominated", framing.options.nominated),
        ("te-trailers", framing.te_trailers),
    ];
    flags.iter().filter(|(_, is_set)| *is_set).for_each(|(name, _)| fact(&mut facts, name, ""));
    let body = match framing.body {
        RequestBody::None => AnswerBody::None,
        RequestBody::Length(n) => AnswerBody::Length(n),
        RequestBody::Chunked => AnswerBody::Chunked,
    };
    read_body(facts, body, &bytes[head.len..])
}

fn read_answer(bytes: &[u8], method: Method) -> Verdict {
    let mut head = ResponseHead::new();
    if head.parse(bytes, &HeadLimits::default())? == Parsed::Partial {
        return Ok(Seen::Partial);
    }
    let framing = decide_answer(bytes, &head, method)?;
    let mut facts = Vec::new();
    fact(&mut facts, "status", head.status.to_string());
    fact(&mut facts, "version", version(head.version));
    fact(&mut facts, "reason", head.reason.of(bytes));
    fact(&mut facts, if framing.keep_alive { "keep-alive" } else { "close" }, "");
    if let Some(length) = framing.length_told {
        fact(&mut facts, "length-told", length.to_string());
    }
    if let Some(seconds) = framing.keep_alive_timeout_s {
        fact(&mut facts, "timeout", seconds.to_string());
    }
    let flags = [("chunked-told", framing.chunked_told), ("nominated", framing.options.nominated)];
    flags.iter().filter(|(_, is_set)| *is_set).for_each(|(name, _)| fact(&mut facts, name, ""));
    read_body(facts, framing.body, &bytes[head.len..])
}

fn read_body(mut facts: Vec<(String, Vec<u8>)>, body: AnswerBody, rest: &[u8]) -> Verdict {
    let (text, content, used) = match body {
        AnswerBody::None => ("none".to_owned(), Vec::new(), 0),
        AnswerBody::UntilClose => ("until-close".to_owned(), rest.to_vec(), rest.len()),
        AnswerBody::Length(n) if (rest.len() as u64) < n => return Ok(Seen::Partial),
        AnswerBody::Length(n) => (format!("length {n}"), rest[..n as usize].to_vec(), n as usize),
        AnswerBody::Chunked => {
            let Some((content, _, used)) = decode(rest, &[rest.len()])? else { return Ok(Seen::Partial) };
            ("chunked".to_owned(), content, used)
        }
    };
    fact(&mut facts, "body", text);
    fact(&mut facts, "content", content);
    fact(&mut facts, "rest", (rest.len() - used).to_string());
    Ok(Seen::Facts(facts))
}

/// Content, trailers and the bytes used of a whole body.
type Body = (Vec<u8>, Vec<u8>, usize);

/// `None` if the body is not whole. `cuts` are the ends of the pieces it is told in.
fn decode(bytes: &[u8], cuts: &[usize]) -> Result<Option<Body>, WireFault> {
    let mut reader = ChunkReader::new();
    let (mut content, mut trailers) = (Vec::new(), Vec::new());
    let mut at = 0;
    for &cut in cuts {
        let mut piece = bytes[at..cut].to_vec();
        let decoded = reader.decode(&mut piece, &HeadLimits::default(), &mut trailers)?;
        content.extend_from_slice(&piece[decoded.data.clone()]);
        assert_eq!(decoded.done, reader.is_done());
        if decoded.done {
            return Ok(Some((content, trailers, at + decoded.consumed)));
        }
        assert_eq!(decoded.consumed, piece.len(), "all input is used until the body is done");
        at = cut;
    }
    Ok(None)
}

fn read_chunks(bytes: &[u8], cuts: &[usize]) -> Verdict {
    let Some((content, trailers, used)) = decode(bytes, cuts)? else { return Ok(Seen::Partial) };
    let mut facts = Vec::new();
    fact(&mut facts, "content", content);
    fact(&mut facts, "trailers", trailers);
    fact(&mut facts, "rest", (bytes.len() - used).to_string());
    Ok(Seen::Facts(facts))
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    }
}

/// Tells the message in growing pieces, as a slow peer would; `step` keeps huge vectors affordable.
fn read_growing(bytes: &[u8], read: impl Fn(&[u8]) -> Verdict) -> Verdict {
    let step = 1 + bytes.len() / 2_000;
    for len in (1..bytes.len()).step_by(step) {
        match read(&bytes[..len]) {
            Ok(Seen::Partial) => {}
            // A whole message with another behind it: what is behind is not ours to see here.
            Ok(Seen::Facts(_)) => break,
            Err(fault) => return Err(fault),
        }
    }
    read(bytes)
}

fn check(vector: &Vector, how: &str, verdict: &Verdict) {
    let Vector { title, expect, .. } = vector;
    match (expect.strip_prefix("fault "), expect.as_str(), verdict) {
        (Some(token), _, Err(fault)) => assert_eq!(fault.token(), token, "{title} ({how})"),
        (None, "partial", Ok(Seen::Partial)) => {}
        (None, facts, Ok(Seen::Facts(seen))) if facts != "partial" => {
            for wanted in facts.split("; ") {
                let (name, value) = wanted.split_once(' ').unwrap_or((wanted, ""));
                let holds = seen.iter().any(|(n, v)| n == name && *v == unescape(value));
                assert!(holds, "{title} ({how}): expected `{wanted}`, saw {}", spelled(seen));
            }
        }
        _ => panic!("{title} ({how}): expected `{expect}`, saw {verdict:?}"),
    }
}

fn spelled(facts: &[(String, Vec<u8>)]) -> String {
    facts.iter().map(|(name, value)| format!("{name} {}; ", value.escape_ascii())).collect()
}

#[test]
fn requests_mean_what_the_vectors_say() {
    let vectors = read_vectors("http1-requests.md");
    assert!(vectors.len() >= 150, "vectors got lost: {}", vectors.len());
    for vector in &vectors {
        check(vector, "whole", &read_request(&vector.bytes));
        check(vector, "growing", &read_growing(&vector.bytes, read_request));
    }
}

#[test]
fn answers_mean_what_the_vectors_say() {
    let vectors = read_vectors("http1-answers.md");
    assert!(vectors.len() >= 50, "vectors got lost: {}", vectors.len());
    for vector in &vectors {
        let method = vector.method.as_ref().map_or(Method::Get, |m| Method::of(m.as_bytes()));
        check(vector, "whole", &read_answer(&vector.bytes, method));
        if !vector.expect.contains("until-close") {
            check(vector, "growing", &read_growing(&vector.bytes, |bytes| read_answer(bytes, method)));
        }
    }
}

#[test]
fn chunks_mean_what_the_vectors_say() {
    let vectors = read_vectors("http1-chunks.md");
    assert!(vectors.len() >= 60, "vectors got lost: {}", vectors.len());
    for vector in &vectors {
        let bytes = &vector.bytes;
        check(vector, "whole", &read_chunks(bytes, &[bytes.len()]));
        check(vector, "byte by byte", &read_chunks(bytes, &(1..=bytes.len()).collect::<Vec<_>>()));
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
            check(vector, &format!("cut at {cut}"), &read_chunks(bytes, &[cut, bytes.len()]));
        }
    }
}
