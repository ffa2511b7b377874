//! The first message of a TLS client: our reader of its server name against itself, however the bytes arrive, and against
//! the TLS library. Rules are chosen by the one and certificates by the other, so they must not read two names.

use super::cuts;
use proto::client_hello::{Hello, read_hello};
use rustls::server::Acceptor;
use std::net::IpAddr;

pub fn run(input: &[u8]) {
    let whole = read_hello(input);
    for cut in cuts(input.len()) {
        let piece = read_hello(&input[..cut]);
        assert!(piece == Hello::Partial || piece == whole, "{piece:?} of {cut} bytes, but {whole:?} of all");
    }
    if let Hello::Name(Some(name)) = &whole {
        assert!(!name.is_empty() && name.is_ascii() && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
    }
    let Some(theirs) = by_library(input) else { return };
    match (theirs, &whole) {
        (theirs, Hello::Name(ours)) if theirs == *ours => {}
        // An address is no name (RFC 6066 3); the library passes it over.
        (None, Hello::Name(Some(ours))) if ours.parse::<IpAddr>().is_ok() => {}
        (theirs, whole) => panic!("the library reads {theirs:?}, and we {whole:?}"),
    }
}

/// The name the library reads, where it takes the message for one.
fn by_library(input: &[u8]) -> Option<Option<String>> {
    let mut acceptor = Acceptor::default();
    let mut left = input;
    while !left.is_empty() && acceptor.read_tls(&mut left).is_ok_and(|count| count > 0) {
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Some(accepted.client_hello().server_name().map(str::to_ascii_lowercase)),
            Err(_) => return None,
        }
    }
    None
}
