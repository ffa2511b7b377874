/**
 * The files for containers keep their word: the image is built from what is there and runs a command there is; the manifests
 * parse without duplicates, their settings are accepted, their probes get the answers they are for, and a pod has the
 * time that its drain takes.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments } from "yaml";
import { declareProgram } from "../../src/cli/program.js";
import { checkSettings } from "../../src/config/check.js";
import type { Settings } from "../../src/config/settings.js";
import { createMillrace, type SettingsInput } from "../../src/index.js";
import { pause } from "../support/wire.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "millrace-containers-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Probe {
  readonly httpGet: {
    readonly path: string;
    readonly port: string;
    readonly httpHeaders: readonly { readonly name: string; readonly value: string }[];
  };
}

interface Container {
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly startupProbe: Probe;
  readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
}

/** As much of a manifest as is looked at here. */
interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly ports: readonly { readonly targetPort: string }[];
    readonly template: {
      readonly spec: { readonly terminationGracePeriodSeconds: number; readonly containers: readonly [Container] };
    };
  };
}

const text = readFileSync(join(ROOT, "examples/kubernetes/millrace.yaml"), "utf8");
const documents = parseAllDocuments(text, { uniqueKeys: true, merge: false });
const manifests = documents.map((document) => document.toJS() as Manifest);

function manifest(kind: string): Manifest {
  const found = manifests.find((one) => one.kind === kind);
  assert.ok(found !== undefined, `there is no ${kind}`);
  return found;
}

const pod = manifest("Deployment").spec.template.spec;
const [container] = pod.containers;
/** The settings, with the token where a pod would find it. */
const settingsText = manifest("ConfigMap").data?.["millrace.config.yaml"] ?? "";
const written = parse(settingsText.replace("/run/secrets/millrace", folder)) as SettingsInput;
writeFileSync(join(folder, "token"), "0123456789abcdef0123456789abcdef\n");

/** Asks as kubelet does: from another host's point of view, with the fields of the probe. */
function probe({ httpGet }: Probe, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = Object.fromEntries(httpGet.httpHeaders.map(({ name, value }) => [name, value]));
    const asking = request({ host: "127.0.0.1", port, path: httpGet.path, headers, agent: false }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
    });
    asking.on("error", reject).end();
  });
}

describe("the manifests for Kubernetes", () => {
  it("parse without errors, warnings, duplicate keys or merges that other readers refuse", () => {
    for (const { errors, warnings } of documents) assert.deepEqual([...errors, ...warnings], []);
    assert.doesNotMatch(text, /<<:|: [&*]\w/);
    assert.deepEqual(
      manifests.map(({ kind }) => kind),
      ["ConfigMap", "Service", "PodDisruptionBudget", "Deployment"],
    );
  });

  it("have settings that are accepted, and ports that are those of the container", () => {
    const settings = checked(written);
    const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]));
    assert.deepEqual(settings.listeners, [`:${ports.get("http")}`]);
    assert.equal(settings.admin === false ? null : settings.admin.address, `:${ports.get("admin")}`);
    for (const { targetPort } of manifest("Service").spec.ports) assert.ok(ports.has(targetPort), targetPort);
    for (const one of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
      assert.ok(ports.has(one.httpGet.port), one.httpGet.port);
    }
  });

  it("give a pod the time for its sleep, its drain and its end", () => {
    const { deadlineMs } = checked(written).shutdown;
    const needed = container.lifecycle.preStop.sleep.seconds + deadlineMs / 1000 + 5;
    assert.ok(pod.terminationGracePeriodSeconds >= needed, `${needed} s are needed`);
  });

  it("have probes that a proxy with these settings answers, without its token, and differently while it drains", async () => {
    const { address: _, ...admin } = written.admin as { readonly address: string; readonly hosts: readonly string[] };
    const proxy = createMillrace({
      ...written,
      listeners: ["127.0.0.1:0"],
      workers: 1,
      admin: { ...admin, address: "0.0.0.0:0" },
      origins: { app: { targets: "http://127.0.0.1:1" } },
      log: { level: "silent" },
    });
    const { admin: place, listeners } = await proxy.start();
    const port = place?.port ?? 0;
    const { livenessProbe, readinessProbe, startupProbe } = container;
    for (const one of [livenessProbe, readinessProbe, startupProbe]) assert.equal(await probe(one, port), 200);
    const nameless = { ...readinessProbe, httpGet: { ...readinessProbe.httpGet, httpHeaders: [] } };
    assert.equal(await probe({ ...nameless, httpGet: { ...nameless.httpGet, path: "/stats" } }, port), 401);
    // A request that is on its way keeps the pod from leaving.
    const client = connect(listeners[0]?.port ?? 0, "127.0.0.1");
    client.write("GET / HTTP/1.1\r\n");
    while (proxy.stats().all.counters["client_bytes_received"] === 0) await pause(5);
    const stopping = proxy.stop({ deadlineMs: 5000 });
    assert.equal(await probe(livenessProbe, port), 200);
    assert.equal(await probe(readinessProbe, port), 503);
    client.destroy();
    await stopping;
  });
});

describe("the Dockerfile", () => {
  const file = readFileSync(join(ROOT, "examples/docker/Dockerfile"), "utf8");

  it("starts and asks by commands that there are, and runs as nobody in particular", () => {
    const commands = declareProgram().commands.map((command) => command.name());
    const run = JSON.parse(/^CMD (\[.*\])$/m.exec(file)?.[1] ?? "[]") as readonly string[];
    const asked = JSON.parse(/^HEALTHCHECK .*CMD (\[.*\])$/m.exec(file)?.[1] ?? "[]") as readonly string[];
    assert.ok(commands.includes(run[0] ?? ""));
    assert.ok(asked[0] === "millrace" && commands.includes(asked[1] ?? ""));
    assert.match(file, /^USER [1-9]\d*$/m);
    assert.match(file, /^STOPSIGNAL SIGTERM$/m);
  });

  it("uses scripts of the package and versions that it asks for", () => {
    const { scripts, engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      readonly scripts: Readonly<Record<string, string>>;
      readonly engines: { readonly node: string };
    };
    for (const [, name] of file.matchAll(/npm run ([\w:]+)/g)) assert.ok(scripts[name ?? ""] !== undefined, name);
    const floor = Number(/\d+/.exec(engines.node)?.[0]);
    for (const [, major] of file.matchAll(/^FROM node:(\d+)/gm)) assert.ok(Number(major) >= floor);
    assert.ok(existsSync(join(ROOT, "examples/docker/Dockerfile.dockerignore")));
  });
});

function checked(settings: unknown): Settings {
  const found = checkSettings(settings, folder);
  assert.ok(found.ok, JSON.stringify(found));
  return found.settings;
}
