"""Documents for the browser: Python composes blocks, `web/document.js` draws them with textContent.

A document is a list of JSON-able blocks (`blocks.py`); nothing here knows Streamlit, so a test can read what a page says.
"""
