/**
 * Promises of certificates of a running proxy: files that change are taken, whole and together; what is broken changes
 * nothing and is said once; an end is said in time. The clock is the test's; the files and their watchers are real where
 * the test is about them.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { checkSettings } from "../../src/config/check.js";
import { expiriesOf } from "../../src/control/certificate-report.js";
import { Certificates, LOOK_MS, NOTICE_MS, SETTLE_MS } from "../../src/control/certificates.js";
import { watchFiles } from "../../src/control/folder-watch.js";
import { MillraceError } from "../../src/shared/errors.js";
import type { Log } from "../../src/shared/log.js";
import { daysFromNow, type Issued, makeAuthority } from "../support/certificates.js";
import { FakeClock } from "../support/fake-clock.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-reload-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = makeAuthority("a root");
const names = ["www.example.org"];
let scenes = 0;

/** A listener with one certificate and one rule for clients, their files in a folder of their own. */
class Scene {
  readonly clock = new FakeClock();
  readonly folder: string;
  readonly said: string[] = [];
  readonly certificates: Certificates;
  /** Plans installed: the certificate of each. */
  readonly installed: string[] = [];
  todayMs = Date.now();
  isRefusing = false;
  #event: () => void = () => {};

  constructor(first: Issued) {
    scenes += 1;
    this.folder = join(folder, String(scenes));
    mkdirSync(this.folder);
    this.write(first);
    root.writeTo(this.folder, "ca");
    const tls = {
      certificates: [{ cert: "www.pem", key: "www.key" }],
      clientCertificates: [{ ca: "ca.pem" }],
    };
    const listeners = [{ address: ":0", tls }];
    const checked = checkSettings({ listeners, origins: { app: { targets: "http://127.0.0.1:1" } } }, this.folder);
    assert.ok(checked.ok, JSON.stringify(checked));
    const say = (level: string) => (facts: Readonly<Record<string, unknown>>, message: string) => {
      this.said.push(`${level}: ${message}${typeof facts["says"] === "string" ? ` (${facts["says"]})` : ""}`);
    };
    this.certificates = new Certificates({
      settings: checked.settings,
      log: { info: say("info"), warn: say("warn"), error: say("error") } as unknown as Log,
      handleChange: () => {
        if (!this.isRefusing) this.installed.push(this.chain);
        return !this.isRefusing;
      },
      clock: this.clock,
      todayMs: () => this.todayMs,
      watchFiles: (_, handleEvent) => {
        this.#event = handleEvent;
        return { refresh: () => {}, close: () => {} };
      },
    });
    this.certificates.load();
    this.certificates.watch();
  }

  get chain(): string {
    return [...this.certificates.material.pairs.values()][0]?.chain ?? "";
  }

  write(issued: Issued): void {
    issued.writeTo(this.folder, "www");
  }

  /** Something happened in the folder, and the time passes in which it is looked at. */
  notice(): void {
    this.#event();
    this.clock.advance(NOTICE_MS);
  }

  /** What was said since the last call. */
  takeSaid(): readonly string[] {
    return this.said.splice(0).map((line) => line.replaceAll(`${this.folder}/`, ""));
  }
}

const issue = (days = 90) => root.issue({ names, notAfter: daysFromNow(days) });
const BROKEN = "warn: a certificate file is broken; what it held before stays in use";

describe("a certificate that is renewed", () => {
  it("is taken when its files change, once for several events, and events without a change do nothing", () => {
    const [first, second] = [issue(), issue()];
    const scene = new Scene(first);
    scene.notice();
    assert.deepEqual([scene.installed, scene.takeSaid()], [[], []]);
    scene.write(second);
    scene.notice();
    scene.notice();
    assert.deepEqual(scene.installed, [second.cert]);
    assert.deepEqual(scene.takeSaid(), ["info: certificates were reloaded"]);
  });

  it("is taken though no watcher tells, and at once when asked", () => {
    const [first, second, third] = [issue(), issue(), issue()];
    const scene = new Scene(first);
    scene.write(second);
    scene.clock.advance(LOOK_MS);
    scene.write(third);
    scene.certificates.reload();
    assert.deepEqual(scene.installed, [second.cert, third.cert]);
  });

  it("is taken when its key follows later, and nobody complains meanwhile", () => {
    const [first, second] = [issue(), issue()];
    const scene = new Scene(first);
    writeFileSync(join(scene.folder, "www.pem"), second.cert);
    scene.notice();
    assert.equal(scene.chain, first.cert);
    scene.clock.advance(SETTLE_MS / 2);
    scene.notice();
    writeFileSync(join(scene.folder, "www.key"), second.key);
    scene.notice();
    assert.deepEqual(scene.installed, [second.cert]);
    scene.clock.advance(SETTLE_MS * 2);
    assert.deepEqual(scene.takeSaid(), ["info: certificates were reloaded"]);
  });

  it("that is broken or half written changes nothing, is said once with file and reason, and is taken when it is good", () => {
    const [first, second] = [issue(), issue()];
    const scene = new Scene(first);
    writeFileSync(join(scene.folder, "www.pem"), second.cert.slice(0, 300));
    scene.notice();
    assert.deepEqual(scene.takeSaid(), []);
    scene.clock.advance(SETTLE_MS);
    const says = `${BROKEN} (www.pem: a PEM block in it does not end, or is not well formed)`;
    assert.deepEqual(scene.takeSaid(), [says]);
    scene.notice();
    scene.clock.advance(LOOK_MS * 3);
    assert.deepEqual(scene.takeSaid(), []);
    const [served] = scene.certificates.report().listeners[0]?.certificates ?? [];
    assert.match(served?.trouble ?? "", /www\.pem: a PEM block in it does not end/);
    assert.deepEqual([scene.installed, scene.chain], [[], first.cert]);

    scene.write(second);
    scene.notice();
    assert.deepEqual(scene.installed, [second.cert]);
    assert.deepEqual(scene.takeSaid(), ["info: a certificate file is good again", "info: certificates were reloaded"]);
    assert.equal(scene.certificates.report().listeners[0]?.certificates[0]?.trouble, null);
  });

  it("that is gone or of another key is told when asked to reload, each time", () => {
    const scene = new Scene(issue());
    rmSync(join(scene.folder, "www.key"));
    for (let n = 0; n < 2; n++) {
      scene.certificates.reload();
      assert.deepEqual(scene.takeSaid(), [`${BROKEN} (www.key: there is no such file)`]);
    }
    writeFileSync(join(scene.folder, "www.key"), issue().key);
    scene.certificates.reload();
    const says = "www.key: does not belong to the certificate in www.pem (CN=www.example.org)";
    assert.deepEqual(scene.takeSaid(), [`${BROKEN} (${says})`]);
    assert.deepEqual(scene.installed, []);
  });

  it("that the core refuses is not in use, and the next one is", () => {
    const [first, second, third] = [issue(), issue(), issue()];
    const scene = new Scene(first);
    scene.isRefusing = true;
    scene.write(second);
    scene.notice();
    assert.equal(scene.chain, first.cert);
    scene.isRefusing = false;
    scene.write(third);
    scene.notice();
    assert.deepEqual(scene.installed, [third.cert]);
  });

  it("leaves the others as they are: a broken list of authorities does not hold up a certificate", () => {
    const [first, second] = [issue(), issue()];
    const scene = new Scene(first);
    writeFileSync(join(scene.folder, "ca.pem"), "");
    scene.write(second);
    scene.notice();
    assert.deepEqual(scene.installed, [second.cert]);
    assert.equal([...scene.certificates.material.authorities.values()][0]?.pem, root.cert);
    scene.clock.advance(SETTLE_MS);
    assert.deepEqual(scene.takeSaid(), [
      "info: certificates were reloaded",
      `${BROKEN} (ca.pem: holds no certificate)`,
    ]);
  });

  it("is not looked for any more when the proxy has stopped", () => {
    const scene = new Scene(issue());
    scene.certificates.close();
    assert.equal(scene.clock.armed, 0);
  });
});

describe("a start", () => {
  it("fails with every complaint when files have become wrong since the settings were checked", () => {
    const scene = new Scene(issue());
    rmSync(join(scene.folder, "www.pem"));
    writeFileSync(join(scene.folder, "ca.pem"), "");
    assert.throws(
      () => scene.certificates.load(),
      (thrown) =>
        thrown instanceof MillraceError && thrown.code === "MILLRACE_SETTINGS" && thrown.complaints.length === 2,
    );
  });
});

describe("the end of a certificate", () => {
  it("is said at 30, 7 and 1 days and when it has come, once each, and the days are in the books", () => {
    const scene = new Scene(issue(40));
    const days = () => expiriesOf(scene.certificates.report()).map((one) => one.daysLeft);
    const pass = (count: number) => {
      scene.todayMs += count * 86_400_000;
      scene.clock.advance(LOOK_MS * 3);
      return scene.takeSaid();
    };
    assert.deepEqual([days(), scene.takeSaid()], [[39], []]);
    assert.deepEqual(pass(9), []);
    assert.deepEqual(pass(1), ["warn: a certificate expires within 30 days"]);
    assert.deepEqual(pass(22), []);
    assert.deepEqual(pass(1), ["warn: a certificate expires within 7 days"]);
    assert.deepEqual(pass(6), ["warn: a certificate expires within a day"]);
    assert.deepEqual(days(), [0]);
    assert.deepEqual(pass(1), ["error: a certificate has expired"]);
    assert.deepEqual(days(), [-1]);
    scene.write(issue(400));
    scene.notice();
    assert.deepEqual(pass(1), ["info: certificates were reloaded"]);
  });

  it("is that of the first of its chain to go", () => {
    const between = root.makeIntermediate("one between", { notAfter: daysFromNow(3) });
    const scene = new Scene(between.issue({ names }));
    assert.deepEqual(scene.takeSaid(), ["warn: a certificate expires within 7 days"]);
  });
});

/** Each of the ways in which programs put a new certificate in place. */
const WAYS: readonly {
  readonly name: string;
  readonly begin: (at: string) => void;
  readonly swap: (at: string) => void;
}[] = [
  {
    name: "written over",
    begin: (at) => writeFileSync(join(at, "www.pem"), "old"),
    swap: (at) => writeFileSync(join(at, "www.pem"), "new"),
  },
  {
    name: "replaced by another file of its name",
    begin: (at) => writeFileSync(join(at, "www.pem"), "old"),
    swap: (at) => {
      writeFileSync(join(at, "next"), "new");
      renameSync(join(at, "next"), join(at, "www.pem"));
    },
  },
  {
    name: "a link into a folder that is exchanged (Kubernetes)",
    begin: (at) => {
      mkdirSync(join(at, "v1"));
      writeFileSync(join(at, "v1", "www.pem"), "old");
      symlinkSync("v1", join(at, "..data"));
      symlinkSync("..data/www.pem", join(at, "www.pem"));
    },
    swap: (at) => {
      mkdirSync(join(at, "v2"));
      writeFileSync(join(at, "v2", "www.pem"), "new");
      symlinkSync("v2", join(at, "..next"));
      renameSync(join(at, "..next"), join(at, "..data"));
    },
  },
  {
    name: "a link whose file lies elsewhere and is written over (certbot's archive)",
    begin: (at) => {
      mkdirSync(join(at, "live"));
      mkdirSync(join(at, "archive"));
      writeFileSync(join(at, "archive", "www.pem"), "old");
      symlinkSync("../archive/www.pem", join(at, "live", "www.pem"));
    },
    swap: (at) => writeFileSync(join(at, "archive", "www.pem"), "new"),
  },
];

describe("a watched file", () => {
  for (const { name, begin, swap } of WAYS) {
    it(`is noticed when it is ${name}`, async () => {
      const at = mkdtempSync(join(folder, "watch-"));
      begin(at);
      let events = 0;
      const file = name.includes("certbot") ? join(at, "live", "www.pem") : join(at, "www.pem");
      const watching = watchFiles([file], () => {
        events += 1;
      });
      try {
        swap(at);
        for (let waitedMs = 0; events === 0 && waitedMs < 5000; waitedMs += 10) await sleep(10);
        assert.ok(events > 0);
      } finally {
        watching.close();
      }
    });
  }

  it("may be in a folder that is not there, or that another takes the place of", async () => {
    const at = mkdtempSync(join(folder, "watch-"));
    let events = 0;
    const watching = watchFiles([join(at, "certs", "www.pem")], () => {
      events += 1;
    });
    try {
      mkdirSync(join(at, "certs"));
      watching.refresh();
      renameSync(join(at, "certs"), join(at, "before"));
      mkdirSync(join(at, "certs"));
      watching.refresh();
      await sleep(50);
      events = 0;
      writeFileSync(join(at, "certs", "www.pem"), "new");
      for (let waitedMs = 0; events === 0 && waitedMs < 5000; waitedMs += 10) await sleep(10);
      assert.ok(events > 0);
    } finally {
      watching.close();
    }
  });
});
