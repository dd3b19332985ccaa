"""`einloom doctor`: what of this machine works, and how to mend what does not."""

import json
from typing import Annotated

import typer

from einloom.diagnosis import diagnose
from einloom.spec.errors import CheckFailed


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Look for all that einloom needs: compiler, simulator, Yosys, cache, memory, and a card's tools."""
    health = diagnose()
    if as_json:
        typer.echo(json.dumps(health.figures()))
    else:
        for thing in health.things:
            mend = f" (mend: {thing.mend})" if thing.mend else ""
            typer.echo(f"{thing.verdict:9} {thing.what}: {thing.found}{mend}")
    if not health.runs:
        missing = [thing.what for thing in health.things if "run" in thing.needed_by and thing.verdict != "ok"]
        raise CheckFailed(f"the main job, einloom run, can't run here: {', '.join(missing)}")
