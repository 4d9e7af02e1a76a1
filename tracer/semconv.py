"""The only place an attribute name is spelled.

Sources: OpenTelemetry GenAI semantic conventions (repository semantic-conventions-genai, after semconv 1.42, and the
older spellings still in stored data); OpenInference semantic conventions 0.1.42; our own names start with `tracehound.`
and say only what no convention covers (docs/attributes.md).
"""

from __future__ import annotations

SCOPE_NAME = "tracehound"
"""instrumentation scope of every span that our own decorators make"""


class Tracehound:
    """What our shim and decorators write, with the kinds of span it stands on."""

    KIND = "tracehound.kind"
    """every span: workflow, agent, llm, tool, retriever, embedding, handoff, decision, state_read, state_write, wait, guardrail, guard_trip, escalation, message, other; wins over every other convention"""
    WORKFLOW = "tracehound.workflow"
    """any span: name of the kind of run"""
    AGENT = "tracehound.agent"
    """any span: on whose behalf; on a message or handoff the sender"""
    AGENT_ID = "tracehound.agent.id"
    """any span: which instance, where several agents have one name"""
    INVOKED_BY = "tracehound.invoked_by"
    """agent: who set it to work, an agent's name or user"""
    REASON = "tracehound.reason"
    """agent, handoff, decision, escalation: why; wait: peer, human, rate_limit, lock, timer"""
    PURPOSE = "tracehound.llm.purpose"
    """llm: work, route, plan, summarise, parse_repair, recover, judge, memory"""
    COST_USD = "tracehound.llm.cost_usd"
    """llm: decimal text; a cost the caller knows better than the price table"""
    TARGET_AGENT = "tracehound.target_agent"
    """handoff, message, escalation: to whom"""
    TASK_ID = "tracehound.task.id"
    """any span: task it works on"""
    ATTEMPT = "tracehound.attempt"
    """any span: number of the attempt, from 1"""
    RETRY_OF = "tracehound.retry_of"
    """any span: span id of the attempt this one repeats"""
    FALLBACK_OF = "tracehound.fallback_of"
    """any span: span id of the failed work this one replaces"""
    TRIES = "tracehound.client.tries"
    """llm: requests that a client library made for one call by itself; absent where it was one"""
    TRIES_FAILED = "tracehound.client.tries_failed"
    """llm: how those before the last ended, in order: HTTP statuses and names of errors"""
    TRIES_WAITED_NS = "tracehound.client.waited_ns"
    """llm: time the client waited between them"""
    CANCELLED = "tracehound.cancelled"
    """any span: true where it ended because whoever awaited it gave up, which frameworks record as an ordinary end"""
    START_GIVEN = "tracehound.start_given"
    """any span: true where the program said when it began, recording it later; such a start may lie before the parent's"""
    SCOPE_KEY = "tracehound.decision.scope"
    """decision: what it is about; two choices on one scope are rivals"""
    CHOICE = "tracehound.decision.choice"
    """decision: what was chosen"""
    DECISION_MODE = "tracehound.decision.mode"
    """decision: vote where several choices on one scope are meant"""
    ACTED_ON = "tracehound.decision.acted_on"
    """decision: true where the choice was carried out"""
    RESOLUTION = "tracehound.decision.resolution"
    """decision: how a clash was settled: last_wins, merged, coordinator"""
    WAIT_FOR = "tracehound.wait.for"
    """wait: agents or resources waited for"""
    WAIT_MODE = "tracehound.wait.mode"
    """wait: all or any of them"""
    WAIT_DEADLINE_NS = "tracehound.wait.deadline_ns"
    """wait: when it gives up"""
    WAIT_OUTCOME = "tracehound.wait.outcome"
    """wait: met, timed_out, cancelled"""
    WAIT_HOLDS = "tracehound.wait.holds"
    """wait: resources the waiter holds meanwhile"""
    WAIT_PLACE = "tracehound.wait.place"
    """wait for a `tracer.lock`: the thread or task that waits, such as "thread Thread-2"; it holds what it holds"""
    GUARD = "tracehound.guard"
    """guard_trip: which guard"""
    GUARD_LEVEL = "tracehound.guard.level"
    """guard_trip: warn or stop"""
    GUARD_LIMIT = "tracehound.guard.limit"
    """guard_trip: the limit, in the unit"""
    GUARD_SPENT = "tracehound.guard.spent"
    """guard_trip: what had been used, in the unit"""
    GUARD_UNIT = "tracehound.guard.unit"
    """guard_trip: usd, tokens, s, calls ..."""
    PROGRESS = "tracehound.progress"
    """any span: the work got further"""
    USER_VISIBLE = "tracehound.user_visible"
    """message, llm: a person sees this text"""
    STATE_KEY = "tracehound.state.key"
    """state_read, state_write: the key"""
    VERSION_READ = "tracehound.state.version_read"
    """state_read: version it saw"""
    VERSION_WRITTEN = "tracehound.state.version_written"
    """state_write: version it made"""
    VERSION_EXPECTED = "tracehound.state.version_expected"
    """state_write: version a compare-and-set expected, or the version the writer had read"""
    CHANGED_PATHS = "tracehound.state.changed_paths"
    """state_write: leaf paths that changed, such as plan.steps[2].owner"""
    VALUE_BYTES = "tracehound.state.value_bytes"
    """state_write: size of the value as canonical JSON"""
    CAS_OUTCOME = "tracehound.state.cas_outcome"
    """state_write: ok, conflict, unchecked, or unversioned (changed behind the back of the store)"""
    MERGE = "tracehound.state.merge"
    """state_write: how concurrent writes combine: overwrite, append, crdt"""
    ESCALATION_TO = "tracehound.escalation.to"
    """escalation: who was asked"""
    ESCALATION_BY = "tracehound.escalation.by"
    """escalation: who answered, where that is not who was asked"""
    LINK_RELATION = "tracehound.link.relation"
    """on a link: receives, replies_to (a message), acts_on (a decision), takes_over (a handoff)"""
    OUTCOME = "tracehound.run.outcome"
    """root span: completed, failed, escalated, stopped_by_guard, timed_out"""
    OUTCOME_REASON = "tracehound.run.outcome_reason"
    """root span: why the run ended so"""
    RUN_ID = "tracehound.run.id"
    """root span: the run, where one run spans several traces"""
    SOURCE_ID = "tracehound.source.id"
    """root span: id of the run in the file it was imported from"""
    STEP = "tracehound.step"
    """message: 0-based index in a transcript"""
    SYNTHETIC_TIME = "tracehound.time.synthetic"
    """any span: true where the source has no times; start and end only keep the order"""
    EVENT_MARK = "tracehound.mark"
    """event on any span of a run: a verdict on the run, with the two attributes below"""
    MARK_VERDICT = "tracehound.mark.verdict"
    """ok or failed"""
    MARK_NOTE = "tracehound.mark.note"
    """why, in words"""
    INPUT = "tracehound.input"
    """any span: JSON text of what went in, where no convention has a place for it"""
    OUTPUT = "tracehound.output"
    """any span: JSON text of what came out, likewise"""
    CONTENT = "tracehound.content."
    """any span: prefix of texts in order (`input`, `output` ...), as `tracehound export --format otlp` writes those of our recorder"""


class GenAI:
    """OpenTelemetry GenAI names; tuples list the spellings in use, newest first."""

    OPERATION = "gen_ai.operation.name"
    PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
    WORKFLOW_NAME = "gen_ai.workflow.name"
    AGENT_NAME = "gen_ai.agent.name"
    AGENT_ID = "gen_ai.agent.id"
    AGENT_DESCRIPTION = "gen_ai.agent.description"
    CONVERSATION_ID = "gen_ai.conversation.id"
    MCP_METHOD = "mcp.method.name"
    REQUEST_MODEL = "gen_ai.request.model"
    RESPONSE_MODEL = "gen_ai.response.model"
    TEMPERATURE = "gen_ai.request.temperature"
    RESPONSE_ID = "gen_ai.response.id"
    FINISH_REASONS = "gen_ai.response.finish_reasons"
    TIME_TO_FIRST_CHUNK_S = "gen_ai.response.time_to_first_chunk"
    CLIENT_FIRST_CHUNK_S = "gen_ai.client.operation.time_to_first_chunk"
    """the name of the metric, on the span: Vercel AI SDK 7"""
    INPUT_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
    OUTPUT_TOKENS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
    CACHED_TOKENS = (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
    )
    CACHE_WRITE_TOKENS = (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    )
    REASONING_TOKENS = (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.thinking_tokens",
        "gen_ai.usage.details.reasoning_tokens",
    )
    INPUT_MESSAGES = "gen_ai.input.messages"
    OUTPUT_MESSAGES = "gen_ai.output.messages"
    SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
    TOOL_DEFINITIONS = "gen_ai.tool.definitions"
    TOOL_NAME = "gen_ai.tool.name"
    TOOL_CALL_ID = "gen_ai.tool.call.id"
    TOOL_ARGUMENTS = ("gen_ai.tool.call.arguments", "tool_arguments")
    TOOL_RESULT = ("gen_ai.tool.call.result", "tool_response")
    RETRIEVAL_QUERY = "gen_ai.retrieval.query.text"
    RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents"
    PROMPT_NAME = "gen_ai.prompt.name"
    PROMPT_VERSION = "gen_ai.prompt.version"
    EVENT_DETAILS = "gen_ai.client.inference.operation.details"
    EVENT_CHOICE = "gen_ai.choice"
    EVENT_TOOL = "gen_ai.tool.message"
    EVENT_EVALUATION = "gen_ai.evaluation.result"
    EVALUATION_NAME = "gen_ai.evaluation.name"
    EVALUATION_LABEL = "gen_ai.evaluation.score.label"
    EVALUATION_VALUE = "gen_ai.evaluation.score.value"
    EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"
    EVENT_MESSAGE_SUFFIX = ".message"
    """old per-message events: gen_ai.system.message, gen_ai.user.message, gen_ai.assistant.message, gen_ai.tool.message"""


class OpenInference:
    """OpenInference (Arize), as its instrumentors write it."""

    KIND = "openinference.span.kind"
    MODEL = "llm.model_name"
    REQUEST_MODEL = "llm.request.model_name"
    RESPONSE_MODEL = "llm.response.model_name"
    PROVIDER = "llm.provider"
    SYSTEM = "llm.system"
    INVOCATION_PARAMETERS = "llm.invocation_parameters"
    FINISH_REASON = "llm.finish_reason"
    EMBEDDING_MODEL = "embedding.model_name"
    INPUT_TOKENS = "llm.token_count.prompt"
    OUTPUT_TOKENS = "llm.token_count.completion"
    CACHED_TOKENS = "llm.token_count.prompt_details.cache_read"
    CACHE_WRITE_TOKENS = "llm.token_count.prompt_details.cache_write"
    REASONING_TOKENS = "llm.token_count.completion_details.reasoning"
    COST_TOTAL = "llm.cost.total"
    INPUT_MESSAGES = "llm.input_messages"
    OUTPUT_MESSAGES = "llm.output_messages"
    PROMPTS = "llm.prompts"
    INPUT_VALUE = "input.value"
    INPUT_MIME = "input.mime_type"
    OUTPUT_VALUE = "output.value"
    OUTPUT_MIME = "output.mime_type"
    METADATA = "metadata"
    SESSION_ID = "session.id"
    USER_ID = "user.id"
    TAGS = "tag.tags"
    TOOL_NAME = "tool.name"
    TOOL_ID = "tool.id"
    TOOL_PARAMETERS = "tool.parameters"
    TOOL_CALL_ID = "tool_call.id"
    TOOL_CALL_ARGUMENTS = "tool_call.function.arguments"
    FIRST_TOKEN_EVENT = "First Token Stream Event"
    AGENT_NAME = "agent.name"
    NODE_ID = "graph.node.id"
    NODE_NAME = "graph.node.name"
    NODE_PARENT_ID = "graph.node.parent_id"
    PROMPT_TEMPLATE_VERSION = "llm.prompt_template.version"


class Resource:
    """Resource attributes."""

    SERVICE_NAME = "service.name"
    SERVICE_VERSION = "service.version"
    ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
    PROCESS_PID = "process.pid"
    RELEASE = "tracehound.release"


class Common:
    """OpenTelemetry names outside of GenAI."""

    ERROR_TYPE = "error.type"
    EXCEPTION_EVENT = "exception"
    EXCEPTION_TYPE = "exception.type"
    EXCEPTION_MESSAGE = "exception.message"
    USER_ID = ("user.id", "enduser.id")
    SESSION_ID = "session.id"
    TAGS = "tag.tags"


class OpenLLMetry:
    """Traceloop's own names, beside the gen_ai.* ones it also writes."""

    KIND = "traceloop.span.kind"
    WORKFLOW_NAME = "traceloop.workflow.name"
    ENTITY_NAME = "traceloop.entity.name"
    ENTITY_INPUT = "traceloop.entity.input"
    ENTITY_OUTPUT = "traceloop.entity.output"
    SESSION_ID = (
        "traceloop.association.properties.session_id",
        "traceloop.association.properties.thread_id",
    )
    USER_ID = "traceloop.association.properties.user_id"
    AGENT_ROLE = "crewai.agent.role"
    PROPERTIES = "traceloop.association.properties."
    """prefix of LangChain's metadata"""
    HANDOFF_FROM = "gen_ai.handoff.from_agent"
    HANDOFF_TO = "gen_ai.handoff.to_agent"
    PROMPTS = "gen_ai.prompt"
    """flattened, old: gen_ai.prompt.N.role"""
    COMPLETIONS = "gen_ai.completion"


class PydanticAI:
    """Pydantic AI and Logfire, beside the gen_ai.* names they also write."""

    AGENT_NAME = "agent_name"
    MODEL_NAME = "model_name"
    FINAL_RESULT = "final_result"
    ALL_MESSAGES = "pydantic_ai.all_messages"
    OLD_ALL_MESSAGES = "all_messages_events"
    EVENTS = "events"
    """version 1: the messages of an LLM call as a JSON list of events"""
    COST = "operation.cost"
    RETRY_ATTEMPT = "pydantic_ai.tool.retry.attempt"
    SPAN_TYPE = "logfire.span_type"
    """pending_span for the zero-length span sent at a start"""
    PENDING_PARENT = "logfire.pending_parent_id"
    """on a pending span: the parent of the span that started; the pending span's own parent is that span"""


class Logfire:
    """Logfire's own integrations: of OpenAI Agents, whose names they keep, and of clients."""

    MESSAGE = "logfire.msg"
    NAME = "name"
    GROUP_ID = "group_id"
    INPUT = "input"
    OUTPUT = "output"
    HANDOFF_FROM = "from_agent"
    HANDOFF_TO = "to_agent"
    ERROR = "error"
    """JSON: message and data"""
    REQUEST = "request_data"
    RESPONSE = "response_data"
    DURATION = "duration"
    """on the log at the end of a stream, seconds"""


class VercelAI:
    """Vercel AI SDK, v3 to v6; version 7 writes gen_ai.* names."""

    OPERATION = "ai.operationId"
    FUNCTION_ID = "ai.telemetry.functionId"
    MODEL = "ai.model.id"
    RESPONSE_MODEL = "ai.response.model"
    PROVIDER = "ai.model.provider"
    """with the API behind a dot: openai.chat"""
    RESPONSE_ID = "ai.response.id"
    FINISH_REASON = "ai.response.finishReason"
    FIRST_CHUNK_MS = "ai.response.msToFirstChunk"
    TEMPERATURE = "ai.settings.temperature"
    INPUT_TOKENS = ("ai.usage.inputTokens", "ai.usage.promptTokens")
    OUTPUT_TOKENS = ("ai.usage.outputTokens", "ai.usage.completionTokens")
    CACHED_TOKENS = ("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens")
    CACHE_WRITE_TOKENS = "ai.usage.inputTokenDetails.cacheWriteTokens"
    REASONING_TOKENS = ("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens")
    EMBEDDING_TOKENS = "ai.usage.tokens"
    PROMPT = "ai.prompt"
    PROMPT_MESSAGES = "ai.prompt.messages"
    RESPONSE_TEXT = "ai.response.text"
    RESPONSE_OBJECT = "ai.response.object"
    RESPONSE_TOOL_CALLS = "ai.response.toolCalls"
    TOOL_NAME = "ai.toolCall.name"
    TOOL_ID = "ai.toolCall.id"
    TOOL_ARGS = "ai.toolCall.args"
    TOOL_RESULT = "ai.toolCall.result"
    SESSION_ID = (
        "ai.telemetry.metadata.sessionId",
        "ai.telemetry.metadata.session_id",
        "ai.telemetry.metadata.threadId",
        "ai.telemetry.metadata.chatId",
    )
    USER_ID = ("ai.telemetry.metadata.userId", "ai.telemetry.metadata.user_id")


class LangSmith:
    """LangSmith's OpenTelemetry export, beside the gen_ai.* names it also writes."""

    KIND = "langsmith.span.kind"
    TAGS = "langsmith.span.tags"
    SESSION_ID = (
        "langsmith.metadata.thread_id",
        "langsmith.metadata.session_id",
        "langsmith.metadata.conversation_id",
    )
    """`langsmith.trace.session_name` is the project, not a conversation"""
    USER_ID = "langsmith.metadata.user_id"
    METADATA = "langsmith.metadata."
    """prefix of LangChain's metadata"""
    USAGE = "langsmith.metadata.usage_metadata"
    """JSON, with the parts of input and output tokens"""
    MODEL = "langsmith.metadata.ls_model_name"
    PROVIDER = "langsmith.metadata.ls_provider"
    TEMPERATURE = "langsmith.metadata.ls_temperature"
    PROMPT = "gen_ai.prompt"
    COMPLETION = "gen_ai.completion"
    INPUT_DETAILS = "gen_ai.usage.input_token_details"
    OUTPUT_DETAILS = "gen_ai.usage.output_token_details"


class Langfuse:
    """Langfuse's SDK, version 3 and later."""

    TYPE = "langfuse.observation.type"
    INPUT = "langfuse.observation.input"
    OUTPUT = "langfuse.observation.output"
    LEVEL = "langfuse.observation.level"
    STATUS_MESSAGE = "langfuse.observation.status_message"
    MODEL = "langfuse.observation.model.name"
    PARAMETERS = "langfuse.observation.model.parameters"
    USAGE = "langfuse.observation.usage_details"
    COST = "langfuse.observation.cost_details"
    PROMPT_NAME = "langfuse.observation.prompt.name"
    PROMPT_VERSION = "langfuse.observation.prompt.version"
    FIRST_TOKEN = "langfuse.observation.completion_start_time"
    TRACE_NAME = "langfuse.trace.name"
    TAGS = "langfuse.trace.tags"
    SESSION_ID = "langfuse.session.id"
    USER_ID = "langfuse.user.id"
    ENVIRONMENT = "langfuse.environment"
    RELEASE = "langfuse.release"


class Frameworks:
    """Names that single frameworks write beside a convention."""

    FIRST_TOKEN_MS = "gen_ai.server.time_to_first_token"
    """Strands, milliseconds"""
    TOOL_STATUS = "gen_ai.tool.status"
    """Strands: success or error"""
    AG2_TYPE = "ag2.span.type"
    AG2_SELECTED = "ag2.speaker_selection.selected"
    HAYSTACK_TOOL = "haystack.tool.name"
    HAYSTACK_TOOL_INPUT = "haystack.agent.step.tool.input"
    HAYSTACK_TOOL_OUTPUT = "haystack.agent.step.tool.output"
    HAYSTACK_ERROR = "haystack.tool.error"
    WORKFLOW_NAME = "workflow.name"
    """Microsoft Agent Framework"""
    SMOLAGENTS_MAX_STEPS = "smolagents.max_steps"


class GoogleADK:
    """Google ADK's own tracing; version 1 keeps all content here."""

    REQUEST = "gcp.vertex.agent.llm_request"
    """JSON: model, config, contents of Gemini's API"""
    RESPONSE = "gcp.vertex.agent.llm_response"
    TOOL_ARGUMENTS = "gcp.vertex.agent.tool_call_args"
    TOOL_RESPONSE = "gcp.vertex.agent.tool_response"
    SESSION_ID = "gcp.vertex.agent.session_id"
    INVOCATION = "invocation"
    """name of the outermost span of version 1"""


class LangGraph:
    """Keys inside OpenInference's `metadata` JSON."""

    CHECKPOINT_NS = "langgraph_checkpoint_ns"
    PARENT_NS = "checkpoint_ns"
    """the namespace of the graph that a node belongs to; equal to `CHECKPOINT_NS` on what runs inside a node"""
    NODE = "langgraph_node"
    STEP = "langgraph_step"
    PATH = "langgraph_path"
    """begins with `__pregel_push` for a task that was sent to a node with an input of its own"""
    INTEGRATION = "ls_integration"
    """`langgraph` on everything of a graph, also on the graph itself, which has no node"""
    HANDOFF_DESTINATION = "__handoff_destination"


class AutoGen:
    """The messaging of autogen-core."""

    OPERATION = "messaging.operation"
    SENDER_TYPE = "sender_agent_type"
    RECIPIENT_TYPE = "recipient_agent_type"
    RECIPIENT_CLASS = "recipient_agent_class"
    PARTICIPANTS = "participant_names"


class Stored:
    """Names under which a raw span's own facts stand among its attributes."""

    SCOPE = "otel.scope.name"
    PASSES = "passes_on_to"
    """what the answer of a call says of the handoff that it asks for: {tool, to, why}"""
    RESOURCE = "otel.resource"
    TRACE_STATE = "otel.trace_state"
    """W3C trace state of a span, where a sampler wrote its probability in it"""
