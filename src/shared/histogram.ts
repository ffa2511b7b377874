/**
 * Reading the log-linear histograms of the stats block. A value below 2^subBits has a bucket of its own; above, each
 * power of two is cut into 2^subBits buckets of equal width, so a bucket is at most value / 2^subBits wide.
 */

/** Bucket a value belongs to. `value` is a whole number, 0 to 2^53 - 1. */
export function bucketOf(value: number, subBits: number): number {
  const steps = 2 ** subBits;
  if (value < steps) return value;
  let exponent = Math.floor(Math.log2(value));
  // log2 is rounded: next to a power of two it can be one off.
  if (2 ** exponent > value) exponent -= 1;
  if (2 ** (exponent + 1) <= value) exponent += 1;
  const step = Math.floor(value / 2 ** (exponent - subBits)) - steps;
  return (exponent - subBits + 1) * steps + step;
}

/** Largest value that belongs to a bucket. */
export function bucketTop(bucket: number, subBits: number): number {
  const steps = 2 ** subBits;
  if (bucket < steps) return bucket;
  const width = 2 ** (Math.floor(bucket / steps) - 1);
  return (steps + (bucket % steps) + 1) * width - 1;
}

/**
 * The value below or at which a share of all values lies: the top of the bucket that holds it, so it is never too small
 * and at most value / 2^subBits too large. 0 when nothing was counted.
 *
 * @param counts How many values each bucket holds.
 * @param share 0 to 1, e.g. 0.99.
 */
export function quantile(counts: readonly number[], subBits: number, share: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  const rank = Math.max(1, Math.ceil(share * total));
  let below = 0;
  for (const [bucket, count] of counts.entries()) {
    below += count;
    if (below >= rank) return bucketTop(bucket, subBits);
  }
  return bucketTop(counts.length - 1, subBits);
}
