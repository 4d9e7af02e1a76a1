"""The optional LLM judge: any endpoint that speaks OpenAI's chat completions, reached with the standard library.

Nothing is sent anywhere unless `--judge URL` is given; then the task, an outline of each failed run and the texts of its suspects are.
The key, where one is needed, comes from the environment (`KEY_VARIABLE`) and goes to that URL only: redirects are not followed.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from analyzers.attribution.judge import Judge, JudgeFailed
from tracer.errors import BadInput, shorten

KEY_VARIABLE = "TRACEHOUND_JUDGE_KEY"
TIMEOUT_S = 120.0
ANSWER_BYTES = 1_000_000
PATH = "/chat/completions"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def add_judge(parser: ArgumentParser) -> None:
    """`--judge URL --judge-model M`."""
    parser.add_argument(
        "--judge",
        metavar="URL",
        help="let a model re-rank the suspects of failed runs: base URL of an OpenAI-compatible endpoint, "
        f"e.g. http://localhost:11434/v1 (off by default; texts of the runs are sent there; key: ${KEY_VARIABLE})",
    )
    parser.add_argument("--judge-model", metavar="MODEL", help="the model that is asked, by the endpoint's name for it")


def judge_of(args: Namespace) -> Judge | None:
    """The judge that the options name, None without `--judge`.

    Raises:
        BadInput: one of the two options is missing, or the URL is none.
    """
    url: str | None = args.judge
    model: str | None = args.judge_model
    if url is None and model is None:
        return None
    if url is None:
        raise BadInput(f"--judge-model {model!r} was given, but no endpoint to ask.", hint="add --judge URL.")
    if not model:
        raise BadInput("--judge was given, but no model.", hint="add --judge-model NAME, as the endpoint calls it.")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise BadInput(f"--judge expects an http(s) URL, not {url!r}.", hint="for example http://localhost:11434/v1.")
    return Judge(model=model, ask=lambda messages: complete(url, model, messages))


def complete(url: str, model: str, messages: Sequence[Mapping[str, str]]) -> str:
    """The text of the model's answer.

    Raises:
        JudgeFailed: the endpoint cannot be reached, refuses, or answers with something else.
    """
    body: dict[str, Any] = {"model": model, "messages": list(messages)}
    try:
        answer = _post(url, {**body, "temperature": 0})
    except HTTPError as error:
        if error.code != 400:
            raise _refused(url, error) from error
        try:  # some models take no temperature
            answer = _post(url, body)
        except HTTPError as again:
            raise _refused(url, again) from again
    try:
        text = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        shown = shorten(answer.decode("utf-8", "replace"))
        raise JudgeFailed(f"The judge at {url} did not answer as chat completions do: {shown!r}.")
    return text


def _post(url: str, body: Mapping[str, Any]) -> bytes:
    target = url.rstrip("/").removesuffix(PATH) + PATH
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    key = os.environ.get(KEY_VARIABLE)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = Request(target, data=json.dumps(body).encode(), headers=headers, method="POST")
    try:
        with _opener(urlsplit(url).hostname or "").open(request, timeout=TIMEOUT_S) as answer:
            return answer.read(ANSWER_BYTES)
    except HTTPError:
        raise
    except (URLError, HTTPException, OSError) as error:
        why = error.reason if isinstance(error, URLError) else error
        raise JudgeFailed(f"The judge at {url} cannot be reached: {why or type(error).__name__}.", lasting=True) from error  # fmt: skip


def _refused(url: str, error: HTTPError) -> JudgeFailed:
    said = shorten(error.read(2_000).decode("utf-8", "replace").strip())
    return JudgeFailed(f"The judge at {url} answered with HTTP {error.code}: {said!r}.", lasting=error.code < 500)


class _Stay(HTTPRedirectHandler):
    """A redirect is an error: the texts and the key go where they were meant to go, or nowhere."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


def _opener(host: str) -> OpenerDirector:
    """This machine is reached directly, whatever proxy the environment names."""
    return build_opener(_Stay, *([ProxyHandler({})] if host in LOOPBACK else []))
