# SPDX-License-Identifier: Apache-2.0
# The resolved deck in a run's files, as a flat dictionary. Reads the YAML that Trireme writes:
# dictionaries by indentation, and lists in one line.


def flat_deck(text):
    """{"optimizer.params.lr": "0.003", …} in the deck's order; values as text."""
    flat, open_keys = {}, []  # open_keys: (indentation, key) of enclosing dictionaries
    for line in text.splitlines():
        content = line.strip()
        key, colon, value = content.partition(":")
        if content.startswith("#") or not colon:
            continue
        indent = len(line) - len(line.lstrip())
        while open_keys and open_keys[-1][0] >= indent:
            open_keys.pop()
        open_keys.append((indent, key.strip().strip('"')))
        path = ".".join(part for _, part in open_keys)
        value = value.strip()
        if value:
            flat[path] = value[1:-1] if value[0] == value[-1] == '"' and value != '"' else value
    return flat


def differences(a, b):
    """[(key, value in a, value in b)] where two flat decks differ; "–" for a missing value."""
    keys = [*a, *(key for key in b if key not in a)]
    return [
        (key, a.get(key, "–"), b.get(key, "–")) for key in keys if a.get(key) != b.get(key)
    ]
