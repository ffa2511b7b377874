//! An exchange as this worker holds it: the state machine of `proto::exchange` with the connections, the buffers and the
//! times that belong to it.

use crate::cached::side::CacheSide;
use crate::compiled::Compiled;
use crate::shared_origin::Opening;
use crate::slab::Key;
use crate::spool::Spooled;
use crate::stats::Counter;
use crate::target::{TargetShared, TargetState};
use crate::wheel::{NEVER, TimerId};
use proto::exchange::Exchange;
use proto::failure::Phase;
use proto::fault::{ClientFault, OriginFault, WireFault};
use proto::http1::framing::RequestFraming;
use proto::http1::head::{RequestHead, Span};
use proto::identity::Bound;
use proto::limits::PROMISE_BROKEN_WAIT_MS;
use proto::limits::SCRATCH_BYTES;
use proto::plan::{Action, CachePolicy, FieldEdit, ForwardPolicy};
use proto::retry::WhyNoRetry;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// One exchange under way, in a slot of its worker.
pub struct Ongoing {
    pub core: Exchange,
    pub client: Key,
    /// The connection it runs on, if it has one.
    pub origin: Key,
    /// The plan it began under; a newer one does not concern it.
    pub plan: Rc<Compiled>,
    pub route: u32,
    /// Index into the plan's origins, and into that origin's targets.
    pub origin_index: u32,
    pub target: u32,
    /// The client's head as it came, for another attempt and for the log.
    pub head: Vec<u8>,
    /// Body bytes that are to be sent, or to be sent again.
    pub kept: Vec<u8>,
    /// What followed `kept` and had no room in memory.
    pub spool: Option<Box<Spooled>>,
    /// `kept` and `spool` hold every body byte received so far.
    pub kept_whole: bool,
    /// Trailer lines of a chunked request body.
    pub trailers: Vec<u8>,
    pub method: Span,
    pub host: Span,
    pub url: Span,
    /// Its own timer, made when it first waits for something or has a total time.
    pub timer: Option<TimerId>,
    /// End of a place in line or of a pause, and of the time for the whole exchange; `NEVER` = none.
    pub wait_due_ms: u64,
    pub total_due_ms: u64,
    /// It is counted among those who wait.
    pub in_line: bool,
    /// Attempts at the present origin.
    pub attempts: u8,
    pub escalations: u8,
    /// Origins it was sent to by escalation, and the one it began at.
    pub visited: u64,
    /// It came by the escalation of a proxy before us, and goes no further.
    pub escalated_before: bool,
    /// It has an `Idempotency-Key` that the route lets count.
    pub keyed: bool,
    /// Its client's authentication is bound to its origin connection.
    pub owner: Option<u64>,
    pub bound: Option<Box<Bound>>,
    /// For a consistent hash, and the target its cookie names.
    pub key_hash: u64,
    pub sticky: Option<u64>,
    /// How long the last failing answer asked to wait.
    pub retry_after_ms: Option<u64>,
    /// The client's FIN was handled.
    pub half_closed: bool,
    /// The origin was told so by a FIN of ours.
    pub fin_sent: bool,
    /// The target whose requests under way it is counted among.
    pub counted: Option<Arc<TargetShared>>,
    pub times: Times,
    pub faults: Faults,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Nominated by the client's Connection field, and trailers asked for.
    pub nominated: bool,
    pub te_trailers: bool,
    /// How the answer's body is framed to the client.
    pub answer_chunked: bool,
    pub answer_until_close: bool,
    /// Why its connection was opened for it, if it was.
    pub why_new: Counter,
    /// How long the origin said it keeps an idle connection.
    pub keeps_ms: Option<u32>,
    /// The origin's side of keeping its connection.
    pub answer_keeps: bool,
    /// It promised to, and gave the answer no other end than a close (S4-14).
    pub promise_broken: bool,
    pub answer_trailers: Vec<u8>,
    /// The origin takes no more of the request.
    pub write_broke: bool,
    /// Interim answers seen.
    pub interim: u8,
    /// Bytes read at once from the origin, and the most; smaller for a client that takes little.
    pub room: u32,
    pub room_max: u32,
    /// It asks for a WebSocket.
    pub websocket: bool,
    /// It wants a connection that speaks HTTP/1.
    pub http1: bool,
    /// Its present attempt is a stream of HTTP/2.
    pub on_stream: bool,
    /// The opening that it waits for, or that it is about to begin.
    pub joined: Option<Arc<Opening>>,
    /// What the cache has to do with it, on a route that caches.
    pub cached: Option<Box<CacheSide>>,
    pub begun: Option<Arc<Opening>>,
    /// In a tunnel: the client's, and the origin's, FIN was passed on.
    pub upload_ended: bool,
    pub download_ended: bool,
}

/// Monotonic microseconds; 0 = has not happened.
#[derive(Default, Clone, Copy)]
pub struct Times {
    pub began_us: u64,
    pub sent_us: u64,
    pub first_byte_us: u64,
    pub connect_us: u64,
}

/// What went wrong so far, for the outcome; the last of each kind counts.
#[derive(Default, Clone, Copy)]
pub struct Faults {
    pub origin: Option<OriginFault>,
    pub phase: Option<Phase>,
    /// Failure events so far.
    pub count: u8,
    pub wire: Option<WireFault>,
    pub client: Option<ClientFault>,
    pub no_retry: Option<WhyNoRetry>,
}

/// Who asks, and what the plan makes of it.
#[derive(Clone, Copy)]
pub struct Asking {
    pub client: Key,
    pub route: u32,
    pub origin_index: u32,
    pub began_us: u64,
}

impl Ongoing {
    /// An exchange that has neither a target nor its own copy of the head yet.
    #[must_use]
    pub fn new(
        core: Exchange,
        plan: Rc<Compiled>,
        head: &RequestHead,
        framing: &RequestFraming,
        asking: Asking,
    ) -> Self {
        Self {
            core,
            client: asking.client,
            origin: Key::NONE,
            plan,
            route: asking.route,
            origin_index: asking.origin_index,
            target: 0,
            head: Vec::new(),
            kept: Vec::new(),
            spool: None,
            kept_whole: true,
            trailers: Vec::new(),
            method: head.method_span,
            host: head.host,
            url: head.target,
            timer: None,
            wait_due_ms: NEVER,
            total_due_ms: NEVER,
            in_line: false,
            attempts: 0,
            escalations: 0,
            visited: 0,
            escalated_before: false,
            keyed: false,
            owner: None,
            bound: None,
            key_hash: 0,
            sticky: None,
            retry_after_ms: None,
            half_closed: false,
            fin_sent: false,
            counted: None,
            times: Times { began_us: asking.began_us, ..Times::default() },
            faults: Faults::default(),
            bytes_sent: 0,
            bytes_received: 0,
            nominated: framing.options.nominated,
            te_trailers: framing.te_trailers,
            answer_chunked: false,
            answer_until_close: false,
            why_new: Counter::NewNoIdle,
            keeps_ms: None,
            answer_keeps: false,
            promise_broken: false,
            answer_trailers: Vec::new(),
            write_broke: false,
            interim: 0,
            room: SCRATCH_BYTES as u32,
            room_max: SCRATCH_BYTES as u32,
            websocket: false,
            http1: false,
            on_stream: false,
            joined: None,
            cached: None,
            begun: None,
            upload_ended: false,
            download_ended: false,
        }
    }

    /// Counts it among its target's requests under way, where a balancer asks for that or the target is on trial.
    pub fn count_in(&mut self) {
        self.count_out();
        let on_trial = self.target_shared().state() == TargetState::Suspect;
        if on_trial || self.plan.origins[self.origin_index as usize].watches_load {
            let target = Arc::clone(self.target_shared());
            target.inflight.fetch_add(1, Relaxed);
            self.counted = Some(target);
        }
    }

    pub fn count_out(&mut self) {
        if let Some(target) = self.counted.take() {
            target.inflight.fetch_sub(1, Relaxed);
        }
    }

    /// Whether sending it twice does no harm.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.keyed || self.core.method.is_idempotent()
    }

    /// The cookie that brings the client back to its target, unless it has it already.
    #[must_use]
    pub fn sticky_edit(&self) -> Option<FieldEdit> {
        let cookie = self.origin_plan().sticky.as_ref()?;
        let target = &self.plan.origins[self.origin_index as usize].targets[self.target as usize];
        if self.sticky == Some(target.name_hash) {
            return None;
        }
        let lasts = if cookie.max_age_s == 0 { String::new() } else { format!("; Max-Age={}", cookie.max_age_s) };
        let value = format!("{}={:016x}; Path=/; HttpOnly; SameSite=Lax{lasts}", cookie.name, target.name_hash);
        Some(FieldEdit::Add { name: "Set-Cookie".to_owned(), value })
    }

    /// Whether all of the body that came so far may be held in memory for a repeat.
    #[must_use]
    pub fn may_keep_body(&self) -> bool {
        let bound = u64::from(self.plan.plan.limits.replay_body_bytes);
        // What a target did not process is sent again whatever its method (S3-07).
        (self.is_repeatable() || self.on_stream) && self.core.upload_bytes <= bound
    }

    /// What its route asks of connections and retries.
    #[must_use]
    pub fn policy(&self) -> &ForwardPolicy {
        match self.action() {
            Action::Forward { policy, .. } => policy,
            Action::Answer { .. } | Action::Redirect { .. } => unreachable!("only forwarding makes an exchange"),
        }
    }

    /// What its route says about caching.
    #[must_use]
    pub fn cache_policy(&self) -> Option<&CachePolicy> {
        self.plan.plan.routes[self.route as usize].cache.as_ref()
    }

    /// Bound of the time from the request to its answer's first byte, for one attempt.
    #[must_use]
    pub fn first_byte_ms(&self) -> u64 {
        let wait = self.policy().first_byte_ms.unwrap_or(self.origin_plan().first_byte_ms);
        let per_try = self.policy().retry.per_try_ms;
        u64::from(if per_try == 0 { wait } else { wait.min(per_try) })
    }

    #[must_use]
    pub fn between_bytes_ms(&self) -> u64 {
        let wait_ms = self.policy().between_bytes_ms.unwrap_or(self.origin_plan().between_bytes_ms);
        u64::from(if self.promise_broken { wait_ms.min(PROMISE_BROKEN_WAIT_MS) } else { wait_ms })
    }

    /// When the piece that has just come takes the answer beyond its route's limit: how much of it may still pass.
    #[must_use]
    pub fn room_left(&self, piece: usize) -> Option<usize> {
        let most = self.policy().answer_body_bytes;
        let beyond = self.core.download_bytes.saturating_sub(most);
        (most != 0 && beyond > 0).then(|| piece - usize::try_from(beyond).unwrap_or(usize::MAX).min(piece))
    }

    /// Longest request body; 0 = no limit.
    #[must_use]
    pub fn request_body_bytes(&self) -> u64 {
        self.policy().request_body_bytes.unwrap_or(self.plan.plan.limits.request_body_bytes)
    }

    /// The edits and rewrites of its route.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.plan.plan.routes[self.route as usize].action
    }

    #[must_use]
    pub fn origin_plan(&self) -> &proto::plan::Origin {
        &self.plan.plan.origins[self.origin_index as usize]
    }
}
