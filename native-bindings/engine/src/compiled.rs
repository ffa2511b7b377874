//! A plan made ready for one worker: routes indexed, targets bound to what all workers share about them. Each worker
//! compiles its own, so that no request touches a reference count another core writes to.

use crate::host::Current;
use crate::target::TargetShared;
use crate::tls_plan::TlsPlan;
use proto::balance::target_hash;
use proto::fault::OriginFault;
use proto::identity::{any_address, is_shared};
use proto::limits::HeadLimits;
use proto::plan::{Balance, Cidr, HostPolicy, Origin, Plan, Target};
use proto::route::RouteTable;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One worker's plan.
pub struct Compiled {
    pub plan: Arc<Plan>,
    pub tls: Arc<TlsPlan>,
    pub routes: RouteTable,
    pub head_limits: HeadLimits,
    /// As `plan.origins`.
    pub origins: Vec<CompiledOrigin>,
    /// Some route does.
    pub caches: bool,
}

/// As `plan::Origin`, ready for choosing.
pub struct CompiledOrigin {
    pub targets: Vec<CompiledTarget>,
    /// Why there are no targets, if there are none.
    pub unresolved: OriginFault,
    pub panic_percent: u32,
    pub slow_start_ms: u32,
    /// Its balancer asks for requests under way and latencies, so they are kept.
    pub watches_load: bool,
    /// A word of its match rule says what a connection is to; without one nothing is shared.
    pub shares: bool,
    /// Connections to one of its targets serve requests for any.
    pub any_address: bool,
}

/// As `plan::Target`, bound to what all workers share about it.
pub struct CompiledTarget {
    pub address: SocketAddr,
    pub shared: Arc<TargetShared>,
    /// What the target sees as Host unless the client's is handed on.
    pub host: Vec<u8>,
    pub weight: u32,
    pub tier: u8,
    pub zone: String,
    /// Of its label; the same in every process, so that hashes and cookies outlive a restart.
    pub name_hash: u64,
}

impl CompiledOrigin {
    fn new(origin: &Origin, shared: &[Arc<TargetShared>]) -> Self {
        let targets = origin.targets.iter().zip(shared);
        Self {
            targets: targets.map(|(target, shared)| CompiledTarget::new(origin, target, shared)).collect(),
            unresolved: OriginFault::of_token(&origin.unresolved).unwrap_or(OriginFault::NoTarget),
            panic_percent: origin.panic_percent,
            slow_start_ms: origin.slow_start_ms,
            watches_load: !matches!(origin.balance, Balance::RoundRobin) && origin.targets.len() > 1,
            shares: is_shared(&origin.match_on),
            any_address: any_address(&origin.match_on),
        }
    }
}

impl CompiledTarget {
    fn new(origin: &Origin, target: &Target, shared: &Arc<TargetShared>) -> Self {
        Self {
            address: target.socket_address(),
            shared: Arc::clone(shared),
            host: match &origin.host {
                HostPolicy::Literal { value } => value.clone().into_bytes(),
                HostPolicy::Client | HostPolicy::Target => target.label.clone().into_bytes(),
            },
            weight: target.weight,
            tier: target.tier,
            zone: target.zone.clone(),
            name_hash: target_hash(target),
        }
    }
}

impl Compiled {
    #[must_use]
    pub fn new(current: Current) -> Self {
        let Current { plan, tls, targets } = current;
        let limits = &plan.limits;
        let origins = plan.origins.iter().zip(targets.iter());
        Self {
            routes: RouteTable::new(&plan),
            head_limits: HeadLimits {
                request_line_bytes: limits.request_line_bytes,
                head_bytes: limits.head_bytes,
                field_count: limits.field_count,
                chunk_extension_bytes: limits.chunk_extension_bytes,
            },
            origins: origins.map(|(origin, shared)| CompiledOrigin::new(origin, shared)).collect(),
            caches: plan.routes.iter().any(|route| route.cache.is_some()),
            tls,
            plan,
        }
    }

    /// The origin of this name, if the plan has it still.
    #[must_use]
    pub fn origin_named(&self, name: &str) -> Option<&Origin> {
        self.plan.origins.iter().find(|origin| origin.name == name)
    }

    /// Whether a listener is no longer there: who is connected to it is served and sent away.
    #[must_use]
    pub fn is_gone(&self, listener: u16) -> bool {
        self.plan.listeners.get(usize::from(listener)).is_none_or(|listener| listener.gone)
    }

    /// What a listener says about transport security, on connections that have it.
    #[must_use]
    pub fn hsts(&self, listener: u16, is_tls: bool) -> &str {
        let tls = self.plan.listeners.get(usize::from(listener)).and_then(|l| l.tls.as_ref());
        tls.filter(|_| is_tls).map_or("", |tls| tls.hsts.as_str())
    }

    /// Whether what this peer says about those before it is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.plan.forwarding.trusted.iter().any(|cidr| holds(cidr, peer))
    }
}

fn holds(cidr: &Cidr, address: IpAddr) -> bool {
    let (net, host, width) = match (cidr.address, address) {
        (IpAddr::V4(net), IpAddr::V4(host)) => (u128::from(net.to_bits()), u128::from(host.to_bits()), 32),
        (IpAddr::V6(net), IpAddr::V6(host)) => (net.to_bits(), host.to_bits(), 128),
        _ => return false,
    };
    let bits = u32::from(cidr.prefix_bits).min(width);
    bits == 0 || (net ^ host) >> (width - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cidr_holds_its_own_family_and_range_only() {
        let cidr = |a: &str, prefix_bits| Cidr { address: a.parse().unwrap(), prefix_bits };
        let ip = |a: &str| a.parse::<IpAddr>().unwrap();
        assert!(holds(&cidr("10.0.0.0", 8), ip("10.255.0.1")));
        assert!(!holds(&cidr("10.0.0.0", 8), ip("11.0.0.1")));
        assert!(holds(&cidr("0.0.0.0", 0), ip("1.2.3.4")));
        assert!(!holds(&cidr("0.0.0.0", 0), ip("::1")));
        assert!(holds(&cidr("fd00::", 8), ip("fd12::1")));
        assert!(holds(&cidr("::1", 128), ip("::1")));
        assert!(!holds(&cidr("::1", 128), ip("::2")));
    }
}
