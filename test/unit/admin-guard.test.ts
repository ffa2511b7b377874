/**
 * Promises of who may ask the admin API: on every call there is, a wrong token, Host, Origin, method or body is refused
 * with a 4xx problem and moves nothing; and where it listens.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { BODY_BYTES_MAX } from "../../src/admin/body.js";
import { MORE_ROUTES } from "../../src/admin/openapi.js";
import { PAGE_PATHS } from "../../src/admin/page.js";
import { METHODS, type Method, ROUTES } from "../../src/admin/routes.js";
import { type Admin, startAdmin } from "../../src/admin/server.js";
import { ANYWHERE, type Asked, adminSource, askAt } from "../support/admin.js";

const TOKEN = "s3cret-s3cret-s3cret";
const BEARER = { Authorization: `Bearer ${TOKEN}` };
const JSON_TYPE = { "Content-Type": "application/json" };
const folder = mkdtempSync(join(tmpdir(), "millrace-admin-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What makes each call that takes a body succeed. */
const GOOD_BODIES: Readonly<Record<string, object>> = {
  "POST /explain": { url: "http://a.example/" },
  "PUT /log-level": { level: "debug" },
  "POST /cache/purge": { tag: "news" },
};

/** What each call that needs a query is asked with. */
const QUERIES: Readonly<Record<string, string>> = {
  "GET /explain": "?url=http://a.example/",
  "GET /live": "?samples=1",
  "GET /cache/entry": "?url=http://a.example/",
};

interface Call {
  readonly title: string;
  readonly method: Method;
  readonly path: string;
  readonly asked: Asked;
}

/** Every call of the admin API, as it succeeds. */
const CALLS: readonly Call[] = [...ROUTES, ...MORE_ROUTES].flatMap(({ path: pattern, operations }) =>
  METHODS.filter((method) => operations[method] !== undefined).map((method) => {
    const title = `${method} ${pattern}`;
    const body = GOOD_BODIES[title];
    const path = pattern.replace("{origin}", "app").replace("{target}", "a:80").replace("{worker}", "0");
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { ...BEARER, ...(body === undefined ? {} : JSON_TYPE) };
    return {
      title,
      method,
      path: `${path}${QUERIES[title] ?? ""}`,
      asked: { method, headers, ...sent },
    };
  }),
);

/** A way to ask wrongly: what is other about the call, and the status that must come of it. */
interface Wrong {
  readonly title: string;
  readonly status: number;
  readonly change: (call: Call, port: number) => Asked & { readonly path?: string };
  /** Calls that this is not wrong for. */
  readonly except?: (call: Call) => boolean;
}

function withHeaders({ asked }: Call, headers: Asked["headers"]): Asked {
  return { ...asked, headers: { ...asked.headers, ...headers } };
}

const isOpen = ({ path }: Call) => ["/livez", "/readyz", ...PAGE_PATHS].includes(path);

const WRONGS: readonly Wrong[] = [
  ...[
    "Bearer wrong-wrong-wrong-wrong",
    "Bearer",
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    "Bearer x y",
    TOKEN,
  ].map(
    (value): Wrong => ({
      title: `Authorization: ${value}`,
      status: 401,
      change: (call) => withHeaders(call, { Authorization: value }),
    }),
  ),
  {
    title: "two tokens",
    status: 401,
    change: (call) => withHeaders(call, { Authorization: [BEARER.Authorization, "Bearer another-another-another"] }),
  },
  {
    title: "no token",
    status: 401,
    change: ({ asked: { headers, ...rest } }) => {
      const { Authorization: _, ...others } = { Authorization: "", ...headers };
      return { ...rest, headers: others };
    },
    except: isOpen,
  },
  ...["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "0.0.0.0", "[::]", "a@localhost"].map(
    (host): Wrong => ({ title: `Host: ${host}`, status: 421, change: (call) => withHeaders(call, { Host: host }) }),
  ),
  ...[
    "http://evil.example",
    "null",
    "https://localhost.evil.example",
    "http://127.0.0.1:1",
    "file://",
    "127.0.0.1",
  ].map(
    (origin): Wrong => ({
      title: `Origin: ${origin}`,
      status: 403,
      change: (call) => withHeaders(call, { Origin: origin }),
    }),
  ),
  {
    title: "Sec-Fetch-Site: cross-site",
    status: 403,
    change: (call) => withHeaders(call, { "Sec-Fetch-Site": "cross-site" }),
  },
  ...["DELETE", "PATCH", "OPTIONS", "TRACE"].map(
    (method): Wrong => ({
      title: method,
      status: 405,
      change: ({ asked }) => ({ headers: { ...BEARER, ...asked.headers }, method }),
    }),
  ),
  {
    title: "a body that is too long",
    status: 413,
    change: (call) => ({ ...withHeaders(call, JSON_TYPE), body: " ".repeat(BODY_BYTES_MAX + 1) }),
  },
  {
    title: "a body that is no JSON, or where none is taken",
    status: 400,
    change: (call) => ({ ...withHeaders(call, JSON_TYPE), body: "{" }),
  },
  {
    title: "a body of another type",
    status: 415,
    change: (call) => ({ ...withHeaders(call, { "Content-Type": "text/plain" }), body: "{}" }),
    except: ({ title }) => GOOD_BODIES[title] === undefined,
  },
  {
    title: "another path",
    status: 404,
    change: (call) => ({ ...call.asked, path: `${call.path.split("?")[0]}/more` }),
  },
];

describe("the admin API with a token", () => {
  let admin: Admin;
  const moved: string[] = [];
  before(async () => {
    admin = await startAdmin({ ...ANYWHERE, token: TOKEN }, adminSource(moved));
  });
  after(() => admin.close());

  it("answers every call that is asked rightly", async () => {
    moved.length = 0;
    for (const { title, path, asked } of CALLS) assert.equal((await askAt(admin.port, path, asked)).status, 200, title);
    assert.deepEqual(moved, [
      "drain app a:80",
      "undrain app a:80",
      "upgrade",
      'purge {"tag":"news"}',
      "reload",
      "log debug",
      "profile 0 5000",
    ]);
  });

  for (const { title, status, change, except } of WRONGS) {
    it(`refuses every call with ${title === "" ? "nothing" : title}: ${status}, and nothing is moved`, async () => {
      moved.length = 0;
      for (const call of CALLS) {
        if (except?.(call) === true) continue;
        const { path = call.path, ...asked } = change(call, admin.port);
        const answer = await askAt(admin.port, path, asked);
        assert.equal(answer.status, status, call.title);
        assert.equal(answer.headers["content-type"], "application/problem+json", call.title);
        const problem = JSON.parse(answer.text) as { readonly status: number; readonly detail: string };
        assert.equal(problem.status, status);
        assert.ok(!answer.text.includes(TOKEN), "a refusal tells no secret");
        if (status === 401) assert.equal(answer.headers["www-authenticate"], 'Bearer realm="millrace"');
        if (status === 405) assert.ok(String(answer.headers["allow"]).includes(call.method), call.title);
      }
      assert.deepEqual(moved, []);
    });
  }

  it("answers probes that have no token, and nobody else", async () => {
    assert.equal((await askAt(admin.port, "/livez")).status, 200);
    assert.equal((await askAt(admin.port, "/readyz")).status, 200);
    assert.equal((await askAt(admin.port, "/nothing")).status, 401, "what there is is nobody's to find out");
  });
});

describe("the admin API", () => {
  it("answers names of this machine and those configured, and pages that came from there", async (t) => {
    const admin = await startAdmin({ ...ANYWHERE, hosts: ["edge.internal"] }, adminSource());
    t.after(() => admin.close());
    for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9", "edge.internal", "Edge.Internal:80"]) {
      assert.equal((await askAt(admin.port, "/livez", { headers: { Host: host } })).status, 200, host);
      const page = { method: "POST", headers: { Host: host, Origin: `http://${host}` } };
      assert.equal((await askAt(admin.port, "/targets/app/a:80/drain", page)).status, 200, host);
    }
  });

  it("takes its token from a file, and the new one when the file has another; a broken file changes nothing", async (t) => {
    const file = join(folder, "token");
    writeFileSync(file, `${TOKEN}\n`);
    const admin = await startAdmin({ ...ANYWHERE, token: { file } }, adminSource());
    t.after(() => admin.close());
    const ask = async (token: string) =>
      (await askAt(admin.port, "/status", { headers: { Authorization: `Bearer ${token}` } })).status;
    assert.deepEqual([await ask(TOKEN), await ask("fresh-fresh-fresh-fresh")], [200, 401]);
    writeFileSync(file, "fresh-fresh-fresh-fresh");
    assert.deepEqual([await ask(TOKEN), await ask("fresh-fresh-fresh-fresh")], [401, 200]);
    for (const broken of ["", "short", "two words here and more"]) {
      writeFileSync(file, broken);
      assert.deepEqual([await ask(broken === "" ? "x" : broken), await ask("fresh-fresh-fresh-fresh")], [401, 200]);
    }
    rmSync(file);
    assert.equal(await ask("fresh-fresh-fresh-fresh"), 200);
  });

  it("lets nobody in while a token is asked for and none could ever be read", async (t) => {
    const admin = await startAdmin({ ...ANYWHERE, token: { file: join(folder, "never") } }, adminSource());
    t.after(() => admin.close());
    assert.equal((await askAt(admin.port, "/status", { headers: BEARER })).status, 401);
    assert.equal((await askAt(admin.port, "/status")).status, 401);
  });
});

describe("the admin API on a socket file", () => {
  const place = (name: string) => ({ kind: "unix", path: join(folder, name) }) as const;

  it("is there for its owner alone, under any Host, and gone when it stops", async () => {
    const here = place("a.sock");
    const admin = await startAdmin({ ...ANYWHERE, place: here }, adminSource());
    assert.deepEqual([admin.address, admin.port], [`unix:${here.path}`, 0]);
    assert.equal(statSync(here.path).mode & 0o777, 0o600);
    assert.equal((await askAt(here.path, "/livez", { headers: { Host: "admin" } })).status, 200);
    assert.equal((await askAt(here.path, "/livez", { headers: { Host: "localhost" } })).status, 200);
    await admin.close();
    assert.throws(() => statSync(here.path), { code: "ENOENT" });
  });

  it("takes the place of one that a killed process left, not that of a living one or of another file", async (t) => {
    const here = place("b.sock");
    const left = createServer();
    await new Promise<void>((resolve) => left.listen(here.path, resolve));
    const inUse = { code: "MILLRACE_LISTEN", message: /b\.sock: another program listens on it/ };
    await assert.rejects(startAdmin({ ...ANYWHERE, place: here }, adminSource()), inUse);
    await new Promise((resolve) => left.close(resolve));
    // Node takes the file away where it closes in order; a killed process does not.
    await leaveSocket(here.path);
    const admin = await startAdmin({ ...ANYWHERE, place: here }, adminSource());
    t.after(() => admin.close());
    assert.equal((await askAt(here.path, "/livez", { headers: { Host: "x" } })).status, 200);
    const file = place("c.sock");
    writeFileSync(file.path, "mine");
    await assert.rejects(startAdmin({ ...ANYWHERE, place: file }, adminSource()), {
      code: "MILLRACE_LISTEN",
      message: /no socket/,
    });
  });
});

/** A socket file without a listener, as a killed process leaves it. */
async function leaveSocket(path: string): Promise<void> {
  const { spawn } = await import("node:child_process");
  const says = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  const child = spawn(process.execPath, ["-e", says], { stdio: "ignore" });
  await new Promise((resolve) => child.once("close", resolve));
  assert.ok(statSync(path).isSocket());
}
