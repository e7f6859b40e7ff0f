# SPDX-License-Identifier: Apache-2.0
"""What gpu.py and peer_pytorch_gpu.py must agree on: models, operations, peak rates, and how
the largest micro-batch is found."""

VOCABULARY = 50304
MODELS = {
    "gpt2-124m": {
        "deck": "inputs/gpt2-124m.yml",
        "layers": 12,
        "hidden": 768,
        "heads": 12,
        "sequence": 1024,
        "parallel": False,  # attention and MLP one after the other; learned positions; tied
    },
    "pythia-160m": {
        "deck": "inputs/pythia-160m.yml",
        "layers": 12,
        "hidden": 768,
        "heads": 12,
        "sequence": 2048,
        "parallel": True,  # side by side; rotary on a quarter of each head; untied
    },
    "pythia-1.4b": {
        "deck": "inputs/pythia-1.4b.yml",
        "layers": 24,
        "hidden": 2048,
        "heads": 16,
        "sequence": 2048,
        "parallel": True,
    },
}

# Dense bf16 operations a second by NVIDIA's data sheets; the first name that fits.
PEAKS = [
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989.4e12),
    ("H800", 989.4e12),
    ("GH200", 989.4e12),
    ("H200", 989.4e12),
    ("A100", 312e12),
    ("A800", 312e12),
]


def peak_rate(name):
    """Of a GPU by its name; None where it isn't known (a part of one, too)."""
    if " MIG" in name.upper():
        return None
    return next((rate for part, rate in PEAKS if part.upper() in name.upper()), None)


def layer_parameters(model):
    """Two norms, four matrices and their biases."""
    h = model["hidden"]
    return 12 * h * h + 13 * h


def parameters(model):
    h = model["hidden"]
    ends = VOCABULARY * h + (VOCABULARY if model["parallel"] else model["sequence"]) * h
    return model["layers"] * layer_parameters(model) + 2 * h + ends


def flops_per_token(model):
    """Forward and backward: 6 × (parameters outside the embedding tables, the output matrix
    included) + 12 · layers · hidden · sequence, full attention, as Trireme and PaLM count."""
    h = model["hidden"]
    counted = model["layers"] * layer_parameters(model) + 2 * h + VOCABULARY * h
    return 6 * counted + 12 * model["layers"] * h * model["sequence"]


def mfu(model, tokens_per_second, peak):
    return tokens_per_second * flops_per_token(model) / peak


def largest_fitting(peak_of, room, start=8, most=4096):
    """The largest n ≥ 1 for which peak_of(n) is no None (out of memory) but the bytes that were
    used, to 3 %; 0 if none is. `room`: bytes of the GPU. Doubles or halves from `start`; as
    memory grows evenly with n, two peaks foretell where it ends, and that is tried next."""
    good, bad, stride = {}, most + 1, 1
    n = min(start, most)
    while True:
        peak = peak_of(n)
        if peak is None:
            bad = n
        else:
            good[n] = peak
        low = max(good, default=0)
        step = max(1, low // 32)
        if bad - low <= step:
            return low
        if not good:
            n = bad // 2
            continue
        guess = foretell(good, room)
        if bad > most:  # nothing failed yet
            n = low * 2 if guess is None else min(guess, low * 8)
            if n <= low:
                n, stride = low + step * stride, stride * 2
            n = min(n, most)
        else:
            middle = (low + bad) // 2
            n = middle if guess is None or not low < guess < bad else guess
            n = min(max(n, low + step), bad - 1)
            if n == guess:
                room = room * 0.98  # wrong again: be more careful


def foretell(good, room):
    """The n at which a line through the two largest ends at `room`."""
    if len(good) < 2:
        return None
    a, b = sorted(good)[-2:]
    slope = (good[b] - good[a]) / (b - a)
    return None if slope <= 0 else int(b + (room - good[b]) / slope)


def median(values):
    """The upper one where there are two."""
    return sorted(values)[len(values) // 2]
