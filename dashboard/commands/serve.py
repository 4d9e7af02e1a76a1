"""`tracehound serve`: an OTLP/HTTP receiver for programs in other processes, languages and machines."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from dashboard.commands.common import add_lake, add_store, note, port, positive_int, seconds_given
from tracer.errors import BadInput

TOKEN_VARIABLE = "TRACEHOUND_TOKEN"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=port, default=4318, help="port to listen on, 0 for any (default: 4318)")
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE) or None,
        help=f"bearer token clients must send; better in ${TOKEN_VARIABLE}. Needed unless --host is this machine",
    )
    parser.add_argument("--forward", metavar="URL", help="send everything on to this OTLP/HTTP back-end as well")
    parser.add_argument(
        "--forward-header",
        action="append",
        default=[],
        type=_header,
        metavar="NAME=VALUE",
        help="a header for that back-end, such as its key; may be repeated",
    )
    parser.add_argument(
        "--max-body", type=positive_int, default=64, metavar="MB", help="largest request, also inflated (default: 64)"
    )
    parser.add_argument(
        "--fold-every",
        type=seconds_given,
        default=1.0,
        metavar="S",
        help="seconds between folds into the database; 0 leaves them to the commands that read (default: 1)",
    )
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="alert rules and channels in TOML, over the defaults"
    )
    parser.add_argument(
        "--alerts-every",
        type=seconds_given,
        default=60.0,
        metavar="S",
        help="seconds between two looks at the alert rules; 0 leaves them to `tracehound alerts` (default: 60)",
    )
    add_lake(parser, "ship whole runs to this lake once nothing new came for a minute; the store keeps them for a day")
    add_store(parser)


def run(args: Namespace) -> int:
    """Receive until SIGINT or SIGTERM, then fold what is left."""
    from analyzers.alerts.parsing import rules_of
    from analyzers.toml_tables import TomlFile
    from dashboard.alerting.channels import channels_of
    from dashboard.alerting.service import AlertService
    from dashboard.store_metrics import StoreCollector
    from tracer.lake.layout import open_lake
    from tracer.receiver.options import MB, Options
    from tracer.receiver.server import serve

    if args.rules:
        file = TomlFile.read(args.rules)  # a mistake must be seen now, not in a minute
        rules_of(file)
        channels_of(file)
    if args.lake is not None:
        if not args.fold_every:
            raise BadInput("--lake ships what was folded.", hint="leave --fold-every 0 out.")
        open_lake(args.lake, create=True)  # a mistake must be seen now
    alerting = AlertService(args.store, args.rules, args.alerts_every, note) if args.alerts_every else None
    if alerting is not None:
        alerting.start()
    serve(
        Options(
            store=args.store,
            host=args.host,
            port=args.port,
            token=args.token,
            max_body=args.max_body * MB,
            max_held=max(2 * args.max_body, 128) * MB,
            fold_every_s=args.fold_every,
            lake=args.lake,
            forward=args.forward,
            forward_headers=dict(args.forward_header),
        ),
        note,
        StoreCollector(args.store).families,
    )
    if alerting is not None:
        alerting.stop()
    return 0


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.strip() or not equals or any(ord(c) < 32 for c in text):
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip(), value.strip()
