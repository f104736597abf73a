"""One run in many processes: which of them this one is, and how they put together what each has found.

torchrun starts the processes and tells each in its environment who it is; without it a run is one process,
and everything here costs nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mocrop_train.errors import TrainError
from mocrop_train.run import launched

T = TypeVar("T")
# a process that dies is noticed at once, by gloo or by torchrun; one may be slow
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a run: this one is number `rank` of `world`, from 0."""

    rank: int = 0
    world: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process has come here."""
        self.gather(None)

    def gather(self, item: T) -> list[T]:
        """Return the item of every process, in the order of ranks, in every process."""
        if self.world == 1:
            return [item]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, item)
        return found

    def sums(self, *values: float) -> list[float]:
        """Add up each value over the processes, in double precision; every process gets the same sums."""
        if self.world == 1:
            return list(values)
        where = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor(values, dtype=torch.float64, device=where)
        dist.all_reduce(total)
        return total.tolist()

    def seed(self, *draw: int) -> None:
        """Let what is drawn next, as by dropout, be this process's own, and follow from these numbers alone.

        One process draws on as before: its checkpoints hold where it was.
        """
        if self.world > 1:
            state = np.random.SeedSequence([*draw, self.rank, self.world]).generate_state(1, np.uint64)
            torch.manual_seed(int(state[0]))

    def agree(self, network: nn.Module) -> None:
        """Give every process the buffers of rank 0: the statistics of batch norm, which are not averaged."""
        if self.world > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    def averaging(self, network: nn.Module) -> nn.Module:
        """Return the network to train with: its gradients become the mean of those of all processes.

        All processes start from the weights of rank 0. Statistics of batch norm are those of the clips of one
        process; rank 0's are kept. One process gets the network itself.
        """
        if self.world == 1:
            return network
        return DistributedDataParallel(network)

    def gathering(self, network: nn.Module, *, whole: bool) -> contextlib.AbstractContextManager[None]:
        """Return the context in which a batch adds its gradient; they are averaged when a step is `whole`.

        Until then each process has its own, so that they are sent once a step.
        """
        if whole or not isinstance(network, DistributedDataParallel):
            return contextlib.nullcontext()
        return network.no_sync()


def current() -> Ranks:
    """Return the processes of this run: one, unless `start` has joined several."""
    return Ranks(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Ranks()


def start(device: torch.device) -> torch.device:
    """Join the processes that torchrun has started, if it has, and return the device of this one.

    NCCL joins those that compute on GPUs, one GPU each; gloo those on CPUs. Raises TrainError if there are
    more processes than GPUs.
    """
    if not launched.several():
        return device
    if device.type == "cuda":
        local, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= here:
            raise TrainError(
                f"torchrun started more processes on this machine than it has GPUs: --nproc-per-node {here}"
            )
        # by number: threads of the loader begin at the first GPU
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        atexit.register(dist.destroy_process_group)
    return device
