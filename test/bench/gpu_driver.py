# SPDX-License-Identifier: Apache-2.0
"""The GPUs of this machine by the word of CUDA's driver library, which needs no toolkit, no
compiler and no nvidia-smi."""
import ctypes
import re
from pathlib import Path

CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
VERSION = Path("/proc/driver/nvidia/version")


class NoGpu(Exception):
    """Why there is none, in words."""


def check(code, call):
    if code != 0:
        raise NoGpu(f"the driver's {call} says error {code}")


def find(library="libcuda.so.1"):
    """{"driver": …, "cuda": …, "gpus": [{"name", "capability", "bytes"}]}. Raises NoGpu."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        raise NoGpu(f"no {library}: no NVIDIA driver is installed here") from None
    check(cuda.cuInit(0), "cuInit")
    number, count = ctypes.c_int(), ctypes.c_int()
    check(cuda.cuDriverGetVersion(ctypes.byref(number)), "cuDriverGetVersion")
    check(cuda.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    if count.value == 0:
        raise NoGpu("the driver sees no GPU (CUDA_VISIBLE_DEVICES may hide them)")
    gpus = []
    for i in range(count.value):
        device, size, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
        check(cuda.cuDeviceGet(ctypes.byref(device), i), "cuDeviceGet")
        check(cuda.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
        check(cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device), "cuDeviceTotalMem")
        capability = []
        for attribute in CAPABILITY:
            value = ctypes.c_int()
            check(
                cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device),
                "cuDeviceGetAttribute",
            )
            capability.append(str(value.value))
        gpus.append(
            {
                "name": name.value.decode(errors="replace"),
                "capability": ".".join(capability),
                "bytes": size.value,
            }
        )
    version = number.value
    return {
        "driver": driver_version(),
        "cuda": f"{version // 1000}.{version % 1000 // 10}",
        "gpus": gpus,
    }


def driver_version(file=VERSION):
    """ "580.65.06", of what the kernel has loaded; empty if it doesn't say."""
    try:
        found = re.search(r"\b(\d+\.\d+(\.\d+)?)\b", file.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found.group(1) if found else ""
