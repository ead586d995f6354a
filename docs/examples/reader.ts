// Reads users as docs/format.md says: the head, then Redis, and on a miss one object of the store.
// Give it any client of Redis and of S3. JSON versions; a Parquet version needs a Parquet library.
import { crc32, gunzipSync } from "node:zlib";

/** Bytes by name, or null when nothing is there; anything else is thrown. */
export type Get = (name: Buffer) => Promise<Buffer | null>;
export type User = { [column: string]: unknown };

interface Head {
  kind: string; format_version: number; generation: number; version: string; partition: string;
  buckets: number; buckets_per_object: number; format: string; compression: string; key: string;
}

export class Reader {
  #sync: string; #redis: Get; #store: Get; #headMs: number;
  #head: Head | null = null;
  #freshUntil = 0;

  constructor(sync: string, redis: Get, store: Get, headMs = 1000) {
    [this.#sync, this.#redis, this.#store, this.#headMs] = [sync, redis, store, headMs];
  }

  /** Records by key, all of one version; null where that version has no such user. */
  async getMany(keys: string[]): Promise<Map<string, User | null>> {
    let head = await this.#current();
    for (;;) {
      try {
        return new Map(await Promise.all(keys.map(
          async (key) => [key, await this.#read(head, Buffer.from(key))] as const)));
      } catch (error) {
        if (!(error instanceof MissingObject)) throw error;
        const newer = await this.#learn(await this.#fromRedis(), await this.#fromStore());
        if (newer.version === head.version) throw error; // it was not retired: something is lost
        head = newer;
      }
    }
  }

  async #read(head: Head, key: Buffer): Promise<User | null> {
    const name = Buffer.concat([Buffer.from(`${this.#sync}:${head.version}:`), key]);
    const cached = await this.#redis(name).catch(() => null); // away, or not there: ask the store
    if (cached) return JSON.parse(cached.toString());
    const index = Math.floor((crc32(key) % head.buckets) / head.buckets_per_object);
    const file = `${index.toString(16).padStart(5, "0")}.jsonl${head.compression === "gzip" ? ".gz" : ""}`;
    const path = `${this.#sync}/dt=${head.partition}/${head.version}/${file}`;
    const body = await this.#store(Buffer.from(path));
    if (body === null) throw new MissingObject(path); // never "no such user"
    const lines = head.compression === "gzip" ? gunzipSync(body) : body;
    const records: User[] = lines.toString().split("\n").slice(0, -1).map((line) => JSON.parse(line));
    return records.find((record) => Buffer.from(String(record[head.key])).equals(key)) ?? null;
  }

  async #current(): Promise<Head> {
    if (this.#head && Date.now() < this.#freshUntil) return this.#head;
    const cached = await this.#fromRedis();
    return this.#learn(cached, cached ? null : await this.#fromStore());
  }

  /** The head of the largest generation seen so far: it never goes back. */
  #learn(...found: (Head | null)[]): Head {
    for (const head of found)
      if (head && head.generation >= (this.#head?.generation ?? 0)) this.#head = head;
    if (!this.#head) throw new Error(`sync '${this.#sync}' was never published`);
    this.#freshUntil = Date.now() + this.#headMs;
    return this.#head;
  }

  #fromRedis = () => this.#redis(Buffer.from(`${this.#sync}:head`)).catch(() => null).then(parseHead);
  #fromStore = () => this.#store(Buffer.from(`${this.#sync}/head.json`)).then(parseHead);
}

export class MissingObject extends Error {}

function parseHead(body: Buffer | null): Head | null {
  if (body === null) return null;
  const head: Head = JSON.parse(body.toString());
  if (head.kind !== "reverse_etl/head" || head.format_version !== 1 || head.format !== "json")
    throw new Error("not a head that this reader knows");
  return head;
}
