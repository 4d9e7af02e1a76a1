"""The openai client without any framework: chat and responses, plain, async and streamed, in this process and in others."""

import asyncio
import multiprocessing
import sys
import threading

from openai import AsyncOpenAI, OpenAI

MODEL = "gpt-4.1-mini"
MESSAGES = [{"role": "system", "content": "You are plain."}, {"role": "user", "content": "Hello?"}]


def ask() -> None:
    OpenAI().chat.completions.create(model=MODEL, messages=MESSAGES)


async def ask_async() -> None:
    client = AsyncOpenAI()
    await client.responses.create(model=MODEL, instructions="You are plain.", input="Hello?")
    stream = await client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    print("".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]).strip())


if __name__ == "__main__":
    ask()
    for _ in OpenAI().responses.create(model=MODEL, input="Hello?", stream=True):
        pass
    asyncio.run(ask_async())
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    for method in sys.argv[1:]:
        process = multiprocessing.get_context(method).Process(target=ask)
        process.start()
        process.join()
        assert process.exitcode == 0
