"""A support desk as somebody might write it: two agents, a shared ticket, and a model that is a function here."""

from __future__ import annotations

import asyncio

import tracer


def ask(agent: str, question: str, answer: str, *, tokens: int = 200) -> str:
    """One model call of one agent."""
    with tracer.agent(agent), tracer.llm_call("gpt-4o", messages=[{"role": "user", "content": question}], provider="openai") as call:  # fmt: skip
        call.completion(answer)
        call.usage(input_tokens=tokens, output_tokens=tokens // 4)
    return answer


def answer(question: str) -> str:
    """The healthy desk: look it up, write it down, done."""
    with tracer.workflow("desk"):
        found = ask("clerk", question, "The parcel left Oslo on Monday and arrives on Thursday.")
        return ask(
            "writer", f"Word this kindly: {found}", "Good news: your parcel from Oslo will be with you on Thursday."
        )


def answer_in_circles(question: str) -> str:
    """Clerk and writer each wait for the other to say something new."""
    with tracer.workflow("desk"):
        for _ in range(8):
            ask("clerk", question, "I need more context before I can go on.")
            tracer.message("I need more context before I can go on.", to="writer", sender="clerk").record()
            ask("writer", "I need more context before I can go on.", "Please send me the data first.")
            tracer.message("Please send me the data first.", to="clerk", sender="writer").record()
    return ""


def answer_at_any_price(question: str) -> str:
    """One call with far too much in it."""
    with tracer.workflow("desk"):
        return ask("clerk", question, "On Thursday.", tokens=400_000)


async def decide(agent: str, choice: str) -> None:
    """One agent settles what is done about order 7."""
    with tracer.agent(agent):
        await asyncio.sleep(0)
        with tracer.decision("refund of order 7", choice=choice, options=["full refund", "no refund"], acted_on=True):
            await asyncio.sleep(0)


def answer_twice(question: str) -> None:
    """Two agents decide the same thing differently at the same time, neither knowing of the other."""

    async def both() -> None:
        with tracer.workflow("desk"):
            await asyncio.gather(decide("clerk", "full refund"), decide("auditor", "no refund"))

    asyncio.run(both())
