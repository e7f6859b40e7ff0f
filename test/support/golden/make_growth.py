#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes growth.txt: batches of Megatron's ramp-up, and lengths of DeepSpeed's curriculum, as
# the two programs compute them.
#
# Needs: the wheel of megatron-core and the source archive of deepspeed, both unpacked.
# Usage: make_growth.py MEGATRON DEEPSPEED [OUTPUT]
#
# Each line has a word, numbers, a colon, and pairs. "ramp START INCREMENT SAMPLES BATCH" has
# pairs of consumed samples and the batch. "root MIN MAX TOTAL STEP DEGREE" and "discrete
# LENGTHS / LAST_STEPS" have pairs of iteration and length.
import importlib.util
import sys
import types
from pathlib import Path

RAMPS = [(2, 2, 40, 8), (8, 8, 1000, 64), (16, 16, 976, 128), (1, 3, 7, 10), (4, 4, 3, 8)]
ROOTS = [
    (8, 64, 20, 8, 1),
    (80, 2048, 500, 8, 1),
    (64, 1000, 333, 16, 2),
    (16, 100, 30, 8, 3),
    (5, 40, 17, 1, 2),
]
DISCRETE = [([16, 32, 64], [5, 10]), ([8, 24, 16, 128], [1, 2, 50])]


def module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def load_curriculum(source):
    for name in ("deepspeed", "deepspeed.utils", "deepspeed.data"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    sys.modules["deepspeed.utils"].logger = types.SimpleNamespace(warning=lambda *_: None)
    folder = source / "deepspeed/runtime/data_pipeline"
    module("deepspeed.data.constants", folder / "constants.py")
    return module("deepspeed.data.scheduler", folder / "curriculum_scheduler.py")


def pairs(f, points):
    return " ".join(f"{n} {f(n)}" for n in points)


def main():
    megatron = Path(sys.argv[1]) / "megatron/core/num_microbatches_calculator.py"
    calculator = module("calculator", megatron).RampupBatchsizeNumMicroBatchesCalculator
    scheduler = load_curriculum(Path(sys.argv[2])).CurriculumScheduler
    lines = []
    for start, increment, samples, batch in RAMPS:
        of = calculator(batch, 1, 1, False, 0, start, increment, samples)

        def at(consumed, of=of):
            of.update(consumed, False)
            return of.get_current_global_batch_size()

        points = sorted({*range(0, samples + 20, max(1, samples // 40)), samples})
        lines.append(f"ramp {start} {increment} {samples} {batch} : {pairs(at, points)}")
    for low, high, total, step, degree in ROOTS:
        config = {
            "min_difficulty": low,
            "max_difficulty": high,
            "schedule_type": "fixed_root",
            "schedule_config": {
                "total_curriculum_step": total,
                "difficulty_step": step,
                "root_degree": degree,
            },
        }
        of = scheduler(config)
        points = [*range(1, 12), *range(12, total + 20, max(1, total // 25)), total]
        text = pairs(of.update_difficulty, sorted(set(points)))
        lines.append(f"root {low} {high} {total} {step} {degree} : {text}")
    for lengths, last in DISCRETE:
        config = {
            "min_difficulty": 1,
            "max_difficulty": 10**6,
            "schedule_type": "fixed_discrete",
            "schedule_config": {"difficulty": lengths, "max_step": last},
        }
        text = pairs(scheduler(config).update_difficulty, range(1, last[-1] + 3))
        words = " ".join(map(str, lengths)), " ".join(map(str, last))
        lines.append(f"discrete {words[0]} / {words[1]} : {text}")
    output = sys.argv[3] if len(sys.argv) > 3 else Path(__file__).with_name("growth.txt")
    Path(output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
