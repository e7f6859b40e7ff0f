#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes mup.txt: what the PyPI package `mup` makes of a small transformer.

    pip install torch mup==1.0.0 && python3 make_mup.py > mup.txt

Each line has a parameter's name, the initial standard deviation by normal_(std=0.02) and by
xavier_normal_(), and lr and weight decay of MuAdamW and of MuSGD for lr 1 and decay 1. A vector
has no initial deviation. Names and shapes are those of the model in test/deck/mup_test.cpp.
"""
import mup
import mup.init
import torch


class Model(torch.nn.Module):
    def __init__(self, hidden, heads, kv_heads, head, inner, vocabulary=50, positions=16):
        super().__init__()
        width = heads * head
        self.shapes = {
            "embed_in.weight": (vocabulary, hidden),
            "embed_positions.weight": (positions, hidden),
            "input_layernorm.weight": (hidden,),
            "attention.query_key_value.weight": (width + 2 * kv_heads * head, hidden),
            "attention.query_key_value.bias": (width + 2 * kv_heads * head,),
            "attention.dense.weight": (hidden, width),
            "mlp.dense_h_to_4h.weight": (inner, hidden),
            "mlp.dense_h_to_4h.bias": (inner,),
            "mlp.dense_4h_to_h.weight": (hidden, inner),
            "embed_out.weight": (vocabulary, hidden),
            "embed_out.bias": (vocabulary,),
        }
        for name, shape in self.shapes.items():
            parameter = torch.nn.Parameter(torch.zeros(shape))
            self.register_parameter(name.replace(".", "/"), parameter)


def groups(optimizer):
    return {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }


def main():
    model = Model(hidden=96, heads=6, kv_heads=3, head=20, inner=448)
    base = Model(hidden=32, heads=4, kv_heads=2, head=10, inner=128)
    delta = Model(hidden=64, heads=8, kv_heads=4, head=11, inner=256)
    mup.set_base_shapes(model, base, delta=delta, rescale_params=False)
    drawn = []
    mup.init._no_grad_normal_ = lambda tensor, mean, std: drawn.append(std) or tensor
    adam = groups(mup.MuAdamW(model.parameters(), lr=1.0, weight_decay=1.0))
    sgd = groups(mup.MuSGD(model.parameters(), lr=1.0, weight_decay=1.0))
    for name, parameter in model.named_parameters():
        drawn.clear()
        if parameter.dim() == 2:
            mup.init.normal_(parameter, std=0.02)
            mup.init.xavier_normal_(parameter)
        numbers = [*(drawn or (0, 0)), *adam[id(parameter)], *sgd[id(parameter)]]
        print(name.replace("/", "."), *(f"{float(x):.17g}" for x in numbers))


if __name__ == "__main__":
    main()
