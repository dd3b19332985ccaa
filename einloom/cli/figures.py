"""Named figures as a table for people or one JSON object for programs."""

import json
from collections.abc import Mapping

import typer
from rich.console import Console
from rich.table import Table

Figure = str | int | float | bool


def print_figures(figures: Mapping[str, Figure], *, title: str, column: str, as_json: bool) -> None:
    """Print `figures` to stdout; `column` heads their values in the table."""
    if as_json:
        typer.echo(json.dumps(dict(figures)))
        return
    table = Table("", column, title=title)
    for name, value in figures.items():
        number = isinstance(value, int) and not isinstance(value, bool)
        table.add_row(name.replace("_", " "), f"{value:,}" if number else str(value))
    Console().print(table)
