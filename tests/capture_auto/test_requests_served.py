"""A server handles many requests at once: what it does for each, also after the answer, is a run of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.capture_auto.running import run, write
from tests.guards.clients import FILES
from tracer.store import reads
from tracer.store.database import Store

CALL = """
from types import SimpleNamespace as N
import openai
from openai.resources.chat.completions import AsyncCompletions, Completions
openai.server = lambda asked: N(model="gpt-4o", usage=N(prompt_tokens=int(asked["user"]), completion_tokens=1), choices=[])
"""
STARLETTE = """
import asyncio, httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
after = set()
async def call(number):
    await AsyncCompletions().create(model="gpt-4o", messages=[], user=number)
    await asyncio.sleep(0)
async def order(request):
    number = request.path_params["number"]
    for _ in range(2):
        await call(number)
    after.add(asyncio.create_task(call(number)))
    return PlainTextResponse("ok")
async def main():
    app = Starlette(routes=[Route("/orders/{number}", order)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        await asyncio.gather(*(client.get(f"/orders/{number}") for number in range(1, 21)))
    await asyncio.gather(*after)
    await call("99")
asyncio.run(main())
"""
PLAIN = """
import http.client, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        for _ in range(3):
            Completions().create(model="gpt-4o", messages=[], user=self.path[1:])
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
def ask(numbers):
    connection = http.client.HTTPConnection(*server.server_address)
    for number in numbers:  # over one connection
        connection.request("GET", f"/{number}"); connection.getresponse().read()
askers = [threading.Thread(target=ask, args=(range(first, first + 5),)) for first in (1, 6, 11, 16)]
for asker in askers: asker.start()
for asker in askers: asker.join()
Completions().create(model="gpt-4o", messages=[], user="99")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("server", "workflow"), [(STARLETTE, "GET /orders/{number}"), (PLAIN, "program")])
def test_requests_are_runs(server: str, workflow: str, tmp_path: Path) -> None:
    """Twenty of three calls each, told apart by their tokens; what no request asked for is the program's run."""
    for name, body in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    write(tmp_path, program=CALL + server)

    done = run(tmp_path, "--", "program.py")

    assert done.code == 0, done.err
    spans = reads.load(Store(done.store)).spans
    runs = {tokens: rows for (tokens,), rows in spans.group_by("input_tokens")}
    assert runs.pop(99)["workflow"].to_list() == ["program"]
    assert sorted(runs) == list(range(1, 21))
    assert all(rows.height == 3 and rows["run_id"].n_unique() == 1 for rows in runs.values())
    assert {rows["workflow"].item(0) for rows in runs.values()} == {workflow}
    assert spans["run_id"].n_unique() == 21
