#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes inputs/gcide-tokenizer.json: byte-level BPE of 2048 ids, trained on the demo's text.

  make_demo_tokenizer.py [TEXT] [OUTPUT]

Needs the package `tokenizers` (tried with 0.22). Without arguments it reads data/gcide.txt.
"""
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SOURCE = Path(__file__).resolve().parents[3]
END = "<|endoftext|>"
IDS = 2048


def main():
    text = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE / "data" / "gcide.txt"
    to = Path(sys.argv[2]) if len(sys.argv) > 2 else SOURCE / "inputs" / "gcide-tokenizer.json"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=IDS, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    documents = text.read_text(encoding="utf-8", errors="replace").split("\n\n")
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.save(str(to), pretty=False)


if __name__ == "__main__":
    main()
