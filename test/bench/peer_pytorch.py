#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The same work by PyTorch: Pythia-70M at s=512, micro-batch 4, fp32, AdamW and clipping, by
# Hugging Face's GPTNeoXForCausalLM on the CPU. To be run beside `make bench`.
# Needs torch and transformers. Usage: peer_pytorch.py [THREADS [STEPS]]
import sys
import time

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

BATCH, SEQ, VOCABULARY = 4, 512, 50304


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        num_hidden_layers=6,
        num_attention_heads=8,
        intermediate_size=2048,
        max_position_embeddings=SEQ,
        rotary_pct=0.25,
        hidden_act="gelu_new",
        use_parallel_residual=True,
        use_cache=False,
    )
    model = GPTNeoXForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    seconds = []
    for step in range(steps + 1):  # the first warms up
        tokens = torch.randint(0, VOCABULARY, (BATCH, SEQ))
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model(tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step > 0:
            seconds.append(time.perf_counter() - start)
    median = sorted(seconds)[len(seconds) // 2]
    a = torch.rand(2048, 2048)
    rate = 0.0
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, a)
        rate = max(rate, 2 * 2048**3 / (time.perf_counter() - start))
    print(
        f"torch {torch.__version__}, {threads} threads: {BATCH * SEQ / median:.0f} tokens/s, "
        f"{median:.2f} s a step; its own sgemm {rate * 1e-9:.0f} GFLOP/s"
    )


if __name__ == "__main__":
    main()
