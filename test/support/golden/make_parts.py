#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes parts.h5: reference values for the parts of Hugging Face's families. Small models with
# random weights compute logits, loss and every gradient on PyTorch's CPU backend.
#
# Needs what make_golden.py needs, with a transformers that has the families below.
# Usage: make_parts.py [OUTPUT]      (default: parts.h5 beside this file)
#
# Layout: that of golden.h5, with one step and without AdamW. A group's attributes are fields of
# ModelConfig. Weights are multiples of 1/256, which compress well.
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
import transformers as hf

from make_golden import AllDouble, loss_of


def usual(**kw):
    """The fields of ModelConfig that a case does not set."""
    fields = dict(
        num_layers=2,
        hidden_size=24,
        num_attention_heads=3,
        num_kv_heads=3,
        kv_channels=0,
        seq_length=13,
        vocab_size=37,
        inner=20,
        norm="rmsnorm",
        norm_epsilon=1e-5,
        norm_placement="before",
        layernorm_1p=0,
        qk_norm="none",
        pos_emb="rotary",
        rotary_pct=1.0,
        rotary_emb_base=10000.0,
        rotary_emb_local_base=0.0,
        sliding_window_width=0,
        sliding_window_pattern=0,
        attention_scale=0.0,
        attention_logit_softcap=0.0,
        output_logit_softcap=0.0,
        embedding_scale=1.0,
        activation="swiglu",
        gpt_j_residual=0,
        no_weight_tying=1,
        use_bias_in_norms=0,
        use_bias_in_attn_linear=0,
        use_bias_in_qkv=0,
        use_bias_in_output=0,
        use_bias_in_mlp=0,
        rope_type="none",
        rope_factor=1.0,
        rope_original=0,
        rope_low=1.0,
        rope_high=4.0,
    )
    assert set(kw) <= set(fields), set(kw) - set(fields)
    return {**fields, **kw}


def rope(theta=10000.0, kind="default", **kw):
    return dict(rope_type=kind, rope_theta=theta, **kw)


# name: (configuration class, its arguments beyond those of common(), fields)
CASES = {
    "mistral": (
        hf.MistralConfig,
        dict(sliding_window=5, head_dim=10, num_key_value_heads=1),
        usual(kv_channels=10, num_kv_heads=1, sliding_window_width=5),
    ),
    "qwen2": (
        hf.Qwen2Config,
        dict(num_key_value_heads=2, num_attention_heads=4, tie_word_embeddings=True),
        usual(num_attention_heads=4, num_kv_heads=2, use_bias_in_qkv=1, no_weight_tying=0),
    ),
    "qwen3": (
        hf.Qwen3Config,
        dict(num_key_value_heads=1, head_dim=12),
        usual(kv_channels=12, num_kv_heads=1, qk_norm="head"),
    ),
    "llama_llama3": (
        hf.LlamaConfig,
        dict(
            num_key_value_heads=3,
            rope_parameters=rope(
                kind="llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            ),
        ),
        usual(rope_type="llama3", rope_factor=8.0, rope_original=32),
    ),
    "llama_yarn": (
        hf.LlamaConfig,
        dict(
            num_key_value_heads=1,
            head_dim=16,
            rope_parameters=rope(
                kind="yarn", factor=4.0, original_max_position_embeddings=64
            ),
        ),
        usual(
            num_kv_heads=1,
            kv_channels=16,
            rope_type="yarn",
            rope_factor=4.0,
            rope_original=64,
        ),
    ),
    "llama_dynamic": (
        hf.LlamaConfig,
        dict(
            num_key_value_heads=3,
            max_position_embeddings=8,
            rope_parameters=rope(kind="dynamic", factor=2.0),
        ),
        usual(rope_type="dynamic", rope_factor=2.0, rope_original=8),
    ),
    "llama_linear": (
        hf.LlamaConfig,
        dict(num_key_value_heads=3, rope_parameters=rope(kind="linear", factor=2.5)),
        usual(rope_type="linear", rope_factor=2.5),
    ),
    "olmo2": (
        hf.Olmo2Config,
        dict(num_attention_heads=4, num_key_value_heads=2),
        usual(
            num_attention_heads=4, num_kv_heads=2, norm_placement="after", qk_norm="row"
        ),
    ),
    "phi": (
        hf.PhiConfig,
        dict(
            hidden_size=30,
            qk_layernorm=True,
            rope_parameters=rope(partial_rotary_factor=0.4),
            hidden_act="gelu_new",
            layer_norm_eps=1e-5,
            resid_pdrop=0.0,
        ),
        usual(
            hidden_size=30,
            norm="layernorm",
            qk_norm="head",
            rotary_pct=0.4,
            activation="gelu_tanh",
            gpt_j_residual=2,
            use_bias_in_norms=1,
            use_bias_in_attn_linear=1,
            use_bias_in_qkv=1,
            use_bias_in_output=1,
            use_bias_in_mlp=1,
        ),
    ),
    "gemma2": (
        hf.Gemma2Config,
        dict(
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=10,
            sliding_window=5,
            query_pre_attn_scalar=14,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=3.0,
            tie_word_embeddings=True,
        ),
        usual(
            num_attention_heads=4,
            num_kv_heads=2,
            kv_channels=10,
            norm_placement="both",
            layernorm_1p=1,
            sliding_window_width=5,
            sliding_window_pattern=2,
            attention_scale=14**-0.5,
            attention_logit_softcap=2.0,
            output_logit_softcap=3.0,
            embedding_scale=24**0.5,
            activation="geglu_tanh",
            no_weight_tying=0,
        ),
    ),
    "gemma3": (
        hf.Gemma3TextConfig,
        dict(
            num_hidden_layers=3,
            num_key_value_heads=1,
            head_dim=10,
            sliding_window=4,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            query_pre_attn_scalar=12,
            rope_parameters=dict(
                sliding_attention=rope(100.0),
                full_attention=rope(5000.0, "linear", factor=2.0),
            ),
            tie_word_embeddings=True,
        ),
        usual(
            num_layers=3,
            num_kv_heads=1,
            kv_channels=10,
            norm_placement="both",
            layernorm_1p=1,
            qk_norm="head",
            rotary_emb_base=5000.0,
            rotary_emb_local_base=100.0,
            rope_type="linear",
            rope_factor=2.0,
            sliding_window_width=4,
            sliding_window_pattern=3,
            attention_scale=12**-0.5,
            embedding_scale=24**0.5,
            activation="geglu_tanh",
            no_weight_tying=0,
        ),
    ),
    "mpt": (
        hf.MptConfig,
        dict(tie_word_embeddings=True),
        usual(
            inner=96,
            norm="layernorm",
            pos_emb="alibi",
            activation="gelu",
            no_weight_tying=0,
        ),
    ),
}


def model_of(config_class, kw, fields):
    if config_class is hf.MptConfig:
        config = hf.MptConfig(
            d_model=fields["hidden_size"],
            n_heads=fields["num_attention_heads"],
            n_layers=fields["num_layers"],
            vocab_size=fields["vocab_size"],
            max_seq_len=64,
            **kw,
        )
    else:
        common = dict(
            hidden_size=fields["hidden_size"],
            num_hidden_layers=fields["num_layers"],
            num_attention_heads=fields["num_attention_heads"],
            vocab_size=fields["vocab_size"],
            intermediate_size=fields["inner"],
            max_position_embeddings=64,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
            pad_token_id=None,  # else its embedding would have no gradient
        )
        if config_class is hf.PhiConfig:
            del common["rms_norm_eps"]
        if "rope_parameters" not in kw:
            common["rope_parameters"] = rope(fields["rotary_emb_base"])
        config = config_class(
            **{**common, "use_cache": False, "attn_implementation": "eager", **kw}
        )
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


# Our names within a layer, and what Hugging Face's families call them.
SYNONYMS = {
    "attention.dense": ["self_attn.o_proj", "self_attn.dense", "attn.out_proj"],
    "attention.q_norm": ["self_attn.q_norm", "self_attn.q_layernorm"],
    "attention.k_norm": ["self_attn.k_norm", "self_attn.k_layernorm"],
    "mlp.gate_proj": ["mlp.gate_proj"],
    "mlp.up_proj": ["mlp.up_proj"],
    "mlp.down_proj": ["mlp.down_proj"],
    "mlp.dense_h_to_4h": ["mlp.fc1", "ffn.up_proj"],
    "mlp.dense_4h_to_h": ["mlp.fc2", "ffn.down_proj"],
}
NORMS = {
    "before": {
        "input_layernorm": ["input_layernorm", "norm_1"],
        "post_attention_layernorm": ["post_attention_layernorm", "norm_2"],
    },
    "after": {
        "post_attention_output_norm": ["post_attention_layernorm"],
        "post_mlp_output_norm": ["post_feedforward_layernorm"],
    },
    "both": {
        "input_layernorm": ["input_layernorm"],
        "post_attention_output_norm": ["post_attention_layernorm"],
        "post_attention_layernorm": ["pre_feedforward_layernorm"],
        "post_mlp_output_norm": ["post_feedforward_layernorm"],
    },
}
ENDS = {
    "embed_in": ["model.embed_tokens", "transformer.wte"],
    "final_layer_norm": ["model.norm", "model.final_layernorm", "transformer.norm_f"],
    "embed_out": ["lm_head"],
}


def packed(fields, q, k, v):
    """Rows of q, k and v by groups: query heads, key, value."""
    kv, heads = fields["num_kv_heads"], fields["num_attention_heads"]
    dim = fields["kv_channels"] or fields["hidden_size"] // heads
    rest = q.shape[1:]
    parts = [
        x.reshape(kv, n, dim, *rest) for x, n in ((q, heads // kv), (k, 1), (v, 1))
    ]
    return np.concatenate(parts, 1).reshape(-1, *rest)


def ours(fields, theirs):
    """Our names and packing for Hugging Face's arrays: values or gradients."""
    out, left = {}, dict(theirs)

    def take(name, candidates, prefix=""):
        for part in (".weight", ".bias"):
            for c in candidates:
                if prefix + c + part in left:
                    out[name + part] = left.pop(prefix + c + part)

    for name, candidates in ENDS.items():
        take(name, candidates)
    for i in range(fields["num_layers"]):
        layer = f"layers.{i}."
        prefix = next(
            p for p in (f"model.layers.{i}.", f"transformer.blocks.{i}.")
            if any(n.startswith(p) for n in theirs)
        )
        for name, candidates in {**NORMS[fields["norm_placement"]], **SYNONYMS}.items():
            take(layer + name, candidates, prefix)
        for part in (".weight", ".bias"):
            names = [f"{prefix}self_attn.{x}_proj{part}" for x in "qkv"]
            if names[0] in left:
                rows = [left.pop(n) for n in names]
            elif prefix + "attn.Wqkv" + part in left:
                rows = np.split(left.pop(prefix + "attn.Wqkv" + part), 3)
            else:
                continue
            out[f"{layer}attention.query_key_value{part}"] = packed(fields, *rows)
    assert not left, list(left)
    return out


def run(model, tokens):
    model.zero_grad(set_to_none=True)
    logits, loss = loss_of(model, tokens)
    loss.backward()
    grads = {n: p.grad.numpy().copy() for n, p in model.named_parameters()}
    return logits.detach().numpy().copy(), loss.item(), grads


def randomize(model, fields, rng):
    with torch.no_grad():
        for name, p in model.named_parameters():
            is_norm = "norm" in name
            std = 0.15 if is_norm or p.ndim == 1 else 0.25
            from_one = is_norm and name.endswith("weight") and not fields["layernorm_1p"]
            mean = 1.0 if from_one else 0.0
            values = rng.normal(mean, std, tuple(p.shape))
            p.copy_(torch.from_numpy(np.round(values * 256) / 256))


def put(group, name, data):
    large = dict(compression="gzip", compression_opts=9, shuffle=True)
    group.create_dataset(
        name, data=data, track_times=False, **(large if data.size > 1000 else {})
    )


def attribute(v):
    if isinstance(v, str):
        return np.bytes_(v)
    return np.int64(v) if isinstance(v, int) else np.float64(v)


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("parts.h5")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    hf.logging.set_verbosity_error()
    with h5py.File(out, "w", libver=("v110", "v110")) as f:
        f.attrs["made_with"] = np.bytes_(
            f"torch {torch.__version__}, transformers {hf.__version__}"
        )
        for index, (case, (config_class, kw, fields)) in enumerate(CASES.items()):
            rng = np.random.default_rng([20261130, index])
            model = model_of(config_class, kw, fields)
            randomize(model, fields, rng)
            batch = 2
            tokens = rng.integers(
                0, fields["vocab_size"], (1, batch, fields["seq_length"] + 1), np.int32
            )
            values = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
            logits, loss, _ = run(model, tokens[0])
            torch.set_default_dtype(torch.float64)
            with AllDouble():
                double = model_of(config_class, kw, fields).double()
                double.load_state_dict(
                    {k: v.double() for k, v in model.state_dict().items()}
                )
                logits64, loss64, grads = run(double, tokens[0])
            torch.set_default_dtype(torch.float32)
            assert logits64.dtype == np.float64
            error = np.abs(logits - logits64).max() / np.abs(logits64).max()
            assert error < 2e-6, error

            g = f.create_group(case)
            for k, v in {**fields, "batch": batch}.items():
                g.attrs[k] = attribute(v)
            put(g, "steps_tokens", tokens)
            for k, v in ours(fields, values).items():
                put(g, "param/" + k, v.astype(np.float32))
            for k, v in ours(fields, grads).items():
                put(g, "grad/" + k, v.astype(np.float32))
            put(g, "logits", logits.astype(np.float32))
            g["loss"], g["loss64"] = np.float32(loss), np.float64(loss64)
            print(
                f"{case}: {sum(v.size for v in values.values())} parameters, "
                f"loss {loss64:.9f}, fp32 logits differ by {error:.1e}"
            )
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
