//! An exchange as this worker holds it: the state machine of `proto::exchange` with the connections, the buffers and the
//! times that belong to it.

use crate::compiled::Compiled;
use crate::slab::Key;
use crate::stats::Counter;
use crate::wheel::TimerId;
use proto::exchange::Exchange;
use proto::fault::{ClientFault, OriginFault, WireFault};
use proto::http1::framing::RequestFraming;
use proto::http1::head::{RequestHead, Span};
use proto::limits::SCRATCH_BYTES;
use proto::plan::Action;
use proto::retry::WhyNoRetry;
use std::rc::Rc;

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
    /// `kept` holds every body byte received so far.
    pub kept_whole: bool,
    /// Trailer lines of a chunked request body.
    pub trailers: Vec<u8>,
    pub method: Span,
    pub host: Span,
    pub url: Span,
    /// Runs only while it waits in a queue.
    pub timer: Option<TimerId>,
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
    pub answer_trailers: Vec<u8>,
    /// The origin takes no more of the request.
    pub write_broke: bool,
    /// Interim answers seen.
    pub interim: u8,
    /// Bytes read at once from the origin; smaller for a client that takes little.
    pub room: u32,
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
            kept_whole: true,
            trailers: Vec::new(),
            method: head.method_span,
            host: head.host,
            url: head.target,
            timer: None,
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
            answer_trailers: Vec::new(),
            write_broke: false,
            interim: 0,
            room: SCRATCH_BYTES as u32,
            upload_ended: false,
            download_ended: false,
        }
    }

    /// Whether all of the body that came so far may be held for a repeat.
    #[must_use]
    pub fn may_keep_body(&self) -> bool {
        let bound = u64::from(self.plan.plan.limits.replay_body_bytes);
        self.core.method.is_idempotent() && self.core.upload_bytes <= bound
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
