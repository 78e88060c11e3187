// An MCP server on the TypeScript SDK, over streamable HTTP: `node sessions.mjs MODULES PORT`. One session at a time, as the SDK's transport has it;
// what comes for another one, the transport itself answers.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [modules, port] = process.argv.slice(2);
const sdk = (name) => import(pathToFileURL(`${modules}/@modelcontextprotocol/sdk/dist/esm/server/${name}.js`).href);
const { McpServer } = await sdk("mcp");
const { StreamableHTTPServerTransport } = await sdk("streamableHttp");

async function begin() {
  const server = new McpServer({ name: "sdk", version: "1" });
  server.registerTool("whoami", { description: "The process that answers." }, () => ({
    content: [{ type: "text", text: `process ${process.pid}` }],
  }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => randomUUID() });
  await server.connect(transport);
  return transport;
}

let current = await begin();

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const message = parts.length ? JSON.parse(Buffer.concat(parts)) : undefined;
  if (message?.method === "initialize") current = await begin();
  await current.handleRequest(request, response, message);
}).listen(Number(port), "127.0.0.1");
