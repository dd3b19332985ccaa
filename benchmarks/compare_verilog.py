"""Find out if a change of the hardware's source changed the hardware: generated Verilog, module by module.

    python -m benchmarks.compare_verilog BEFORE [--after AFTER] [--prove] [CONFIG ...]

BEFORE and AFTER are each a folder with `<config>/*.v` or a revision of git; AFTER is the working tree unless given.
For each config it prints how many modules are identical, how many differ in names only, and which modules differ.
Names are those of signals, of modules, and of ports below the top; the order of statements doesn't count either. With
`--prove` each module that differs is compared as a sequential circuit, from the state after power-up, with the modules
it places cut away: ABC proves that no input sequence tells the two versions apart, or gives up.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

CONFIGS = ("default", "bitmod-8x8", "fusemax-16x16-split", "int-mac-16x16", "lut-w4", "lut-ternary")
ROOT = Path(__file__).parent.parent
SECONDS = 300  # a proof takes seconds
_TOKEN = re.compile(r"\\\S+|\d+'s?[hbdo][0-9a-fxz_]+|\d+|[A-Za-z_$][\w$]*|<=|>=|==|!=|<<<?|>>>?|\S")
_KEYWORDS = frozenset(
    "input output wire reg signed assign always posedge begin end if else case casez endcase default function "
    "endfunction initial genvar generate endgenerate for localparam integer or".split()
)
_GENERATE = """
import sys
from pathlib import Path
# What the revision lacks must not come from an installed einloom: that would compare the present with itself.
sys.meta_path = [f for f in sys.meta_path if "__editable__" not in str(getattr(f, "__module__", ""))]
try:
    from einloom.catalogue import load_config
    from einloom.generators.registry import generate_all
except ImportError:  # revisions in which the rooms stood at the top
    from einloom.cli.locate import shipped_configs
    from einloom.config import load_config as load_file
    from generators.registry import generate_all

    def load_config(name):
        return load_file(shipped_configs()[name])
for name in sys.argv[2:]:
    for design in generate_all(load_config(name)):
        design.write(Path(sys.argv[1]) / name)
"""


@dataclass
class Module:
    """A module's statements as tokens, and the modules that it places."""

    name: str
    text: str
    children: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    """Identifiers by those of the other version, where the two are the same but for names."""

    @property
    def header(self) -> str:
        return self.text[: self.text.index(");")]

    @cached_property
    def statements(self) -> list[tuple[str, ...]]:
        """Declarations and statements, each as its tokens."""
        body = self.text[len(self.header) + 2 : self.text.rindex("endmodule")]
        pieces = re.split(r"\n(?=  [^\s)])", body)
        if "wire" in self.header:  # ports of a generate loop are declared where they are listed
            pieces += self.header[self.header.index("(") + 1 :].split(",")
        return [tuple(tokens) for piece in pieces if (tokens := _TOKEN.findall(piece))]

    @cached_property
    def ports(self) -> dict[str, str]:
        """input or output, by name."""
        return {s[-1] if s[-1] != ";" else s[-2]: s[0] for s in self.statements if s[0] in {"input", "output"}}


def read_modules(text: str, top: str) -> dict[str, Module]:
    """The modules of the Verilog of `top` by name, without the prefix that all but the top have."""
    text = text.replace(f"{top}_", "")
    found = {m[1]: m[0] for m in re.finditer(r"^module (\S+?)\(.*?^endmodule\n", text, re.MULTILINE | re.DOTALL)}
    modules = {name: Module(name, body) for name, body in found.items()}
    for module in modules.values():
        # A signal may have the name of a module; an instance is a module's name, its own and its ports.
        places = {s[n] for s in module.statements for n in range(len(s) - 2) if s[n + 2] == "("}
        module.children = tuple(sorted(places & modules.keys() - {module.name}))
    return modules


def _by_depth(modules: Mapping[str, Module]) -> list[list[Module]]:
    """Modules that place none, then those that place only such, and so on."""
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max((depth(child) for child in modules[name].children), default=-1)
        return depths[name]

    levels: dict[int, list[Module]] = defaultdict(list)
    for name, module in modules.items():
        levels[depth(name)].append(module)
    return [levels[n] for n in sorted(levels)]


class _Colours:
    """Colour refinement: identifiers get colours that agree if nothing in their use tells them apart."""

    def __init__(self, module: Module, labels: Mapping[str, object], fixed: Mapping[str, object]):
        self.statements = [self._labelled(s, labels) for s in module.statements]
        self.names = sorted({t[1] for s in self.statements for t in s if isinstance(t, tuple) and t[0] == "name"})
        self.colour: dict[str, object] = {name: fixed.get(name, 0) for name in self.names}
        self.places: dict[str, list[int]] = defaultdict(list)
        for n, statement in enumerate(self.statements):
            for name in {t[1] for t in statement if isinstance(t, tuple) and t[0] == "name"}:
                self.places[name].append(n)

    @staticmethod
    def _labelled(statement: Sequence[str], labels: Mapping[str, object]) -> tuple[object, ...]:
        """Identifiers marked; a child's name, and its ports, by what they are called in both versions."""
        result: list[object] = []
        child: object = None
        for n, token in enumerate(statement):
            name = token.removeprefix("\\")
            if token in labels and child is None:
                child = token
                result.append(labels[token][0])  # type: ignore[index]
            elif n and statement[n - 1] == "." and child is not None:
                result.append(("port", labels[child][1].get(name, name)))  # type: ignore[index]
            elif token not in _KEYWORDS and re.match(r"[A-Za-z_$\\]", token):
                result.append(("name", name))
            else:
                result.append(token)
        return tuple(result)

    def _hash(self, statement: tuple[object, ...], own: str | None = None) -> int:
        colours = self.colour
        return hash(
            tuple(
                ("own",)
                if isinstance(t, tuple) and t[0] == "name" and t[1] == own
                else ("id", colours[t[1]])
                if isinstance(t, tuple) and t[0] == "name"
                else t
                for t in statement
            )
        )

    def refine(self) -> None:
        """Once: by the statements in which each identifier is used."""
        self.colour = {
            name: hash((self.colour[name], *sorted(self._hash(self.statements[n], name) for n in self.places[name])))
            for name in self.names
        }

    def classes(self) -> dict[object, list[str]]:
        found: dict[object, list[str]] = defaultdict(list)
        for name in self.names:
            found[self.colour[name]].append(name)
        return found


def same_but_for_names(before: Module, after: Module, labels: Sequence[Mapping[str, object]], top: bool) -> bool:
    """True when a renaming turns `before` into `after`, statement by statement; it is then left in `before.renamed`."""
    if len(before.statements) != len(after.statements):
        return False
    kept = {p: ("top", p) for p in after.ports} if top else {}
    one, two = _Colours(before, labels[0], kept), _Colours(after, labels[1], kept)
    while True:
        count = -1
        while len(one.classes()) > count:
            count = len(one.classes())
            one.refine()
            two.refine()
        left, right = one.classes(), two.classes()
        if Counter({c: len(n) for c, n in left.items()}) != Counter({c: len(n) for c, n in right.items()}):
            return False
        tied = [colour for colour, names in left.items() if len(names) > 1]
        if not tied:
            break
        # Nothing tells these apart: one of them, by its name if it has kept that, is any of the others.
        names = left[tied[0]]
        mine = next((name for name in names if name in right[tied[0]]), names[0])
        yours = mine if mine in right[tied[0]] else right[tied[0]][0]
        one.colour[mine] = two.colour[yours] = hash(("individual", count))
    renaming = {names[0]: right[colour][0] for colour, names in left.items()}

    def renamed(statement: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(("name", renaming[t[1]]) if isinstance(t, tuple) and t[0] == "name" else t for t in statement)

    if Counter(map(renamed, one.statements)) != Counter(two.statements):
        return False
    before.renamed = renaming
    return True


@dataclass
class Comparison:
    """Modules of a config, sorted by what a change did to them."""

    identical: list[str] = field(default_factory=list)
    names_only: list[str] = field(default_factory=list)
    different: list[tuple[str, str]] = field(default_factory=list)
    """(name before, name after); one of them is empty where there is no such module."""


def compare(before: Mapping[str, Module], after: Mapping[str, Module], top: str) -> Comparison:
    """Pair the modules, by name, and where a name is gone by what they are."""
    result = Comparison()
    labels: tuple[dict[str, object], dict[str, object]] = ({}, {})
    missing: list[str] = []
    for n, level in enumerate(_by_depth(before)):
        for module in level:
            other = after.get(module.name)
            if other is None:
                same = _by_depth(after)
                candidates = [m for m in (same[n] if n < len(same) else []) if m.name not in before]
                other = next((m for m in candidates if same_but_for_names(module, m, labels, False)), None)
                if other is None:
                    missing.append(module.name)
                    labels[0][module.name] = (("module", module.name), {})
                    continue
            for child in other.children:
                labels[1].setdefault(child, (("module", child), {}))
            if module.text == other.text:
                result.identical.append(other.name)
                renamed: dict[str, str] = {}
            elif same_but_for_names(module, other, labels, module.name == top):
                result.names_only.append(other.name)
                renamed = {port: module.renamed[port] for port in module.ports if port in module.renamed}
            else:
                result.different.append((module.name, other.name))
                renamed = {}
            labels[0][module.name] = (("module", other.name), renamed)
            labels[1][other.name] = (("module", other.name), {})
    paired = {name for pair in result.different for name in pair} | {*result.identical, *result.names_only}
    result.different += [(name, "") for name in missing] + [("", name) for name in after if name not in paired]
    return result


def _cut(module: Module, modules: Mapping[str, Module], name: str) -> str:
    """`module` as `name`, its children's outputs as its own inputs and the other way round."""
    text, ports, lines = module.text, [], []

    def instance(match: re.Match[str]) -> str:
        child = modules[match[1]]
        for port, value in re.findall(r"\.(\S+?)\((.*)\),?$", match[3], re.MULTILINE):
            if port in {"clk", "rst"}:
                continue
            declared = re.search(rf"^  {child.ports[port]} (\[\d+:0\] )?\\?{re.escape(port)} ?;", child.text, re.M)
            wide = re.search(rf"{child.ports[port]} wire (\[\d+:0\]) {re.escape(port)}\b", child.header)
            width = (declared[1] or "") if declared else (wide[1] if wide else "")
            outer = f"cut__{match[2]}__{port}".replace("\\", "").replace(" ", "")
            ports.append(outer)
            source, sink = (outer, value) if child.ports[port] == "output" else (value, outer)
            lines.append(f"  {'input' if child.ports[port] == 'output' else 'output'} {width} {outer};")
            lines.append(f"  assign {sink} = {source};")
        return ""

    pattern = r"^  (" + "|".join(map(re.escape, module.children)) + r") (\S+) *\(\n(.*?)^  \);\n"
    if module.children:
        text = re.sub(pattern, instance, text, flags=re.MULTILINE | re.DOTALL)
    start, end = text.index("("), text.index(");")
    head = f"module {name}" + text[start:end] + "".join(f", {port}" for port in ports) + ");\n"
    return head + "\n".join(lines) + text[end + 2 :]


def prove(before: Module, after: Module, old: Mapping[str, Module], new: Mapping[str, Module]) -> str:
    """Verdict of ABC on a miter of the two modules: "equivalent", or why that was not shown."""
    from pyosys import libyosys

    abc = Path(libyosys.__file__).parent / "yosys-abc"
    with tempfile.TemporaryDirectory() as folder:
        source, graph = Path(folder) / "both.v", Path(folder) / "miter.aig"
        source.write_text(_cut(before, old, "gold") + _cut(after, new, "gate"))
        script = f"""read_verilog {source}
proc
opt_expr
memory_map
miter -equiv -flatten gold gate miter
hierarchy -top miter
flatten
opt
async2sync
setundef -init -zero
setundef -zero
techmap
dffunmap
opt_clean
aigmap
opt_clean
write_aiger -zinit {graph}
"""
        run = "import sys\nfrom pyosys import libyosys\ndesign = libyosys.Design()\n"
        run += "for line in sys.stdin.read().splitlines():\n    design.run_pass(line)\n"
        made = subprocess.run([sys.executable, "-c", run], input=script, capture_output=True, text=True, check=False)
        if made.returncode or not graph.exists():
            return f"no miter: {(made.stderr.strip() or made.stdout.strip()).splitlines()[-1]}"
        commands = f"read_aiger {graph}; zero; strash; orpos; scorr; dc2; scorr; dprove; print_status"
        try:
            result = subprocess.run(
                [abc, "-q", commands], capture_output=True, text=True, check=False, timeout=SECONDS, cwd=folder
            )
        except subprocess.TimeoutExpired:
            return f"open after {SECONDS} s"
    text = result.stdout + result.stderr
    if "Networks are equivalent" in text or "UNSATISFIABLE" in text or "const0" in text.lower():
        return "equivalent"
    return "NOT SHOWN: " + " | ".join(text.strip().splitlines()[-3:])


def generate(source: str | None, configs: Iterable[str], folder: Path) -> Path:
    """The folder `source`, or one with the designs of a revision, or of the working tree (None)."""
    if source is not None and Path(source).is_dir():
        return Path(source)
    tree = ROOT
    if source is not None:
        tree = folder / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", tree, source], cwd=ROOT, check=True, capture_output=True)
    try:
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        designs = folder / "designs"
        subprocess.run([sys.executable, "-c", _GENERATE, designs, *configs], cwd=tree, env=environment, check=True)
    finally:
        if source is not None:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    return designs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before")
    parser.add_argument("--after")
    parser.add_argument("--prove", action="store_true")
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    arguments = parser.parse_args()
    proved: dict[tuple[str, str], str] = {}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        old = generate(arguments.before, arguments.configs, Path(one))
        new = generate(arguments.after, arguments.configs, Path(two))
        for config in arguments.configs:
            for path in sorted((new / config).glob("*.v")):
                before = read_modules((old / config / path.name).read_text(), path.stem)
                after = read_modules(path.read_text(), path.stem)
                result = compare(before, after, path.stem)
                print(
                    f"{path.stem}: {len(result.identical)} modules identical, {len(result.names_only)} but for names, "
                    f"{len(result.different)} differ"
                )
                for names in result.different:
                    verdict = ""
                    if arguments.prove and all(names):
                        key = before[names[0]].text, after[names[1]].text
                        if key not in proved:
                            proved[key] = prove(before[names[0]], after[names[1]], before, after)
                        verdict = f": {proved[key]}"
                    print(f"  {' -> '.join(dict.fromkeys(n or 'nothing' for n in names))}{verdict}", flush=True)


if __name__ == "__main__":
    main()
