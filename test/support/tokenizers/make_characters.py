#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes character_tables.cpp and pre_tokenizers/unicode_scripts_table.cpp of src/tokenizer: how
# Hugging Face's tokenizers class each code point, asked of the library itself. Needs
# `pip install tokenizers sentencepiece protobuf`.
#   make_characters.py [--check]
import argparse
import sys
import tempfile
from pathlib import Path

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import normalizers, pre_tokenizers

ROOT = Path(__file__).resolve().parents[3]
LAST = 0x10FFFF
WIDTH = 96


def characters():
    for c in range(LAST + 1):
        if not 0xD800 <= c <= 0xDFFF:
            yield c, chr(c)


def bert(**on):
    flags = dict(
        clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False
    )
    return normalizers.BertNormalizer(**{**flags, **on})


def pieces(pre_tokenizer, text):
    return [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]


def classes():
    """{name of a class: the code points in it}"""
    found = {}
    clean, accents, marks = (
        bert(clean_text=True),
        bert(strip_accents=True),
        normalizers.StripAccents(),
    )
    white, word = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Whitespace()
    digits, punctuation = pre_tokenizers.Digits(True), pre_tokenizers.Punctuation()
    found["white_space"] = [c for c, s in characters() if not pieces(white, s)]
    found["numeric"] = [c for c, s in characters() if len(pieces(digits, "a" + s)) == 2]
    found["punctuation"] = [
        c for c, s in characters() if len(pieces(punctuation, "a" + s)) == 2
    ]
    # 0 and U+FFFD are dropped for other reasons; the white space of ASCII is kept.
    found["other"] = [c for c, s in characters() if not clean.normalize_str(s)]
    found["nonspacing_mark"] = [c for c, s in characters() if not accents.normalize_str(s)]
    found["mark"] = [c for c, s in characters() if not marks.normalize_str(s)]
    found["word"] = [
        c for c, s in characters() if len(pieces(word, "a" + s)) == 1 and pieces(word, s)
    ]
    found["normalized"] = normalized()
    found["extends"], found["prepends"] = clusters()
    return found


def clusters():
    """Code points that join the grapheme cluster before them, and behind them."""
    # A rule for `a` replaces a short cluster that begins so, and a rule for two code points
    # replaces a cluster of just these.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules").write_text("61\t62\n65 301\t7A\n")
        (Path(folder) / "text").write_text("\n".join("abcdefgh"[i:] for i in range(8)))
        sentencepiece.SentencePieceTrainer.train(
            input=f"{folder}/text",
            model_prefix=f"{folder}/model",
            vocab_size=12,
            hard_vocab_limit=False,
            normalization_rule_tsv=f"{folder}/rules",
            minloglevel=2,
        )
        model = model_pb2.ModelProto.FromString(Path(f"{folder}/model.model").read_bytes())
    rules = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    extends = [c for c, s in characters() if s != "a" and rules.normalize_str("a" + s) == "b"]
    prepends = [
        c for c, s in characters() if rules.normalize_str(s + "e\u0301").endswith("e\u0301")
    ]
    return extends, prepends


def normalized():
    """Code points that change in a normal form, are reordered, or compose with others."""
    forms = [normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD()]
    nfd, nfc = forms[1], forms[0]
    found = set()
    for c, s in characters():
        if any(form.normalize_str(s) != s for form in forms):
            found.add(c)
        # 0x345 has the largest combining class, 0x334 the smallest.
        if (
            nfd.normalize_str("\u0345" + s) != "\u0345" + s
            or nfd.normalize_str(s + "\u0334") != s + "\u0334"
        ):
            found.add(c)
    found.update((0x334, 0x345))
    for c in list(found):
        parts = nfd.normalize_str(chr(c))
        if len(parts) > 1:
            found.update(map(ord, parts))
    found.update(range(0x1100, 0x1200))  # Hangul, which composes by rule
    return sorted(found)


def ranges(points):
    """[(first, size)]"""
    made = []
    for c in points:
        if made and c == made[-1][0] + made[-1][1]:
            made[-1][1] += 1
        else:
            made.append([c, 1])
    return made


def lower_case():
    """[(first, count, step, distance)]"""
    lower = normalizers.Lowercase()
    runs = []
    for c, s in characters():
        small = lower.normalize_str(s)
        if small == s:
            continue
        if len(small) > 1:
            assert (c, small) == (0x130, "i\u0307"), (c, small)
            continue
        distance = (ord(small) - c) % 2**32
        if runs and runs[-1][3] == distance:
            first, count, step, _ = runs[-1]
            if count == 1 and c - first <= 2:
                runs[-1][1:3] = 2, c - first
                continue
            if count > 1 and c == first + count * step:
                runs[-1][1] += 1
                continue
        runs.append([c, 1, 1, distance])
    return runs


def scripts():
    """[(first, size, script)]: numbers from 1 on stand for scripts. Others are in no script."""
    splitter = pre_tokenizers.UnicodeScripts()
    runs, examples = [], []
    for c, s in characters():
        if not pieces(splitter, s):
            continue
        if runs and sum(runs[-1][:2]) == c and len(pieces(splitter, chr(c - 1) + s)) == 1:
            runs[-1][1] += 1
            continue
        same = [i for i, known in enumerate(examples) if len(pieces(splitter, known + s)) == 1]
        if not same:
            examples.append(s)
        runs.append([c, 1, same[0] + 1 if same else len(examples)])
    return runs


def lines(items):
    text, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            text.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*text, line])


def camel(name):
    return "".join(word.capitalize() for word in name.split("_"))


def head(purpose):
    return f"""// SPDX-License-Identifier: Apache-2.0
// {purpose}, as tokenizers {tokenizers.__version__} knows them.
// test/support/tokenizers/make_characters.py wrote this file.
"""


def tables():
    text = head("Classes and lower case of code points") + '#include "characters.hpp"\n\n'
    text += "// clang-format off\nnamespace trireme::character_tables {\n\nnamespace {\n"
    names = []
    for name, points in classes().items():
        names.append(name)
        numbers, end = [], 0
        for first, size in ranges(points):
            numbers += [first - end, size]
            end = first + size
        body = lines(map(str, numbers))
        text += f"\nconstexpr std::uint32_t k{camel(name)}Numbers[] = {{\n{body}\n}};\n"
    runs = [
        f"{{{first}, {count}, {step}, {distance}U}}"
        for first, count, step, distance in lower_case()
    ]
    text += f"\nconstexpr LowerCase kLowerCaseNumbers[] = {{\n{lines(runs)}\n}};\n\n"
    text += "}  // namespace\n\n"
    for name in names:
        text += f"const std::span<const std::uint32_t> k{camel(name)}(k{camel(name)}Numbers);\n"
    text += "const std::span<const LowerCase> kLowerCase(kLowerCaseNumbers);\n\n"
    return text + "}  // namespace trireme::character_tables\n"


def scripts_table():
    text = head("Scripts of code points") + '#include "unicode_scripts.hpp"\n\n'
    text += "// clang-format off\nnamespace trireme {\n\nnamespace {\n\n"
    items, end = [], 0
    for first, size, script in scripts():
        items.append(f"{{{first - end},{size},{script}}}")
        end = first + size
    text += (
        f"constexpr ScriptRange kRanges[] = {{\n{lines(items)}\n}};\n\n}}  // namespace\n\n"
    )
    return (
        text
        + "const std::span<const ScriptRange> kScriptRanges(kRanges);\n\n"
        + "}  // namespace trireme\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with the files")
    arguments = parser.parse_args()
    different = False
    folder = ROOT / "src/tokenizer"
    for path, text in (
        (folder / "character_tables.cpp", tables()),
        (folder / "pre_tokenizers/unicode_scripts_table.cpp", scripts_table()),
    ):
        if arguments.check:
            different |= path.read_text() != text
        else:
            path.write_text(text)
    if different:
        sys.exit("the tables differ from what the library says")


if __name__ == "__main__":
    main()
