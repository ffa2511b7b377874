/**
 * Rules between the policies of a route that forwards: retries, escalation, answers and limits, and the origins they
 * rest on.
 */
import type { Complaint } from "../shared/errors.js";
import { parseTarget } from "./addresses.js";
import {
  addressesOf,
  type Document,
  isOwnListener,
  isRecord,
  type Origin,
  originNames,
  originsOf,
  placeOf,
  type Route,
  routesOf,
} from "./document.js";
import { compileOutcomes, NAMED_FAULTS, parseStatus } from "./outcomes.js";
import { settingsSchema } from "./settings.js";
import { judgeBodyOf } from "./settings-fields.js";
import { FORWARD_DEFAULTS, isAddress } from "./settings-policies.js";
import { suggestion } from "./suggest.js";

/** Classes of failure after which no origin can take the request over, and why. */
const NEVER_ESCALATED: ReadonlyMap<string | number, string> = new Map([
  ["body_truncated", "the client has the beginning of the answer by then"],
  ["body_malformed", "the client has the beginning of the answer by then"],
  ["body_timeout", "the client has the beginning of the answer by then"],
  ["total_timeout", "no time is left for another origin"],
]);

/** What contradicts itself, leads nowhere or in a circle. */
export function judgePolicies(document: Document): Complaint[] {
  const origins = new Map(originsOf(document));
  const written: readonly unknown[] = Array.isArray(document["routes"]) ? document["routes"] : [];
  // Whom a rule names can be judged in a route that is otherwise wrong.
  const named = written.flatMap((route, index) =>
    isRecord(route) ? judgeEscalations(document, route, `routes[${index}]`, origins) : [],
  );
  const parts = routesOf(document).flatMap(([index, route]) => [
    ...judgeRetry(route, `routes[${index}]`),
    ...judgeAnswers(route, `routes[${index}]`),
  ]);
  return [...named, ...parts];
}

/** What has no effect. */
export function warnAboutPolicies(document: Document): Complaint[] {
  const origins = new Map(originsOf(document));
  const persistence = settingsSchema.shape.persistence.safeParse(document["persistence"] ?? {}).data;
  return routesOf(document).flatMap(([index, route]) => {
    const origin = origins.get(route.forwardTo ?? "");
    if (origin === undefined) return [];
    const shares = persistence?.origin !== false && ![origin.match].flat().includes("none");
    return [
      ...warnAboutReuse(route, origin, `routes[${index}]`, shares),
      ...warnAboutRetry(route, origin, `routes[${index}]`),
      ...warnAboutEscalations(route, `routes[${index}]`),
      ...warnAboutAnswers(route, `routes[${index}]`),
    ];
  });
}

function judgeEscalations(
  document: Document,
  route: Document,
  at: string,
  origins: ReadonlyMap<string, Origin>,
): Complaint[] {
  const rules: readonly unknown[] = Array.isArray(route["escalate"]) ? route["escalate"] : [];
  return rules.flatMap((rule, index) => {
    const to = isRecord(rule) ? rule["to"] : undefined;
    if (typeof to !== "string" || to === "") return [];
    const says = judgeEscalation(document, String(route["forwardTo"]), to, origins);
    return says === null ? [] : [{ path: `${at}.escalate[${index}].to`, says }];
  });
}

/** What is wrong with sending what failed at one origin to another, or null. */
function judgeEscalation(
  document: Document,
  from: string,
  to: string,
  origins: ReadonlyMap<string, Origin>,
): string | null {
  const names = originNames(document);
  if (!isAddress(to) && !names.includes(to)) return `no origin is called "${to}"${suggestion(to, names)}`;
  const target = parseTarget(to);
  if (isAddress(to) && !target.ok) return target.says;
  if (to === from) return "is the origin that failed; name another one";
  if (isAddress(to) && addressesOfNamed(origins, from).some((address) => placeOf(address) === placeOf(to))) {
    return "is a target of the origin that failed; name another one";
  }
  const loop = (isAddress(to) ? [to] : addressesOfNamed(origins, to)).find((one) => isOwnListener(document, one));
  return loop === undefined ? null : `"${loop}" is a listener of this proxy itself; that circle would never end`;
}

function addressesOfNamed(origins: ReadonlyMap<string, Origin>, name: string): readonly string[] {
  const origin = origins.get(name);
  return origin === undefined ? [] : addressesOf(origin);
}

function judgeRetry(route: Route, at: string): Complaint[] {
  const { retry } = route;
  if (retry === undefined || retry === false || retry.backoffMs <= retry.backoffMaxMs) return [];
  return [{ path: `${at}.retry.backoffMs`, says: `must be at most backoffMaxMs (${retry.backoffMaxMs})` }];
}

function judgeAnswers(route: Route, at: string): Complaint[] {
  const limit = route.limits?.answerBodyBytes ?? 0;
  return (route.answers ?? []).flatMap((answer, index) => {
    const here = `${at}.answers[${index}]`;
    const complaints = (answer.on ?? []).flatMap((word, place) =>
      parseStatus(word).ok && compileOutcomes([word]).faults.length === 0
        ? [{ path: `${here}.on[${place}]`, says: `no failure of an origin is answered with ${word}` }]
        : [],
    );
    const wrong = judgeBodyOf(answer.status, answer.body);
    if (wrong !== null) complaints.push({ path: `${here}.body`, says: wrong });
    const bodyBytes = Buffer.byteLength(answer.body);
    if (limit !== 0 && bodyBytes > limit) {
      const says = `is smaller than the answer in answers[${index}] (${bodyBytes} bytes)`;
      complaints.push({ path: `${at}.limits.answerBodyBytes`, says });
    }
    return complaints;
  });
}

function warnAboutReuse(route: Route, origin: Origin, at: string, shares: boolean): Complaint[] {
  const policy = route.unrepeatable;
  const path = `${at}.unrepeatable`;
  if (policy === undefined || policy === "fresh") return [];
  if (policy === "standby") {
    if (origin.standby > 0) return [];
    return [{ path, says: `is as "fresh": origins.${route.forwardTo}.standby keeps no connection ready` }];
  }
  if (!shares) return [{ path, says: 'is as "fresh": no connection of this origin is used twice' }];
  if (policy === "reuse" || policy.reuseIfRecentMs < origin.idleMs) return [];
  const says = `is as "reuse": idle connections are kept for ${origin.idleMs} ms only (origins.${route.forwardTo}.idleMs)`;
  return [{ path, says }];
}

function warnAboutRetry(route: Route, origin: Origin, at: string): Complaint[] {
  if (route.retry === false) return [];
  const { attempts, perTryMs } = route.retry ?? FORWARD_DEFAULTS.retry;
  const totalMs = route.timeouts?.totalMs ?? origin.totalMs;
  const firstByteMs = route.timeouts?.firstByteMs ?? origin.firstByteMs;
  const warnings: Complaint[] = [];
  if (totalMs !== 0 && attempts * perTryMs > totalMs) {
    const says = `${attempts} attempts of ${perTryMs} ms do not fit into the total of ${totalMs} ms; the last ones are cut short`;
    warnings.push({ path: `${at}.retry.perTryMs`, says });
  }
  if (perTryMs >= firstByteMs) {
    warnings.push({
      path: `${at}.retry.perTryMs`,
      says: `has no effect: firstByteMs (${firstByteMs}) ends the attempt before`,
    });
  }
  return warnings;
}

function warnAboutEscalations(route: Route, at: string): Complaint[] {
  return (route.escalate ?? []).flatMap(({ on }, index) =>
    on.flatMap((word, place) => {
      const why = NEVER_ESCALATED.get(word);
      if (why === undefined) return [];
      return [{ path: `${at}.escalate[${index}].on[${place}]`, says: `"${word}" never escalates: ${why}` }];
    }),
  );
}

function warnAboutAnswers(route: Route, at: string): Complaint[] {
  const taken = new Set<string>();
  return (route.answers ?? []).flatMap((answer, index) => {
    const faults =
      answer.on === undefined ? NAMED_FAULTS.map((fault) => fault.token) : compileOutcomes(answer.on).faults;
    const hidden = faults.length > 0 && faults.every((fault) => taken.has(fault));
    for (const fault of faults) taken.add(fault);
    return hidden
      ? [{ path: `${at}.answers[${index}]`, says: "is never given: those before it take all its failures" }]
      : [];
  });
}
