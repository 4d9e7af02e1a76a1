// A desk of agents with the Vercel AI SDK 4 to 7: started by vercel_desk.py, with the packages in the working directory.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const from = createRequire(`${process.cwd()}/package.json`);
const load = (name) => import(pathToFileURL(from.resolve(name)).href);
const [ai, { createOpenAICompatible }, { z }, { trace }, { NodeTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }, { resourceFromAttributes }] =
  await Promise.all(
    ["ai", "@ai-sdk/openai-compatible", "zod", "@opentelemetry/api", "@opentelemetry/sdk-trace-node", "@opentelemetry/exporter-trace-otlp-http", "@opentelemetry/resources"].map(load),
  );
const resource = resourceFromAttributes({ "service.name": "vercel-demo" });
const provider = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
provider.register();
if (ai.registerTelemetry) {
  const { OpenTelemetry } = await load("@ai-sdk/otel");
  ai.registerTelemetry(new OpenTelemetry());
}
const openai = createOpenAICompatible({ name: "openai", baseURL: process.env.OPENAI_BASE_URL, apiKey: "-", includeUsage: true });
const model = openai.chatModel("gpt-4.1-mini");
const told = (functionId) => {
  const settings = { isEnabled: true, functionId, metadata: { sessionId: "desk-7", userId: "u-1" } };
  return { experimental_telemetry: settings, telemetry: settings };
};
const steps = (count) => ({ stopWhen: (ai.isStepCount ?? ai.stepCountIs)(count) });
const search = ai.tool({
  description: "Search the handbook.", inputSchema: z.object({ query: z.string() }), execute: async () => "Within 30 days.",
});
const look_up_order = ai.tool({
  description: "Look up an order.", inputSchema: z.object({ order_id: z.string() }),
  execute: async ({ order_id }) => {
    if (order_id === "B-2") throw new TypeError("the order service is down");
    return { order_id, status: "delivered" };
  },
});
const ask_researcher = ai.tool({
  description: "Ask the researcher.", inputSchema: z.object({ question: z.string() }),
  execute: async ({ question }) =>
    (await ai.generateText({ model, system: "You are researcher.", prompt: question, tools: { search }, ...steps(5), ...told("researcher") })).text,
});

await trace.getTracer("desk").startActiveSpan("desk", async (span) => {
  const embedder = (openai.embeddingModel ?? openai.textEmbeddingModel)("text-embedding-3-small");
  await ai.embedMany({ model: embedder, values: ["returns", "refunds"], ...told("indexer") });
  const kind = await ai.generateText({ model, prompt: "A return or a complaint?", ...told() });
  const tools = { ask_researcher, look_up_order };
  await ai.generateText({ model, system: "You are coordinator.", prompt: kind.text, tools, ...steps(6), ...told("coordinator") });
  const letter = ai.streamText({ model, system: "You are writer.", prompt: "Write it.", ...told("writer") });
  for await (const part of letter.textStream) process.stdout.write(part);
  span.end();
});
await provider.shutdown();
