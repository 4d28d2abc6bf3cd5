"""The connect view: the server asks it who a socket is that brings no token, but a cookie."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import split_domain_port, validate_host
from django.utils.decorators import method_decorator
from django.utils.http import is_same_domain
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from django_jackfield.aliases import brokers
from django_jackfield.conf import Config
from django_jackfield.connect_call import UNAUTHORIZED
from django_jackfield.decisions import subs_result
from django_jackfield.page import token_view
from django_jackfield.push import user_id
from django_jackfield.sid import stored_end, tells_its_end, token_session_id
from django_jackfield.tokens import Channels
from django_jackfield.views import subject_of
from django_jackfield.webhook import NotSigned, secrets_of, verify

logger = logging.getLogger("django_jackfield")

LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")
"""What Django takes with DEBUG where ALLOWED_HOSTS is empty."""


@method_decorator([csrf_exempt, login_not_required, never_cache], name="dispatch")
class ConnectView(View):
    """The server posts here, with the cookies of a browser that opens a socket.

    The request runs through the middleware of the project as one of that browser would, so that
    `request.user` is whoever is logged in there. It is the server's own by its signature; who
    else asks gets 401.

    What others see of the user, and the channels in which the client is from the start, are those
    of the token view of the project; override `token_info` and `token_channels` to say otherwise.
    Capabilities are a token's alone.
    """

    http_method_names = ["post"]
    via = "default"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Says who it is, or that it is nobody."""
        config = brokers[self.via].config
        if not config.asks_by_cookie:
            said = f'JACKFIELD[{self.via!r}]: AUTH is "token", so that cookies log nobody in'
            return JsonResponse({"error": said}, status=404)
        try:
            verify(request.headers, request.body, secrets_of(config))
        except NotSigned as error:
            logger.warning("a request to the connect view was refused: %s", error)
            return JsonResponse({"error": str(error)}, status=401)
        return JsonResponse(self.answer(request, config))

    def answer(self, request: HttpRequest, config: Config) -> dict[str, Any]:
        """`{"result": ...}`, or the error that tells a client to stay away."""
        nobody = {"error": dict(UNAUTHORIZED)}
        origin = request.headers.get("Origin")
        if origin and not is_own_page(origin, config):
            logger.warning(
                "a page of %r may not open sockets with the cookies of this site. If it is one of "
                "yours, write its origin into CSRF_TRUSTED_ORIGINS.",
                origin[:200],
            )
            return nobody
        subject = subject_of(request)
        is_visitor = subject.user.is_anonymous
        user = "" if is_visitor else user_id(subject.user)
        if is_visitor and not config.anonymous:
            return nobody
        wanted = _wanted_user(request)
        if wanted and wanted != user:
            # A page that was made for somebody else must not go on as this one.
            return nobody
        # Before the session is looked at: it gets its name here if it has none.
        name = token_session_id(subject)
        result: dict[str, Any] = {
            "user": user,
            "data": {"user": user},
            "expire_at": expiry(request, config),
        }
        if name is not None:
            result["token_id"] = name
        info = self.token_info(request)
        if info is not None:
            result["info"] = info
        channels = self.token_channels(request)
        return {"result": result | (subs_result(channels) if channels else {})}

    def token_info(self, request: HttpRequest) -> Any:
        """What others see of this user in presence."""
        return token_view(request).token_info(request)

    def token_channels(self, request: HttpRequest) -> Channels:
        """The channels in which the client is from the start."""
        return token_view(request).token_channels(request)


def expiry(request: HttpRequest, config: Config) -> int:
    """When the client comes again and is asked anew, in seconds since 1970.

    That is the end of the session where its engine knows it and tells of an end before that. All
    others are asked as often as they would fetch a token; visitors too, who may log in.
    """
    soon = int(time.time()) + config.token_ttl
    session = getattr(request, "session", None)
    if session is None or not session.session_key:
        return soon
    end = stored_end(session)
    if end is None:
        return soon
    return end if tells_its_end(settings.SESSION_ENGINE) else min(end, soon)


def is_own_page(origin: str, config: Config) -> bool:
    """Whether pages of an origin are this site's.

    The server looks at origins first, by its own list. This is for the list that says `*`: a
    cookie comes with every page that opens a socket, whoever wrote it.
    """
    parts = urlsplit(origin)
    host, _ = split_domain_port(parts.netloc.lower())
    if not host:
        return False
    for trusted in map(urlsplit, settings.CSRF_TRUSTED_ORIGINS):
        if parts.scheme == trusted.scheme and is_same_domain(
            parts.netloc.lower(), trusted.netloc.lower().lstrip("*")
        ):
            return True
    # '*' names no page; a developer's machine has no others, by whatever name it is called.
    known = [name for name in settings.ALLOWED_HOSTS if name != "*" or settings.DEBUG]
    if settings.DEBUG and not known:
        known += LOCAL_HOSTS
    socket_host, _ = split_domain_port(urlsplit(config.public_url or "").netloc.lower())
    if socket_host:
        known.append(socket_host)
    return validate_host(host, known)


def _wanted_user(request: HttpRequest) -> str:
    """Whose page it is, as jackfield.js says; empty if nobody said."""
    try:
        said = json.loads(request.body)
    except ValueError:
        return ""
    data = said.get("data") if isinstance(said, Mapping) else None
    user = data.get("user") if isinstance(data, Mapping) else None
    return user if isinstance(user, str) else ""
