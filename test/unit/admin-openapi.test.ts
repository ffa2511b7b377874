/**
 * Holds the OpenAPI document and the server to each other: every status that the document names is got from the server by
 * asking, with a body of the schema; nothing is got that the document does not name; other methods are 405.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { BODY_BYTES_MAX } from "../../src/admin/body.js";
import { openapiDocument } from "../../src/admin/openapi.js";
import type { AdminSource } from "../../src/admin/routes.js";
import { type Admin, startAdmin } from "../../src/admin/server.js";
import type { Reload } from "../../src/control/reload.js";
import { MillraceError } from "../../src/shared/errors.js";
import { ANYWHERE, type Asked, adminSource, askAt } from "../support/admin.js";
import { flawsOf, type JsonSchema } from "../support/json-schema.js";

interface Response {
  readonly content: Readonly<Record<string, { readonly schema?: JsonSchema }>>;
}

interface Operation {
  readonly operationId: string;
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, Response | { readonly $ref: string }>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly responses: Readonly<Record<string, Response>>;
  };
}

const DOCUMENT = openapiDocument() as unknown as Document;
const TOKEN = "s3cret-s3cret-s3cret";
const METHODS = ["get", "post", "put", "delete", "patch"] as const;
const OPERATIONS = Object.entries(DOCUMENT.paths).flatMap(([path, item]) =>
  METHODS.flatMap((method) => {
    const operation = item[method];
    return operation === undefined ? [] : [{ path, method, title: `${method} ${path}`, operation }];
  }),
);

const REFUSED: Reload = {
  result: "refused",
  generation: 1,
  complaints: [{ path: "workers", says: "changes with a restart only", line: 3 }],
  warnings: [],
};

let failure: Error | null = null;
let why: string | null = null;
let isRefused = false;
let admin: Admin;

/** Every part throws while there is a failure, but for the one that cannot. */
function failing(source: AdminSource): AdminSource {
  const wrapped = Object.entries(source).map(([name, act]) => [
    name,
    (...words: unknown[]) => {
      if (name === "whyNotReady") return why;
      if (name === "reload" && isRefused) return Promise.resolve(REFUSED);
      if (failure !== null) throw failure;
      return (act as (...all: unknown[]) => unknown)(...words);
    },
  ]);
  return Object.fromEntries(wrapped) as unknown as AdminSource;
}

before(async () => {
  admin = await startAdmin({ ...ANYWHERE, token: TOKEN }, failing(adminSource()));
});
after(() => admin.close());

const GOOD: Readonly<Record<string, { readonly path?: string; readonly body?: object }>> = {
  "get /live": { path: "/live?samples=1" },
  "get /explain": { path: "/explain?url=http://a.example/" },
  "post /explain": { body: { url: "http://a.example/" } },
  "put /log-level": { body: { level: "warn" } },
  "post /cache/purge": { body: { tag: "news" } },
  "get /cache/entry": { path: "/cache/entry?url=http://a.example/" },
};

/** How a status is brought about, where one way does for every call. */
const WAYS: Readonly<Record<string, (asked: Asked) => Asked>> = {
  200: (asked) => asked,
  400: (asked) => ({ ...asked, headers: { ...asked.headers, "Content-Type": "application/json" }, body: "{" }),
  401: (asked) => ({ ...asked, headers: { ...asked.headers, Authorization: "Bearer wrong" } }),
  403: (asked) => ({ ...asked, headers: { ...asked.headers, Origin: "http://evil.example" } }),
  413: (asked) => ({
    ...asked,
    headers: { ...asked.headers, "Content-Type": "application/json" },
    body: " ".repeat(BODY_BYTES_MAX + 1),
  }),
  415: (asked) => ({ ...asked, headers: { ...asked.headers, "Content-Type": "text/plain" }, body: "{}" }),
  421: (asked) => ({ ...asked, headers: { ...asked.headers, Host: "evil.example" } }),
};

/** Paths that are not found though the pattern fits. */
const NOT_FOUND: Readonly<Record<string, string>> = {
  "/targets/{origin}/{target}/drain": "/targets/other/a:80/drain",
  "/targets/{origin}/{target}/undrain": "/targets/other/a:80/undrain",
  "/workers/{worker}/profile": "/workers/7/profile",
};

async function bringAbout(status: string, path: string, method: string, title: string) {
  const { path: good = path, body } = GOOD[title] ?? {};
  const filled = good.replace("{origin}", "app").replace("{target}", "a:80").replace("{worker}", "0");
  const headers = {
    Authorization: `Bearer ${TOKEN}`,
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
  };
  const asked: Asked = {
    method: method.toUpperCase(),
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
  failure = null;
  why = null;
  try {
    if (status === "404") return await askAt(admin.port, NOT_FOUND[path] ?? "/", asked);
    if (status === "409") failure = new MillraceError("MILLRACE_STATE", "wrong time");
    if (status === "500") failure = new Error("broken");
    isRefused = status === "422";
    if (status === "503" && path === "/readyz") why = "draining";
    const place = status === "503" ? filled.replace("/0/", "/1/") : filled;
    return await askAt(admin.port, place, (WAYS[status] ?? WAYS["200"])?.(asked));
  } finally {
    failure = null;
    why = null;
    isRefused = false;
  }
}

/** What stands here, or where it is pointed to. */
function resolved(response: Response | { readonly $ref: string }): Response {
  if (!("$ref" in response)) return response;
  const found = DOCUMENT.components.responses[response.$ref.replace("#/components/responses/", "")];
  assert.ok(found !== undefined, response.$ref);
  return found;
}

describe("the OpenAPI document", () => {
  it("names only what the server answers: every path, method and status, with its type and its schema", async () => {
    let rows = 0;
    for (const { path, method, title, operation } of OPERATIONS) {
      for (const [status, response] of Object.entries(operation.responses)) {
        const { content } = resolved(response);
        const answer = await bringAbout(status, path, method, title);
        assert.equal(String(answer.status), status, `${title} ${status}: ${answer.text}`);
        const type = String(answer.headers["content-type"]);
        const media = content[type];
        assert.ok(media !== undefined, `${title} ${status} has the type ${type}`);
        if (media.schema !== undefined) {
          const flaws = flawsOf(JSON.parse(answer.text), media.schema, DOCUMENT.components.schemas);
          assert.deepEqual(flaws, [], `${title} ${status}`);
        }
        rows += 1;
      }
    }
    assert.ok(rows > 100, `${rows} rows`);
  });

  it("leaves out nothing that the server answers", async () => {
    // Whatever can be brought about at one call is tried at every one.
    const statuses = [...new Set(OPERATIONS.flatMap(({ operation }) => Object.keys(operation.responses)))];
    for (const { path, method, title, operation } of OPERATIONS) {
      for (const status of statuses.filter((one) => one !== "404" || NOT_FOUND[path] !== undefined)) {
        const answer = await bringAbout(status, path, method, title);
        assert.ok(operation.responses[answer.status] !== undefined, `${title} answers ${answer.status}`);
      }
    }
  });

  it("has every method of every path: the others are 405", async () => {
    for (const [path, item] of Object.entries(DOCUMENT.paths)) {
      const filled = path.replace("{origin}", "app").replace("{target}", "a:80").replace("{worker}", "0");
      for (const method of METHODS.filter((one) => item[one] === undefined)) {
        const headers = { Authorization: `Bearer ${TOKEN}` };
        const answer = await askAt(admin.port, filled, { method: method.toUpperCase(), headers });
        assert.equal(answer.status, 405, `${method} ${path}`);
        const allowed = METHODS.filter((one) => item[one] !== undefined).flatMap((one) =>
          one === "get" ? ["GET", "HEAD"] : [one.toUpperCase()],
        );
        assert.equal(answer.headers["allow"], allowed.join(", "), path);
      }
    }
  });

  it("has every path: the 404 of another one names the same", async () => {
    const { text } = await askAt(admin.port, "/nothing", { headers: { Authorization: `Bearer ${TOKEN}` } });
    for (const path of Object.keys(DOCUMENT.paths)) assert.ok(text.includes(path), path);
  });

  it("is served as it is", async () => {
    const { text } = await askAt(admin.port, "/openapi.json", { headers: { Authorization: `Bearer ${TOKEN}` } });
    assert.deepEqual(JSON.parse(text), DOCUMENT);
  });

  it("calls no two operations alike, refers to schemas it has, and names every place of a path", () => {
    assert.equal(new Set(OPERATIONS.map(({ operation }) => operation.operationId)).size, OPERATIONS.length);
    const text = JSON.stringify(DOCUMENT);
    const named = [...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map((found) => found[1] ?? "");
    assert.deepEqual([...new Set(named)].sort(), Object.keys(DOCUMENT.components.schemas).sort());
    for (const [path, item] of Object.entries(DOCUMENT.paths)) {
      const parameters = (item as unknown as { parameters?: readonly { name: string }[] }).parameters ?? [];
      assert.deepEqual(
        parameters.map(({ name }) => `{${name}}`),
        path.match(/\{\w+\}/g) ?? [],
        path,
      );
    }
  });
});
