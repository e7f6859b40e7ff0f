# SPDX-License-Identifier: Apache-2.0
"""TensorBoard's event files, read without TensorBoard: records, checksums, and protobuf's
fields."""
import struct
from pathlib import Path


def crc32c(data):
    """CRC32C, bit by bit, with Castagnoli's polynomial reversed."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    """The data of each record; an AssertionError for a damaged or truncated record."""
    at = 0
    while at < len(data):
        head = data[at : at + 8]
        (length,) = struct.unpack("<Q", head)
        body = data[at + 12 : at + 12 + length]
        sums = data[at + 8 : at + 12] + data[at + 12 + length : at + 16 + length]
        assert len(body) == length and len(sums) == 8, "a record is cut short"
        assert struct.unpack("<II", sums) == (masked(head), masked(body)), "a sum is wrong"
        yield body
        at += 16 + length


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """{number: [value, …]} of a message; fixed and delimited values as bytes."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(kind)
            if kind == 2:
                length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        found.setdefault(key >> 3, []).append(value)
    return found


def read(path):
    """Events as dictionaries: time, step, and version, start, or values {tag: number, text}."""
    events = []
    for body in records(Path(path).read_bytes()):
        event = fields(body)
        found = {"time": struct.unpack("<d", event[1][0])[0], "step": event.get(2, [0])[0]}
        if 3 in event:
            found["version"] = event[3][0].decode()
        if 7 in event:
            found["start"] = fields(event[7][0])[1][0] == 1
        if 5 in event:
            found["values"] = {}
            for value in fields(event[5][0])[1]:
                value = fields(value)
                if 2 in value:
                    shown = struct.unpack("<f", value[2][0])[0]
                else:
                    plugin = fields(fields(value[9][0])[1][0])[1][0]
                    assert plugin == b"text", plugin
                    shown = fields(value[8][0])[8][0].decode()
                found["values"][value[1][0].decode()] = shown
        events.append(found)
    return events


def read_folder(folder):
    """{tag: {step: (value, time)}} of all files in the order of their names, as TensorBoard
    joins them. A start removes earlier events of its step and later."""
    tags = {}
    for path in sorted(Path(folder).glob("*tfevents*")):
        for event in read(path):
            if event.get("start"):
                for steps in tags.values():
                    for step in [s for s in steps if s >= event["step"]]:
                        del steps[step]
            for tag, value in event.get("values", {}).items():
                tags.setdefault(tag, {})[event["step"]] = (value, event["time"])
    return tags
