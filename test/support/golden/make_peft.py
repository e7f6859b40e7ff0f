#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes small adapters for Trireme's tests, as PEFT saves them beside the published models that
# make_hugging_face.py made: a folder for each case in huggingface/. PEFT computes logits and
# loss in fp32.
#
# Needs: Python >= 3.10, PyTorch (a CPU build is enough), transformers >= 5, peft, safetensors.
# Usage: make_peft.py [CASE ...]      (default: all cases)
#
# Layout of a case: adapter_config.json and adapter_model.safetensors as save_pretrained()
# writes them, where base_model_name_or_path is a path from the case's folder; and reference/
# as in make_hugging_face.py.
import json
import shutil
import sys
from pathlib import Path

import peft
import torch
import transformers
from make_hugging_face import VOCAB, tokens
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

CASES = {
    "peft_llama": ("llama", dict(
        r=2, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"])),
    "peft_gpt2": ("gpt2", dict(r=3, lora_alpha=5, use_rslora=True, fan_in_fan_out=True,
                               target_modules=["c_attn", "mlp.c_proj"])),
    "peft_gptj": ("gptj", dict(r=2, lora_alpha=3, layers_to_transform=[1], use_rslora=True,
                               target_modules=["q_proj", "k_proj", "out_proj"])),
    "peft_gpt_neox": ("gpt_neox", dict(
        r=2, lora_alpha=4, lora_dropout=0.1, target_modules=["query_key_value", "dense"])),
}


def make(name, base, settings, home):
    torch.manual_seed(len(name))
    folder = home / name
    model = AutoModelForCausalLM.from_pretrained(home / base, attn_implementation="eager")
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    model.eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    config["base_model_name_or_path"] = f"../{base}"
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2) + "\n")
    all_tokens = tokens()
    with torch.no_grad():
        logits = model(all_tokens[:, :-1]).logits.float()
    rows = logits.reshape(-1, VOCAB)
    loss = torch.nn.functional.cross_entropy(rows.double(), all_tokens[:, 1:].reshape(-1))
    (folder / "reference").mkdir()
    save_file({"logits": rows.contiguous(), "loss": loss.float().reshape(1)},
              folder / "reference" / "model.safetensors")
    print(f"{name}: loss {loss:.6f}")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    here = Path(__file__).resolve().parent / "huggingface"
    for case in sys.argv[1:] or CASES:
        make(case, *CASES[case], here)
