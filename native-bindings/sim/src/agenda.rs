//! What may happen next in a run, and whom it is about.

/// What the agenda holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    /// The next packet reaches this end.
    Deliver(u32),
    /// An edge, for whatever reason, at this end of the proxy's.
    Edge(u32),
    /// A connection attempt of the proxy's comes to its end.
    Dial(u32),
    /// A peer has something to do.
    Wake(u32),
    Turn(u32),
    /// The clock of a worker, if it was not set anew since.
    Clock(u32, u32),
    Chaos,
}

impl What {
    /// Its kind and whom it is about.
    #[must_use]
    pub const fn parts(self) -> (u64, u32) {
        match self {
            Self::Deliver(end) => (0, end),
            Self::Edge(end) => (1, end),
            Self::Dial(end) => (2, end),
            Self::Wake(actor) => (3, actor),
            Self::Turn(worker) => (4, worker),
            Self::Clock(worker, _) => (5, worker),
            Self::Chaos => (6, 0),
        }
    }
}
