"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    Path | None,
    typer.Argument(
        help="A GGUF file or Hugging Face folder, or a shipped model; shakespeare-1m if left out.", metavar="[MODEL]"
    ),
]
ConfigName = Annotated[
    str | None,
    typer.Option(
        "-c", "--config", help="A YAML file, or a shipped config; a shipped core that takes the model if left out."
    ),
]
SizedFor = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model that must fit the core: a GGUF file, a Hugging Face folder or a shipped model. Memories whose "
        "size is auto become as large as it needs.",
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="FORMAT",
        help="One of the design's weight formats, or auto:BITS for a format for each matrix, so that they take at most "
        "BITS a weight on average. Or a .safetensors file that `einloom quantize -c` wrote.",
        show_default="the first of the design",
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="A text of the kind that the model will read, UTF-8, to calibrate weights and cache on; what the model "
        "writes by itself if left out.",
    ),
]
Schedule = Annotated[
    str,
    typer.Option(
        "--schedule",
        metavar="standard|decode|prefill",
        help="Search for the schedule with the fewest cycles of a token at the end of the context, or of a chunk of a "
        "prompt. Results are the same in every bit.",
    ),
]
AttentionWindow = Annotated[
    int | None,
    typer.Option(
        "--attention-window",
        metavar="N",
        help="A token sees only the last N positions, so that a text may be longer than the model's context.",
        show_default="all",
    ),
]
Sinks = Annotated[
    int,
    typer.Option(
        "--sinks",
        metavar="N",
        help="First positions that stay visible beside a window: whole tiles, each of the core's attention.rows.",
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context",
        metavar="N",
        help="Tokens of the longest text with a window.",
        show_default="4 times the model's own",
    ),
]
