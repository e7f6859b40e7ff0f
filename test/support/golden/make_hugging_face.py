#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes small published models for Trireme's tests: a folder for each case beside this file, in
# huggingface/. Hugging Face transformers makes the models with random weights, and computes
# logits and loss in fp32.
#
# Needs: Python >= 3.10, PyTorch (a CPU build is enough), transformers >= 5 and safetensors.
# Usage: make_hugging_face.py [CASE ...]      (default: all cases)
#
# Layout of a case: config.json and model.safetensors as save_pretrained() writes them, and
# reference/model.safetensors with `logits` [batch · seq, vocab] and `loss` [1]. Token i of
# sequence b is (7 b + 5 i² + 3 i) mod vocab, for i from 0 to seq; the last is a target alone.
import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

BATCH, SEQ, VOCAB = 2, 12, 37
SIZES = dict(vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, intermediate_size=42,
             max_position_embeddings=16)
GROUPED = dict(SIZES, num_attention_heads=6, num_key_value_heads=2)
GPT2 = dict(vocab_size=VOCAB, n_embd=24, n_layer=2, n_head=3, n_positions=16, bos_token_id=0,
            eos_token_id=0)
TWO = dict(num_hidden_layers=2, eos_token_id=0, bos_token_id=0, pad_token_id=None)


def rope(kind, **kw):
    return dict(rope_parameters=dict(kw, rope_type=kind, rope_theta=5000.0))


CASES = {
    "gpt_neox": ("GPTNeoXConfig", dict(SIZES, num_attention_heads=3, rotary_pct=0.5)),
    "gpt_neox_sequential": ("GPTNeoXConfig", dict(
        SIZES, num_attention_heads=3, use_parallel_residual=False, tie_word_embeddings=True,
        hidden_act="gelu_new")),
    "gpt2": ("GPT2Config", GPT2),
    "gptj": ("GPTJConfig", dict(GPT2, rotary_dim=6, n_inner=42)),
    "phi": ("PhiConfig", dict(SIZES, num_attention_heads=3, partial_rotary_factor=0.5)),
    "llama": ("LlamaConfig", dict(GROUPED, head_dim=4, rms_norm_eps=1e-5)),
    "llama_biases": ("LlamaConfig", dict(
        GROUPED, num_hidden_layers=1, attention_bias=True, mlp_bias=True,
        tie_word_embeddings=True)),
    "llama_linear": ("LlamaConfig", dict(GROUPED, num_hidden_layers=1,
                                         **rope("linear", factor=2.0))),
    "llama_dynamic": ("LlamaConfig", dict(GROUPED, num_hidden_layers=1, **rope(
        "dynamic", factor=3.0))),
    "llama3": ("LlamaConfig", dict(GROUPED, tie_word_embeddings=True, **rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8))),
    "llama_yarn": ("LlamaConfig", dict(GROUPED, num_hidden_layers=1, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=4))),
    "mistral": ("MistralConfig", dict(GROUPED, head_dim=6, sliding_window=5)),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen2_window": ("Qwen2Config", dict(GROUPED, use_sliding_window=True, sliding_window=5,
                                         max_window_layers=1)),
    "qwen3": ("Qwen3Config", dict(GROUPED, head_dim=10)),
    "olmo2": ("Olmo2Config", dict(GROUPED, eos_token_id=0, pad_token_id=None)),
    "gemma": ("GemmaConfig", dict(GROUPED, head_dim=6, **TWO)),
    "gemma2": ("Gemma2Config", dict(GROUPED, head_dim=6, sliding_window=5,
                                    query_pre_attn_scalar=9, **TWO)),
    "gemma3_text": ("Gemma3TextConfig", dict(
        GROUPED, head_dim=6, sliding_window=5, query_pre_attn_scalar=9,
        layer_types=["sliding_attention", "full_attention"], **TWO)),
}
# Cases whose config.json has the words of transformers 4.
OLDER = {"gpt_neox", "llama", "llama3", "gptj"}


def tokens():
    b = torch.arange(BATCH)[:, None]
    i = torch.arange(SEQ + 1)[None, :]
    return (7 * b + 5 * i * i + 3 * i) % VOCAB


def in_older_words(config):
    """What transformers 4 would have written."""
    five = config.pop("rope_parameters", {})
    config["torch_dtype"] = config.pop("dtype")
    names = {"rope_theta": "rope_theta"}
    if config["model_type"] == "gpt_neox":
        names = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
    for name, older in names.items():
        if name in five:
            config[older] = five.pop(name)
    kind = five.pop("rope_type", "default")
    if config["model_type"] != "gptj":
        config["rope_scaling"] = dict(five, rope_type=kind) if kind != "default" else None
    config["transformers_version"] = "4.46.0"
    return config


def make(name, kind, settings, folder):
    torch.manual_seed(len(name))
    config = getattr(transformers, kind)(**settings)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            wide = 0.3 if parameter.ndim == 1 else 0.15
            parameter.add_(torch.randn_like(parameter) * wide)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    text = json.loads((folder / "config.json").read_text())
    if name in OLDER:
        text = in_older_words(text)
    (folder / "config.json").write_text(json.dumps(text, indent=2) + "\n")
    all_tokens = tokens()
    with torch.no_grad():
        logits = model(all_tokens[:, :-1]).logits.float()
    rows = logits.reshape(-1, VOCAB)
    loss = torch.nn.functional.cross_entropy(rows.double(), all_tokens[:, 1:].reshape(-1))
    (folder / "reference").mkdir()
    save_file({"logits": rows.contiguous(), "loss": loss.float().reshape(1)},
              folder / "reference" / "model.safetensors")
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"{name}: loss {loss:.6f}, {size // 1024} KiB")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    home = Path(__file__).resolve().parent / "huggingface"
    for case in sys.argv[1:] or CASES:
        make(case, *CASES[case], home / case)
