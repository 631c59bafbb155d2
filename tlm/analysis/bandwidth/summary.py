"""What a study says, curve by curve: one DRAM family at one buffer size, timesteps, batch, and way with potentials."""

from __future__ import annotations

from typing import Any

from tlm.analysis.bandwidth.knee import TOLERANCE, find_knee

Row = dict[str, Any]
CURVE_KEYS = ("timesteps", "batch_images", "buffer_factor", "potentials", "dram_family")
CurveKey = tuple[int, int, float, str, str]


def summarise(rows: list[Row]) -> dict[str, Any]:
    """Return the curves with their knees, the points that failed, and the definition of the knee."""
    return {
        "network": rows[0]["network"],
        "knee_tolerance": TOLERANCE,
        "curves": [summarise_curve(rows, key) for key in curve_keys(rows)],
        "failed": [{"point": row["point"], "dram": row["dram"], "error": row["error"]} for row in rows if failed(row)],
    }


def failed(row: Row) -> bool:
    """Whether the point could not be simulated."""
    return bool(row.get("error"))


def curve_keys(rows: list[Row]) -> list[CurveKey]:
    """(timesteps, batch, buffer factor, potentials, DRAM family) of every curve, in the order of the points."""
    return list(dict.fromkeys(_key(row) for row in rows if not row["dram_unlimited"]))


def curve_rows(rows: list[Row], key: CurveKey) -> list[Row]:
    """Return the points of a curve that could be simulated, by bandwidth."""
    found = [row for row in rows if _key(row) == key and not failed(row) and not row["dram_unlimited"]]
    return sorted(found, key=lambda row: int(row["dram_peak_bytes_per_us"]))


def unlimited_row(rows: list[Row], key: CurveKey) -> Row | None:
    """Return the point without any bandwidth limit beside a curve, None where it could not be simulated."""
    found = [row for row in rows if _key(row)[:4] == key[:4] and row["dram_unlimited"] and not failed(row)]
    return found[0] if found else None


def moved_bytes(row: Row) -> int:
    """DRAM bytes read and written in the step."""
    return int(row["dram_read_bytes"] + row["dram_written_bytes"])


def summarise_curve(rows: list[Row], key: CurveKey) -> dict[str, Any]:
    """Return one curve: its points, the time without a limit, and its knee by both definitions."""
    points = curve_rows(rows, key)
    best = unlimited_row(rows, key)
    knee = None
    if best is not None:
        curve = [(row["dram_peak_bytes_per_us"], row["step_ps"]) for row in points]
        knee = find_knee(curve, best["step_ps"], moved_bytes(best))
    return dict(zip(CURVE_KEYS, key, strict=True)) | {
        "unlimited_ps": best and best["step_ps"],
        "knee_bytes_per_us": knee and knee.measured_bytes_per_us,
        "asymptotes_cross_bytes_per_us": knee and knee.asymptotes_bytes_per_us,
        "points": [
            {
                "dram": row["dram"],
                "dram_peak_bytes_per_us": row["dram_peak_bytes_per_us"],
                "step_ps": row["step_ps"],
                "dram_bytes": moved_bytes(row),
                "share_of_peak": moved_bytes(row) / (row["dram_peak_bytes_per_us"] * row["step_ps"] / 1e6),
                "dram_wait_shares": _dram_wait_shares(row),
            }
            for row in points
        ],
    }


def shown_curve(rows: list[Row]) -> CurveKey:
    """Return the curve that single pictures are drawn of: the first, at the buffers' own size if that was simulated."""
    return min((key for key in curve_keys(rows) if curve_rows(rows, key)), key=lambda key: abs(key[2] - 1))


def shown_row(rows: list[Row]) -> Row:
    """Return the point that single pictures are drawn of: that curve's knee, else its highest bandwidth."""
    key = shown_curve(rows)
    points = curve_rows(rows, key)
    knee = summarise_curve(rows, key)["knee_bytes_per_us"]
    return next((row for row in points if row["dram_peak_bytes_per_us"] == knee), points[-1])


def potentials_pair(rows: list[Row]) -> tuple[CurveKey, CurveKey] | None:
    """Return the curves that store and that recompute potentials, alike in all else: the pair nearest to buffers x1."""
    keys = [key for key in curve_keys(rows) if curve_rows(rows, key)]
    pairs = [(key, (*key[:3], "recompute", key[4])) for key in keys if key[3] == "store"]
    found = [pair for pair in pairs if pair[1] in keys]
    return min(found, key=lambda pair: abs(pair[0][2] - 1)) if found else None


def _dram_wait_shares(row: Row) -> dict[str, float]:
    """Return the share of the step in which each engine waited for DRAM."""
    shares = {entry["engine"]: 0.0 for entry in row["engines"]}
    for entry in row["engines"]:
        if entry["reason"].startswith("DRAM"):
            shares[entry["engine"]] += entry["time_ps"] / row["step_ps"]
    return shares


def _key(row: Row) -> CurveKey:
    return row["timesteps"], row["batch_images"], row["buffer_factor"], row["potentials"], row["dram_family"]
