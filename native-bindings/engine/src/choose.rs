//! Chooses the target of an attempt among those that may be used: state, tier, zone and balance; health is not believed
//! when too few are up. Which connection it gets is `forward.rs`.

use crate::compiled::{CompiledOrigin, CompiledTarget};
use crate::exchange::Ongoing;
use crate::io::Io;
use crate::slab::Key;
use crate::target::TargetState;
use crate::worker::Worker;
use proto::balance::{Asked, Balancer, Candidate, WEIGHT_UNIT, hash_key, is_panicking, slow_start_weight};
use proto::fault::OriginFault;
use proto::http1::fields::{FieldKind, eq_ignore_case};
use proto::http1::head::RequestHead;
use proto::plan::{Balance, HashBy};
use std::sync::atomic::Ordering::Relaxed;

impl<I: Io> Worker<I> {
    /// Settles the target of the next attempt, or says why there is none.
    pub(crate) fn choose_target(&mut self, exchange: Key) -> Result<(), OriginFault> {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Err(OriginFault::NoTarget) };
        let index = ongoing.origin_index as usize;
        let plan = std::rc::Rc::clone(&ongoing.plan);
        let origin = &plan.origins[index];
        let target = match origin.targets.as_slice() {
            [] => return Err(origin.unresolved),
            // Nothing to weigh, so nothing is weighed.
            [only] if may_be_used(only) && ongoing.core.tried == 0 => 0,
            // An older plan's only target that a newer plan is without: who began under the older still gets it.
            [only] if is_left(only) && ongoing.core.tried == 0 => 0,
            [_] => return Err(OriginFault::NoTarget),
            several => {
                let mut candidates = std::mem::take(&mut self.candidates);
                gather(&mut candidates, several, ongoing, &plan.plan.zone, self.now_us / 1000, origin);
                let asked = Asked { key_hash: ongoing.key_hash, sticky: ongoing.sticky, dice: self.dice.roll() };
                let chosen = if std::rc::Rc::ptr_eq(&plan, &self.plan) {
                    self.turns[index].choose(&candidates, &asked)
                } else {
                    // Whose turn it is is known for the present plan only.
                    Balancer::new(&plan.plan.origins[index].balance).choose(&candidates, &asked)
                };
                self.candidates = candidates;
                chosen.ok_or(OriginFault::NoTarget)?
            }
        };
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Err(OriginFault::NoTarget) };
        ongoing.target = target as u32;
        if target < 64 {
            ongoing.core.tried |= 1 << target;
        }
        Ok(())
    }

    /// Targets that this exchange could still try.
    pub(crate) fn untried_targets(&self, ongoing: &Ongoing) -> u32 {
        let targets = &ongoing.plan.origins[ongoing.origin_index as usize].targets;
        let untried = |place: usize| place >= 64 || ongoing.core.tried >> place & 1 == 0;
        let count = |which: fn(&CompiledTarget) -> bool| {
            targets.iter().enumerate().filter(|(place, target)| untried(*place) && which(target)).count() as u32
        };
        match count(may_be_used) {
            0 => count(is_left),
            usable => usable,
        }
    }
}

/// Requests at once that a target on trial gets.
const TRIALS_MAX: u32 = 2;

pub(crate) fn may_be_used(target: &CompiledTarget) -> bool {
    let open = match target.shared.state() {
        TargetState::Up => true,
        TargetState::Suspect => target.shared.inflight.load(Relaxed) < TRIALS_MAX,
        TargetState::Down | TargetState::Draining | TargetState::Removed => false,
    };
    open && target.weight > 0
}

/// Whether only an older plan has this target. What began under that plan may use it where it finds no other, so that a
/// plan that puts targets in the place of others loses no request.
fn is_left(target: &CompiledTarget) -> bool {
    target.shared.state() == TargetState::Removed && target.weight > 0
}

/// Every target as the balancer sees it now.
pub(crate) fn gather(
    candidates: &mut Vec<Candidate>,
    targets: &[CompiledTarget],
    ongoing: &Ongoing,
    zone: &str,
    now_ms: u64,
    origin: &CompiledOrigin,
) {
    let usable = targets.iter().filter(|t| may_be_used(t)).count() as u32;
    let counted = targets.iter().filter(|t| t.weight > 0 && t.shared.state().keeps_connections()).count() as u32;
    let untried = |(place, target): (usize, &CompiledTarget)| {
        (place >= 64 || ongoing.core.tried >> place & 1 == 0) && may_be_used(target)
    };
    let left = !targets.iter().enumerate().any(untried);
    let panic = usable > 0 && is_panicking(usable, counted, origin.panic_percent);
    candidates.clear();
    candidates.extend(targets.iter().enumerate().map(|(place, target)| {
        let state = target.shared.state();
        let used = may_be_used(target) || (panic && state == TargetState::Down) || (left && is_left(target));
        let up_since = target.shared.up_since_ms.load(Relaxed);
        let since_up = if up_since == 0 { u64::MAX } else { now_ms.saturating_sub(up_since) };
        Candidate {
            weight: if used {
                slow_start_weight(target.weight * WEIGHT_UNIT, since_up, origin.slow_start_ms)
            } else {
                0
            },
            inflight: target.shared.inflight.load(Relaxed),
            latency_us: target.shared.latency_us.load(Relaxed),
            tier: target.tier,
            same_zone: !zone.is_empty() && target.zone == zone,
            name_hash: target.name_hash,
            tried: place < 64 && ongoing.core.tried >> place & 1 == 1,
            warm: target.shared.idle_total() > 0,
        }
    }));
}

/// What a consistent hash is taken of in this request.
pub fn key_hash(by: &Balance, head: &RequestHead, bytes: &[u8], client: &[u8]) -> u64 {
    let Balance::ConsistentHash { by, .. } = by else { return 0 };
    match by {
        HashBy::Path => hash_key(head.path.of(bytes)),
        HashBy::ClientAddress => hash_key(client),
        HashBy::Header { name } => {
            let field = head.fields.iter().find(|f| eq_ignore_case(f.name.of(bytes), name.as_bytes()));
            hash_key(field.map_or(&[], |f| f.value.of(bytes)))
        }
        HashBy::Cookie { name } => hash_key(cookie(head, bytes, name).unwrap_or(&[])),
    }
}

/// The value of a cookie of the request (RFC 6265 4.2.1).
#[must_use]
pub fn cookie<'a>(head: &RequestHead, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let fields = head.fields.iter().filter(|f| f.kind == FieldKind::Cookie);
    let mut pairs = fields.flat_map(|f| f.value.of(bytes).split(|b| *b == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}
