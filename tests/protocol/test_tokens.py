"""Tokens: good ones, and every other kind."""

from __future__ import annotations

import pytest
from serving import Server
from speakers import JsonSocket, joined, soon, token, unsigned

pytestmark = pytest.mark.usefixtures("neighbours")

BAD = {
    "another secret": (lambda: token(secret="another secret of the same length, see"), "signature"),
    "alg none": (unsigned, "algorithm"),
    "alg none, but signed": (lambda: token(header={"alg": "none"}), "algorithm"),
    "RS256": (lambda: token(header={"alg": "RS256", "typ": "JWT"}), "no key for its algorithm"),
    "ES256": (lambda: token(header={"alg": "ES256", "typ": "JWT"}), "no key for its algorithm"),
    "HS512 in the header only": (lambda: token(header={"alg": "HS512"}), "signature"),
    "garbage": (lambda: "garbage", "no JWT"),
    "no signature": (lambda: token().rsplit(".", 1)[0] + ".", "signature"),
    "not yet valid": (lambda: token(nbf=soon(3600)), "not valid yet"),
    "a user that is no string": (lambda: token(sub=5), "user id must be a string"),
    "a time that is no number": (lambda: token(exp="soon"), "seconds since 1970"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_ends_in_3500(server: Server, name: str) -> None:
    make, words = BAD[name]
    client = JsonSocket(server.port)
    client.ask(connect={"token": make()})
    code, reason = client.closed()
    assert (code, reason.startswith("invalid token: "), words in reason) == (3500, True, True), reason
    client.close()


def test_an_expired_token_is_an_error_and_one_more_word_the_end(server: Server) -> None:
    client = JsonSocket(server.port)
    assert client.error(connect={"token": token(exp=soon(-1))}) == (109, "token expired")
    client.ask(connect={"token": token()})
    assert client.closed()[0] == 3501
    client.close()


def test_a_token_with_an_end_says_so(server: Server) -> None:
    client = JsonSocket(server.port)
    hello = client.login(exp=soon(600), info={"name": "Ann"})
    assert hello["expires"] is True and 590 <= hello["ttl"] <= 600
    client.result(subscribe={"channel": "open:info"})
    (member,) = client.result(presence={"channel": "open:info"})["presence"].values()
    assert member["user"] == "ann" and member["conn_info"] == {"name": "Ann"}
    client.close()


def test_refresh(server: Server) -> None:
    client = JsonSocket(server.port)
    hello = client.login(exp=soon(600))
    answer = client.result(refresh={"token": token(exp=soon(1200))})
    assert answer["client"] == hello["client"] and answer["expires"] is True and 1190 <= answer["ttl"] <= 1200
    assert not client.result(refresh={"token": token()}).get("expires")
    client.close()


@pytest.mark.parametrize(
    ("make", "end", "words"),
    [
        (lambda: token("bob", exp=soon(600)), 3500, "another user's"),
        (lambda: token(secret="x" * 40), 3500, "signature"),
        (unsigned, 3500, "algorithm"),
        (lambda: token(exp=soon(-1)), 3005, "expired"),
    ],
    ids=["another user", "another secret", "unsigned", "expired"],
)
def test_a_refresh_that_is_none(server: Server, make: object, end: int, words: str) -> None:
    client = joined(server)
    client.ask(refresh={"token": make()})  # type: ignore[operator]
    code, reason = client.closed()
    assert (code, words in reason) == (end, True), reason
    client.close()
