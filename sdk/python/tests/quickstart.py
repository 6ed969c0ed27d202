"""Does what GETTING_STARTED.md says, as a newcomer would: installs the package into an
environment of its own, starts a fresh server, runs the page's code, and compares what
it prints with what the page promises. Run by `make quickstart`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List, Tuple

from tests.support import FOLDER, real_server

SEPARATOR = "\x1e"


def blocks(page: str) -> List[Tuple[str, str]]:
    """Return the fenced blocks of a page, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run(*command: object, **environment: str) -> str:
    process = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = process.stdout.decode()
    if process.returncode != 0:
        sys.exit(f"quickstart: {' '.join(map(str, command))} failed:\n{output}")
    return output


def builder() -> List[str]:
    """Return the Python that installs, and the options that it needs.

    Without the network pip can't fetch what builds the package, so one is preferred
    that has it (Debian: python3-venv, python3-setuptools and python3-wheel).
    """
    for python in (sys.executable, "/usr/bin/python3"):
        check = [python, "-c", "import setuptools, wheel, ensurepip, pip, venv"]
        if os.path.exists(python) and subprocess.run(check, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return [python, "--no-build-isolation"]
    return [sys.executable]


def install(work: Path) -> Path:
    """Do `pip install ./sdk/python`, and return the Python that has it now."""
    source = work / "source"  # building leaves files behind
    source.mkdir()
    for name in ("pyproject.toml", "GETTING_STARTED.md"):
        shutil.copy(FOLDER / name, source)
    shutil.copytree(FOLDER / "analytics_client", source / "analytics_client")
    python, *options = builder()
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", *options, "-w", work, source)
    run(python, "-m", "venv", work / "venv")
    (wheel,) = work.glob("*.whl")
    installed = work / "venv" / "bin" / "python"
    run(installed, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check", wheel)
    where = run(installed, "-I", "-c", "import analytics_client; print(analytics_client.__file__)").strip()
    if not Path(where).with_name("py.typed").exists():
        sys.exit("quickstart: the package that is installed has no py.typed")
    return installed


def main() -> None:
    found = blocks((FOLDER / "GETTING_STARTED.md").read_text(encoding="utf-8"))
    commands = [code.strip() for language, code in found if language == "sh"]
    if commands != ["pip install ./sdk/python", "go run ./cmd/analytics"]:
        sys.exit(f"quickstart: the page's commands are others than those that are tried here: {commands}")
    codes = [code for language, code in found if language == "python"]
    promised = [text for language, text in found if language == "text"]
    if not codes or len(codes) != len(promised):
        sys.exit("quickstart: each block of Python on the page needs a block of text with what it prints")

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        python = install(work)
        program = work / "program.py"
        program.write_text(f"print({SEPARATOR!r}, end='')\n".join(codes), encoding="utf-8")
        with real_server(RATE_LIMIT="1500") as url:
            printed = run(python, "-I", "-u", program, ANALYTICS_URL=url, TMPDIR=folder).split(SEPARATOR)

    for code, output, promise in zip(codes, printed, promised):
        print("".join(f">>> {line}\n" for line in code.splitlines()) + output, end="")
        # What is logged in between stands there too, and the page shows only what is printed.
        said = [line for line in output.splitlines() if not re.match(r"\d+ events are rejected: ", line)]
        if said != promise.splitlines():
            sys.exit(f"quickstart: the page promises:\n{promise}")
    print("The quickstart works.")


if __name__ == "__main__":
    main()
