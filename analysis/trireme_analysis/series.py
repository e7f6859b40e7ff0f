# SPDX-License-Identifier: Apache-2.0
# Arithmetic on series of a run: smoothing, thinning, medians, units.
import numpy as np


def smooth(values, window=None, breaks=()):
    """The mean of the finite values in a `window` around each value. 0 or 1 means no smoothing.
    The default is a fiftieth of the series, or 11 values of a shorter one. Windows narrow
    towards the beginning, where a loss falls fast. At the end, a line through twice the window
    replaces the means. The result lags nowhere, and its last point is not the last value alone.
    `breaks`: indices that begin a new stretch. No window crosses a break."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    reach = max(n // 100, min(5, n // 10)) if window is None else window // 2
    starts = [0, *sorted({int(b) for b in breaks if 0 < b < n}), n]
    parts = [_smooth_stretch(values[i:j], reach) for i, j in zip(starts, starts[1:])]
    return np.concatenate(parts)


def _smooth_stretch(values, reach):
    n = len(values)
    finite = np.isfinite(values)
    reach = min(reach, (n - 1) // 2)
    if reach <= 0:
        return np.where(finite, values, np.nan)
    at = np.arange(n - reach)
    near = np.minimum(at, reach)
    first, end = at - near, at + near + 1
    sums = np.cumsum([0.0, *np.where(finite, values, 0)])
    counts = np.cumsum([0, *finite])
    count = counts[end] - counts[first]
    means = np.where(count > 0, sums[end] - sums[first], np.nan) / np.maximum(count, 1)
    last = values[-(4 * reach + 1) :]
    return np.concatenate([means, _line_at(last, np.arange(len(last) - reach, len(last)))])


def _line_at(values, at):
    """The least-squares line through the finite values, at these indices."""
    x = np.flatnonzero(np.isfinite(values))
    if len(x) < 2:
        return np.full(len(at), values[x[0]] if len(x) else np.nan)
    slope, level = np.polyfit(x, values[x], 1)
    return level + slope * at


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


def rate_text(value):
    """Four digits of a number, without an exponent: 33,920 or 0.02713."""
    return f"{value:.4g}" if not abs(value) >= 1e4 else f"{float(f'{value:.4g}'):,.0f}"


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
