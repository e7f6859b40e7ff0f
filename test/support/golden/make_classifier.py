#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes classifier.h5: small models of Hugging Face transformers that classify texts, for
# Trireme's tests. PyTorch computes logits, loss and every gradient in fp64.
#
# Needs: Python >= 3.10, PyTorch (a CPU build is enough), transformers >= 5, h5py and numpy.
# Usage: make_classifier.py [OUTPUT]      (default: classifier.h5 beside this file)
#
# Layout of a group: tokens int32 [batch, seq], padded on the right; lengths int32 [batch];
# labels int32 [batch]; logits [batch, classes]; loss [1]; param/NAME and grad/NAME float32, by
# Trireme's names and packing. The matrix of classes has a bias, which GPT-NeoX's lacks in
# transformers and which is added here.
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
import transformers
from transformers import (BertConfig, BertForSequenceClassification, GPTNeoXConfig,
                          GPTNeoXForSequenceClassification)

BATCH, SEQ, CLASSES, VOCABULARY, HEADS, PAD = 4, 11, 6, 37, 4, 0
LENGTHS = [11, 7, 1, 10]


def gpt_neox():
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=HEADS,
        intermediate_size=48, max_position_embeddings=16, num_labels=CLASSES, pad_token_id=PAD,
        attention_dropout=0.0, hidden_dropout=0.0, classifier_dropout=0.0,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                         "partial_rotary_factor": 1.0})
    config._attn_implementation = "eager"
    model = GPTNeoXForSequenceClassification(config)
    model.score = torch.nn.Linear(24, CLASSES)
    return model, lambda name: name.removeprefix("gpt_neox.")


BERT = {"embeddings.word_embeddings": "embed_in",
        "embeddings.position_embeddings": "embed_positions",
        "embeddings.token_type_embeddings": "embed_types",
        "embeddings.LayerNorm": "embed_norm",
        "encoder.layer": "layers",
        "attention.output.dense": "attention.dense",
        "attention.output.LayerNorm": "post_attention_output_norm",
        "intermediate.dense": "mlp.dense_h_to_4h",
        "output.dense": "mlp.dense_4h_to_h",
        "output.LayerNorm": "post_mlp_output_norm"}


def bert():
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=HEADS,
        intermediate_size=44, max_position_embeddings=16, num_labels=CLASSES, pad_token_id=PAD,
        layer_norm_eps=1e-5)
    config._attn_implementation = "eager"

    def name_of(name):
        name = name.removeprefix("bert.").replace("classifier.", "score.")
        for theirs, ours in BERT.items():
            name = name.replace(theirs, ours)
        return name

    return BertForSequenceClassification(config), name_of


def packed(q, k, v):
    """Rows of queries, keys and values, head by head."""
    parts = [x.reshape(HEADS, -1, *x.shape[1:]) for x in (q, k, v)]
    return np.concatenate(parts, 1).reshape(-1, *q.shape[1:])


def ours(tensors, name_of):
    out = {}
    for name, data in tensors.items():
        if ".self.query." in name:
            rest = [tensors[name.replace("query", x)] for x in ("query", "key", "value")]
            out[name_of(name).replace("self.query", "query_key_value")] = packed(*rest)
        elif ".self." not in name:
            out[name_of(name)] = data
    return out


def make(group, model, name_of):
    torch.manual_seed(3)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            wide = 0.3 if parameter.ndim == 1 else 0.15
            parameter.add_(torch.randn_like(parameter) * wide)
    values = {n: p.detach().numpy().astype("f4") for n, p in model.named_parameters()}
    model.double()
    random = np.random.default_rng(7)
    place = np.arange(SEQ)[None, :]
    inside = place < np.array(LENGTHS)[:, None]
    tokens = np.where(inside, random.integers(1, VOCABULARY, (BATCH, SEQ)), PAD)
    labels = random.integers(0, CLASSES, BATCH)
    result = model(input_ids=torch.tensor(tokens), attention_mask=torch.tensor(inside).long(),
                   labels=torch.tensor(labels))
    result.loss.backward()
    gradients = {n: p.grad.numpy().astype("f4") for n, p in model.named_parameters()}
    group["tokens"], group["labels"] = tokens.astype("i4"), labels.astype("i4")
    group["lengths"] = np.array(LENGTHS, "i4")
    group["logits"] = result.logits.detach().numpy().astype("f4")
    group["loss"] = np.array([result.loss.item()])
    for kind, tensors in (("param", values), ("grad", gradients)):
        for name, data in ours(tensors, name_of).items():
            group[f"{kind}/{name}"] = data
    print(f"{group.name}: loss {result.loss.item():.6f}")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    here = Path(__file__).resolve().parent
    with h5py.File(sys.argv[1] if len(sys.argv) > 1 else here / "classifier.h5", "w") as file:
        file.attrs["made_with"] = (f"torch {torch.__version__}, "
                                   f"transformers {transformers.__version__}")
        make(file.create_group("gpt_neox"), *gpt_neox())
        make(file.create_group("bert"), *bert())
