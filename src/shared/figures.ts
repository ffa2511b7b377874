/**
 * Figures as people read them, in the terminal and on the dashboard.
 */

/** 12 → "12", 12345 → "12.3k": four characters of figures, then a letter. */
export function short(value: number): string {
  if (value < 10 && !Number.isInteger(value)) return value.toFixed(1);
  const letters = ["", "k", "M", "G", "T"];
  let [scaled, at] = [value, 0];
  while (scaled >= 999.5 && at < letters.length - 1) {
    scaled /= 1000;
    at += 1;
  }
  return `${at === 0 || scaled >= 99.95 ? scaled.toFixed(0) : scaled.toFixed(1)}${letters[at]}`;
}

export function percent(share: number | null): string {
  return share === null ? "-" : `${(share * 100).toFixed(1)} %`;
}

/** 0.0123 → "0.012 ms", 123.4 → "123 ms", 12345 → "12.3 s". */
export function milliseconds(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(3)} ms`;
}

/** "3 d 4 h", "5 h 6 min", "7 min", "8 s". */
export function since(ms: number): string {
  const [seconds, minutes, hours] = [ms / 1000, ms / 60_000, ms / 3_600_000].map(Math.floor) as [
    number,
    number,
    number,
  ];
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min` : `${seconds} s`;
}
