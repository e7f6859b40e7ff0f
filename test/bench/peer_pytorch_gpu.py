#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The models of `make gpu-bench` in PyTorch (2.5 or later) on one GPU: bf16, torch.compile,
scaled_dot_product_attention, fused AdamW, clipping; a JSON object a line, for gpu.py.

  peer_pytorch_gpu.py --model gpt2-124m                     looks for the largest micro-batch
  peer_pytorch_gpu.py --model gpt2-124m --micro-batch 32    that one alone

Weights: `autocast` keeps them in fp32 and computes under torch.autocast(bf16); `masters` keeps
bf16 weights beside fp32 masters, as Trireme does.
"""
import argparse
import gc
import json
import os
import sys

import gpu_cases

# What is freed can be used for blocks of other sizes; PyTorch's advice against fragmentation.
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    sys.exit("peer_pytorch_gpu.py: this Python has no torch (2.5 or later, with CUDA)")

WARM_UP = 4  # steps that don't count: compilation, algorithms, memory
WEIGHTS = ("autocast", "masters")
BETAS, DECAY, RATE, CLIP = (0.9, 0.95), 0.1, 1e-4, 1.0


def rotate(x, cos, sin):
    """The first entries of each head, half-split; the others pass."""
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    one, two = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat((-two, one), dim=-1) * sin
    return torch.cat((turned.to(x.dtype), rest), dim=-1)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        h = shape["hidden"]
        self.heads, self.parallel = shape["heads"], shape["parallel"]
        self.norm_1, self.norm_2 = nn.LayerNorm(h), nn.LayerNorm(h)
        self.qkv, self.dense = nn.Linear(h, 3 * h), nn.Linear(h, h)
        self.up, self.down = nn.Linear(h, 4 * h), nn.Linear(4 * h, h)

    def attend(self, x, cos, sin):
        b, s, h = x.shape
        q, k, v = self.qkv(x).view(b, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if cos is not None:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.dense(y.transpose(1, 2).reshape(b, s, h))

    def mlp(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh"))

    def forward(self, x, cos, sin):
        if self.parallel:
            return x + self.attend(self.norm_1(x), cos, sin) + self.mlp(self.norm_2(x))
        x = x + self.attend(self.norm_1(x), cos, sin)
        return x + self.mlp(self.norm_2(x))


class Model(nn.Module):
    """Tokens [b, s] and targets [b, s] to the mean loss."""

    def __init__(self, shape):
        super().__init__()
        h, s = shape["hidden"], shape["sequence"]
        self.embed = nn.Embedding(gpu_cases.VOCABULARY, h)
        self.positions = None if shape["parallel"] else nn.Embedding(s, h)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape["layers"]))
        self.norm = nn.LayerNorm(h)
        self.head = nn.Linear(h, gpu_cases.VOCABULARY, bias=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        cos = sin = None
        if shape["parallel"]:
            turned = h // shape["heads"] // 4
            powers = torch.arange(0, turned, 2, dtype=torch.float32) / turned
            angles = torch.outer(torch.arange(s, dtype=torch.float32), 10000.0**-powers)
            cos, sin = (torch.cat((t, t), dim=-1) for t in (angles.cos(), angles.sin()))
        else:
            self.head.weight = self.embed.weight
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        if self.positions is not None:
            x = x + self.positions.weight
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


class Trainer:
    def __init__(self, shape, weights, compiler):
        torch.manual_seed(1)
        with torch.device("cuda"):
            self.model = Model(shape)
        self.autocast = weights == "autocast"
        self.values = list(self.model.parameters())
        self.trained = self.values
        if not self.autocast:
            self.trained = [nn.Parameter(p.detach().clone()) for p in self.values]
            for p in self.values:
                p.data = p.data.bfloat16()
        groups = [
            {"params": [p for p in self.trained if p.dim() > 1], "weight_decay": DECAY},
            {"params": [p for p in self.trained if p.dim() <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=1e-8, fused=True)
        self.loss = self.model
        if compiler != "none":
            mode = None if compiler == "default" else compiler
            self.loss = torch.compile(self.model, dynamic=False, mode=mode)

    def step(self, tokens, targets):
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.autocast):
            loss = self.loss(tokens, targets)
        loss.backward()
        if not self.autocast:
            for master, value in zip(self.trained, self.values):
                master.grad, value.grad = value.grad.float(), None
        nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if not self.autocast:
            with torch.no_grad():
                torch._foreach_copy_(self.values, self.trained)
        return loss


def out_of_memory(error):
    """Compilers wrap it, libraries have words of their own for it."""
    text = str(error).lower()
    return (
        isinstance(error, torch.cuda.OutOfMemoryError)
        or "out of memory" in text
        or "alloc_failed" in text
    )


def clear():
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def attempt(shape, options, weights, micro_batch):
    """What `measure` says, or None where memory ends."""
    clear()
    try:
        return measure(shape, options, weights, micro_batch)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
    clear()  # here: within `except` the traceback keeps the tensors of its frames
    return None


def retries():
    """How often the allocator ran out and gave back what it kept."""
    return torch.cuda.memory_stats().get("num_alloc_retries", 0)


def measure(shape, options, weights, micro_batch):
    trainer = Trainer(shape, weights, options.compiler)
    size = (micro_batch, shape["sequence"])
    tokens, targets = (
        torch.randint(gpu_cases.VOCABULARY, size, device="cuda") for _ in range(2)
    )
    for _ in range(WARM_UP):
        loss = trainer.step(tokens, targets)
    torch.cuda.synchronize()
    before = retries()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(options.steps + 1)]
    marks[0].record()
    for mark in marks[1:]:
        loss = trainer.step(tokens, targets)
        mark.record()
    torch.cuda.synchronize()
    if not torch.isfinite(loss):
        raise ValueError(f"the loss became {loss.item()}")
    if retries() > before:
        return None  # it fits only with freeing and asking anew in each step
    seconds = [a.elapsed_time(b) * 1e-3 for a, b in zip(marks, marks[1:])]
    median = gpu_cases.median(seconds)
    return {
        "weights": weights,
        "compiler": options.compiler,
        "micro_batch": micro_batch,
        "tokens_per_second": micro_batch * shape["sequence"] / median,
        "step_seconds": median,
        "all_seconds": seconds,
        "peak_bytes": torch.cuda.max_memory_allocated(),
        "reserved_bytes": torch.cuda.max_memory_reserved(),
        "loss": loss.item(),
    }


def matrix_rate(n=8192, rounds=20):
    """Operations a second of bf16 products, the best of some."""
    a, b = (torch.rand(n, n, device="cuda").sub_(0.5).bfloat16() for _ in range(2))
    best = 0.0
    for i in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        torch.mm(a, b.t())
        end.record()
        end.synchronize()
        if i > 0:
            best = max(best, 2 * n**3 / (begin.elapsed_time(end) * 1e-3))
    return best


def tell(**figures):
    print(json.dumps(figures), flush=True)


def search(shape, options, weights):
    """The largest that fits, and the largest power of two: the faster one is rarely known."""
    found = {}

    def peak_of(n):
        found[n] = attempt(shape, options, weights, n)
        how = "out of memory" if found[n] is None else f"{found[n]['tokens_per_second']:.0f}/s"
        print(f"peer: {options.model}, {weights}, {n}: {how}", file=sys.stderr, flush=True)
        return found[n] and found[n]["reserved_bytes"]

    room = torch.cuda.mem_get_info()[1] - (1 << 30)  # less what CUDA itself takes
    largest = gpu_cases.largest_fitting(peak_of, room, options.start)
    if largest == 0:
        tell(model=options.model, weights=weights, out_of_memory=True)
        return
    power = 1 << (largest.bit_length() - 1)
    for n in sorted({largest, power}):
        result = found[n] if n in found else attempt(shape, options, weights, n)
        if result is not None:
            tell(model=options.model, largest=n == largest, **result)


def parse(arguments):
    parser = argparse.ArgumentParser(description="Trireme's peer on a GPU.")
    parser.add_argument("--model", choices=sorted(gpu_cases.MODELS), required=True)
    parser.add_argument("--weights", choices=WEIGHTS, help="default: one after the other")
    parser.add_argument("--micro-batch", type=int, help="default: the largest that fits")
    parser.add_argument("--start", type=int, default=8, help="the first that is tried")
    parser.add_argument("--steps", type=int, default=12, help="that count, at least 10")
    parser.add_argument(
        "--compiler",
        choices=["default", "max-autotune-no-cudagraphs", "none"],
        default="default",
        help="mode of torch.compile",
    )
    options = parser.parse_args(arguments)
    if options.steps < 10:
        parser.error("--steps: at least 10, of which the median counts")
    for name in ("micro_batch", "start"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: at least 1")
    return options


def main():
    options = parse(sys.argv[1:])
    version = tuple(int(x) for x in torch.__version__.split(".")[:2])
    if version < (2, 5):
        sys.exit(f"peer_pytorch_gpu.py: torch {torch.__version__}; 2.5 or later is needed")
    if not torch.cuda.is_available():
        sys.exit("peer_pytorch_gpu.py: PyTorch sees no GPU")
    torch.set_float32_matmul_precision("high")
    tell(
        torch=torch.__version__,
        cuda=torch.version.cuda,
        device=torch.cuda.get_device_name(),
        matrix_rate=matrix_rate(),
    )
    shape = gpu_cases.MODELS[options.model]
    for weights in [options.weights] if options.weights else WEIGHTS:
        if options.micro_batch is None:
            search(shape, options, weights)
            continue
        result = attempt(shape, options, weights, options.micro_batch)
        if result is None:
            tell(model=options.model, weights=weights, out_of_memory=True)
        else:
            tell(model=options.model, **result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
