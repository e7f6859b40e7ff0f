#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The peer of generate.py: a random GPT-NeoX of Pythia-160M's shape, written to a folder, or its
# answers by Hugging Face's generate(). Needs torch and transformers.
# Usage: peer_generate.py make FOLDER TYPE
#        peer_generate.py run FOLDER THREADS PROMPT BATCH TOKENS
import json
import sys
import time

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM


def make(folder, kind):
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=50304, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
        intermediate_size=3072, max_position_embeddings=2048, rotary_pct=0.25,
        hidden_act="gelu", use_parallel_residual=True, bos_token_id=0, eos_token_id=0)
    GPTNeoXForCausalLM(config).to(getattr(torch, kind)).save_pretrained(folder)


def run(folder, threads, prompt, batch, tokens):
    torch.set_num_threads(threads)
    model = GPTNeoXForCausalLM.from_pretrained(folder, torch_dtype="auto").eval()
    ids = torch.full((batch, prompt), ord("a"))
    seconds = {}
    with torch.no_grad():
        for count in (1, tokens, 1, tokens):  # the first two warm up
            start = time.perf_counter()
            model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count,
                           min_new_tokens=count, do_sample=False, pad_token_id=0)
            seconds[count] = time.perf_counter() - start
    steps = seconds[tokens] - seconds[1]
    print(json.dumps({"prompt_rate": batch * prompt / seconds[1],
                      "step_rate": batch * (tokens - 1) / steps}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*sys.argv[2:4])
    else:
        run(sys.argv[2], *map(int, sys.argv[3:7]))
