"""`{% load jackfield %}`: what a page needs to be live, without a line of inline script."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import Context
from django.templatetags.static import static
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString

from django_jackfield.page import CONFIG_ID, page_config

SCRIPT = "django_jackfield/jackfield.js"
SWAPS = frozenset(
    {
        "innerHTML",
        "outerHTML",
        "textContent",
        "beforebegin",
        "afterbegin",
        "beforeend",
        "afterend",
        "delete",
        "none",
    }
)

register = template.Library()


@register.simple_tag(takes_context=True)
def jackfield_config(
    context: Context, *, token: bool = True, info: Any = None, via: str = "default"
) -> SafeString:
    """Prints where the server is and the first token, as JSON that no browser runs.

    `token=False` is for pages that a cache keeps: they fetch their token themselves.
    """
    page = page_config(_request(context), token=token, info=info, via=via)
    return json_script(page, CONFIG_ID)


@register.simple_tag(takes_context=True)
def jackfield_script(context: Context) -> SafeString:
    """Loads the module, with the nonce of the page where there is one (Django 6, django-csp)."""
    nonce = _nonce(context)
    if nonce is None:
        return format_html('<script type="module" src="{}"></script>', static(SCRIPT))
    return format_html('<script type="module" src="{}" nonce="{}"></script>', static(SCRIPT), nonce)


@register.simple_tag
def jackfield_subscribe(
    channel: str, target: str = "", *, event: str = "html", swap: str = "innerHTML"
) -> SafeString:
    """Marks that HTML published to `channel` goes into the element that fits the selector `target`.

    Publish `{"event": "html", "data": render_to_string(...)}`. `swap` has the words of htmx.
    """
    if not isinstance(channel, str) or not channel:
        raise template.TemplateSyntaxError(
            f"jackfield_subscribe: the channel must be a name, not {channel!r}"
        )
    if swap not in SWAPS:
        raise template.TemplateSyntaxError(
            f"jackfield_subscribe: swap={swap!r} is none of {', '.join(sorted(SWAPS))}"
        )
    return format_html(
        '<template data-jackfield-channel="{}" data-jackfield-target="{}"'
        ' data-jackfield-event="{}" data-jackfield-swap="{}"></template>',
        channel,
        target,
        event,
        swap,
    )


def _request(context: Context) -> HttpRequest:
    request = context.get("request")
    if request is None:
        raise ImproperlyConfigured(
            "{% jackfield_config %} needs the request: render the template with it, and put "
            "'django.template.context_processors.request' into the context_processors of TEMPLATES."
        )
    found: HttpRequest = request
    return found


def _nonce(context: Context) -> str | None:
    # Why not `or`: Django's nonce is false until somebody has asked for its text.
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(context.get("request"), "csp_nonce", None)
    return None if nonce is None else str(nonce) or None
