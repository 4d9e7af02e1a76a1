"""`tracehound dashboard`: the Streamlit app on this machine."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from contextlib import nullcontext
from getpass import getpass
from pathlib import Path
from urllib.parse import urlencode

from dashboard.commands.common import add_lake, add_store, port
from dashboard.lakes import store_of_runs
from tracer.errors import BadInput


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=8501, help="port to listen on, 0 for any (default: 8501)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: this machine only); any other needs a password in $TRACEHOUND_PASSWORD or --oidc",
    )
    parser.add_argument(
        "--oidc",
        type=Path,
        metavar="FILE",
        help="single sign-on: the secrets.toml with [auth] of the provider and who may look",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument("--trace", metavar="TRACE", help="open this run first")
    add_lake(parser, "show the run --trace of this lake, with others of its workflow")
    add_store(parser)


def run(args: Namespace) -> int:
    """Serve until interrupted; returns the server's exit code."""
    # Streamlit comes with an extra; only this command needs it
    from dashboard.gate import password_for
    from dashboard.launch import free_port, serve
    from dashboard.sign_in import read_sign_in

    sign_in = None if args.oidc is None else read_sign_in(args.oidc)
    password = None if sign_in else password_for(args.host, ask=_ask if sys.stdin.isatty() else None)
    if args.lake is not None and args.trace is None:
        raise BadInput(
            "A lake is shown run by run.",
            hint="add --trace TRACE; `tracehound import LAKE` brings all of it into a store.",
        )
    path = "" if args.trace is None else f"trace?{urlencode({'trace': args.trace})}"
    with nullcontext() if args.lake is None else store_of_runs(args.lake, [str(args.trace)]) as fetched:
        store = args.store if fetched is None else fetched.path
        return serve(
            store,
            host=args.host,
            port=args.port or free_port(),
            path=path,
            open_browser=not args.no_browser,
            password=password,
            sign_in=sign_in,
        )


def _ask() -> str:
    return getpass("Password that the pages will ask for: ")
