//! A plan made ready for one worker: routes indexed, targets bound to what all workers share about them. Each worker
//! compiles its own, so that no request touches a reference count another core writes to.

use crate::pool::Pool;
use crate::target::TargetShared;
use proto::identity::identity_of;
use proto::limits::HeadLimits;
use proto::plan::{Cidr, HostPolicy, Plan};
use proto::route::RouteTable;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One worker's plan.
pub struct Compiled {
    pub plan: Arc<Plan>,
    pub routes: RouteTable,
    pub head_limits: HeadLimits,
    /// As `plan.origins`.
    pub origins: Vec<CompiledOrigin>,
}

/// As `plan::Origin`, ready for choosing.
pub struct CompiledOrigin {
    pub targets: Vec<CompiledTarget>,
    pub weights: Vec<u32>,
}

/// As `plan::Target`, bound to what all workers share about it.
pub struct CompiledTarget {
    pub address: SocketAddr,
    pub shared: Arc<TargetShared>,
    /// What the target sees as Host unless the client's is handed on.
    pub host: Vec<u8>,
}

impl Compiled {
    pub fn new<S>(plan: Arc<Plan>, pool: &Pool<S>) -> Self {
        let origins = plan.origins.iter().map(|origin| CompiledOrigin {
            weights: origin.targets.iter().map(|t| t.weight).collect(),
            targets: origin
                .targets
                .iter()
                .map(|target| CompiledTarget {
                    address: target.socket_address(),
                    shared: pool.target(&identity_of(origin, target)),
                    host: match &origin.host {
                        HostPolicy::Literal { value } => value.clone().into_bytes(),
                        HostPolicy::Client | HostPolicy::Target => target.label.clone().into_bytes(),
                    },
                })
                .collect(),
        });
        let origins = origins.collect();
        let limits = &plan.limits;
        Self {
            routes: RouteTable::new(&plan),
            head_limits: HeadLimits {
                request_line_bytes: limits.request_line_bytes,
                head_bytes: limits.head_bytes,
                field_count: limits.field_count,
                chunk_extension_bytes: limits.chunk_extension_bytes,
            },
            origins,
            plan,
        }
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
