//! A smoothed latency that forgets. Each sample moves it by an eighth of the difference, so five samples about halve what
//! was before. As it ages it counts for less and is then given up, so that a target which was slow once, and was
//! therefore not chosen again, gets another chance.

/// After this time without a sample the latency counts half.
pub const EWMA_HALF_LIFE_US: u64 = 10_000_000;
/// After this time it is unknown. Halved on and on it would look like a marvel, and the next burst would go there.
const KNOWN_FOR_US: u64 = 3 * EWMA_HALF_LIFE_US;

/// Least share of a sample, in 256ths.
const GAIN: u64 = 32;
const WHOLE: u64 = 256;

/// The latency of one target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ewma {
    /// In 1/256 µs, as it was at `at_us`; 0 = no sample yet.
    scaled: u64,
    at_us: u64,
}

impl Ewma {
    /// Takes in a sample. The older the last one, the more this one counts: after one half-life, half.
    pub fn record(&mut self, now_us: u64, sample_us: u32) {
        // At least one 256th, because 0 is unknown.
        let sample = (u64::from(sample_us) * WHOLE).max(1);
        let age_us = self.age_us(now_us);
        let gain = (WHOLE - remaining(WHOLE, age_us)).max(GAIN);
        self.scaled = if self.scaled == 0 || age_us >= KNOWN_FOR_US {
            sample
        } else {
            // Below 2^48, as both are below 2^40. Rounded up, so that it never becomes unknown.
            (self.scaled * (WHOLE - gain) + sample * gain).div_ceil(WHOLE)
        };
        self.at_us = self.at_us.max(now_us);
    }

    /// The latency, at least 1; 0 = unknown.
    #[must_use]
    pub fn latency_us(&self, now_us: u64) -> u32 {
        let age_us = self.age_us(now_us);
        if self.scaled == 0 || age_us >= KNOWN_FOR_US {
            return 0;
        }
        let whole = remaining(self.scaled, age_us) / WHOLE;
        u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
    }

    /// Who tells the time may be a little behind who told it before: then nothing has aged.
    const fn age_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.at_us)
    }
}

/// What is left of a value after `age_us`: halved each half-life, in a straight line between, which is at most 6.2 % more
/// than the curve.
const fn remaining(value: u64, age_us: u64) -> u64 {
    let halvings = age_us / EWMA_HALF_LIFE_US;
    if halvings >= u64::BITS as u64 {
        return 0;
    }
    // A value is below 2^40 and a half-life below 2^24 µs, so the product fits.
    let halved = value >> halvings;
    halved - halved * (age_us % EWMA_HALF_LIFE_US) / EWMA_HALF_LIFE_US / 2
}
