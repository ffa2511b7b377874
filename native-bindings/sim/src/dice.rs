//! The one source of chance in a run: everything that is not certain is thrown here, so a seed replays a run.

/// SplitMix64: small, fast, and good enough to be unfair with.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x6d69_6c6c_7261_6365))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 0 … below - 1; 0 for 0.
    pub fn below(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.next() % below }
    }

    /// from … to, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        debug_assert!(from <= to);
        from + self.below(to - from + 1)
    }

    /// True in so many of 1,000 throws.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille != 0 && self.below(1000) < u64::from(per_mille)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Mostly small, now and then large, never above `most`.
    pub fn skewed(&mut self, most: u64) -> u64 {
        let bits = u64::from(64 - most.leading_zeros());
        let shift = self.below(bits + 1);
        self.below((most >> shift) + 1)
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// Spreads the bits of a number.
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}
