//! The origin pool: lending a connection and taking it back, in the worker's own shard and across shards.

use engine::link::Link;
use engine::pool::{Idle, Lease, Pool, Wanted};
use engine::slab::Key;
use napi_derive::napi;
use proto::identity::Identity;
use std::hint::black_box;
use std::sync::Arc;

/// Connections that rest in the pool meanwhile, as with 64 busy clients.
const RESTING: u32 = 64;

/// A pool of two shards for two workers; all connections rest with worker 0.
fn pool_of(resting: u32) -> (Pool<u32>, Arc<engine::target::TargetShared>) {
    let pool = Pool::new(2, 2, true, 0);
    let target = pool.target(&Identity::plain("origin", ([127, 0, 0, 1], 9000).into()));
    for slot in 0..resting {
        let lease = Lease {
            target: Arc::clone(&target),
            opened_ms: 0,
            requests: 1,
            age_due_ms: u64::MAX,
            bound: None,
        };
        let slot = Key {
            index: slot,
            generation: 0,
        };
        pool.checkin(
            &target,
            Idle {
                link: Link::plain(slot.index),
                lease,
                worker: 0,
                slot,
                since_ms: 0,
                expires_ms: u64::MAX,
            },
        );
    }
    (pool, target)
}

/// Takes a connection as `taker` and puts it back as that worker's, or as worker 0's.
fn take_and_return(taker: u32, times: u32) -> u32 {
    let (pool, target) = pool_of(RESTING);
    let mut departed = Vec::with_capacity(1);
    let mut sum = 0_u32;
    for _ in 0..times {
        let taken = pool
            .checkout(black_box(taker), &target, &Wanted::ANY)
            .expect("a connection rests");
        sum = sum.wrapping_add(taken.link.socket);
        let idle = Idle {
            link: taken.link,
            lease: taken.lease,
            worker: 0,
            slot: taken.slot,
            since_ms: 0,
            expires_ms: u64::MAX,
        };
        pool.checkin(&target, idle);
        if taker != 0 {
            pool.drain_departed(0, &mut departed);
            departed.clear();
        }
    }
    sum
}

/// Checkout and checkin in the worker's own shard.
#[napi]
pub fn checkout_own(times: u32) -> u32 {
    take_and_return(0, times)
}

/// Worker 1 takes what rests with worker 0, which learns of it; then it rests with worker 0 again.
#[napi]
pub fn checkout_stolen(times: u32) -> u32 {
    take_and_return(1, times)
}
