/**
 * The OpenAPI 3.1 document of the admin API, made from its routes: served as /openapi.json, kept as docs/openapi.json.
 */
import { ok, type ProblemStatus } from "./answers.js";
import { PAGE_ROUTES } from "./page.js";
import { METHODS, type Operation, ROUTES, type Route } from "./routes.js";
import { SCHEMAS, type Schema, type SchemaName } from "./schemas.js";

/** What every call may meet before it is looked at, by names of their own in the document. */
const COMMON = {
  NoRequest: [400, "A path, query or body that is none, or a body where none is taken."],
  NoToken: [401, "A token is set, and this call came without it."],
  OtherSite: [403, "It was asked on behalf of a page of another site."],
  TooLong: [413, "The body is too long."],
  OtherHost: [421, "The Host is no name of the admin API."],
} as const satisfies Readonly<Record<string, readonly [ProblemStatus, string]>>;

/** What calls that take a body may meet besides. */
const WITH_BODY = {
  OtherType: [415, "The body is not application/json."],
} as const satisfies Readonly<Record<string, readonly [ProblemStatus, string]>>;

/** The route of the document itself. */
export const DOCUMENT_ROUTE: Route = {
  path: "/openapi.json",
  operations: {
    GET: {
      says: "This document.",
      handle: () => ok(openapiDocument()),
      answer: { says: "OpenAPI 3.1.", types: ["application/json"], schema: null },
      problems: {},
    },
  },
};

/** What there is beside the calls of routes.ts. */
export const MORE_ROUTES: readonly Route[] = [...PAGE_ROUTES, DOCUMENT_ROUTE];

/** Every path with every method and everything it may answer. */
export function openapiDocument(): Schema {
  const routes = [...ROUTES, ...MORE_ROUTES];
  return {
    openapi: "3.1.0",
    info: {
      title: "Admin API of Millrace",
      // The version of the API, which is not that of the package: it changes when a caller must change.
      version: "1.0.0",
      description:
        "On loopback or a socket file. Everything that is refused is a problem document (RFC 9457). HEAD is answered wherever GET is.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "http://127.0.0.1:9901" }],
    security: [{ token: [] }, {}],
    paths: Object.fromEntries(routes.map((route) => [route.path, pathItem(route)])),
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: SCHEMAS,
      responses: Object.fromEntries(
        Object.entries({ ...COMMON, ...WITH_BODY }).map(([name, [, says]]) => [name, problemOf(says)]),
      ),
    },
  };
}

function pathItem({ path, operations }: Route): Schema {
  const places = [...path.matchAll(/\{(\w+)\}/g)].map((found) => ({
    name: found[1],
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const methods = METHODS.flatMap((method) => {
    const operation = operations[method];
    return operation === undefined ? [] : [[method.toLowerCase(), describe(`${method} ${path}`, operation)] as const];
  });
  return { ...(places.length === 0 ? {} : { parameters: places }), ...Object.fromEntries(methods) };
}

function describe(title: string, { says, query = [], body, answer, problems }: Operation): Schema {
  const parameters = query.map((one) => ({ name: one.name, in: "query", description: one.says, schema: one.schema }));
  const shared = Object.entries({ ...COMMON, ...(body === undefined ? {} : WITH_BODY) });
  return {
    operationId: operationId(title),
    summary: says,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: contentOf(["application/json"], body) } }),
    responses: {
      200: { description: answer.says, content: contentOf(answer.types, answer.schema) },
      ...Object.fromEntries(shared.map(([name, [status]]) => [status, { $ref: `#/components/responses/${name}` }])),
      ...Object.fromEntries(Object.entries(problems).map(([status, says]) => [status, problemOf(says)])),
    },
  };
}

function problemOf(description: string): Schema {
  return { description, content: contentOf(["application/problem+json"], "Problem") };
}

/** `GET /workers/{worker}/profile` → `getWorkersWorkerProfile`. */
function operationId(title: string): string {
  const [method = "", ...words] = title.split(/\W+/).filter((word) => word !== "");
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

function contentOf(types: readonly string[], schema: SchemaName | null): Schema {
  const media = schema === null ? {} : { schema: { $ref: `#/components/schemas/${schema}` } };
  return Object.fromEntries(types.map((type) => [type, media]));
}
