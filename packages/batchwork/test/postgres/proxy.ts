/** Stands between the processes and the server, and is as bad as a network can be. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** What a connection is cut at. */
export interface Cut {
  /** Sent by a client, in a statement. */
  readonly word: string;
  /** Whether the server hears of it; if it does, its answer is what gets lost. */
  readonly forward: boolean;
}

/** How the server ends its answer: ReadyForQuery, whatever the state of the transaction. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5]);
const READY_BYTES = READY.length + 1;

/** Frozen connections that the server may keep; it has not room for all of them. */
const FROZEN_MAX = 30;

export class Proxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #frozen: Link[] = [];
  #cut: { readonly cut: Cut; readonly done: () => void } | undefined;

  private constructor(server: Server, port: number) {
    this.#server = server;
    server.on("connection", (client) => {
      const link: Link = new Link(client, connect({ port, host: "127.0.0.1" }), {
        sent: (data) => this.#sent(link, data),
        closed: () => void this.#links.delete(link),
      });
      this.#links.add(link);
    });
  }

  /** Listens on a port of its own, and passes everything on to a server of this machine. */
  static async open(port: number): Promise<Proxy> {
    const server = createServer().listen(0, "127.0.0.1");
    const proxy = new Proxy(server, port);
    await once(server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Cuts the next connection on which `word` is sent. Resolves when it has. */
  async cutNext(cut: Cut): Promise<void> {
    return new Promise((resolve) => {
      this.#cut = { cut, done: resolve };
    });
  }

  /** Takes `cutNext` back. */
  disarm(): void {
    this.#cut = undefined;
  }

  /** Stops forwarding on these connections, in both directions, without closing them. */
  freeze(which: () => boolean): number {
    const links = [...this.#links].filter(which);
    for (const link of links) {
      this.#links.delete(link);
      this.#frozen.push(link);
      link.freeze();
    }
    for (const link of this.#frozen.splice(0, this.#frozen.length - FROZEN_MAX)) link.destroy();
    return links.length;
  }

  async close(): Promise<void> {
    for (const link of [...this.#links, ...this.#frozen]) link.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #sent(link: Link, data: Buffer): void {
    const armed = this.#cut;
    if (armed === undefined || !data.includes(armed.cut.word)) return;
    this.#cut = undefined;
    link.doom(armed.cut.forward, armed.done);
  }
}

interface LinkEvents {
  /** Called with what a client sends, before it is passed on. */
  readonly sent: (data: Buffer) => void;
  readonly closed: () => void;
}

/** A connection through the proxy. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  #state: "open" | "doomed" | "frozen" = "open";
  #cut: (() => void) | undefined;
  /** The end of the answer so far: what is looked for may come in two parts. */
  #tail = Buffer.alloc(0);

  constructor(client: Socket, server: Socket, { sent, closed }: LinkEvents) {
    this.#client = client;
    this.#server = server;
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on("data", (data) => {
      sent(data);
      if (this.#state !== "frozen") server.write(data);
    });
    server.on("data", (data) => this.#answered(data));
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on("error", () => undefined);
      one.on("close", () => {
        closed();
        // Half-open: the other side never hears of it.
        if (this.#state === "frozen") return;
        other.destroy();
        this.#cut?.();
      });
    }
  }

  /** Ends the connection: at once, or when the server has answered what is being sent. */
  doom(forward: boolean, done: () => void): void {
    this.#state = "doomed";
    this.#cut = done;
    if (!forward) this.destroy();
  }

  freeze(): void {
    this.#state = "frozen";
    this.#client.pause();
    this.#server.pause();
  }

  destroy(): void {
    this.#client.destroy();
    this.#server.destroy();
  }

  #answered(data: Buffer): void {
    if (this.#state === "open") this.#client.write(data);
    if (this.#state !== "doomed") return;
    this.#tail = Buffer.concat([this.#tail, data]).subarray(-READY_BYTES);
    if (this.#tail.subarray(0, READY.length).equals(READY)) this.destroy();
  }
}
