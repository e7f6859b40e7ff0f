#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes test/tokenizer/golden/pieces.json: what Hugging Face's tokenizers and SentencePiece
# make of a few texts, part by part. Needs `pip install tokenizers sentencepiece protobuf`.
import base64
import json
import random
import sys
import tempfile
from pathlib import Path

import sentencepiece
from compare_pieces import english, normalizer_specs, pre_tokenizer_specs, trained, whole
from sentencepiece import sentencepiece_model_pb2 as model_pb2

OUTPUT = Path(__file__).resolve().parents[2] / "tokenizer/golden/pieces.json"
TEXTS = [
    "",
    " ",
    "a",
    "The quick brown fox, isn't it?",
    "  two  spaces\tand\r\n\r\nlines\n ",
    "Héllo Wörld ÀÉÎ ǅ İstanbul ẞ",
    "e\u0301 o\u0302\u0323 \u1e69 ﬁ Å Ω",
    "日本語のテキスト、カタカナー。中文字",
    "한국어 \u1112\u1161\u11ab",
    "Привет, мир! 12³ ½ ٣٤",
    "हिन्दी में क्षत्रिय",
    "สวัสดีชาวโลก",
    "שָׁלוֹם العَرَبِيَّة",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪 e\u20dd",
    "a\u00a0b\u2003c\u3000d\u200be\u2028f\ufeff",
    "\0\x01\x7f\u0085\u00ad\ufffd\ue000\U0010ffff",
    "aaaaaaa aab aaab --a-- ''a''",
    "<0x41> [UNK] ##ing \u2581x \u2581\u2581 y\u2581",
    "!!! ... «a» “b” 'c' $5+3=8 ~x~ a_b",
    "\u1ad6\u0149\u1ad6 \u0600e\u0301 \u06dda \U00010d50 \U0001e4d0 \ua7cb",
]


def small_models(paragraphs):
    specs = trained(paragraphs[:300], size=300)
    # Equal sums of scores, between which rounding decides.
    specs["Unigram ties"] = {
        "type": "Unigram",
        "unk_id": 0,
        "vocab": [
            ["<unk>", 0.0],
            ["a", -1.1],
            ["aa", -2.3],
            ["aaa", -3.7000000000000006],
            ["\u2581", -0.3],
            ["b", -5.13],
        ],
    }
    return specs


def sentence_piece_models(paragraphs):
    rules = "20 20\t20\n41\t61\n42\t62\n65 301\tE9\nA0\t20\nFB01\t66 69\nAD\t\n"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules").write_text(rules)
        (Path(folder) / "text").write_text(
            "\n".join(p.replace("\n", " ") for p in paragraphs[:300])
        )
        for name, options in {
            "bpe": dict(
                model_type="bpe",
                byte_fallback=True,
                user_defined_symbols=["<sep>", "ing"],
                vocab_size=600,
            ),
            "bpe bare": dict(
                model_type="bpe",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                split_by_whitespace=False,
                vocab_size=300,
            ),
            "unigram": dict(
                model_type="unigram",
                user_defined_symbols=["<sep>", "ing"],
                control_symbols=["<ctl>"],
                vocab_size=300,
            ),
            "unigram suffix": dict(
                model_type="unigram", treat_whitespace_as_suffix=True, vocab_size=300
            ),
        }.items():
            sentencepiece.SentencePieceTrainer.train(
                input=f"{folder}/text",
                model_prefix=f"{folder}/m",
                normalization_rule_tsv=f"{folder}/rules",
                minloglevel=2,
                num_threads=1,
                **options,
            )
            yield name, Path(f"{folder}/m.model").read_bytes()


def main():
    paragraphs, _ = english(0)
    random.Random(5).shuffle(paragraphs)
    golden = []

    def add(part, name, definition, inputs, outputs):
        golden.append(
            {
                "part": part,
                "name": name,
                "definition": definition,
                "cases": list(zip(inputs, outputs)),
            }
        )

    models = dict(sentence_piece_models(paragraphs))
    charsmap = model_pb2.ModelProto.FromString(
        models["unigram"]
    ).normalizer_spec.precompiled_charsmap
    for spec in normalizer_specs(base64.b64encode(charsmap).decode()):
        theirs = whole(normalizer=spec).normalizer
        add("normalizer", spec["type"], spec, TEXTS, [theirs.normalize_str(t) for t in TEXTS])
    for spec in pre_tokenizer_specs():
        theirs = whole(pre_tokenizer=spec).pre_tokenizer
        add(
            "pre_tokenizer",
            spec["type"],
            spec,
            TEXTS,
            [[p for p, _ in theirs.pre_tokenize_str(t)] for t in TEXTS],
        )
    words = [w for t in TEXTS for w in ("\u2581" + t.replace(" ", " \u2581")).split(" ") if w]
    for name, spec in small_models(paragraphs).items():
        theirs = whole(model=spec)
        add(
            "model",
            name,
            spec,
            words,
            [theirs.encode(w, add_special_tokens=False).ids for w in words],
        )
    for name, model in models.items():
        theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
        definition = base64.b64encode(model).decode()
        ids = [theirs.encode(t) for t in TEXTS]
        add("sp_encode", name, definition, TEXTS, ids)
        add("sp_decode", name, definition, ids, [theirs.decode(i) for i in ids])
    OUTPUT.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(g, ensure_ascii=True, separators=(",", ":")) for g in golden)
    OUTPUT.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    sys.exit(main())
