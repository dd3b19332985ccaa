"""Synthesis of a generated design: each distinct module once, out of context, and summed up the hierarchy."""

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from einloom.fpga import yosys
from einloom.fpga.depth import Boundary, depth
from einloom.fpga.depth import Path as LogicPath
from einloom.fpga.loops import loop_boundary, parse_loop
from einloom.fpga.netlist import cost, memory_homes, read_netlist
from einloom.fpga.recipes import DESIGN, NETLIST, Recipe
from einloom.fpga.resources import Resources
from einloom.fpga.verilog import VerilogModule, split_modules
from einloom.spec.build_cache import cache_root, content_key
from einloom.spec.errors import InputError
from einloom.spec.files import write_file

LEVELS = 8
"""LUTs between registers that 300 MHz leave time for, as a rule."""

Advance = Callable[[int, int], None]
"""Told (modules done, modules in all)."""


@dataclass(frozen=True)
class Part:
    """One distinct module of a synthesised design.

    Attributes
    ----------
    copies : number of its instances in the design.
    own : resources of one copy, without the modules that it places.
    total : resources of one copy, with the modules that it places.
    levels : LUTs of the deepest path in it, from its inputs or registers to its registers or outputs.
    paths : the deepest paths from register to register that none of its children has for itself.
    memories : kind that each of its memories became: lutram, blockram, uram or ff.
    children : number of each other module that it places.
    instances : those modules by the names of their instances; not in a generate loop.
    """

    name: str
    copies: int
    own: Resources
    total: Resources
    levels: int
    paths: tuple[LogicPath, ...]
    memories: Mapping[str, str]
    children: Mapping[str, int]
    instances: Mapping[str, str]


@dataclass(frozen=True)
class Synthesis:
    """A synthesised design; the top part is the first."""

    parts: tuple[Part, ...]
    reused: int
    """Modules whose netlists were in the cache."""

    @property
    def total(self) -> Resources:
        return self.parts[0].total

    @property
    def levels(self) -> int:
        return self.parts[0].levels

    def deepest(self, above: int = LEVELS) -> list[tuple[str, LogicPath]]:
        """(part, path) for the deepest path and all above a limit, deepest first."""
        paths = sorted(((path, part.name) for part in self.parts for path in part.paths), reverse=True)
        return [(name, path) for n, (path, name) in enumerate(paths) if path.levels > above or n == 0]


@dataclass
class _Result:
    """Result of Yosys for a module."""

    netlist: Mapping[str, Any]
    memories: dict[str, str] = field(default_factory=dict)


def synthesise(
    verilog: str,
    top: str,
    recipe: Recipe,
    *,
    advance: Advance | None = None,
    jobs: int | None = None,
    above: int = LEVELS,
) -> Synthesis:
    """Synthesise the modules of `verilog` under `top`.

    Other modules are black boxes to each, so nothing is optimised across modules: no constant enters a part and no
    output that its parent ignores is left away. Netlists are cached by content.

    Parameters
    ----------
    advance : told of each finished run of Yosys.
    jobs : runs of Yosys at once; as many as processors unless given.
    above : paths with more LUTs than this are listed.
    """
    # Modules have the design's name in front; without it, those of one design are found in the cache for the next.
    modules = split_modules(re.sub(rf"\b{top}_(\w+)", r"\1", verilog))
    if top not in modules:
        raise InputError(f"the Verilog has no module {top}")
    used = _below(modules, top)
    loops = {name: loop for name in used if (loop := parse_loop(modules[name].text))}
    logic = {name: modules[name] for name in used if name not in loops}
    results, reused = _netlists(logic, modules, recipe, advance or (lambda *_: None), jobs)
    boundaries: dict[str, Boundary] = {}
    children: dict[str, Mapping[str, int]] = {}
    instances: dict[str, Mapping[str, str]] = {}
    totals: dict[str, tuple[Resources, Resources]] = {}
    for name in used:
        if name in loops:
            loop, own = loops[name], Resources()
            boundaries[name] = loop_boundary(loop, boundaries[loop.child], above)
            children[name] = {loop.child: loop.count}
        else:
            netlist = read_netlist(results[name].netlist, modules)
            own = cost(netlist, recipe.cells)
            boundaries[name] = depth(netlist, boundaries, recipe.cells, above=above)
            instances[name] = netlist.instances
            children[name] = dict(Counter(netlist.instances.values()))
        totals[name] = own, sum((totals[c][1] * n for c, n in children[name].items()), own)
    copies = _copies(children, top)
    parts = [
        Part(
            name=name,
            copies=copies[name],
            own=totals[name][0],
            total=totals[name][1],
            levels=boundaries[name].levels,
            paths=tuple(boundaries[name].paths),
            memories=results[name].memories if name in results else {},
            children=children[name],
            instances=instances.get(name, {}),
        )
        for name in reversed(used)
        if copies[name]
    ]
    return Synthesis(tuple(parts), reused)


def _below(modules: Mapping[str, VerilogModule], top: str) -> list[str]:
    """`top` and all modules under it, children first."""
    wanted = {top}
    for name in reversed(list(modules)):
        if name in wanted:
            wanted.update(modules[name].children)
    return [name for name in modules if name in wanted]


def _copies(children: Mapping[str, Mapping[str, int]], top: str) -> dict[str, int]:
    """Number of instances of each module in the design; `children` has modules before their parents."""
    copies = dict.fromkeys(children, 0) | {top: 1}
    for name in reversed(list(children)):
        for child, count in children[name].items():
            copies[child] += count * copies[name]
    return copies


def _netlists(
    wanted: Mapping[str, VerilogModule],
    modules: Mapping[str, VerilogModule],
    recipe: Recipe,
    advance: Advance,
    jobs: int | None,
) -> tuple[dict[str, _Result], int]:
    """Results of Yosys for the wanted modules, and how many of them were in the cache."""
    base = content_key([yosys.version(), *recipe.texts])
    folder = cache_root() / "synth" / base
    keys = {n: content_key([m.text, *(modules[c].stub for c in m.children)]) for n, m in wanted.items()}
    results = {name: found for name, key in keys.items() if (found := _load(folder / f"{name}-{key}.json.gz"))}
    reused = len(results)
    missing = [module for name, module in wanted.items() if name not in results]
    advance(len(results), len(wanted))
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        runs = {pool.submit(_run, module, modules, recipe): module.name for module in missing}
        try:
            for run in as_completed(runs):
                name = runs[run]
                results[name] = run.result()
                _store(folder / f"{name}-{keys[name]}.json.gz", results[name])
                advance(len(results), len(wanted))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results, reused


def _run(module: VerilogModule, modules: Mapping[str, VerilogModule], recipe: Recipe) -> _Result:
    """One run of Yosys, for one module: its results depend, by a LUT or a level, on what else a run has read."""
    text = "".join(modules[name].stub for name in sorted(module.children)) + module.text
    output, log = yosys.run_passes(recipe.passes([module.name]), {**recipe.files, DESIGN: text}, NETLIST)
    result = _Result(json.loads(output)["modules"][module.name])
    for _, memory, home in memory_homes(log):
        result.memories[memory] = home
    return result


def _load(path: Path) -> _Result | None:
    """A cached result; none when there is no whole one."""
    try:
        return _Result(**json.loads(gzip.decompress(path.read_bytes())))
    except (OSError, EOFError, ValueError, TypeError):
        return None


def _store(path: Path, result: _Result) -> None:
    kept = {key: result.netlist[key] for key in ("ports", "cells", "netnames")}
    text = json.dumps({"netlist": kept, "memories": result.memories})
    write_file(path, gzip.compress(text.encode(), compresslevel=1, mtime=0))
