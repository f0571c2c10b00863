"""Chapter 7: families of functions for an optimizer to be trained and tested on.

A `Problem` is a batch of F functions of n numbers each, with their starting points. All their
gradients are taken at once, by `torch.func`, on whatever device their tensors are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.func import functional_call, grad_and_value, vmap

from course import datasets
from course.datasets import originals


class Problem(Protocol):
    """F functions of n numbers. theta0 : (F, n), where each starts."""

    theta0: torch.Tensor

    def value_and_gradient(
        self, theta: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values (F,) and gradients (F, n) at theta (F, n); step chooses the mini-batch."""


class Family(Protocol):
    """A distribution of functions."""

    def sample(self, rng: np.random.Generator, functions: int) -> Problem:
        """Draw a problem of so many functions."""


def as_tensor(array: np.ndarray, like: torch.Tensor | None = None) -> torch.Tensor:
    """Return a float32 tensor, or one of the type and device of `like`."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.float() if like is None else tensor.to(like)


# ----------------------------------------------------------------------------------- quadratics


class Quadratics:
    """f(theta) = |W theta - y|^2. W : (F, m, n), y : (F, m), theta0 : (F, n)."""

    def __init__(self, W: torch.Tensor, y: torch.Tensor, theta0: torch.Tensor):
        self.W, self.y, self.theta0 = W, y, theta0

    def value_and_gradient(
        self, theta: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Source: eq (7.9). The same function at every step."""
        residual = (self.W @ theta[..., None])[..., 0] - self.y
        return residual.square().sum(-1), 2 * (residual[..., None, :] @ self.W)[..., 0, :]


class QuadraticFamily:
    """Quadratics of n numbers with standard normal W, y and starting points."""

    def __init__(self, n: int = 10, device: str = "cpu"):
        self.n, self.device = n, device

    def sample(self, rng: np.random.Generator, functions: int) -> Quadratics:
        """Draw W, y and theta0 for each function."""
        n = self.n
        shapes = (functions, n, n), (functions, n), (functions, n)
        return Quadratics(*(as_tensor(rng.normal(size=s)).to(self.device) for s in shapes))


# --------------------------------------------------------------------------------------- digits


@cache
def small_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,437 of the course's digits: x (N, 64), float32 in [0, 1], y (N,).

    They are drawn from all three parts: a function here is the loss of a network on what it learns
    from, so no digit has to be held out.
    """
    parts = datasets.digits()
    source = np.concatenate([part.source for part in parts])
    chosen = np.argsort(source)[np.random.default_rng(0).permutation(len(source))][:1437]
    x = np.concatenate([part.x for part in parts]).reshape(len(source), -1)
    y = np.concatenate([part.y for part in parts])
    return x[chosen].astype(np.float32), y[chosen]


def large_digits(folder: str | Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return MNIST's training images in the same form, 784 numbers each; downloaded once.

    Raises as `course.datasets.originals.fetch` does.
    """
    train, _ = originals.mnist(folder=folder)
    return train.x.reshape(len(train.x), -1) / np.float32(255), train.y


ACTIVATIONS: dict[str, Callable[[], torch.nn.Module]] = {
    "sigmoid": torch.nn.Sigmoid,
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "elu": torch.nn.ELU,
}


def classifier(
    inputs: int, hidden: int = 20, layers: int = 1, activation: str = "sigmoid", classes: int = 10
) -> torch.nn.Sequential:
    """Return a network of `layers` hidden layers, whose parameters will be replaced."""
    sizes = [inputs, *[hidden] * layers]
    blocks: list[torch.nn.Module] = []
    for before, after in pairwise(sizes):
        blocks += [torch.nn.Linear(before, after), ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*blocks, torch.nn.Linear(sizes[-1], classes))


class Classifiers:
    """F networks of one architecture, each with its own start and its own mini-batches.

    theta0 : (F, n); picks : (F, steps, batch), which pictures each step sees.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        data: tuple[torch.Tensor, torch.Tensor],
        theta0: torch.Tensor,
        picks: torch.Tensor,
    ):
        self.network, self.data = network.to("meta"), data
        self.theta0, self.picks = theta0, picks
        self.shapes = {name: p.shape for name, p in network.named_parameters()}
        self._both = vmap(grad_and_value(self.loss))

    def loss(self, theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of one network, theta : (n,), on x : (B, D), y : (B,)."""
        parts = theta.split([shape.numel() for shape in self.shapes.values()])
        named = {
            name: part.view(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        return torch.nn.functional.cross_entropy(functional_call(self.network, named, (x,)), y)

    def value_and_gradient(
        self, theta: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and gradients on this step's mini-batches."""
        picks = self.picks[:, step % self.picks.shape[1]]
        gradient, value = self._both(theta, self.data[0][picks], self.data[1][picks])
        return value, gradient


class DigitFamily:
    """Networks that learn to tell digits apart; a function is a start and a row of mini-batches.

    data : x (N, D), y (N,); activations : one is drawn for each problem; spread : the standard
    deviation of all starting weights and biases, as in the paper's published code.
    """

    def __init__(
        self,
        data: tuple[np.ndarray, np.ndarray] | None = None,
        hidden: int = 20,
        layers: int = 1,
        activations: tuple[str, ...] = ("sigmoid",),
        batch: int = 128,
        steps: int = 201,
        spread: float = 0.01,
        device: str = "cpu",
    ):
        x, y = small_digits() if data is None else data
        self.data = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
        self.hidden, self.layers, self.activations = hidden, layers, activations
        self.batch, self.steps, self.spread, self.device = batch, steps, spread, device

    def sample(self, rng: np.random.Generator, functions: int) -> Classifiers:
        """Draw starting points and mini-batches for each function."""
        x, _ = self.data
        chosen = self.activations[rng.integers(len(self.activations))]
        network = classifier(x.shape[1], self.hidden, self.layers, chosen)
        size = sum(p.numel() for p in network.parameters())
        starts = rng.normal(0, self.spread, (functions, size))
        picks = rng.integers(len(x), size=(functions, self.steps, self.batch))
        return Classifiers(
            network,
            self.data,
            as_tensor(starts).to(self.device),
            torch.from_numpy(picks).to(self.device),
        )


# ---------------------------------------------------------------------------------- neural art

TRAIN_CONTENTS = ("coffee", "rocket", "motorcycle_left", "color", "camera")
TEST_CONTENTS = ("astronaut", "chelsea")
TRAIN_STYLE = "ihc"
TEST_STYLES = ("hubble_deep_field", "gravel", "retina", "brick")


@cache
def picture(name: str) -> np.ndarray:
    """Return a picture that scikit-image brings along, (3, height, width), in [0, 1].

    Raises FileNotFoundError if the installed version has none of that name.
    """
    import skimage
    from skimage.io import imread

    folder = Path(skimage.__file__).parent / "data"
    found = sorted(folder.glob(f"{name}.*g"))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no picture {name!r}: scikit-image is pinned in requirements.txt"
        )
    pixels = imread(found[0]).astype(np.float32) / 255.0
    pixels = np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels[..., :3]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def crop(name: str, size: int, at: tuple[float, float] = (0.5, 0.5), zoom: float = 1.0):
    """Return a square of a picture, (3, size, size): `zoom` of its shorter side, made smaller.

    at : where its centre lies in the free room, (0, 0) above left, (1, 1) below right.
    """
    pixels = torch.from_numpy(picture(name))
    side = int(zoom * min(pixels.shape[1:]))
    top, left = (int(a * (room - side)) for a, room in zip(at, pixels.shape[1:], strict=True))
    square = pixels[None, :, top : top + side, left : left + side]
    return torch.nn.functional.interpolate(
        square, (size, size), mode="bilinear", antialias=True, align_corners=False
    )[0]


class Features:
    """A network with random weights: one layer of filters, at several scales of the picture.

    Source: the shallow random networks of Ustyuzhaninov et al. (2016).
    """

    def __init__(self, filters: int = 32, size: int = 7, scales: int = 3, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.weight = as_tensor(rng.normal(0, 1 / size, (filters, 3, size, size)))
        self.scales = scales

    def __call__(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features at each scale, (F, filters, h, w), of x : (F, 3, H, W)."""
        found, weight = [], self.weight.to(x)
        for scale in range(self.scales):
            x = torch.nn.functional.avg_pool2d(x, 2) if scale else x - 0.5
            edge = [weight.shape[-1] // 2] * 4
            framed = torch.nn.functional.pad(x, edge, mode="reflect")
            found.append(torch.nn.functional.conv2d(framed, weight).relu())
        return found


VGG19 = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
VGG19_PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)


class PretrainedFeatures:
    """VGG-19's features in the place of random ones, for machines with a network.

    plan : channels of each convolution, "M" for a pooling; the features are those before each
    pooling. The weights are downloaded once, into PyTorch's cache or `folder`, and their hash is
    checked against the file's name.
    """

    def __init__(
        self,
        address: str = VGG19,
        plan: Sequence[int | str] = VGG19_PLAN,
        folder: Path | None = None,
    ):
        state = torch.hub.load_state_dict_from_url(
            address, model_dir=folder, progress=False, check_hash=True, weights_only=True
        )
        self.layers: list[tuple[torch.Tensor, torch.Tensor] | None] = []
        index = 0
        for step in plan:
            if step == "M":
                self.layers.append(None)
                index += 1
            else:
                weight, bias = (state[f"features.{index}.{part}"] for part in ("weight", "bias"))
                self.layers.append((weight, bias))
                index += 2  # a ReLU has a number, too

    def __call__(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features before each pooling, of x : (F, 3, H, W) in [0, 1]."""
        mean = x.new_tensor([0.485, 0.456, 0.406])[:, None, None]
        spread = x.new_tensor([0.229, 0.224, 0.225])[:, None, None]
        found, x = [], (x - mean) / spread
        for layer in self.layers:
            if layer is None:
                found.append(x)
                x = torch.nn.functional.avg_pool2d(x, 2)
            else:
                weight, bias = (part.to(x) for part in layer)
                x = torch.nn.functional.conv2d(x, weight, bias, padding=1).relu()
        return found


def gram(features: torch.Tensor) -> torch.Tensor:
    """Return the Gram matrices (F, C, C) of features (F, C, h, w). Source: eq (7.22)."""
    flat = features.flatten(2)
    return flat @ flat.mT / flat.shape[-1]


class Paintings:
    """F pictures to be painted: content c and style s, (F, 3, H, W) each. Source: eq (7.22).

    A function's numbers are its pixels, and each starts as noise.  strength : (F,), by which the
    style's part is multiplied, 1 in (7.22).
    """

    def __init__(
        self,
        content: torch.Tensor,
        style: torch.Tensor,
        theta0: torch.Tensor,
        features: Callable[[torch.Tensor], list[torch.Tensor]],
        weight: float,
        smooth: float,
        strength: torch.Tensor | float = 1.0,
    ):
        self.theta0, self.shape, self.features = theta0, content.shape, features
        self.weight, self.smooth, self.strength = weight, smooth, strength
        self.content = features(content)[1:]
        self.style = [gram(f) for f in features(style)]
        self._both = torch.func.grad(self._total, has_aux=True)

    def losses(self, theta: torch.Tensor) -> torch.Tensor:
        """Return the losses (F,), sums over pixels, of theta : (F, n)."""
        x = theta.view(self.shape)
        found = self.features(x)

        def apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            rest = (one - other).flatten(1).square().sum(1)
            return rest / other.flatten(1).square().sum(1)

        style = sum(apart(gram(f), g) for f, g in zip(found, self.style, strict=True))
        content = sum(apart(f, c) for f, c in zip(found[1:], self.content, strict=True))
        rough = sum(x.diff(dim=axis).square().flatten(1).sum(1) for axis in (2, 3))
        both = self.strength * style / len(found) + self.weight * content / len(self.content)
        return both * theta.shape[1] + self.smooth * rough

    def _total(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses = self.losses(theta)
        return losses.sum(), losses

    def value_and_gradient(
        self, theta: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and gradients; the functions of a batch do not touch one another."""
        gradient, losses = self._both(theta)
        return losses, gradient


class PaintingFamily:
    """Paintings with random pieces of some pictures as content, and some styles.

    strongest : the style's part is multiplied by 1 to this much, evenly in logarithms;
    palest : the style's contrast by this much to 1, as evenly, and colour and lightness are drawn;
    1 leaves the style as it is
    """

    def __init__(
        self,
        size: int = 64,
        contents: tuple[str, ...] = TRAIN_CONTENTS,
        styles: tuple[str, ...] = (TRAIN_STYLE,),
        weight: float = 0.05,
        smooth: float = 0.3,
        strongest: float = 1.0,
        palest: float = 1.0,
        device: str = "cpu",
    ):
        self.size, self.contents, self.styles = size, contents, styles
        self.weight, self.smooth = weight, smooth
        self.strongest, self.palest = strongest, palest
        self.features, self.device = Features(), device

    def sample(self, rng: np.random.Generator, functions: int) -> Paintings:
        """Draw content, style and noise for each function."""
        content = [
            crop(
                self.contents[rng.integers(len(self.contents))],
                self.size,
                tuple(rng.random(2)),
                rng.uniform(0.5, 1.0),
            )
            for _ in range(functions)
        ]
        style = [self._style(rng) for _ in range(functions)]
        theta0 = rng.uniform(0.25, 0.75, (functions, 3 * self.size**2))
        strength = self.strongest ** rng.random(functions)
        return Paintings(
            torch.stack(content).to(self.device),
            torch.stack(style).to(self.device),
            as_tensor(theta0).to(self.device),
            self.features,
            self.weight,
            self.smooth,
            as_tensor(strength).to(self.device),
        )

    def _style(self, rng: np.random.Generator) -> torch.Tensor:
        """Draw a style, (3, size, size), and how far its colour and its contrast have faded."""
        style = crop(self.styles[rng.integers(len(self.styles))], self.size, zoom=0.6)
        if self.palest == 1:
            return style
        grey = style.mean(0, keepdim=True).expand_as(style)
        style = style.lerp(grey, float(rng.random() ** 0.5))
        contrast, lightness = float(self.palest ** rng.random()), float(rng.uniform(0.3, 0.7))
        return (lightness + (style - style.mean()) * contrast).clamp(0, 1)
