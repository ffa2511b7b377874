//! TLS of a whole plan, compiled before any worker sees it: what cannot work is refused here, with its place in the
//! settings. Compiled once for all workers, which share certificates, tickets and trust.

use crate::tls_client::{OriginTrust, TargetTls};
use crate::tls_server::{ServerTls, Tickets};
use proto::identity::identity_of;
use proto::plan::{Origin, OriginTls, Plan};
use std::sync::Arc;

/// As `plan.listeners` and `plan.origins`.
#[derive(Default)]
pub struct TlsPlan {
    pub listeners: Vec<Option<Arc<ServerTls>>>,
    /// By target; an origin without TLS has none.
    pub origins: Vec<Vec<Arc<TargetTls>>>,
}

impl TlsPlan {
    pub fn new(plan: &Plan, tickets: &Tickets) -> Result<Self, String> {
        let listeners = plan.listeners.iter().enumerate().map(|(at, listener)| {
            let place = format!("listeners[{at}].tls");
            listener.tls.as_ref().map(|tls| ServerTls::new(&place, tls, tickets).map(Arc::new)).transpose()
        });
        let origins = plan.origins.iter().map(|origin| match &origin.tls {
            None => Ok(Vec::new()),
            Some(tls) => targets(origin, tls),
        });
        Ok(Self {
            listeners: listeners.collect::<Result<_, String>>()?,
            origins: origins.collect::<Result<_, String>>()?,
        })
    }
}

fn targets(origin: &Origin, tls: &OriginTls) -> Result<Vec<Arc<TargetTls>>, String> {
    let place = format!("origins.{}.tls", origin.name);
    let trust = OriginTrust::new(&place, tls)?;
    let made = origin.targets.iter().map(|target| {
        let identity = identity_of(origin, target);
        let asked = identity.tls.as_ref();
        let verified = asked.map(|tls| tls.verified_name.as_str()).filter(|name| !name.is_empty());
        TargetTls::new(&place, tls, &trust, target.address, verified).map(Arc::new)
    });
    made.collect()
}
