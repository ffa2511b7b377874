/** Flow control of one HTTP/2 connection (RFC 9113 5.2, 6.9), both directions; stream 0 is the connection itself. */

/** RFC 9113 6.9.2: of the connection always, of a stream until SETTINGS say otherwise. */
const WINDOW_BYTES = 65_535;

export class Windows {
  /** What we may send. */
  readonly #sendable = new Map<number, number>([[0, WINDOW_BYTES]]);
  #sendableAtFirst = WINDOW_BYTES;
  /** What the other side may send. */
  readonly #given = new Map<number, number>([[0, WINDOW_BYTES]]);
  #givenAtFirst = WINDOW_BYTES;

  /** How many bytes of DATA may be sent on a stream. */
  room(stream: number): number {
    return Math.min(this.#roomOf(0), this.#roomOf(stream));
  }

  handleSent(stream: number, bytes: number): void {
    for (const one of [0, stream]) this.#sendable.set(one, this.#roomOf(one) - bytes);
  }

  handleUpdate(stream: number, bytes: number): void {
    this.#sendable.set(stream, this.#roomOf(stream) + bytes);
  }

  /** RFC 9113 6.9.2: a change of the initial window changes every stream's, below zero if need be. */
  handleInitial(bytes: number): void {
    const change = bytes - this.#sendableAtFirst;
    this.#sendableAtFirst = bytes;
    for (const [stream, room] of this.#sendable) if (stream !== 0) this.#sendable.set(stream, room + change);
  }

  /** The same for what we give. */
  handleGivenAtFirst(bytes: number): void {
    const change = bytes - this.#givenAtFirst;
    this.#givenAtFirst = bytes;
    for (const [stream, left] of this.#given) if (stream !== 0) this.#given.set(stream, left + change);
  }

  handleGiven(stream: number, bytes: number): void {
    this.#given.set(stream, this.#leftOf(stream) + bytes);
  }

  /** Takes in DATA of so many bytes; what is wrong with it. */
  handleReceived(stream: number, bytes: number): string[] {
    for (const one of [0, stream]) this.#given.set(one, this.#leftOf(one) - bytes);
    const over = [0, stream].filter((one) => this.#leftOf(one) < 0);
    return over.map((one) => `stream ${one}: ${-this.#leftOf(one)} bytes more than the window`);
  }

  #roomOf(stream: number): number {
    return this.#sendable.get(stream) ?? this.#sendableAtFirst;
  }

  #leftOf(stream: number): number {
    return this.#given.get(stream) ?? this.#givenAtFirst;
  }
}
