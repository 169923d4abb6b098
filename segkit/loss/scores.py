"""What the loss terms share: everything that is computed once per batch from logits and target.

P stands for the pixels of one picture, H * W.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.types import LabelSpace


class Overlap(NamedTuple):
    """Sums over the valid pixels of each image, per class: what a soft Dice is made of.

    Attributes:
        intersection: ``[N, C]`` probability of the class on the pixels that are it.
        mass: ``[N, C]`` probability of the class on all pixels.
        size: ``[N, C]`` number of pixels that are it.
        counted: ``[N, C]`` bool, whether the class has a Dice in this image.
    """

    intersection: Tensor
    mass: Tensor
    size: Tensor
    counted: Tensor


class SoftmaxScores(NamedTuple):
    """One of K classes per pixel.

    Attributes:
        true: ``[N, P]`` int64, class index of each pixel; 0 where ignored.
        valid: ``[N, P]`` 1 for a pixel that counts, 0 for an ignored one; type of the logits.
        picked: ``[N, P]`` log-probability of the true class; 0 where ignored.
        mass: ``[N, K]`` sum of each class's probability over the valid pixels.
        log_mass: ``[N, K]`` sum of each class's log-probability over the valid pixels.
    """

    true: Tensor
    valid: Tensor
    picked: Tensor
    mass: Tensor
    log_mass: Tensor

    def overlap(self) -> Overlap:
        """Sum per image; a class counts in the images whose target shows it.

        The softmax already punishes probability that goes to an absent class, since it is
        taken from the classes that are there.
        """
        intersection = torch.zeros_like(self.mass).scatter_add(1, self.true, self.picked.exp() * self.valid)
        size = torch.zeros_like(self.mass).scatter_add(1, self.true, self.valid)
        return Overlap(intersection, self.mass, size, size > 0)


class SigmoidScores(NamedTuple):
    """C independent yes-or-no questions per pixel.

    Attributes:
        logits: ``[N, C, P]``.
        positive: ``[N, C, P]`` bool, where the answer is yes.
        valid: ``[N, C, P]`` 1 for an entry that counts, 0 for an ignored one; type of the logits.
    """

    logits: Tensor
    positive: Tensor
    valid: Tensor

    def overlap(self) -> Overlap:
        """Sum per image; a class counts wherever it has a valid pixel, present or not."""
        p = self.logits.sigmoid() * self.valid
        size = (self.positive * self.valid).sum(2)
        return Overlap((p * self.positive).sum(2), p.sum(2), size, (self.valid > 0).any(2))


def scores(logits: Tensor, target: Tensor, labels: LabelSpace) -> SoftmaxScores | SigmoidScores:
    """Prepare a batch for the terms.

    Args:
        logits: ``[N, C, H, W]``; half precisions are computed in float32.
        target: ``[N, H, W]`` class indices, or ``[N, K, H, W]`` in a multilabel task.
        labels: Gives the task and the ignore index.

    Raises:
        ValueError: The shapes do not fit each other or the label space.
    """
    n, c, *size = logits.shape
    expected = [n, c, *size] if labels.task == "multilabel" else [n, *size]
    if c != labels.num_logits or list(target.shape) != expected:
        raise ValueError(
            f"logits {list(logits.shape)} and target {list(target.shape)} do not fit a {labels.task} "
            f"label space with {labels.num_logits} logits"
        )
    z = logits.flatten(2).to(torch.promote_types(logits.dtype, torch.float32))
    if labels.task != "multiclass":
        t = target.reshape(z.shape)
        return SigmoidScores(z, t == 1, (t != labels.ignore_index).to(z.dtype))
    t = target.flatten(1)
    valid = t != labels.ignore_index
    index = torch.where(valid, t, 0).long()
    valid = valid.to(z.dtype)
    return SoftmaxScores(index, valid, *_Softmax.apply(z, index, valid))


class _Softmax(torch.autograd.Function):
    """The last three of `SoftmaxScores`, with one softmax forward and none backward.

    Written out because torch would keep and combine three tensors of the size of the logits:
    cross-entropy plus Dice costs 1.3 times a plain cross-entropy this way, 1.9 times otherwise.

    With p the softmax, v the valid pixels and g, G, L the gradients that arrive at ``picked``,
    ``mass`` and ``log_mass``, the gradient of logit c is
    ``g ([c is true] - p_c) + v p_c (G_c - sum_k p_k G_k) + v (L_c - p_c sum_k L_k)``.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # log_mass is used by label smoothing alone
        log_p = F.log_softmax(logits, 1)
        picked = log_p.gather(1, index[:, None])[:, 0] * valid
        log_mass = torch.bmm(log_p, valid[..., None])[..., 0]
        p = log_p.exp_()
        ctx.save_for_backward(p, index, valid)
        return picked, torch.bmm(p, valid[..., None])[..., 0], log_mass

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, of_picked: Tensor | None, of_mass: Tensor | None, of_log_mass: Tensor | None
    ) -> tuple[Tensor, None, None]:
        p, index, valid = ctx.saved_tensors
        pixel = torch.zeros_like(valid)  # what is taken from all classes of a pixel, times p
        if of_picked is not None:
            of_picked = of_picked * valid
            pixel -= of_picked
        if of_log_mass is not None:
            pixel -= valid * of_log_mass.sum(1, keepdim=True)
        if of_mass is None:
            gradient = p * pixel[:, None]
        else:
            pixel -= valid * torch.bmm(of_mass[:, None], p)[:, 0]
            gradient = torch.baddbmm(pixel[:, None], of_mass[..., None], valid[:, None]).mul_(p)
        if of_log_mass is not None:
            gradient.baddbmm_(of_log_mass[..., None], valid[:, None])
        if of_picked is not None:
            gradient.scatter_add_(1, index[:, None], of_picked[:, None])
        return gradient, None, None
