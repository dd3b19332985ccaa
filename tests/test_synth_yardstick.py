"""The fp16 multiply-accumulate that PEs are compared with computes what it says."""

import numpy as np
from amaranth.sim import Simulator

from benchmarks.fp16_mac import Fp16Mac


def flushed(value: np.float16) -> np.float16:
    return value if abs(value) >= np.finfo(np.float16).tiny else np.float16(0)


def test_it_rounds_every_product_and_every_sum() -> None:
    rng = np.random.default_rng(1)
    operands = (rng.normal(size=(600, 2)) * 2.0 ** rng.integers(-6, 4, (600, 1))).astype(np.float16)
    mac = Fp16Mac()
    seen: list[np.float16] = []

    async def bench(ctx) -> None:
        for n, (a, b) in enumerate(operands):
            ctx.set(mac.a, int(a.view(np.uint16)))
            ctx.set(mac.b, int(b.view(np.uint16)))
            ctx.set(mac.clear, n % 40 == 0)
            await ctx.tick()
            seen.append(np.uint16(ctx.get(mac.sum)).view(np.float16))
        await ctx.tick()
        seen.append(np.uint16(ctx.get(mac.sum)).view(np.float16))

    simulator = Simulator(mac)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    total = np.float16(0)
    for n, (a, b) in enumerate(operands):
        total = flushed((np.float16(0) if n % 40 == 0 else total) + flushed(np.float16(a * b)))
        assert seen[n + 1] == total, n
