"""`tracehound dashboard`: the Streamlit app on this machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dashboard.commands.common import add_store


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default: 8501)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    add_store(parser)


def run(args: Namespace) -> int:
    """Serve until interrupted; returns the server's exit code."""
    from dashboard.launch import serve  # Streamlit comes with an extra; only this command needs it

    return serve(args.store, port=args.port, open_browser=not args.no_browser)
