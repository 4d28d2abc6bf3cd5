"""The template tags: what stands in the page, and what does not break out of it."""

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import django
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Engine, TemplateSyntaxError
from django.test import RequestFactory, override_settings

from django_jackfield.page import page_config

URL = "wss://rt.example.com/connection/websocket"
KEYS = ["a-test-key-of-at-least-thirty-two-bytes"]
NASTY = "\"'></script></template><img src=x onerror=alert(1)><!--\u2028&"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def setting(settings):
    settings.JACKFIELD = {"default": {"KEYS": KEYS, "PUBLIC_URL": URL}}
    settings.STATIC_URL = "/static/"
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    return settings


def request_of(user):
    request = RequestFactory().get("/")
    request.user = user
    request.session = SessionStore()
    return request


def ann():
    return User(pk=42, username="ann")


def render(text, context=None):
    engine = Engine(libraries={"jackfield": "django_jackfield.templatetags.jackfield"})
    template = engine.from_string("{% load jackfield %}" + text)
    return template.render(Context(context or {}))


class Parts(HTMLParser):
    """The elements of a page as a browser finds them."""

    def __init__(self, text):
        super().__init__()
        self.found, self.inside = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.inside += data


def config_in(html):
    parts = Parts(html)
    assert parts.found == [("script", {"id": "jackfield-config", "type": "application/json"})]
    return json.loads(parts.inside)


def claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_a_page_has_the_first_token_and_where_to_get_the_next():
    page = config_in(render("{% jackfield_config %}", {"request": request_of(ann())}))
    assert page["url"] == URL
    assert page["token_url"] == "/jackfield/token/"
    assert page["user"] == "42"
    assert claims(page["token"])["sub"] == "42"


def test_info_of_the_page_is_in_its_token():
    context = {"request": request_of(ann()), "info": {"name": NASTY}}
    page = config_in(render("{% jackfield_config info=info %}", context))
    assert claims(page["token"])["info"] == {"name": NASTY}


def test_a_page_for_caches_says_nothing_of_its_visitor():
    html = render("{% jackfield_config token=False %}", {"request": request_of(ann())})
    assert config_in(html) == {"url": URL, "token_url": "/jackfield/token/", "token": None}


def test_nobody_who_is_not_logged_in_gets_a_token_unless_the_setting_says_so(setting):
    request = request_of(AnonymousUser())
    page = page_config(request)
    assert (page["token"], page["user"]) == (None, None)
    setting.JACKFIELD = {"default": {"KEYS": KEYS, "PUBLIC_URL": URL, "ANONYMOUS": True}}
    page = page_config(request)
    assert page["user"] == ""
    assert claims(page["token"])["sub"] == ""


def test_a_site_without_users_has_pages_too(setting):
    setting.JACKFIELD = {"default": {"KEYS": KEYS, "PUBLIC_URL": URL, "ANONYMOUS": True}}
    page = page_config(RequestFactory().get("/"))
    assert claims(page["token"])["sub"] == ""


def test_without_the_token_view_a_page_still_renders(setting):
    setting.ROOT_URLCONF = __name__
    assert page_config(request_of(ann()))["token_url"] is None


urlpatterns = []


def test_the_script_is_a_module_of_the_static_files():
    (tag, attributes), *rest = Parts(render("{% jackfield_script %}")).found
    assert (tag, rest) == ("script", [])
    assert attributes == {"type": "module", "src": "/static/django_jackfield/jackfield.js"}
    assert finders.find("django_jackfield/jackfield.js")


@pytest.mark.parametrize("place", ["context", "request"])
def test_the_nonce_of_the_page_is_taken(place):
    request = request_of(ann())
    context = {"request": request}
    if place == "context":
        context["csp_nonce"] = "n&<once"
    else:
        request.csp_nonce = "n&<once"
    (_, attributes), *_ = Parts(render("{% jackfield_script %}", context)).found
    assert attributes["nonce"] == "n&<once"


@pytest.mark.skipif(django.VERSION < (6, 0), reason="the policy is Django's from 6.0 on")
def test_the_nonce_is_the_one_of_the_header():
    from django.http import HttpResponse
    from django.middleware.csp import ContentSecurityPolicyMiddleware
    from django.template.context_processors import csp
    from django.utils.csp import CSP

    def view(request):
        return HttpResponse(render("{% jackfield_script %}", {"request": request, **csp(request)}))

    with override_settings(SECURE_CSP={"script-src": [CSP.NONCE]}):
        response = ContentSecurityPolicyMiddleware(view)(RequestFactory().get("/"))
    (_, attributes), *_ = Parts(response.content.decode()).found
    assert f"'nonce-{attributes['nonce']}'" in response["Content-Security-Policy"]


def test_a_subscription_is_data_and_no_script():
    html = render('{% jackfield_subscribe "room:7" "#list" swap="beforeend" %}')
    assert Parts(html).found == [
        (
            "template",
            {
                "data-jackfield-channel": "room:7",
                "data-jackfield-target": "#list",
                "data-jackfield-event": "html",
                "data-jackfield-swap": "beforeend",
            },
        )
    ]


@pytest.mark.parametrize("place", ["channel", "target", "event"])
def test_nothing_breaks_out_of_a_subscription(place):
    values = {"channel": "room:7", "target": "#list", "event": "html"} | {place: NASTY}
    html = render("{% jackfield_subscribe channel target event=event %}", values)
    ((tag, attributes),) = Parts(html).found
    assert tag == "template"
    assert attributes[f"data-jackfield-{place}"] == NASTY


def test_nothing_breaks_out_of_the_config(setting):
    setting.JACKFIELD = {"default": {"KEYS": KEYS, "PUBLIC_URL": f"wss://x/{NASTY}"}}
    html = render("{% jackfield_config token=False %}", {"request": request_of(ann())})
    assert config_in(html)["url"] == f"wss://x/{NASTY}"
    assert len(re.findall("<", html)) == 2


def test_a_wrong_swap_or_channel_is_told_with_the_words_there_are():
    with pytest.raises(TemplateSyntaxError, match=r"'inner' is none of .*innerHTML"):
        render('{% jackfield_subscribe "room:7" "#list" swap="inner" %}')
    with pytest.raises(TemplateSyntaxError, match="must be a name"):
        render("{% jackfield_subscribe nothing '#list' %}")


def test_a_template_without_the_request_is_told_so():
    with pytest.raises(ImproperlyConfigured, match=r"context_processors\.request"):
        render("{% jackfield_config %}")


def test_hashed_names_of_static_files_work(setting, tmp_path):
    from django.core.management import call_command

    setting.STATIC_ROOT = str(tmp_path)
    setting.STORAGES = {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    }
    setting.INSTALLED_APPS = [*setting.INSTALLED_APPS, "django.contrib.staticfiles"]
    call_command("collectstatic", interactive=False, verbosity=0)
    ((_, attributes),) = Parts(render("{% jackfield_script %}")).found
    name = attributes["src"].removeprefix("/static/")
    assert re.fullmatch(r"django_jackfield/jackfield\.[0-9a-f]{12}\.js", name)
    assert (tmp_path / name).exists()
    assert (tmp_path / "django_jackfield" / "centrifuge.LICENSE").exists()


@pytest.mark.skipif(not (ROOT / "scripts" / "vendor-js").exists(), reason="not in the repository")
def test_the_module_is_built_of_its_sources():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "vendor-js"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
