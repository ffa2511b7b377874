/** gRPC as people run it (@grpc/grpc-js), without protobuf: messages are bytes. A server with one method of each kind. */
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type Client as GrpcClient,
  Metadata,
  type MetadataValue,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { WireError } from "./wire.js";

const same = (bytes: Buffer): Buffer => bytes;

function method(path: string, requestStream: boolean, responseStream: boolean) {
  const serializing = { requestSerialize: same, responseSerialize: same };
  const deserializing = { requestDeserialize: same, responseDeserialize: same };
  return { path: `/test.Echo/${path}`, requestStream, responseStream, ...serializing, ...deserializing };
}

export const ECHO: ServiceDefinition = {
  unary: method("Unary", false, false),
  collect: method("Collect", true, false),
  spread: method("Spread", false, true),
  chat: method("Chat", true, true),
};

/** The generated-looking client; its methods are found by name at run time. */
export interface EchoClient extends GrpcClient {
  unary(
    message: Buffer,
    metadata: Metadata,
    options: { deadline?: number },
    done: (error: ServiceError | null, answer?: Buffer) => void,
  ): ClientUnaryCall;
  collect(done: (error: ServiceError | null, answer?: Buffer) => void): ClientWritableStream<Buffer>;
  spread(message: Buffer): ClientReadableStream<Buffer>;
  chat(): ClientDuplexStream<Buffer, Buffer>;
}

export const EchoClient = makeGenericClientConstructor(ECHO, "Echo") as unknown as new (
  ...args: ConstructorParameters<typeof GrpcClient>
) => EchoClient;

/** What a unary call gets: the answer, and the trailing metadata. */
export function callUnary(
  client: EchoClient,
  message: Buffer,
  { metadata = new Metadata(), deadlineMs = 20_000 }: { metadata?: Metadata; deadlineMs?: number } = {},
): Promise<{ readonly answer: Buffer; readonly trailing: Readonly<Record<string, MetadataValue>> }> {
  return new Promise((resolve, reject) => {
    let answered: Buffer | undefined;
    const options = { deadline: Date.now() + deadlineMs };
    const call = client.unary(message, metadata, options, (error, answer) => {
      if (error !== null) reject(error);
      answered = answer;
    });
    call.once("status", ({ code, metadata: trailing }) => {
      // The call's own word comes first or last, as it likes.
      setImmediate(() => {
        if (code === status.OK && answered !== undefined) resolve({ answer: answered, trailing: trailing.getMap() });
      });
    });
  });
}

/** A server: what it was asked, and how many calls were left by their clients. */
export class EchoServer {
  readonly port: number;
  readonly #server: Server;
  cancelled = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(credentials = ServerCredentials.createInsecure()): Promise<EchoServer> {
    const server = new Server();
    let echo: EchoServer | undefined;
    const left = (): void => {
      if (echo !== undefined) echo.cancelled += 1;
    };
    server.addService(ECHO, { unary: unaryWith(left), collect, spread: spreadWith(left), chat });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
    );
    echo = new EchoServer(server, port);
    return echo;
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

/** Echoes; `fail:CODE:words` fails so, `wait:MS` takes so long. */
function unaryWith(left: () => void) {
  return (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
    let over = false;
    const done: sendUnaryData<Buffer> = (...told) => {
      over = true;
      answer(...told);
    };
    // The library says so of calls that were answered, too.
    call.once("cancelled", () => over || left());
    const text = call.request.subarray(0, 64).toString("latin1");
    const [, code, details = ""] = /^fail:(\d+):(.*)$/s.exec(text) ?? [];
    const trailing = new Metadata();
    trailing.set("x-trailing", "behind");
    trailing.set("x-seen", call.metadata.get("x-asked").join());
    const waits = Number(/^wait:(\d+)$/.exec(text)?.[1] ?? 0);
    if (code !== undefined) done({ code: Number(code), details, metadata: trailing });
    else setTimeout(() => done(null, call.request, trailing), waits);
  };
}

/** Answers how many messages and bytes came. */
function collect(call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
  let [count, bytes] = [0, 0];
  call.on("data", (message: Buffer) => {
    count += 1;
    bytes += message.length;
  });
  call.once("end", () => done(null, Buffer.from(`${count} ${bytes}`)));
}

/** Sends as many messages as it is told; without end for 0. */
function spreadWith(left: () => void) {
  return (call: ServerWritableStream<Buffer, Buffer>): void => {
    const count = Number(call.request.toString());
    let sent = 0;
    call.once("cancelled", () => (count > 0 && sent === count) || left());
    const more = (): void => {
      while (!call.cancelled && (count === 0 || sent < count)) {
        sent += 1;
        if (!call.write(Buffer.from(`message ${sent} ${"x".repeat(1_000)}`))) {
          call.once("drain", more);
          return;
        }
      }
      if (!call.cancelled) call.end();
    };
    more();
  };
}

/** Answers each message as it comes. */
function chat(call: ServerDuplexStream<Buffer, Buffer>): void {
  call.on("data", (message: Buffer) => call.write(Buffer.concat([Buffer.from("re: "), message])));
  call.on("end", () => call.end());
  call.on("error", () => undefined);
}

/** The code a call fails with. */
export async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  const failed = await call.then(
    () => undefined,
    (error: ServiceError) => error,
  );
  if (failed === undefined) throw new WireError("the call did not fail");
  return failed;
}
