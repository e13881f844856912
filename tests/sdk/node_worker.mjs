// Calls of the client of OpenAI's SDK, in a process of process.mjs; tests/sdk/sdk.py has the questions.

import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const from = createRequire(path.join(process.argv[2], "package.json"));

const LIST_LIMIT = 100;
const TAKES_AN_ID = ["retrieve", "delete", "remix", "download_content", "get_character"];

// A file that is described as {"$": how, "path", "mime"}, as the SDK takes it; anything else as it is.
async function argument(value, toFile) {
  if (!value || typeof value !== "object" || !("$" in value)) return value;
  const name = path.basename(value.path);
  switch (value.$) {
    case "open": return fs.createReadStream(value.path);
    case "named": return toFile(fs.readFileSync(value.path), name);
    case "mime": return toFile(fs.readFileSync(value.path), name, { type: value.mime });
    case "buffer": return fs.readFileSync(value.path);
  }
  throw new Error(value.$);
}

async function call(question) {
  const sent = [];
  let headers = {};
  const { AzureOpenAI, OpenAI, toFile } = from(question.package);
  try {
    const { default_headers, max_retries, timeout, base_url, azure_endpoint, api_version, azure_deployment, ...others } =
      { base_url: question.base_url, ...question.client };
    const place = azure_endpoint
      ? { endpoint: azure_endpoint, apiVersion: api_version, deployment: azure_deployment }
      : { baseURL: base_url };
    const client = new (azure_endpoint ? AzureOpenAI : OpenAI)({
      ...others,
      apiKey: "sk-of-the-client",
      ...place,
      ...(default_headers && { defaultHeaders: default_headers }),
      ...(max_retries !== undefined && { maxRetries: max_retries }),
      ...(timeout !== undefined && { timeout: timeout * 1000 }),
      fetch: async (url, init) => {
        // The SDK asks itself with a data: URL what fetch can do.
        if (String(url).startsWith("http")) sent.push([(init?.method ?? "GET").toUpperCase(), String(url)]);
        const response = await fetch(url, init);
        headers = Object.fromEntries(response.headers.entries());
        return response;
      },
    });
    if (question.method === "webhooks.unwrap") {
      // Sends nothing, and takes header fields of its own.
      const { payload, fields, secret } = question.arguments;
      return { value: await client.webhooks.unwrap(payload, fields, secret), request_id: null, sent, headers };
    }
    const [last, resource = "videos"] = question.method.split(".").reverse();
    const name = last.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    if (typeof client[resource][name] !== "function") throw new Error(`this SDK has no ${name}`);
    const body = {};
    for (const [key, value] of Object.entries(question.arguments)) body[key] = await argument(value, toFile);
    Object.assign(body, question.extra);
    const position = [];
    if (TAKES_AN_ID.includes(question.method)) {
      const key = question.method === "get_character" ? "character_id" : "video_id";
      position.push(body[key]);
      delete body[key];
    }
    const without_body = ["retrieve", "delete", "get_character"].includes(question.method);
    if (!without_body) position.push(body);
    position.push({ headers: question.headers });
    const pending = client[resource][name](...position);
    if (question.method === "list") {
      const items = [];
      for await (const item of pending) if (items.push(item) === LIST_LIMIT) break;
      return { value: items, request_id: null, sent, headers };
    }
    const value = await pending;
    if (question.method === "download_content") {
      const content = Buffer.from(await value.arrayBuffer()).toString("base64");
      return { value: { content }, request_id: null, sent, headers };
    }
    return { value, request_id: value?._request_id ?? null, sent, headers };
  } catch (error) {
    return {
      sent,
      headers,
      error: {
        kind: error.constructor.name,
        message: String(error.message),
        status_code: error.status ?? null,
        code: error.code ?? null,
        param: error.param ?? null,
        type: error.type ?? null,
        request_id: error.requestID ?? null,
        body: error.error ?? null,
      },
    };
  }
}

export function answer(question) {
  return Promise.all(Array.from({ length: question.times }, () => call(question)));
}
