"""What is found out about a point, in whatever process."""

import json
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from einloom.catalogue import load_graph, load_model
from einloom.costing import cost
from einloom.evaluation import evaluate
from einloom.fpga.design.resource_model import FACTORS, core_resources
from einloom.generators.cached_designs import design_code
from einloom.mapping.model_digest import model_digest
from einloom.memory_sizes import sized
from einloom.spec.build_cache import content_key, package_texts
from einloom.spec.config import Config, check_config
from einloom.spec.errors import ConfigError, InputError, ToolError
from einloom.spec.files import file_digest, read_text
from einloom.spec.sweep_file import Measure
from einloom.spec.version import VERSION
from einloom.sweeps.plan import Point, Settings
from einloom.synthesis import synthesise

Row = dict[str, str | int | float | None]
"""Figures of a point by their names; None where there is none. `error` says why, and is empty otherwise."""
ERROR = "error"
COLUMNS: Mapping[Measure, tuple[str, ...]] = {
    Measure.cost: (
        "cycles",
        "tokens_per_second",
        "prompt_cycles",
        "time_to_first_token",
        "bound",
        "share_of_bound",
    ),
    Measure.resources: ("lut", "dsp", "bram36", "uram"),
    Measure.fidelity: ("perplexity", "float_perplexity", "kl", "top1"),
}
"""Figures of each measure."""
DIGITS = 6
"""Significant ones of fidelity: sums of floats depend on the machine in the last ones."""
CODE = (
    *("einloom.models", "einloom.mapping", "einloom.fpga", "einloom.sim.golden", "einloom.costing"),
    *("einloom.memory_sizes", "einloom.evaluation", "einloom.evaluation_windows", "einloom.synthesis"),
    "einloom.sweeps.measures",
)
"""What rows follow from, beside the code that a design follows from."""


def columns(settings: Settings) -> tuple[str, ...]:
    """Names of a row's figures."""
    return (*(name for measure in settings.measures for name in COLUMNS[measure]), ERROR)


@cache
def code_digest() -> str:
    """Names all code that rows follow from, and einloom's version."""
    return content_key([VERSION, FACTORS.read_text(), *design_code(), *package_texts(*CODE)])


class Identity:
    """Keys of points: digests of all that their rows follow from."""

    def __init__(self, settings: Settings) -> None:
        self._fidelity = Measure.fidelity in settings.measures
        text = None if settings.text is None else file_digest(Path(settings.text))
        self._shared = (code_digest(), json.dumps([*settings.measures, settings.synth, settings.tokens, text]))
        self._models: dict[str | None, str] = {None: ""}

    def key(self, point: Point) -> str:
        """The point's key."""
        if point.model not in self._models:
            self._models[point.model] = self._model(point.model)
        return content_key([*self._shared, point.config, point.job.model_dump_json(), self._models[point.model]])

    def _model(self, path: str | None) -> str:
        """Digest of a model's shape, with fidelity also of its numbers and tokenizer."""
        if not self._fidelity:
            return content_key([repr(load_graph(path))])
        try:
            model = load_model(path)
        except InputError as error:
            return content_key([repr(load_graph(path)), str(error)])
        return content_key([model_digest(model), model.tokenizer.to_str()])


def measure_point(point: Point, settings: Settings, code: str) -> tuple[Row, bool]:
    """The point's row, and whether it is a result: it isn't where einloom failed by a bug.

    `code` is the code_digest of whoever asks; ToolError when it is another one here, or a tool is missing.
    """
    if code != code_digest():
        raise ToolError("a worker has another version of einloom, or of its engines: install the same one")
    row: Row = dict.fromkeys(columns(settings))
    try:
        config = check_config(json.loads(point.config))
        errors = [error for m in settings.measures if (error := _measured(m, config, point, settings, row))]
    except ConfigError as error:
        errors = ["; ".join(map(str, error.problems))]
    except ToolError:
        raise
    except Exception as error:
        traceback.print_exc()
        return row | {ERROR: f"einloom failed: {type(error).__name__}: {_line(error)}"}, False
    return row | {ERROR: "; ".join(dict.fromkeys(errors))}, True


def _measured(measure: Measure, config: Config, point: Point, settings: Settings, row: Row) -> str:
    """Add the figures of a measure to `row`; what is in the way of it otherwise."""
    try:
        figures = MEASURES[measure](config, point, settings)
    except InputError as error:
        return _line(error)
    row.update(zip(COLUMNS[measure], figures, strict=True))
    return ""


def _cost(config: Config, point: Point, _settings: Settings) -> tuple[Any, ...]:
    job = point.job
    report = cost(
        point.model,
        config,
        position=job.position,
        prompt=job.prompt,
        weights=job.weights,
        memory=job.memory,
        clock_mhz=job.clock,
        what_if=False,
    )
    figures = report.figures()
    return tuple(figures[name] for name in COLUMNS[Measure.cost])


def _resources(config: Config, point: Point, settings: Settings) -> tuple[Any, ...]:
    chosen = config if point.model is None else sized(config, load_graph(point.model))
    total = synthesise(chosen).total if settings.synth else core_resources(chosen)
    return tuple(getattr(total, name) for name in COLUMNS[Measure.resources])


def _fidelity(config: Config, point: Point, settings: Settings) -> tuple[Any, ...]:
    assert point.model is not None
    assert settings.text is not None
    text = read_text(Path(settings.text))
    found = evaluate(point.model, text, config=config, weights=point.job.weights, tokens=settings.tokens).whole
    return tuple(float(f"{getattr(found, name):.{DIGITS}g}") for name in COLUMNS[Measure.fidelity])


Figures = Callable[[Config, Point, Settings], tuple[Any, ...]]
MEASURES: Mapping[Measure, Figures] = {
    Measure.cost: _cost,
    Measure.resources: _resources,
    Measure.fidelity: _fidelity,
}


def _line(error: Exception) -> str:
    """An error's text in one line."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
