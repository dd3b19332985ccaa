"""Pages of the site that are made from other files, so that nothing is written twice."""

import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PARTS = ("core", "vector", "array", "pe", "bus", "buffers", "arith")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that follow from the README, the notebook and the folders of hw/."""
    made = {"index.md": front_page(), "notebook.md": notebook_page(), "reference/parts.md": parts_page()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def front_page() -> str:
    """The README, with links as they are from here."""
    text = re.sub(r"\]\(docs/", "](", (ROOT / "README.md").read_text())
    return re.sub(r"\[([A-Z]+\.md)\]\(\1\)", r"`\1`", text)


def notebook_page() -> str:
    """The notebook's cells as a page."""
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"


def parts_page() -> str:
    """Every module of hw/ that has a part, folder by folder."""
    lines = ["# Hardware parts", "", "One part a file; their docstrings state mathematics, shapes, widths and latency."]
    for folder in PARTS:
        lines += ["", f"## {folder}"]
        for path in sorted((ROOT / "hw" / folder).glob("*.py")):
            if "(Part)" in path.read_text():
                lines += ["", f"::: einloom.hw.{folder}.{path.stem}", "    options:", "      heading_level: 3"]
    return "\n".join(lines) + "\n"
