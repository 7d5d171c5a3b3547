"""The Dockerfile that `linqbot new` writes: its steps are run in a folder, and the bot is served as the image would serve it."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import pytest
from click.testing import CliRunner
from crash import SECRET, Served, running
from deploy.tools import DEPLOY, tool
from patience import PATIENCE_S
from ports import free_port

from linqbot.cli.main import main

ROOT = DEPLOY.parent
BOT = """
from greeting import WORDS
from linqbot import Bot, Context, MessageReceived

from replies import answer

bot = Bot()


@bot.on_message
async def greet(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(answer(WORDS))
"""


@dataclass
class Image:
    """A folder in place of an image. Its paths are those of the image, below `root`.

    It understands the instructions that linqbot's Dockerfiles use, each in one form.
    """

    root: Path
    context: Path
    environ: dict[str, str]
    folder: str = "/"
    user: str = "0"
    command: dict[str, list[str]] = field(default_factory=dict)

    def path(self, text: str) -> str:
        """Put the paths of the image that a text names below `root`."""
        return re.sub(r"/(?:app|data|opt|tmp)(?![\w.-])", lambda found: f"{self.root}{found[0]}", text)

    def build(self, dockerfile: str, *, without: Sequence[str] = ()) -> None:
        for name, value in re.findall(r"^([A-Z]+) (.*)$", dockerfile.replace("\\\n", ""), re.MULTILINE):
            if name not in without:
                self._do(name, value.strip())

    def _do(self, name: str, value: str) -> None:
        match name:
            case "FROM":
                assert value == "linqbot"
                # What the image `linqbot` has, by its own Dockerfile. Its steps need a network.
                last = (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2].partition("\n")[2]
                self.build(last, without=("COPY", "RUN"))
            case "USER":
                self.user = value
            case "WORKDIR":
                self.folder = value
                Path(self.path(value)).mkdir(parents=True, exist_ok=True)
            case "ENV":
                for variable, given in re.findall(r"(\w+)=(\S+)", value):
                    self.environ[variable] = self.path(given).replace("$PATH", self.environ["PATH"])
            case "COPY":
                self._copy(*(word for word in value.split() if not word.startswith("--chown=10001")))
            case "RUN":
                command, folder = ["sh", "-ec", self.path(value)], self.path(self.folder)
                done = subprocess.run(
                    command, cwd=folder, env=self.environ, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr
            case "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                self.command[name] = json.loads(value.rpartition("CMD ")[2])
            case "VOLUME":
                Path(self.path(value)).mkdir(mode=0o700, exist_ok=True)
            case _:
                assert name == "EXPOSE" or (name, value) == ("STOPSIGNAL", "SIGTERM")

    def _copy(self, *words: str) -> None:
        *sources, target = words
        to = Path(self.path(self.folder)) / target
        for source in sources:
            for path in sorted(self.context.glob("**/*") if source == "." else [self.context / source]):
                place = path.relative_to(self.context)
                if path.is_file() and not self._is_ignored(place):
                    (to / place).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, to / place)

    def _is_ignored(self, place: Path) -> bool:
        rules = (self.context / ".dockerignore").read_text().split()
        names = [name.as_posix() for name in (place, *place.parents)][:-1]
        return any(
            fnmatch.fnmatch(name, each) for rule in rules for each in (rule, rule.removeprefix("**/")) for name in names
        )


def linqbot_environment(folder: Path) -> None:
    """Make a virtual environment with this linqbot, in place of the one that linqbot's image has."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    ours = [path for path in (*site.getsitepackages(), str(ROOT)) if Path(path).is_dir()]
    (packages / "linqbot.pth").write_text("\n".join(ours) + "\n")
    script = folder / "bin" / "linqbot"
    script.write_text(f"#!{folder}/bin/python\nfrom linqbot.cli.main import main\nmain()\n")
    script.chmod(0o755)


def wheel(folder: Path) -> Path:
    """Write the wheel of a package that the bot imports."""
    path, info = folder / "greeting-1.0-py3-none-any.whl", "greeting-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("greeting.py", "WORDS = 'hello'\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", f"greeting.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(main, ["new", "my-bot"])
    assert made.exit_code == 0, made.output
    return tmp_path / "my-bot"


@pytest.mark.slow
@pytest.mark.process
async def test_the_image_of_a_new_bot_builds_and_serves_all_of_its_files(project: Path, tmp_path: Path) -> None:
    pip = tool("pip", get="apt-get install python3-pip")
    tool("sh", get="a POSIX shell, such as dash")
    (project / "bot.py").write_text(BOT)
    (project / "replies").mkdir()
    (project / "replies" / "__init__.py").write_text("def answer(words: str) -> str:\n    return words\n")
    settings = project / "linqbot.toml"
    settings.write_text(settings.read_text() + "\nlog_level = 'warning'\n")
    for secret in (".env", "linqbot.db", ".linqbot/webhook-secret"):
        (project / secret).parent.mkdir(exist_ok=True)
        (project / secret).write_text("private")
    needs = f'"linqbot", "greeting @ {wheel(tmp_path).as_uri()}"'
    text = re.sub(
        r"^dependencies = .*$",
        f"dependencies = [{needs}]",
        (project / "pyproject.toml").read_text(),
        flags=re.MULTILINE,
    )
    (project / "pyproject.toml").write_text(text)

    root, port = tmp_path / "root", free_port()
    for folder in ("tmp", "opt", "app"):
        (root / folder).mkdir(parents=True)
    await anyio.to_thread.run_sync(linqbot_environment, root / "opt" / "linqbot")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "LINQBOT_", "PYTHON", "VIRTUAL_ENV"))}
    image = Image(root, project, plain | {"PATH": f"{Path(pip).parent}:{os.environ['PATH']}"})
    image.build((project / "Dockerfile").read_text())

    assert image.user == "10001:10001"
    copied = {path.relative_to(root / "app").as_posix() for path in (root / "app").rglob("*") if path.is_file()}
    assert {"bot.py", "replies/__init__.py", "linqbot.toml", "pyproject.toml"} <= copied
    assert not any(each.startswith((".env", ".linqbot", "linqbot.db")) for each in copied - {".env.example"})

    secrets = {
        "LINQ_API_V3_API_KEY": "key",
        "LINQ_WEBHOOK_SECRET": SECRET,
        "LINQ_API_V3_BASE_URL": "http://127.0.0.1:1",
    }
    environ = image.environ | secrets | {"LINQBOT_PORT": str(port), "LINQBOT_HOST": "127.0.0.1"}
    entry, *arguments = image.command["ENTRYPOINT"] + image.command["CMD"]
    programs = root / "opt" / "linqbot" / "bin"
    bot = Served(Path(image.path(image.folder)), "bot", port)
    bot.command, bot.environ = [str(programs / entry), *arguments], environ
    async with running(bot), httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        await bot.up(http, "/readyz")
        check = [str(programs / "python"), *image.command["HEALTHCHECK"][1:]]
        assert (await anyio.run_process(check, env=environ, check=False)).returncode == 0
        assert await bot.kill(signal.SIGTERM) == 0
    # linqbot.toml was read: nothing below a warning is logged.
    assert "linqbot serves bot.py" in bot.log()
    assert "bot.started" not in bot.log()
    assert (root / "data" / "linqbot.db").is_file()
    assert image.environ["LINQ_WEBHOOK_SECRET_FILE"] == f"{root}/data/.linqbot/webhook-secret"


@pytest.mark.process
def test_the_image_installs_every_requirement_but_linqbot(project: Path) -> None:
    linqbot = ["linqbot", "linqbot>=0.1.0", "linqbot [x] >=1", "linqbot @ git+https://example.com/linqbot.git@abc"]
    others = ["linqbot-prometheus", "linqbot_x>=1", "linqbot.x", "httpx"]
    (program,) = re.findall(r'python -c "(.*?)" >', (project / "Dockerfile").read_text())
    (project / "pyproject.toml").write_text(f"[project]\ndependencies = {json.dumps([*linqbot, *others])}\n")
    done = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == others


def test_the_readme_of_a_new_bot_builds_the_base_image_from_the_clone(project: Path) -> None:
    text = (project / "README.md").read_text()
    (file, clone) = re.findall(r"^docker build -f (\S+) -t linqbot (\S+)$", text, re.MULTILINE)[0]
    assert file == f"{clone}/deploy/Dockerfile"
    assert (project / clone / "deploy" / "Dockerfile").is_file()
