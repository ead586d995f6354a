// Answers questions with the example: a JSON line in, a JSON line out. `bytes` are Base64.
import { readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { Reader } from "../../docs/examples/reader.ts";

const [sync, port, root] = process.argv.slice(2);

function redisGet(name: Buffer): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    let heard = Buffer.alloc(0);
    const socket = createConnection(Number(port), "127.0.0.1", () =>
      socket.write(Buffer.concat([Buffer.from(`*2\r\n$3\r\nGET\r\n$${name.length}\r\n`), name, Buffer.from("\r\n")])));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
    socket.on("data", (chunk) => {
      heard = Buffer.concat([heard, chunk]);
      const end = heard.indexOf("\r\n");
      if (end < 0) return;
      const size = Number(heard.subarray(1, end));
      if (heard[0] !== "$".charCodeAt(0)) reject(new Error("an error reply"));
      else if (size < 0) resolve(null);
      else if (heard.length >= end + 4 + size) resolve(heard.subarray(end + 2, end + 2 + size));
      else return;
      socket.destroy();
    });
  });
}

async function storeGet(name: Buffer): Promise<Buffer | null> {
  try {
    return await readFile(`${root}/${name}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

const reader = new Reader(sync, redisGet, storeGet, 0);
for await (const line of createInterface({ input: process.stdin })) {
  let answer: unknown;
  try {
    answer = { found: [...(await reader.getMany(JSON.parse(line))).values()] };
  } catch (error) {
    answer = { error: (error as Error).constructor.name };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
