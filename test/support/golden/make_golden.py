#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes golden.h5: reference values for Trireme's tests. Hugging Face transformers runs small
# transformers with random weights on PyTorch's CPU backend. The values are logits, loss, every
# gradient and ten AdamW steps.
#
# Needs: Python >= 3.9, numpy, h5py, PyTorch (>= 1.13, a CPU build is enough) and transformers
# with GPT-NeoX and Llama, e.g.
#     python3 -m venv venv && venv/bin/pip install torch transformers h5py numpy
# Usage: make_golden.py [OUTPUT]      (default: golden.h5 beside this file)
#
# Layout: one group per case. The root's attribute made_with names the versions. A group's
# attributes are the model in Trireme's deck keys (integers int64, reals float64, texts fixed-
# length ASCII). Its datasets:
#     tokens          int32 [batch, seq+1]      first step: inputs are [:, :-1], targets [:, 1:]
#     steps_tokens    int32 [10, batch, seq+1]  ten steps; steps_tokens[0] is tokens
#     param/NAME      float32                   initial value, Trireme's name and packing
#     grad/NAME       float32                   gradient of the loss, from float64
#     logits          float32 [batch, seq, vocab]   from the float32 model
#     loss, loss64    scalars                   mean cross-entropy, of either model
#     adamw_losses, adamw_losses64   float64 [10]   loss before each AdamW update
#     adamw_grad_norms64             float64 [10]   global gradient norm before clipping
# adamw_losses carries the optimizer's settings as attributes. Weight decay falls on matrices
# alone (embeddings included). Clipping multiplies the gradients by min(1, clip / (norm +
# 1e-6)).
#
# Some gradients are zero in exact arithmetic, so compare with an absolute tolerance beside the
# relative one: the bias of the entries of k that are not rotated (softmax does not see it), and
# embedding rows of tokens that do not occur.
#
# Float64 runs are float64 throughout: Hugging Face's own casts to float32 (rotary tables,
# RMSNorm, softmax) are lifted. Before anything is written, every case is checked against a
# numpy forward that shares no code with Hugging Face and follows Trireme's conventions
# directly: logits, and every gradient by a central difference along a random direction.
import inspect
import math
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from torch.overrides import TorchFunctionMode
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

STEPS = 10
ADAMW = dict(lr=1e-3, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1, clip=1.0)


def neox(**kw):
    return dict(
        dict(
            norm="layernorm",
            layernorm_epsilon=1e-5,
            pos_emb="rotary",
            rotary_emb_base=10000,
            gpt_j_residual=1,
            no_weight_tying=1,
            activation="gelu",
            bias_gelu_fusion=0,
            use_bias=1,
        ),
        **kw,
    )


CASES = {
    "neox_parallel_r025": neox(
        num_layers=2,
        hidden_size=32,
        num_attention_heads=4,
        num_kv_heads=4,
        intermediate_size=128,
        vocab_size=61,
        seq_length=16,
        batch=2,
        rotary_pct=0.25,
    ),
    "neox_sequential_r100": neox(
        num_layers=3,
        hidden_size=48,
        num_attention_heads=4,
        num_kv_heads=4,
        intermediate_size=192,
        vocab_size=97,
        seq_length=19,
        batch=3,
        rotary_pct=1.0,
        gpt_j_residual=0,
    ),
    "neox_tied_tanh": neox(
        num_layers=2,
        hidden_size=48,
        num_attention_heads=4,
        num_kv_heads=4,
        intermediate_size=144,
        vocab_size=64,
        seq_length=12,
        batch=4,
        rotary_pct=0.5,
        no_weight_tying=0,
        bias_gelu_fusion=1,
        rotary_emb_base=5000,
    ),
    "llama_gqa": dict(
        num_layers=2,
        hidden_size=32,
        num_attention_heads=4,
        num_kv_heads=2,
        intermediate_size=2 * 88,
        vocab_size=61,
        seq_length=16,
        batch=2,
        norm="rmsnorm",
        rms_norm_epsilon=1e-6,
        pos_emb="rotary",
        rotary_pct=1.0,
        rotary_emb_base=10000,
        gpt_j_residual=0,
        no_weight_tying=1,
        activation="swiglu",
        bias_gelu_fusion=0,
        use_bias=0,
    ),
}


# ---------- parameters and tokens
def shapes(c):
    """Trireme's parameter names and shapes, in order."""
    h, v, d = c["hidden_size"], c["vocab_size"], c["hidden_size"] // c["num_attention_heads"]
    gated = c["activation"] == "swiglu"
    inner = c["intermediate_size"] // (2 if gated else 1)
    matrices = {
        "attention.query_key_value": (
            (c["num_attention_heads"] + 2 * c["num_kv_heads"]) * d,
            h,
        ),
        "attention.dense": (h, h),
    }
    if gated:
        matrices.update(
            {
                "mlp.gate_proj": (inner, h),
                "mlp.up_proj": (inner, h),
                "mlp.down_proj": (h, inner),
            }
        )
    else:
        matrices.update({"mlp.dense_h_to_4h": (inner, h), "mlp.dense_4h_to_h": (h, inner)})
    out = {"embed_in.weight": (v, h)}

    def add(name, shape, bias):
        out[name + ".weight"] = shape
        if bias:
            out[name + ".bias"] = shape[:1]

    for i in range(c["num_layers"]):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            add(f"layers.{i}.{norm}", (h,), c["norm"] == "layernorm")
        for name, shape in matrices.items():
            add(f"layers.{i}.{name}", shape, c["use_bias"])
    add("final_layer_norm", (h,), c["norm"] == "layernorm")
    if c["no_weight_tying"]:
        out["embed_out.weight"] = (v, h)
    return out


def make_params(c, rng):
    out = {}
    for name, shape in shapes(c).items():
        if name == "embed_in.weight":
            std = 0.5 if c["no_weight_tying"] else 0.3
        elif "norm" in name or name.endswith(".bias"):
            std = 0.1
        else:
            std = 0.2 if "query_key_value" in name or "embed_out" in name else 0.15
        mean = 1.0 if "norm" in name and name.endswith(".weight") else 0.0
        out[name] = rng.normal(mean, std, shape).astype(np.float32)
    return out


def make_tokens(c, rng):
    """Noisy affine walks through the vocabulary; later steps redraw one token in twenty."""
    v = c["vocab_size"]
    t = np.empty((STEPS, c["batch"], c["seq_length"] + 1), np.int32)
    t[..., 0] = rng.integers(0, v, t.shape[:2])
    for j in range(1, t.shape[2]):
        t[..., j] = np.where(
            rng.random(t.shape[:2]) < 0.85,
            (3 * t[..., j - 1] + 1) % v,
            rng.integers(0, v, t.shape[:2]),
        )
    keep = rng.random(t.shape) < 0.95
    return np.where(keep, t[0], t)


# ---------- Hugging Face side
class AllDouble(TorchFunctionMode):
    """While active, requests for float32 get float64 from torch."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        swap = {torch.float32: torch.float64}
        args = [swap.get(a, a) if isinstance(a, torch.dtype) else a for a in args]
        kwargs = {
            k: swap.get(a, a) if isinstance(a, torch.dtype) else a
            for k, a in (kwargs or {}).items()
        }
        return func(*args, **kwargs)


def hf_model(c):
    """The model as transformers builds it. Argument names differ between versions."""
    llama = c["norm"] == "rmsnorm"
    cls = LlamaConfig if llama else GPTNeoXConfig
    kw = dict(
        hidden_size=c["hidden_size"],
        num_hidden_layers=c["num_layers"],
        vocab_size=c["vocab_size"],
        num_attention_heads=c["num_attention_heads"],
        max_position_embeddings=64,
        tie_word_embeddings=not c["no_weight_tying"],
        attn_implementation="eager",
        use_cache=False,
    )
    if llama:
        kw.update(
            num_key_value_heads=c["num_kv_heads"],
            intermediate_size=c["intermediate_size"] // 2,
            rms_norm_eps=c["rms_norm_epsilon"],
            hidden_act="silu",
            attention_bias=False,
        )
    else:
        kw.update(
            intermediate_size=c["intermediate_size"],
            layer_norm_eps=c["layernorm_epsilon"],
            hidden_act="gelu_new" if c["bias_gelu_fusion"] else "gelu",
            use_parallel_residual=bool(c["gpt_j_residual"]),
            attention_dropout=0.0,
            hidden_dropout=0.0,
        )
    if "rope_parameters" in inspect.signature(cls).parameters:
        kw["rope_parameters"] = dict(
            rope_type="default",
            rope_theta=float(c["rotary_emb_base"]),
            partial_rotary_factor=c["rotary_pct"],
        )
    elif llama:
        kw.update(rope_theta=float(c["rotary_emb_base"]))
    else:
        kw.update(rotary_pct=c["rotary_pct"], rotary_emb_base=c["rotary_emb_base"])
    return (LlamaForCausalLM if llama else GPTNeoXForCausalLM)(cls(**kw))


def qkv_rows(c):
    """Rows of q, k and v in Trireme's packed matrix, in Hugging Face's order."""
    d = c["hidden_size"] // c["num_attention_heads"]
    rep = c["num_attention_heads"] // c["num_kv_heads"]
    rows = np.arange(c["num_kv_heads"] * (rep + 2) * d).reshape(c["num_kv_heads"], rep + 2, d)
    return [
        torch.from_numpy(r.reshape(-1)) for r in (rows[:, :rep], rows[:, rep], rows[:, rep + 1])
    ]


def hf_names(c, model, name):
    """Hugging Face's names of a parameter: three for Llama's q, k and v."""
    if name == "embed_out.weight":  # newer versions name GPT-NeoX's lm_head
        return ["embed_out.weight" if hasattr(model, "embed_out") else "lm_head.weight"]
    if c["norm"] == "layernorm":
        return ["gpt_neox." + name]
    if "query_key_value" in name:
        return [
            "model." + name.replace("attention.query_key_value", f"self_attn.{x}_proj")
            for x in "qkv"
        ]
    for ours, theirs in (
        ("embed_in", "embed_tokens"),
        ("final_layer_norm", "norm"),
        ("attention.dense", "self_attn.o_proj"),
    ):
        name = name.replace(ours, theirs)
    return ["model." + name]


def to_hf(c, model, params):
    """Converts Trireme's names and packing to Hugging Face's state dict."""
    out = {}
    for name, v in params.items():
        theirs, v = hf_names(c, model, name), torch.from_numpy(v)
        out.update(
            {n: v[rows] for n, rows in zip(theirs, qkv_rows(c))}
            if len(theirs) == 3
            else {theirs[0]: v}
        )
    if not c["no_weight_tying"]:
        out[hf_names(c, model, "embed_out.weight")[0]] = torch.from_numpy(
            params["embed_in.weight"]
        )
    return out


def from_hf(c, model, tensors):
    """The inverse of to_hf, for gradients."""
    out = {}
    for name, shape in shapes(c).items():
        parts = [tensors[n].numpy() for n in hf_names(c, model, name)]
        out[name] = parts[0]
        if len(parts) == 3:
            out[name] = np.empty(shape, parts[0].dtype)
            for part, rows in zip(parts, qkv_rows(c)):
                out[name][rows] = part
    return out


def loss_of(model, tokens):
    t = torch.from_numpy(tokens).long()
    logits = model(input_ids=t[:, :-1]).logits
    logp = F.log_softmax(logits, dim=-1)
    return logits, -logp.gather(2, t[:, 1:, None]).mean()


def run_hf(c, params, steps_tokens):
    """Logits, loss and gradients of the first batch, then the AdamW steps."""
    model = hf_model(c).to(torch.get_default_dtype()).eval()
    missing, unexpected = model.load_state_dict(to_hf(c, model, params), strict=False)
    assert not missing and not unexpected, (missing, unexpected)
    assert model.config._attn_implementation == "eager"
    named = dict(model.named_parameters())
    assert sum(p.numel() for p in named.values()) == sum(v.size for v in params.values())

    matrices = [p for p in named.values() if p.ndim >= 2]
    vectors = [p for p in named.values() if p.ndim < 2]
    opt = torch.optim.AdamW(
        [
            dict(params=matrices, weight_decay=ADAMW["weight_decay"]),
            dict(params=vectors, weight_decay=0.0),
        ],
        lr=ADAMW["lr"],
        betas=(ADAMW["beta1"], ADAMW["beta2"]),
        eps=ADAMW["eps"],
    )
    r = dict(losses=[], norms=[])
    for step, tokens in enumerate(steps_tokens):
        opt.zero_grad(set_to_none=True)
        logits, loss = loss_of(model, tokens)
        loss.backward()
        if step == 0:
            r["logits"], r["loss"] = (
                logits.detach().numpy().copy(),
                loss.detach().numpy().copy(),
            )
            r["grads"] = from_hf(c, model, {k: p.grad.clone() for k, p in named.items()})
        r["losses"].append(loss.item())
        r["norms"].append(
            torch.nn.utils.clip_grad_norm_(list(named.values()), ADAMW["clip"]).item()
        )
        opt.step()
    return r


# ---------- the conventions, in numpy
def np_forward(c, p, tokens):
    """Logits and loss in float64, from Trireme's parameters, as its conventions define them."""
    f64 = {k: v.astype(np.float64) for k, v in p.items()}
    heads, kv, h = c["num_attention_heads"], c["num_kv_heads"], c["hidden_size"]
    d, rep, seq = h // heads, heads // kv, c["seq_length"]
    rot = int(d * c["rotary_pct"])
    angle = np.arange(seq)[:, None] / c["rotary_emb_base"] ** (2 * np.arange(rot // 2) / rot)
    cos, sin = np.cos(angle), np.sin(angle)

    def linear(x, name):
        return x @ f64[name + ".weight"].T + f64.get(name + ".bias", 0.0)

    def norm(x, name):
        if c["norm"] == "layernorm":
            x = x - x.mean(-1, keepdims=True)
        eps = c["layernorm_epsilon"] if c["norm"] == "layernorm" else c["rms_norm_epsilon"]
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return x * f64[name + ".weight"] + f64.get(name + ".bias", 0.0)

    def rotate(x):  # [batch, seq, d]
        a, b = x[..., : rot // 2], x[..., rot // 2 : rot]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., rot:]], -1)

    def softmax(s):
        e = np.exp(s - s.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def attention(x, name):
        qkv, outs = linear(x, name + ".query_key_value"), []
        for g in range(kv):  # per kv head: its query heads, then its k, then its v
            block = qkv[..., g * (rep + 2) * d : (g + 1) * (rep + 2) * d]
            k, v = rotate(block[..., rep * d : (rep + 1) * d]), block[..., (rep + 1) * d :]
            for j in range(rep):
                s = (
                    rotate(block[..., j * d : (j + 1) * d])
                    @ k.transpose(0, 2, 1)
                    / math.sqrt(d)
                )
                outs.append(softmax(np.where(np.tri(seq, dtype=bool), s, -np.inf)) @ v)
        return linear(np.concatenate(outs, -1), name + ".dense")

    def mlp(x, name):
        if c["activation"] == "swiglu":
            g = linear(x, name + ".gate_proj")
            return linear(
                g / (1 + np.exp(-g)) * linear(x, name + ".up_proj"), name + ".down_proj"
            )
        u = linear(x, name + ".dense_h_to_4h")
        if c["bias_gelu_fusion"]:
            u = 0.5 * u * (1 + np.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
        else:
            u = 0.5 * u * (1 + np.vectorize(math.erf)(u / math.sqrt(2)))
        return linear(u, name + ".dense_4h_to_h")

    x = f64["embed_in.weight"][tokens[:, :-1]]
    for i in range(c["num_layers"]):
        n = f"layers.{i}."
        a = attention(norm(x, n + "input_layernorm"), n + "attention")
        if c["gpt_j_residual"]:
            x = x + a + mlp(norm(x, n + "post_attention_layernorm"), n + "mlp")
        else:
            x = x + a
            x = x + mlp(norm(x, n + "post_attention_layernorm"), n + "mlp")
    logits = norm(x, "final_layer_norm") @ f64.get("embed_out.weight", f64["embed_in.weight"]).T
    m = logits.max(-1, keepdims=True)
    logp = logits - m - np.log(np.exp(logits - m).sum(-1, keepdims=True))
    return logits, -np.take_along_axis(logp, tokens[:, 1:, None].astype(np.int64), -1).mean()


def check(c, params, tokens, r32, r64, rng):
    """Largest errors of logits and float64 gradients against the numpy forward."""
    logits, loss = np_forward(c, params, tokens)
    rel = lambda a, b: float(np.abs(a - b).max() / np.abs(b).max())
    e = dict(
        logits32=rel(r32["logits"], logits),
        logits64=rel(r64["logits"], logits),
        loss64=rel(r64["loss"], loss),
    )
    worst, scale = 0.0, max(np.linalg.norm(g) for g in r64["grads"].values())
    for name, g in r64["grads"].items():
        # The gradient's direction plus noise reveals a wrong length or permutation.
        u, n = g / np.linalg.norm(g), rng.normal(size=g.shape)
        direction, step = u + n / np.linalg.norm(n), 1e-4
        up, down = (
            {**params, name: params[name].astype(np.float64) + s * step * direction}
            for s in (1, -1)
        )
        diff = (np_forward(c, up, tokens)[1] - np_forward(c, down, tokens)[1]) / (2 * step)
        worst = max(worst, abs(diff - (g * direction).sum()) / max(abs(diff), 1e-3 * scale))
    e["gradients64"] = worst
    assert (
        e["logits32"] < 1e-6 and e["logits64"] < 1e-12 and e["loss64"] < 1e-12 and worst < 1e-5
    ), e
    return e


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("golden.h5")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"numpy {np.__version__}, "
        f"h5py {h5py.__version__}"
    )
    with h5py.File(out, "w") as f:
        f.attrs["made_with"] = np.bytes_(
            f"torch {torch.__version__}, transformers {transformers.__version__}"
        )
        for index, (case, c) in enumerate(CASES.items()):
            rng = np.random.default_rng([20240229, index])
            params, steps_tokens = make_params(c, rng), make_tokens(c, rng)
            r32 = run_hf(c, params, steps_tokens)
            torch.set_default_dtype(torch.float64)
            with AllDouble():
                r64 = run_hf(c, params, steps_tokens)
            torch.set_default_dtype(torch.float32)
            assert r32["logits"].dtype == np.float32 and r64["logits"].dtype == np.float64
            e = check(c, params, steps_tokens[0], r32, r64, rng)

            g = f.create_group(case)
            for k, v in c.items():
                g.attrs[k] = (
                    np.bytes_(v)
                    if isinstance(v, str)
                    else np.int64(v) if isinstance(v, int) else np.float64(v)
                )
            put = lambda name, data: g.create_dataset(
                name, data=data, compression="gzip", track_times=False
            )
            put("tokens", steps_tokens[0])
            put("steps_tokens", steps_tokens)
            for k, v in params.items():
                put("param/" + k, v)
                put("grad/" + k, r64["grads"][k].astype(np.float32))
            put("logits", r32["logits"])
            g["loss"], g["loss64"] = np.float32(r32["loss"]), np.float64(r64["loss"])
            put("adamw_losses", np.array(r32["losses"], np.float64))
            g["adamw_losses"].attrs.update({k: np.float64(v) for k, v in ADAMW.items()})
            put("adamw_losses64", np.array(r64["losses"], np.float64))
            put("adamw_grad_norms64", np.array(r64["norms"], np.float64))

            print(
                f"{case}: {sum(v.size for v in params.values())} parameters, "
                f"loss {float(r32['loss']):.7f}, "
                f"loss64 {float(r64['loss']):.12f}"
            )
            print("  errors against numpy: " + ", ".join(f"{k} {v:.1e}" for k, v in e.items()))
            print("  adamw_losses64: " + " ".join(f"{x:.4f}" for x in r64["losses"]))
            print("  norms:          " + " ".join(f"{x:.4f}" for x in r64["norms"]))
            print(
                f"  adamw 32 - 64: {np.abs(np.array(r32['losses']) - r64['losses']).max():.1e}"
            )
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
