"""What gunicorn's processes do: publish, and call any function of the package."""

import json

import django_jackfield
from django.db import transaction
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django_jackfield import AskError, Command, publish
from rooms.models import Note


@csrf_exempt
@transaction.atomic
def say(request, pk):
    """A view as projects have them: it stores, and publishes when that is committed."""
    text = request.POST["text"]
    Note.objects.create(text=text)
    publish(f"room:{pk}", {"event": "said", "data": {"text": text}})
    if "fail" in request.POST:
        transaction.set_rollback(True)
    return JsonResponse({"ok": True})


@csrf_exempt
def call(request, name):
    """Calls a function of django_jackfield with the JSON object of the body as its arguments."""
    try:
        result = getattr(django_jackfield, name)(**json.loads(request.body))
    except AskError as error:
        return JsonResponse({"error": error.code})
    return JsonResponse({"result": result.id if isinstance(result, Command) else result})
