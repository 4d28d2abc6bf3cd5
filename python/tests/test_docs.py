"""Runs every fenced block of the Django pages and of README.md.

| language | what is done |
|---|---|
| `python` | in a project made for it (pages/site), with the settings and files that the page showed before: settings are checked and their backends made; modules are imported, checked, and used by pages/drives.py; tests are run. Names that the package does not have are found in all lines (pages/names.py), and each name that was looked at is spoilt once, to see that this is noticed |
| `console`, `sh` | `manage.py` commands by their real parsers, and run where that harms nothing; `jackfield` by the binary; all by `bash -n` |
| `html` | rendered as a Django template |
| `js` | parsed by node, and its members looked up in jackfield.d.ts |
| `toml` | `jackfield check` |
| `json` | parsed |

What is not run stands in NOT_RUN with the reason, and a block that stands there needlessly is a failure.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pages.blocks import ROOT, Block, blocks, pages

HERE = Path(__file__).parent
PATIENCE = 240
RUN = ("python", "console", "sh", "html", "js", "toml", "json")

NOT_RUN = {
    "apache": (1, "tests/sites/test_apache.py starts Apache with it"),
    "nginx": (1, "tests/sites/test_nginx.py starts nginx with it"),
    "ini": (1, "its twin in packaging/ is verified by tests/sites; here its sections are read"),
    "text": (1, "what runserver prints; tests/tutorial compares it"),
    "": (4, "drawings and output"),
}
"""Languages whose blocks are not run: how many there are, and why."""

NOT_CALLED = {
    "docs/django-tutorial.md": ("tests/tutorial follows the page in Chromium", None),
}
"""Pages with functions that nothing here calls."""

FOREIGN = {
    "apt-get": "changes the machine",
    "install": "changes the machine",
    "cp": "changes the machine",
    "systemctl": "changes the machine; tests/sites starts the units",
    "systemd-sysusers": "changes the machine",
    "a2enmod": "changes the machine; tests/sites/test_apache.py",
    "a2dissite": "changes the machine; tests/sites/test_apache.py",
    "a2ensite": "changes the machine; tests/sites/test_apache.py",
    "apache2ctl": "tests/sites/test_apache.py",
    "nginx": "tests/sites/test_nginx.py",
    "gunicorn": "tests/sites/test_nginx.py",
    "docker": "there is none",
    "kubectl": "there is none",
    "openssl": "prints a key",
    "curl": "tests/sites asks these paths",
    "django-admin": "tests/tutorial",
    "python3": "tests/tutorial",
    "pip": "tests/tutorial; here the extras are compared with pyproject.toml",
    ".": "a file of variables or a venv",
    "cd": "a folder",
    "set": "of the shell",
    "vendor-js": "test_browser.py runs it",
}
"""First words of commands that only the shell's parser sees, and why."""

HARMLESS = {
    ("migrate",),
    ("makemigrations",),
    ("check",),
    ("jackfield", "config"),
    ("collectstatic",),
}


def of(*languages):
    return [
        pytest.param(block, id=f"{Path(block.page).stem}-{block.line}")
        for page in pages()
        for block in blocks(page)
        if block.language in languages
    ]


# Python.


@pytest.fixture
def site(tmp_path):
    """The project for a block: with what its page showed before it."""

    def make(block):
        folder = tmp_path / "site"
        shutil.copytree(HERE / "pages" / "site", folder)
        secrets = tmp_path / "etc" / "jackfield"
        secrets.mkdir(parents=True)
        (secrets / "secrets.env").write_text(
            "JACKFIELD_CLIENT_TOKEN_HMAC_SECRET_KEY=a-key\nJACKFIELD_APP_LINK_URL=redis://127.0.0.1:6379/0\n"
        )
        for one in blocks(ROOT / block.page):
            if "/" in one.file and one.language == "python" and not one.file.startswith("/"):
                package = (folder / one.file).parent  # `startapp` has made it
                package.mkdir(parents=True, exist_ok=True)
                (package / "__init__.py").touch()
        before = [one for one in blocks(ROOT / block.page) if one.number <= block.number]
        settings = [one.text for one in before if one.language == "python" and one.is_settings]
        file = folder / "mysite" / "settings.py"
        source = "\n".join(settings).replace("/etc/jackfield", str(secrets))
        file.write_text(file.read_text().replace("# -- blocks --", source))
        (folder / "block.py").write_text(block.text)
        for one in before:
            if one.language in ("python", "html") and one.file and not one.is_settings:
                path = folder / one.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(one.text)
        return folder

    return make


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    return kept | {"REDIS_URL": "redis://127.0.0.1:6379/0", "JACKFIELD_KEY": "a-key"} | more


def module_of(block, folder):
    """Where a block lies in its project, and how it is to be run."""
    if block.is_settings:
        return "settings", "mysite.settings"
    if block.is_test:
        name = f"page.{'tests' if block.is_test == 'unittest' else 'test_page'}"
        if block.file:
            name = block.file.removesuffix(".py").replace("/", ".")
        kind = block.is_test
    elif block.file:
        return "module", block.file.removesuffix(".py").replace("/", ".")
    else:
        kind, name = "module", "page.realtime" if block.declares else "page.block"
    folder.joinpath(*name.split(".")).with_suffix(".py").write_text(block.text)
    return kind, name


def looked_at(folder, kind, module, block):
    """What run.py says of a block."""
    done = subprocess.run(
        [sys.executable, str(HERE / "pages" / "run.py"), str(folder), kind, module, str(block)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=folder,
        env=environment(**({} if kind == "settings" else {"PAGES_LOCMEM": "1"})),
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def ran(block, folder):
    kind, module = module_of(block, folder)
    if "utils.csp" in block.text and not find_spec("django.utils.csp"):
        pytest.skip("django.utils.csp came with Django 6.0")
    if "debug_toolbar" in block.text and not find_spec("debug_toolbar"):
        pytest.skip("django-debug-toolbar is not installed")
    said = looked_at(folder, kind, module, block)
    assert not said["faults"], f"{block}: " + "\n".join(said["faults"])
    assert not said["silent"], f"{block}: misspelt, these would not be noticed: {said['silent']}"
    if block.page not in NOT_CALLED:
        assert not said["missing"], f"{block}: nothing calls {said['missing']} (pages/drives.py)"
    if kind == "unittest":
        proved(folder, [sys.executable, "manage.py", "test", module], r"Ran [1-9]")
    elif kind == "pytest":
        file = module.replace(".", "/") + ".py"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
        proved(
            folder, [*command, "-rs", "--ds", "mysite.settings", "--rootdir", "."], r"[1-9] passed"
        )
    return said


def proved(folder, command, proof):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, cwd=folder, env=environment()
    )
    said = done.stdout + done.stderr
    if "SKIPPED" in said and "binary" in said:
        pytest.skip(re.search(r"SKIPPED.*", said)[0])
    assert done.returncode == 0, said
    assert re.search(proof, said), said


@pytest.mark.parametrize("block", of("python"))
def test_python(block, site):
    ran(block, site(block))


def test_the_functions_that_are_not_called_are_few():
    for page, (reason, _) in NOT_CALLED.items():
        assert reason
        assert (ROOT / page).exists()


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from django_jackfield import publsh", "has no publsh"),
        ("from django_jackfield.tset import RealtimeTestMixin", "django_jackfield.tset"),
        ("from django_jackfield import publish\npublish('a', 1, on_comit=False)", "on_comit"),
        ("from django_jackfield import on\n@on('a')\ndef f(ctx, data): ctx.publsh(1)", "publsh"),
        ("from django_jackfield import on\n@on('a', retri=3)\ndef f(ctx, data): ...", "retri"),
        (
            "from django_jackfield import Channel\nclass A(Channel):\n    presense = True",
            "presense",
        ),
        (
            "from django_jackfield import Channel\nclass A(Channel):\n    def can_subscibe(self): ...",
            "subscibe",
        ),
        ("from django_jackfield import History\nHistory(size=1, tll=3)", "tll"),
        ("def test_a(jackfield_clint): ...", "jackfield_clint"),
        ("SESSION_ENGINE = 'django_jackfield.sessions.bd'", "sessions.bd"),
    ],
)
def test_a_misspelt_name_is_a_failure(source, fault, site):
    block = Block("docs/django.md", 0, 1, "python", "", source)
    with pytest.raises(AssertionError, match=fault):
        ran(block, site(block))


# The rest.


def test_every_language_is_run_or_has_a_reason():
    found = {}
    for page in pages():
        for block in blocks(page):
            found[block.language] = found.get(block.language, 0) + 1
    told = {name: count for name, (count, _) in NOT_RUN.items()}
    assert {name: count for name, count in found.items() if name not in RUN} == told


def parser(words):
    """The parser of a `manage.py` command, and what is left to be parsed."""
    from django.apps import apps
    from django.core.management import get_commands, load_command_class

    known = get_commands() | {
        "collectstatic": "django.contrib.staticfiles",
        "runserver": "django_jackfield",
    }
    assert words[0] in known, f"there is no manage.py {words[0]}"
    app = known[words[0]]
    command = load_command_class(app, words[0]) if isinstance(app, str) else app
    assert apps.ready
    return command.create_parser("manage.py", words[0])


def words_of(command):
    """The words of each simple command of a line, without sudo, variables and redirections."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();&|<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found = [[]]
    skip = False
    for word in lexer:
        if set(word) <= set("();&|"):
            found.append([])
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        elif not (not found[-1] and ("=" in word or word == "sudo")):
            found[-1].append(word)
    return [one for one in found if one]


@pytest.mark.parametrize("block", of("console", "sh"))
def test_commands(block, site, tmp_path):
    assert block.commands, f"{block}: nothing is typed"
    folder = site(block)
    for command in block.commands:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
        assert done.returncode == 0, f"{block}: {command}\n{done.stderr}"
        for words in words_of(command):
            one_command(block, words, folder, tmp_path)


def one_command(block, words, folder, tmp_path):
    if "manage.py" in words:
        rest = words[words.index("manage.py") + 1 :]
        try:
            parser(rest).parse_args(rest[1:])
        except BaseException as error:  # CommandError, or SystemExit of argparse
            raise AssertionError(f"{block}: {' '.join(words)}: {error}") from error
        if any(tuple(rest[: len(one)]) == one for one in HARMLESS) and not outside(rest):
            run_manage(block, rest, folder)
        return
    name = Path(words[0]).name or words[0]
    if name == "jackfield":
        jackfield(block, words[1:], tmp_path)
        return
    if name == "echo" or words[0].startswith("$"):
        return
    assert name in FOREIGN, f"{block}: what is to be done with {' '.join(words)}?"
    if name == "pip":
        for extra in re.findall(r"django-jackfield\[([\w,]+)\]", " ".join(words)):
            for one in extra.split(","):
                assert re.search(
                    rf"^{one} = \[", (HERE.parent / "pyproject.toml").read_text(), re.M
                )
    for word in words[1:]:
        if word.startswith("packaging/") and "*" not in word:
            assert (ROOT / word).exists(), f"{block}: there is no {word}"


def outside(words):
    return any(word in ("collectstatic", "--deploy") for word in words)


def run_manage(block, words, folder):
    """In a project with this page's settings."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=folder,
        env=environment(),
    )
    assert done.returncode == 0, f"{block}: manage.py {words}\n{done.stdout}\n{done.stderr}"


def jackfield(block, words, tmp_path):
    """The binary parses it; the file that it is to check is the repository's, or that of the page."""
    binary = os.environ.get("JACKFIELD_BIN") or shutil.which("jackfield")
    if not binary:
        pytest.skip("there is no jackfield binary: set JACKFIELD_BIN")
    if words[0] == "check":
        file = words[words.index("-c") + 1]
        if (ROOT / file).exists():
            checked(binary, ROOT / file)
        else:
            assert file in [one.file for one in blocks(ROOT / block.page)], f"{block}: {file}"
        return
    done = subprocess.run([binary, *words[:2], "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def checked(binary, file):
    variables = {"JACKFIELD_CLIENT_TOKEN_HMAC_SECRET_KEY": "0123456789abcdef0123456789abcdef"}
    if re.search(r'^driver = "redis"', file.read_text(), re.M):
        variables["JACKFIELD_APP_LINK_URL"] = "redis://127.0.0.1:6379/0"
    done = subprocess.run(
        [binary, "check", "-c", str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(**variables),
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of("toml"))
def test_toml(block, tmp_path):
    binary = os.environ.get("JACKFIELD_BIN") or shutil.which("jackfield")
    if not binary:
        pytest.skip("there is no jackfield binary: set JACKFIELD_BIN")
    text = block.text
    if "cert_pem_file" in text:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        subprocess.run(
            f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=rt.example.com -days 2 "
            f"-keyout {key} -out {certificate}".split(),
            check=True,
            capture_output=True,
        )
        text = re.sub(r'(cert_pem_file = )".*"', rf'\1"{certificate}"', text)
        text = re.sub(r'(key_pem_file = )".*"', rf'\1"{key}"', text)
    file = tmp_path / "jackfield.toml"
    file.write_text(text)
    checked(binary, file)


@pytest.mark.parametrize("block", of("html"))
def test_html(block, site):
    folder = site(block)
    template = folder / "page" / "templates" / "block.html"
    template.parent.mkdir()
    template.write_text(block.text)
    code = (
        "from django.test import RequestFactory, override_settings;"
        "from django.contrib.auth.models import AnonymousUser;"
        "from django.template.loader import render_to_string;"
        "r = RequestFactory().get('/'); r.user = AnonymousUser(); r.session = {};"
        "print(render_to_string('block.html', {'orders': [{'pk': 7}]}, request=r))"
    )
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=folder,
        env=environment(),
    )
    assert done.returncode == 0, f"{block}\n{done.stderr}"
    # Nothing of the template language is left, and every tag of ours has printed something.
    assert "{%" not in done.stdout
    for tag, proof in (
        ("script", "jackfield.js"),
        ("config", "application/json"),
        ("subscribe", "data-"),
    ):
        if "{% jackfield_" + tag in block.text:
            assert proof in done.stdout, f"{block}: {tag}\n{done.stdout}"


def declared():
    """The members that the module has, as its types tell."""
    types = HERE.parent / "src/django_jackfield/static/django_jackfield/jackfield.d.ts"
    return set(re.findall(r"^\s+(?:readonly )?(\w+)\??[(:<]", types.read_text(), re.M)) | {"name"}


@pytest.mark.parametrize("block", of("js"))
def test_js(block, tmp_path):
    if not shutil.which("node"):
        pytest.skip("there is no node")
    file = tmp_path / "block.mjs"
    file.write_text(block.text)
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, f"{block}\n{done.stderr}"
    assert not unknown_members(block.text), f"{block}: {unknown_members(block.text)}"


def unknown_members(text):
    """Members of `jackfield`, of channels and of their errors that the module does not have."""
    channels = re.findall(r"(\w+) = jackfield\.channel\(", text)
    owners = "|".join(["jackfield", r"jackfield\.channel\([^)]*\)", *channels])
    text = re.sub(r"[\"'][^\"']*jackfield\.js[\"']|//.*", "", text)
    used = re.findall(rf"\b(?:{owners})\.(\w+)", text)
    return sorted(set(used) - declared())


def test_a_misspelt_member_is_noticed():
    assert unknown_members('const a = jackfield.channel("b");\na.sendd(1)') == ["sendd"]
    assert unknown_members('jackfield.cal("b")') == ["cal"]


@pytest.mark.parametrize("block", of("json"))
def test_json(block):
    json.loads(block.text)


def test_a_misspelt_command_is_noticed(site, tmp_path):
    block = Block("docs/django.md", 0, 1, "console", "", "")
    for command in (
        "python manage.py jackfield wrker",
        "python manage.py jackfield worker --treads 8",
    ):
        with pytest.raises(AssertionError, match=r"manage\.py"):
            one_command(block, command.split(), tmp_path, tmp_path)
    with pytest.raises(AssertionError, match="what is to be done"):
        one_command(block, ["unheard-of"], tmp_path, tmp_path)
