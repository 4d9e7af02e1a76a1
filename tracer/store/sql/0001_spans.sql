-- Layout 1. `spans` is append-only and has no primary key or index on purpose: they cost four times the
-- fold and three times the file at ten million rows. A span is found through `traces`, which gives its time window.

CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
COMMENT ON TABLE meta IS 'One row per setting of this database: layout (number of the last schema step), created_by.';

CREATE TABLE spans (
    trace_id VARCHAR NOT NULL, span_id VARCHAR NOT NULL, parent_span_id VARCHAR, run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL, kind VARCHAR NOT NULL,
    start_ns BIGINT NOT NULL, end_ns BIGINT, status VARCHAR NOT NULL, error_type VARCHAR, error_message VARCHAR,
    workflow VARCHAR, agent VARCHAR, agent_id VARCHAR, agent_inferred BOOLEAN NOT NULL, session_id VARCHAR, user_id VARCHAR,
    service VARCHAR, service_version VARCHAR, environment VARCHAR, release VARCHAR, tags VARCHAR[], pid BIGINT,
    model VARCHAR, provider VARCHAR, input_tokens BIGINT, output_tokens BIGINT, cached_tokens BIGINT,
    cache_write_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(18, 9), cost_source VARCHAR,
    temperature DOUBLE, purpose VARCHAR, response_id VARCHAR, finish_reason VARCHAR, ttft_ns BIGINT,
    prompt_name VARCHAR, prompt_version VARCHAR,
    attempt BIGINT, retry_of VARCHAR, fallback_of VARCHAR,
    tool_name VARCHAR, tool_call_id VARCHAR, args_hash VARCHAR, result_hash VARCHAR,
    target_agent VARCHAR, task_id VARCHAR, reason VARCHAR, scope_key VARCHAR, choice VARCHAR,
    wait_for VARCHAR[], wait_mode VARCHAR, deadline_ns BIGINT, guard VARCHAR,
    progress BOOLEAN NOT NULL, user_visible BOOLEAN NOT NULL,
    state_key VARCHAR, version_read BIGINT, version_written BIGINT, version_expected BIGINT,
    changed_paths VARCHAR[], value_bytes BIGINT, cas_outcome VARCHAR,
    step BIGINT, duplicate_of VARCHAR, convention VARCHAR, derived VARCHAR[], dropped_attributes BIGINT NOT NULL,
    input_refs BIGINT[], output_refs BIGINT[], attributes VARCHAR NOT NULL
);
COMMENT ON TABLE spans IS 'One row per ended or interrupted span, in order of arrival. Times are ns since the Unix epoch, money is USD.';
COMMENT ON COLUMN spans.trace_id IS 'W3C trace id, 32 hex digits.';
COMMENT ON COLUMN spans.span_id IS 'W3C span id, 16 hex digits; unique within its trace.';
COMMENT ON COLUMN spans.parent_span_id IS 'Span that started this one; NULL for a root. May name a span that never arrived.';
COMMENT ON COLUMN spans.run_id IS 'What a person calls one execution: the trace id of its first trace, also where a framework splits a run over several traces.';
COMMENT ON COLUMN spans.name IS 'Name as the producer wrote it.';
COMMENT ON COLUMN spans.kind IS 'workflow, agent, llm, tool, retriever, embedding, handoff, decision, state_read, state_write, wait, guardrail, guard_trip, escalation, message, other.';
COMMENT ON COLUMN spans.start_ns IS 'Start, ns since the Unix epoch.';
COMMENT ON COLUMN spans.end_ns IS 'End, ns since the Unix epoch; NULL where the process died before the end (interrupted).';
COMMENT ON COLUMN spans.status IS 'ok, error, interrupted (running spans are in running_spans). Control flow done with exceptions is ok.';
COMMENT ON COLUMN spans.error_type IS 'Exception class or error code, where status is error.';
COMMENT ON COLUMN spans.error_message IS 'What the error said, where status is error.';
COMMENT ON COLUMN spans.workflow IS 'Name of the kind of run this span belongs to; the same for all spans of a run.';
COMMENT ON COLUMN spans.agent IS 'Agent on whose behalf the span ran; for a message or handoff the sender.';
COMMENT ON COLUMN spans.agent_id IS 'Instance id of the agent, where the producer gives one.';
COMMENT ON COLUMN spans.agent_inferred IS 'TRUE where agent was found by climbing to an ancestor, a link or the trace.';
COMMENT ON COLUMN spans.session_id IS 'Conversation or thread over several runs.';
COMMENT ON COLUMN spans.user_id IS 'End user.';
COMMENT ON COLUMN spans.service IS 'Resource attribute service.name.';
COMMENT ON COLUMN spans.service_version IS 'Resource attribute service.version.';
COMMENT ON COLUMN spans.environment IS 'Deployment environment.';
COMMENT ON COLUMN spans.release IS 'Release of the traced application.';
COMMENT ON COLUMN spans.tags IS 'Free labels.';
COMMENT ON COLUMN spans.pid IS 'Process that recorded the span.';
COMMENT ON COLUMN spans.model IS 'Model that answered, else the model asked for.';
COMMENT ON COLUMN spans.provider IS 'Model provider; never a framework name.';
COMMENT ON COLUMN spans.input_tokens IS 'Tokens sent, cached ones included. Only spans of kind llm and embedding carry tokens.';
COMMENT ON COLUMN spans.output_tokens IS 'Tokens received, reasoning included.';
COMMENT ON COLUMN spans.cached_tokens IS 'Part of input_tokens read from a prompt cache.';
COMMENT ON COLUMN spans.cache_write_tokens IS 'Part of input_tokens written to a prompt cache.';
COMMENT ON COLUMN spans.reasoning_tokens IS 'Part of output_tokens spent on hidden reasoning.';
COMMENT ON COLUMN spans.cost_usd IS 'Price of the call; NULL where the price is unknown, never 0 for unknown. Sum only rows with duplicate_of IS NULL.';
COMMENT ON COLUMN spans.cost_source IS 'Where cost_usd comes from: the price table and its date, the producer, or a user override.';
COMMENT ON COLUMN spans.temperature IS 'Sampling temperature asked for.';
COMMENT ON COLUMN spans.purpose IS 'Why the LLM was called: work, route, plan, summarise, parse_repair, recover, judge, memory; NULL where not said.';
COMMENT ON COLUMN spans.response_id IS 'Id the provider gave the answer.';
COMMENT ON COLUMN spans.finish_reason IS 'Why generation stopped.';
COMMENT ON COLUMN spans.ttft_ns IS 'Time to first token, ns.';
COMMENT ON COLUMN spans.prompt_name IS 'Name of the prompt template.';
COMMENT ON COLUMN spans.prompt_version IS 'Version of the prompt template.';
COMMENT ON COLUMN spans.attempt IS 'Number of this attempt, from 1.';
COMMENT ON COLUMN spans.retry_of IS 'span_id of the attempt this one repeats.';
COMMENT ON COLUMN spans.fallback_of IS 'span_id of the failed work this one replaces.';
COMMENT ON COLUMN spans.tool_name IS 'Tool called.';
COMMENT ON COLUMN spans.tool_call_id IS 'Id that joins the LLM''s request for the tool with the tool''s run.';
COMMENT ON COLUMN spans.args_hash IS 'Hash of the canonical arguments; equal arguments have equal hashes.';
COMMENT ON COLUMN spans.result_hash IS 'Hash of the canonical result.';
COMMENT ON COLUMN spans.target_agent IS 'Agent a handoff, delegation, message or escalation goes to.';
COMMENT ON COLUMN spans.task_id IS 'Task the span works on, where tasks are named.';
COMMENT ON COLUMN spans.reason IS 'Why: the agent was invoked, the handoff made, the decision taken, the escalation raised; for a wait peer, human, rate_limit, lock or timer.';
COMMENT ON COLUMN spans.scope_key IS 'What a decision is about; two choices with one scope_key are rivals.';
COMMENT ON COLUMN spans.choice IS 'What was decided.';
COMMENT ON COLUMN spans.wait_for IS 'Agents or resources waited for.';
COMMENT ON COLUMN spans.wait_mode IS 'all: every one of wait_for is needed; any: one is enough.';
COMMENT ON COLUMN spans.deadline_ns IS 'When the wait gives up, ns since the Unix epoch; NULL for never.';
COMMENT ON COLUMN spans.guard IS 'Which guard tripped: budget, time, iterations, loop, circuit_breaker ...';
COMMENT ON COLUMN spans.progress IS 'TRUE for an explicit mark that the work got further.';
COMMENT ON COLUMN spans.user_visible IS 'TRUE for a message, or an LLM call whose output is a message, that a person sees as part of the conversation.';
COMMENT ON COLUMN spans.state_key IS 'Key of the shared state read or written.';
COMMENT ON COLUMN spans.version_read IS 'Version a state_read saw.';
COMMENT ON COLUMN spans.version_written IS 'Version a state_write made.';
COMMENT ON COLUMN spans.version_expected IS 'Version a compare-and-set expected, or the version the writer had read.';
COMMENT ON COLUMN spans.changed_paths IS 'Leaf paths a state_write changed, such as plan.steps[2].owner.';
COMMENT ON COLUMN spans.value_bytes IS 'Size of the state value as canonical JSON.';
COMMENT ON COLUMN spans.cas_outcome IS 'ok, conflict, unchecked, or unversioned (changed behind the store''s back).';
COMMENT ON COLUMN spans.step IS '0-based index of the message, where the source is a transcript.';
COMMENT ON COLUMN spans.duplicate_of IS 'span_id of the span that already counts this call (two instrumentors on one call); such rows are left out of every sum.';
COMMENT ON COLUMN spans.convention IS 'Convention the fields were read from: tracehound, openinference, otel_genai, openllmetry, pydantic_ai ...';
COMMENT ON COLUMN spans.derived IS 'Names of the columns that were inferred, not recorded.';
COMMENT ON COLUMN spans.dropped_attributes IS 'Attributes the producer threw away because of a limit.';
COMMENT ON COLUMN spans.input_refs IS 'content_id list, in order. llm: messages sent; tool: arguments; agent, workflow: task; message, handoff: text; state_write: value before; decision: what was looked at.';
COMMENT ON COLUMN spans.output_refs IS 'content_id list, in order. llm: messages received; tool: result; agent, workflow: answer; state_read: value; state_write: value after; decision: options.';
COMMENT ON COLUMN spans.attributes IS 'All raw attributes as JSON; a long text stands as {"$content": content_id}, a message list as {"$messages": [content_id, ...]}.';

CREATE TABLE running_spans AS SELECT *, ''::VARCHAR AS writer FROM spans WHERE FALSE;
COMMENT ON TABLE running_spans IS 'One row per span that has started and not ended. writer names its process''s liveness file; the fold moves rows of dead writers to spans as interrupted.';

CREATE TABLE events (trace_id VARCHAR NOT NULL, span_id VARCHAR NOT NULL, time_ns BIGINT NOT NULL, name VARCHAR NOT NULL, attributes VARCHAR NOT NULL, refs BIGINT[]);
COMMENT ON TABLE events IS 'One row per span event or log record: exceptions, choices, GenAI message events.';

CREATE TABLE links (trace_id VARCHAR NOT NULL, span_id VARCHAR NOT NULL, linked_trace_id VARCHAR NOT NULL, linked_span_id VARCHAR NOT NULL, attributes VARCHAR NOT NULL);
COMMENT ON TABLE links IS 'One row per causal edge between spans that is not parenthood.';

CREATE TABLE contents (content_id BIGINT NOT NULL, bytes BIGINT NOT NULL, body VARCHAR NOT NULL USING COMPRESSION zstd);
COMMENT ON TABLE contents IS 'One row per distinct text: messages (JSON objects with role, content, tool_calls ...), tool arguments and results, state snapshots.';
COMMENT ON COLUMN contents.content_id IS 'First 64 bits of the BLAKE2b of body, signed.';

CREATE TABLE traces (
    trace_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, source_id VARCHAR, workflow VARCHAR, outcome VARCHAR NOT NULL, outcome_reason VARCHAR,
    start_ns BIGINT NOT NULL, end_ns BIGINT, spans BIGINT NOT NULL, agents BIGINT NOT NULL, llm_calls BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, cost_usd DECIMAL(18, 9), unpriced_calls BIGINT NOT NULL,
    errors BIGINT NOT NULL, escalations BIGINT NOT NULL, session_id VARCHAR, user_id VARCHAR, service VARCHAR, convention VARCHAR
);
COMMENT ON TABLE traces IS 'One row per run, kept current by the fold, so that lists never scan spans. trace_id is the run''s first trace.';
COMMENT ON COLUMN traces.source_id IS 'Id the run has in the file it was imported from.';
COMMENT ON COLUMN traces.outcome IS 'completed, failed, escalated, stopped_by_guard, timed_out, interrupted, running, unknown.';
COMMENT ON COLUMN traces.cost_usd IS 'Sum of the known prices; NULL where no call has a known price. unpriced_calls says how many are missing.';

CREATE TABLE marks (run_id VARCHAR NOT NULL, time_ns BIGINT NOT NULL, verdict VARCHAR NOT NULL, note VARCHAR);
COMMENT ON TABLE marks IS 'One row per verdict of a person (or an imported evaluation) on a run: ok or failed. The newest counts.';

CREATE TABLE segments (name VARCHAR NOT NULL, folded_bytes BIGINT NOT NULL);
COMMENT ON TABLE segments IS 'One row per segment file: how many of its bytes are in this database. Advanced in the same transaction as the rows.';

CREATE TABLE counters (name VARCHAR NOT NULL, value BIGINT NOT NULL);
COMMENT ON TABLE counters IS 'Running totals of what went wrong: bad_frames, rejected_spans, duplicate_spans, dropped_spans.';

CREATE VIEW llm_calls AS SELECT * FROM spans WHERE kind = 'llm' AND duplicate_of IS NULL;
COMMENT ON VIEW llm_calls IS 'The LLM calls to count and to bill: duplicates left out.';

CREATE TABLE run_traces (trace_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, first_ns BIGINT NOT NULL, last_ns BIGINT NOT NULL);
COMMENT ON TABLE run_traces IS 'One row per trace: the run it belongs to and where in time its rows lie, so that a trace is read without a scan of spans.';
COMMENT ON COLUMN run_traces.first_ns IS 'Smallest start_ns of its spans and time_ns of its events.';
COMMENT ON COLUMN run_traces.last_ns IS 'Largest start_ns of its spans and time_ns of its events.';
