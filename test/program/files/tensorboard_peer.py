#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Event files as TensorBoard itself reads them, against the tests' own reader.

  tensorboard_peer.py FOLDER      needs `pip install tensorboard`; CTest does not run it

"""
import sys

import event_files
from tensorboard.backend.event_processing import event_accumulator


def read_by_tensorboard(folder):
    unlimited = {"scalars": 0, "tensors": 0}
    events = event_accumulator.EventAccumulator(folder, size_guidance=unlimited)
    events.Reload()
    tags = {
        tag: {e.step: (e.value, e.wall_time) for e in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }
    for tag in events.Tags()["tensors"]:
        tags[tag] = {
            e.step: (e.tensor_proto.string_val[0].decode(), e.wall_time)
            for e in events.Tensors(tag)
        }
    return tags


def main():
    theirs, ours = read_by_tensorboard(sys.argv[1]), event_files.read_folder(sys.argv[1])
    for tag in sorted(theirs.keys() | ours.keys()):
        read, expected = theirs.get(tag, {}), ours.get(tag, {})
        # In TensorBoard 2.21's accumulator, a start removes scalars but no texts.
        same = expected.items() <= read.items() if tag == "deck" else expected == read
        print(f"{tag}: {len(read)} values, {'as' if same else 'NOT AS'} we read")
        if not same:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
