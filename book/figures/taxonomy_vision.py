"""Chapter 4: a fixed input read step by step (glimpses), a fixed output written so (DRAW).

The pure functions are the torch twins of those in `solutions.taxonomy`; the networks stand on them.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, cross_entropy, pad

from course import datasets, figures
from figures.taxonomy_types import FRESH, Result, accuracy, count, device_of, fit

BLUE, VERMILION, GREEN = (figures.PALETTE[name] for name in ("blue", "vermilion", "green"))


SIDE = 24
"""Pixels along a cluttered scene's edge: at 32, learning where to look takes too long here."""


# ----------------------------------------------------------------------------------------- glimpses


def glimpse(x: Tensor, centre: Tensor, size: int, scales: int) -> Tensor:
    """Return what the window shows, (B, scales, size, size); the twin of `solutions.taxonomy`'s.

    x : (B, S, S), centre : (B, 2)
    """
    B, S, _ = x.shape
    widest = size * 2 ** (scales - 1)
    padded = pad(x, (widest,) * 4)
    pixel = ((centre + 1) / 2 * (S - 1) + 0.5).floor().long()
    steps = torch.arange(widest, device=x.device) - widest // 2 + widest
    rows, columns = (pixel[:, i, None] + steps for i in (0, 1))
    batch = torch.arange(B, device=x.device)[:, None, None]
    wide = padded[batch, rows[:, :, None], columns[:, None, :]]  # the widest holds the others
    patches = []
    for k in range(scales):
        width = size * 2**k
        own = slice(widest // 2 - width // 2, widest // 2 - width // 2 + width)
        inner = wide[:, own, own]
        patches.append(avg_pool2d(inner[:, None], 2**k))
    return torch.cat(patches, 1)


class Looks(NamedTuple):
    """What a `Glimpser` did: o : (T, B, K), after each look; mean, place : (T, B, 2);
    expected : (T, B), the rewards that it expected.
    """

    o: Tensor
    mean: Tensor
    place: Tensor
    expected: Tensor


class Glimpser(nn.Module):
    """Looks T times at a picture and says its class: Mnih et al. (2014), Ba et al. (2015).

    The first look is at the middle.  `policy` "learned" looks where the network chooses, with noise
    of standard deviation sigma while it trains; "random" looks anywhere.
    """

    def __init__(
        self, K: int = 10, H: int = 96, T: int = 4, size: int = 8, scales: int = 3,
        sigma: float = 0.2, policy: str = "learned",
    ) -> None:  # fmt: skip
        super().__init__()
        self.T, self.H, self.size, self.scales = T, H, size, scales
        self.sigma, self.policy = sigma, policy
        self.what = nn.Linear(scales * size * size, H)
        self.where = nn.Linear(2, H)
        self.core = nn.GRUCell(H, H)
        self.classify = nn.Linear(H, K)
        self.choose = nn.Sequential(nn.Linear(H, 32), nn.Tanh(), nn.Linear(32, 2))
        self.expect = nn.Linear(H, 1)

    def forward(self, x: Tensor, draw: torch.Generator | None = None) -> Looks:
        """Look at x : (B, S, S); `draw` makes the noise, and without it there is none."""
        B = len(x)
        h = x.new_zeros(B, self.H)
        mean = place = x.new_zeros(B, 2)
        looks: list[tuple[Tensor, ...]] = []
        for t in range(self.T):
            if t:
                mean, place = self._next(h, draw)
            patch = glimpse(x, place.clamp(-1, 1), self.size, self.scales)
            h = self.core(torch.relu(self.what(patch.flatten(1)) + self.where(place)), h)
            # The expected reward is learned from the state, and must not shape it.
            looks.append((self.classify(h), mean, place, self.expect(h.detach()).squeeze(1)))
        return Looks(*(torch.stack(each) for each in zip(*looks, strict=True)))

    def _next(self, h: Tensor, draw: torch.Generator | None) -> tuple[Tensor, Tensor]:
        mean = torch.tanh(self.choose(h))
        if self.policy == "random":
            return mean, torch.rand(mean.shape, generator=draw).to(mean) * 2 - 1
        if draw is None:
            return mean, mean.detach()
        noise = torch.randn(mean.shape, generator=draw).to(mean)
        return mean, mean.detach() + self.sigma * noise


def reinforce_loss(looks: Looks, advantage: Tensor, sigma: float) -> Tensor:
    """Return a number whose gradient for the means is minus that of the mean expected reward.

    advantage : (T, B), reward earned from step t on, less what was expected.  The first place is
    given, so it has no part.
    """
    log_p = -((looks.place.detach() - looks.mean) ** 2).sum(-1) / (2 * sigma**2)
    return -(advantage.detach() * log_p)[1:].sum(0).mean()


def glimpse_loss(
    model: Glimpser, x: Tensor, y: Tensor, draw: torch.Generator, weight: float = 0.3
) -> Tensor:
    """Return the loss of a batch: classes after every look, places by REINFORCE, expectations.

    The gradient for the places is noise for the most part.  With a small weight it does not drown
    that of the classes, which is exact.
    """
    looks = model(x, draw)
    classes = cross_entropy(looks.o.flatten(0, 1), y.repeat(model.T))
    if model.policy == "random":
        return classes
    # Ba et al.'s reward, the log probability of the class; a look is paid for itself and the rest.
    pay = torch.log_softmax(looks.o.detach(), -1)[:, torch.arange(len(y)), y]
    reward = pay.flip(0).cumsum(0).flip(0)
    advantage = (reward - looks.expected).detach()
    advantage = (advantage - advantage.mean(1, keepdim=True)) / advantage.std(1, keepdim=True)
    places = reinforce_loss(looks, advantage, model.sigma)
    return classes + weight * places + 0.5 * (looks.expected - reward).square().mean()


def moved(x: Tensor, place: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Return scenes (B, S, S), each rolled round so that its digit comes to a place drawn anew.

    place : (B, 2), the digits' upper left pixels.  Without it a network learns by heart what lies
    where in each of the scenes, and nothing about digits.
    """
    S = x.shape[1]
    shift = rng.integers(0, S - 8 + 1, place.shape) - place
    steps = np.arange(S)
    rows, columns = (torch.from_numpy((steps - shift[:, i, None]) % S) for i in (0, 1))
    batch = torch.arange(len(x))[:, None, None]
    return x[batch, rows[:, :, None], columns[:, None, :]]


class Glimpses(NamedTuple):
    """Glimpses on cluttered scenes: the result against a network that looks at random places.

    perceptron, convolutions: accuracies of networks of as many parameters that see the whole scene;
    after : (T,), accuracy after each look; found, found_random: share of the scenes with a look
    within 4 pixels of the digit's middle; and for some test scenes x : (n, S, S) the places :
    (T, n, 2), the classes said and true : (n,)
    """

    result: Result
    perceptron: float
    convolutions: float
    after: np.ndarray
    found: float
    found_random: float
    x: np.ndarray
    places: np.ndarray
    said: np.ndarray
    true: np.ndarray


def perceptron(parameters: int, side: int = SIDE, K: int = 10) -> nn.Module:
    """Return a network with one hidden layer that has at least so many parameters."""
    H = -(-(parameters - K) // (side * side + 1 + K))
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, H), nn.ReLU(), nn.Linear(H, K))


def convolutional(parameters: int, side: int = SIDE, K: int = 10) -> nn.Module:
    """Return a network of three convolutions, each followed by a halving, and two layers.

    The hidden layer is as wide as the parameters asked for allow.
    """
    layers = [
        nn.Unflatten(1, (1, side)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    ]  # fmt: skip
    used = sum(count(layer) for layer in layers)
    features = 32 * (side // 8) ** 2
    H = -(-(parameters - used - K) // (features + 1 + K))
    return nn.Sequential(*layers, nn.Linear(features, H), nn.ReLU(), nn.Linear(H, K))


def looked_at(places: np.ndarray, corner: np.ndarray, side: int = SIDE) -> float:
    """Return the share of scenes in which a look but the first is within 4 pixels of the digit.

    places : (T, N, 2), from -1 to 1; corner : (N, 2), the digits' upper left pixels
    """
    off = (np.clip(places[1:], -1, 1) + 1) / 2 * (side - 1) - (corner + 3.5)
    return float((np.abs(off).max(-1) <= 4).any(0).mean())


def train_glimpses(
    seed: int = 0,
    steps: int = 4000,
    device: str | None = None,
    sizes: tuple[int, int, int] = (6000, 500, 1000),
) -> Glimpses:
    """Find and read a digit in a scene by four looks.  Baseline: four looks at random places.

    For the first 3 steps in 10 the looks are random: a reward teaches nothing before the network
    can read a digit that it happens to see.
    """
    where, parts = device_of(device), datasets.cluttered(sizes, side=SIDE, pieces=4)
    test = datasets.cluttered(sizes, side=SIDE, pieces=4, seed=FRESH).test
    x, tests = (torch.from_numpy(part.x).float().to(where) for part in (parts.train, test))
    y, place = torch.from_numpy(parts.train.y).to(where), parts.train.place

    def glimpser(policy: str) -> tuple[Glimpser, Looks, float]:
        torch.manual_seed(seed)
        rng, draw = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        model, done = Glimpser().to(where), 0

        def loss(i: np.ndarray) -> Tensor:
            nonlocal done
            done += 1
            model.policy = policy if done > 0.3 * steps else "random"
            return glimpse_loss(model, moved(x[i], place[i], rng), y[i], draw)

        seconds = fit(model, loss, len(y), steps, seed, lr=6e-3)
        with torch.no_grad():
            return model, model(tests, draw if policy == "random" else None), seconds

    def whole(model: nn.Module) -> float:
        rng = np.random.default_rng(seed)

        def loss(i: np.ndarray) -> Tensor:
            return cross_entropy(model(moved(x[i], place[i], rng)), y[i])

        fit(model, loss, len(y), steps, seed)
        with torch.no_grad():
            return accuracy(model(tests).argmax(-1).cpu().numpy(), test.y)

    model, looks, seconds = glimpser("learned")
    _, chance, _ = glimpser("random")
    torch.manual_seed(seed)
    mlp, conv = (whole(make(count(model)).to(where)) for make in (perceptron, convolutional))
    said = looks.o.argmax(-1).cpu().numpy()
    places, anywhere = (each.place.cpu().numpy() for each in (looks, chance))
    result = Result(
        "cluttered digits", "fixed input", "accuracy", accuracy(said[-1], test.y),
        accuracy(chance.o[-1].argmax(-1).cpu().numpy(), test.y), "random places", "higher",
        count(model), seconds, seed, steps,
    )  # fmt: skip
    return Glimpses(
        result, mlp, conv, (said == test.y).mean(1), looked_at(places, test.place),
        looked_at(anywhere, test.place), test.x[:6], places[:, :6], said[-1, :6],
        test.y[:6],
    )  # fmt: skip


def draw_glimpses(data: Glimpses) -> Figure:
    """Draw scenes with the path of the looks and the last window; what was said stands above."""
    figures.style()
    fig, axes = plt.subplots(2, 3, figsize=(5.6, 4.2))
    side = data.x.shape[1]
    for n, ax in enumerate(axes.flat):
        ax.imshow(data.x[n], cmap="gray")
        path = (data.places[:, n] + 1) / 2 * (side - 1)
        ax.plot(path[:, 1], path[:, 0], "-o", ms=4, lw=1.2, color=figures.PALETTE["ochre"])
        low = np.floor(path[-1] + 0.5) - 4.5
        ax.add_patch(
            plt.Rectangle((low[1], low[0]), 8, 8, fill=False, ec=figures.PALETTE["sky"], lw=1.5)
        )
        mark = "" if data.said[n] == data.true[n] else f", is {data.true[n]}"
        ax.set(xticks=(), yticks=(), xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
        ax.set_title(f"read as {data.said[n]}{mark}")
    return fig


# --------------------------------------------------------------------------------------------- DRAW


def gaussian_window(params: Tensor, A: int, B: int, N: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return F_x : (M, N, A), F_y : (M, N, B), gamma : (M,); the twin of `solutions.taxonomy`'s."""
    centre_x, centre_y, log_variance, log_stride, log_gamma = params.unbind(1)
    stride = (max(A, B) - 1) / (N - 1) * log_stride.exp()
    offset = torch.arange(1, N + 1).to(params) - N / 2 - 0.5

    def bank(centre: Tensor, pixels: int) -> Tensor:
        middle = (pixels + 1) / 2 * (centre + 1)
        mu = middle[:, None] + offset * stride[:, None]
        away = torch.arange(1, pixels + 1).to(params) - mu[..., None]
        F = torch.exp(-(away**2) / (2 * log_variance.exp()[:, None, None]))
        return F / F.sum(-1, keepdim=True).clamp_min(1e-8)

    return bank(centre_x, A), bank(centre_y, B), log_gamma.exp()


def read(x: Tensor, F_x: Tensor, F_y: Tensor, gamma: Tensor) -> Tensor:
    """Return the patch gamma F_y x F_xᵀ, (M, N, N)."""
    return gamma[:, None, None] * (F_y @ x @ F_x.mT)


def write(patch: Tensor, F_x: Tensor, F_y: Tensor, gamma: Tensor) -> Tensor:
    """Return F_yᵀ patch F_x / gamma, (M, B, A)."""
    return F_y.mT @ patch @ F_x / gamma[:, None, None]


def latent_cost(mu: Tensor, log_sigma: Tensor) -> Tensor:
    """Return KL(N(mu, sigma²) || N(0, I)), (M,), for (T, M, Z) or (M, Z)."""
    each = 0.5 * (mu**2 + torch.exp(2 * log_sigma) - 2 * log_sigma - 1)
    return each.sum(-1).sum(0) if each.ndim == 3 else each.sum(-1)


class Drawer(nn.Module):
    """DRAW: draws a picture in T steps through a moving window, Gregor et al. (2015).

    x : (M, S, S), 0 or 1.  Each step reads what the canvas still lacks, codes it in Z latents, and
    writes on the canvas.
    """

    def __init__(self, S: int = 16, T: int = 8, N: int = 5, H: int = 96, Z: int = 6) -> None:
        super().__init__()
        self.S, self.T, self.N, self.H, self.Z = S, T, N, H, Z
        self.encoder = nn.LSTMCell(2 * N * N + H, H)
        self.latent = nn.Linear(H, 2 * Z)
        self.decoder = nn.LSTMCell(Z, H)
        self.window_in, self.window_out = nn.Linear(H, 5), nn.Linear(H, 5)
        self.patch = nn.Linear(H, N * N)
        self.canvas = nn.Parameter(torch.zeros(S, S))
        self.begin = nn.Parameter(torch.zeros(4, H))

    def _start(self, M: int) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the canvas and the states of encoder and decoder that all drawings begin with."""
        states = tuple(each.expand(M, -1) for each in self.begin)
        return self.canvas.expand(M, -1, -1), states[:2], states[2:]

    def forward(self, x: Tensor, draw: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the bound of each picture in nats, (M,), and the canvases, (T, M, S, S)."""
        S = self.S
        canvas, enc, dec = self._start(len(x))
        canvases, mus, logs = [], [], []
        for _ in range(self.T):
            window = gaussian_window(self.window_in(dec[0]), S, S, self.N)
            error = x - torch.sigmoid(canvas)
            seen = torch.cat([read(x, *window), read(error, *window)], 1).flatten(1)
            enc = self.encoder(torch.cat([seen, dec[0]], 1), enc)
            mu, log_sigma = self.latent(enc[0]).chunk(2, 1)
            noise = torch.randn(mu.shape, generator=draw).to(mu)
            dec = self.decoder(mu + log_sigma.exp() * noise, dec)
            canvas = canvas + self._stroke(dec[0])
            canvases.append(canvas)
            mus.append(mu)
            logs.append(log_sigma)
        cost = latent_cost(torch.stack(mus), torch.stack(logs)) + picture_cost(x, canvas)
        return cost, torch.stack(canvases)

    def _stroke(self, h: Tensor) -> Tensor:
        window = gaussian_window(self.window_out(h), self.S, self.S, self.N)
        return write(self.patch(h).view(-1, self.N, self.N), *window)

    @torch.no_grad()
    def sample(self, M: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw M pictures from latents of the prior: probabilities (T, M, S, S), and the windows'
        centre, stride and width in pixels, (T, M, 4): x, y, stride, sigma.
        """
        like = self.patch.weight
        canvas, _, dec = self._start(M)
        canvases, windows = [], []
        for _ in range(self.T):
            dec = self.decoder(torch.randn(M, self.Z, generator=draw).to(like), dec)
            canvas = canvas + self._stroke(dec[0])
            x, y, log_variance, log_stride, _ = self.window_out(dec[0]).unbind(1)
            half = (self.S + 1) / 2
            stride = (self.S - 1) / (self.N - 1) * log_stride.exp()
            windows.append(torch.stack(
                [half * (x + 1) - 1, half * (y + 1) - 1, stride, torch.exp(log_variance / 2)], 1
            ))  # fmt: skip
            canvases.append(torch.sigmoid(canvas))
        return torch.stack(canvases), torch.stack(windows)


def picture_cost(x: Tensor, canvas: Tensor) -> Tensor:
    """Return -log p(x) given logits, (M,), summed over the pixels."""
    return binary_cross_entropy_with_logits(canvas, x, reduction="none").flatten(1).sum(1)


class Autoencoder(nn.Module):
    """A variational autoencoder with one hidden layer on each side: all at once, no window."""

    def __init__(self, H: int, S: int = 16, Z: int = 48) -> None:
        super().__init__()
        self.S = S
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(S * S, H), nn.Tanh())
        self.latent = nn.Linear(H, 2 * Z)
        self.decode = nn.Sequential(nn.Linear(Z, H), nn.Tanh(), nn.Linear(H, S * S))

    def forward(self, x: Tensor, draw: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the bound of each picture in nats, (M,), and the canvas, (1, M, S, S)."""
        mu, log_sigma = self.latent(self.encode(x)).chunk(2, 1)
        noise = torch.randn(mu.shape, generator=draw).to(mu)
        canvas = self.decode(mu + log_sigma.exp() * noise).view(-1, self.S, self.S)
        return latent_cost(mu, log_sigma) + picture_cost(x, canvas), canvas[None]


def autoencoder(parameters: int, S: int = 16, Z: int = 48) -> Autoencoder:
    """Return an autoencoder that has at least so many parameters."""
    H = -(-(parameters - S * S - 2 * Z) // (2 * S * S + 2 + 3 * Z))
    return Autoencoder(H, S, Z)


def enlarged(x: np.ndarray) -> np.ndarray:
    """Return pictures (N, 8, 8) as (N, 16, 16) of 0 and 1: interpolated, then cut at a half."""
    big = nn.functional.interpolate(
        torch.from_numpy(x)[:, None], scale_factor=2, mode="bilinear", align_corners=False
    )
    return (big[:, 0].numpy() > 0.5).astype(np.float64)


def shifted(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Return pictures (M, S, S) moved by up to one pixel each way, each batch as a whole."""
    down, right = rng.integers(-1, 2, 2)
    return torch.roll(x, (int(down), int(right)), (1, 2))


class Drawing(NamedTuple):
    """DRAW on digits of 16 x 16 pixels: the result, in nats a picture; the training pictures'
    bounds, of DRAW and of the autoencoder; canvases : (T, n, S, S), probabilities; windows :
    (T, n, 4): x, y, stride, sigma in pixels.
    """

    result: Result
    training: tuple[float, float]
    canvases: np.ndarray
    windows: np.ndarray


def train_drawing(
    seed: int = 0, steps: int = 2500, device: str | None = None, draws: int = 10
) -> Drawing:
    """Learn to draw digits in eight steps.  Baseline: an autoencoder of as many parameters.

    Both are scored by the variational bound on the test part, mean of `draws` draws of the latents.
    """
    where, parts = device_of(device), datasets.digits()
    x, _, tests = (torch.from_numpy(enlarged(part.x)).float().to(where) for part in parts)

    def trained(model: nn.Module) -> tuple[float, float, float]:
        draw, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        model.to(where)

        def loss(i: np.ndarray) -> Tensor:
            return model(shifted(x[i], rng), draw)[0].mean()

        seconds = fit(model, loss, len(x), steps, seed, lr=3e-3, clip=5.0, decay=0.01)
        with torch.no_grad():
            bounds = [
                float(torch.stack([model(each, draw)[0].mean() for _ in range(draws)]).mean())
                for each in (tests, x)
            ]
        return *bounds, seconds

    torch.manual_seed(seed)
    model = Drawer()
    bound, training, seconds = trained(model)
    other, other_training, _ = trained(autoencoder(count(model)))
    canvases, windows = model.sample(6, torch.Generator().manual_seed(seed))
    result = Result(
        "drawing digits", "fixed output", "nats a picture", bound, other, "autoencoder", "lower",
        count(model), seconds, seed, steps,
    )  # fmt: skip
    return Drawing(
        result, (training, other_training), canvases.cpu().numpy(), windows.cpu().numpy()
    )


def draw_drawing(data: Drawing) -> Figure:
    """Draw the canvases, a row for each picture and a column for each step, with the windows."""
    figures.style()
    T, n, S = data.canvases.shape[:3]
    n = min(n, 4)
    fig, axes = plt.subplots(n, T, figsize=(5.8, 0.78 * n + 0.3))
    for i in range(n):
        for t, ax in enumerate(axes[i]):
            ax.imshow(data.canvases[t, i], cmap="gray", vmin=0, vmax=1)
            x, y, stride, sigma = data.windows[t, i]
            width = 4 * stride + 2 * sigma  # of five points, and a standard deviation on each side
            ax.add_patch(
                plt.Rectangle(
                    (x - width / 2, y - width / 2), width, width, fill=False, lw=1,
                    ec=figures.PALETTE["vermilion"],
                )
            )  # fmt: skip
            ax.set(xticks=(), yticks=(), xlim=(-0.5, S - 0.5), ylim=(S - 0.5, -0.5))
            if i == 0:
                ax.set_title(f"{t + 1}")
    return fig
