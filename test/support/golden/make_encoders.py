#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes small published encoders for Trireme's tests: a folder for each case, beside this file
# in huggingface/. Hugging Face transformers makes the models with random weights. PyTorch
# computes logits, loss and every gradient in fp64.
#
# Needs: Python >= 3.10, PyTorch (a CPU build is enough), transformers >= 5 and safetensors.
# Usage: make_encoders.py [CASE ...]      (default: all cases)
#
# Layout of a case: config.json and model.safetensors as save_pretrained() writes them. Beside
# them lies reference/model.safetensors with `logits` [batch · seq, vocab] and `loss` [1], and
# gradients/ with config.json and a model.safetensors whose tensors are the gradients.
#
# Token i of sequence b is 3 + (7 b + 5 i² + 3 i) mod (vocab - 3), and its type (with two types)
# is 1 from i = 4 on. Targets are tokens of sequence b + 1 where (i + b) mod 3 is 1. The last
# sequence ends after LENGTHS[-1] tokens. bert_classifier has logits [batch, classes] alone.
import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, BertConfig, BertForSequenceClassification

BATCH, SEQ = 2, 13
LENGTHS = [13, 7]
SIZES = dict(vocab_size=37, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
             intermediate_size=44, max_position_embeddings=16)

CASES = {
    "bert": ("BertConfig", SIZES),
    "bert_odd": ("BertConfig", dict(
        SIZES, vocab_size=29, hidden_size=15, num_hidden_layers=1, num_attention_heads=3,
        intermediate_size=21, hidden_act="relu", layer_norm_eps=1e-5)),
    "roberta": ("RobertaConfig", dict(
        SIZES, num_hidden_layers=3, num_attention_heads=2, hidden_size=16,
        max_position_embeddings=18, type_vocab_size=1, layer_norm_eps=1e-5)),
    "xlm_roberta": ("XLMRobertaConfig", dict(
        SIZES, vocab_size=41, num_hidden_layers=1, max_position_embeddings=20,
        type_vocab_size=1, layer_norm_eps=1e-5)),
    "distilbert": ("DistilBertConfig", dict(
        vocab_size=37, dim=24, n_layers=2, n_heads=4, hidden_dim=44,
        max_position_embeddings=16)),
}


def tokens(first, vocab):
    b = torch.arange(BATCH)[:, None] + first
    i = torch.arange(SEQ)[None, :]
    return 3 + (7 * b + 5 * i * i + 3 * i) % (vocab - 3)


def make(name, kind, settings, folder):
    torch.manual_seed(len(name))
    config = getattr(transformers, kind)(**settings)
    config._attn_implementation = "eager"
    model = AutoModelForMaskedLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            wide = 0.3 if parameter.ndim == 1 else 0.15
            parameter.add_(torch.randn_like(parameter) * wide)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    text = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(text, indent=2) + "\n")

    model.double()
    vocab = config.vocab_size
    place = torch.arange(SEQ)[None, :]
    inside = place < torch.tensor(LENGTHS)[:, None]
    counted = inside & ((place + torch.arange(BATCH)[:, None]) % 3 == 1)
    given = {"input_ids": torch.where(inside, tokens(0, vocab), config.pad_token_id),
             "attention_mask": inside.long()}
    if getattr(config, "type_vocab_size", 1) > 1:
        given["token_type_ids"] = (place >= 4).long().expand(BATCH, -1)
    labels = torch.where(counted, tokens(1, vocab), -100)
    result = model(**given, labels=labels)
    result.loss.backward()

    (folder / "reference").mkdir()
    save_file({"logits": result.logits.detach().float().reshape(-1, vocab).contiguous(),
               "loss": result.loss.detach().float().reshape(1)},
              folder / "reference" / "model.safetensors")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    gradients = {n: parameters[n].grad.float().contiguous()
                 for n in load_file(folder / "model.safetensors")}
    (folder / "gradients").mkdir()
    save_file(gradients, folder / "gradients" / "model.safetensors")
    shutil.copy(folder / "config.json", folder / "gradients" / "config.json")
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"{name}: loss {result.loss:.6f}, {size // 1024} KiB")


def make_classifier(folder):
    torch.manual_seed(5)
    model = BertForSequenceClassification(BertConfig(**SIZES, num_labels=3)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            wide = 0.3 if parameter.ndim == 1 else 0.15
            parameter.add_(torch.randn_like(parameter) * wide)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    place = torch.arange(SEQ)[None, :]
    inside = place < torch.tensor(LENGTHS)[:, None]
    with torch.no_grad():
        logits = model.double()(
            input_ids=torch.where(inside, tokens(0, SIZES["vocab_size"]), 0),
            attention_mask=inside.long(),
            token_type_ids=(place >= 4).long().expand(BATCH, -1)).logits
    (folder / "reference").mkdir()
    save_file({"logits": logits.float().contiguous()},
              folder / "reference" / "model.safetensors")
    print(f"{folder.name}: logits {logits.tolist()}")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    home = Path(__file__).resolve().parent / "huggingface"
    for case in sys.argv[1:] or [*CASES, "bert_classifier"]:
        if case == "bert_classifier":
            make_classifier(home / case)
        else:
            make(case, *CASES[case], home / case)
