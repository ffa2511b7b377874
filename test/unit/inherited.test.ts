/**
 * Promises of sockets a process is started with: each goes to whom it is for, once; what is for nobody is closed; what was
 * meant for another process is not touched; and the environment says none of it to children.
 */
import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync } from "node:fs";
import { describe, it } from "node:test";
import type { ListenAddress } from "../../src/config/addresses.js";
import { Inherited, type InheritedSocket, written } from "../../src/control/inherited.js";

const MAIN = { name: "main", address: "0.0.0.0", port: 8080 };
const TLS = { name: "tls", address: "0.0.0.0", port: 8443 };

function activated(fd: number, name: string): InheritedSocket {
  return { kind: "activated", fd, name };
}

/** Where descriptors listen in these tests; all others are no sockets. */
function placed(places: Readonly<Record<number, ListenAddress>>) {
  return (fd: number): ListenAddress => {
    const place = places[fd];
    if (place === undefined) throw new Error("no socket");
    return place;
  };
}

const NOWHERE = placed({});

function fdsOf(sockets: readonly (InheritedSocket | null)[]): readonly (number | null)[] {
  return sockets.map((socket) => socket?.fd ?? null);
}

describe("what the environment says of sockets", () => {
  it("is read as sd_listen_fds(3) has it, and then forgotten", () => {
    const environment = { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "tls:main", OTHER: "stays" };
    const inherited = Inherited.take(environment, 7);
    assert.deepEqual(environment, { OTHER: "stays" });
    assert.equal(inherited.from, null);
    assert.deepEqual(fdsOf(inherited.forListeners([MAIN, TLS], NOWHERE)), [4, 3]);
  });

  it("is nothing to us where another process was meant", () => {
    for (const listenPid of [undefined, "8", ""]) {
      const environment = { LISTEN_FDS: "1", ...(listenPid === undefined ? {} : { LISTEN_PID: listenPid }) };
      const inherited = Inherited.take(environment, 7);
      assert.deepEqual(fdsOf(inherited.forListeners([MAIN], placed({ 3: MAIN }))), [null]);
      assert.deepEqual(inherited.closeRest(), []);
    }
  });

  it("says who handed over, in an upgrade", () => {
    const sockets = [{ kind: "listener", fd: 5, written: written(MAIN) }];
    const environment = { MILLRACE_UPGRADE: JSON.stringify({ from: 12, sockets }) };
    const inherited = Inherited.take(environment, 7);
    assert.equal(inherited.from, 12);
    assert.deepEqual(fdsOf(inherited.forListeners([MAIN], NOWHERE)), [5]);
    assert.deepEqual(environment, {});
  });

  it("that cannot be read stops the start with a sentence", () => {
    assert.throws(() => Inherited.take({ MILLRACE_UPGRADE: "{" }, 7), /MILLRACE_UPGRADE of the environment/);
  });
});

describe("a socket goes", () => {
  it("to the listener of its name, else to the one of its address; a name is never overruled by an address", () => {
    const inherited = new Inherited(null, [activated(3, "millrace.socket"), activated(4, "main")]);
    const places = placed({ 3: { address: "::", port: 8443 }, 4: { address: "127.0.0.1", port: 80 } });
    assert.deepEqual(fdsOf(inherited.forListeners([MAIN, TLS], places)), [4, 3]);
  });

  it("to nobody whose port it has not, and every address of one family is not one address of it", () => {
    const inherited = new Inherited(null, [activated(3, "x"), activated(4, "y")]);
    const places = placed({ 3: { address: "0.0.0.0", port: 8081 }, 4: { address: "::", port: 8080 } });
    assert.deepEqual(fdsOf(inherited.forListeners([{ ...MAIN, address: "127.0.0.1" }], places)), [null]);
  });

  it("of the process before us, to the listener whose address is written as its own was, and to one of them each", () => {
    const any = { address: "127.0.0.1", port: 0 };
    const inherited = new Inherited(1, [
      { kind: "listener", fd: 3, written: written(any) },
      { kind: "admin", fd: 4, written: written(any) },
      { kind: "listener", fd: 5, written: written(any) },
    ]);
    const listeners = [1, 2, 3].map((number) => ({ name: `listener-${number}`, ...any }));
    assert.deepEqual(fdsOf(inherited.forListeners(listeners, NOWHERE)), [3, 5, null]);
    assert.equal(inherited.forAdmin(any, NOWHERE)?.fd, 4);
  });

  it("named admin to the admin API, also where that is a socket of the file system", () => {
    assert.equal(new Inherited(null, [activated(3, "admin")]).forAdmin(null, NOWHERE)?.fd, 3);
    const other = new Inherited(null, [activated(3, "main")]);
    assert.equal(other.forAdmin(null, NOWHERE), null);
    assert.equal(other.forAdmin({ address: "127.0.0.1", port: 9901 }, placed({ 3: MAIN })), null);
  });

  it("that is for nobody is closed and named, and one that was never open is no failure", () => {
    const fd = openSync("/dev/null", "r");
    const never = openSync("/dev/null", "r");
    closeSync(never);
    const inherited = new Inherited(null, [activated(fd, "stray"), activated(never, "gone")]);
    assert.deepEqual(
      inherited.closeRest().map((socket) => socket.kind === "activated" && socket.name),
      ["stray", "gone"],
    );
    assert.throws(() => fstatSync(fd), /EBADF/);
    assert.deepEqual(inherited.closeRest(), []);
  });
});
