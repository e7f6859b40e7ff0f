#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes inputs/gcide-wordpiece.json: WordPiece as BERT's, lower case, 4096 ids, trained on the
definitions that inputs/gcide_labels.py writes.

  make_wordpiece.py [TEXTS.jsonl] [OUTPUT]

Needs the package `tokenizers` (tried with 0.23). Without arguments it reads data/gcide.jsonl.
"""
import json
import sys
from pathlib import Path

from tokenizers import (Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

SOURCE = Path(__file__).resolve().parents[3]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
IDS = 4096


def main():
    texts = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE / "data" / "gcide.jsonl"
    to = Path(sys.argv[2]) if len(sys.argv) > 2 else SOURCE / "inputs" / "gcide-wordpiece.json"
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=IDS, special_tokens=SPECIAL,
                                        show_progress=False)
    lines = texts.read_text(encoding="utf-8").splitlines()
    tokenizer.train_from_iterator((json.loads(line)["text"] for line in lines), trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids)
    tokenizer.save(str(to), pretty=False)


if __name__ == "__main__":
    main()
