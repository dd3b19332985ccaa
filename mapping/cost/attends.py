"""When `attend` instructions are taken, and when they are complete."""

from einloom.mapping.cost.attention_lane import AttentionLane, AttentionWork
from einloom.mapping.cost.events import Process
from einloom.mapping.cost.latencies import ATTEND_BLOCKS, ATTEND_START, LANES_LATENCY
from einloom.mapping.cost.operation_work import attention_macs
from einloom.mapping.cost.sequencer import Progress
from einloom.mapping.cost.tile_requests import tile_requests
from einloom.mapping.cost.unit_queues import Presented, UnitQueue
from einloom.spec.manifest import CoreManifest


class Attends:
    """The attention unit: instructions on their way to a lane and back. All lanes do the same; one stands for them."""

    def __init__(self, core: CoreManifest, queue: UnitQueue, lane: AttentionLane, progress: Progress) -> None:
        self._core, self._queue, self._lane, self._progress = core, queue, lane, progress
        self._taken: list[tuple[Presented, AttentionWork | None]] = []
        self._ended: list[int] = []

    def take(self) -> Process:
        """Take one instruction after the other, of which up to ATTEND_BLOCKS are not complete."""
        queue, lane = self._queue, self._lane
        jobs = 0
        before: AttentionWork | None = None
        while True:
            yield from queue.next()
            p = queue.presented
            i, number = p.instruction, len(self._taken)
            at = p.starts + ATTEND_START
            tokens = max(0, min(i["count"], p.chunk.tokens - i["first"]))
            work = None
            if p.chunk.carries_out(i) and tokens and i["group"] and i["query_head"] and i["value_head"] >= lane.lanes:
                keys, values, jump = tile_requests(self._core.cache, i.values, p.chunk, tokens)
                while (free := lane.free(jobs, before)) is None:
                    yield lane.progress
                at = max(at + jump, free)
                lanes = min(i["other_lanes"] + 1, self._core.attention_lanes)
                queries = tokens * i["group"] * lanes
                p.record.macs = attention_macs(i.values, p.chunk, tokens, lanes)
                beats = sum(beats for _, beats in (*keys, *values))
                p.record.bytes = beats * lanes * self._core.cache.beat_bits // 8
                before = work = AttentionWork(i["query_head"], i["value_head"], keys, values, queries, at)
                jobs += 1
                lane.offer(work)
            # Engine and reader may have their jobs before there is room for the rest of the instruction.
            if number >= ATTEND_BLOCKS:
                while len(self._ended) <= number - ATTEND_BLOCKS:
                    yield lane.progress
                at = max(at, self._ended[number - ATTEND_BLOCKS] + 1)
            queue.taken(at)
            self._taken.append((p, work))
            lane.progress.raise_now()

    def complete(self) -> Process:
        """End one instruction after the other."""
        lane, ends = self._lane, 0
        behind = LANES_LATENCY if self._core.cache_in_channels else 0
        while True:
            while len(self._taken) <= len(self._ended):
                yield lane.progress
            p, work = self._taken[len(self._ended)]
            done = p.record.taken + 1
            if work is not None:
                while work.done is None:
                    yield lane.progress
                done = work.done + behind
                p.record.work, p.record.starved = work.steps, work.starved
            ends = max(ends + 1, done)
            self._ended.append(ends)
            self._queue.end(p, ends)
            self._progress.end(p.record)
            lane.progress.raise_now()
