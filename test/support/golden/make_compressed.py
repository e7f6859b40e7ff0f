#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes compressed.h5: ten steps of DeepSpeed's compressed optimizers on one model of
# golden.h5, as two processes that communicate by gloo. The classes and the collective are
# DeepSpeed's own (runtime/fp16/onebit, and CompressedBackend of runtime/comm/compressed.py).
# DeepSpeed packs bits by a kernel that needs an accelerator, so that numpy packs them here.
#
# Needs: what make_golden.py needs, and deepspeed 0.17 (later versions lack these classes).
# Usage: make_compressed.py [OUTPUT]      (default: compressed.h5 beside this file)
#
# Layout: one group per optimizer, whose attributes are Trireme's settings. Dataset losses is
# float64 [10]: the mean loss before each update. Dataset norms is the norm before clipping. It
# is that of the mean gradient while gradients are averaged, and later the root mean square of
# both processes' norms. The root's attribute case names the model in golden.h5.
#
# No gradient of a key's bias is more than rounding, whose signs would decide the scales. The
# biases of queries, keys and values, which are one parameter, are therefore frozen.
#
# 1-bit LAMB's momenta are averaged one by one, as Trireme does. DeepSpeed averages them as one
# array with one scale, and multiplies each by a coefficient to that end. The coefficient
# cancels out where each momentum has a scale of its own.
#
# DeepSpeed's first step() sets buffers up and updates nothing, but counts. Its freeze_step is
# therefore one more than Trireme's.
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import torch
import torch.multiprocessing as mp
from make_golden import CASES, STEPS, AllDouble, hf_model, loss_of, to_hf

CASE = "neox_tied_tanh"
RANKS = 2
CLIP = 1.0
FROZEN = "query_key_value.bias"
COMMON = dict(lr=1e-3, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1)
OPTIMIZERS = {
    "one_bit_adam": dict(type="OneBitAdam", freeze_step=4, **COMMON),
    "one_bit_lamb": dict(
        COMMON, type="OneBitLamb", freeze_step=4, lr=5e-3, max_coeff=2.0, min_coeff=0.1,
        coeff_beta=0.8, factor_max=3.0, factor_min=0.6, factor_threshold=0.07,
    ),
    "zero_one_adam": dict(
        COMMON, type="ZeroOneAdam", var_freeze_step=5, var_update_scaler=2,
        local_step_scaler=1, local_step_clipper=2,
    ),
}  # fmt: skip


class NumpyPacker:
    """Packs signs as PackbitsBuilder's operation does: bits of a float tensor that is >= 0."""

    @staticmethod
    def packbits(x, count, rank):
        return torch.from_numpy(np.packbits((x.reshape(count) >= 0).numpy()))

    @staticmethod
    def unpackbits(packed, count, rank):
        bits = np.unpackbits(packed.numpy().reshape(count)).astype(np.float32)
        return torch.from_numpy(bits * 2 - 1)


def run_on_cpus():
    """Lets DeepSpeed's collective take CPUs and gloo, which asks for equal shapes."""
    from deepspeed import comm
    from deepspeed.runtime.comm import compressed

    def all_gather(parts, part, group=None):
        return comm.all_gather(parts, part.reshape(parts[0].shape), group=group)

    compressed.PackbitsBuilder = lambda: SimpleNamespace(load=lambda: NumpyPacker())
    compressed.dist = SimpleNamespace(
        all_gather=all_gather,
        all_to_all_single=comm.all_to_all_single,
        new_group=comm.new_group,
        get_rank=comm.get_rank,
        get_world_size=comm.get_world_size,
    )


class EachAlone:
    """Averages each parameter's part of a fused momentum by itself, with errors of its own."""

    def __init__(self, backend, counts):
        self.backend, self.size = backend, backend.size
        self.counts = counts
        self.errors = [(torch.zeros(n), torch.zeros(n // backend.size)) for n in counts]

    def compressed_allreduce(self, fused, worker_error, server_error, local_rank):
        at = 0
        for count, errors in zip(self.counts, self.errors, strict=True):
            part = fused.data[at : at + count]
            mean = self.backend.compressed_allreduce(part.clone(), *errors, local_rank)
            part.copy_(mean.reshape(count))
            at += count
        return fused


def make(named, s):
    groups = [
        dict(params=[p for _, p in named if p.ndim > 1], weight_decay=s["weight_decay"]),
        dict(params=[p for _, p in named if p.ndim < 2], weight_decay=0.0),
    ]
    engine = SimpleNamespace(mpu=None, local_rank=0, enable_backward_allreduce=True)
    common = dict(
        deepspeed=engine,
        lr=s["lr"],
        betas=(s["beta1"], s["beta2"]),
        eps=s["eps"],
        comm_backend_name="compressed",
    )
    from deepspeed.runtime.fp16.onebit.adam import OnebitAdam
    from deepspeed.runtime.fp16.onebit.lamb import OnebitLamb

    from deepspeed.runtime.fp16.onebit.zoadam import ZeroOneAdam

    if s["type"] == "ZeroOneAdam":
        keys = "var_update_scaler local_step_scaler local_step_clipper".split()
        freeze = s["var_freeze_step"] - 1
        return engine, ZeroOneAdam(
            groups, var_freeze_step=freeze, **{k: s[k] for k in keys}, **common
        )
    if s["type"] == "OneBitAdam":
        return engine, OnebitAdam(groups, freeze_step=s["freeze_step"] + 1, **common)
    keys = "max_coeff min_coeff coeff_beta factor_max factor_min factor_threshold".split()
    opt = OnebitLamb(
        groups, freeze_step=s["freeze_step"] + 1, **{k: s[k] for k in keys}, **common
    )
    counts = [p.numel() for g in groups for p in g["params"]]
    opt.comm_backend_handle = EachAlone(opt.comm_backend_handle, counts)
    return engine, opt


def run(rank, port, result):
    import deepspeed.comm as ds_comm

    # A kernel between the processes of a node, which DeepSpeed would compile.
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None

    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(RANKS),
        LOCAL_RANK=str(rank),
    )  # fmt: skip
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    ds_comm.init_distributed(dist_backend="gloo", auto_mpi_discovery=False)
    run_on_cpus()
    dist = torch.distributed
    here = Path(__file__).parent
    with h5py.File(here / "golden.h5") as golden:
        params = {}
        golden[CASE]["param"].visititems(
            lambda n, d: params.__setitem__(n.replace("/", "."), d[()])
            if isinstance(d, h5py.Dataset)
            else None
        )
        tokens = golden[CASE]["steps_tokens"][()]
    c = CASES[CASE]
    out = {}
    with AllDouble():
        for name, s in OPTIMIZERS.items():
            model = hf_model(c).to(torch.float64).eval()
            model.load_state_dict(to_hf(c, model, params), strict=False)
            named = [(n, p) for n, p in model.named_parameters() if FROZEN not in n]
            engine, opt = make(named, s)
            for _, p in named:
                p.grad = torch.zeros_like(p)
            opt.step()
            if s["type"] == "ZeroOneAdam":  # counts from here on
                for state in opt.state.values():
                    state["step"] = 0
            losses, norms = [], []
            for step in range(STEPS):
                mine = tokens[step]
                share = len(mine) // RANKS
                model.zero_grad(set_to_none=True)
                _, loss = loss_of(model, mine[rank * share : (rank + 1) * share])
                loss.backward()
                averaged = engine.enable_backward_allreduce
                if averaged:
                    for _, p in named:
                        dist.all_reduce(p.grad)
                        p.grad /= RANKS
                norm = torch.nn.utils.clip_grad_norm_([p for _, p in named], CLIP)
                both = torch.stack([loss.detach(), norm.detach() ** 2])
                dist.all_reduce(both)
                losses.append(both[0].item() / RANKS)
                norms.append((both[1].item() / RANKS) ** 0.5)
                opt.step()
            out[name] = (losses, norms)
    if rank == 0:
        torch.save(out, result)
    dist.barrier()


def main():
    here = Path(__file__).parent
    output = sys.argv[1] if len(sys.argv) > 1 else here / "compressed.h5"
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"
        mp.spawn(run, args=(29500 + os.getpid() % 1000, result), nprocs=RANKS)
        out = torch.load(result, weights_only=False)
    with h5py.File(output, "w") as file:
        file.attrs["case"] = np.bytes_(CASE)
        file.attrs["made_with"] = np.bytes_(
            ", ".join(f"{name} {version(name)}" for name in ("torch", "deepspeed"))
        )
        for name, settings in OPTIMIZERS.items():
            losses, norms = out[name]
            assert losses[-1] < losses[0], (name, losses)
            g = file.create_group(name)
            for key, value in settings.items():
                g.attrs[key] = np.bytes_(value) if isinstance(value, str) else float(value)
            g["losses"], g["norms"] = losses, norms
            print(name, *(f"{x:.4f}" for x in losses), *(f"{x:.3f}" for x in norms))


if __name__ == "__main__":
    main()
