# SPDX-License-Identifier: Apache-2.0
# Arithmetic on series of a run: smoothing, thinning, medians, units.
import numpy as np


def smooth(values, window=None):
    """The mean of the finite values in a `window` around each value. 0 or 1 means no smoothing;
    the default is about a fiftieth of the series. The window narrows towards both ends, so
    that the line lags nowhere."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    at = np.arange(n)
    reach = n // 100 if window is None else window // 2
    reach = np.minimum(np.minimum(at, n - 1 - at), reach)
    finite = np.isfinite(values)
    sums = np.cumsum([0.0, *np.where(finite, values, 0)])
    counts = np.cumsum([0, *finite])
    first, end = at - reach, at + reach + 1
    count = counts[end] - counts[first]
    return np.where(count > 0, sums[end] - sums[first], np.nan) / np.maximum(count, 1)


def in_bins(values, points):
    """`values`; if there are more than `points`, means of that many runs of neighbours."""
    values = np.asarray(values, dtype=float)
    if len(values) <= points:
        return values
    return np.array([part.mean(axis=0) for part in np.array_split(values, points)])


def settled(values, skip=None):
    """`values` without the first `skip`, which fill caches. The default is 5, or up to half of
    a short series."""
    count = min(5, len(values) // 2) if skip is None else skip
    return values[count:]


def median(values, skip=None):
    """The median of the settled finite values; NaN if there are none."""
    values = settled(np.asarray(values, dtype=float), skip)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")


def time_unit(seconds):
    """(divisor, name) of a unit for times up to `seconds`."""
    for divisor, name in ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "s")):
        if seconds >= 3 * divisor:
            return divisor, name
    return (1, "s") if seconds >= 1 else (1e-3, "ms") if seconds >= 1e-3 else (1e-6, "µs")


def byte_unit(count):
    """(divisor, name) of a unit for numbers of bytes up to `count`."""
    for power, name in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return 1024**power, name
    return 1, "bytes"


def bytes_text(count):
    divisor, name = byte_unit(count)
    return f"{count / divisor:.4g} {name}"


def duration_text(seconds):
    """3:02:01, or 2:01 (minutes and seconds)."""
    hours, rest = divmod(int(round(seconds)), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rows_text(head, rows):
    """A table as lines of text. The first column is aligned left, the others right."""
    table = [tuple(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
