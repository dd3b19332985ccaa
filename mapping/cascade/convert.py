"""Cascades in the YAML of others: TeAAL specifications and AccelForge workloads."""

import re
from collections.abc import Iterator

import yaml

from einloom.mapping.cascade.raw import RawCascade, RawEinsum, Reader, YamlNode
from einloom.spec.errors import Problem

ACCESS = re.compile(r"([A-Za-z_]\w*)\s*\[([^\]]*)\]")
DEFAULT = re.compile(r"\{%-?\s*set\s+(\w+)\s*=\s*(?:\1\s*\|\s*default\()?\s*([\w.]+)\)?\s*-?%\}")
BOUND = re.compile(r"0\s*<=\s*(\w+)\s*<\s*(\S+)")
DOTTED_SUM = re.compile(r"\bsum\(([^()]*)\)\s*\.\s*")


def render_defaults(text: str) -> str:
    """The text with Jinja's `set` lines and `{{NAME}}` replaced, which is all that most AccelForge workloads use.

    Loops stay, and make the YAML unreadable: such a template needs AccelForge's own renderer.
    """
    values = dict(DEFAULT.findall(text))
    text = DEFAULT.sub("", text)  # leaves the end of the line, so that problems name the right one
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: values.get(match.group(1), match.group()), text)


def unset_variables(text: str) -> Iterator[Problem]:
    """A problem for each `{{...}}` that `render_defaults` left in `text`, with its line."""
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r"\{\{\s*(.*?)\s*\}\}", line.partition("#")[0]):
            mend = (
                f"write a value in its place, or add {{% set {name} = VALUE %}}"
                if name.isidentifier()
                else ("render the template with AccelForge first")
            )
            yield Problem(f"template variable {name!r} has no value: {mend}", line=number)


def plain_expression(text: str) -> str:
    """TeAAL's `sum(K).(A[k, m] * B[k, n])` as `sum(k) (...)`: its reduced ranks are capitals."""
    return DOTTED_SUM.sub(lambda match: f"sum({match.group(1).lower()}) ", text)


def from_accelforge(reader: Reader, node: YamlNode) -> RawCascade:
    """The cascade of an AccelForge `workload` section.

    AccelForge names tensors and projections, but no operators: operands multiply and sum, as in the original Einsum.
    A projection names its ranks (`M: p`), in any order, so accesses are put in the order of a tensor's first one.
    """
    section = reader.mapping(node, "workload", "the section")
    raw = RawCascade()
    ranks: dict[str, list[str]] = {}
    for item in reader.sequence(section["einsums"][0], "workload.einsums") if "einsums" in section else []:
        text = _einsum(reader, item, ranks)
        if text:
            raw.einsums.append(RawEinsum(text, reader.line(item)))
    if not raw.einsums:
        reader.add("there is no Einsum", reader.line(node), "workload.einsums")
    for tensor, names in ranks.items():
        raw.declaration[tensor] = (names, reader.line(node))
    _sizes(reader, section, raw)
    return raw


def _sizes(reader: Reader, section: dict[str, tuple[YamlNode, int]], raw: RawCascade) -> None:
    if "rank_sizes" in section:
        for rank, (size, line) in reader.mapping(section["rank_sizes"][0], "workload.rank_sizes", "it").items():
            raw.sizes[rank.upper()] = (reader.scalar(size, rank), line)
    if "iteration_space_shape" in section:
        shapes = reader.mapping(section["iteration_space_shape"][0], "workload.iteration_space_shape", "it")
        for variable, (bound, line) in shapes.items():
            found = BOUND.fullmatch(reader.scalar(bound, variable).strip())
            if found:
                raw.sizes[variable.upper()] = (found.group(2), line)
            else:
                reader.add("must read 0 <= variable < size", line, f"workload.iteration_space_shape.{variable}")
    used = [rank for names, _ in raw.declaration.values() for rank in names]
    used += re.findall(r"\b[a-z]\w*", " ".join(text for e in raw.einsums for text in re.findall(r"\[(.*?)\]", e.text)))
    for rank in used:
        raw.sizes.setdefault(rank.upper(), ("", 0))


def _einsum(reader: Reader, node: YamlNode, ranks: dict[str, list[str]]) -> str:
    if isinstance(node, yaml.ScalarNode):
        return _from_text(reader, node.value, reader.line(node), ranks)
    parts = reader.mapping(node, "workload.einsums", "an Einsum")
    if "einsum" in parts:
        return _from_text(reader, reader.scalar(parts["einsum"][0], "einsum"), parts["einsum"][1], ranks)
    if "tensor_accesses" not in parts:
        reader.add("needs 'einsum' or 'tensor_accesses'", reader.line(node), "workload.einsums")
        return ""
    outputs: list[str] = []
    inputs: list[str] = []
    for item in reader.sequence(parts["tensor_accesses"][0], "tensor_accesses"):
        access = reader.mapping(item, "tensor_accesses", "an access")
        if "name" not in access or "projection" not in access:
            reader.add("needs 'name' and 'projection'", reader.line(item), "tensor_accesses")
            continue
        name = reader.scalar(access["name"][0], "name")
        text = _access(name, _projection(reader, access["projection"][0]), ranks)
        written = "output" in access and reader.scalar(access["output"][0], "output").lower() == "true"
        (outputs if written else inputs).append(text)
    if len(outputs) != 1 or not inputs:
        reader.add("needs one output and at least one input", reader.line(node), "tensor_accesses")
        return ""
    return f"{outputs[0]} = {' * '.join(inputs)}"


def _projection(reader: Reader, node: YamlNode) -> dict[str, str]:
    if isinstance(node, yaml.SequenceNode):
        return {name.upper(): name for name in reader.names(node, "projection")}
    entries = reader.mapping(node, "projection", "it").items()
    return {rank: reader.scalar(index, "projection") for rank, (index, _) in entries}


def _from_text(reader: Reader, text: str, line: int, ranks: dict[str, list[str]]) -> str:
    def convert(match: re.Match[str]) -> str:
        indices: dict[str, str] = {}
        for part in match.group(2).split(","):
            rank, _, index = part.rpartition(":")
            indices[(rank or index).strip().upper()] = index.strip()
        return _access(match.group(1), indices, ranks)

    left, equals, right = text.partition("=")
    if not equals or not ACCESS.search(right):
        reader.add("an Einsum needs an output, '=' and inputs", line, text)
        return ""
    found = [convert(match) for match in ACCESS.finditer(right)]
    plain = re.fullmatch(r"[\s*+()]*", ACCESS.sub("", right)) is not None
    return f"{ACCESS.sub(convert, left).strip()} = {ACCESS.sub(convert, right).strip() if plain else ' * '.join(found)}"


def _access(tensor: str, indices: dict[str, str], ranks: dict[str, list[str]]) -> str:
    order = ranks.setdefault(tensor, list(indices))
    missing = [rank for rank in indices if rank not in order]
    return f"{tensor}[{', '.join(indices[rank] for rank in order + missing if rank in indices)}]"
