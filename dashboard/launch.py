"""Starts the Streamlit app as its own process, with everything that matters for safety and looks fixed by flag.

Flags win over any `.streamlit/config.toml` in the folder the user happens to stand in, which Streamlit would
otherwise merge into ours.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from types import FrameType

from dashboard.gate import PASSWORD_VARIABLE, password_for
from dashboard.sign_in import OIDC_VARIABLE, SignIn, is_loopback
from tracer.errors import BadInput, TracehoundError

APP = Path(__file__).with_name("app.py")
LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
DEFAULT_PORT = 8501
STORE_VARIABLE = "TRACEHOUND_STORE"

FONT = "Inter, 'Segoe UI', system-ui, -apple-system, 'Helvetica Neue', Arial, sans-serif"
MONO = "'JetBrains Mono', ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

_SAFETY: dict[str, str] = {
    "server.headless": "true",
    "server.enableXsrfProtection": "true",
    "server.enableCORS": "true",
    "server.enableStaticServing": "false",
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    # An exception's text can hold a prompt; it belongs in the server's log, not on the page.
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "minimal",
    "runner.magicEnabled": "false",
    "logger.level": "warning",
    # Its greeting looks up what address the world sees this machine at; `serve` prints an address of its own.
    "logger.hideWelcomeMessage": "true",
}

_THEME: dict[str, str] = {
    "theme.font": FONT,
    "theme.codeFont": MONO,
    "theme.baseFontSize": "14",
    "theme.baseRadius": "6px",
    "theme.headingFontSizes": '["1.5rem", "1.15rem", "1rem", "0.95rem", "0.9rem", "0.85rem"]',
    "theme.headingFontWeights": "[650, 600, 600, 600, 600, 600]",
    "theme.metricValueFontSize": "1.6rem",
    "theme.metricValueFontWeight": "600",
    "theme.paddingTop": "1.1rem",
    "theme.paddingBottom": "2rem",
    "theme.showWidgetBorder": "true",
    "theme.light.primaryColor": "#2F5BD7",
    "theme.light.backgroundColor": "#FFFFFF",
    "theme.light.secondaryBackgroundColor": "#F5F6F8",
    "theme.light.textColor": "#16191F",
    "theme.light.borderColor": "#DFE2E8",
    "theme.light.linkColor": "#2F5BD7",
    "theme.light.grayTextColor": "#5B6472",
    "theme.dark.primaryColor": "#7C9DFF",
    "theme.dark.backgroundColor": "#111419",
    "theme.dark.secondaryBackgroundColor": "#1A1E26",
    "theme.dark.textColor": "#E6E9EF",
    "theme.dark.borderColor": "#2E343F",
    "theme.dark.linkColor": "#8FABFF",
    "theme.dark.grayTextColor": "#9AA4B2",
}


class DashboardFailed(TracehoundError):
    """The server ended, or did not answer in time."""


def server_command(
    *, host: str = LOOPBACK, port: int = DEFAULT_PORT, guarded: bool = False, sign_in: SignIn | None = None
) -> list[str]:
    """The command line of the server. `-P` keeps modules of the user's folder (a `tracer.py`!) from shadowing ours.

    Args:
        guarded: the pages ask who looks, so that a proxy may serve them under any name.
        sign_in: the file of the provider, which Streamlit reads as its secrets; of another folder's it reads none.
    """
    options = {**_SAFETY, **_THEME, "server.address": host, "server.port": str(port)}
    flags = [f"--{name}={value}" for name, value in options.items()]
    if is_loopback(host) and not guarded:
        # A name that a hostile page makes point to this machine is refused: nothing else protects what has no password.
        flags += [f"--server.allowedHosts={name}" for name in sorted({*_LOOPBACK_NAMES, host})]
    if sign_in is not None:
        flags.append(f"--secrets.files={sign_in.path}")
    return [sys.executable, "-P", "-m", "dashboard.server", "run", str(APP), *flags]


def start(
    store: str | Path,
    *,
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    log: Path | None = None,
    password: str | None = None,
    sign_in: SignIn | None = None,
) -> subprocess.Popen[bytes]:
    """Start the server on `store` and return its process at once; `wait_until_ready` says when it answers.

    Args:
        store: the DuckDB file; it need not exist yet, the pages then say how to fill it.
        log: file for the server's output; without one its errors go to our stderr.
        password: what the pages ask for; by default `TRACEHOUND_PASSWORD`.
        sign_in: who may look is asked of a provider, and no password.

    Raises:
        BadInput: `port` is taken, `host` is not one of this machine's addresses, or others reach it and there is neither a password nor a sign-in.
    """
    given = password
    password = None if sign_in is not None else password_for(host, ask=lambda: given) or given
    _check_bindable(host, port)
    environment = {**os.environ, STORE_VARIABLE: str(Path(store).resolve())}
    environment.pop(OIDC_VARIABLE, None)
    if sign_in is not None:
        environment[OIDC_VARIABLE] = str(sign_in.path)
    if password is not None:
        environment[PASSWORD_VARIABLE] = password
    command = server_command(host=host, port=port, guarded=password is not None or sign_in is not None, sign_in=sign_in)
    if log is None:
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    with log.open("ab") as sink:
        return subprocess.Popen(command, env=environment, stdout=sink, stderr=subprocess.STDOUT)


def wait_until_ready(server: subprocess.Popen[bytes], url: str, *, timeout_s: float = 60.0) -> None:
    """Return once the server at `url` answers its health check.

    Raises:
        DashboardFailed: it ended, or `timeout_s` passed.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise DashboardFailed(f"The dashboard ended at once with exit code {server.returncode}.")
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass  # not listening yet; asked again below
        time.sleep(0.1)
    raise DashboardFailed(f"The dashboard did not answer at {url} within {timeout_s:.0f} s.")


def stop(server: subprocess.Popen[bytes], *, timeout_s: float = 5.0) -> None:
    """End the server politely, then firmly."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout_s)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def serve(
    store: str | Path, *, host: str = LOOPBACK, port: int = DEFAULT_PORT, path: str = "", open_browser: bool = False,
    password: str | None = None, sign_in: SignIn | None = None,
) -> int:  # fmt: skip
    """Serve `store` until interrupted; the body of `tracehound dashboard`. Returns the exit code.

    Args:
        path: page and query to open first, such as `trace?trace=3f9a`.
        open_browser: open a window once the server answers; harmless where there is none.
        password, sign_in: see `start`.

    Raises:
        BadInput: the port is taken. DashboardFailed: the server did not come up.
    """
    server = start(store, host=host, port=port, password=password, sign_in=sign_in)
    url = base_url(host, port)
    # Being told to end must not leave the server behind without a parent.
    before = signal.signal(signal.SIGTERM, _end)
    try:
        wait_until_ready(server, url)
        print(f"Dashboard: {url}/{path}  (store {store}; Ctrl-C ends it)", file=sys.stderr)
        if open_browser:
            webbrowser.open(f"{url}/{path}")
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        stop(server)
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    sys.exit(128 + number)


def base_url(host: str, port: int) -> str:
    """Address of the server for a browser on this machine."""
    shown = LOOPBACK if host in ("", "0.0.0.0", "::") else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _check_bindable(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInput(
                f"The dashboard cannot listen on {host}:{port}: {error.strerror}.",
                hint="another program uses the port? Try --port 8502.",
            ) from error
