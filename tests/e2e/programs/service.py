"""A service with one page, which does a piece of traced work. service.py fastapi|flask|aiohttp; prints its port."""

import socket
import sys

from opentelemetry import trace

work = trace.get_tracer("service").start_as_current_span
listener = socket.create_server(("127.0.0.1", 0))


def served(path: str) -> str:
    with work(f"served {path}"):
        return "done"


def fastapi() -> None:
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()
    app.get("/{path}")(served)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run([listener])


def flask() -> None:
    from flask import Flask
    from werkzeug.serving import make_server

    app = Flask("service")
    app.get("/<path>")(served)
    make_server("127.0.0.1", 0, app, fd=listener.fileno(), threaded=True).serve_forever()


def aiohttp() -> None:
    from aiohttp import web

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=served(request.match_info["path"]))

    app = web.Application()
    app.router.add_get("/{path}", page)
    web.run_app(app, sock=listener, print=None)


print(listener.getsockname()[1], flush=True)
{"fastapi": fastapi, "flask": flask, "aiohttp": aiohttp}[sys.argv[1]]()
