#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes what stands in this folder: examples of six tasks in their published layouts, a small
# GPT-NeoX model that learned such texts, and golden.json. That file holds what
# lm-evaluation-harness says of the model. The examples are made up here, word by word.
#
# Needs: Python >= 3.10, lm-eval (0.4.13), PyTorch, transformers, tokenizers and datasets, e.g.
#     python3 -m venv venv && venv/bin/pip install lm-eval torch transformers
# Usage: HF_HUB_OFFLINE=1 make_golden.py
#
# golden.json:
#     requests     {tokens, scored, log_likelihood, greedy}: each sequence that lm-eval scored
#     generations  {prompt, tokens}: what Hugging Face's generate wrote
#     tasks        {name: {metric: [value of each example]}}, and as "results" lm-eval's means
#                  and standard errors
#     rolling      log-likelihoods of the lines of text.jsonl, by lm-eval's rolling windows
#     windows      loss of text.jsonl, end to end, in sliding windows of some strides
import json
import math
import random
import tempfile
from pathlib import Path

import lm_eval
import numpy as np
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
PUBLISHED = Path(lm_eval.__file__).parent / "tasks"
LENGTH = 128
draw = random.Random(7)

NAMES = ["Ada", "Béla", "Chloé", "Dmitri", "Eve", "Farid"]
THINGS = ["boat", "oar", "sail", "rope", "anchor", "mast", "deck", "keel"]
COLOURS = ["red", "blue", "green", "white"]
VERBS = ["paints", "mends", "lifts", "drops", "hides", "finds"]


def sentence():
    return (f"{draw.choice(NAMES)} {draw.choice(VERBS)} the {draw.choice(COLOURS)} "
            f"{draw.choice(THINGS)}")


def passage(n):
    """Sentences of which the last names the first one's thing again."""
    first = f"{draw.choice(NAMES)} has a {draw.choice(COLOURS)} {draw.choice(THINGS)}"
    middle = [sentence() for _ in range(n)]
    return ". ".join([first, *middle, f"{first.split()[0]} likes the {first.split()[-1]}"])


def write_lines(name, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / name).write_text(text, encoding="utf-8")
    return rows


# --- examples --------------------------------------------------------------------------------


def hellaswag(n):
    rows = []
    for i in range(n):
        a, b = sentence(), sentence().lower()
        mark = [" [title] ", " [step] ", "  "][i % 3]
        endings = [f"{draw.choice(VERBS)} the {draw.choice(COLOURS)} {t}{mark}and rests. "
                   for t in draw.sample(THINGS, 4)]
        rows.append({"ind": i, "activity_label": draw.choice(["Rowing", "Sailing"]), "ctx_a": a,
                     "ctx_b": b, "ctx": f"{a} {b}", "endings": endings,
                     "label": draw.randrange(4), "split": "val", "source_id": f"made~{i}"})
    return rows


def arc(n):
    rows = []
    for i in range(n):
        count = 3 + i % 3
        labels = "ABCDE" if i % 2 else "12345"
        texts = draw.sample(THINGS, count)
        question = {"stem": f"What does {draw.choice(NAMES)} hold when {sentence()}?",
                    "choices": [{"text": f"the {draw.choice(COLOURS)} {t}", "label": labels[k]}
                                for k, t in enumerate(texts)]}
        rows.append({"id": f"made_{i}", "question": question,
                     "answerKey": labels[draw.randrange(count)]})
    return rows


def lambada(n):
    # Some are longer than the model reads, and one has two blanks before its last word.
    rows = [{"text": passage(1 + i % 4 if i % 5 else 14)} for i in range(n)]
    rows[1]["text"] = rows[1]["text"].replace(" likes the ", " likes the  ")
    return rows


def piqa(n):
    rows, labels = [], []
    for _ in range(n):
        thing = draw.choice(THINGS)
        rows.append({"goal": f"To move the {thing},", "sol1": f"lift the {thing}.",
                     "sol2": f"drop the {draw.choice(COLOURS)} {draw.choice(THINGS)} twice."})
        labels.append(draw.randrange(2))
    return rows, labels


def mmlu(n, subjects=("boat_repair", "naval_history")):
    return [{"question": f" Which is named in: {sentence()}? ", "subject": subjects[i % 2],
             "choices": draw.sample(THINGS, 4), "answer": draw.randrange(4)} for i in range(n)]


def sums(n):
    rows = []
    for i in range(n):
        most = 9 if i % 2 else 2
        a, b = draw.randrange(most), draw.randrange(most)
        rows.append({"question": f"{a} oars and {b} oars", "answer": f"We add. #### {a + b}"})
    return rows


DATA = {
    "hellaswag_val.jsonl": hellaswag(12),
    "ARC-Easy-Test.jsonl": arc(12),
    "lambada_test.jsonl": lambada(16),
    "mmlu_test.jsonl": mmlu(8),
    "mmlu_dev.jsonl": mmlu(10),
    "test.jsonl": sums(8),
    "train.jsonl": sums(6),
    "text.jsonl": [{"text": passage(n)} for n in (2, 14, 1, 9)],
}
for file, lines in DATA.items():
    write_lines(file, lines)
PIQA, PIQA_LABELS = piqa(12)
write_lines("valid.jsonl", PIQA)
(HERE / "valid-labels.lst").write_text("".join(f"{v}\n" for v in PIQA_LABELS))

# --- the model -------------------------------------------------------------------------------


def training_text():
    kinds = [
        lambda: passage(draw.randrange(5)),
        lambda: f"Rowing: {sentence()} {sentence()}.",
        lambda: f"Question: What does {draw.choice(NAMES)} hold when {sentence()}?\n"
                f"Answer: the {draw.choice(COLOURS)} {draw.choice(THINGS)}",
        lambda: f"Question: To move the {draw.choice(THINGS)},\nAnswer: lift it.",
        lambda: "\n\n".join(f"Question: {r['question']}\nAnswer: {r['answer']}"
                            for r in sums(3)),
    ]
    return [draw.choice(kinds)() for _ in range(3000)]


def make_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>",
        unk_token="<|endoftext|>", model_max_length=LENGTH)


def make_model(tokenizer, texts):
    torch.manual_seed(1)
    model = GPTNeoXForCausalLM(GPTNeoXConfig(
        vocab_size=320, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=96, max_position_embeddings=LENGTH, rotary_pct=0.5, bos_token_id=0,
        eos_token_id=0, hidden_act="gelu", attention_dropout=0.0, hidden_dropout=0.0))
    ids = []
    for text in texts:
        ids += [0, *tokenizer(text)["input_ids"]]
    ids = torch.tensor(ids[:len(ids) // LENGTH * LENGTH]).reshape(-1, LENGTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(900):
        batch = ids[torch.randint(len(ids), (16,))]
        loss = model(batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print("loss", loss.item())
    return model.eval()


TEXTS = training_text()
TOKENIZER = make_tokenizer(TEXTS)
MODEL = make_model(TOKENIZER, TEXTS)
MODEL.save_pretrained(HERE / "model", safe_serialization=True)
TOKENIZER.save_pretrained(HERE / "model")


# --- lm-evaluation-harness -------------------------------------------------------------------


class Recorder(HFLM):
    """Notes each request and what it got."""

    def __init__(self, **options):
        super().__init__(**options)
        self.requests, self.generations = [], []

    def _loglikelihood_tokens(self, requests, *rest, **options):
        found = super()._loglikelihood_tokens(requests, *rest, **options)
        for (_, context, continuation), (value, greedy) in zip(requests, found, strict=True):
            self.requests.append({
                "tokens": (context + continuation)[-(LENGTH + 1):],
                "scored": len(continuation), "log_likelihood": value, "greedy": bool(greedy)})
        return found

    def _model_generate(self, context, max_length, stop, **options):
        found = super()._model_generate(context, max_length, stop, **options)
        mask = options["attention_mask"]
        for row, used, out in zip(context, mask, found, strict=True):
            self.generations.append({"prompt": row[used.bool()].tolist(),
                                     "tokens": out[len(row):].tolist()})
        return found


def published(name, path, data, **more):
    """lm-eval's own task over these examples."""
    folder = Path(tempfile.mkdtemp())
    files = {}
    for split, rows in data.items():
        files[split] = str(folder / f"{split}.jsonl")
        Path(files[split]).write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {"include": str(PUBLISHED / path), "task": f"made_{name}", "dataset_path": "json",
            "dataset_name": None, "dataset_kwargs": {"data_files": files},
            "training_split": None, "validation_split": None, "test_split": "test", **more}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task))
    return f"made_{name}", str(folder)


def choice_metrics():
    return [{"metric": m, "aggregation": "mean", "higher_is_better": True}
            for m in ("acc", "acc_norm", "acc_bytes")]


def arc_of_hub(rows):
    return [{"id": r["id"], "question": r["question"]["stem"], "answerKey": r["answerKey"],
             "choices": {key: [c[key] for c in r["question"]["choices"]]
                         for key in ("text", "label")}} for r in rows]


def of_subject(name, subject):
    return [row for row in DATA[name] if row["subject"] == subject]


def tasks():
    yield "hellaswag", published("hellaswag", "hellaswag/hellaswag.yaml", {
        "test": DATA["hellaswag_val.jsonl"]}, metric_list=choice_metrics())
    yield "arc_easy", published("arc_easy", "arc/arc_easy.yaml", {
        "test": arc_of_hub(DATA["ARC-Easy-Test.jsonl"])}, metric_list=choice_metrics())
    yield "lambada", published("lambada", "lambada/lambada_openai.yaml", {
        "test": DATA["lambada_test.jsonl"]})
    rows = [{**row, "label": label} for row, label in zip(PIQA, PIQA_LABELS, strict=True)]
    yield "piqa", published("piqa", "piqa/piqa.yaml", {"test": rows},
                            metric_list=choice_metrics())
    for subject in ("boat_repair", "naval_history"):
        yield subject, published(
            subject, "mmlu/default/_default_template_yaml",
            {"test": of_subject("mmlu_test.jsonl", subject),
             "dev": of_subject("mmlu_dev.jsonl", subject)}, num_fewshot=5,
            fewshot_split="dev", fewshot_config={"sampler": "first_n"},
            description="The following are multiple choice questions (with answers) about "
                        f"{subject.replace('_', ' ')}.\n\n")
    yield "sums", published(
        "sums", "gsm8k/gsm8k.yaml", {"test": DATA["test.jsonl"], "train": DATA["train.jsonl"]},
        num_fewshot=3, fewshot_split="train", fewshot_config={"sampler": "first_n"},
        generation_kwargs={"until": ["\n", "Question:"], "do_sample": False,
                           "max_gen_toks": 12})


def per_example(samples):
    names = [m for m in ("acc", "acc_norm", "acc_bytes", "perplexity", "exact_match")
             if m in samples[0]]
    samples = [s for s in samples if s.get("filter") in ("none", "strict-match")]
    samples.sort(key=lambda s: s["doc_id"])
    return {m: [float(s[m]) for s in samples] for m in names}


def evaluate(lm):
    golden = {}
    for name, (task, folder) in tasks():
        found = lm_eval.simple_evaluate(
            model=lm, tasks=[task], log_samples=True, bootstrap_iters=100,
            task_manager=TaskManager(include_path=folder, include_defaults=False))
        golden[name] = per_example(found["samples"][task])
        golden[name]["results"] = {
            key.split(",")[0]: value for key, value in found["results"][task].items()
            if isinstance(value, float) and not key.endswith("flexible-extract")
            and not key.startswith("perplexity_stderr")}
        for metric in ("acc", "acc_norm", "acc_bytes"):  # numpy agrees
            values = np.array(golden[name].get(metric, []))
            if len(values):
                error = values.std(ddof=1) / math.sqrt(len(values))
                assert abs(error - golden[name]["results"][f"{metric}_stderr"]) < 1e-12
        if "perplexity" in golden[name]:  # lm-eval draws samples instead
            values = np.array(golden[name]["perplexity"])
            golden[name]["results"]["perplexity_stderr"] = float(
                np.exp(-values.mean()) * values.std(ddof=1) / math.sqrt(len(values)))
    return golden


def rolling(lm):
    class Request:
        def __init__(self, text):
            self.args = (text,)
    return [float(v) for v in lm.loglikelihood_rolling(
        [Request(row["text"]) for row in DATA["text.jsonl"]], disable_tqdm=True)]


def windows():
    """The loss of text.jsonl, its documents end to end, token by token: window k ends STRIDE
    tokens behind window k - 1, and a token counts in the first window that has it."""
    ids = [0]
    for row in DATA["text.jsonl"]:
        ids += [*TOKENIZER(row["text"])["input_ids"], 0]
    found = {}
    for stride in (LENGTH, 64, 17):
        total = 0.0
        for at in range(1, len(ids)):
            end = min(LENGTH + 1 + max(0, math.ceil((at - LENGTH) / stride)) * stride, len(ids))
            begin = max(0, end - LENGTH - 1)
            with torch.no_grad():
                logits = MODEL(torch.tensor([ids[begin:at]])).logits[0, -1]
            total -= torch.log_softmax(logits.double(), -1)[ids[at]].item()
        found[str(stride)] = {"tokens": len(ids) - 1, "nats": total}
    return found


def main():
    lm = Recorder(pretrained=MODEL, tokenizer=TOKENIZER, backend="causal", batch_size=4,
                  max_length=LENGTH, device="cpu")
    golden = {"tasks": evaluate(lm), "requests": lm.requests, "generations": lm.generations}
    golden["rolling"] = rolling(lm)
    golden["windows"] = windows()
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            inner = ",\n".join(json.dumps(v) for v in value)
            lines.append(f'"{key}": [\n{inner}\n]')
        else:
            inner = ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in value.items())
            lines.append(f'"{key}": {{\n{inner}\n}}')
    (HERE / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
