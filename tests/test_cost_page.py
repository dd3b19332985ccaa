"""The page and the plots of `einloom cost`."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import einloom
from einloom.catalogue import load_graph
from einloom.cli.main import make_app
from einloom.costing import CostReport
from einloom.mapping.cost.gemm import gemm_cycles
from einloom.mapping.cost.operation_work import attention_macs, peak_macs
from einloom.mapping.cost.roofline import ATTENTION
from einloom.mapping.cost.unit_queues import Chunk
from einloom.spec.attention_format import Mask
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from tests.test_cost_command import LLAMA

pytest.importorskip("matplotlib")
POSITION = 37
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIGURES = ("roofline", "timeline", "timeline-of-layer")
MEASURE = """<script>
document.title = JSON.stringify([...document.querySelectorAll('figure > svg')].map(svg => {
  const box = svg.getBoundingClientRect(), drawn = svg.getBBox();
  const seen = [...svg.querySelectorAll('path')].filter(p => p.getBoundingClientRect().width > 0);
  return [svg.parentNode.id, box.width, box.height, drawn.width, drawn.height, seen.length];
}));
</script>"""


class Page(HTMLParser):
    """What a page is made of.

    Attributes
    ----------
    tags : (tag, attributes) of each element.
    cells : texts of each row of the tables, by the tables' names.
    drawings : elements inside the drawing of each figure.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: dict[str, list[list[str]]] = {}
        self.drawings: dict[str, int] = {}
        self._table = self._figure = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self._open.append(tag)
        if tag == "table":
            self._table = found["id"] or ""
            self.cells[self._table] = []
        elif tag == "tr":
            self.cells[self._table].append([])
        elif tag in ("td", "th"):
            self.cells[self._table][-1].append("")
        elif tag == "figure":
            self._figure = found["id"] or ""
            self.drawings[self._figure] = 0
        if tag == "path":
            self.drawings[self._figure] += 1

    def handle_endtag(self, _tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("td", "th"):
            self.cells[self._table][-1][-1] += data


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return folder


@pytest.fixture(scope="module")
def report(model: Path) -> CostReport:
    return einloom.cost(model, "bitmod-decode", position=POSITION, prompt=20)


@pytest.fixture(scope="module")
def page(report: CostReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "cost.html"
    report.write_html(path)
    return path


def test_macs_are_those_of_the_model(model: Path, report: CostReport) -> None:
    """Its matrices fill the tiles, so that the program has not one product more than the graph."""
    graph = load_graph(model)
    products = sum(work.macs for work in report.step.work if work.name != ATTENTION)
    assert products == sum(int(np.prod(tensor.shape)) for tensor in graph.linears())
    (attention,) = (work for work in report.step.work if work.name == ATTENTION)
    heads, size = graph.attention.heads, graph.attention.size
    assert attention.macs == len(graph.layers) * heads * 2 * size * (POSITION + 1)
    assert report.step.whole.macs == products + attention.macs
    assert report.prompt_work is not None
    products -= LLAMA["vocab_size"] * LLAMA["hidden_size"]  # the head is for the last token alone
    assert report.prompt_work.macs > 20 * products
    assert report.prompt_work.bytes > report.step.whole.bytes


@pytest.mark.parametrize(("window", "sinks"), [(0, 0), (5, 0), (9, 3), (40, 4)])
@pytest.mark.parametrize("position", [0, 7, 30])
def test_attention_counts_the_positions_that_tokens_see(window: int, sinks: int, position: int) -> None:
    fields = {"first": 1, "window": window, "sinks": sinks, "group": 3, "query_head": 16, "value_head": 8}
    mask = Mask(64, causal=True, window=window, sinks=sinks)
    seen = int(mask.visible(np.arange(position + 1, position + 5)).sum())
    assert attention_macs(fields, Chunk(position, 8, True), 4, 2) == seen * 3 * 2 * (16 + 8)


def test_no_product_passes_the_arrays_roof_and_long_ones_reach_it(report: CostReport) -> None:
    gemm = report.manifest.gemm
    for step in gemm.weights.steps:
        format = FORMATS[step.format]
        inputs, outputs = gemm.weights.block * (gemm.max_inputs // gemm.weights.block), gemm.columns * 64
        cycles = gemm_cycles(gemm, format, tokens=gemm.rows, inputs=inputs, outputs=outputs)
        share = gemm.rows * inputs * outputs / cycles / peak_macs(gemm, format, gemm.rows)
        assert 0.98 < share <= 1


def test_the_page_is_whole_and_needs_nothing_else(report: CostReport, page: Path) -> None:
    text = page.read_text()
    found = Page(text)
    assert list(found.drawings) == list(FIGURES)
    assert all(count > 20 for count in found.drawings.values())
    names = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(names) == len(set(names))
    dots = [name for name in names if name and re.fullmatch(r"roofline-(dot|whole)-\d+", name)]
    assert len(dots) == len(report.step.work) + 2
    assert not {"script", "link", "img", "iframe", "object", "image"} & {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert "src" not in attributes
        assert all((attributes.get(name) or "#").startswith("#") for name in ("href", "xlink:href"))
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text
    for reference in re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text):
        assert reference in names
    assert re.search(f"<code id='digest'>{report.manifest.digest}</code>", text)


def test_the_page_has_the_figures_of_the_report(report: CostReport, page: Path) -> None:
    cells = Page(page.read_text()).cells
    summary = dict(cells["summary"][1:])
    assert summary["cycles of a token"] == f"{report.step.cycles:,}"
    assert report.helps_most[0] in summary["would help most"]
    layers = [int(row[1].replace(",", "")) for row in cells["layers"][1:]]
    assert sum(layers) == report.step.cycles
    work = {row[0]: [int(cell.replace(",", "")) for cell in row[1:4]] for row in cells["work"][1:]}
    figures = report.figures()["work"]
    assert work == {entry["name"]: [entry["macs"], entry["bytes"], entry["cycles"]] for entry in figures}
    assert len(cells["units"]) == 7


def test_the_same_prediction_gives_the_same_bytes(model: Path, page: Path, tmp_path: Path) -> None:
    again = einloom.cost(model, "bitmod-decode", position=POSITION, prompt=20)
    again.write_html(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    for name in ("a.svg", "b.svg"):
        again.plot(tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_plot(model: Path, tmp_path: Path) -> None:
    arguments = ["cost", str(model), "-c", "bitmod-decode", "--plot", str(tmp_path / "cost.svg")]
    result = CliRunner().invoke(make_app(), [*arguments, "--html", str(tmp_path / "new" / "cost.html"), "--json"])
    assert result.exit_code == 0, result.output
    work = json.loads(result.stdout)["work"]
    assert {"queries", "gate and up", "head", ATTENTION, "whole token"} <= {entry["name"] for entry in work}
    root = ElementTree.fromstring((tmp_path / "cost.svg").read_text())
    names = {element.get("id") for element in root.iter()}
    assert {f"dot-{n}" for n in range(len(work) - 1)} | {"unit-gemm", "unit-attention"} <= names
    assert (tmp_path / "new" / "cost.html").exists()


@pytest.mark.parametrize(
    ("option", "file", "words"),
    [
        ("--html", "cost.pdf", r"--html .*cost\.pdf: name a file that ends in \.html or \.htm"),
        ("--html", "cost", r"--html .*cost: name a file"),
        ("--plot", "cost.html", r"--plot .*cost\.html: name a file that ends in \.svg, \.png or \.pdf"),
        ("--timeline", "cost.txt", r"--timeline .*cost\.txt: name a file that ends in \.svg, \.png, \.pdf or \.json"),
        ("--html", "taken/cost.html", r"taken/cost\.html: cannot be written"),
        ("--html", "folder.html", r"folder\.html: cannot be written"),
        ("--plot", "taken/cost.svg", r"taken/cost\.svg: cannot be written"),
    ],
)
def test_files_that_can_not_be(model: Path, tmp_path: Path, option: str, file: str, words: str) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "folder.html").mkdir()
    before = set(tmp_path.iterdir())
    arguments = ["cost", str(model), "-c", "bitmod-decode", option, str(tmp_path / file)]
    with pytest.raises(InputError, match=words) as raised:
        CliRunner().invoke(make_app(), arguments, catch_exceptions=False)
    assert raised.value.exit_code == 2
    assert set(tmp_path.iterdir()) == before


def test_a_page_without_matplotlib(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(InputError, match=r'--html needs matplotlib: pip install "einloom\[docs\]"'):
        CliRunner().invoke(
            make_app(), ["cost", str(model), "--html", str(tmp_path / "cost.html")], catch_exceptions=False
        )


def test_a_browser_draws_the_page(page: Path, tmp_path: Path) -> None:
    """Each plot has a size on the screen, and most of its paths too."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    copy = tmp_path / "measured.html"
    copy.write_text(page.read_text().replace("</body>", f"{MEASURE}</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", copy.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    title = re.search("<title>(.*?)</title>", dumped)
    assert title is not None
    drawn = json.loads(title[1])
    assert [figure for figure, *_ in drawn] == list(FIGURES)
    for figure, width, height, *inside, seen in drawn:
        assert min(width, height) > 100, figure
        assert min(inside) > 100, figure
        assert seen > 20, figure
