//! What the pool promises, among them that contention never opens or closes a connection (S0-14).

use super::*;
use crate::link::Link;
use crate::wheel::NEVER;
use std::sync::atomic::AtomicUsize;

fn identity(port: u16) -> Identity {
    Identity::plain("o", ([127, 0, 0, 1], port).into())
}

fn idle<S>(socket: S, target: &Arc<TargetShared>, worker: u32, slot: u32, since_ms: u64) -> Idle<S> {
    let lease = Lease { target: Arc::clone(target), opened_ms: 0, requests: 1, age_due_ms: NEVER, bound: None };
    Idle {
        link: Link::plain(socket),
        lease,
        worker,
        slot: Key { index: slot, generation: 0 },
        since_ms,
        expires_ms: NEVER,
    }
}

#[test]
fn the_newest_is_taken_first_and_the_oldest_is_evicted_first() {
    let pool = Pool::new(1, 1, true, 0);
    let target = pool.target(&identity(1));
    for n in 0..3 {
        pool.checkin(&target, idle(n, &target, 0, n, u64::from(n)));
    }
    assert_eq!(pool.take_oldest(0, |t| t.number == target.number).unwrap().link.socket(), Some(&0));
    assert_eq!(pool.checkout(0, &target, &Wanted::ANY).unwrap().link.socket(), Some(&2));
    assert_eq!(pool.checkout(0, &target, &Wanted::ANY).unwrap().link.socket(), Some(&1));
    assert!(pool.checkout(0, &target, &Wanted::ANY).is_none());
}

#[test]
fn another_identity_is_never_served() {
    let pool = Pool::new(1, 1, true, 0);
    let (a, b) = (pool.target(&identity(1)), pool.target(&identity(2)));
    pool.checkin(&a, idle('a', &a, 0, 0, 0));
    assert!(pool.checkout(0, &b, &Wanted::ANY).is_none());
    assert_eq!(pool.checkout(0, &a, &Wanted::ANY).unwrap().link.socket(), Some(&'a'));
}

#[test]
fn a_stolen_connection_leaves_its_old_slot_behind_to_be_freed() {
    let pool = Pool::new(2, 2, true, 0);
    let target = pool.target(&identity(1));
    let place = pool.checkin(&target, idle('a', &target, 0, 9, 0));
    let taken = pool.checkout(1, &target, &Wanted::ANY).unwrap();
    assert_eq!((taken.worker, taken.slot.index), (0, 9));
    assert!(pool.evict(0, &target, place).is_none(), "a late event for the old place finds nothing");
    let mut departed = Vec::new();
    pool.drain_departed(0, &mut departed);
    assert_eq!(departed, [Key { index: 9, generation: 0 }]);
}

#[test]
fn without_stealing_a_worker_sees_its_own_shard_only() {
    let pool = Pool::new(2, 2, false, 0);
    let target = pool.target(&identity(1));
    pool.checkin(&target, idle('a', &target, 0, 0, 0));
    assert!(pool.checkout(1, &target, &Wanted::ANY).is_none());
    assert!(pool.checkout(0, &target, &Wanted::ANY).is_some());
}

#[test]
fn in_a_shared_shard_a_worker_prefers_what_is_in_its_own_epoll() {
    let pool = Pool::new(2, 1, true, 0);
    let target = pool.target(&identity(1));
    pool.checkin(&target, idle("mine", &target, 0, 0, 0));
    pool.checkin(&target, idle("newer", &target, 1, 0, 1));
    assert_eq!(pool.checkout(0, &target, &Wanted::ANY).unwrap().link.socket(), Some(&"mine"));
    assert_eq!(pool.checkout(0, &target, &Wanted::ANY).unwrap().link.socket(), Some(&"newer"));
}

#[test]
fn s0_16_what_is_bound_to_a_client_is_found_by_that_client_only() {
    use proto::identity::Bound;
    let pool = Pool::new(1, 1, true, 0);
    let target = pool.target(&identity(1));
    let bound = |owner| Bound { host: None, owner: Some(owner), sni: None };
    let mut owned = idle("owned", &target, 0, 0, 0);
    owned.lease.bound = Some(Box::new(bound(7)));
    pool.checkin(&target, owned);
    assert!(pool.checkout(0, &target, &Wanted::ANY).is_none());
    assert!(pool.checkout(0, &target, &Wanted { bound: Some(&bound(8)), ..Wanted::ANY }).is_none());
    assert!(pool.checkout(0, &target, &Wanted { bound: Some(&bound(7)), ..Wanted::ANY }).is_some());
    let mut orphan = idle("orphan", &target, 0, 1, 0);
    orphan.lease.bound = Some(Box::new(bound(9)));
    pool.checkin(&target, orphan);
    assert_eq!(pool.take_owned(0, 9).len(), 1);
    assert_eq!(target.idle_total(), 0);
}

#[test]
fn s4_08_a_ready_connection_is_for_who_wants_one_that_carried_nothing() {
    let pool = Pool::new(1, 1, true, 0);
    let target = pool.target(&identity(1));
    let mut ready = idle("ready", &target, 0, 0, 0);
    ready.lease.requests = 0;
    pool.checkin(&target, ready);
    pool.checkin(&target, idle("old", &target, 0, 1, 100));
    let recent = Wanted { since_ms_min: 200, ..Wanted::ANY };
    assert!(pool.checkout(0, &target, &recent).is_none());
    let unused = Wanted { unused: true, ..Wanted::ANY };
    assert_eq!(pool.checkout(0, &target, &unused).unwrap().link.socket(), Some(&"ready"));
    assert_eq!(pool.checkout(0, &target, &Wanted::ANY).unwrap().link.socket(), Some(&"old"));
}

#[test]
fn limits_count_what_is_open_and_give_back_what_was_asked() {
    let pool = Pool::<()>::new(1, 1, true, 3);
    let (a, b) = (pool.target(&identity(1)), pool.target(&identity(2)));
    assert!(pool.ask_for_place(&a, 2, 0) && pool.ask_for_place(&a, 2, 0));
    assert!(!pool.ask_for_place(&a, 2, 0), "the target is full");
    assert!(pool.ask_for_place(&b, 2, 0));
    assert!(!pool.ask_for_place(&b, 2, 0), "the process is full");
    pool.give_up_place(&a);
    assert!(!pool.ask_for_place(&b, 0, 2), "the origin is full: both targets are its own");
    assert!(pool.ask_for_place(&b, 2, 3));
}

#[test]
fn a_dead_workers_connections_are_emptied_and_nobody_elses() {
    let pool = Pool::new(2, 1, true, 0);
    let target = pool.target(&identity(1));
    pool.checkin(&target, idle("lost", &target, 0, 0, 0));
    pool.checkin(&target, idle("kept", &target, 1, 0, 0));
    assert_eq!(pool.take_all_of(0).len(), 1);
    assert_eq!(target.idle_total(), 1);
    assert_eq!(pool.checkout(1, &target, &Wanted::ANY).unwrap().link.socket(), Some(&"kept"));
}

/// S0-14: as many connections as threads circulate; whoever finds none while one must be there has seen contention.
#[test]
fn s0_14_thirty_two_threads_releasing_and_taking_never_lose_or_make_a_connection() {
    for shards in [1, 4, 32] {
        let pool = Arc::new(Pool::new(32, shards, true, 0));
        let target = pool.target(&identity(1));
        for worker in 0..32 {
            pool.checkin(&target, idle(worker, &target, worker, worker, 0));
        }
        let misses = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for worker in 0..32 {
                let (pool, target, misses) = (&pool, &target, &misses);
                scope.spawn(move || {
                    for round in 0..2_000 {
                        match pool.checkout(worker, target, &Wanted::ANY) {
                            Some(taken) => {
                                pool.checkin(
                                    target,
                                    idle(*taken.link.socket().unwrap(), target, worker, worker, round),
                                );
                            }
                            None => {
                                misses.fetch_add(1, Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let mut left: Vec<u32> =
            std::iter::from_fn(|| pool.checkout(0, &target, &Wanted::ANY)).map(|t| *t.link.socket().unwrap()).collect();
        left.sort_unstable();
        assert_eq!(left, (0..32).collect::<Vec<_>>(), "{shards} shards");
        // A thread may miss when the others hold all of them in hand, never because a lock was busy.
        assert!(misses.load(Relaxed) < 32 * 2_000 / 100, "{shards} shards: {} misses", misses.load(Relaxed));
    }
}

#[test]
fn a_target_is_forgotten_when_nobody_holds_it_and_its_number_is_given_anew() {
    let pool: Pool<u32> = Pool::new(1, 1, true, 0);
    let [kept, held, gone] = [1, 2, 3].map(|place| pool.target(&identity(place)));
    assert_eq!([kept.number, held.number, gone.number], [0, 1, 2]);
    for target in [&held, &gone] {
        target.set_state(TargetState::Removed, 0);
    }
    drop(gone);
    pool.forget_removed();
    assert_eq!(pool.all_targets().iter().map(|t| t.number).collect::<Vec<u32>>(), [0, 1]);
    assert!(Arc::ptr_eq(&held, &pool.target(&identity(2))), "whoever is held stays who it is");
    assert_eq!([pool.target(&identity(4)).number, pool.target(&identity(3)).number], [2, 3]);
    let _ = kept;
}
