"""The body of the dashboard's process: Streamlit, which must not ask anybody outside for this machine's address.

Started by `launch` as `python -P -m dashboard.server run app.py --FLAG ...`. Streamlit 1.67 asks a public service for the
external address at a start on all interfaces, and again when a page of another origin knocks; no option turns the second off.
"""

from __future__ import annotations

from streamlit import net_util
from streamlit.web import cli


def _unknown() -> None:
    """What Streamlit takes for "the external address could not be found"."""
    return


def main() -> None:
    """Streamlit's own command line, from the arguments of the process."""
    net_util.get_external_ip = _unknown
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
