"""A quantized matrix that can be trained: the real numbers behind its codes, and the steps of its groups.

    weight = round(u) * step * exp(t)

u is a weight in its group's steps, round(u) the nearest value of the format, and t the logarithm of what training makes
of the step. The gradient passes the rounding as if it were not there, as long as u is between the format's values
(straight-through estimator: Bengio et al., 2013). Special values stay as they were chosen. Format and layout stay, too,
so it costs the hardware nothing.

Letters of shapes: N outputs, K inputs, G groups of them, in a core's sizes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.nearest import Float32, GroupLevels
from einloom.mapping.compress.second_level import second_level
from einloom.spec.formats import Format
from einloom.spec.quantized import QuantizedTensor

MARGIN = np.float32(0.05)
"""Share of a value's interval that u keeps from its ends, so that it does not begin on the edge of another value."""


@dataclass(frozen=True)
class Layout:
    """What of a trained matrix is no number: equal for matrices that one compiled function can serve.

    Attributes
    ----------
    rows, columns : places of the model's own outputs and inputs among those in the core's sizes.
    """

    format: Format
    group: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def weights(self, trained: Mapping[str, Any], fixed: Mapping[str, Any]) -> Any:
        """The matrix in the model's own sizes, differentiable by `trained`."""
        levels = GroupLevels.of(self.format)
        table = jnp.asarray(levels.values)
        u = trained["u"].reshape(len(trained["u"]), -1, self.group)
        selectors = fixed["selectors"].astype(jnp.int32)[..., None]
        interval = jnp.rint(u) if levels.half_even else jnp.ceil(u * 2)
        place = jnp.clip(interval - levels.first, 0, table.shape[1] - 1).astype(jnp.int32)
        nearest = table.ravel()[place + selectors * table.shape[1]]
        within = (u >= table[:, 0][selectors]) & (u <= table[:, -1][selectors])
        free = jnp.where(within, u, jax.lax.stop_gradient(u))
        values = free + jax.lax.stop_gradient(nearest - free)
        if "kept" in fixed:
            values = values * fixed["kept"].reshape(values.shape)
        steps = fixed["steps"] * jnp.exp(trained["t"])
        matrix = (values * steps[..., None]).reshape(trained["u"].shape)
        return matrix[self._index(self.rows)][:, self._index(self.columns)]

    @staticmethod
    def _index(places: tuple[int, ...]) -> Any:
        """A slice where it will do, because that copies nothing."""
        whole = places == tuple(range(len(places)))
        return slice(len(places)) if whole else np.array(places)


@dataclass(frozen=True)
class TrainedMatrix:
    """A matrix before training: where it begins, and how it ends.

    Attributes
    ----------
    tensor : the quantized matrix.
    weights : what it was made of, float32 [N, K].
    """

    tensor: QuantizedTensor
    weights: Float32

    @cached_property
    def steps(self) -> Float32:
        """float32 [N, G], of values that are integers; 0 for groups of zeros."""
        tensor = self.tensor
        steps: Float32 = tensor.channel_scale[:, None] * np.float32(tensor.format.unit) * tensor.scales
        return steps

    def fixed(self) -> dict[str, npt.NDArray[Any]]:
        """What training leaves as it is."""
        found: dict[str, npt.NDArray[Any]] = {"steps": self.steps, "selectors": self.tensor.selectors}
        if self.tensor.format.neighbours > 1:
            found["kept"] = self.tensor.values() != 0
        return found

    def start(self) -> dict[str, Float32]:
        """u and t: each weight where it was, as far as its code allows."""
        tensor, format = self.tensor, self.tensor.format
        levels = GroupLevels.of(format)
        groups = np.where(self.steps > 0, self.steps, np.float32(1))[..., None]
        grouped = (self.weights.reshape(*self.steps.shape, tensor.group) / groups).astype(np.float32, copy=False)
        values = tensor.values().reshape(grouped.shape).astype(np.float32)
        for selector, row in enumerate(levels.values):
            known = np.unique(row)
            edges = np.concatenate([known[:1], (known[1:] + known[:-1]) / 2, known[-1:]]).astype(np.float32)
            here = tensor.selectors == selector
            order = np.searchsorted(known, values[here])
            low, high = edges[order], edges[order + 1]
            margin = MARGIN * (high - low)
            grouped[here] = np.clip(grouped[here], low + margin, high - margin)
        grouped[self.steps == 0] = 0
        return {"u": grouped.reshape(self.weights.shape), "t": np.zeros_like(self.steps)}

    def finished(self, u: Float32, t: Float32) -> QuantizedTensor:
        """The matrix that training made; t is rounded as steps are stored."""
        tensor, levels = self.tensor, GroupLevels.of(self.tensor.format)
        growth: Float32 = np.exp(t)
        steps: Float32 = self.steps * growth
        channel, scales = second_level(steps)
        if tensor.group == tensor.shape[1]:  # one step a row, which may be all that its engine has
            rows = steps[:, 0] / np.maximum(tensor.scales[:, 0], np.float32(1))
            channel, scales = rows.astype(np.float32, copy=False), tensor.scales
        stored: Float32 = channel[:, None] * scales
        ratio = (steps / np.where(stored > 0, stored, np.float32(1))).astype(np.float32, copy=False)
        grouped: Float32 = u.reshape(*steps.shape, tensor.group) * ratio[..., None]
        places = levels.places(grouped, levels.offsets(tensor.selectors)[..., None])
        codes = levels.codes.ravel()[places].reshape(tensor.shape)
        if tensor.format.neighbours > 1:
            codes = np.where(tensor.values() != 0, codes, np.uint8(0))
        unit = np.float32(tensor.format.unit)
        return QuantizedTensor(tensor.format, tensor.group, codes, scales, tensor.selectors, channel / unit)
