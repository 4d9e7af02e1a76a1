"""`tracehound dashboard`: the Streamlit app on this machine."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from getpass import getpass

from dashboard.commands.common import add_store


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default: 8501)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: this machine only); any other needs a password in $TRACEHOUND_PASSWORD",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    add_store(parser)


def run(args: Namespace) -> int:
    """Serve until interrupted; returns the server's exit code."""
    # Streamlit comes with an extra; only this command needs it
    from dashboard.gate import password_for
    from dashboard.launch import serve

    password = password_for(args.host, ask=_ask if sys.stdin.isatty() else None)
    return serve(args.store, host=args.host, port=args.port, open_browser=not args.no_browser, password=password)


def _ask() -> str:
    return getpass("Password that the pages will ask for: ")
