"""A small OpenID Connect provider, as a process of its own: `python -m tests.browser.provider PORT`.

Authorization code flow with PKCE (S256), RS256-signed id tokens, discovery, JWKS. Its login page asks which of three people one is,
so a test signs in with a click as a person does. Codes work once; the client's secret, its redirect address and the verifier are checked.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sys
import time
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "tracehound", "the client's secret"
PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"sub": "1", "email": "Ada@example.com", "email_verified": True},
    "eve": {"sub": "2", "email": "eve@elsewhere.example", "email_verified": True},
    "mallory": {"sub": "3", "email": "ada@example.com", "email_verified": False},
}
KEY = RSAKey.generate_key(2048, {"kid": "test", "use": "sig"})
GIVEN: dict[str, dict[str, str]] = {}
"""code -> what was asked for, and who said yes"""


def issuer(request: Request) -> str:
    return str(request.base_url).rstrip("/")


async def discovery(request: Request) -> Response:
    at = issuer(request)
    return JSONResponse({
        "issuer": at, "authorization_endpoint": f"{at}/authorize", "token_endpoint": f"{at}/token", "jwks_uri": f"{at}/jwks",
        "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
    })  # fmt: skip


async def jwks(request: Request) -> Response:
    del request
    return JSONResponse({"keys": [KEY.as_dict(private=False)]})


async def authorize(request: Request) -> Response:
    asked = dict(request.query_params)
    if asked.get("client_id") != CLIENT or asked.get("response_type") != "code" or not asked.get("code_challenge"):
        return Response("unknown client, or no challenge", status_code=400)
    links = "".join(f'<a href="/agree?{urlencode({**asked, "who": who})}">{who}</a> ' for who in PEOPLE)
    return HTMLResponse(f"<h1>Who are you?</h1>{links.replace('&', '&amp;')}")


async def agree(request: Request) -> Response:
    asked, code = dict(request.query_params), secrets.token_urlsafe()
    GIVEN[code] = asked
    return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")


async def token(request: Request) -> Response:
    form = await request.form()
    kind, _, credentials = request.headers.get("authorization", "").partition(" ")
    told = base64.b64decode(credentials).decode() if kind == "Basic" else f"{form.get('client_id')}:{form.get('client_secret')}"  # fmt: skip
    asked = GIVEN.pop(str(form.get("code")), None)
    digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if asked is None or told.replace("+", " ").replace("%27", "'").replace("%20", " ") != f"{CLIENT}:{SECRET}":
        return JSONResponse({"error": "invalid_client"}, status_code=401)
    if challenge != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"]:
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    now = int(time.time())
    claims = {**PEOPLE[asked["who"]], "iss": issuer(request), "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked.get("nonce")}  # fmt: skip
    signed = jwt.encode({"alg": "RS256", "kid": "test"}, claims, KEY)
    return JSONResponse({"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "expires_in": 300, "id_token": signed})  # fmt: skip


app = Starlette(
    routes=[
        Route("/.well-known/openid-configuration", discovery), Route("/jwks", jwks), Route("/authorize", authorize),
        Route("/agree", agree), Route("/token", token, methods=["POST"]),
    ]
)  # fmt: skip

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
