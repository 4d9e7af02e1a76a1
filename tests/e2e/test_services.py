"""Two processes that talk to each other, over HTTP or as MCP client and server, are one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.capture_auto.running import run
from tests.e2e.environments import Environments
from tests.e2e.found import Found
from tests.e2e.frameworks import PROGRAMS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an environment may be installed meanwhile
HTTP_CLIENTS = ("urllib", "requests", "httpx", "httpx2", "httpx-async", "aiohttp")


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments.of_run(tmp_path_factory)


@pytest.mark.parametrize("server", ["fastapi", "flask", "aiohttp"])
def test_two_processes_over_http_are_one_run(server: str, environments: Environments, tmp_path: Path) -> None:
    """Whatever client asks whatever server: the work done there lies below the span that asked, in another process."""
    python = environments.python("clients")
    done = run(tmp_path, "--", str(python), str(PROGRAMS / "caller.py"), server)
    assert done.code == 0, done.err
    found = Found(done.store)
    for client in HTTP_CLIENTS:
        served, above = _above(found, f"served {client}")
        assert [row["name"] for row in above][-2:] == [
            f"asking {client}",
            "main",
        ]  # FastAPI has spans of its own between
        assert served["pid"] != above[-1]["pid"]


@pytest.mark.parametrize("environment", ["clients", "mcp 1"])
def test_mcp_client_and_server_are_one_run(environment: str, environments: Environments, tmp_path: Path) -> None:
    """The tool's work in the server, a child process with an environment of its own, lies below the span that called it."""
    python = environments.python(environment)
    done = run(tmp_path, "--", str(python), str(PROGRAMS / "mcp_client.py"))
    assert (done.code, done.out.strip()) == (0, "A-17: delivered"), done.err
    found = Found(done.store)
    looking, above = _above(found, "looking up")
    assert [row["name"] for row in above][-2:] == ["asking", "main"]  # MCP has spans of its own between
    assert looking["pid"] != above[-1]["pid"]


def _above(found: Found, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The span `name`, and those it lies in, nearest first."""
    rows = {row["span_id"]: row for row in found.spans.iter_rows(named=True)}
    (span,) = (row for row in rows.values() if row["name"] == name)
    above = [span]
    while above[-1]["parent_span_id"] in rows:
        above.append(rows[above[-1]["parent_span_id"]])
    return span, above[1:]
