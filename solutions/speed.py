# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8. How fast can it go?
#
# You will predict how long a recurrent network takes, before you run it. Equation numbers such as
# (8.7) are those of chapter 8 of the book, "How fast can it go?": keep it open beside this
# notebook. Plan about two and a half hours, after you have read the chapter. The first cell finds
# the course's toolkit, or says how to get it.
#
# Graded is what you *predict*, never how fast your machine is. How a check reads, and `hint`,
# are explained in the notebook of chapter 3.
#
# | letter | shape | meaning |
# |---|---|---|
# | `T`, `B`, `D`, `H` | numbers | steps, sequences in a batch, inputs, units |
# | `G` | number | blocks of the weights: 1 for tanh, 3 for a GRU, 4 for an LSTM |
# | `size` | number | bytes of one number: 4 for float32, 8 for float64 |
# | `N`, `Q` | `(n,)` | operations and bytes of each of `n` pieces of work |
# | `rate`, `bandwidth` | numbers | operations, and bytes, that a machine manages in a second |
# | `calls`, `latency` | `(n,)`, number | calls of the library, and seconds for each by itself |
# | `a`, `b`, `h` | `(T, B, H)` | a linear recurrence, $h^{(t)} = a^{(t)} h^{(t-1)} + b^{(t)}$ |

# %%
import matplotlib.pyplot as plt
import numpy as np

from course import check, figures, hint, progress, ready

# %% [markdown]
# ## Exercise 8.1: count the operations
#
# Count a multiplication and an addition as one operation each, and only those of the matrix
# products; all else is of order $\tau B H$. A network with $G$ blocks needs, for all steps and
# sequences together,
#
# $$
# N_{\text{forward}} = 2\, \tau B\, G H (D + H), \qquad (8.1) \qquad
# N_{\text{backward}} = 2\, N_{\text{forward}}. \qquad (8.2)
# $$
#
# The backward pass has two products for each one of the forward pass: one for what went into it,
# one for the weights.


# %% exercise="speed.operations"
def operations(T, B, D, H, G):
    """Operations of the matrix products in G blocks, forward and backward.  Source: (8.1)-(8.2).

    T, B, D, H, G : numbers

    Returns forward, backward : two numbers; backward is that pass alone.
    """
    ### BEGIN SOLUTION
    forward = 2 * T * B * G * H * (D + H)  # (8.1)
    return float(forward), float(2 * forward)  # (8.2)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 8.2: count the bytes of one step
#
# Inside the loop, with $U x^{(t)} + b$ there already, the product of a step must read $W$ and the
# old state, and must write $G$ blocks; then the gates must be read with the input's share, and the
# new state written. Where all but the largest arrays stay in registers or caches, what is moved is
# at least
#
# $$
# Q = s \big( G H^2 + (G + 2)\, B H \big) \tag{8.3}
# $$
#
# bytes: $W$ once, the input's share once, a state in and a state out. The *intensity* of a step is
# its operations for each byte,
#
# $$
# I = \frac{2 B G H^2}{Q} \;\longrightarrow\; \frac{2 B}{s} \quad \text{for } H \gg B. \tag{8.4}
# $$


# %% exercise="speed.step_traffic"
def step_traffic(B, H, G, size):
    """Bytes that one step must move, and its operations for each of them.  Source: (8.3)-(8.4).

    B, H, G : numbers; size : bytes of one number

    Returns Q, intensity : two numbers.
    """
    ### BEGIN SOLUTION
    Q = size * (G * H * H + (G + 2) * B * H)  # (8.3)
    return float(Q), 2 * B * G * H * H / Q  # (8.4)
    ### END SOLUTION


# %% [markdown]
# ## Exercise 8.3: predict
#
# The *roofline*: a machine that does $F$ operations and moves $\beta$ bytes in a second cannot be
# faster than either allows,
#
# $$
# P(I) = \min(F, \beta I), \qquad (8.5) \qquad
# t \ge \max\Big( \frac{N}{F}, \frac{Q}{\beta} \Big). \qquad (8.6)
# $$
#
# And a call of the library costs a time $\ell$ by itself, however little it has to do. Work that
# must be done in order waits for it each time; $k$ calls take
#
# $$
# t = k\, \ell + \max\Big( \frac{N}{F}, \frac{Q}{\beta} \Big). \tag{8.7}
# $$
#
# Return the time of each of `n` pieces of work.


# %% exercise="speed.predict"
def predict(N, Q, calls, rate, bandwidth, latency):
    """Seconds that pieces of work take.  Source: eqs (8.6)-(8.7).

    N, Q, calls : (n,), operations, bytes, and calls of each; rate : operations a second;
    bandwidth : bytes a second; latency : seconds a call

    Returns seconds : (n,).
    """
    ### BEGIN SOLUTION
    return calls * latency + np.maximum(N / rate, Q / bandwidth)  # (8.7)
    ### END SOLUTION


# %% [markdown]
# ## Put it together: your machine's roofline
#
# Once exercises 8.1 to 8.3 are right, the next cell measures your machine: its rate in a large
# product, how fast it copies, and what a call costs that does next to nothing. It predicts the
# recurrent product of an LSTM step for several batches, and then runs it. Before you run the
# cell, write down for question 8.6: up to which batch is a larger batch (almost) free?

# %%
if __name__ == "__main__":
    if ready("speed.operations", "speed.step_traffic", "speed.predict"):
        import time

        def seconds(run, rounds=15):
            """Median time of a call; the first two warm up."""
            times = []
            for _ in range(rounds + 2):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            return np.median(times[2:])

        H, G = 256, 4
        rng = np.random.default_rng(8)
        large = rng.normal(size=(1024, 1024)).astype(np.float32)
        rate = 2 * 1024**3 / seconds(lambda: large @ large)
        source, goal = np.ones(2**18, np.float32), np.empty(2**18, np.float32)
        bandwidth = 2 * source.nbytes / seconds(lambda: np.copyto(goal, source), 100)
        one, other = np.ones(1, np.float32), np.empty(1, np.float32)
        latency = seconds(lambda: np.add(one, one, out=other), 1000)
        print(
            f"{rate / 1e9:.0f} billion operations, {bandwidth / 1e9:.0f} billion bytes a second,"
            f" {latency * 1e6:.2f} µs a call"
        )

        batches = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
        N = np.array([operations(1, B, 0, H, G)[0] for B in batches])
        Q = np.array([step_traffic(B, H, G, 4)[0] for B in batches])
        predicted = predict(N, Q, np.ones(len(batches)), rate, bandwidth, latency)
        W = rng.normal(size=(H, G * H)).astype(np.float32)
        measured = [
            seconds(lambda h=h: h @ W)
            for h in (rng.normal(size=(B, H)).astype(np.float32) for B in batches)
        ]
        figures.style()
        figure, ax = plt.subplots()
        ax.loglog(batches, predicted * 1e6, label="predicted, (8.7)")
        ax.loglog(batches, np.array(measured) * 1e6, "o", label="measured")
        ax.set(xlabel="sequences in the batch", ylabel="µs for one step's product")
        ax.legend()
        figures.show(figure)

# %% [markdown]
# ## Exercise 8.4: two steps are one step
#
# A recurrence that is linear in its state, $h^{(t)} = a^{(t)} \odot h^{(t-1)} + b^{(t)}$, has a
# property that tanh destroys: a step after a step is a step of the same kind. First $(a_1, b_1)$,
# then $(a_2, b_2)$:
#
# $$
# (a_2, b_2) \circ (a_1, b_1) = (a_2 \odot a_1,\; a_2 \odot b_1 + b_2). \tag{8.10}
# $$
#
# Put step 1 and 2 together, 3 and 4, 5 and 6, all at once; half as many steps are left. Go on
# until one is left. Then walk back and fill in the states in between:
#
# $$
# h^{(2k)} = A^{(k)} \odot h^{(2k-2)} + B^{(k)}, \qquad
# h^{(2k+1)} = a^{(2k+1)} \odot h^{(2k)} + b^{(2k+1)}, \tag{8.11}
# $$
#
# where $(A^{(k)}, B^{(k)}) = (a^{(2k)}, b^{(2k)}) \circ (a^{(2k-1)}, b^{(2k-1)})$, the first of the
# two is again a recurrence, and $h^{(0)} = 0$. If the number of steps is odd, the last one has no
# partner: it is filled in on the way back.
#
# Return one level of it: the recurrence of half the length.


# %% exercise="speed.pair"
def pair(a, b):
    """Steps 1 and 2 as one, 3 and 4 as one, and so on.  Source: eqs (8.10)-(8.11).

    a, b : (T, B, H), T at least 2; if T is odd, the last step is left out

    Returns A, B : (T // 2, B, H).
    """
    ### BEGIN SOLUTION
    first, second = slice(0, len(a) // 2 * 2, 2), slice(1, None, 2)
    return a[second] * a[first], a[second] * b[first] + b[second]  # (8.10)
    ### END SOLUTION


# %% [markdown]
# ## Put it together: pairs of pairs
#
# With `pair` for the way down, (8.11) is four lines. The next cell races them against a loop that
# writes in place, on one core, for states from narrow to wide. The scan does about twice the work,
# (8.12), in some sixty calls instead of two thousand. Before you run it, use (8.7): who wins
# for one number a step, who for a thousand, and where do they meet?

# %%
if __name__ == "__main__":
    if ready("speed.pair"):
        import time

        def scan(a, b):
            """All states, by pairs.  Source: eq (8.11)."""
            h = np.empty_like(b)
            h[0] = b[0]
            if len(b) > 1:
                h[1::2] = scan(*pair(a, b))  # in the code step 1 has index 0
                h[2::2] = a[2::2] * h[1:-1:2] + b[2::2]
            return h

        def loop(a, b):
            """All states, step by step."""
            h = b.copy()
            for t in range(1, len(h)):
                h[t] += a[t] * h[t - 1]
            return h

        widths, times = [1, 4, 16, 64, 256, 1024, 2048], {}
        rng = np.random.default_rng(8)
        for width in widths:
            a, b = rng.uniform(-1, 1, (2, 1000, 1, width)).astype(np.float32)
            assert np.allclose(scan(a, b), loop(a, b), atol=1e-5)
            for way in (loop, scan):
                rounds = []
                for _ in range(7):
                    start = time.perf_counter()
                    way(a, b)
                    rounds.append(time.perf_counter() - start)
                times.setdefault(way.__name__, []).append(1e3 * np.median(rounds))
        figures.style()
        figure, ax = plt.subplots()
        for name, each in times.items():
            ax.loglog(widths, each, "o-", label=name)
        ax.set(xlabel="numbers in a state", ylabel="ms for 1000 steps")
        ax.legend()
        figures.show(figure)

# %% [markdown]
# ## Exercise 8.5: the gradient is a scan, too
#
# With $e^{(t)}$ for the gradient that reaches $h^{(t)}$ from outside, and
# $\nabla_{h^{(\tau+1)}} L = 0$,
#
# $$
# \nabla_{h^{(t)}} L = e^{(t)} + a^{(t+1)} \odot \nabla_{h^{(t+1)}} L, \qquad
# \nabla_{b^{(t)}} L = \nabla_{h^{(t)}} L, \qquad
# \nabla_{a^{(t)}} L = h^{(t-1)} \odot \nabla_{h^{(t)}} L. \tag{8.13}
# $$
#
# The first is a linear recurrence from the other end. A loop will do here.


# %% exercise="speed.scan_backward"
def scan_backward(dh, a, h):
    """Gradients of L through h(t) = a(t) h(t-1) + b(t), from h(0) = 0.  Source: eq (8.13).

    dh : (T, B, H), from outside at each h(t), not the total; a, h : (T, B, H)

    Returns da, db : (T, B, H).
    """
    ### BEGIN SOLUTION
    db, carry = np.empty_like(dh), np.zeros_like(dh[0])
    for t in reversed(range(len(dh))):
        db[t] = dh[t] + carry  # (8.13)
        carry = a[t] * db[t]
    before = np.concatenate([np.zeros_like(h[:1]), h[:-1]])
    return before * db, db
    ### END SOLUTION


# %% [markdown]
# ## A start for question 8.6
#
# If a linear recurrence is to run in parallel, need it be a scan? With
# $A^{(t)} = a^{(1)} \cdots a^{(t)}$ it is two cumulative sums that every library has:
# $h^{(t)} = A^{(t)} \sum_{s \le t} b^{(s)} / A^{(s)}$; or, with logarithms, no product is left at
# all. The next cell has both, beside the loop and the scan from above, in float32, and prints the
# largest relative error against the loop in float64.

# %%
if __name__ == "__main__":
    if ready("speed.pair"):

        def by_products(a, b):
            """All states, by a cumulative product and a cumulative sum."""
            A = np.cumprod(a, axis=0)
            return A * np.cumsum(b / A, axis=0)

        def by_logarithms(a, b):
            """All states, by a cumulative sum and a cumulative sum of exponentials."""
            log_A = np.cumsum(np.log(a), axis=0)
            return np.exp(log_A + np.logaddexp.accumulate(np.log(b) - log_A, axis=0))

        ways = loop, scan, by_products, by_logarithms
        print("   T     a   ", *(f"{way.__name__:>13}" for way in ways))
        for T in (100, 400, 1600, 4000):
            for size in (0.5, 0.9, 0.99):
                rng = np.random.default_rng(8)
                a = size * rng.uniform(0.95, 1, (T, 1, 16))
                b = rng.uniform(0.1, 1, (T, 1, 16))
                true, errors = loop(a, b), []
                for way in ways:
                    with np.errstate(all="ignore"):
                        h = way(a.astype(np.float32), b.astype(np.float32))
                    errors.append(np.abs(h / true - 1).max())
                print(f"{T:4}  {size:4}   ", *(f"{error:13.0e}" for error in errors))

# %% [markdown] question="speed.explain"
# ## Question 8.6: predict before you run
#
# A GPU does $F = 50 \cdot 10^{12}$ operations in float32 and moves $\beta = 3 \cdot 10^{12}$ bytes
# in a second; to start a kernel takes $\ell = 5$ µs. An LSTM has $D = H = 512$, a sequence 1000
# steps, a batch 16 sequences. In at most 400 words:
#
# 1. With $U x$ outside the loop and 9 kernels a step, predict the time of the forward pass, and say
#    which of the three terms decides.
# 2. Predict the same for a batch of 160, and for one kernel a step. Which of the two helps more
#    for each sequence?
# 3. What would a scan gain here, and what must be given up for it?
# 4. *Measure.* Heinsen (2023, "Efficient parallelization of a ubiquitous sequential computation")
#    computes such a recurrence with two cumulative sums, of logarithms. Predict first, for the cell
#    above: after how many steps do products fail in float32 (its smallest number is
#    $1.4 \cdot 10^{-45}$, the largest $3.4 \cdot 10^{38}$), and how does the error of logarithms
#    grow with $T$ and with $a$? Then run it, and explain what you mispredicted. Would you train
#    with logarithms? For which $a$ and $b$ can't you even write them down?
#
# Name the equations you use. Your numbers are graded, not your machine.
#
# Plan half an hour for part 4. A good answer says what you expected before you ran it, what you
# changed, and what came out, in a few numbers; explains it by an equation; and says what your
# experiment can't show.
#
# ### BEGIN SOLUTION
# 1. A step's product has $N = 2 B G H^2 = 2 \cdot 16 \cdot 4 \cdot 512^2 = 33.6$ million
# operations: $N / F = 0.67$ µs. By (8.3) $Q = 4 (4 \cdot 512^2 + 6 \cdot 16 \cdot 512) = 4.4$ MB,
# so $Q / \beta = 1.5$ µs. Nine kernels cost $9 \cdot 5 = 45$ µs. By (8.7) a step takes
# $45 + 1.5 = 46$ µs, the sequence 46 ms. The calls decide, thirty times over; $U x$ outside is
# $2 \cdot 1000 \cdot 16 \cdot 2048 \cdot 512 / F = 0.67$ ms and does not count.
# 2. Batch 160: $N / F = 6.7$ µs, $Q / \beta = 2.1$ µs, so $45 + 6.7 = 52$ µs a step, 52 ms for ten
# times as many sequences: 9.0 times less for each. One kernel a step, batch 16: $5 + 1.5 = 6.5$ µs,
# 6.5 ms, 7.2 times less. Both are about equally good, and go together.
# 3. By (8.12) a scan has $2 \cdot 9 = 18$ sweeps instead of 1000 steps that wait for one another,
# each over whole arrays, so the calls cost next to nothing and $Q / \beta$ decides. The recurrence
# must be linear in the state: gates may see the input only, as in (8.14). What a state holds can
# then no longer decide what enters it.
# 4. $1/A^{(t)}$ passes $3.4 \cdot 10^{38}$ when $-\log A^{(t)} > 88.7$. With $a$ drawn as in the
# cell, $-\log a$ is 0.72, 0.13 and 0.036 on average, so products fail after about 120, 680 and 2500
# steps: with 0.5 before 400, with 0.9 before 1600, with 0.99 before 4000, which is seen. Before
# that they are as exact as the loop, below $10^{-6}$. Easily mispredicted: above 0.5 the product
# never becomes 0, since the smallest number times 0.9 is rounded back to itself; so 0.9 gives
# infinity and not NaN, and states that are wrong by any factor. Logarithms never leave the range,
# but lose digits: $\log A^{(t)}$ is as large as $0.72\,T$, and a relative error of
# $6 \cdot 10^{-8}$ in it is an absolute one, hence a relative one of $h$. So the error grows with
# $T$ and with $-\log a$: with 0.5, $4 \cdot 10^{-5}$ at 400 steps, $4 \cdot 10^{-4}$ at 4000, a
# thousand times that of the loop; with 0.99 at 4000 steps $9 \cdot 10^{-5}$. The scan stays below
# $10^{-6}$ everywhere: it multiplies what is near, and never divides. Training may bear that, where
# noise is larger; half precision has three to begin with. A logarithm needs $a, b > 0$: a candidate
# with a sign, as tanh has, needs complex numbers, or two sums; and $a = 0$, a reset, has none. Not
# shown: time.
#
# Three points. 1 for parts 1 and 2: within a factor 1.5 of 46 ms with the right term, and both of
# part 2 within a factor 1.5; 1 for part 3: the sweeps, and linearity named as the price; 1 for part
# 4: a prediction that was written down, the two failures told apart (range against digits), and
# signs or zeros named. A table without an explanation gets half.
# ### END SOLUTION

# %% [markdown]
# ## Where you stand
#
# Before you hand in: restart the kernel and run all cells, so that no cell uses what an older
# version of another has left behind.

# %%
if __name__ == "__main__":
    progress("speed")
