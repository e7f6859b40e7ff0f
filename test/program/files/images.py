#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`trireme prepare --images`: MNIST's and CIFAR's files, .npy, folders of pictures, and what is
refused.

  images.py [CLASS | CLASS.test_NAME]...

"""
import base64
import gzip
import struct
import sys
import unittest
import zlib
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

RANDOM = np.random.default_rng(5)
JPEG = {
    "colour":
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYG"
        "BwkIBgcJBwYGCAsICQoKCgoKBggLDAsKDAkKCgr/2wBDAQICAgICAgUDAwUKBwYHCgoKCgoKCgoKCgoK"
        "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgr/wAARCAAIAAgDAREAAhEBAxEB/8QA"
        "FAABAAAAAAAAAAAAAAAAAAAACP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/xAAVAQEBAAAAAAAAAAAAAAAA"
        "AAAGCf/EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAMAwEAAhEDEQA/ACeDqmP/2Q==",
    "gray":
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYG"
        "BwkIBgcJBwYGCAsICQoKCgoKBggLDAsKDAkKCgr/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAA"
        "AAAACP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AM7//2Q==",
}


def idx(array):
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


def png(path, image):
    """A PNG file by hand: one block of rows without filters."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    colour = 2 if image.ndim == 3 else 0
    path.write_bytes(b"\x89PNG\r\n\x1a\n"
                     + chunk(b"IHDR", struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8,
                                                  colour, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Images(unittest.TestCase):
    def setUp(self):
        self.folder = program.work_folder("images")
        self.images = RANDOM.integers(0, 256, (12, 5, 4)).astype("u1")
        self.labels = RANDOM.integers(0, 7, 12).astype("u1")

    def prepare(self, *paths):
        out = self.folder / "out.h5"
        program.run_well(1, "prepare", "--images", *paths, "--output", out, "--overwrite")
        with h5py.File(out) as file:
            names = [x.decode() for x in file.get("label_names", ())]
            return file["images"][:], file["labels"][:], file.attrs["classes"], names

    def refused(self, words, *paths):
        done = program.run(1, "prepare", "--images", *paths, "--output", self.folder / "no.h5")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(words, " ".join(done.stderr.split()))
        self.assertFalse((self.folder / "no.h5").exists())

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def test_idx(self):
        for pack in (bytes, gzip.compress):
            images, labels, classes, _ = self.prepare(
                self.file("images", pack(idx(self.images))),
                self.file("labels", pack(idx(self.labels))))
            np.testing.assert_array_equal(images, self.images)
            np.testing.assert_array_equal(labels, self.labels)
            self.assertEqual(classes, self.labels.max() + 1)

    def test_npy(self):
        np.save(self.folder / "x.npy", self.images)
        for kind in ("u1", "i8", "<i4", "<u2"):
            np.save(self.folder / "y.npy", self.labels.astype(kind))
            images, labels, _, _ = self.prepare(self.folder / "x.npy", self.folder / "y.npy")
            np.testing.assert_array_equal(images, self.images)
            np.testing.assert_array_equal(labels, self.labels)

    def test_cifar(self):
        planes = RANDOM.integers(0, 256, (3, 3, 32, 32)).astype("u1")
        (self.folder / "batches.meta.txt").write_text("".join(f"name{i}\n" for i in range(10)))
        ten = b"".join(bytes([i]) + plane.tobytes() for i, plane in enumerate(planes))
        images, labels, _, names = self.prepare(self.file("data_batch_1.bin", ten))
        np.testing.assert_array_equal(images, planes.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(labels, [0, 1, 2])
        self.assertEqual(names[9], "name9")
        hundred = b"".join(bytes([5, 90 + i]) + p.tobytes() for i, p in enumerate(planes))
        _, labels, _, _ = self.prepare(self.file("train.bin", hundred))
        np.testing.assert_array_equal(labels, [90, 91, 92])

    def test_folders(self):
        found = {}
        for name in ("cat", "dog"):
            (self.folder / "pictures" / name).mkdir(parents=True)
            for i in range(4):
                image = RANDOM.integers(0, 256, (6, 3, 3)).astype("u1")
                png(self.folder / "pictures" / name / f"{i}.png", image)
                found[image.tobytes()] = name
        images, labels, classes, names = self.prepare(self.folder / "pictures")
        self.assertEqual((names, classes, images.shape), (["cat", "dog"], 2, (8, 6, 3, 3)))
        self.assertEqual([names[k] for k in labels], [found[x.tobytes()] for x in images])
        self.assertNotEqual(list(labels), sorted(labels))
        png(self.folder / "pictures" / "dog" / "9.png", np.zeros((2, 3, 3), "u1"))
        self.refused("all images of a file have one shape", self.folder / "pictures")
        (self.folder / "pictures" / "dog" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\nx")
        self.refused("cannot decode this PNG file", self.folder / "pictures")

    def test_jpeg(self):
        """Pictures of 8 × 8 pixels, each of one colour, written by Pillow."""
        for name, text in JPEG.items():
            (self.folder / name / "one").mkdir(parents=True)
            (self.folder / name / "one" / "0.jpg").write_bytes(base64.b64decode(text))
        images, labels, _, _ = self.prepare(self.folder / "colour")
        self.assertEqual((images.shape, list(labels)), ((1, 8, 8, 3), [0]))
        np.testing.assert_allclose(images, np.broadcast_to([200, 30, 60], images.shape), atol=2)
        images, _, _, _ = self.prepare(self.folder / "gray")
        self.assertEqual(images.shape, (1, 8, 8))
        np.testing.assert_allclose(images, np.full(images.shape, 90), atol=1)
        cut = self.folder / "gray" / "one" / "0.jpg"
        cut.write_bytes(cut.read_bytes()[:60])
        self.refused("cannot decode this JPEG file", self.folder / "gray")

    def test_refused(self):
        images = self.file("images", idx(self.images))
        self.refused("name the file of labels", images)
        self.refused("expected the labels of the 12 images", images,
                     self.file("few", idx(self.labels[:5])))
        self.refused("damaged", self.file("cut", idx(self.images)[:-3]), images)
        self.refused("expected IDX", self.file("text", b"words"), images)
        huge = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
        self.refused("damaged", self.file("huge", huge), images)


if __name__ == "__main__":
    unittest.main()
