"""Work on a cluster: the commands' calls run on Dask, Ray or Spark, through joblib.

An engine only has to run a call in some process and to tell what came of it. All that keeps clips safe is
here, and the same for all: who may work for a run (fit), whose clip killed a worker (claims), and what joblib
and the runner need to know (backend).
"""

from mocrop_prep.engines.backend import close_engine, crew, dispatch, slots
from mocrop_prep.engines.base import BATCH_SECONDS, WorkersLost
from mocrop_prep.engines.claims import Lease, attempt_claimed, claimed

__all__ = [
    "BATCH_SECONDS",
    "Lease",
    "WorkersLost",
    "attempt_claimed",
    "claimed",
    "close_engine",
    "crew",
    "dispatch",
    "slots",
]
