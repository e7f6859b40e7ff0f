#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each error that a user can make, once: exit code 1, one line of ours, no incomplete files.

Alone, without a launcher, this line is all of stderr. Under mpirun, which adds its own lines,
our line appears once. `errors.py NAME…` runs only the cases whose names begin with NAME.

"""
import gzip
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402


PREFIX = "trireme: error: "
LIMIT = 30  # seconds
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}

DECK = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "seq_length": 32,
    "pos_emb": "rotary",
    "train_micro_batch_size_per_gpu": 2,
    "train_iters": 4,
    "lr": 1e-3,
    "eval_iters": 0,
}


@dataclass
class Case:
    """`{}` in arguments, keys and words stands for the folder of all files."""

    name: str
    words: list  # what the line must contain
    keys: dict = field(default_factory=dict)  # over DECK; None removes a key
    arguments: list = None  # instead of train DECK
    text: str = None  # a deck as text, instead of DECK
    ranks: tuple = (0, 2)  # 0: alone, without a launcher
    env: dict = field(default_factory=dict)
    keeps: set = frozenset()  # files that may remain in the run's folder
    warns: str = ""  # beginning of a warning that comes first


def deck_cases():
    missing = ["train", "{}/none.yml"]
    yield Case("no_such_deck", ["{}/none.yml", "No such file"], arguments=missing)
    yield Case("deck_is_a_folder", ["{}", "Is a directory"], arguments=["train", "{}"])
    yield Case("yaml_error", ["deck.yml:3:", "YAML"], text="num_layers: 2\nlr: [1,\n  2: 3}\n")
    yield Case("unknown_key", ["deck.yml:", "hiden_size", "'hidden_size'"], {"hiden_size": 64})
    yield Case(
        "unknown_key_set",
        ["--set", "trian_iters", "'train_iters'"],
        arguments=["train", "{}/deck.yml", "--set", "trian_iters=3"],
    )
    words = ["deck.yml:", "hidden_size", "integer", "wide"]
    yield Case("wrong_type", words, {"hidden_size": "wide"})
    yield Case("out_of_range", ["hidden_dropout", "1.5", "< 1"], {"hidden_dropout": 1.5})
    yield Case("negative", ["num_layers", "≥ 1", "-3"], {"num_layers": -3})
    yield Case("missing_key", ["num_layers"], {"num_layers": None})
    # The run has its folder when this check comes first: the error is in its log.
    log = {"log.txt"}
    yield Case("cuda", ["device: cuda, but on "], {"device": "cuda"}, env=NO_GPU, keeps=log)
    offload = {"stage": 3, "offload_param": {"device": "cpu"}}
    words = ["deck.yml:", "zero_optimization.offload_param.device: cpu",
             "only the optimizer's state can be offloaded"]
    yield Case("not_yet", words, {"zero_optimization": offload})
    words = ["deck.yml:", "bf16.enabled: true contradicts fp16.enabled: true"]
    on = {"enabled": True}
    yield Case("two_precisions", words, {"fp16": on, "bf16": on})
    once = {"stage": 3, "reduce_once_per_step": True}
    words = ["reduce_once_per_step: true contradicts zero_optimization.stage: 3"]
    yield Case("reduced_once_at_stage_3", words, {"zero_optimization": once})


def mesh_cases():
    yield Case(
        "ranks_not_divisible",
        ["2 ranks", "pipe_parallel_size 3", "model_parallel_size 1", "multiple of 3"],
        {"pipe_parallel_size": 3},
        ranks=(2,),
    )
    yield Case(
        "one_rank_too_few",
        ["1 rank ", "model_parallel_size 2", "multiple of 2"],
        {"model_parallel_size": 2},
        ranks=(0,),
    )
    yield Case(
        "fewer_layers_than_stages",
        ["num_layers 1", "pipe_parallel_size 2"],
        {"num_layers": 1, "pipe_parallel_size": 2},
        ranks=(2,),
    )
    yield Case(
        "contradicting_batches",
        ["train_batch_size 7", "micro_batch_size_per_gpu 2", "accumulation_steps 3"],
        {"train_batch_size": 7, "gradient_accumulation_steps": 3},
    )
    yield Case(
        "heads_not_divisible",
        ["num_attention_heads 1", "model_parallel_size 2"],
        {"num_attention_heads": 1, "model_parallel_size": 2},
        ranks=(2,),
    )
    yield Case(
        "kv_heads_not_divisible",
        ["num_kv_heads 1", "model_parallel_size 2"],
        {"num_kv_heads": 1, "model_parallel_size": 2},
        ranks=(2,),
    )
    for variable in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        yield Case(
            "foreign_launcher_" + variable,
            ["4 processes", variable, "mpirun"],
            ranks=(0,),
            env={variable: "4"},
        )


def data_cases():
    def data(name, words, keys=None, **more):
        keys = {"data_path": f"{{}}/{name}.h5", **(keys or {})}
        return Case("data_" + name, [f"{{}}/{name}.h5", *words], keys, **more)

    yield data("missing", ["No such file", "data_path"])
    yield data("text", ["no token file", "trireme prepare"])
    yield data("foreign", ["not a token file", "trireme prepare"])
    yield data("truncated", ["damaged", "cut short"])
    yield data("half", ["damaged: it has 80000 bytes and should have"])
    yield data("flipped", ["damaged", "checksum"])
    # Several ranks may read the block, and report it, at once.
    yield data("changed", ["/tokens: damaged", "checksum"], ranks=(0,),
               keeps=program.RUN_FILES)
    # In the middle of a step; deaths.py has this error on one rank of several.
    yield data("large_ids", ["id 4000", "ends at 256"], ranks=(0,), keeps=program.RUN_FILES,
               warns="{}/large_ids.h5: its format is older and has no checksums")
    yield data("tokens", ["too little data", "tokens"], {"seq_length": 50_000})
    yield Case("no_data", ["missing key", "data_path"], {"data_path": None})
    yield Case("vocabulary", ["vocab_size", "200", "257"], {"vocab_size": 200})
    yield Case(
        "validation_too_small",
        ["valid", "too little data", "data_path"],
        {"split": "90, 10, 0", "seq_length": 4000, "eval_iters": 1},
    )


def run_cases():
    # Root may write anywhere, but not below a file.
    yield Case("save_below_a_file", ["save", "{}/text.txt/run"], {"save": "{}/text.txt/run"})
    yield Case("save_is_a_file", ["save", "{}/text.txt"], {"save": "{}/text.txt"})
    run_dir = {"run_dir": "{}/text.txt/run"}
    yield Case("run_dir_below_a_file", ["run_dir", "{}/text.txt/run"], run_dir)
    yield Case("save_of_another", ["save", "{}/good holds files of another run", "overwrite"],
               {"save": "{}/good", "seed": 7})
    yield Case("no_variable", ["save", "$NO_SUCH_NAME/x", "is not set"],
               {"save": "$NO_SUCH_NAME/x"})
    yield Case("load_nothing", ["no checkpoint in {}/nowhere", "load"], {"load": "{}/nowhere"})
    yield Case("load_foreign", ["{}/odd/latest", "damaged", "load"], {"load": "{}/odd"})
    yield Case("other_seed", ["seed 1234", "7"], {"load": "{}/good", "seed": 7})
    yield Case(
        "other_width",
        ["{}/good", "hidden_size 32", "64", "set hidden_size to 32"],
        {"load": "{}/good", "hidden_size": 64},
    )
    cuts = {"": {}, "_tp": {"model_parallel_size": 2}, "_pp": {"pipe_parallel_size": 2}}
    for name, keys in cuts.items():
        yield Case(
            "loss_blows_up" + name,
            ["loss", "not finite", "iteration 2", "layers.0"],
            {"lr": 1e30, "gradient_clipping": 0, "train_iters": 8, "warmup": 0, **keys},
            ranks=(2,) if keys else (0, 2),
            keeps=program.RUN_FILES,
        )
    yield Case(  # already the weights
        "weights_blow_up",
        ["loss", "not finite", "iteration 2", "parameter embed_in.weight, element 0"],
        {"lr": 1e39, "gradient_clipping": 0, "train_iters": 8, "warmup": 0},
        keeps=program.RUN_FILES,
    )
    yield Case(  # h5py doesn't update our checksums
        "weight_was_changed",
        ["no checkpoint of {}/changed", "layers.1.mlp.dense_h_to_4h.weight", "damaged"],
        {"load": "{}/changed", "train_batch_size": 2, "train_micro_batch_size_per_gpu": 1},
        keeps=program.RUN_FILES,
    )
    # The error names the weight that holds a NaN.
    yield Case(
        "weight_is_nan",
        ["not finite", "layers.1.mlp.dense_h_to_4h.weight", "element 37"],
        {"load": "{}/nan", "train_batch_size": 2, "train_micro_batch_size_per_gpu": 1,
         "train_iters": 8, "override_lr_scheduler": True},
        keeps=program.RUN_FILES,
    )


def command_cases():
    def command(name, arguments, words, **more):
        return Case("command_" + name, words, arguments=arguments, **more)

    yield command("none", [], ["no command", "train", "--help"])
    yield command("unknown", ["trian", "{}/deck.yml"], ["'trian'", "train", "--help"])
    yield command("option", ["train", "--sets", "{}/deck.yml"], ["--sets", "train --help"])
    yield command("shell", ["--completion", "ksh"], ["ksh", "bash", "zsh", "fish", "--help"])
    train = ["train", "{}/deck.yml"]
    yield command("no_value", [*train, "--set"], ["--set", "train --help"])
    yield command("set_without_value", [*train, "--set", "lr"], ["lr", "key=value"])
    yield command("no_deck", ["train"], ["DECK"])
    yield command("bench_no_deck", ["bench"], ["DECK"])
    no_steps = ["bench", "{}/deck.yml", "--steps", "0"]
    yield command("steps", no_steps, ["--steps", "bench --help"])
    yield command("prepare_nothing", ["prepare"], ["--output", "prepare --help"])
    yield command("prepare_no_source", ["prepare", "--output", "{}/no.h5"],
                  ["--input", "--images"])


def prepare_cases():
    def prepare(name, given, words, output="{}/run/out.h5", more=()):
        arguments = ["prepare", "--input", given, "--output", output, *more]
        return Case("prepare_" + name, words, arguments=arguments)

    yield prepare("no_input", "{}/none.txt", ["{}/none.txt", "No such file"])
    yield prepare("no_file", "/dev/null", ["/dev/null", "not a regular file"])
    yield prepare("pattern", "{}/*.none", ["{}/*.none", "no file has a name"])
    yield prepare("bad_json", "{}/bad.jsonl", ["{}/bad.jsonl, line 3", "JSON"])
    yield prepare("damaged", "{}/packed.txt", ["{}/packed.txt: damaged", "cut short"])
    packed = "it holds PDF, not text; extract its text first"
    yield prepare("pdf", "{}/a.pdf", ["{}/a.pdf: " + packed, "--format text"])
    chat = ["--chat-template", "vulcan"]
    yield prepare("chat", "{}/text.txt", ["vulcan", "chatml"], more=chat)
    yield prepare("pairs", "{}/text.txt", ["--label-key contradicts"],
                  more=["--pairs", "--label-key", "k"])
    never = ["--document-separator", "xyzzy"]
    yield prepare("separator", "{}/text.txt", ["separator stands nowhere"], more=never)
    both = ["--format", "text", "--json-keys", "k"]
    yield prepare("format", "{}/text.txt", ["--format text contradicts"], more=both)
    yield prepare("no_text", "{}/other.jsonl", ["{}/other.jsonl, line 2", '"text"'])
    yield prepare("empty", "{}/empty.txt", ["no text"])
    yield prepare("few", "{}/text.txt", ["all documents are left out (1 below --min-tokens)"],
                  more=["--min-tokens", "1000000000"])
    yield prepare("report", "{}/text.txt", ["{}/none/a.json: cannot write"],
                  more=["--json", "{}/none/a.json"])
    yield prepare("report_is_output", "{}/text.txt", ["both --output and --json"],
                  output="{}/new.h5", more=["--json", "{}/./new.h5"])
    yield prepare("report_is_input", "{}/text.txt", ["both --input and --json"],
                  more=["--json", "{}/text.txt"])
    yield prepare("output", "{}/text.txt", ["{}/deck.yml/out.h5"], "{}/deck.yml/out.h5")
    text = "{}/text.txt"
    taken = "{}/tokens.h5"
    yield prepare("taken", text, [taken, "exists", "--overwrite"], taken)
    yield prepare("device", text, ["/dev/null", "a device"], "/dev/null")
    yield prepare("onto_input", text, [text, "both input and output"], text)
    separator = ["--document-separator", r"\q"]
    yield prepare("escape", text, [r"\q", r"\n"], more=separator)
    yield prepare("tokenizer", text, ["bpe", "bytes"], more=["--tokenizer", "bpe"])


GROUPS = [deck_cases, mesh_cases, data_cases, run_cases, command_cases, prepare_cases]


def make_files(folder):
    """Files that the cases break, each in its own way."""
    good = program.make_tokens(folder)
    shutil.copy(folder / "text.txt", folder / "text.h5")
    (folder / "truncated.h5").write_bytes(good.read_bytes()[:5000])
    (folder / "half.h5").write_bytes(good.read_bytes()[:80000])
    flipped = bytearray(good.read_bytes())
    flipped[(1 << 16) + 40] ^= 1  # in HDF5's own first bytes
    (folder / "flipped.h5").write_bytes(flipped)
    changed = bytearray(good.read_bytes())
    changed[program.token_offset(good) + 2] ^= 1
    (folder / "changed.h5").write_bytes(changed)
    program.write_old_tokens(good, folder / "large_ids.h5", lambda tokens: tokens.fill(4000))
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["tokens"] = [1, 2, 3]
    (folder / "bad.jsonl").write_text('{"text": "a"}\n\n{"text": oh}\n{"text": "b"}\n')
    (folder / "other.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n')
    (folder / "empty.txt").touch()
    (folder / "packed.txt").write_bytes(gzip.compress(b"text")[:-1])
    (folder / "a.pdf").write_bytes(b"%PDF-1.7 ...")
    (folder / "odd").mkdir()
    (folder / "odd" / "latest").write_text("../../etc\n")
    program.write_deck(folder / "deck.yml", deck_of(folder, {"save": str(folder / "good")}))
    program.run_well(1, "train", folder / "deck.yml")
    shutil.copytree(folder / "good", folder / "nan")
    with h5py.File(folder / "nan" / "global_step4" / "shard-00000.h5", "r+") as file:
        pieces = []
        file["model"].visit(pieces.append)
        name = next(n for n in pieces if "layers.1.mlp.dense_h_to_4h.weight" in n)
        weight = file["model"][name]
        row = weight[1]
        row[5] = float("nan")
        weight[1] = row
    shutil.copytree(folder / "nan", folder / "changed")
    program.seal_all(folder / "nan" / "global_step4")


def filled(value, folder):
    return value.replace("{}", str(folder)) if isinstance(value, str) else value


def deck_of(folder, keys):
    deck = {**DECK, "data_path": "{}/tokens.h5", "save": "{}/run", **keys}
    return {k: filled(v, folder) for k, v in deck.items() if v is not None}


def start(case, ranks, folder):
    if case.text is None:
        program.write_deck(folder / "deck.yml", deck_of(folder, case.keys))
    else:
        (folder / "deck.yml").write_text(case.text)
    arguments = ["train", "{}/deck.yml"] if case.arguments is None else case.arguments
    arguments = [filled(a, folder) for a in arguments]
    alone = [str(program.PROGRAM), *arguments]
    return subprocess.run(
        program.command(ranks, *arguments) if ranks else alone,
        env=program.environment(**case.env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def problems_of(case, ranks, folder):
    """What is wrong with the program's output, and its line."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    if case.name.startswith("prepare"):
        run.mkdir()
    before = set(folder.rglob("*"))
    try:
        done = start(case, ranks, folder)
    except subprocess.TimeoutExpired:
        return [f"it still ran after {LIMIT} s"], ""
    wrong = []
    if done.returncode != 1:
        wrong.append(f"exit code {done.returncode}")
    # hwloc, inside MPI, complains about containers without /sys.
    # A YAML error shows its line and a caret below the message, indented.
    lines = [line for line in done.stderr.splitlines()
             if not line.startswith(("[hwloc/", "  "))]
    ours = [line for line in lines if "trireme: error:" in line]
    if len(ours) != 1 or not ours[0].startswith(PREFIX):
        return [*wrong, f"not one line of ours:\n{done.stderr}"], ""
    if case.warns:
        count, warning = len(lines), f"warning: {filled(case.warns, folder)}"
        lines = [line for line in lines if not line.startswith(warning)]
        if len(lines) != count - 1:
            wrong.append(f"not one warning '{case.warns}':\n{done.stderr}")
    if ranks == 0 and len(lines) != 1:
        wrong.append(f"more than one line:\n{done.stderr}")
    for word in case.words:
        if filled(word, folder) not in ours[0]:
            wrong.append(f"it does not say '{word}'")
    new = set(folder.rglob("*")) - before - {run, folder / "deck.yml"}
    left = sorted(str(p.relative_to(folder)) for p in new if p.name not in case.keeps)
    if left:
        wrong.append(f"it left {left}")
    return wrong, ours[0].replace(str(folder), "…")


def good_answers(folder):
    """Runs that succeed, and runs that only warn."""
    wrong = []

    def expect(name, done, words, out, err=None):
        text = done.stdout if out else done.stderr
        for word in words:
            if word not in text:
                wrong.append(f"{name}: no '{word}' in:\n{text}")
        if done.returncode != 0:
            wrong.append(f"{name}: exit code {done.returncode}: {done.stderr}")
        if err is not None and done.stderr != err:
            wrong.append(f"{name}: on stderr: {done.stderr}")

    answers = {
        ("--help",): ["train", "bench", "plan", "verify", "prepare", "inspect",
                      "--version"],
        ("train", "--help"): ["DECK", "--set", "--help-keys"],
        ("prepare", "--help"): ["--input", "--output", "--json-keys", "--on-error"],
        ("inspect", "--help"): ["CHECKPOINT", "--verify", "--diff", "--deck"],
        ("verify", "--help"): ["DECK", "--set", "--steps", "--json", "--all", "--checkpoint"],
        ("--version",): ["trireme ", "MPI", "HDF5", "OpenBLAS"],
        ("train", "--help-keys"): ["num_layers", "pipe_parallel_size", "default"],
    }
    for arguments, words in answers.items():
        name = " ".join(arguments)
        alone = start(Case(name, [], arguments=list(arguments)), 0, folder)
        expect(name, alone, words, True, "")
        both = start(Case(name, [], arguments=list(arguments)), 2, folder)
        if both.returncode != 0 or both.stdout != alone.stdout:
            wrong.append(f"{name}: not the same from two ranks: {both.stdout}{both.stderr}")
    without_effect = {
        "wandb": {"use_wandb": True, "wandb_project": "x", "wandb_group": "y"},
        "keys of GPUs": {"communication": "staged", "attention_kernel": "own", "profile": True,
                         "allow_tf32": True, "gemm_autotune": True},
    }
    for name, deck in without_effect.items():
        shutil.rmtree(folder / "run", ignore_errors=True)
        done = start(Case(name, [], deck), 2, folder)
        expect(name, done, ["warning"], False)
        if any(done.stderr.count(word) != 1 for word in (*deck, "warning")):
            wrong.append(f"{name}: not one warning of each key:\n{done.stderr}")
    shutil.rmtree(folder / "run", ignore_errors=True)
    done = start(Case("auto", [], {"device": "auto"}, env=NO_GPU), 2, folder)
    expect("device: auto", done, ["thread a rank"], True)
    return wrong


def main():
    wanted = tuple(sys.argv[1:])
    folder = program.work_folder("errors")
    os.chdir(folder)
    make_files(folder)
    failed = 0
    for case in (c for group in GROUPS for c in group()):
        if wanted and not case.name.startswith(wanted):
            continue
        for ranks in case.ranks:
            began = time.monotonic()
            wrong, line = problems_of(case, ranks, folder)
            seconds = time.monotonic() - began
            failed += bool(wrong)
            print(f"{case.name} at {ranks or 'one, alone'}, {seconds:.1f} s: {line}")
            for text in wrong:
                print(f"  FAILED: {text}")
    if not wanted:
        for text in good_answers(folder):
            failed += 1
            print(f"FAILED: {text}")
    return program.finish(folder, failed)


if __name__ == "__main__":
    sys.exit(main())
