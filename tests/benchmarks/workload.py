"""The programs that benchmarks record, apart from whoever records them. Standard library only: peers' environments run it too.

One run is 1 workflow > 5 agents > 23 LLM calls; the chat history grows from 4 to 40 KB (mean 22 KB a call), each answer has 1 KB.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

AGENTS, CALLS = 5, 23
SPANS = 1 + AGENTS + CALLS
WORDS = [
    "the",
    "agent",
    "looks",
    "at",
    "the",
    "order",
    "and",
    "asks",
    "the",
    "warehouse",
    "for",
    "stock",
    "before",
    "it",
    "answers",
    "the",
    "customer",
    "again",
]

Chat = list[dict[str, str]]


def text(size: int, salt: int) -> str:
    """Words of about `size` bytes, different for each `salt`."""
    return f"{salt} " + " ".join(WORDS[(salt * 7 + n * 3) % len(WORDS)] for n in range(size // 6))


def prepare(salt: int) -> tuple[Chat, list[str]]:
    """(messages to start with and to add, answers): 4 KB at first, about 1.6 KB more with each call; distinct for each `salt`."""
    messages = [
        {"role": "system", "content": text(3_000, 0) + str(salt)},
        {"role": "user", "content": text(1_000, 1) + str(salt)},
    ]
    messages += [{"role": "user" if n % 2 else "tool", "content": f"{salt} {text(640, n + 2)}"} for n in range(CALLS)]
    return messages, [f"{salt} {text(1_000, n + 100)}" for n in range(CALLS)]


class Arm(Protocol):
    """One way to record the workload."""

    def run(self) -> AbstractContextManager[Any]: ...

    def agent(self, name: str) -> AbstractContextManager[Any]: ...

    def call(self, chat: Chat, answer: str, number: int) -> None:
        """One LLM call: the messages sent, what came back, and about 14 attributes."""
        ...

    def flush(self) -> None:
        """Return when everything has left the process or is on disk."""
        ...


def play(arm: Arm, messages: Chat, answers: list[str]) -> None:
    """One run, recorded by `arm`."""
    chat = messages[:2]
    done = 0
    with arm.run():
        for agent in range(AGENTS):
            with arm.agent(f"agent-{agent}"):
                for _ in range(CALLS // AGENTS + (agent < CALLS % AGENTS)):
                    arm.call(chat, answers[done], done)
                    chat.append({"role": "assistant", "content": answers[done]})
                    chat.append(messages[2 + done])
                    done += 1
