"""The pages, and the JSON that the page of a document asks for. Everything is plain Django."""

from __future__ import annotations

import base64
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.generic import CreateView, DetailView

from editor.models import TITLE_LIMIT, Document, Share
from editor.realtime import DocumentChannel, rights_changed, tell


class DocumentForm(forms.ModelForm):
    """A new document."""

    class Meta:
        model = Document
        fields = ["title"]


class DocumentsView(LoginRequiredMixin, CreateView):
    """What the user may read, and a form for one more."""

    form_class = DocumentForm
    template_name = "editor/documents.html"

    def form_valid(self, form: DocumentForm) -> HttpResponse:
        """Who makes a document owns it."""
        form.instance.owner = self.request.user
        return super().form_valid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The newest first, each with what the user may do there."""
        documents = list(Document.of(self.request.user).select_related("owner"))
        shares = Share.objects.filter(user=self.request.user)
        rights = dict(shares.values_list("document", "right"))
        for one in documents:
            one.right = "own" if one.owner == self.request.user else rights[one.pk]
        return super().get_context_data(documents=documents, title_limit=TITLE_LIMIT, **kwargs)


class DocumentView(LoginRequiredMixin, DetailView):
    """The page of a document; the rest happens in static/editor/page.js."""

    template_name = "editor/document.html"

    def get_queryset(self) -> Any:
        """What is not shared with the user does not exist."""
        return Document.of(self.request.user)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the script has to know."""
        pk = self.object.pk
        script = {
            "channel": DocumentChannel.name(pk),
            "document": pk,
            "me": {"id": str(self.request.user.pk), "name": self.request.user.get_username()},
            "about": about(self.object, self.request.user),
            "tokenUrl": reverse("jackfield:token"),
            "homeUrl": reverse("editor:home"),
            "loginUrl": f"{reverse('login')}?next={self.object.get_absolute_url()}",
            **{f"{name}Url": reverse(f"editor:{name}", args=[pk]) for name in SCRIPTED},
        }
        return super().get_context_data(script=script, title_limit=TITLE_LIMIT, **kwargs)


SCRIPTED = ("about", "shares", "moments")


@method_decorator(never_cache, name="dispatch")
class DocumentJson(View):
    """What the script asks. `self.document` is one that the user may read."""

    document: Document
    right: str

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A program that has no right is told so, rather than sent to a page."""
        self.right = Document.right_of(request.user, kwargs["pk"])
        if not self.right:
            return JsonResponse({"error": "This document is not shared with you."}, status=403)
        self.document = get_object_or_404(Document, pk=kwargs["pk"])
        if request.method == "POST" and self.right != "own":
            return JsonResponse({"error": "Only the owner does that."}, status=403)
        return super().dispatch(request, *args, **kwargs)


class AboutView(DocumentJson):
    """`GET`: title, right, people. `POST title=` renames it, `POST delete=1` deletes it."""

    def get(self, request: HttpRequest, pk: int) -> JsonResponse:
        """What pages ask after each connection, since rights may have changed meanwhile."""
        return JsonResponse(about(self.document, request.user))

    @transaction.atomic
    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """By its owner."""
        everybody = [self.document.owner, *shared_with(self.document)]
        if request.POST.get("delete"):
            self.document.delete()
            rights_changed(pk, everybody)
            return redirect("editor:home")
        form = DocumentForm(request.POST, instance=self.document)
        if not form.is_valid():
            return JsonResponse({"error": form.errors["title"][0]}, status=400)
        form.save()
        tell(pk, everybody)
        return JsonResponse(about(self.document, request.user))


class ShareView(DocumentJson):
    """`POST name=bob&right=read`: lets somebody in, further in, or, with no right, out. Now."""

    @transaction.atomic
    def post(self, request: HttpRequest, pk: int) -> JsonResponse:
        """By the owner."""
        name, right = request.POST.get("name", "").strip(), request.POST.get("right", "")
        user = get_user_model()._default_manager.filter(username=name).first()
        if user is None or user == self.document.owner:
            return JsonResponse({"error": f"There is no “{name}” to share it with."}, status=400)
        if right in Share.Right.values:
            Share.objects.update_or_create(
                document=self.document, user=user, defaults={"right": right}
            )
        else:
            Share.objects.filter(document=self.document, user=user).delete()
        rights_changed(pk, [user])
        tell(pk, [self.document.owner, *shared_with(self.document).exclude(pk=user.pk)])
        return JsonResponse(about(self.document, request.user))


class MomentsView(DocumentJson):
    """When it was saved, the newest first."""

    def get(self, request: HttpRequest, pk: int) -> JsonResponse:
        """As many as are kept."""
        return JsonResponse({"moments": list(self.document.updates.moments().values("id", "at"))})


class MomentView(DocumentJson):
    """What it was after one of those saves: updates, which the page puts together."""

    def get(self, request: HttpRequest, pk: int, moment: int) -> JsonResponse:
        """In any order, as Yjs takes them."""
        updates = self.document.updates.at(moment).values_list("content", flat=True)
        return JsonResponse({"updates": [base64.b64encode(one).decode() for one in updates]})


def shared_with(document: Document) -> Any:
    """The users whom its owner has let in."""
    users = get_user_model()._default_manager
    return users.filter(share__document=document).order_by("username")


def about(document: Document, user: Any) -> dict[str, Any]:
    """What a page shows beside the text."""
    shares = document.share_set.select_related("user").order_by("user__username")
    rights = [(document.owner, "own"), *((one.user, one.right) for one in shares)]
    people = [
        {"id": str(one.pk), "name": one.get_username(), "right": right} for one, right in rights
    ]
    right = Document.right_of(user, document.pk)
    return {"title": document.title, "right": right, "people": people}
