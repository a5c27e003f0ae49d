"""Many runs at once: a matrix of perturbations and seeds over processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from phantomlink.errors import PhantomLinkError
from phantomlink.evaluation.runs import RunKey, ScoreRequest, score_run
from phantomlink.scoring.report import ScoredRun

_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class RunFailedError(PhantomLinkError):
    """A process that scored has died."""

    title = "Run failed"


def run_matrix(
    request: ScoreRequest,
    keys: Sequence[RunKey],
    jobs: int,
    progress: Callable[[int], None],
) -> list[ScoredRun]:
    """Score each key; the answers are the same for any number of processes.

    Args:
        request: what is the same for all.
        keys: in the order of the answers.
        jobs: processes; 1 runs in this one.
        progress: called with the number of runs done.

    Raises:
        PhantomLinkError: see `score_run`, of the first that fails; the others are given up.
        RunFailedError: a process was killed, for want of memory for example.
    """
    if jobs == 1 or len(keys) == 1:
        runs = []
        for key in keys:
            runs.append(score_run(request, key))
            progress(len(runs))
        return runs
    for variable in _THREAD_VARIABLES:  # read by the processes as they start
        os.environ.setdefault(variable, "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(keys)), mp_context=context) as pool:
        futures: list[Future[ScoredRun]] = [pool.submit(score_run, request, key) for key in keys]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                progress(done)
        except BrokenProcessPool as error:
            raise RunFailedError(
                "a process that scored has died; with --jobs 1 it runs in this one"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
