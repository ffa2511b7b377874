/**
 * Settings of a route: what it matches, and the one thing it does: forward, answer or redirect. By which policies it
 * forwards is in settings-policies.ts.
 */
import { z } from "zod";
import { judgeHostPattern } from "./addresses.js";
import { isToken } from "./fields.js";
import { oneOrMore, text } from "./leaves.js";
import { judgePath } from "./paths.js";
import { answerContent, editedName, fieldValue } from "./settings-fields.js";
import { forwardPolicies } from "./settings-policies.js";

const matchSchema = z.strictObject({
  host: oneOrMore(text("A host name, or *.example.org for every name below it.", judgeHostPattern))
    .optional()
    .describe("Names, without port; any of them. Absent = any."),
  path: text(
    "/a = exactly this; /a/* = /a and everything below; /a/** = what begins with /a/; * elsewhere = characters of one segment, ** = any. Absent = any.",
    judgePath,
  ).optional(),
  scheme: z
    .enum(["http", "https"])
    .optional()
    .describe(
      '"https" = only what came over TLS, to this proxy or to a trusted one that says so (X-Forwarded-Proto); "http" = only what did not. Absent = both.',
    ),
  method: oneOrMore(
    text("A method.", (value) =>
      isToken(value) && value === value.toUpperCase() ? null : `"${value}" is not a method (methods are upper case)`,
    ),
  )
    .optional()
    .describe("Methods; any of them. Absent = any."),
  header: z
    .record(
      text("The name of a header field.", (name) => (isToken(name) ? null : `"${name}" is not a header name`)),
      z.union([z.literal(true), fieldValue]),
    )
    .optional()
    .describe("Header fields that must all match: a value, or true = the field must be there, whatever it says."),
});

const fieldEditsSchema = z.strictObject({
  set: z.record(editedName, fieldValue).optional().describe("Replace every field of this name by one."),
  add: z
    .record(editedName, oneOrMore(fieldValue))
    .optional()
    .describe("Add one field (or several) beside what is there."),
  remove: z.array(editedName).optional().describe("Remove every field of these names. Done before set and add."),
});

const rewriteSchema = z.strictObject({
  prefix: text(
    "Replaces the prefix that the route's path (/a/*) matched; the rest and the query stay.",
    judgeFixedPath,
  ).optional(),
  path: text("Replaces the whole path; the query stays.", judgeFixedPath).optional(),
});

const answerSchema = z.strictObject({
  status: z.int().min(200).max(599).default(200).describe("Status of the answer."),
  ...answerContent,
});

const redirectSchema = z.strictObject({
  status: z
    .union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)], {
      error: "must be 301, 302, 303, 307 or 308",
    })
    .default(308)
    .describe("Status of the redirect."),
  to: text(
    "Where to; {host} (with its port), {name} (without) and {path} (with its query) stand for the request's own.",
    judgeLocation,
  ).optional(),
  scheme: z
    .literal("https", { error: 'must be "https"' })
    .optional()
    .describe(
      '"https" = to the same name and path over TLS, in place of to; only for requests that did not come over it.',
    ),
  port: z
    .int({ error: "must be a whole number, 1 to 65535" })
    .min(1, { error: "must be 1 to 65535" })
    .max(65_535, { error: "must be 1 to 65535" })
    .optional()
    .meta({ description: "Port beside scheme, where it is another.", default: 443 }),
});

/** One route, as the operator writes it. Exactly one of forwardTo, answer and redirect is there (check.ts). */
export const routeSchema = z.strictObject({
  name: z.string().min(1).max(64).optional().describe("Name in logs; else route-1, route-2 …"),
  match: matchSchema.optional().describe("What the route takes; all conditions must hold. Absent = everything."),
  forwardTo: z.string().optional().describe("Name of the origin that answers."),
  rewrite: rewriteSchema.optional().describe("How the path is changed before it is forwarded."),
  requestHeaders: fieldEditsSchema.optional().describe("Edits of the request's header fields."),
  responseHeaders: fieldEditsSchema.optional().describe("Edits of the answer's header fields."),
  ...forwardPolicies,
  answer: answerSchema.optional().describe("Answer at once with this."),
  redirect: redirectSchema.optional().describe("Answer at once with a redirect."),
});

/** What a route says of the scheme. A redirect to TLS takes what did not come over it: all else would go in a circle. */
export function schemeOf(route: {
  readonly match?: { readonly scheme?: Scheme } | undefined;
  readonly redirect?: { readonly scheme?: "https" | undefined } | undefined;
}): Scheme {
  return route.redirect?.scheme === undefined ? route.match?.scheme : "http";
}

type Scheme = "http" | "https" | undefined;

function judgeFixedPath(path: string): string | null {
  return path.includes("*") ? `"${path}" must not have a "*"` : judgePath(path);
}

function judgeLocation(location: string): string | null {
  if (location === "") return "must not be empty";
  if (!/^[\x21-\x7e]*$/.test(location)) return "must be visible ASCII without spaces";
  const unknown = location.match(/\{[^}]*\}?/g)?.find((word) => !["{host}", "{name}", "{path}"].includes(word));
  return unknown === undefined ? null : `"${unknown}" is not known; only {host}, {name} and {path} are`;
}
