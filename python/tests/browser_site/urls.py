"""Pages, and views that make things happen."""

import json

from django.conf import settings
from django.contrib.auth import get_user_model, login, logout
from django.contrib.staticfiles.views import serve
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from django_jackfield import AskError, ask_client, publish, send


def strict_policy(get_response):
    """No inline script, no inline style, nothing from elsewhere but the socket."""
    origin = (settings.JACKFIELD["default"]["PUBLIC_URL"] or "").rsplit("/connection", 1)[0]
    policy = (
        "default-src 'none'; script-src 'self'; img-src 'self'; base-uri 'none'; "
        f"form-action 'self'; connect-src 'self' {origin}"
    )

    def respond(request):
        response = get_response(request)
        response["Content-Security-Policy"] = policy
        return response

    return respond


def page(request, name="page"):
    return render(request, f"{name}.html", {"nasty": request.GET.get("nasty", "room:1")})


def enter(request, name):
    users = get_user_model()._default_manager
    login(request, users.get_or_create(username=name)[0])
    return HttpResponse("in")


def leave(request):
    logout(request)
    return HttpResponse("out")


def do_publish(request):
    said = json.loads(request.body)
    publish(said["channel"], {"event": said["event"], "data": said["data"]})
    return HttpResponse("ok")


def do_send(request):
    said = json.loads(request.body)
    send(user=said["user"], data={"event": said["event"], "data": said["data"]})
    return HttpResponse("ok")


def do_ask(request):
    said = json.loads(request.body)
    try:
        return JsonResponse(
            {"answer": ask_client(said["method"], said["data"], client=said["client"])}
        )
    except AskError as error:
        return JsonResponse({"code": error.code, "message": str(error)})


def do_group(request):
    """As in a project that was written for Channels, to the letter."""
    from asgiref.sync import async_to_sync
    from channels.layers import get_channel_layer

    said = json.loads(request.body)
    async_to_sync(get_channel_layer().group_send)(said["group"], said["message"])
    return HttpResponse("ok")


urlpatterns = [
    path("", page),
    path("page/<slug:name>/", page),
    path("enter/<slug:name>/", enter),
    path("leave/", leave),
    path("do/publish/", csrf_exempt(do_publish)),
    path("do/send/", csrf_exempt(do_send)),
    path("do/ask/", csrf_exempt(do_ask)),
    path("do/group/", csrf_exempt(do_group)),
    path("jackfield/", include("django_jackfield.urls")),
    path("static/<path:path>", serve, {"insecure": True}),
]
