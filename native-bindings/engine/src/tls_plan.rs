//! TLS of a whole plan, compiled before any worker sees it: what cannot work is refused here, with its place in the
//! settings. Compiled once for all workers, which share certificates, tickets and trust. What a new plan leaves as it was is
//! taken over from the one before, since plans follow each other as often as names change their addresses.

use crate::tls_client::{OriginTrust, TargetTls};
use crate::tls_server::{ServerTls, Tickets};
use proto::identity::{Identity, identity_of};
use proto::plan::{ListenerTls, Origin, OriginTls, Plan};
use std::collections::HashMap;
use std::sync::Arc;

/// As `plan.listeners` and `plan.origins`.
#[derive(Default)]
pub struct TlsPlan {
    pub listeners: Vec<Option<Arc<ServerTls>>>,
    /// By target; an origin without TLS has none.
    pub origins: Vec<Vec<Arc<TargetTls>>>,
    targets: HashMap<Identity, Arc<TargetTls>>,
}

impl TlsPlan {
    pub fn new(plan: &Plan, tickets: &Tickets, before: &Self) -> Result<Self, String> {
        let mut made = Self::default();
        for (at, listener) in plan.listeners.iter().enumerate() {
            let known = before.listeners.get(at).and_then(Option::as_ref);
            let tls = listener.tls.as_ref().map(|tls| server(at, tls, tickets, known));
            made.listeners.push(tls.transpose()?);
        }
        for origin in &plan.origins {
            let targets = match &origin.tls {
                None => Vec::new(),
                Some(tls) => made.secure(origin, tls, before)?,
            };
            made.origins.push(targets);
        }
        Ok(made)
    }

    fn secure(&mut self, origin: &Origin, tls: &OriginTls, before: &Self) -> Result<Vec<Arc<TargetTls>>, String> {
        let place = format!("origins.{}.tls", origin.name);
        let mut trust = None;
        let mut targets = Vec::with_capacity(origin.targets.len());
        for target in &origin.targets {
            let identity = identity_of(origin, target);
            // Under one identity all that could differ is the same.
            let made = match before.targets.get(&identity).or_else(|| self.targets.get(&identity)) {
                Some(known) => Arc::clone(known),
                None => {
                    let trust = match &mut trust {
                        Some(trust) => trust,
                        empty => empty.insert(OriginTrust::new(&place, tls)?),
                    };
                    let verified = identity.tls.as_ref().map_or("", |tls| tls.verified_name.as_str());
                    let verified = Some(verified).filter(|name| !name.is_empty());
                    Arc::new(TargetTls::new(&place, tls, trust, target.address, verified)?)
                }
            };
            self.targets.insert(identity, Arc::clone(&made));
            targets.push(made);
        }
        // An origin whose name has no address yet is judged all the same.
        if origin.targets.is_empty() {
            OriginTrust::new(&place, tls)?;
        }
        Ok(targets)
    }
}

fn server(
    at: usize,
    tls: &ListenerTls,
    tickets: &Tickets,
    known: Option<&Arc<ServerTls>>,
) -> Result<Arc<ServerTls>, String> {
    match known.filter(|known| known.plan == *tls) {
        Some(known) => Ok(Arc::clone(known)),
        None => ServerTls::new(&format!("listeners[{at}].tls"), tls, tickets).map(Arc::new),
    }
}
