/**
 * A CPU profile of the thread that calls this: what JavaScript ran, sampled by V8's own profiler. Native code shows as
 * one block of "(program)".
 */
import { Session } from "node:inspector";

/** Between two samples, in µs. */
const SAMPLE_EVERY_MICROS = 500;

/** Profiles this thread for a time; resolves with the text of a .cpuprofile file. */
export async function profileThread(ms: number): Promise<string> {
  const session = new Session();
  session.connect();
  const post = (method: string, params: object = {}) =>
    new Promise<unknown>((resolve, reject) => {
      session.post(method, params, (failure, result) => (failure === null ? resolve(result) : reject(failure)));
    });
  try {
    await post("Profiler.enable");
    await post("Profiler.setSamplingInterval", { interval: SAMPLE_EVERY_MICROS });
    await post("Profiler.start");
    // A profile keeps no thread alive that is asked to leave.
    await new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
    const { profile } = (await post("Profiler.stop")) as { readonly profile: unknown };
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
