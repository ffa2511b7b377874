//! Places for streams, and openings that many wait for.

use super::*;
use crate::http2::bell::Rung;
use crate::http2::wire::Wire;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn shared(owner: u32, used_max: u64) -> Arc<SharedOrigin> {
    let handshake = h2::client::Builder::new().handshake(Wire::default());
    let Poll::Ready(Ok((handle, _))) = pin!(handshake).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a handshake waits for nothing")
    };
    Arc::new(SharedOrigin::new(owner, Bell::new(&Arc::new(Rung::default())), handle, used_max))
}

#[test]
fn one_stream_before_the_peer_has_said_how_many() {
    let one = shared(0, 0);
    assert_eq!(one.take_stream(), Some(0));
    assert_eq!(one.take_stream(), None);
    drop(StreamPlace(Arc::clone(&one)));
    assert_eq!(one.take_stream(), Some(1));
}

#[test]
fn nobody_gets_a_stream_on_a_connection_that_closes_and_none_closes_idle_that_has_one() {
    let one = shared(0, 0);
    assert_eq!(one.take_stream(), Some(0));
    assert!(!one.close_if_idle());
    let place = StreamPlace(Arc::clone(&one));
    one.close();
    drop(place);
    assert_eq!(one.streams(), 0);
    assert_eq!(one.take_stream(), None);
    let idle = shared(0, 0);
    assert!(idle.close_if_idle());
    assert_eq!(idle.take_stream(), None);
}

#[test]
fn a_connection_that_carried_what_it_may_closes_with_its_last_stream() {
    let one = shared(0, 1);
    assert_eq!(one.take_stream(), Some(0));
    assert!(one.is_closing() && one.is_spent());
}

#[test]
fn a_stream_never_left_before_its_head_did() {
    let one = shared(0, 0);
    assert!(one.never_left(1));
    one.set_opened(3);
    assert!(!one.never_left(3) && one.never_left(5));
}

#[test]
fn how_a_session_was_lost_is_said_once() {
    let one = shared(0, 0);
    assert_eq!(one.lost(), Lost::No);
    one.set_lost(Lost::Closed);
    one.set_lost(Lost::Reset);
    assert_eq!(one.lost(), Lost::Closed);
    assert!(one.is_closing());
}

#[test]
fn a_workers_own_connection_comes_before_others() {
    let all = Multiplexed::default();
    assert!(all.take_stream(1, |_| true).is_none());
    let (other, own) = (shared(0, 0), shared(1, 0));
    all.add(&other);
    all.add(&own);
    let first = all.take_stream(1, |_| true).expect("a place");
    assert!(Arc::ptr_eq(&first.0.0, &own));
    let second = all.take_stream(1, |_| true).expect("another's place");
    assert!(Arc::ptr_eq(&second.0.0, &other));
    assert!(all.take_stream(1, |_| true).is_none() && !all.has_room());
    drop(first);
    assert_eq!(all.take_all_of(0).len(), 1);
    assert!(all.has_room());
}

#[test]
fn who_waits_for_an_opening_hears_of_it_once() {
    let all = Multiplexed::default();
    let opening = all.begin_opening(None);
    let waiter = Key { index: 4, generation: 1 };
    assert!(all.join(2, waiter, None).is_some());
    assert_eq!(opening.outcome(), None);
    assert_eq!(opening.settle(Opened::Again), [(2, waiter)]);
    assert!(opening.settle(Opened::Failed(OriginFault::ConnectTimeout)).is_empty());
    assert_eq!(opening.outcome(), Some(Opened::Again));
    assert!(all.join(2, waiter, None).is_none(), "it is over");
    all.end_opening(&opening);
    let bound = Bound { host: None, owner: Some(7), sni: None };
    all.begin_opening(Some(Box::new(bound.clone())));
    assert!(all.join(2, waiter, None).is_none(), "it is for somebody else");
    assert!(all.join(2, waiter, Some(&bound)).is_some());
}
