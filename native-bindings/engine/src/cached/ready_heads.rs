//! Heads of hits as they are to be written, for what a worker was given last: a head is the same from one hit to the next,
//! but for its age and what is told of the cache.

use crate::cached::serve::{HeadOf, edits_of};
use crate::cached::told::{fields, write_status};
use crate::compiled::Compiled;
use crate::hot::{Entry, Near};
use proto::cache::cache_status::Report;
use proto::cache::conditional::Serve;
use proto::cache::judge::Decision;
use proto::http1::encode::{touches_cache_fields, write_cache_fields};
use proto::http1::head::{Method, Version};
use std::rc::Rc;
use std::sync::Arc;

/// Heads one worker has ready.
const HEADS_MAX: usize = 256;

/// A head without its last line and what the cache adds.
struct Ready {
    entry: Arc<Entry>,
    plan: Rc<Compiled>,
    route: u32,
    hsts: bool,
    text: Box<[u8]>,
}

/// What one worker has at hand for its next hits.
pub(crate) struct AtHand {
    pub near: Near,
    heads: Box<[Option<Ready>]>,
    told: Vec<u8>,
}

impl Default for AtHand {
    fn default() -> Self {
        Self { near: Near::default(), heads: (0..HEADS_MAX).map(|_| None).collect(), told: Vec::new() }
    }
}

impl AtHand {
    /// Writes a head, from what is ready if it may be. `plan` is the present one.
    pub(crate) fn write_head(&mut self, out: &mut Vec<u8>, head: &HeadOf<'_>, entry: &Arc<Entry>, plan: &Rc<Compiled>) {
        let is_usual = *head.serve == Serve::Whole
            && head.method == Method::Get
            && head.version != Version::Http10
            && !head.close
            && head.entry.body.whole_content().is_some();
        if !is_usual {
            head.write(out);
            return;
        }
        let room = &mut self.heads[(entry.place.0 >> 40) as usize % HEADS_MAX];
        let is_it = |ready: &&mut Ready| {
            Arc::ptr_eq(&ready.entry, entry)
                && Rc::ptr_eq(&ready.plan, plan)
                && ready.route == head.route
                && ready.hsts != head.hsts.is_empty()
        };
        if let Some(ready) = room.as_mut().filter(is_it) {
            out.extend_from_slice(&ready.text);
            write_tail(out, &mut self.told, head, head.decision);
            return;
        }
        if head.write_bare(out) && !touches_cache_fields(edits_of(plan, head.route)) {
            out.truncate(out.len() - 2);
            *room = Some(Ready {
                entry: Arc::clone(entry),
                plan: Rc::clone(plan),
                route: head.route,
                hsts: !head.hsts.is_empty(),
                text: out.as_slice().into(),
            });
            write_tail(out, &mut self.told, head, head.decision);
        } else {
            out.clear();
            head.write(out);
        }
    }

    /// Lets go of what has left the cache.
    pub(crate) fn sweep(&mut self) {
        self.near.sweep();
        for room in &mut self.heads {
            if room.as_ref().is_some_and(|ready| ready.entry.is_dead()) {
                *room = None;
            }
        }
    }
}

/// What is told of this hit, and the end of the head.
fn write_tail(out: &mut Vec<u8>, told: &mut Vec<u8>, head: &HeadOf<'_>, decision: Decision) {
    if let Some(policy) = head.plan.plan.routes[head.route as usize].cache.as_ref() {
        told.clear();
        let report = Report {
            decision,
            ttl_s: Some(head.ttl_s()),
            forwarded_status: None,
            stored: false,
            collapsed: head.collapsed,
            key: policy.cache_status_key.then_some(&head.entry.target),
        };
        write_status(told, policy, &head.plan.plan.name, &report);
        write_cache_fields(out, &fields(policy, decision, Some(head.entry.record.age_s(head.now_ms)), told), &[]);
    }
    out.extend_from_slice(b"\r\n");
}
