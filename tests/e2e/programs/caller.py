"""Calls a service with every HTTP client there is, each inside a span of its own. caller.py fastapi|flask|aiohttp"""

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx
import httpx2
import requests
from opentelemetry import trace

span = trace.get_tracer("caller").start_as_current_span


async def with_aiohttp(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        await response.text()


async def with_async_httpx(url: str) -> None:
    async with httpx.AsyncClient() as client:
        await client.get(url)


CLIENTS: dict[str, Callable[[str], object]] = {
    "urllib": lambda url: urllib.request.urlopen(url).read(),
    "requests": lambda url: requests.get(url).text,
    "httpx": lambda url: httpx.get(url).text,
    "httpx2": lambda url: httpx2.get(url).text,
    "httpx-async": lambda url: asyncio.run(with_async_httpx(url)),
    "aiohttp": lambda url: asyncio.run(with_aiohttp(url)),
}
service = subprocess.Popen(
    [sys.executable, str(Path(__file__).with_name("service.py")), sys.argv[1]], stdout=subprocess.PIPE, text=True
)
port = int(service.stdout.readline())
try:
    with span("main"):
        for name, call in CLIENTS.items():
            with span(f"asking {name}"):
                call(f"http://127.0.0.1:{port}/{name}")
finally:
    service.terminate()
    service.wait()
