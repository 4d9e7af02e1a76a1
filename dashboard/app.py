"""The dashboard's entry script: frame, navigation, and one place where errors become sentences. Started by `launch`."""

from __future__ import annotations

import streamlit as st

from dashboard import address, chrome, gate
from dashboard.components import page_keys
from dashboard.queries import NoStore
from tracer.errors import TracehoundError


def main() -> None:
    """Draw the chosen page; whatever the store cannot do now is said in words, with a way out."""
    st.set_page_config(page_title="tracehound", page_icon=chrome.ICON, layout="wide", initial_sidebar_state="collapsed")
    page = st.navigation(
        [st.Page(path, title=title, default=path == address.OVERVIEW) for path, title in address.PAGES],
        position="top" if gate.is_in() else "hidden",
    )
    chrome.draw()
    if not gate.let_in(page.url_path):
        return
    address.arrive()
    address.go()
    try:
        page.run()
        if page.url_path != address.TRACE.stem:  # which has keys of its own
            page_keys((), key="keys")
    except NoStore as error:
        chrome.welcome(error)
    except TracehoundError as error:
        chrome.explain(error)


main()
