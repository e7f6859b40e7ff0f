#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Compares each part of our tokenizers with Hugging Face's tokenizers and with SentencePiece:
# normalizers, pre-tokenizers, models, decoders, and SentencePiece models. Vocabularies are
# trained here, on the text of the demo. Needs `pip install tokenizers sentencepiece protobuf`
# and the target tokenizer_probe.
#   compare_pieces.py PROBE [--random N] [--seed S] [--only NAME] [--work FOLDER]
#                     [--models FILE...]
import argparse
import base64
import gettext
import gzip
import json
import random
import struct
import subprocess
import sys
import unicodedata
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

GCIDE = Path("/usr/share/dictd/gcide.dict.dz")
LOCALES = Path("/usr/share/locale")
INTERESTING = (
    "\0\t\n\v\f\r \x7f\x85\xa0\xad\u0300\u0301\u0323\u0345\u034f\u0378\u05b0\u0600\u06dd"
    "\u094d\u09be\u0e31\u0e33\u1100\u1161\u11a8\uac00\u1680\u180e\u200b\u200c\u200d\u200e"
    "\u2028\u2029\u202f\u205f\u2060\u2581\u3000\u30fc\ufe0f\ufeff\ufffd\uffff\U0001f1e6"
    "\U0001f3fd\U0001f468\U000e0100\U000e0067aAeEiI'.,!?-_<>/09\u0130\u0131\u03a3\u03c2"
    "\ufb01\u2126\u212b\uff21\uff10\u4e00\u3042\u30a2\u0416\u0e01\u1e9e\u00df\u0149\u01c4"
    "\u1f80\u0390"
)


def translations(count):
    """Texts in the languages of this machine's message catalogs."""
    found = []
    for path in sorted(LOCALES.glob("*/LC_MESSAGES/*.mo")):
        try:
            with path.open("rb") as file:
                catalog = gettext.GNUTranslations(file)._catalog
        except (OSError, IndexError, ValueError):
            continue
        texts = [v for k, v in catalog.items() if isinstance(v, str) and v]
        found += texts[1:400:7]
    random.shuffle(found)
    return found[:count]


def random_text(rng):
    kind = rng.random()
    size = rng.randrange(1, 24)
    if kind < 0.4:
        return "".join(rng.choice(INTERESTING) for _ in range(size))
    if kind < 0.7:
        blocks = [rng.randrange(0, 0x11000) * 16 % 0x110000 for _ in range(2)]
        points = [rng.choice(blocks) + rng.randrange(16) for _ in range(size)]
    elif kind < 0.85:
        points = [rng.randrange(0x3000) for _ in range(size)]
    else:
        points = [rng.randrange(0x110000) for _ in range(size)]
    text = "".join(chr(c) for c in points if not 0xD800 <= c <= 0xDFFF)
    return text if rng.random() < 0.5 else "".join(c + rng.choice(INTERESTING) for c in text)


def english(count):
    with gzip.open(GCIDE, "rt", errors="replace") as file:
        text = file.read(40_000_000)
    paragraphs = text.split("\n\n")
    rng = random.Random(1)
    return paragraphs, rng.sample(paragraphs, min(count, len(paragraphs)))


class Comparison:
    def __init__(self, probe, work, texts):
        self.probe, self.work, self.texts = probe, work, texts
        self.different = 0

    def ours(self, part, definition, records):
        path = self.work / "part"
        path.write_bytes(
            definition if isinstance(definition, bytes) else json.dumps(definition).encode()
        )
        stdin = b"".join(struct.pack("<I", len(r)) + r for r in records)
        done = subprocess.run(
            [self.probe, part, path], input=stdin, capture_output=True, check=False
        )
        if done.returncode:
            sys.exit(f"{part}: {done.stderr.decode()}")
        out, at = [], 0
        while at < len(done.stdout):
            (size,) = struct.unpack_from("<I", done.stdout, at)
            out.append(done.stdout[at + 4 : at + 4 + size])
            at += 4 + size
        return out, done.stderr.decode().split(": ")[-1].strip()

    def compare(self, name, part, definition, records, expected, same=lambda a, b: a == b):
        got, speed = self.ours(part, definition, records)
        assert len(got) == len(expected), name
        bad = [i for i in range(len(got)) if not same(got[i], expected[i])]
        self.different += len(bad)
        print(f"{name:44} {len(got):8} texts {len(bad):6} differ   {speed}", flush=True)
        for i in bad[:3]:
            print(f"    {records[i]!r}\n      ours   {got[i]!r}\n      theirs {expected[i]!r}")


def normalizer_specs(charsmap):
    bert = [
        dict(
            type="BertNormalizer",
            clean_text=a,
            handle_chinese_chars=b,
            strip_accents=c,
            lowercase=d,
        )
        for a, b, c, d in (
            (1, 1, None, 1),
            (1, 0, 0, 1),
            (0, 1, 1, 0),
            (1, 1, None, 0),
            (0, 0, 1, 1),
        )
    ]
    for spec in bert:
        spec.update({k: bool(v) for k, v in spec.items() if isinstance(v, int)})
    simple = [
        dict(type=t)
        for t in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")
    ]
    other = [
        dict(type="Prepend", prepend="\u2581"),
        dict(type="Replace", pattern=dict(String=" "), content="\u2581"),
        dict(type="Replace", pattern=dict(String="aa"), content="b"),
        dict(type="Replace", pattern=dict(Regex=r" {2,}|\s+$"), content="\u2581"),
        dict(type="Strip", strip_left=True, strip_right=False),
        dict(type="Strip", strip_left=False, strip_right=True),
        dict(type="Precompiled", precompiled_charsmap=charsmap),
        dict(
            type="Sequence",
            normalizers=[dict(type="NFD"), dict(type="Lowercase"), dict(type="StripAccents")],
        ),
    ]
    return simple + bert + other


def pre_tokenizer_specs():
    yield dict(type="BertPreTokenizer")
    yield dict(type="Whitespace")
    yield dict(type="WhitespaceSplit")
    yield dict(type="UnicodeScripts")
    yield dict(type="CharDelimiterSplit", delimiter="-")
    yield dict(type="FixedLength", length=3)
    for one in (True, False):
        yield dict(type="Digits", individual_digits=one)
    for behavior in (
        "Removed",
        "Isolated",
        "MergedWithPrevious",
        "MergedWithNext",
        "Contiguous",
    ):
        yield dict(type="Punctuation", behavior=behavior)
    for scheme in ("always", "never", "first"):
        for split in (True, False):
            yield dict(
                type="Metaspace", replacement="\u2581", prepend_scheme=scheme, split=split
            )


def whole(**parts):
    spec = dict(
        version="1.0",
        truncation=None,
        padding=None,
        added_tokens=[],
        normalizer=None,
        pre_tokenizer=None,
        post_processor=None,
        decoder=None,
        model=dict(type="WordLevel", vocab={"a": 0}, unk_token="a"),
    )
    return Tokenizer.from_str(json.dumps({**spec, **parts}))


def compare_normalizers(c, charsmap):
    for spec in normalizer_specs(charsmap):
        theirs = whole(normalizer=spec).normalizer
        records = [t.encode() for t in c.texts]
        name = "normalizer " + " ".join(
            str(v) for k, v in spec.items() if k != "precompiled_charsmap"
        )
        c.compare(
            name[:44],
            "normalizer",
            spec,
            records,
            [theirs.normalize_str(t).encode() for t in c.texts],
        )


def compare_pre_tokenizers(c):
    for spec in pre_tokenizer_specs():
        theirs = whole(pre_tokenizer=spec).pre_tokenizer
        records = [t.encode() for t in c.texts]
        expected = [[p for p, _ in theirs.pre_tokenize_str(t)] for t in c.texts]
        name = "pre_tokenizer " + " ".join(str(v) for v in spec.values())
        c.compare(
            name[:44], "pre_tokenizer", spec, records, expected, lambda a, b: json.loads(a) == b
        )


def trained(paragraphs, size=8000):
    """{name: a model's spec}"""
    made = {}
    corpus = paragraphs[:20000]
    for name, model, trainer in (
        (
            "WordPiece",
            models.WordPiece(unk_token="[UNK]"),
            trainers.WordPieceTrainer(
                vocab_size=size, special_tokens=["[UNK]"], show_progress=False
            ),
        ),
        (
            "WordLevel",
            models.WordLevel(unk_token="[UNK]"),
            trainers.WordLevelTrainer(
                vocab_size=size, special_tokens=["[UNK]"], show_progress=False
            ),
        ),
        (
            "Unigram",
            models.Unigram(),
            trainers.UnigramTrainer(
                vocab_size=size // 2,
                unk_token="<unk>",
                special_tokens=["<unk>"],
                show_progress=False,
            ),
        ),
    ):
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = (
            pre_tokenizers.Metaspace() if name == "Unigram" else pre_tokenizers.Whitespace()
        )
        tokenizer.train_from_iterator(corpus, trainer)
        made[name] = json.loads(tokenizer.to_str())["model"]
    fallback = dict(made["Unigram"], byte_fallback=True)
    fallback["vocab"] = fallback["vocab"] + [[f"<0x{b:02X}>", -20.0] for b in range(256)]
    made["Unigram with bytes"] = fallback
    return made


def compare_models(c, specs):
    for name, spec in specs.items():
        theirs = whole(model=spec)
        words = [w for t in c.texts for w in ("\u2581" + t.replace(" ", " \u2581")).split(" ")][
            :400000
        ]
        words += c.texts[:20000]
        words = [w for w in words if w]
        expected = [theirs.encode(w, add_special_tokens=False).ids for w in words]
        c.compare(
            "model " + name,
            "model",
            spec,
            [w.encode() for w in words],
            expected,
            lambda a, b: json.loads(a) == b,
        )


def compare_decoders(c, specs):
    vocab = [t for t, _ in specs["Unigram with bytes"]["vocab"]] + list(
        specs["WordPiece"]["vocab"]
    )
    vocab += [
        "",
        " .",
        " do not",
        "n't",
        "'s",
        "</w>",
        "a</w>",
        "\u0120a",
        "\u010a",
        "\u00e9\u0142",
        "<0xZZ>",
        "<0x+A>",
        "\u2581\u2581",
    ]
    rng = random.Random(2)
    byte = lambda: f"<0x{rng.randrange(256):02X}>"
    lists = [
        [
            byte() if rng.random() < 0.3 else rng.choice(vocab)
            for _ in range(rng.randrange(1, 12))
        ]
        for _ in range(20000)
    ]
    specials = [
        dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
        dict(type="WordPiece", prefix="##", cleanup=True),
        dict(type="WordPiece", prefix="##", cleanup=False),
        dict(type="Metaspace", replacement="\u2581", prepend_scheme="always", split=True),
        dict(type="Metaspace", replacement="\u2581", prepend_scheme="never", split=True),
        dict(type="ByteFallback"),
        dict(type="Fuse"),
        dict(type="BPEDecoder", suffix="</w>"),
        dict(type="Replace", pattern=dict(String="\u2581"), content=" "),
        dict(
            type="Sequence",
            decoders=[
                dict(type="Replace", pattern=dict(String="\u2581"), content=" "),
                dict(type="ByteFallback"),
                dict(type="Fuse"),
                dict(type="Strip", content=" ", start=1, stop=0),
            ],
        ),
    ]
    for spec in specials:
        theirs = whole(decoder=spec).decoder
        expected = [theirs.decode(tokens) for tokens in lists]
        c.compare(
            f"decoder {spec['type']} {spec.get('cleanup', '')}",
            "decoder",
            spec,
            [json.dumps(tokens).encode() for tokens in lists],
            expected,
            lambda a, b: a.decode(errors="replace") == b,
        )


def whole_specs(specs, charsmap):
    """{name: a tokenizer.json of the kind that encoders have}"""
    special = lambda ids, names: [
        dict(
            id=i,
            content=n,
            single_word=False,
            lstrip=n == "[MASK]",
            rstrip=False,
            normalized=False,
            special=True,
        )
        for i, n in zip(ids, names)
    ]
    piece = dict(specs["WordPiece"])
    piece["vocab"] = dict(piece["vocab"])
    names = ["[CLS]", "[SEP]", "[MASK]"]
    for name in names:
        piece["vocab"][name] = len(piece["vocab"])
    around = [
        dict(SpecialToken=dict(id="[CLS]", type_id=0)),
        dict(Sequence=dict(id="A", type_id=0)),
        dict(SpecialToken=dict(id="[SEP]", type_id=0)),
    ]
    made = {
        "bert": dict(
            added_tokens=special([piece["vocab"][n] for n in names], names),
            model=piece,
            normalizer=dict(
                type="BertNormalizer",
                clean_text=True,
                handle_chinese_chars=True,
                strip_accents=None,
                lowercase=True,
            ),
            pre_tokenizer=dict(type="BertPreTokenizer"),
            post_processor=dict(
                type="TemplateProcessing",
                single=around,
                pair=around + around[1:],
                special_tokens={
                    n: dict(id=n, ids=[piece["vocab"][n]], tokens=[n]) for n in names
                },
            ),
            decoder=dict(type="WordPiece", prefix="##", cleanup=True),
        )
    }
    for scheme in ("always", "first"):
        unigram = dict(specs["Unigram"])
        unigram["vocab"] = unigram["vocab"] + [["[SEP]", 0.0]]
        made["xlm-roberta " + scheme] = dict(
            added_tokens=special([len(unigram["vocab"]) - 1], ["[SEP]"]),
            model=unigram,
            normalizer=dict(
                type="Sequence",
                normalizers=[
                    dict(type="Precompiled", precompiled_charsmap=charsmap),
                    dict(type="Replace", pattern=dict(Regex=" {2,}"), content=" "),
                ],
            ),
            pre_tokenizer=dict(
                type="Metaspace", replacement="\u2581", prepend_scheme=scheme, split=True
            ),
            decoder=dict(
                type="Metaspace", replacement="\u2581", prepend_scheme=scheme, split=True
            ),
        )
    return made


def compare_whole(c, specs, paragraphs):
    text = "\n".join(paragraphs[20000:60000])
    for name, spec in specs.items():
        theirs = whole(**spec)
        full = json.loads(theirs.to_str())
        full.pop("truncation"), full.pop("padding")
        rng = random.Random(4)
        texts = c.texts + [
            t + rng.choice([" [MASK]", "[SEP]", " [CLS] x"]) + t for t in c.texts[:5000]
        ]
        encoded = theirs.encode_batch_fast(texts, add_special_tokens=False)
        ids = [e.ids for e in encoded]
        c.compare(
            "tokenizer " + name,
            "hf_encode",
            full,
            [t.encode() for t in texts],
            ids,
            lambda a, b: json.loads(a) == b,
        )
        c.compare(
            "  decode",
            "hf_decode",
            full,
            [json.dumps(i).encode() for i in ids[:40000]],
            [theirs.decode(i).encode() for i in ids[:40000]],
        )
        pages = [text[i : i + 4000] for i in range(0, len(text), 4000)]
        c.compare(
            "  English, pages of 4000 characters",
            "hf_encode",
            full,
            [t.encode() for t in pages],
            [e.ids for e in theirs.encode_batch_fast(pages, add_special_tokens=False)],
            lambda a, b: json.loads(a) == b,
        )


def sentence_pieces(work, paragraphs):
    """[(name, bytes of a model)]: trained ones"""
    text = work / "sp.txt"
    text.write_text("\n".join(p.replace("\n", " ") for p in paragraphs[:20000]))
    for name, options in {
        "bpe": dict(
            model_type="bpe",
            byte_fallback=True,
            user_defined_symbols=["<sep>", "ing", "\u2581the\u2581"],
        ),
        "bpe without extras": dict(
            model_type="bpe",
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            split_by_whitespace=False,
        ),
        "unigram": dict(
            model_type="unigram",
            user_defined_symbols=["<sep>", "ing"],
            control_symbols=["<ctl>"],
        ),
        "unigram nfkc_cf bytes": dict(
            model_type="unigram",
            byte_fallback=True,
            normalization_rule_name="nmt_nfkc_cf",
            remove_extra_whitespaces=False,
        ),
        "unigram suffix": dict(
            model_type="unigram", treat_whitespace_as_suffix=True, character_coverage=0.98
        ),
    }.items():
        model = work / f"sp-{name.replace(' ', '_')}-0.model"
        if not model.exists():
            sentencepiece.SentencePieceTrainer.train(
                input=str(text),
                model_prefix=str(model)[:-6],
                vocab_size=4000,
                minloglevel=2,
                num_threads=1,
                input_sentence_size=20000,
                **options,
            )
        yield name, model.read_bytes()


def compare_sentence_pieces(c, named):
    bad = [
        b"\xff\xfeabc",
        b"a\xc3",
        b"\xe2\x82 x",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\x80",
    ]
    for name, model in named:
        theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
        records = [t.encode() for t in c.texts] + bad
        expected = [theirs.encode(t) for t in c.texts] + [theirs.encode(b) for b in bad]
        c.compare(
            "sentencepiece " + name,
            "sp_encode",
            model,
            records,
            expected,
            lambda a, b: json.loads(a) == b,
        )
        rng = random.Random(3)
        ids = expected[:20000] + [
            [
                rng.randrange(theirs.vocab_size()) if rng.random() < 0.5 else rng.randrange(300)
                for _ in range(8)
            ]
            for _ in range(20000)
        ]
        c.compare(
            "  decode",
            "sp_decode",
            model,
            [json.dumps(i).encode() for i in ids],
            [theirs.decode(i).encode() for i in ids],
        )


def charsmap_needed(chosen):
    return any(map(chosen, ("sentencepiece", "normalizers", "whole")))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("probe", type=Path)
    parser.add_argument("--random", type=int, default=100_000, help="how many random strings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only",
        default="",
        help="normalizers, pre_tokenizers, models, decoders, whole or sentencepiece",
    )
    parser.add_argument("--work", type=Path, default=Path("/tmp/compare_pieces"))
    parser.add_argument(
        "--models", type=Path, nargs="*", default=[], help="more SentencePiece models"
    )
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    random.seed(arguments.seed)
    rng = random.Random(arguments.seed)
    paragraphs, sample = english(4000)
    texts = sample + translations(20000) + [random_text(rng) for _ in range(arguments.random)]
    texts += [
        chr(c) + "a" + chr(c)
        for c in range(0x110000)
        if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")
    ]
    c = Comparison(arguments.probe, arguments.work, texts)
    chosen = lambda name: arguments.only in ("", name)
    named = list(sentence_pieces(arguments.work, paragraphs)) if charsmap_needed(chosen) else []
    charsmap = ""
    if named:
        model = model_pb2.ModelProto.FromString(dict(named)["unigram"])
        charsmap = base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()
    if chosen("normalizers"):
        compare_normalizers(c, charsmap)
    if chosen("pre_tokenizers"):
        compare_pre_tokenizers(c)
    if chosen("models") or chosen("decoders") or chosen("whole"):
        path = arguments.work / "models.json"
        if not path.exists():
            path.write_text(json.dumps(trained(paragraphs)))
        specs = json.loads(path.read_text())
        if chosen("models"):
            compare_models(c, specs)
        if chosen("whole"):
            compare_whole(c, whole_specs(specs, charsmap), paragraphs)
        if chosen("decoders"):
            compare_decoders(c, specs)
    if chosen("sentencepiece"):
        compare_sentence_pieces(c, named + [(p.name, p.read_bytes()) for p in arguments.models])
    print(f"{c.different} differences")
    sys.exit(c.different > 0)


if __name__ == "__main__":
    main()
