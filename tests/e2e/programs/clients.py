"""Client libraries without any framework: plain and async, whole and streamed. clients.py LIBRARY URL"""

import asyncio
import sys

LIBRARY, URL = sys.argv[1:]
ASKED = [{"role": "user", "content": "Hello?"}]


def anthropic() -> None:
    from anthropic import Anthropic, AsyncAnthropic

    asked = {"model": "claude-sonnet-4-5", "max_tokens": 300, "messages": ASKED}
    client = Anthropic(api_key="sk", base_url=URL)
    print(client.messages.create(**asked).content[0].text)
    with client.messages.create(**asked, stream=True) as events:
        print("".join(e.delta.text for e in events if e.type == "content_block_delta").strip())

    async def later() -> None:
        client = AsyncAnthropic(api_key="sk", base_url=URL)
        print((await client.messages.create(**asked)).content[0].text)
        stream = await client.messages.create(**asked, stream=True)
        print("".join([e.delta.text async for e in stream if e.type == "content_block_delta"]).strip())

    asyncio.run(later())


def anthropic_helpers() -> None:
    from anthropic import Anthropic, AsyncAnthropic

    asked = {"model": "claude-sonnet-4-5", "max_tokens": 300, "messages": ASKED}
    client = Anthropic(api_key="sk", base_url=URL)
    client.messages.stream(**asked)  # never entered: no request
    with client.messages.stream(**asked) as events:
        print("".join(events.text_stream).strip())
    print(client.beta.messages.create(**asked).content[0].text)

    async def later() -> None:
        client = AsyncAnthropic(api_key="sk", base_url=URL)
        async with client.messages.stream(**asked) as events:
            print((await events.get_final_message()).content[0].text.strip())
        async with client.beta.messages.stream(**asked) as events:
            print("".join([text async for text in events.text_stream]).strip())

    asyncio.run(later())


def google() -> None:
    from google import genai

    client = genai.Client(api_key="k", http_options={"base_url": URL})
    asked = {"model": "gemini-2.5-flash", "contents": "Hello?"}
    print(client.models.generate_content(**asked).text)
    print("".join(chunk.text for chunk in client.models.generate_content_stream(**asked)).strip())

    async def later() -> None:
        print((await client.aio.models.generate_content(**asked)).text)
        stream = await client.aio.models.generate_content_stream(**asked)
        print("".join([chunk.text async for chunk in stream]).strip())

    asyncio.run(later())


def litellm() -> None:
    from litellm import acompletion, completion

    asked = {"model": "openai/gpt-4.1-mini", "messages": ASKED, "api_base": f"{URL}/v1", "api_key": "sk"}
    streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    print(completion(**asked).choices[0].message.content)
    print("".join(c.choices[0].delta.content or "" for c in completion(**streamed) if c.choices).strip())

    async def later() -> None:
        print((await acompletion(**asked)).choices[0].message.content)
        print(
            "".join(
                [c.choices[0].delta.content or "" async for c in await acompletion(**streamed) if c.choices]
            ).strip()
        )

    asyncio.run(later())


{"anthropic": anthropic, "anthropic_helpers": anthropic_helpers, "google": google, "litellm": litellm}[LIBRARY]()
