#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes vision.h5: a small vision transformer of Hugging Face's, and a BERT whose classifier
# takes the mean of a text's rows, for Trireme's tests. PyTorch computes in fp64.
#
# Needs: Python >= 3.10, PyTorch (a CPU build is enough), transformers >= 5, h5py and numpy.
# Usage: make_vision.py [OUTPUT]      (default: vision.h5 beside this file)
#
# Layout of a group: as in make_classifier.py. vit has no tokens, but images u8 [batch, rows,
# columns, channels]. The loss of vit has smoothed labels, and the logits are without.
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
import transformers
from make_classifier import (BATCH, CLASSES, LENGTHS, PAD, SEQ, VOCABULARY, bert, ours,
                             packed)
from transformers import ViTConfig, ViTForImageClassification

ROWS, COLUMNS, CHANNELS, PATCH, MEAN, STD, SMOOTHING = 9, 15, 3, 3, 0.4, 0.3, 0.1

VIT = {"embeddings.cls_token": "embed_class.weight",
       "embeddings.position_embeddings": "embed_positions.weight",
       "embeddings.patch_embeddings.projection": "embed_patches",
       "attention.o_proj": "attention.dense",
       "layernorm_before": "input_layernorm",
       "layernorm_after": "post_attention_layernorm",
       "mlp.fc1": "mlp.dense_h_to_4h",
       "mlp.fc2": "mlp.dense_4h_to_h",
       "classifier": "score"}


def vit_name(name):
    name = name.removeprefix("vit.")
    if name.startswith("layernorm."):
        return "final_layer_norm." + name.removeprefix("layernorm.")
    for theirs, ours in VIT.items():
        name = name.replace(theirs, ours)
    return name


def ours_of_vit(tensors):
    out = {}
    for name, data in tensors.items():
        if ".attention.q_proj." in name:
            rest = [tensors[name.replace("q_proj", x)] for x in ("q_proj", "k_proj", "v_proj")]
            out[vit_name(name).replace("q_proj", "query_key_value")] = packed(*rest)
        elif "_proj." not in name or "o_proj" in name:
            flat = data.ndim > 2
            wide = data.reshape(data.shape[0], -1) if data.ndim == 4 else data
            out[vit_name(name)] = wide.reshape(-1, wide.shape[-1]) if flat else data
    return out


def changed(model):
    """Values in fp32 that no start gives, and the model in fp64."""
    torch.manual_seed(3)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            wide = 0.3 if parameter.ndim == 1 else 0.15
            parameter.add_(torch.randn_like(parameter) * wide)
    values = {n: p.detach().numpy().astype("f4") for n, p in model.named_parameters()}
    return values, model.double()


def write(group, model, loss, logits, values, names):
    loss.backward()
    used = {n: p for n, p in model.named_parameters() if p.grad is not None}
    gradients = {n: p.grad.numpy().astype("f4") for n, p in used.items()}
    group["logits"] = logits.detach().numpy().astype("f4")
    group["loss"] = np.array([loss.item()])
    for kind, tensors in (("param", {n: values[n] for n in used}), ("grad", gradients)):
        for name, data in names(tensors).items():
            group[f"{kind}/{name}"] = data
    print(f"{group.name}: loss {loss.item():.6f}")


def make_vit(group):
    config = ViTConfig(
        image_size=(ROWS, COLUMNS), patch_size=PATCH, num_channels=CHANNELS, hidden_size=24,
        num_hidden_layers=2, num_attention_heads=4, intermediate_size=44, num_labels=CLASSES,
        layer_norm_eps=1e-5)
    config._attn_implementation = "eager"
    model = ViTForImageClassification(config)
    values, model = changed(model)
    random = np.random.default_rng(7)
    images = random.integers(0, 256, (BATCH, ROWS, COLUMNS, CHANNELS))
    labels = torch.tensor(random.integers(0, CLASSES, BATCH))
    pixels = ((images / 255 - MEAN) / STD).astype("f4").astype("f8").transpose(0, 3, 1, 2)
    logits = model(pixel_values=torch.tensor(pixels)).logits
    loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
    group["images"], group["labels"] = images.astype("u1"), labels.numpy().astype("i4")
    write(group, model, loss, logits, values, ours_of_vit)


def make_mean(group):
    model, name_of = bert()
    values, model = changed(model)
    random = np.random.default_rng(7)
    inside = np.arange(SEQ)[None, :] < np.array(LENGTHS)[:, None]
    tokens = np.where(inside, random.integers(1, VOCABULARY, (BATCH, SEQ)), PAD)
    labels = random.integers(0, CLASSES, BATCH)
    rows = model.bert(input_ids=torch.tensor(tokens),
                      attention_mask=torch.tensor(inside).long()).last_hidden_state
    counts = torch.tensor(inside).double()[:, :, None]
    means = (rows * counts).sum(1) / counts.sum(1)
    logits = model.classifier(means)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    group["tokens"], group["labels"] = tokens.astype("i4"), labels.astype("i4")
    group["lengths"] = np.array(LENGTHS, "i4")
    write(group, model, loss, logits, values, lambda tensors: ours(tensors, name_of))


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    here = Path(__file__).resolve().parent
    with h5py.File(sys.argv[1] if len(sys.argv) > 1 else here / "vision.h5", "w") as file:
        file.attrs["made_with"] = (f"torch {torch.__version__}, "
                                   f"transformers {transformers.__version__}")
        make_vit(file.create_group("vit"))
        make_mean(file.create_group("bert_mean"))
