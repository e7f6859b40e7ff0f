#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes adam_8bit.txt: ten steps of bitsandbytes' Adam8bit on its CPU backend. Codes are
# rounded by bitsandbytes' default backend, which takes the nearest ones. The compiled rounding
# of its CPU backend is coarser for small shares; the script reports how far the values then
# differ.
#
# Needs: bitsandbytes and torch.
# Usage: make_adam_8bit.py [OUTPUT]       (default: adam_8bit.txt beside this file)
#
# Lines: settings as key=value, then the two maps, and then values, codes and scales of both
# moments after the last step. Floats have all their digits. start() and gradient() say what
# the steps are given, exact in fp32.
import sys
from importlib.metadata import version
from pathlib import Path

import torch

KERNELS = {}
_register = torch.library.register_kernel


def _noting(name, device, func=None, **more):
    def note(f):
        KERNELS[name.split("::")[1], str(device)] = f
        return _register(name, device, f, **more)

    return note if func is None else note(func)


torch.library.register_kernel = _noting

import bitsandbytes as bnb  # noqa: E402
from bitsandbytes.backends.cpu import ops as cpu_ops  # noqa: E402
import bitsandbytes.backends.default.ops  # noqa: E402,F401

N = 700
STEPS = 10
SETTINGS = dict(lr=1e-2, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1)


def start(i):
    return ((i * 37) % 257 - 128) / 128


def gradient(i, step):
    mixed = (i * 7919 + step * 104729 + i * i % 1009 * 31) % 2048
    return (mixed - 1024) / 1024 * 2.0 ** -(i % 9)


def run():
    s = SETTINGS
    p = torch.nn.Parameter(torch.tensor([start(i) for i in range(N)]))
    optimizer = bnb.optim.Adam8bit(
        [p], s["lr"], (s["beta1"], s["beta2"]), s["eps"], s["weight_decay"], min_8bit_size=1
    )
    for step in range(1, STEPS + 1):
        p.grad = torch.tensor([gradient(i, step) for i in range(N)])
        optimizer.step()
    return p.detach(), optimizer.state[p]


def nearest(x, code, absmax_out, out, blocksize):
    kernel = KERNELS["quantize_blockwise", "default"]
    codes, absmax = kernel(x, code, blocksize)
    out.copy_(codes)
    absmax_out.copy_(absmax)


def line(name, values):
    return f"{name} {' '.join(repr(v) for v in values.tolist())}"


def main():
    output = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("adam_8bit.txt")
    compiled, _ = run()
    cpu_ops._quant_blockwise_fp32_direct = nearest
    values, state = run()
    assert state["state1"].dtype == torch.uint8
    settings = " ".join(f"{k}={v}" for k, v in SETTINGS.items())
    Path(output).write_text("\n".join([
        f"# bitsandbytes {version('bitsandbytes')}",
        f"settings n={N} steps={STEPS} {settings}",
        line("signed", state["qmap1"]),
        line("unsigned", state["qmap2"]),
        line("values", values),
        line("exp_avg", state["state1"]),
        line("exp_avg_scale", state["absmax1"]),
        line("exp_avg_sq", state["state2"]),
        line("exp_avg_sq_scale", state["absmax2"]),
    ]) + "\n")
    print(f"compiled rounding moves values by up to {(values - compiled).abs().max():.2e}")


if __name__ == "__main__":
    main()
