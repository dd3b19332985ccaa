"""einloom evaluate: perplexity and agreement on a text, by position, in windows."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from einloom.cli.evaluate import evaluate as command
from einloom.compiled import compile as compile_for
from einloom.evaluation import BIN, evaluate
from einloom.models.core_decoder import CoreDecoder
from einloom.models.decoder_graph import NormKind
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.float_functions import normalise
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears, Floats
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.errors import InputError
from tests.cores import core_config
from tests.tiny_llama import write_tiny_llama

TEXT = "Once more unto the breach, dear friends, once more; or close the wall up with our English dead. " * 3
CONTEXT = 96


@pytest.fixture
def model(tmp_path: Path) -> DecoderModel:
    return load_folder(write_tiny_llama(tmp_path / "model", head_dim=32, max_position_embeddings=CONTEXT))


def surprises(model: DecoderModel, window: int, tokens: int) -> list[float]:
    """Negative log-likelihood of each token after the first, from float64 probabilities, token by token."""
    ids = model.tokenizer.encode(TEXT).ids
    found = []
    for start in range(0, tokens, window):
        part = ids[start : min(start + window, tokens)]
        logits = Decoder(model, FloatLinears(model.linears)).step(part).astype(np.float64)
        for n, row in enumerate(logits):
            powers = np.exp(row - row.max())
            found.append(-np.log(powers[ids[start + n + 1]] / powers.sum()))
    return found


@pytest.mark.parametrize(("window", "tokens"), [(None, 90), (32, 70), (1, 5), (200, 200)])
def test_the_float_models_perplexity_is_that_of_its_probabilities(
    model: DecoderModel, window: int | None, tokens: int
) -> None:
    report = evaluate(model, TEXT, config=core_config(), tokens=tokens, window=window)
    length = min(window or CONTEXT, CONTEXT)
    expected = surprises(model, length, tokens)
    assert (report.tokens, report.window) == (tokens, length)
    assert report.whole.float_perplexity == pytest.approx(np.exp(np.mean(expected)), rel=1e-5)
    places = np.arange(tokens) % length
    for part in report.bins:
        inside = (places >= part.first) & (places <= part.last)
        assert part.float_perplexity == pytest.approx(np.exp(np.mean(np.array(expected)[inside])), rel=1e-5)
    assert [part.first for part in report.bins] == list(range(0, min(length, tokens), BIN))


def test_a_design_with_int8_weights_is_near_and_one_with_2_bits_is_not(model: DecoderModel) -> None:
    near = evaluate(model, TEXT, config=core_config(), tokens=80)
    far = evaluate(model, TEXT, config=core_config(engine={"formats": ["int2"]}), tokens=80)
    assert near.whole.kl < 0.02 < far.whole.kl
    assert near.whole.perplexity == pytest.approx(near.whole.float_perplexity, rel=0.05)
    assert near.whole.top1 > far.whole.top1


def test_an_evaluation_that_was_ended_goes_on_where_it_was(
    model: DecoderModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(Exception):
        pass

    def end(_: int) -> None:
        if sum(read) > 40:
            raise Ended

    read = list[int]()
    expected = evaluate(model, TEXT, config=core_config(), tokens=80, window=20)
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(CoreDecoder, "step", counted(CoreDecoder.step, read))
    with pytest.raises(Ended):
        evaluate(model, TEXT, config=core_config(), tokens=80, window=20, on_tokens=end)
    read.clear()
    assert evaluate(model, TEXT, config=core_config(), tokens=80, window=20) == expected
    assert sum(read) == 40
    kept = next((tmp_path / "cache" / "windows").glob("*.npz"))
    kept.write_bytes(kept.read_bytes()[:100])  # cut off while it was written
    read.clear()
    assert evaluate(model, TEXT, config=core_config(), tokens=80, window=20) == expected
    assert sum(read) == 20


def counted(
    step: Callable[[CoreDecoder, list[int]], Floats], read: list[int]
) -> Callable[[CoreDecoder, list[int]], Floats]:
    """`step`, which notes how many tokens it reads."""

    def counting(decoder: CoreDecoder, tokens: list[int]) -> Floats:
        read.append(len(tokens))
        return step(decoder, tokens)

    return counting


def test_processes_find_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_llama(tmp_path / "model", head_dim=32, max_position_embeddings=CONTEXT)
    alone = evaluate(folder, TEXT, config=core_config(), tokens=50, window=16)
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "another"))
    assert evaluate(folder, TEXT, config=core_config(), tokens=50, window=16, jobs=2) == alone
    with pytest.raises(InputError, match="^jobs and scheduler need a model by its path"):
        evaluate(load_folder(folder), TEXT, config=core_config(), jobs=2)


def test_a_cluster_finds_what_one_process_does(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install einloom[cluster]")
    folder = write_tiny_llama(tmp_path / "model", head_dim=32, max_position_embeddings=CONTEXT)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        found = evaluate(folder, TEXT, config=core_config(), tokens=50, window=16, scheduler=address)
    assert found == evaluate(folder, TEXT, config=core_config(), tokens=50, window=16)


def test_the_error_behind_each_layer_is_that_of_the_residual_stream(model: DecoderModel) -> None:
    compiled = compile_for(model, core_config())
    driver, found = GoldenDriver(compiled.manifest, compiled.program), dict[int, Floats]()
    names = [layer.name for layer in model.graph.layers]
    driver.watch_layers(names, model.graph.hidden, lambda layer, x: found.update({layer: x.copy()}))
    ids = model.tokenizer.encode(TEXT).ids[: compiled.manifest.gemm.rows]
    logits = CoreDecoder(driver, compiled.program, len(ids), compiled.manifest.core.beat_bytes).step(ids)
    # What the float head makes of the last layer's stream is what the design found, but for the head's own rounding.
    normalised = normalise(
        found[len(names) - 1], NormKind.RMS, model.tensors[model.graph.norm.weight], None, model.graph.norm.epsilon
    )
    expected = FloatLinears(model.linears)(model.graph.head.linear.weight, normalised)[-len(logits) :]
    assert np.linalg.norm(logits - expected) < 0.05 * np.linalg.norm(expected)
    report = evaluate(model, TEXT, config=core_config(), tokens=len(ids))
    wanted = dict[int, Floats]()
    Decoder(model, FloatLinears(model.linears), on_layer=wanted.__setitem__).step(ids)
    for layer, error in enumerate(report.layers):
        lengths = np.linalg.norm(wanted[layer], axis=1)
        assert error == pytest.approx(np.mean(np.linalg.norm(found[layer] - wanted[layer], axis=1) / lengths), rel=1e-5)
    assert len(report.layers) == len(names)
    assert 0 < report.layers[0] < report.layers[-1] < 0.2


def test_losses_are_drawn(model: DecoderModel, tmp_path: Path) -> None:
    evaluate(model, TEXT, config=core_config(), tokens=90).plot(tmp_path / "plot.svg")
    assert "position in a window" in (tmp_path / "plot.svg").read_text()


def test_the_command_prints_an_object_and_refuses_what_is_no_text(tmp_path: Path) -> None:
    folder = write_tiny_llama(tmp_path / "model", head_dim=32)
    app = typer.Typer()
    app.command()(command)
    (tmp_path / "text").write_text(TEXT)
    result = CliRunner().invoke(app, [str(folder), "--text", str(tmp_path / "text"), "-n", "20", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["config"], told["tokens"], told["window"], len(told["bins"])) == ("default", 20, 32, 1)
    assert len(told["layers"]) > 0
    assert np.exp(told["loss"]) == pytest.approx(told["perplexity"]) != pytest.approx(np.exp(told["float_loss"]))
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "short").write_text("a")
    for arguments, message in (
        ([], "--text FILE is needed: the text to read"),
        (["--text", str(tmp_path / "none")], f"{tmp_path / 'none'}: cannot be read: No such file or directory"),
        (["--text", str(tmp_path / "bytes")], f"{tmp_path / 'bytes'}: is not UTF-8: invalid start byte at byte 0"),
        (
            ["--text", str(tmp_path / "short")],
            "the text has fewer than two tokens, so that there is nothing to predict",
        ),
        (["--text", str(tmp_path / "text"), "-n", "0"], "--tokens and --window must be 1 or more"),
        (["--text", str(tmp_path / "text"), "--jobs", "0"], "--jobs must be 1 or more, and 1 with --scheduler"),
        (
            ["--text", str(tmp_path / "text"), "--plot", "a.txt"],
            "--plot a.txt: name a file that ends in .svg, .png or .pdf",
        ),
    ):
        refused = CliRunner().invoke(app, [str(folder), *arguments])
        assert isinstance(refused.exception, InputError)
        assert str(refused.exception) == message
