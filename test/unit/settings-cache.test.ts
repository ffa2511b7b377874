/**
 * Promises of the cache's settings: what is written compiles to what the core reads, what contradicts itself or would mix
 * two targets up is refused by its path, and what has no effect is warned about.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkSettings } from "../../src/config/check.js";
import { compilePlan, encodePlan } from "../../src/config/plan.js";
import type { PlanCachePolicy } from "../../src/config/plan-cache-types.js";
import type { Plan } from "../../src/config/plan-types.js";
import type { SettingsInput } from "../../src/config/settings.js";
import { loadNative } from "../../src/native.js";
import { describeComplaint } from "../../src/shared/errors.js";

const ORIGINS = { api: { targets: "127.0.0.1:9000" }, other: { targets: "127.0.0.1:9001" } };

/** The plan for two workers, which the core must take. */
function planOf(input: object): Plan {
  const checked = checkSettings({ origins: { api: ORIGINS.api }, ...input });
  assert.ok(checked.ok, JSON.stringify(checked));
  const plan = compilePlan(checked.settings, { workers: 2, addresses: new Map() });
  loadNative().checkPlan(encodePlan(plan));
  return plan;
}

function policyOf(cache: unknown): PlanCachePolicy | undefined {
  return planOf({ routes: [{ forwardTo: "api", cache }] }).routes[0]?.cache;
}

/** A document whose one route says this of the cache; a second one keeps the other origin in use. */
function withCache(cache: unknown, more: object = {}): object {
  return {
    origins: ORIGINS,
    routes: [{ match: { path: "/a/*" }, forwardTo: "api", cache }, { forwardTo: "other" }],
    ...more,
  };
}

function complaintsAbout(document: unknown): readonly string[] {
  const checked = checkSettings(document);
  return checked.ok ? [] : checked.complaints.map(describeComplaint);
}

function warningsAbout(document: unknown): readonly string[] {
  return checkSettings(document).warnings.map(describeComplaint);
}

const about = (cache: unknown, more: object = {}) => complaintsAbout(withCache(cache, more));
const warned = (cache: unknown, more: object = {}) => warningsAbout(withCache(cache, more));

/** What RFC 9111 asks of a shared cache that was told nothing more. */
const RFC_CACHE = {
  key: {
    space: "",
    scheme: true,
    host: true,
    query: { kind: "all" },
    sortQuery: false,
    foldPathCase: false,
    fields: [],
    cookies: [],
  },
  ttl: [],
  heuristic: { percent: 10, longestS: 86_400 },
  grace: { whileRevalidateS: 0, ifErrorS: 0, despiteSMaxage: false },
  authorization: "rfc",
  cookies: { kind: "ignore" },
  setCookie: "explicit",
  bypass: [],
  objectBytes: 0,
  clientDirectives: "honour",
  targets: ["CDN-Cache-Control"],
  surrogateControl: false,
  noVarySearch: false,
  groups: true,
  tagFields: ["Cache-Tag", "Surrogate-Key"],
  partial: "store",
  cacheStatus: true,
  cacheStatusKey: false,
  xCache: false,
  coalesce: { waitMs: 5000, fillPercent: 50, fillBytes: 1_048_576 },
};

describe("the plan of the cache", () => {
  it("has no policy for a route that does not say cache: caching is off unless it is asked for", () => {
    for (const cache of [undefined, false]) assert.equal(policyOf(cache), undefined);
    assert.equal(planOf({}).routes[0]?.cache, undefined);
    assert.deepEqual(planOf({}).cache, { memoryBytes: 128 * 1024 * 1024, shards: 64, store: false });
  });

  it("of cache: true, and of an empty object, is what RFC 9111 asks of a shared cache", () => {
    assert.deepEqual(policyOf(true), RFC_CACHE);
    assert.deepEqual(policyOf({}), RFC_CACHE);
  });

  it("carries the parts of the key", () => {
    const keyOf = (key: object) => policyOf({ key })?.key;
    assert.deepEqual(keyOf({ query: "none" })?.query, { kind: "none" });
    assert.deepEqual(keyOf({ query: { only: ["q", "page*"] } })?.query, { kind: "only", names: ["q", "page*"] });
    assert.deepEqual(keyOf({ query: { except: ["utm_*"] } })?.query, { kind: "except", names: ["utm_*"] });
    const more = { space: "shop", scheme: false, host: false, sortQuery: true, foldPathCase: true };
    assert.deepEqual(keyOf({ ...more, headers: ["X-Country"], cookies: ["lang"] }), {
      ...RFC_CACHE.key,
      ...more,
      fields: ["x-country"],
      cookies: ["lang"],
    });
  });

  it("carries rules of lifetime in their order, with statuses and paths in the notations of routes", () => {
    const rule = { statuses: [], path: { kind: "any" }, forceS: null, floorS: null, capS: null, defaultS: null };
    const ttl = [
      { statuses: [404, "5xx"], defaultS: 5 },
      { path: "/img/*", forceS: 3600, overrides: true },
      { floorS: 1, capS: 60 },
    ];
    assert.deepEqual(policyOf({ ttl })?.ttl, [
      {
        ...rule,
        statuses: [
          { from: 404, to: 404 },
          { from: 500, to: 599 },
        ],
        defaultS: 5,
        overrides: false,
      },
      { ...rule, path: { kind: "prefix", value: "/img" }, forceS: 3600, overrides: true },
      { ...rule, floorS: 1, capS: 60, overrides: false },
    ]);
  });

  it("carries cookies, conditions of bypass, grace and the heuristic", () => {
    assert.deepEqual(policyOf({ cookies: { bypassOn: ["sid"] } })?.cookies, { kind: "bypassOn", names: ["sid"] });
    assert.deepEqual(policyOf({ cookies: { bypassExcept: [] } })?.cookies, { kind: "bypassExcept", names: [] });
    const bypass = [
      { header: "X-Debug" },
      { header: "X-A", value: "b" },
      { cookie: "c" },
      { query: "d*" },
      { path: "/e" },
    ];
    assert.deepEqual(policyOf({ bypass })?.bypass, [
      { kind: "field", name: "X-Debug", value: null },
      { kind: "field", name: "X-A", value: "b" },
      { kind: "cookie", name: "c" },
      { kind: "query", name: "d*" },
      { kind: "path", path: { kind: "exact", value: "/e" } },
    ]);
    assert.deepEqual(policyOf({ heuristic: false })?.heuristic, { percent: 0, longestS: 0 });
    assert.deepEqual(policyOf({ heuristic: { percent: 20 } })?.heuristic, { percent: 20, longestS: 86_400 });
    const grace = { whileRevalidateS: 30, ifErrorS: 600, despiteSMaxage: true };
    assert.deepEqual(policyOf({ grace })?.grace, grace);
  });

  it("carries every switch and word, and sizes beyond 32 bits", () => {
    const switches = {
      authorization: "bypass",
      setCookie: "strip",
      objectBytes: 8_000_000_000,
      clientDirectives: "ignore",
      targets: ["Edge-Control", "CDN-Cache-Control"],
      surrogateControl: true,
      noVarySearch: true,
      groups: false,
      tagFields: ["xkey"],
      partial: "fill",
      cacheStatus: true,
      cacheStatusKey: true,
      xCache: true,
    };
    const coalesce = { waitMs: 0, backgroundFillPercent: 0, backgroundFillBytes: 5_000_000_000 };
    assert.deepEqual(policyOf({ ...switches, coalesce }), {
      ...RFC_CACHE,
      ...switches,
      coalesce: { waitMs: 0, fillPercent: 0, fillBytes: 5_000_000_000 },
    });
    const { cache } = planOf({
      routes: [{ forwardTo: "api", cache: true }],
      cache: { memoryBytes: 8_000_000_000, shards: 1 },
    });
    assert.deepEqual(cache, { memoryBytes: 8_000_000_000, shards: 1, store: false });
    assert.equal(planOf({ cache: { store: { folder: "/var/cache/millrace" } } }).cache.store, true);
  });

  it("takes a preset as a beginning, and what is written beside it wins", () => {
    assert.deepEqual(policyOf({ preset: "resilient" })?.grace, {
      whileRevalidateS: 60,
      ifErrorS: 86_400,
      despiteSMaxage: false,
    });
    const assets = policyOf({ preset: "assets", partial: "pass" });
    assert.equal(assets?.partial, "pass");
    assert.equal(assets?.setCookie, "strip");
    assert.equal(policyOf({ preset: "micro" })?.ttl[0]?.defaultS, 1);
  });
});

describe("settings of the cache", () => {
  it("name unknown words and keys with what was probably meant", () => {
    assert.deepEqual(about({ kee: {} }), ['routes[0].cache.kee: is not a setting; did you mean "key"?']);
    assert.deepEqual(about({ key: { quer: "all" } }), [
      'routes[0].cache.key.quer: is not a setting; did you mean "query"?',
    ]);
    assert.deepEqual(about({ ttl: [{ forcS: 1 }] }).slice(0, 1), [
      'routes[0].cache.ttl[0].forcS: is not a setting; did you mean "forceS"?',
    ]);
    assert.match(
      about({ key: { query: "some" } })[0] ?? "",
      /^routes\[0\]\.cache\.key\.query: must be "all", "none", \{ only/,
    );
    assert.match(
      about({ cookies: "drop" })[0] ?? "",
      /^routes\[0\]\.cache\.cookies: must be "ignore", \{ bypassExcept/,
    );
    assert.match(about({ authorization: "none" })[0] ?? "", /^routes\[0\]\.cache\.authorization: .*"rfc"/);
    assert.match(about({ preset: "mikro" })[0] ?? "", /^routes\[0\]\.cache\.preset: .*"micro"/);
    assert.match(about("yes")[0] ?? "", /^routes\[0\]\.cache: /);
  });

  it("belong to routes that forward", () => {
    const routes = [{ match: { path: "/a" }, redirect: { to: "/b" }, cache: true }, { forwardTo: "api" }];
    assert.deepEqual(complaintsAbout({ origins: { api: ORIGINS.api }, routes }), [
      "routes[0].cache: has a meaning beside forwardTo only",
    ]);
  });

  it("refuse rules of lifetime that contradict themselves or say nothing", () => {
    const rule = (one: object) => about({ ttl: [one] });
    const force = "has no meaning beside forceS, which says exactly how long; leave one out";
    assert.deepEqual(rule({ forceS: 1, defaultS: 2 }), [`routes[0].cache.ttl[0].defaultS: ${force}`]);
    assert.deepEqual(rule({ forceS: 1, capS: 2 }), [`routes[0].cache.ttl[0].capS: ${force}`]);
    assert.deepEqual(rule({ floorS: 9, capS: 2 }), ["routes[0].cache.ttl[0].floorS: must be at most capS (2)"]);
    assert.deepEqual(rule({ defaultS: 9, capS: 2 }), ["routes[0].cache.ttl[0].defaultS: must be at most capS (2)"]);
    assert.deepEqual(rule({ defaultS: 1, floorS: 2 }), [
      "routes[0].cache.ttl[0].defaultS: must be at least floorS (2)",
    ]);
    assert.deepEqual(rule({ statuses: [404] }), [
      "routes[0].cache.ttl[0]: needs one of forceS, floorS, capS, defaultS or overrides",
    ]);
    assert.match(
      rule({ statuses: ["6xx"], forceS: 1 })[0] ?? "",
      /^routes\[0\]\.cache\.ttl\[0\]\.statuses\[0\]: "6xx" is not/,
    );
    assert.match(rule({ forceS: 1.5 })[0] ?? "", /forceS: must be a whole number, 0 to \d+ s$/);
  });

  it("refuse conditions of bypass that name nothing, two things, or a value of nothing", () => {
    const bypass = (one: object) => about({ bypass: [one] });
    assert.deepEqual(bypass({}), ["routes[0].cache.bypass[0]: needs one of header, cookie, query or path"]);
    assert.match(
      bypass({ header: "a", cookie: "b" })[0] ?? "",
      /bypass\[0\]: has header and cookie; only one may be there/,
    );
    assert.deepEqual(bypass({ cookie: "a", value: "b" }), [
      "routes[0].cache.bypass[0].value: has a meaning beside header only",
    ]);
  });

  it("refuse names that no key, target or tag can have", () => {
    assert.deepEqual(about({ key: { headers: ["Host"] } }), [
      'routes[0].cache.key.headers[0]: "Host" is part of the key by key.host',
    ]);
    assert.match(
      about({ key: { headers: ["Range"] } })[0] ?? "",
      /"Range" cannot be part of a key: the cache answers it/,
    );
    assert.match(
      about({ key: { headers: ["TE"] } })[0] ?? "",
      /"TE" cannot be part of a key; the proxy itself decides it/,
    );
    assert.match(about({ key: { query: { only: ["a*b"] } } })[0] ?? "", /"a\*b" is not the name of a query parameter/);
    assert.match(about({ key: { space: "a|b" } })[0] ?? "", /key\.space: "a\|b" must be at most 64 letters/);
    assert.match(
      about({ targets: ["Cache-Control"] })[0] ?? "",
      /targets\[0\]: "Cache-Control" is read where no target speaks/,
    );
    assert.match(about({ targets: ["surrogate-control"] })[0] ?? "", /is read by surrogateControl: true/);
    assert.match(about({ tagFields: ["a b"] })[0] ?? "", /tagFields\[0\]: "a b" is not a header name/);
  });

  it("refuse sizes that do not fit into each other, and shards that are no power of two", () => {
    const store = { folder: "/var/cache/millrace", bytes: 16 * 1024 * 1024, queueBytes: 1024 * 1024 };
    assert.deepEqual(about(true, { cache: { store } }), []);
    assert.deepEqual(about(true, { cache: { store: { ...store, queueBytes: 2 ** 30 } } }), [
      "cache.store.queueBytes: must be at most cache.store.bytes (16777216)",
    ]);
    assert.deepEqual(about({ objectBytes: 2 ** 30 }, { cache: { store } }), [
      "routes[0].cache.objectBytes: must be at most cache.store.bytes (16777216)",
    ]);
    assert.deepEqual(about(true, { cache: { shards: 3 } }), ["cache.shards: must be a power of two, 1 to 1024"]);
    assert.deepEqual(about(true, { cache: { store: { folder: "here" } } }), [
      'cache.store.folder: "here" must be an absolute path',
    ]);
    assert.deepEqual(about(true, { cache: { store: {} } }).length, 1);
  });

  it("refuse routes that would answer with what is stored for each other", () => {
    const mixed = (first: object, second: object) =>
      complaintsAbout({
        origins: ORIGINS,
        routes: [
          { forwardTo: "api", ...first },
          { forwardTo: "other", ...second },
        ],
      });
    const says =
      "routes[1].cache.key.space: is that of routes[0] too, which forwards some requests with the same key in another way; give one of them a space of its own";
    const byHeader = { match: { header: { "X-Beta": "1" } }, cache: true };
    assert.deepEqual(mixed(byHeader, { cache: true }), [says]);
    assert.deepEqual(mixed(byHeader, { cache: { key: { space: "plain" } } }), []);
    assert.deepEqual(mixed(byHeader, {}), []);
    const keyed = { key: { headers: ["x-beta"] } };
    assert.deepEqual(mixed({ ...byHeader, cache: keyed }, { cache: keyed }), []);
    assert.deepEqual(
      mixed({ ...byHeader, match: { ...byHeader.match, path: "/a" } }, { match: { path: "/b" }, cache: true }),
      [],
    );
    const byHost = (cache: unknown) => ({ match: { host: "a.example" }, cache });
    assert.deepEqual(mixed(byHost(true), { match: { host: "b.example" }, cache: true }), []);
    const hostless = { key: { host: false } };
    assert.deepEqual(mixed(byHost(hostless), { match: { host: "b.example" }, cache: hostless }), [says]);
    const schemeless = { key: { scheme: false } };
    const byScheme = (cache: unknown) => ({ match: { scheme: "https" }, cache });
    assert.deepEqual(mixed(byScheme(true), { cache: true }), []);
    assert.deepEqual(mixed(byScheme(schemeless), { cache: schemeless }), [says]);
    const same = {
      origins: { api: ORIGINS.api },
      routes: [
        { forwardTo: "api", ...byHeader },
        { forwardTo: "api", cache: true },
      ],
    };
    assert.deepEqual(complaintsAbout(same), []);
  });

  it("are warned about where they have no effect", () => {
    assert.deepEqual(warned(undefined, { cache: { shards: 8 } }), ["cache: has no effect: no route says cache"]);
    assert.deepEqual(warned(true, { cache: { shards: 8 } }), []);
    assert.deepEqual(warned({ objectBytes: 2 ** 30 }), [
      "routes[0].cache.objectBytes: is more than cache.memoryBytes (134217728) can hold, and there is no cache.store",
    ]);
    assert.deepEqual(warned({ cacheStatus: false, cacheStatusKey: true }), [
      "routes[0].cache.cacheStatusKey: has no effect: cacheStatus is false",
    ]);
    assert.deepEqual(warned({ key: { query: "none", sortQuery: true }, noVarySearch: true }), [
      'routes[0].cache.key.sortQuery: has no effect: key.query is "none"',
      'routes[0].cache.noVarySearch: has no effect: key.query is "none"',
    ]);
    assert.deepEqual(warned({ key: { cookies: ["sid"] }, cookies: { bypassOn: ["sid"] } }), [
      "routes[0].cache.key.cookies[0]: has no effect: a request with this cookie goes to the origin",
    ]);
    const rules = [
      { statuses: ["4xx"], capS: 1 },
      { statuses: [404], capS: 2 },
      { statuses: [304], capS: 3 },
    ];
    assert.deepEqual(warned({ ttl: [...rules, { path: "/b/c", capS: 4 }] }), [
      "routes[0].cache.ttl[1]: is never used: ttl[0] takes all of it before",
      "routes[0].cache.ttl[2].statuses[0]: 304 is never stored, so it has no lifetime",
      "routes[0].cache.ttl[3].path: has no effect: the route takes none of these paths",
    ]);
  });

  it("can be written in TypeScript as they are documented", () => {
    const settings: SettingsInput = {
      origins: { api: { targets: "127.0.0.1:9000" } },
      routes: [{ forwardTo: "api", cache: { preset: "assets", ttl: [{ statuses: ["404"], defaultS: 5 }] } }],
      cache: { memoryBytes: 268_435_456, store: { folder: "/var/cache/millrace" } },
    };
    assert.ok(checkSettings(settings).ok);
  });
});
