"""Graphs of operators as files, and `einloom allocate`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from einloom.catalogue import load_operators, shipped_graphs
from einloom.cli.main import make_app
from einloom.mapping.allocation.graph import OperatorGraph
from einloom.mapping.allocation.layers import layer_graph
from einloom.mapping.allocation.load import graph_text, parse_graph
from einloom.mapping.allocation.replay import replay
from einloom.mapping.allocation.schedule import ScheduleStep
from einloom.models.families.llama import LlamaKeys
from einloom.spec.errors import ConfigError, InputError

DIAMOND = """
name: diamond
tensors: {x: 4, p: 3, q: 3, r: 1, y: 2}
operators:
  d: {reads: [q, r], writes: [y]}
  a: {reads: [x], writes: [p]}
  b: {reads: [x], writes: [q]}
  c: {reads: [p], writes: [r]}
"""


def problems(text: str) -> list[str]:
    """What is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        parse_graph(text, "g.yaml")
    return str(caught.value).splitlines()


def test_operators_stand_in_any_order() -> None:
    graph = parse_graph(DIAMOND)
    assert [operator.name for operator in graph.operators] == ["a", "b", "c", "d"]
    assert (graph.inputs, graph.outputs) == ({"x"}, {"y"})
    assert (graph.largest_footprint, graph.compulsory) == (7, 6)


def test_a_graph_comes_back_from_its_text() -> None:
    graph = parse_graph(DIAMOND)
    assert parse_graph(graph_text(graph)) == graph
    odd = OperatorGraph("no", graph.operators, graph.sizes, graph.outputs)
    assert parse_graph(graph_text(odd)).name == "no"


def test_all_problems_are_told_at_once() -> None:
    text = """
tensors: {x: 0, y: many, z: 3, w: 1}
operators:
  a: {reads: [x], writes: [y, y]}
  b: {read: [y], writes: [z]}
  c: {reads: [v], writes: [z]}
output: [z]
"""
    assert problems(text) == [
        "g.yaml: line 2: tensors.x: words must be a number from 1 to 1,099,511,627,776",
        "g.yaml: line 2: tensors.y: words must be a number from 1 to 1,099,511,627,776",
        "g.yaml: line 2: tensors.w: no operator uses it",
        "g.yaml: line 4: operators.a.writes: 'y' stands here twice",
        "g.yaml: line 5: operators.b.read: unknown key, did you mean 'reads'?",
        "g.yaml: line 6: operators.c.reads: 'v' is no tensor",
        "g.yaml: line 6: operators.c: 'z' is written by 'b' already",
        "g.yaml: line 7: output: unknown key, did you mean 'outputs'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensors: {x: 1}", "operators: is missing"),
        ("[1, 2]", "the file must be a mapping"),
        ("", "the file must be a mapping"),
        ("a: [", "is no YAML"),
        ("tensors: {x: 1}\noperators: {}", "operators: there is no operator"),
        ("tensors: {x: 1}\noperators: {a: {reads: [x]}}", "operators.a.writes: an operator writes at least one tensor"),
        ("tensors: {x: 1}\noperators: {a: {reads: [x], writes: [x]}}", "'x' is read and written"),
        (
            "tensors: {x: 1, y: 1}\noperators: {a: {reads: [x], writes: [y]}, b: {reads: [y], writes: [x]}}",
            "operators.a: these operators wait for each other: a, b",
        ),
        (
            "tensors: {x: 1, y: 1}\noperators: {a: {reads: [x], writes: [y]}}\noutputs: [x]",
            "'x' is written by no operator",
        ),
        (
            "tensors: {x: 1, y: 1, z: 1}\noperators: {a: {reads: [x], writes: [y, z]}}\noutputs: [y]",
            "tensors.z: no operator reads it and it is no output",
        ),
    ],
)
def test_bad_files(text: str, message: str) -> None:
    assert any(message in problem for problem in problems(text))


def test_a_layer_becomes_a_graph() -> None:
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2}
    size = {"num_hidden_layers": 1, "vocab_size": 10, "max_position_embeddings": 8}
    model = LlamaKeys(model_type="llama", **size, **shape).graph()
    graph = layer_graph(model, tokens=3)
    assert [operator.writes[0] for operator in graph.operators] == [
        *("attention.norm", "q", "k", "v", "q.turned", "k.turned", "mixed", "attention.o", "x1"),
        *("mlp.norm", "mlp.gate", "mlp.up", "mlp.activated", "mlp.product", "mlp.down", "x2"),
    ]
    assert graph.sizes["k"] == 3 * 4
    assert graph.footprints[-3] == 3 * (16 + 16 + 16)
    unfused = layer_graph(model, tokens=3, fused=False, split=True)
    assert unfused.sizes["scores.1"] == 3 * 3 * 2
    assert len(unfused.operators) == 1 + 2 * 8 + 2 + 7


def test_the_command(tmp_path: Path) -> None:
    pytest.importorskip("highspy")
    file, output = tmp_path / "diamond.yaml", tmp_path / "schedule.json"
    file.write_text(DIAMOND)
    shown = CliRunner().invoke(make_app(), ["allocate", str(file), "--words", "8"])
    assert shown.exit_code == 0
    assert "no schedule moves less" in shown.output
    command = [sys.executable, "-c", "from einloom.cli.main import main; main()", "allocate", str(file)]
    done = subprocess.run(
        [*command, "--words", "8", "--json", "-o", str(output)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told == json.loads(output.read_text())
    assert (told["extra"], told["proven"], told["enough_words"], told["least_words"]) == (0, True, 8, 7)
    assert told["greedy"]["list order, Belady, first fit"]["extra"] == 6
    steps = [
        ScheduleStep(s["operator"], s["loads"], s["places"], tuple(s["stores"]), tuple(s["drops"]))
        for s in told["schedule"]
    ]
    assert replay(load_operators(file), steps, 8).extra == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diamond.yaml", "--words", "6"], "diamond: a scratchpad of 6 words is too small: a needs 7 at once"),
        (["diamond.yaml", "--words", "0"], "--words and --seconds must be more than 0"),
        (["nothing.yaml", "--words", "6"], "neither a graph file nor a shipped graph"),
    ],
)
def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    pytest.importorskip("highspy")
    monkeypatch.chdir(tmp_path)
    Path("diamond.yaml").write_text(DIAMOND)
    result = CliRunner().invoke(make_app(), ["allocate", *arguments])
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_shipped_graphs_load() -> None:
    assert shipped_graphs()
    for path in shipped_graphs().values():
        assert load_operators(path).operators
