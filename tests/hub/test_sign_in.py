"""The code flow of the test Hub: what a Space's sign-in gets, and what its token may do."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import KeySet

from bertspace import hub as client
from bertspace.hub.credentials import Credentials, using


def test_a_code_is_changed_for_a_token_that_the_hub_knows(hub: Any) -> None:
    hub.user("alice", orgs=("team",))
    hub.signs_in("alice")
    known = hub.oauth_environment()
    found = httpx2.get(f"{known['OPENID_PROVIDER_URL']}/.well-known/openid-configuration").json()
    asked = {"client_id": known["OAUTH_CLIENT_ID"], "redirect_uri": "http://127.0.0.1/back", "state": "s"}
    asked |= {"scope": known["OAUTH_SCOPES"], "response_type": "code", "nonce": "n"}
    back = httpx2.get(found["authorization_endpoint"], params=asked).headers["location"]
    query = parse_qs(urlsplit(back).query)
    assert query["state"] == ["s"]
    answer = httpx2.post(
        found["token_endpoint"],
        data={"code": query["code"][0], "grant_type": "authorization_code"},
        auth=(known["OAUTH_CLIENT_ID"], known["OAUTH_CLIENT_SECRET"]),
    ).json()
    keys = KeySet.import_key_set(httpx2.get(found["jwks_uri"]).json())
    claims = jwt.decode(answer["id_token"], keys).claims
    assert (claims["preferred_username"], claims["nonce"]) == ("alice", "n")
    assert [each["name"] for each in claims["orgs"]] == ["team"]
    with using(Credentials(token=answer["access_token"])):
        assert client.whoami().name == "alice"
    again = httpx2.post(found["token_endpoint"], data={"code": query["code"][0]}, auth=("a", "b"))
    assert again.status_code == 401
