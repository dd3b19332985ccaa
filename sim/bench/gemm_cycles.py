"""Cycles of a batch on a GEMM engine in gemm_bench.sv, stalls included.

They are counted by what the docstrings of the engine's parts say. Data plays no role: only how long words, terms and
results are under way. `clock` is the end of a cycle.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

from einloom.mapping.block_stream import BlockStream
from einloom.sim.bench.batch import Job
from einloom.spec.manifest import BlockLayout, GemmManifest, WeightLayout

MASK = (1 << 32) - 1


def batch_cycles(gemm: GemmManifest, jobs: Sequence[Job], ports: Mapping[str, int]) -> int:
    """Cycles from the start of a batch to its end; `ports` are those that `prepare` gives the bench."""
    terms, drain = _Terms(gemm, jobs), _Drain(gemm.pipeline_cycles - 1, ports["results"])
    channels = [_Channel(gemm, channel, ports) for channel in range(gemm.weights.channels)]
    offered, taken = True, 0  # the bench offers a job; jobs that the engine has taken
    enough: set[int] = set()  # sizes of words that all gearboxes have, a cycle late
    cycle, random = 0, ports["seed"]
    while not (terms.idle and not drain.busy and drain.due == 0 and taken == len(jobs)):
        issues = terms.busy and not (terms.ends_tile and drain.busy)
        word = terms.wanted(enough, issues)
        levels = [channel.clock(random, word, terms.align) for channel in channels]
        enough = {size for size in channels[0].sizes if size <= min(levels)}
        drain.clock(cycle, terms.tokens, issues and terms.ends_tile, _goes_on(random, 16, ports["sums_stall"]))
        starts = offered and terms.idle
        terms.clock(word, issues, taken if starts else None)
        taken += starts
        offered = taken < len(jobs) and ((offered and not starts) or _goes_on(random, 24, ports["job_stall"]))
        cycle, random = cycle + 1, _next_random(random)
    return cycle + 1


def _goes_on(random: int, place: int, stall: int) -> bool:
    """Whether the eight bits from `place` on of a random word say that a stream does not stall."""
    return random >> place & 0xFF >= stall


def _next_random(word: int) -> int:
    """The xorshift32 of gemm_bench.sv."""
    word ^= word << 13 & MASK
    word ^= word >> 17
    return word ^ (word << 5 & MASK)


class _Channel:
    """A weight stream: the bench's beats, and the gearbox that takes them (hw/buffers/gearbox.py)."""

    def __init__(self, gemm: GemmManifest, number: int, ports: Mapping[str, int]) -> None:
        layout = gemm.weights
        self.sizes = _sizes(layout)
        self._beat, self._stall, self._place = layout.beat_bits, ports["weight_stall"], number % 16
        touched = -(-(max(self.sizes) + self._beat - gcd(self._beat, *self.sizes)) // self._beat)  # beats of a word
        self._full = touched * self._beat  # with more bits than these a beat has to wait
        self._level, self._offered, self._left = 0, False, ports["beats"]

    def clock(self, random: int, used: int, align: bool) -> int:
        """A word of `used` bits leaves, or what is left of a beat; returns the bits that stay."""
        ready = self._level <= self._full
        if ready and self._offered:
            self._level += self._beat
        if ready or not self._offered:
            self._offered = self._left > 0 and _goes_on(random, self._place, self._stall)
            self._left -= self._offered
        self._level -= self._level % self._beat if align else used
        return self._level


def _sizes(layout: WeightLayout) -> set[int]:
    """The sizes of words that a channel's gearbox cuts."""
    steps, metadata = [step.bits for step in layout.steps], layout.metadata.bits
    if isinstance(layout, BlockLayout):
        steps += [bits for bits in layout.full_bits if bits]
    sizes = {metadata + bits for bits in steps} if layout.joined else {metadata or steps[0]}
    return sizes | {*steps} | ({metadata} if isinstance(layout, BlockLayout) else set())


@dataclass
class _Drain:
    """The results of a tile on their way out (hw/array/control.py).

    Attributes
    ----------
    latency : cycles from the issue of a tile's last term to the load of its results.
    due : results of all jobs that the bench has not taken.
    busy : a tile is under way.
    """

    latency: int
    due: int
    busy: bool = False
    _tokens: int = 0
    _loads: int = -1  # in this cycle
    _held: int = 0
    _ready: bool = True

    def clock(self, cycle: int, tokens: int, starts: bool, goes_on: bool) -> None:
        """A tile's last term is issued if it `starts`; in the next cycle the bench takes results if it `goes_on`."""
        if self._held and self._ready:
            self._held, self.due, self.busy = self._held - 1, self.due - 1, self._held > 1
        if cycle == self._loads:
            self._held = self._tokens
        if starts:
            self._tokens, self._loads, self.busy = tokens, cycle + self.latency, True
        self._ready = goes_on


@dataclass(frozen=True)
class _Word:
    """A word of the weight stream: a step or metadata."""

    bits: int
    is_step: bool
    ends_tile: bool = False


class _Terms:
    """The words that jobs want, and the terms of the step at work (hw/array/sequencer.py)."""

    def __init__(self, gemm: GemmManifest, jobs: Sequence[Job]) -> None:
        self._gemm, self._jobs = gemm, jobs
        self._words: Iterator[_Word] = iter(())
        self._word: _Word | None = None  # wanted
        self._left = 0  # terms of the step at work
        self._terms = 0  # of each step of the job
        self._last_of_tile = False
        self.align = False  # what is left of a beat is dropped, because the job's last word was taken
        self.tokens = 0

    @property
    def busy(self) -> bool:
        return self._left > 0

    @property
    def idle(self) -> bool:
        return self._word is None and not self.busy

    @property
    def ends_tile(self) -> bool:
        """The term at work is the last one of its tile."""
        return self._last_of_tile and self._left == 1

    def wanted(self, enough: set[int], issues: bool) -> int:
        """Bits of the word that is taken in this cycle, if a term `issues` or not; 0 for none."""
        word = self._word
        room = word and (not word.is_step or self._left == 0 or (issues and self._left == 1))
        return word.bits if word and room and word.bits in enough else 0

    def clock(self, taken: int, issues: bool, job: int | None) -> None:
        """A word of `taken` bits is there, a term is issued, the job of number `job` begins."""
        self._left -= issues
        self.align = False
        if taken and self._word:
            if self._word.is_step:
                self._left, self._last_of_tile = self._terms, self._word.ends_tile
            self._word = next(self._words, None)
            self.align = self._word is None
        if job is not None:
            self._words = self._words_of(self._jobs[job])
            self._word = next(self._words)

    def _words_of(self, job: Job) -> Iterator[_Word]:
        layout, (outputs, inputs) = self._gemm.weights, job.tensor.shape
        if isinstance(layout, BlockLayout):
            self._terms, self.tokens = 1, len(job.activations)
            yield from _words_of_blocks(BlockStream.of(job.tensor, layout))
            return
        step, steps, blocks = layout.step(job.tensor.format), layout.block // layout.lanes, inputs // layout.block
        self._terms, self.tokens = step.cycles, len(job.activations)
        words = [_Word(step.bits, True)] * steps
        if layout.joined:
            words[0] = _Word(layout.metadata.bits + step.bits, True)
        elif layout.metadata.bits:
            words.insert(0, _Word(layout.metadata.bits, False))
        for _ in range(-(-outputs // self._gemm.columns)):
            for _ in range(blocks - 1):
                yield from words
            yield from (*words[:-1], replace(words[-1], ends_tile=True))


def _words_of_blocks(stream: BlockStream) -> Iterator[_Word]:
    layout, format = stream.layout, stream.tensor.format
    metadata = layout.metadata.bits
    if format.of:
        yield _Word(metadata, False)
    for number, kept in zip(stream.there, stream.counts, strict=True):
        steps = layout.block_steps(format, kept)
        bits = (layout.block_bits(format, kept) - metadata) // steps
        words = [_Word(bits + metadata * (n == 0), True) for n in range(steps)]
        ends_tile = number % stream.blocks == stream.blocks - 1
        yield from (*words[:-1], replace(words[-1], ends_tile=bool(ends_tile)))
