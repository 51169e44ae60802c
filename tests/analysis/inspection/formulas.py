"""CKA by its formulas, over the full matrices of all rows: what mini-batches estimate."""

from torch import Tensor

from fairseq_ringformer.analysis.inspection.cka import unbiased_hsic


def linear_cka(x: Tensor, y: Tensor) -> float:
    """The plain, biased one: ``||Y'X||^2 / (||X'X|| ||Y'Y||)`` of features `(rows, channels)`, columns centred."""
    x, y = (features.double() - features.double().mean(0) for features in (x, y))
    return float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


def unbiased_cka(x: Tensor, y: Tensor) -> float:
    """The unbiased one; NaN where features are constant."""
    x, y = (features.double() - features.double().mean(0) for features in (x, y))
    first, second = (x @ x.T)[None], (y @ y.T)[None]
    return float(unbiased_hsic(first, second) / (unbiased_hsic(first, first) * unbiased_hsic(second, second)).sqrt())
