# SPDX-License-Identifier: Apache-2.0
# Members of an HDF5 file that lead to no other file. HDF5 itself follows links, external
# storage and virtual sources wherever a file says, and runs the filters that the file names.
import os

# A run in progress holds the file open. Reading must be possible nevertheless.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # no filter but HDF5's own

import h5py


def members(group):
    """Names of an HDF5 group's members, sorted."""
    return sorted(name.decode("utf-8", "replace") for name in group.id)


def has(group, name):
    """Whether there is a member, which may be a link to nowhere."""
    return group.id.links.exists(name.encode())


def is_link(group, name):
    return group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD


def member(group, path):
    """The HDF5 group or dataset at `path`. Raises KeyError where there is none, and ValueError
    where it leads out of the file; a virtual dataset is let through."""
    item = group
    for name in path.strip("/").split("/"):
        if not isinstance(item, h5py.Group) or not has(item, name):
            raise KeyError(f"there is no /{path}")
        if is_link(item, name):
            raise ValueError(f"/{path} is a link, which is not followed")
        item = item[name]
    if isinstance(item, h5py.Dataset) and item.id.get_create_plist().get_external_count():
        raise ValueError(f"the elements of /{path} are in another file")
    return item


def array(group, path):
    """Like member(), for a dataset whose elements are in this file."""
    item = member(group, path)
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"/{path} is no dataset")
    if item.is_virtual:
        raise ValueError(f"the elements of /{path} are in other files")
    return item
