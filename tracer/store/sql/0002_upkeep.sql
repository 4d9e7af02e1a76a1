-- Layout 2. What keeping a store for years needs: pinned runs, and a word for every column.

CREATE TABLE pins (run_id VARCHAR NOT NULL, time_ns BIGINT NOT NULL);
COMMENT ON TABLE pins IS 'One row per run that retention never removes. Runs with a mark are kept as if they were pinned.';
COMMENT ON COLUMN pins.run_id IS 'The run that stays.';
COMMENT ON COLUMN pins.time_ns IS 'When it was pinned, ns since the Unix epoch.';

COMMENT ON TABLE meta IS 'One row per setting of this database.';
COMMENT ON COLUMN meta.key IS 'layout (number of the last schema step), created_by, and the limits prune goes by: retention_days, max_bytes.';
COMMENT ON COLUMN meta.value IS 'The value as text.';

-- Their columns are not described once more: seventy comments take a new database longer than all the rest.
COMMENT ON TABLE running_spans IS 'One row per span that has started and not ended. Columns as in spans, and writer. The fold moves rows of dead writers to spans as interrupted.';
COMMENT ON VIEW llm_calls IS 'The LLM calls to count and to bill: duplicates left out. Columns as in spans.';
COMMENT ON COLUMN running_spans.writer IS 'Name of the liveness file of the process that runs the span, without its suffix.';

COMMENT ON COLUMN events.trace_id IS 'Trace the event belongs to; empty for a log record outside of any.';
COMMENT ON COLUMN events.span_id IS 'Span the event belongs to.';
COMMENT ON COLUMN events.time_ns IS 'When it happened, ns since the Unix epoch.';
COMMENT ON COLUMN events.name IS 'Event name, such as exception.';
COMMENT ON COLUMN events.attributes IS 'All attributes as JSON; texts stand as in spans.attributes.';
COMMENT ON COLUMN events.refs IS 'content_id list of the messages the event carries, in order.';

COMMENT ON COLUMN links.trace_id IS 'Trace of the span that has the link.';
COMMENT ON COLUMN links.span_id IS 'Span that has the link.';
COMMENT ON COLUMN links.linked_trace_id IS 'Trace of the span it points to.';
COMMENT ON COLUMN links.linked_span_id IS 'Span it points to.';
COMMENT ON COLUMN links.attributes IS 'Attributes of the link as JSON.';

COMMENT ON COLUMN contents.bytes IS 'Length of body in bytes of UTF-8.';
COMMENT ON COLUMN contents.body IS 'The text itself.';

COMMENT ON COLUMN traces.trace_id IS 'First trace of the run that has arrived; mostly equal to run_id.';
COMMENT ON COLUMN traces.run_id IS 'The run; what marks, pins and spans.run_id name.';
COMMENT ON COLUMN traces.workflow IS 'Name of the kind of run.';
COMMENT ON COLUMN traces.outcome_reason IS 'Why: the error, the guard or limit, what is missing; NULL where there is nothing to add.';
COMMENT ON COLUMN traces.start_ns IS 'Start of the earliest span, ns since the Unix epoch.';
COMMENT ON COLUMN traces.end_ns IS 'End of the latest span, ns since the Unix epoch; NULL while the run runs.';
COMMENT ON COLUMN traces.spans IS 'Its spans, running ones and duplicates included.';
COMMENT ON COLUMN traces.agents IS 'Different agents.';
COMMENT ON COLUMN traces.llm_calls IS 'LLM calls, duplicates left out.';
COMMENT ON COLUMN traces.input_tokens IS 'Sum over its calls, duplicates left out.';
COMMENT ON COLUMN traces.output_tokens IS 'Sum over its calls, duplicates left out.';
COMMENT ON COLUMN traces.unpriced_calls IS 'Ended calls whose price is unknown.';
COMMENT ON COLUMN traces.errors IS 'Spans with status error, duplicates left out.';
COMMENT ON COLUMN traces.escalations IS 'Spans of kind escalation.';
COMMENT ON COLUMN traces.session_id IS 'Conversation or thread over several runs.';
COMMENT ON COLUMN traces.user_id IS 'End user.';
COMMENT ON COLUMN traces.service IS 'Service that recorded the run.';
COMMENT ON COLUMN traces.convention IS 'Convention most of its spans were read from.';

COMMENT ON COLUMN marks.run_id IS 'The run that was judged.';
COMMENT ON COLUMN marks.time_ns IS 'When, ns since the Unix epoch.';
COMMENT ON COLUMN marks.verdict IS 'ok or failed.';
COMMENT ON COLUMN marks.note IS 'Why, in the person''s words.';

COMMENT ON COLUMN segments.name IS 'File name in the spool.';
COMMENT ON COLUMN segments.folded_bytes IS 'Bytes from its start that are in this database.';

COMMENT ON COLUMN counters.name IS 'What is counted.';
COMMENT ON COLUMN counters.value IS 'How often, since the database was made.';

COMMENT ON COLUMN run_traces.trace_id IS 'The trace.';
COMMENT ON COLUMN run_traces.run_id IS 'The run it belongs to.';
