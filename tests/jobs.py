"""A job as tests run it: data set "tiny", a small network.

JOBS_END names a variant that is killed, JOBS_DIVERGE one that diverges.
"""

import functools
import os
import signal

import tiny


def run(config, folder, *options):
    from jaxattn import networks
    from jaxattn.comparison import cluster
    from jaxattn.data import DATASETS
    from jaxattn.training import program

    DATASETS["tiny"] = tiny.dataset()
    program.create = functools.partial(networks.create, widths=(4, 4, 8), hidden=8)
    if config.attention == os.environ.get("JOBS_END"):
        os.kill(os.getpid(), signal.SIGKILL)
    if config.attention == os.environ.get("JOBS_DIVERGE"):
        from jaxattn.training import loop

        loop._epoch = lambda program, mode, state, *rest: (state, float("nan"), 0.0)
    cluster.run(config, folder, *options)
