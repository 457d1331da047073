"""Signing in at the test Hub: OpenID Connect's code flow, as gradio's LoginButton speaks it."""

from __future__ import annotations

import base64
import html
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from tests.support.hub.store import Refused, Store, Token

CLIENT, SECRET = "a-space", "secret-of-a-space"
SCOPES = "openid profile contribute-repos read-repos gated-repos"
SECONDS = 8 * 3600  # how long a sign-in is good for


@dataclass(frozen=True)
class Code:
    user: str
    nonce: str
    scopes: tuple[str, ...]


class OAuth:
    """Handlers of (request, token). Who signs in is asked on a page, or is `signs_in`."""

    def __init__(self, store: Store, url: str) -> None:
        self.store, self.url = store, url
        self.signs_in = ""
        self.codes: dict[str, Code] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "test"})

    async def configuration(self, request: Request, token: Token | None) -> Response:
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/oauth/authorize",
            "token_endpoint": f"{self.url}/oauth/token",
            "userinfo_endpoint": f"{self.url}/oauth/userinfo",
            "jwks_uri": f"{self.url}/oauth/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": SCOPES.split(),
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        return JSONResponse(found)

    async def jwks(self, request: Request, token: Token | None) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request, token: Token | None) -> Response:
        """A redirection back with a code; or the page on which one says who one is."""
        query = request.query_params
        if query.get("client_id") != CLIENT:
            raise Refused(400, "No such application.")
        user = query.get("as") or self.signs_in
        if user not in self.store.users:
            address = html.escape(str(request.url))
            links = [f'<p><a href="{address}&as={quote(name)}">{name}</a></p>' for name in self.store.users]
            return HTMLResponse(f"<title>Sign in</title><h1>Sign in as</h1>{''.join(links)}")
        code = secrets.token_hex(16)
        scopes = tuple(query.get("scope", "").split())
        self.codes[code] = Code(user, query.get("nonce", ""), scopes)
        back = urlencode({"code": code, "state": query.get("state", "")})
        separator = "&" if "?" in query["redirect_uri"] else "?"
        return RedirectResponse(f"{query['redirect_uri']}{separator}{back}", 302)

    async def token(self, request: Request, token: Token | None) -> Response:
        form = await request.form()
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if unquote(base64.b64decode(given).decode()) != f"{CLIENT}:{SECRET}":
            raise Refused(401, "invalid_client")
        code = self.codes.pop(str(form["code"]), None)
        if code is None:
            raise Refused(400, "invalid_grant")
        access = f"hf_oauth_{secrets.token_hex(20)}"
        role = "write" if "contribute-repos" in code.scopes else "read"
        self.store.tokens[access] = Token(code.user, role, code.scopes)
        claims = self._claims(code.user)
        claims |= {"iss": self.url, "aud": CLIENT, "iat": int(time.time()), "exp": int(time.time()) + SECONDS}
        claims |= {"nonce": code.nonce} if code.nonce else {}
        signed = jwt.encode({"alg": "RS256", "kid": "test"}, claims, self.key)
        return JSONResponse(
            {
                "access_token": access,
                "token_type": "bearer",
                "expires_in": SECONDS,
                "scope": " ".join(code.scopes),
                "id_token": signed,
            }
        )

    async def userinfo(self, request: Request, token: Token | None) -> Response:
        if token is None:
            raise Refused(401, "invalid_token")
        return JSONResponse(self._claims(token.user))

    def _claims(self, name: str) -> dict[str, Any]:
        user = self.store.users[name]
        orgs = [
            {"sub": f"org-{each}", "name": each, "preferred_username": each, "roleInOrg": "write"}
            | {"picture": f"{self.url}/avatar.png", "isEnterprise": False}
            for each in user.orgs
        ]
        return {
            "sub": user.id,
            "name": name.title(),
            "preferred_username": name,
            "profile": f"{self.url}/{name}",
            "picture": f"{self.url}/avatar.png",
            "orgs": orgs,
        }


def environment(url: str) -> dict[str, str]:
    """What a Space with sign-in finds in its environment."""
    return {
        "SYSTEM": "spaces",
        "SPACE_ID": "owner/a-space",
        "OAUTH_CLIENT_ID": CLIENT,
        "OAUTH_CLIENT_SECRET": SECRET,
        "OAUTH_SCOPES": SCOPES,
        "OPENID_PROVIDER_URL": url,
    }
