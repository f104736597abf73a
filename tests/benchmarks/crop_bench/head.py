"""The linear head: multinomial logistic regression with a fixed L2 penalty, to its optimum.

Nothing is tuned: PENALTY was set before the first run and serves every crop, backbone and setting.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PENALTY = 0.05
"""The squared weights count with this beside the sum of the cross-entropies (C = 10 in scikit-learn)."""
_STEPS = 300


def predict(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Fit on features `train` (n, width) with `labels` (n,), and return the classes of `test` (m, width).

    Features are centred on the training mean and brought to length 1 (CL2N of Wang et al., "SimpleShot",
    2019). The head has a bias, which is not penalised. float64 throughout; the same input, the same output.
    """
    mean = train.double().mean(0)
    train, test = (F.normalize(part.double() - mean, dim=1) for part in (train, test))
    # the optimum lies in the span of the training features: there it is sought, in n dimensions at most
    basis = torch.linalg.qr(train.T).Q
    weights = _fit(train @ basis, labels, classes)
    return _logits(test @ basis, weights).argmax(1)


def _fit(train: Tensor, labels: Tensor, classes: int) -> Tensor:
    weights = torch.zeros(train.shape[1] + 1, classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights],
        max_iter=_STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        fit = F.cross_entropy(_logits(train, weights), labels, reduction="sum")
        total: Tensor = fit + PENALTY * weights[:-1].square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()


def _logits(features: Tensor, weights: Tensor) -> Tensor:
    return features @ weights[:-1] + weights[-1]
