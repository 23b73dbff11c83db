"""How a model was trained."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .look import BLUE, INK, ORANGE, done, style
from .words import _


def loss_curve(steps: Sequence[float], train: Sequence[float], held_out: Sequence[float]) -> Figure:
    """Training and held-out loss over a training run, with the step where the held-out loss is lowest.

    `steps`, `train` and `held_out` have one length N >= 1; losses are cross-entropy in nats a token.
    Raises ValueError if the lengths differ or there is nothing to draw.
    """
    if not (len(steps) == len(train) == len(held_out) >= 1):
        raise ValueError(
            f"loss_curve: steps, train and held_out need one length, at least 1; "
            f"found {len(steps)}, {len(train)} and {len(held_out)}"
        )
    best = int(np.argmin(held_out))
    with style():
        figure, axes = plt.subplots()
        axes.set_title(_("Loss while training"))
        axes.plot(steps, train, color=BLUE, linestyle="--", label=_("training sentences"))
        axes.plot(steps, held_out, color=ORANGE, label=_("held-out sentences"))
        lowest = f"lowest held-out loss: {held_out[best]:.2f}, at step {steps[best]:,}"
        lowest_here = _("lowest held-out loss: {loss:.2f}, at step {step:,}").format(
            loss=held_out[best], step=steps[best]
        )
        axes.plot(steps[best], held_out[best], "o", color=INK, label=lowest_here)
        axes.set_xlabel(_("step"))
        axes.set_ylabel(_("cross-entropy (nats a token)"))
        axes.legend()
    return done(
        figure,
        f"Loss while training, steps {steps[0]:,} to {steps[-1]:,}: "
        f"on training sentences from {train[0]:.2f} to {train[-1]:.2f}, "
        f"on held-out sentences from {held_out[0]:.2f} to {held_out[-1]:.2f}; {lowest}.",
    )
