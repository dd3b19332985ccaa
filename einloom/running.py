"""A compiled model on a core: opened on a backend, and text from it."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from einloom.catalogue import load_config
from einloom.compiled import CompiledModel
from einloom.compiled import compile as compile_for
from einloom.fpga.boards import BOARDS
from einloom.fpga.host.card import CardDriver
from einloom.fpga.host.xrt import pyxrt
from einloom.fpga.kernel.interface import kernel_interface
from einloom.fpga.kernel.kernel_xml import kernel_xml
from einloom.fpga.kernel.wrapper import wrapper
from einloom.generators.cached_designs import cached_designs
from einloom.models.agreement import agreement_with_float
from einloom.models.conversation import Conversation
from einloom.models.core_decoder import CheckedDecoder, CoreDecoder
from einloom.models.decoder_model import DecoderModel
from einloom.models.model_drafter import ModelDrafter
from einloom.models.text_generation import Drafter, look_up
from einloom.models.text_generation import generate_text as continue_text
from einloom.run_report import JobTotals, RunReport, report_of
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.config import Config
from einloom.spec.driver import Driver
from einloom.spec.errors import CheckFailed, InputError
from einloom.spec.sampling import GREEDY, Sampling
from einloom.timeline import write_timeline

if TYPE_CHECKING:
    from einloom.sim.simulated_core import SimulatedCore

SIMULATED_XCLBIN = Path("simulated.xclbin")


class Backend(StrEnum):
    """Device or model that runs a program."""

    rtl = "rtl"
    """The simulated core."""
    golden = "golden"
    """The golden executor alone."""
    kernel = "kernel"
    """The simulated kernel, as Vitis gets it, by the host program that runs on a card."""
    card = "card"


class Memory(StrEnum):
    """What is behind a simulated core's ports."""

    ideal = "ideal"
    """A memory that gives a beat in each cycle."""
    hbm = "hbm"
    """A pseudo-channel of HBM2 behind each port: its bandwidth, refreshes and rows (spec/memory_timing.py)."""


CLOCKS_MHZ = (50.0, 500.0)
Status = Callable[[str], None]
"""Told what is being done, before it takes its time."""


@dataclass
class Accelerator:
    """A compiled model on a backend, with the golden executor beside it; a context manager.

    Attributes
    ----------
    compiled : the model.
    backend : device or model that runs it.
    memory : what is behind the ports of a simulated core.
    """

    compiled: CompiledModel
    backend: Backend
    _golden: GoldenDriver
    _under_test: Driver | None
    _simulation: "SimulatedCore | None"
    memory: Memory | None = None
    _opened: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Accelerator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation, or leave the card."""
        self._opened.close()

    @property
    def cycles(self) -> int:
        """Simulated so far; 0 on backends without a clock."""
        return self._simulation.cycles if self._simulation is not None else 0

    @property
    def last_job(self) -> tuple[int, int]:
        """Span of the last simulated job: its first cycle, and the one after it, counted over all jobs."""
        return self._simulation.last_job if self._simulation is not None else (0, 0)

    def draw_timeline(self, path: str | Path) -> None:
        """Draw what each unit did in the last job into an .svg or .png, or write a .json that Perfetto opens.

        InputError on a backend that isn't simulated.
        """
        require_simulation(self.backend, "--timeline")
        assert self._simulation is not None
        events, program = self._simulation.trace(), self.compiled.program
        write_timeline(events, program.instructions, program.notes, Path(path))

    def generate_text(
        self,
        prompt: str,
        tokens: int = 32,
        *,
        chat: bool = False,
        sampling: Sampling = GREEDY,
        speculate: int = 1,
        draft: DecoderModel | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> RunReport:
        """Continue a prompt by up to `tokens`; every logit and the final memory are compared with golden's.

        Parameters
        ----------
        chat : the prompt is a message that the model answers, by its chat template. The report's text is the answer.
        sampling : how tokens are chosen; the most probable ones if left out.
        speculate : tokens of a job after the prompt's, all but the first a guess from the text so far. The text is the
            same; at most as many as the design computes at once.
        draft : a smaller model with the same tokens, which guesses instead.
        on_token : called with each token as it is made.

        CheckFailed at the first difference, InputError when the prompt or an option can't be taken.
        """
        self._check_counts(tokens, speculate)
        compiled, totals, started = self.compiled, JobTotals(), time.perf_counter()
        model = compiled.model
        generation = continue_text(
            self._checked_decoder(totals),
            encode_prompt(model, prompt, chat=chat),
            tokens,
            stop=model.eos,
            sampling=sampling,
            at_once=speculate,
            drafter=self._drafter(draft),
            on_token=on_token,
        )
        self.check_memory()
        seconds = time.perf_counter() - started
        agreement = agreement_with_float(model, generation.tokens[:-1], generation.logits)
        return report_of(
            model,
            compiled.manifest,
            compiled.program,
            generation,
            backend=str(self.backend),
            bits_per_weight=compiled.bits_per_weight,
            padding=compiled.padding,
            agreement=agreement,
            saturated=self._golden.saturated,
            totals=totals,
            seconds=seconds,
            memory=None if self._simulation is None else (str(self.memory), self._simulation.timing.beat_share),
            answer_only=chat,
        )

    def converse(
        self,
        tokens: int = 256,
        *,
        sampling: Sampling = GREEDY,
        speculate: int = 1,
        draft: DecoderModel | None = None,
    ) -> Conversation:
        """A conversation whose answers have up to `tokens`; every logit is compared with golden's.

        `sampling`, `speculate` and `draft` are as for `generate_text`. InputError for a model without a chat template.
        Call `check_memory` in the end.
        """
        self._check_counts(tokens, speculate)
        model = self.compiled.model
        model.encode_chat([{"role": "user", "content": "?"}])
        decoder, drafter = self._checked_decoder(), self._drafter(draft)
        return Conversation(model, decoder, tokens=tokens, sampling=sampling, at_once=speculate, drafter=drafter)

    def check_memory(self) -> None:
        """CheckFailed unless the memory of what is under test is golden's."""
        if self._under_test is not None:
            _compare_memory(self._under_test, self._golden, self.compiled)

    def _drafter(self, draft: DecoderModel | None) -> Drafter:
        return look_up if draft is None else ModelDrafter(draft, of=self.compiled.model)

    def _check_counts(self, tokens: int, speculate: int) -> None:
        check_counts(tokens, speculate)
        rows = self.compiled.manifest.core.gemm.rows
        if speculate > rows:
            raise InputError(f"--speculate must be at most {rows}, the tokens that this design computes at once")

    def _checked_decoder(self, totals: JobTotals | None = None) -> CoreDecoder | CheckedDecoder:
        reference = self._decoder(self._golden)
        return (
            reference
            if self._under_test is None
            else CheckedDecoder(self._decoder(self._under_test, totals), reference)
        )

    def _decoder(self, driver: Driver, totals: JobTotals | None = None) -> CoreDecoder:
        core = self.compiled.manifest.core
        on_job = totals.add if totals is not None else None
        sizes = core.gemm.rows, core.beat_bytes
        return CoreDecoder(driver, self.compiled.program, *sizes, on_job, tile=core.job_tile)


def open(
    compiled: CompiledModel,
    backend: str = "rtl",
    *,
    xclbin: str | Path | None = None,
    board: str = "u280",
    device: int = 0,
    waves: tuple[int, int] | None = None,
    memory: str = "ideal",
    clock_mhz: float | None = None,
    status: Status = lambda _: None,
) -> Accelerator:
    """A compiled model on a backend: "rtl" (simulated core), "golden", "kernel" (simulated kernel) or "card".

    Parameters
    ----------
    xclbin : file to load into the card; for the backend "card" only.
    board : the card: u280 or u55c.
    device : number of the card, as XRT counts them.
    waves : first and last cycle, counted over all jobs, whose waves are left in the present folder when the
        accelerator is closed.
    memory : what is behind the ports of a simulated core: "ideal" or "hbm".
    clock_mhz : the core's clock beside an HBM, whose times don't change with it; 300 if left out.
    status : told what is being done.

    InputError for a backend or a memory that isn't, ToolError when its tools are missing.
    """
    chosen = check_backend(backend, xclbin, board)
    if waves is not None:
        require_simulation(chosen, "--waves")
        check_waves(waves)
    behind = check_memory(chosen, memory, clock_mhz)
    manifest, program = compiled.manifest, compiled.program
    golden = GoldenDriver(manifest, program)
    if chosen == Backend.golden:
        return Accelerator(compiled, chosen, golden, None, None)
    if chosen == Backend.card:
        assert xclbin is not None
        status("loading the card")
        card = CardDriver(pyxrt(), Path(xclbin), manifest, program, BOARDS[board], device=device)
        return Accelerator(compiled, chosen, golden, card, None)
    # The simulator's toolchain is needed here only.
    from einloom.sim.simulated_core import SimulatedCore, Waves
    from einloom.sim.verilator import waves_suffix
    from einloom.sim.xrt import SimulatedXrt
    from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming

    file = None if waves is None else Waves(*waves, Path.cwd() / f"{manifest.name}{waves_suffix()}")
    ideal, clock = MemoryTiming(), CLOCK_MHZ if clock_mhz is None else clock_mhz
    timing = ideal if behind is Memory.ideal else MemoryTiming.hbm(manifest.core.beat_bytes * 8, clock)
    status("generating the design")
    (design,) = cached_designs(manifest.config)
    status("building the simulator (first time only)")
    opened = ExitStack()
    if chosen == Backend.rtl:
        simulation = opened.enter_context(SimulatedCore(design, program, timing=timing, waves=file))
        return Accelerator(compiled, chosen, golden, simulation, simulation, behind, opened)
    kernel = kernel_interface(design.manifest, BOARDS[board])
    text, xml = wrapper(design.manifest, kernel), kernel_xml(kernel)
    xrt = opened.enter_context(SimulatedXrt(design, text, xml, program, timing=timing, waves=file))
    driver = CardDriver(xrt, SIMULATED_XCLBIN, manifest, program, BOARDS[board])
    return Accelerator(compiled, chosen, golden, driver, xrt.core, behind, opened)


def generate_text(
    model: Accelerator | str | Path | DecoderModel | None = None,
    prompt: str = "ROMEO:",
    tokens: int = 32,
    *,
    config: str | Path | Mapping[str, Any] | Config = "default",
    backend: str = "rtl",
    sampling: Sampling = GREEDY,
) -> RunReport:
    """Text from a model that is open, or from one that is compiled for `config` and opened on `backend` first.

    The report has the text and what it cost; see Accelerator.generate_text.
    """
    if isinstance(model, Accelerator):
        return model.generate_text(prompt, tokens, sampling=sampling)
    check_counts(tokens, speculate=1)
    with open(compile_for(model, load_config(config)), backend) as opened:
        return opened.generate_text(prompt, tokens, sampling=sampling)


def encode_prompt(model: DecoderModel, prompt: str, *, chat: bool) -> list[int]:
    """Tokens of a prompt, or of a user's message that is to be answered; InputError when they can't be taken."""
    return model.encode_chat([{"role": "user", "content": prompt}]) if chat else model.encode(prompt)


def check_counts(tokens: int, speculate: int) -> None:
    """InputError for numbers of tokens that no text can be made of."""
    counts = (("tokens", tokens), ("speculate", speculate))
    problems = [f"--{name} must be at least 1, not {count}" for name, count in counts if count < 1]
    if problems:
        raise InputError("; ".join(problems))


def check_backend(backend: str, xclbin: str | Path | None, board: str) -> Backend:
    """The backend of a name; InputError when there is none, or it doesn't go with the rest."""
    if backend not in list(Backend):
        raise InputError(f"--backend must be one of {', '.join(Backend)}, not {backend!r}")
    if board not in BOARDS:
        raise InputError(f"--board must be one of {', '.join(BOARDS)}, not {board!r}")
    if (backend == Backend.card) != (xclbin is not None):
        raise InputError("--backend card needs --xclbin FILE, and no other backend takes one")
    if xclbin is not None and not Path(xclbin).is_file():
        raise InputError(f"{xclbin}: no such file")
    return Backend(backend)


def check_waves(waves: tuple[int, int]) -> None:
    """InputError unless `waves` are a first and a later last cycle."""
    if not 0 <= waves[0] < waves[1] < 1 << 63:
        raise InputError(f"--waves must be FROM:TO, two cycles with FROM below TO, not {waves[0]}:{waves[1]}")


def check_memory(backend: str, memory: str, clock_mhz: float | None) -> Memory:
    """The memory of that name; InputError when it isn't one, or nothing simulates it, or the clock means nothing."""
    if memory not in list(Memory):
        raise InputError(f"--memory must be {' or '.join(Memory)}, not {memory}")
    if memory != Memory.ideal:
        require_simulation(backend, f"--memory {memory}")
    elif clock_mhz is not None:
        raise InputError("--clock says how fast the core is beside an HBM: add --memory hbm")
    if clock_mhz is not None and not CLOCKS_MHZ[0] <= clock_mhz <= CLOCKS_MHZ[1]:
        raise InputError(f"--clock must be {CLOCKS_MHZ[0]:g} to {CLOCKS_MHZ[1]:g} MHz, not {clock_mhz:g}")
    return Memory(memory)


def require_simulation(backend: str, option: str) -> None:
    """InputError for a backend that isn't simulated, which `option` needs."""
    if backend in (Backend.golden, Backend.card):
        raise InputError(f"{option} needs a simulation, which --backend {backend} has not")


def _compare_memory(simulation: Driver, golden: Driver, compiled: CompiledModel) -> None:
    """CheckFailed when a memory that the core writes is not in the end what golden left."""
    core = compiled.manifest.core
    for number in core.written_memories:
        size = compiled.program.images[number].size
        found, expected = (d.dump(number, 0, size) for d in (simulation, golden))
        wrong = (found != expected).nonzero()[0]
        if len(wrong):
            raise CheckFailed(
                f"byte {wrong[0]} of the {core.ports[number].name} memory is {found[wrong[0]]}, golden has "
                f"{expected[wrong[0]]}; {len(wrong)} bytes differ"
            )
