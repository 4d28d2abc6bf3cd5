"""docs/django-reference.md is what the package says of itself; UPDATE_DOCS=1 writes it anew."""

import argparse
import inspect
import os
import re
from importlib import import_module
from pathlib import Path

import pytest
from django.dispatch import Signal

import django_jackfield
from django_jackfield import conf, signals
from django_jackfield.management.jobs import jobs

SOURCE = Path(django_jackfield.__file__).parent
PAGE = Path(__file__).resolve().parents[2] / "docs" / "django-reference.md"

SETTINGS = {
    "BACKEND": "the dotted path of a backend: see [queues](django-queues.md)",
    "OPTIONS": "what the backend takes, see below; a value may be a callable",
    "KEYS": "secrets of tokens: the first signs, all are good on the server's side; a key may be a callable. In development it is derived from `SECRET_KEY`",
    "PUBLIC_URL": "what pages are told to connect to; in development that of the server beside `runserver`",
    "PREFIX": "the first word of all names in the queue, `app_link.prefix` of the server",
    "PARTITIONS": "partitions of the queue, `app_link.partitions` of the server",
    "TOKEN_TTL": "seconds for which a token is good",
    "ON_COMMIT": "whether publications wait for the commit",
    "OUTBOX": 'whether they are a row until the queue has them; `"strict"`: a relay sends them in order. See [the outbox](django-outbox.md)',
    "TIMEOUT": "seconds that an outage of the queue may cost a request",
    "BREAKER": "after so many failures in a row nothing is tried for so many seconds",
    "ANONYMOUS": "whether visitors who are not logged in may connect",
    "AUTH": 'how clients say who they are: by `"token"`, by the `"session"` cookie, or by `"both"`. See [rights](django-rights.md#the-session-cookie)',
    "CONNECT_URL": 'where the server reaches the connect view, for `AUTH` other than `"token"`; in development that of `runserver`',
}

CHECKS = {
    "E001": "a key or an option of `JACKFIELD` that does not exist, with the one that was meant",
    "E002": "a `BACKEND` that cannot be imported",
    "E003": "`KEYS` is missing, or is `SECRET_KEY`, and `DEBUG` is off",
    "E005": "another app's `runserver` stands before ours",
    "E006": "a value of `JACKFIELD` that cannot be used",
    "E007": "`AUTH` lacks something: `CONNECT_URL`, a middleware, the route of the connect view",
    "E008": "a `@connecting` function that is never asked, because cookies log in",
    "E010": "a channel does not say who may come in, or says two things",
    "E011": "two patterns take the same name; it shows one",
    "E012": "a handler or a hook does not take the values of the pattern",
    "E013": "a ModelChannel without `fields`, or with sensitive or unknown ones",
    "E014": "a `realtime.py` cannot be imported",
    "E015": "two classes of one namespace want different options of it",
    "E016": "an option that does not exist or cannot have its value, a pattern that the server cannot read",
    "E020": "`OUTBOX` is on, and its app is not installed or `ON_COMMIT` is off",
    "E030": "`task=` is given something that cannot be enqueued",
    "E031": "`once=True` without `django_jackfield.inbox`",
    "W001": "a backend for development or tests (`--deploy`)",
    "W002": "the token view is not routed",
    "W003": "the content security policy does not let pages connect",
    "W004": "the session engine tells of logouts only (`--deploy`)",
    "W005": "cookies log in, and that of the session does not go to the host or path of `PUBLIC_URL`",
    "W007": "Channels or Daphne are installed, too",
    "W008": "`TOKEN_TTL` is longer than an hour",
    "W009": "the history of a channel is durable and `OUTBOX` is off (`--deploy`)",
    "W010": "handlers of a channel that get nothing",
    "W011": "Django turns away what the server asks at `CONNECT_URL`: `ALLOWED_HOSTS`, `SECURE_SSL_REDIRECT`",
    "W012": "cookies log in, and no setting names a page that may open sockets",
    "W013": "documents in which nobody may write",
}


def first_sentence(text):
    text = " ".join((text or "").split())
    return re.split(r"(?<=[.:])\s", text)[0].rstrip(":")


def cell(text):
    return str(text).replace("|", "\\|")


def signature(value):
    """That of a function, with its defaults and without its annotations."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    bare = [
        one.replace(annotation=one.empty)
        for one in found.parameters.values()
        if one.name not in ("self", "cls")
    ]
    return re.sub(r"<[^>]*>", "...", str(inspect.Signature(bare)))


def names():
    """The public names: functions with their twins, classes with what one may call or read."""
    public = django_jackfield.__all__
    for name in public:
        value = getattr(django_jackfield, name)
        if name.startswith("a") and name[1:] in public:
            continue
        twin = f", `a{name}`" if f"a{name}" in public else ""
        said = first_sentence(inspect.getdoc(value))
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            said = OBJECTS[name]
            yield f"| `{name}` | {said} |"
            continue
        assert said, f"{name} has no docstring"
        yield f"| `{name}{cell(signature(value))}`{twin} | {cell(said)} |"


OBJECTS = {
    "broker": "the backend of the alias `default`",
    "brokers": 'the backends by alias: `brokers["default"]`',
}


def settings_rows():
    assert set(SETTINGS) == set(conf.DEFAULTS), "SETTINGS above and conf.DEFAULTS differ"
    for name, default in conf.DEFAULTS.items():
        shown = default.rpartition(".")[2] if name == "BACKEND" else default
        yield f"| `{name}` | `{shown!r}` | {cell(SETTINGS[name])} |"


def backend_rows():
    for file in sorted((SOURCE / "backends").glob("*.py")):
        module = import_module(f"django_jackfield.backends.{file.stem}")
        for name, kind in vars(module).items():
            if (
                inspect.isclass(kind)
                and name.endswith("Backend")
                and kind.__module__ == module.__name__
            ) and name != "BaseBackend":
                options = ", ".join(f"`{one}`" for one in sorted(kind.OPTIONS)) or "none"
                yield f"| `django_jackfield.backends.{file.stem}.{name}` | {options} |"


def check_ids():
    """Those that the code has."""
    found = set()
    for file in SOURCE.rglob("*.py"):
        found |= set(re.findall(r'id="jackfield\.([EW]\d{3})"', file.read_text()))
    return found


def check_rows():
    assert set(CHECKS) == check_ids(), "CHECKS above and the code differ"
    for name, said in sorted(CHECKS.items()):
        yield f"| `jackfield.{name}` | {said} |"


def signal_rows():
    source = (SOURCE / "signals.py").read_text()
    for name, value in vars(signals).items():
        if isinstance(value, Signal):
            said = re.search(rf'^{name} = Signal\(\)\n"""(.*?)"""', source, re.M | re.S)
            yield f"| `{name}` | {cell(' '.join(said[1].split()))} |"


def job_parts():
    for name, job in jobs().items():
        parser = argparse.ArgumentParser(prog=name, add_help=False)
        job.add_arguments(parser)
        yield f"### `{name}`\n\n{job.HELP[0].upper()}{job.HELP[1:].rstrip('.')}.\n"
        rows = [*option_rows(parser)]
        if rows:
            yield "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"


def option_rows(parser, before=""):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                said = next((one.help for one in action._choices_actions if one.dest == name), "")
                yield f"| `{before}{name}` | {cell(said or '')} |"
                yield from option_rows(sub, f"{before}{name} ")
            continue
        if "--help" in action.option_strings or action.help == argparse.SUPPRESS:
            continue
        shown = ", ".join(action.option_strings) or (action.metavar or action.dest)
        if action.option_strings and action.nargs != 0:
            shown += f" {action.metavar or action.dest.upper()}"
        said = (action.help or "") % {**vars(action), "prog": ""} if action.help else ""
        if not said and action.default not in (None, False, argparse.SUPPRESS, []):
            said = f"default: {action.default}"
        choices = "" if action.choices is None else f" ({', '.join(map(str, action.choices))})"
        yield f"| `{cell(before + shown)}` | {cell(' '.join(said.split()))}{choices} |"


def page():
    table = lambda head, rows: "\n".join([head, re.sub(r"[^|]+", "---", head), *rows])  # noqa: E731
    return f"""# Reference of the Django package

Names, settings, checks, signals and commands of `django_jackfield`. This page is made of the package itself
(`UPDATE_DOCS=1 pytest tests/test_reference.py` in `python/`), and a test holds it against it.

## Names

All of them are imported from `django_jackfield`. An async twin, where there is one, takes the same arguments.

{table("| name | what it is |", names())}

`on_commit`, `using`, `via`, `outbox` and `timeout` mean the same wherever they stand: whether to wait for the commit, the database
whose commit it is, the alias of `JACKFIELD`, whether the outbox holds it meanwhile, and the seconds that an answer may take.

## Settings

`JACKFIELD` is a dict of aliases, each with some of these. Without it there is one alias, `default`, with the defaults.

{table("| key | default | meaning |", settings_rows())}

{table("| `BACKEND` | `OPTIONS` |", backend_rows())}

## Checks

`manage.py check` says them, those marked so only with `--deploy`; `SILENCED_SYSTEM_CHECKS` silences one.

{table("| id | says |", check_rows())}

## Signals

They are in `django_jackfield.signals`.

{table("| signal | |", signal_rows())}

## `manage.py jackfield`

`manage.py jackfield JOB`, with `--via ALIAS` before the job for another alias than `default`.

{chr(10).join(job_parts())}"""


def test_the_reference_is_what_the_package_says():
    made = page().rstrip("\n") + "\n"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(made)
    assert PAGE.read_text() == made, "renew it: UPDATE_DOCS=1 pytest tests/test_reference.py"


@pytest.mark.parametrize("name", django_jackfield.__all__)
def test_every_name_is_in_the_reference(name):
    found = re.search(rf"[`]{name}\b", PAGE.read_text())
    assert found, name


def test_every_job_says_what_its_options_mean():
    silent = [
        f"{name} {row}"
        for name, job in jobs().items()
        for row in _rows(job)
        if row.endswith("|  |")
    ]
    assert not silent, "\n".join(silent)


def _rows(job):
    parser = argparse.ArgumentParser(add_help=False)
    job.add_arguments(parser)
    return option_rows(parser)
