#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes test/tokenizer/golden/*.json: small tokenizers that Hugging Face's library trains, with
# texts and the ids that the library, or tiktoken, gives them. Needs tokenizers==0.23.3,
# tiktoken==0.14.0 and the dictionary gcide.
import base64
import gzip
import json
import random
from pathlib import Path

import tiktoken
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

TARGET = Path(__file__).resolve().parents[2] / "tokenizer/golden"
CORPUS = gzip.open("/usr/share/dictd/gcide.dict.dz").read(4_000_000).decode("utf-8", "replace")
LINES = CORPUS.split("\n")[2000:]
SMALL = 400  # tokens
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = [
    "The quick brown fox jumps over the lazy dog.", "it's they'll WE'VE I'M can't'D 'ſ",
    "  two  spaces   three\n\n\nlines \t tab\r\n", "1234567890 12 3,456.78 ٣٤ ½ ²",
    "naïve café Ünïcödé ﬁ ǅ K", "e\u0301 a\u0308\u0301 \u0301x", "日本語テキスト。中文",
    "한국어 ᄒ\u1161\u11ab", "👩‍👧🏽 ❤️ 🇩🇪!", "<a href=\"x\">y</a> // code(); {x_y += 1}",
    "MixedCase HTTPServer camelCaseWord", "", " ", "\n", "a",
    "\u00a0\u2003x\u3000\u0085y\u180e z\u200b", "!!!\n\n?? /usr/bin/x\n/",
    "<mask> <s>x</s>[A] [B] [C]word wordC", "x <sep>  y", "a" * 132,
]


def more_texts():
    generator = random.Random(1)
    alphabet = "ab cdeéß中ſ'’sS1٣\n\t .,!😀\u0301\u00a0ABΩ"
    texts = ["".join(generator.choices(alphabet, k=generator.randint(1, 24)))
             for _ in range(60)]
    return texts + [" ".join(generator.choices(LINES, k=2)) for _ in range(20)]


def train(tokenizer, **settings):
    special = settings.pop("special", [])
    trainer = trainers.BpeTrainer(vocab_size=SMALL, special_tokens=special,
                                  show_progress=False, **settings)
    tokenizer.train_from_iterator(LINES[:20000], trainer)
    return tokenizer


def byte_level():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return train(t, special=["<|endoftext|>"],
                 initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t = train(t, special=["<|begin_of_text|>", "<|end_of_text|>"],
              initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])
    return t


def llama2():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"),
                                         normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                   decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    fallback = [f"<0x{i:02X}>" for i in range(256)]
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    return train(t, special=["<unk>", "<s>", "</s>"] + fallback, max_token_length=8)


def affixes():
    t = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##",
                             end_of_word_suffix="</w>"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.decoder = decoders.BPEDecoder("</w>")
    return train(t, special=["[UNK]", "</s>"], continuing_subword_prefix="##",
                 end_of_word_suffix="</w>", limit_alphabet=60)


def added_tokens():
    t = byte_level()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=True)])
    t.normalizer = normalizers.NFC()
    t.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<sep>", rstrip=True)])
    t.add_tokens([AddedToken("[A]", normalized=False), AddedToken("[C]", single_word=True),
                  AddedToken("wordC", single_word=True), AddedToken("  "), AddedToken("   "),
                  AddedToken("e\u0301 a")])
    return t


def write(name, tokenizer, texts, ids, **more):
    golden = {"tokenizer": tokenizer, "texts": texts, "ids": ids, **more}
    (TARGET / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=True) + "\n")


def main():
    TARGET.mkdir(exist_ok=True)
    texts = TEXTS + more_texts()
    for make in (byte_level, llama3, llama2, affixes, added_tokens):
        t = make()
        encoded = [t.encode(x, add_special_tokens=False) for x in texts]
        ids = [e.ids for e in encoded]
        around = t.encode("x").ids
        plain = t.encode("x", add_special_tokens=False).ids
        write(make.__name__, json.loads(t.to_str()), texts, ids,
              decoded=[t.decode(i) for i in ids], around=len(around) - len(plain))
    spec = json.loads(byte_level().to_str())
    back = {c: b for b, c in zip(*characters())}
    ranks = {}
    for token, _ in sorted(spec["model"]["vocab"].items(), key=lambda item: item[1]):
        if not token.startswith("<|"):
            ranks[bytes(back[c] for c in token)] = len(ranks)
    for name in ("r50k", "cl100k", "o200k"):
        from tiktoken_ext import openai_public as openai
        openai.load_tiktoken_bpe = lambda *_, **__: {}
        pattern = getattr(openai, f"{name}_base")()["pat_str"]
        encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks,
                                     special_tokens={})
        write(f"tiktoken_{name}", [base64.b64encode(b).decode() for b in ranks], texts,
              [encoding.encode_ordinary(x) for x in texts])


def characters():
    """The bytes, and their characters in GPT-2's alphabet."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return (printable + others,
            [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))])


main()
