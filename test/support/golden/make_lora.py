#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes lora.h5: losses and gradients of low-rank adapters as PEFT computes them, on small
# models of Hugging Face transformers with random weights.
#
# Needs what make_golden.py needs, and peft.
# Usage: make_lora.py [OUTPUT]      (default: lora.h5 beside this file)
#
# Layout: as golden.h5, without the AdamW steps. A group's attributes also hold lora_rank,
# lora_alpha, lora_rslora and lora_targets. param/NAME also holds the adapters, named
# MATRIX.lora_A.weight and MATRIX.lora_B.weight. grad/ holds the adapters' gradients alone.
import sys
from pathlib import Path

import h5py
import numpy as np
import peft
import torch
import transformers
from make_golden import (
    CASES,
    AllDouble,
    hf_model,
    hf_names,
    loss_of,
    make_params,
    make_tokens,
    to_hf,
)

LORA = {
    "neox_parallel_r025": dict(
        lora_rank=3,
        lora_alpha=5.0,
        lora_rslora=0,
        lora_targets="query_key_value dense dense_h_to_4h dense_4h_to_h",
    ),
    # Hugging Face's q, k and v of Llama are apart, and would have three adapters.
    "llama_gqa": dict(
        lora_rank=2,
        lora_alpha=3.0,
        lora_rslora=1,
        lora_targets="dense gate_proj up_proj down_proj",
    ),
}


def adapted(c, lora):
    """The matrices that have adapters, by Trireme's names."""
    gated = c["activation"] == "swiglu"
    mlp = ["gate_proj", "up_proj", "down_proj"] if gated else ["dense_h_to_4h", "dense_4h_to_h"]
    names = ["attention.query_key_value", "attention.dense"] + ["mlp." + m for m in mlp]
    wanted = lora["lora_targets"].split()
    return [
        f"layers.{i}.{name}"
        for i in range(c["num_layers"])
        for name in names
        if name.split(".")[1] in wanted
    ]


def run_peft(c, lora, params, tokens):
    """Logits, loss and gradients of adapters; `params` receives the adapters' values."""
    model = hf_model(c).to(torch.get_default_dtype()).eval()
    missing, unexpected = model.load_state_dict(to_hf(c, model, params), strict=False)
    assert not unexpected and not [m for m in missing if "lora" not in m], (missing, unexpected)
    targets = {
        hf_names(c, model, m + ".weight")[0].removesuffix(".weight"): m
        for m in adapted(c, lora)
    }
    config = peft.LoraConfig(
        r=lora["lora_rank"],
        lora_alpha=lora["lora_alpha"],
        use_rslora=bool(lora["lora_rslora"]),
        target_modules=list(targets),
        lora_dropout=0.0,
        bias="none",
    )
    wrapped = peft.get_peft_model(model, config, autocast_adapter_dtype=False).eval()
    ours = {}
    for name, p in wrapped.named_parameters():
        if not p.requires_grad:
            continue
        matrix, which, _, _ = name.removeprefix("base_model.model.").rsplit(".", 3)
        ours[f"{targets[matrix]}.{which}.weight"] = p
    rng = np.random.default_rng(len(ours))
    with torch.no_grad():
        for name in sorted(ours):
            values = rng.normal(0, 0.3, tuple(ours[name].shape)).astype(np.float32)
            params[name] = values
            ours[name].copy_(torch.from_numpy(values))
    logits, loss = loss_of(wrapped, tokens)
    loss.backward()
    return dict(
        logits=logits.detach().numpy(),
        loss=loss.item(),
        grads={k: p.grad.numpy() for k, p in ours.items()},
    )


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("lora.h5")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    with h5py.File(out, "w") as f:
        f.attrs["made_with"] = np.bytes_(
            f"torch {torch.__version__}, transformers {transformers.__version__}, "
            f"peft {peft.__version__}"
        )
        for index, (case, lora) in enumerate(LORA.items()):
            c = CASES[case]
            rng = np.random.default_rng([20240301, index])
            params, steps_tokens = make_params(c, rng), make_tokens(c, rng)[:1]
            torch.set_default_dtype(torch.float64)
            with AllDouble():
                r = run_peft(c, lora, params, steps_tokens[0])
            torch.set_default_dtype(torch.float32)
            assert r["logits"].dtype == np.float64
            g = f.create_group(case)
            for k, v in {**c, **lora}.items():
                g.attrs[k] = (
                    np.bytes_(v)
                    if isinstance(v, str)
                    else np.int64(v) if isinstance(v, int) else np.float64(v)
                )

            def put(name, data):
                g.create_dataset(name, data=data, compression="gzip", track_times=False)

            put("steps_tokens", steps_tokens)
            for k, v in params.items():
                put("param/" + k, v)
            for k, v in r["grads"].items():
                put("grad/" + k, v.astype(np.float32))
            put("logits", r["logits"].astype(np.float32))
            g["loss64"] = np.float64(r["loss"])
            print(f"{case}: {len(r['grads'])} adapter matrices, loss {r['loss']:.9f}")
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
