#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes schedules.txt: learning rates and betas of DeepSpeed's schedulers at each iteration, as
# DeepSpeed's own classes set them on an optimizer.
#
# Needs: the source archive of deepspeed, unpacked. The classes get stand-ins for PyTorch.
# Usage: make_schedules.py DEEPSPEED [OUTPUT]
#
# Each line has a class, its parameters as key=value, a colon, and numbers: the learning rate of
# iterations 1, 2, …; or with cycle_momentum pairs of learning rate and first beta.
import importlib.util
import sys
import types
from pathlib import Path

CYCLE = dict(cycle_min_lr=1e-4, cycle_max_lr=3e-3, cycle_first_step_size=7)
CASES = [
    ("OneCycle", dict(CYCLE)),
    ("OneCycle", dict(CYCLE, cycle_momentum=False, decay_step_size=2, decay_lr_rate=0.3)),
    ("OneCycle", dict(CYCLE, cycle_second_step_size=11, cycle_min_mom=0.85, cycle_max_mom=0.95,
                      decay_step_size=4, decay_lr_rate=0.5, decay_mom_rate=0.01)),
    ("OneCycle", dict(CYCLE, cycle_first_stair_count=3)),
    ("OneCycle", dict(CYCLE, cycle_second_step_size=9, cycle_first_stair_count=2,
                      cycle_second_stair_count=4)),
    ("OneCycle", dict(CYCLE, cycle_first_stair_count=4, cycle_second_stair_count=0)),
    ("OneCycle", dict(CYCLE, cycle_second_step_size=0, decay_step_size=3,
                      decay_mom_rate=-0.02)),
    ("LRRangeTest", dict(lr_range_test_min_lr=1e-4, lr_range_test_step_size=5,
                         lr_range_test_step_rate=2.5)),
    ("LRRangeTest", dict(lr_range_test_min_lr=1e-4, lr_range_test_step_size=5,
                         lr_range_test_staircase=True)),
    ("WarmupLR", dict(warmup_min_lr=1e-5, warmup_max_lr=1e-3, warmup_num_steps=8)),
    ("WarmupDecayLR", dict(total_num_steps=25, warmup_max_lr=1e-3, warmup_num_steps=8,
                           warmup_type="linear")),
    ("WarmupCosineLR", dict(total_num_steps=25, warmup_num_steps=8, warmup_min_ratio=0.1,
                            cos_min_ratio=0.05)),
]
STEPS = 30
RATE = 2e-3


class Optimizer:
    """What the schedulers read and write of a PyTorch optimizer."""

    def __init__(self):
        self.defaults = dict(betas=(0.9, 0.999))
        self.param_groups = [dict(lr=RATE, betas=(0.9, 0.999))]


def load_schedulers(source):
    for name in ("torch", "torch.optim", "deepspeed", "deepspeed.utils"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch"].is_tensor = lambda x: False
    sys.modules["torch.optim"].Optimizer = Optimizer
    quiet = types.SimpleNamespace(warning=lambda *_: None, info=lambda *_: None)
    sys.modules["deepspeed.utils"].logger = quiet
    spec = importlib.util.spec_from_file_location(
        "lr_schedules", source / "deepspeed/runtime/lr_schedules.py"
    )
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def main():
    schedulers = load_schedulers(Path(sys.argv[1]))
    lines = []
    for name, params in CASES:
        optimizer = Optimizer()
        scheduler = getattr(schedulers, name)(optimizer, **params)
        numbers = []
        for _ in range(STEPS):  # the engine steps the scheduler after each step
            group = optimizer.param_groups[0]
            numbers.append(repr(float(group["lr"])))
            if name == "OneCycle" and params.get("cycle_momentum", True):
                assert group["betas"][1] == 0.99
                numbers.append(repr(float(group["betas"][0])))
            scheduler.step()
        words = " ".join(f"{k}={str(v).lower()}" for k, v in params.items())
        lines.append(f"{name} {words} : {' '.join(numbers)}")
    output = sys.argv[2] if len(sys.argv) > 2 else Path(__file__).with_name("schedules.txt")
    Path(output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
