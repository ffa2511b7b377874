//! A TLS session after a failure: what came whole before it stands, in order, and nothing is said any more.

use engine::blocks::Blocks;
use engine::tls::{Sealed, Session, TlsTrouble};
use engine::tls_client::{OriginTrust, TargetTls};
use engine::tls_self_test::{Kit, NAME};
use engine::tls_server::{ServerTls, Tickets};
use proto::plan::TlsVersion;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A record that no key opens.
const BROKEN: &[u8] = &[23, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];

/// A server and a client that have shaken hands.
fn shaken(version: TlsVersion, blocks: &mut Blocks) -> (Session, Session) {
    let kit = Kit::new().expect("keys can be made");
    let listener = ServerTls::new("test", &kit.listener(version, "http/1.1", false), &Tickets::default());
    let origin = kit.origin(version, "http/1.1", false);
    let trust = OriginTrust::new("test", &origin).expect("a good origin");
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let target = TargetTls::new("test", &origin, &trust, address, None).expect("a good target");
    let mut server = Session::server(Arc::new(listener.expect("a good listener")));
    let mut client = Session::client(&target, NAME, false).expect("a good name");
    let mut to_server = Vec::new();
    client.begin(&mut to_server).expect("a client can begin");
    while !to_server.is_empty() {
        let mut to_client = Vec::new();
        server.open(&mut to_server, &mut [], blocks, &mut to_client).expect("the client is honest");
        to_server.clear();
        client.open(&mut to_client, &mut [], blocks, &mut to_server).expect("the server is honest");
    }
    assert!(server.is_open() && client.is_open());
    (server, client)
}

/// The server hears 30,000 bytes and a broken record in one read of 12,000.
fn broken(version: TlsVersion, blocks: &mut Blocks) -> (Session, Vec<u8>, Vec<u8>) {
    let (mut server, mut client) = shaken(version, blocks);
    let said: Vec<u8> = (0..30_000_u32).map(|at| (at % 251) as u8).collect();
    let mut sealed = Sealed::default();
    client.seal(&said.chunks(10_000).collect::<Vec<_>>(), false, &mut sealed).expect("an open session seals");
    let mut wire = [sealed.as_bytes(), BROKEN].concat();
    let (mut buf, mut reply) = (vec![0; 12_000], Vec::new());
    let failed = server.open(&mut wire, &mut buf, blocks, &mut reply).expect_err("nobody sealed the last record");
    assert!(matches!(failed, TlsTrouble::Peer(_)), "{failed:?}");
    server.failed = Some(failed);
    (server, said, reply)
}

#[test]
fn what_came_whole_before_a_broken_record_is_heard_in_order_and_without_a_gap() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let mut blocks = Blocks::default();
        let (mut server, said, _) = broken(version, &mut blocks);
        let (mut heard, mut buf) = (Vec::new(), vec![0; 7_000]);
        while server.has_plain() {
            let count = server.fetch(&mut buf, &mut blocks);
            heard.extend_from_slice(&buf[..count]);
        }
        assert!(heard == said, "{version:?}: {} bytes were heard", heard.len());
    }
}

#[test]
fn a_session_that_failed_tells_the_peer_once_and_seals_nothing() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let mut blocks = Blocks::default();
        let (mut server, _, reply) = broken(version, &mut blocks);
        assert!(!reply.is_empty(), "{version:?}: the peer was told nothing");
        let mut sealed = Sealed::default();
        assert_eq!(server.seal(&[b"more"], true, &mut sealed).err(), server.failed);
        assert!(sealed.as_bytes().is_empty());
    }
}
