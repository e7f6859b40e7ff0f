#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The comparison for inputs/bert-classify.yml on the same split: the most frequent class, and
scikit-learn's TF-IDF with logistic regression. Needs scikit-learn (tried with 1.9).

  classify_baseline.py [TEXTS.jsonl]    # by default data/gcide.jsonl, of inputs/gcide_labels.py
"""
import collections
import json
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "data/gcide.jsonl"
    with open(name, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts, labels = [r["text"] for r in rows], [r["label"] for r in rows]
    n = len(rows) * 9 // 10
    most = collections.Counter(labels[n:]).most_common(1)[0]
    print(f"most frequent class, {most[0]}: {100 * most[1] / len(labels[n:]):.1f} %")
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    model = LogisticRegression(max_iter=1000).fit(words.fit_transform(texts[:n]), labels[:n])
    given = model.predict(words.transform(texts[n:]))
    print(f"TF-IDF and logistic regression: {100 * accuracy_score(labels[n:], given):.1f} %, "
          f"macro F1 {f1_score(labels[n:], given, average='macro'):.3f}")


if __name__ == "__main__":
    main()
