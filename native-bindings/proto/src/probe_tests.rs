//! How the answer to a health check is judged, whole and in every pair of pieces.

use super::*;

fn judge_pieces(pieces: &[&str], text: &str) -> Result<(), WhyBad> {
    let statuses = [StatusRange { from: 200, to: 399 }];
    let wanted = Wanted { statuses: &statuses, text };
    let (mut answer, mut head) = (Answer::default(), ResponseHead::new());
    for piece in pieces {
        let mut bytes = piece.as_bytes().to_vec();
        if let Some(verdict) = answer.take(&mut bytes, &mut head, &HeadLimits::default(), wanted) {
            return verdict;
        }
    }
    Err(answer.end())
}

/// The verdict, which must not depend on how the bytes arrive.
fn judge(answer: &str, text: &str) -> Result<(), WhyBad> {
    let whole = judge_pieces(&[answer], text);
    for at in 1..answer.len().min(400) {
        assert_eq!(judge_pieces(&[&answer[..at], &answer[at..]], text), whole, "cut at {at}");
    }
    whole
}

#[test]
fn the_status_alone_decides_where_no_text_is_asked_for() {
    assert_eq!(judge("HTTP/1.1 204 No Content\r\n\r\n", ""), Ok(()));
    assert_eq!(judge("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""), Ok(()));
    assert_eq!(judge("HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\n", ""), Err(WhyBad::Status(503)));
    assert_eq!(WhyBad::Status(503).token(), "status_503");
}

#[test]
fn interim_answers_are_not_the_answer() {
    assert_eq!(judge("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\n\r\n", ""), Err(WhyBad::Status(500)));
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(9);
    assert_eq!(judge(&endless, ""), Err(WhyBad::Malformed(WireFault::Surplus)));
    assert_eq!(judge("HTTP/1.1 101 Switching\r\n\r\n", ""), Err(WhyBad::Malformed(WireFault::UpgradeUnasked)));
}

#[test]
fn a_text_is_found_in_any_framing_and_across_pieces() {
    assert_eq!(judge("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nall is well.", "is well"), Ok(()));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n8\r\nis well.\r\n0\r\n\r\n";
    assert_eq!(judge(chunked, "all is"), Ok(()));
    assert_eq!(judge(chunked, "all was"), Err(WhyBad::BodyMismatch));
    assert_eq!(judge("HTTP/1.0 200 OK\r\n\r\nall is ill", "well"), Err(WhyBad::BodyMismatch));
    assert_eq!(judge("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nall is", "well"), Err(WhyBad::BodyTruncated));
}

#[test]
fn a_text_behind_the_first_64_kib_is_not_found() {
    let body = format!("{}well", "x".repeat(CONTENT_BYTES_MAX - 4));
    assert_eq!(judge(&format!("HTTP/1.1 200 OK\r\n\r\n{body}"), "well"), Ok(()));
    assert_eq!(judge(&format!("HTTP/1.1 200 OK\r\n\r\nx{body}"), "well"), Err(WhyBad::BodyMismatch));
}

#[test]
fn framing_is_read_as_strictly_as_that_of_any_answer() {
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(judge(two, ""), Err(WhyBad::Malformed(WireFault::LengthAndCoding)));
    assert!(matches!(judge("SSH-2.0-OpenSSH\r\n\r\n", ""), Err(WhyBad::Malformed(_))));
    assert_eq!(judge("", ""), Err(WhyBad::EofBeforeHeaders));
    assert_eq!(judge("HTTP/1.1 200 OK\r\nContent-Le", ""), Err(WhyBad::EofBeforeHeaders));
}

#[test]
fn a_check_says_who_asks_and_closes() {
    let asked = String::from_utf8(request("/health?x", "app.example:80")).unwrap();
    assert_eq!(
        asked,
        "GET /health?x HTTP/1.1\r\nHost: app.example:80\r\nUser-Agent: millrace-check\r\nConnection: close\r\n\r\n"
    );
}
