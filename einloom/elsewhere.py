"""Work that is done in other processes: of this machine, or of a Dask cluster. Results come as they are ready."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

from einloom.spec.errors import ToolError

OnResult = Callable[[int, Any], None]
"""Told a task's number and its result."""


def run_elsewhere(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], jobs: int, scheduler: str, on_result: OnResult
) -> None:
    """Call `function` with the arguments of each task: on the cluster of `scheduler`, or else in `jobs` processes."""
    if scheduler:
        run_on_cluster(function, tasks, scheduler, on_result)
    else:
        run_in_processes(function, tasks, jobs, on_result)


def run_in_processes(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], jobs: int, on_result: OnResult
) -> None:
    """Call `function` with the arguments of each task, in `jobs` processes at once; ToolError when one of them dies."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_settle) as pool:
        futures = {pool.submit(function, *task): n for n, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                on_result(futures[future], future.result())
        except BrokenProcessPool as error:
            raise ToolError("a process ended before its work was done, perhaps for want of memory") from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def run_on_cluster(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], address: str, on_result: OnResult
) -> None:
    """Call `function` with the arguments of each task, on workers of the Dask scheduler at `address`.

    Workers must have einloom, and see the same files. ToolError when Dask is missing or nothing answers there.
    """
    try:
        import distributed
    except ImportError as error:
        raise ToolError('--scheduler needs Dask: pip install "einloom[cluster]"') from error
    try:
        client: Any = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ToolError(f"--scheduler {address}: no Dask scheduler answers there: {error}") from error
    with client:
        futures = {client.submit(function, *task, pure=False): n for n, task in enumerate(tasks)}
        for future in distributed.as_completed(futures):
            try:
                result = future.result()
            except (CancelledError, distributed.KilledWorker, distributed.comm.CommClosedError) as error:
                raise ToolError(f"--scheduler {address}: the cluster lost a task: {error}") from error
            on_result(futures[future], result)


def _settle() -> None:
    """Let this process end without a word on Ctrl-C, and when its parent is gone: a killed one can't say so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.join,), daemon=True).start()


def _exit_after(wait: Callable[[], object]) -> None:
    wait()
    os._exit(1)
