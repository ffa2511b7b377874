//! Random bits for choices that must not march in step. No secrets: a small generator, seeded by whoever makes it.

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in `0..=bound`.
    pub fn up_to(&mut self, bound: u64) -> u64 {
        if bound == u64::MAX { self.roll() } else { self.roll() % (bound + 1) }
    }
}
