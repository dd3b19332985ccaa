"""Pages say what is so: files and options exist, configs load, the notebook runs, the site builds without a warning."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from einloom.catalogue import load_config, shipped_configs, shipped_models
from einloom.cli.main import COMMANDS, real_command

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = "benchmarks|docs|einloom|examples|fpga|generators|hw|mapping|models|sim|spec|tests"
TUTORIAL = ROOT / "docs" / "tutorial-engine.md"


def blocks(page: Path, language: str) -> Iterator[str]:
    """The code blocks of a language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(rf"`((?:{FOLDERS})/[\w./*-]+)`", page.read_text()):
        assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_that_a_page_shows_exist(page: Path) -> None:
    text = page.read_text()
    shown = [line for block in blocks(page, "sh") for line in block.splitlines()]
    shown += re.findall(r"`(einloom [^`]+)`", text)
    for line in shown:
        match = re.search(r"\beinloom (\w+)([^#|&]*)", line)
        if match is None or match[1] not in COMMANDS and not line.startswith("einloom "):
            continue
        assert match[1] in COMMANDS, f"{page.name}: {line}"
        known = {option for parameter in real_command(match[1]).params for option in parameter.opts} | {"--help"}
        for option in re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", match[2]):
            assert option in known, f"{page.name}: {option} in: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_configs_that_a_page_shows_load(page: Path) -> None:
    if page == TUTORIAL:
        pytest.skip("its engine comes from a package, and tests/test_engine_from_outside.py runs it")
    for block in blocks(page, "yaml"):
        data = yaml.safe_load(block)
        if isinstance(data, dict) and {"name", "engine"} <= data.keys():
            load_config(data)


def test_the_readme_names_what_is_shipped() -> None:
    for name in re.findall(r"-c ([a-z][a-z0-9-]+)", (ROOT / "README.md").read_text()):
        assert name in shipped_configs(), name
    for name in re.findall(r"einloom run (shakespeare[\w-]+)", (ROOT / "README.md").read_text()):
        assert name in shipped_models(), name


def test_every_row_of_the_readmes_table_is_a_command() -> None:
    rows = re.findall(r"^\| `einloom (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == list(COMMANDS)


def test_the_notebook_runs(tmp_path: Path) -> None:
    """In a kernel of its own; each object's table is made too. The notebook is stored without outputs."""
    notebook = ROOT / "docs" / "notebook.ipynb"
    assert '"outputs": []' in notebook.read_text()
    script = (
        "import sys, nbformat, nbclient\n"
        "book = nbformat.read(sys.argv[1], 4)\n"
        "nbclient.NotebookClient(book, timeout=300, kernel_name='python3').execute()\n"
        "print(sum('text/html' in o.get('data', {}) for c in book.cells for o in c.get('outputs', [])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(notebook)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == 5  # design, compiled model, text, simulation, cascade


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install einloom[docs]")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: pip install einloom[docs]")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "api" / "index.html").read_text().count("doc-function") > 10
