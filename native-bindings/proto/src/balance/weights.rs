//! What a target's weight is worth now, and when health is no longer believed.

/// What a weight of 1 in the plan is worth when targets come back slowly. A ramp needs steps, and a weight of 1 has none:
/// `slow_start_weight` is given `plan weight * WEIGHT_UNIT`, for all targets alike, which leaves their shares as they are.
/// The plan's weights end at 65,535, so the product fits.
pub const WEIGHT_UNIT: u32 = 256;

/// The weight of a target that has been up for `since_up_ms`: it grows evenly and is whole after `slow_start_ms` (0 = at
/// once). Never 0 for a weight above 0, or a target that is up would look as if it were down.
#[must_use]
pub const fn slow_start_weight(weight: u32, since_up_ms: u64, slow_start_ms: u32) -> u32 {
    if since_up_ms >= slow_start_ms as u64 {
        return weight;
    }
    // Less than `weight`, for the time is less than the whole.
    let grown = (weight as u64 * since_up_ms / slow_start_ms as u64) as u32;
    if grown == 0 && weight > 0 { 1 } else { grown }
}

/// Whether so few of `all` targets are usable that their failing looks like our own mistake (a check that asks the wrong
/// thing, a network cut at our end): then all of them are used. 0 percent = never.
#[must_use]
pub const fn is_panicking(usable: u32, all: u32, panic_percent: u32) -> bool {
    (usable as u64) * 100 < (all as u64) * (panic_percent as u64)
}
