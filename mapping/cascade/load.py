"""A cascade from a YAML file: einsum/declaration/expressions as TeAAL has them, with sizes and operators of our own."""

from pathlib import Path

import yaml

from einloom.mapping.cascade.build import build
from einloom.mapping.cascade.convert import from_accelforge, plain_expression, render_defaults, unset_variables
from einloom.mapping.cascade.model import Cascade
from einloom.mapping.cascade.raw import RawCascade, RawEinsum, Reader, YamlNode
from einloom.spec import yaml_text
from einloom.spec.errors import ConfigError, Problem
from einloom.spec.suggest import did_you_mean

FOREIGN = {"mapping", "format", "architecture", "bindings", "renames", "arch", "variables"}
"""Sections of TeAAL's and AccelForge's files that say nothing about the cascade itself."""
SECTION = {"declaration", "expressions", "rank_sizes"}
DETAILS = {"einsum", "reduce", "where", "else"}


def load_cascade(path: Path) -> Cascade:
    """The cascade in the YAML file at `path`; ConfigError with all that is wrong with it otherwise."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, [Problem(f"cannot be read: {error}")]) from error
    return parse_cascade(text, path, path.stem)


def parse_cascade(text: str, file: Path | str = "cascade", name: str = "") -> Cascade:
    """The cascade in `text`, which may also be a TeAAL specification or an AccelForge workload."""
    rendered = render_defaults(text)
    if unset := list(unset_variables(rendered)):
        raise ConfigError(file, unset)
    try:
        node = yaml_text.compose(rendered)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        hint = " (an AccelForge template must be rendered first)" if "{%" in text else ""
        raise ConfigError(file, [Problem(f"is no YAML: {error.problem}{hint}", line=line)]) from error
    except yaml.YAMLError as error:
        raise ConfigError(file, [Problem(f"is no YAML: {error}")]) from error
    reader = Reader()
    raw = _sections(reader, node)
    cascade = build(raw, reader.problems, file, name or str(file))
    if reader.problems:
        reader.problems.sort(key=lambda problem: problem.line or 0)
        raise ConfigError(file, reader.problems)
    assert cascade is not None
    return cascade


def _sections(reader: Reader, node: YamlNode | None) -> RawCascade:
    top = reader.mapping(node, "", "the file")
    for key, (_, line) in top.items():
        if key not in FOREIGN | {"einsum", "workload", "description"}:
            near = did_you_mean(key, ["einsum", "workload", "description"])
            reader.add(f"unknown section{near}", line, key)
    if "workload" in top:
        return from_accelforge(reader, top["workload"][0])
    if "einsum" not in top:
        reader.add("a cascade needs a section 'einsum' (or 'workload', of AccelForge)", 1)
        return RawCascade()
    return _native(reader, top["einsum"][0])


def _native(reader: Reader, node: YamlNode) -> RawCascade:
    section = reader.mapping(node, "einsum", "the section")
    raw = RawCascade()
    for key, (value, line) in section.items():
        if key not in SECTION:
            reader.add(f"unknown key{did_you_mean(key, SECTION)}", line, f"einsum.{key}")
        elif key == "declaration":
            for name, (ranks, at) in reader.mapping(value, "einsum.declaration", "it").items():
                raw.declaration[name] = (reader.names(ranks, f"einsum.declaration.{name}"), at)
        elif key == "rank_sizes":
            for name, (size, at) in reader.mapping(value, "einsum.rank_sizes", "it").items():
                raw.sizes[name] = (reader.scalar(size, f"einsum.rank_sizes.{name}"), at)
        else:
            for item in reader.sequence(value, "einsum.expressions"):
                einsum = _einsum(reader, item)
                if einsum is not None:
                    raw.einsums.append(einsum)
    if not raw.einsums and not reader.problems:
        reader.add("there is no Einsum", reader.line(node), "einsum.expressions")
    return raw


def _einsum(reader: Reader, node: YamlNode) -> RawEinsum | None:
    line = reader.line(node)
    if isinstance(node, yaml.ScalarNode):
        return RawEinsum(plain_expression(node.value), line)
    parts = reader.mapping(node, "einsum.expressions", "an Einsum")
    for key, (_, at) in parts.items():
        if key not in DETAILS:
            reader.add(f"unknown key{did_you_mean(key, DETAILS)}", at, f"einsum.expressions.{key}")
    if "einsum" not in parts:
        reader.add("an Einsum given by keys needs the key 'einsum'", line, "einsum.expressions")
        return None
    text = plain_expression(reader.scalar(parts["einsum"][0], "einsum"))
    details = {key: reader.scalar(parts[key][0], key) for key in ("where", "else") if key in parts}
    reduce: dict[str, str] = {}
    if "reduce" in parts:
        value = parts["reduce"][0]
        if isinstance(value, yaml.ScalarNode):
            reduce[""] = value.value
        else:
            reduce = {
                name: reader.scalar(n, "reduce") for name, (n, _) in reader.mapping(value, "reduce", "it").items()
            }
    return RawEinsum(text, line, reduce, details.get("where"), details.get("else"))
