"""The stage on which scenarios are played: the public decorators of `tracer`, a clock that the scenario moves, and marks on the
spans that show the fault.

    @fault("loop", "two clerks send a form back and forth")
    def forms(s: Stage) -> None:
        for _ in range(s.times(8)):
            with s.key(), s.agent("Clerk"):
                s.llm(s.phrase(ASKS))

Everything is recorded by the real shim. Lanes given to `s.parallel` are played one after the other, each from the same moment,
so that their times overlap as they would in a concurrent program.
"""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from typing import Any, TypeVar
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context

import tracer
from tests.benchmarks.scenarios.knobs import Knobs
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.recording import StageClock
from tests.benchmarks.scenarios.words import fact, name_of_thing
from tracer.capture.live import LiveSpan
from tracer.capture.scope import Scope

S = TypeVar("S", bound=LiveSpan)


class Stage:
    """One run being played."""

    def __init__(
        self,
        clock: StageClock,
        knobs: Knobs,
        rng: random.Random,
        tracer_of: Callable[[str], trace.Tracer],
        index: int = 0,
    ) -> None:
        self.clock = clock
        self._foreign = tracer_of("opentelemetry.instrumentation.requests")
        self._raw = tracer_of("in.house.instrumentation")
        self.knobs = knobs
        self.rng = rng
        self.index = index
        """number of the run among those of its scenario"""
        self.keys: list[str] = []
        """ids of the spans that show the fault, in order of start"""
        self.repetitions: list[str] = []
        """id of the first span of each repetition of what repeats"""
        self.guilty = False
        """whether this run is the one at fault, where a scenario has many"""
        self.ended: str | None = None
        """outcome of the run, where it is told"""
        self.transcript: list[Mapping[str, Any]] = []
        """messages, where the run is known from its transcript alone"""
        self.key_steps: set[int] = set()
        """which of them show the fault"""
        self.repeated_steps: list[int] = []
        """which of them begin a repetition"""
        self._marking = 0
        self._step = 0

    # time and chance

    def go(self, seconds: float) -> None:
        self.clock.ns += round(seconds * 1e9)

    def times(self, around: int) -> int:
        """A number near `around`."""
        return max(3, round(around * self.rng.uniform(0.8, 1.3)))

    def phrase(self, phrase: Phrase) -> str:
        return phrase.said(self.knobs.wording, self.rng)

    def fact(self) -> str:
        """A sentence that says something never said before."""
        return fact(self.rng)

    def thing(self) -> str:
        """A name never used before."""
        return name_of_thing(self.rng)

    @contextmanager
    def key(self) -> Generator[None]:
        """Spans begun in the block show the fault."""
        self._marking += 1
        self.guilty = True
        try:
            yield
        finally:
            self._marking -= 1

    def again(self) -> None:
        """The next span begins a repetition of what repeats."""
        self.repetitions.append("")

    def parallel(self, *lanes: Callable[[], object]) -> None:
        """Play lanes as concurrent work; goes on when the longest has ended."""
        start = latest = self.clock.ns
        for lane in lanes:
            self.clock.ns = start
            lane()
            latest = max(latest, self.clock.ns)
        self.clock.ns = latest

    # spans

    def _seen(self, span: S) -> S:
        self.note(span.span_id)
        return span

    def note(self, span_id: str) -> None:
        """A span begun by the scenario itself: it may be the first of a repetition, and may show the fault."""
        if self.repetitions and not self.repetitions[-1]:
            self.repetitions[-1] = span_id
        if self._marking:
            self.keys.append(span_id)

    @contextmanager
    def raw(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        seconds: float = 0.3,
        error: str | None = None,
        parent: Context | None = None,
    ) -> Generator[trace.Span]:
        """A span of plain OpenTelemetry, as another instrumentation would write it."""
        self.clock.ns += 500_000
        with self._raw.start_as_current_span(
            name, parent, start_time=self.clock.ns, attributes=dict(attributes), end_on_exit=False
        ) as span:
            self.note(f"{span.get_span_context().span_id:016x}")
            yield span
            self.go(seconds)
            if error is not None:
                span.set_attribute("error.type", error.split(":", 1)[0])
                span.set_status(trace.StatusCode.ERROR, error)
            span.end(self.clock.ns)

    def say(self, who: str, text: str, **more: Any) -> None:
        """One message of a run that is known from its transcript alone."""
        step = len(self.transcript)
        if self._marking:
            self.key_steps.add(step)
        if self.repetitions and not self.repetitions[-1]:
            self.repetitions.pop()
            self.repeated_steps.append(step)
        self.transcript.append({"name": who, "content": text, **more})

    def _noise(self) -> None:
        if self.knobs.irrelevant and self.rng.random() < self.knobs.irrelevant:
            self._step += 1
            with self._foreign.start_as_current_span(
                self.rng.choice(("GET /health", "SELECT sessions", "redis GET", "feature flag", "POST /metrics")),
                start_time=self.clock.ns,
                end_on_exit=False,
            ) as span:
                span.set_attribute("http.route", f"/internal/{self._step}")
                self.clock.ns += 2_000_000
                span.end(self.clock.ns)

    @contextmanager
    def _lasting(self, scope: Scope[S], seconds: float = 0.002) -> Generator[S]:
        self.clock.ns += 500_000
        with scope as span:
            self._seen(span)
            self._noise()
            yield span
            self.clock.ns += round(seconds * 1e9)
        self.clock.ns += 500_000

    @contextmanager
    def agent(
        self, name: str, task: str | None = None, *, task_id: str | None = None, **more: Any
    ) -> Generator[LiveSpan]:
        with self._lasting(tracer.agent(name, input=task, task_id=task_id, **more)) as span:
            yield span

    def llm(
        self,
        answer: str | Mapping[str, Any] | None = None,
        prompt: str | Sequence[Mapping[str, str]] | None = None,
        *,
        model: str = "gpt-4o-mini",
        tokens: tuple[int, int] | None = None,
        seconds: float | None = None,
        error: BaseException | str | None = None,
        visible: bool = False,
        calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
        cost_usd: float | None = None,
        **more: Any,
    ) -> LiveSpan:
        """One model call; `prompt` is the user's message or the whole history. Without one it is told to go on, which is no news to it."""
        said = answer if answer is not None else self.fact()
        asked = prompt if prompt is not None else f"Go on. Request {UUID(bytes=md5(self.fact().encode()).digest())}"
        history = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)
        length = sum(len(str(m.get("content", ""))) for m in history)
        given = tokens or (150 + length // 4, 12 + len(str(said)) // 4)
        lasting = seconds if seconds is not None else 0.4 + given[1] / 80 * self.rng.lognormvariate(0, 0.2)
        scope = tracer.llm_call(model, messages=history, provider="openai", user_visible=visible, **more)
        with self._lasting(scope) as span:
            self.go(lasting)
            if error is not None:
                span.fail(error)
                span.usage(input_tokens=given[0], output_tokens=0, cost_usd=cost_usd)
            else:
                message: dict[str, Any] = {"role": "assistant", "content": said}
                if calls:
                    message["tool_calls"] = [
                        {"id": f"call_{self.rng.getrandbits(40):x}", "name": name, "arguments": dict(arguments)}
                        for name, arguments in calls
                    ]
                span.completion(message)
                span.usage(input_tokens=given[0], output_tokens=given[1], cost_usd=cost_usd)
        return span

    def tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        result: Any = None,
        *,
        seconds: float = 0.3,
        error: BaseException | str | None = None,
        **more: Any,
    ) -> LiveSpan:
        scope = tracer.tool(name, arguments=arguments or {}, **more)
        with self._lasting(scope) as span:
            self.go(seconds * self.rng.uniform(0.8, 1.2))
            if error is not None:
                span.fail(error)
            elif result is not None:
                span.output(result)
        return span

    def handoff(self, to: str, text: str | None = None, *, task_id: str | None = None, **more: Any) -> LiveSpan:
        self.go(0.001)
        return self._seen(tracer.handoff(to, payload=text, reason=text, task_id=task_id, **more).record())

    def tell(self, to: str, text: str, *, task_id: str | None = None, **more: Any) -> LiveSpan:
        self.go(0.001)
        return self._seen(tracer.message(text, to=to, task_id=task_id, **more).record())

    def read(self, state_key: str, value: Any, version: int | None = None) -> LiveSpan:
        self.go(0.003)
        return self._seen(tracer.state_read(state_key, value, version=version))

    def write(self, state_key: str, before: Any, after: Any, version: int | None = None, **more: Any) -> LiveSpan:
        self.go(0.003)
        return self._seen(tracer.state_write(state_key, before=before, after=after, version=version, **more))

    def wait(
        self, *for_: str, seconds: float, outcome: str = "met", deadline_s: float | None = None, **more: Any
    ) -> LiveSpan:
        deadline = None if deadline_s is None else self.clock.ns + round(deadline_s * 1e9)
        with self._lasting(tracer.wait(*for_, deadline_ns=deadline, **more)) as span:
            self.go(seconds)
            getattr(span, outcome)()
        return span

    def decide(self, scope: str, choice: str, *, acted: bool | None = None, **more: Any) -> LiveSpan:
        self.go(0.002)
        return self._seen(tracer.decision(scope, choice=choice, acted_on=acted, **more).record())

    def escalate(self, to: str, question: str, *, seconds: float = 60.0, answer: str = "yes") -> LiveSpan:
        with self._lasting(tracer.escalate(to, question=question)) as span:
            self.go(seconds)
            span.answer(answer)
        return span

    def hang(self, scope: Scope[S], inside: Callable[[], object] | None = None) -> S:
        """Begin something that never ends; `inside` is played within it."""
        found: list[S] = []

        def play() -> None:
            found.append(self._seen(scope.__enter__()))
            if inside is not None:
                inside()

        contextvars.copy_context().run(play)
        return found[0]

    def detached(self, scope: Scope[S]) -> Callable[[Callable[[], object]], None]:
        """Begin a span below the present one that may outlive it; what is given plays the rest of it and ends it."""
        context = contextvars.copy_context()
        self._seen(context.run(scope.__enter__))

        def finish(inside: Callable[[], object]) -> None:
            context.run(inside)
            context.run(scope.__exit__, None, None, None)

        return finish
