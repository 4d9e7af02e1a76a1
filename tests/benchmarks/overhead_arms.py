"""One measurement of `overhead.py`, in an interpreter of its own: `python -m tests.benchmarks.overhead_arms ARM RUNS SINK STORE`.

Prints one JSON object: `ready_us` CPU of the process until it could record, `caller_us` and `process_us` CPU per span, and which
of the packages that have no business in a traced program were loaded. The imports of each arm are within it: they are measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

from tests.benchmarks.workload import SPANS, Arm, Chat, play, prepare

HEAVY = ("duckdb", "polars", "pyarrow", "streamlit", "plotly", "genai_prices", "networkx", "numpy", "pandas")
REQUEST = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1", "gen_ai.provider.name": "openai",
    "gen_ai.request.temperature": 0.2, "gen_ai.prompt.name": "p",
}  # fmt: skip
TOKENS = {"input": 5000, "output": 250, "cached": 100, "reasoning": 5}


class Ours:
    """tracehound's own blocks after `tracer.init`."""

    write_delay_s = 0.0

    def __init__(self, sink: str, store: str) -> None:
        del sink
        import tracer

        self._tracer = tracer
        tracer.init(store, fold_at_exit=False, write_delay_s=self.write_delay_s)

    def run(self) -> AbstractContextManager[Any]:
        return self._tracer.workflow("bench", session_id="s")

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._tracer.agent(name)

    def call(self, chat: Chat, answer: str, number: int) -> None:
        asked = self._tracer.llm_call(
            "gpt-4.1", messages=chat, provider="openai", temperature=0.2, purpose="work", prompt_name="p"
        )
        with asked as span:
            span.completion(answer)
            span.usage(input_tokens=5000, output_tokens=250, cached_tokens=100, reasoning_tokens=5)
            span.response(model="gpt-4.1-x", response_id=f"r{number}", finish_reason="stop")

    def flush(self) -> None:
        self._tracer.flush()


class OursLater(Ours):
    """The same, written in the background within 50 ms."""

    write_delay_s = 0.05


class Otel:
    """The bare SDK, messages as the JSON text that the GenAI conventions ask for; `export` sends them with OTLP/HTTP."""

    def __init__(self, sink: str, store: str, *, export: bool = True) -> None:
        del store
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        self._provider = TracerProvider(shutdown_on_exit=False)
        if export:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # type: ignore
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            exporter: Any = OTLPSpanExporter(endpoint=f"{sink}/v1/traces")
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(self._provider)
        self._tracer = self._provider.get_tracer("bench")

    def run(self) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span("bench", attributes={"session.id": "s"})

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span(name, attributes={"gen_ai.agent.name": name})

    def call(self, chat: Chat, answer: str, number: int) -> None:
        attributes = {**REQUEST, "gen_ai.input.messages": json.dumps(chat)}
        with self._tracer.start_as_current_span("chat gpt-4.1", attributes=attributes) as span:
            span.set_attribute("gen_ai.output.messages", json.dumps([{"role": "assistant", "content": answer}]))
            span.set_attributes(
                {
                    "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 250,
                    "gen_ai.usage.cache_read.input_tokens": 100, "gen_ai.usage.reasoning.output_tokens": 5,
                    "gen_ai.response.model": "gpt-4.1-x", "gen_ai.response.id": f"r{number}",
                    "gen_ai.response.finish_reasons": ["stop"],
                }
            )  # fmt: skip

    def flush(self) -> None:
        self._provider.force_flush()


class OtelAlone(Otel):
    """The bare SDK with nobody who listens."""

    def __init__(self, sink: str, store: str) -> None:
        super().__init__(sink, store, export=False)


class Langfuse:
    """langfuse, its own observations."""

    def __init__(self, sink: str, store: str) -> None:
        del store
        from langfuse import Langfuse as Client  # type: ignore

        self._client: Any = Client(public_key="pk-lf-1", secret_key="sk-lf-1", base_url=sink)

    def run(self) -> AbstractContextManager[Any]:
        return self._client.start_as_current_observation(name="bench", as_type="chain")

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._client.start_as_current_observation(name=name, as_type="agent")

    def call(self, chat: Chat, answer: str, number: int) -> None:
        opened = self._client.start_as_current_observation(
            name="chat gpt-4.1",
            as_type="generation",
            input=chat,
            model="gpt-4.1",
            model_parameters={"temperature": 0.2},
        )
        with opened as span:
            span.update(output=answer, usage_details=TOKENS, metadata={"response_id": f"r{number}", "finish": "stop"})

    def flush(self) -> None:
        self._client.flush()


class Logfire:
    """logfire, sending with OTLP to a back-end of one's own."""

    def __init__(self, sink: str, store: str) -> None:
        del store
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink
        import logfire  # type: ignore

        self._logfire: Any = logfire
        logfire.configure(send_to_logfire=False, console=False, metrics=False)

    def run(self) -> AbstractContextManager[Any]:
        return self._logfire.span("bench", session_id="s")

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._logfire.span(name, agent=name)

    def call(self, chat: Chat, answer: str, number: int) -> None:
        with self._logfire.span("chat gpt-4.1", **REQUEST, messages=chat) as span:
            span.set_attribute("output", [{"role": "assistant", "content": answer}])
            span.set_attributes({**TOKENS, "response_id": f"r{number}", "finish": "stop"})

    def flush(self) -> None:
        self._logfire.force_flush()


class Phoenix:
    """arize-phoenix-otel with OpenInference's attributes, in batches."""

    def __init__(self, sink: str, store: str) -> None:
        del store
        from openinference.instrumentation import get_llm_attributes  # type: ignore
        from phoenix.otel import register  # type: ignore

        self._attributes: Any = get_llm_attributes
        self._provider: Any = register(
            endpoint=f"{sink}/v1/traces", batch=True, protocol="http/protobuf", verbose=False
        )
        self._tracer: Any = self._provider.get_tracer("bench")

    def run(self) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span("bench", openinference_span_kind="chain")

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span(name, openinference_span_kind="agent")

    def call(self, chat: Chat, answer: str, number: int) -> None:
        with self._tracer.start_as_current_span("chat gpt-4.1", openinference_span_kind="llm") as span:
            told = self._attributes(
                provider="openai",
                model_name="gpt-4.1",
                invocation_parameters={"temperature": 0.2},
                input_messages=chat,
                output_messages=[{"role": "assistant", "content": answer}],
                token_count={"prompt": 5000, "completion": 250, "total": 5250},
            )
            span.set_attributes({**told, "response_id": f"r{number}", "finish": "stop"})

    def flush(self) -> None:
        self._provider.force_flush()


class Mlflow:
    """mlflow-tracing, exporting with OTLP."""

    def __init__(self, sink: str, store: str) -> None:
        del store
        os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{sink}/v1/traces"
        os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
        import mlflow  # type: ignore

        self._mlflow: Any = mlflow
        with mlflow.start_span("warm"):
            pass

    def run(self) -> AbstractContextManager[Any]:
        return self._mlflow.start_span("bench", span_type="CHAIN")

    def agent(self, name: str) -> AbstractContextManager[Any]:
        return self._mlflow.start_span(name, span_type="AGENT")

    def call(self, chat: Chat, answer: str, number: int) -> None:
        with self._mlflow.start_span("chat gpt-4.1", span_type="LLM", attributes=dict(REQUEST)) as span:
            span.set_inputs({"messages": chat})
            span.set_outputs([{"role": "assistant", "content": answer}])
            span.set_attributes({**TOKENS, "response_id": f"r{number}", "finish": "stop"})

    def flush(self) -> None:
        from opentelemetry import trace

        self._mlflow.flush_trace_async_logging()
        provider: Any = getattr(self._mlflow.tracing.provider, "provider", None)
        for each in (getattr(provider, "get", lambda: None)(), trace.get_tracer_provider()):
            if hasattr(each, "force_flush"):
                each.force_flush()


class Bootstrapped:
    """Nothing but the first import of OpenTelemetry, which is when `tracehound run` begins to record."""

    def __init__(self, sink: str, store: str) -> None:
        del sink, store
        import opentelemetry.trace  # noqa: F401


class Bare:
    """The interpreter and this module alone."""

    def __init__(self, sink: str, store: str) -> None:
        del sink, store


ARMS: dict[str, Any] = {
    "tracehound": Ours,
    "delayed": OursLater,
    "otel": Otel,
    "otel alone": OtelAlone,
    "langfuse": Langfuse,
    "logfire": Logfire,
    "phoenix": Phoenix,
    "mlflow": Mlflow,
    "bootstrap": Bootstrapped,
    "bare": Bare,
}


def measure(arm: Arm, runs: int) -> dict[str, float]:
    """CPU per span, in microseconds; the first run is not counted."""
    play(arm, *prepare(-1))
    arm.flush()
    chats = [prepare(salt) for salt in range(runs)]
    process, caller = time.process_time_ns(), time.thread_time_ns()
    for messages, answers in chats:
        play(arm, messages, answers)
    caller = time.thread_time_ns() - caller
    arm.flush()
    process = time.process_time_ns() - process
    return {"caller_us": caller / runs / SPANS / 1e3, "process_us": process / runs / SPANS / 1e3}


def main(name: str, runs: int, sink: str, store: str) -> None:
    arm = ARMS[name](sink, store)
    found: dict[str, Any] = {"ready_us": time.process_time_ns() / 1e3}
    if runs:
        found |= measure(arm, runs)
    print(json.dumps({**found, "heavy": [module for module in HEAVY if module in sys.modules]}), flush=True)
    os._exit(0)  # no peer's farewell


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
