#!/usr/bin/python3
"""Turn saved results into one table: ours, the peer's, the ratio, the target.

usage: report.py FILE...

Every line of a file that starts with "{" is one result: "target" (whose),
"what" (the measurement) and figures.  Several results of one measurement
become their median.
"""
import json
import statistics
import sys

OURS = "mailstead"
MORE, LESS = "at least", "at most"

# what is asked for: measurement, figure, unit, direction and factor (ours
# divided by the peer's), or for a bound of its own the bound and no peer
TARGETS = [
    ("deliver 50 sessions", "deliveries_per_s", "msg/s", MORE, 6),
    ("deliver 50 sessions", "cpu_ms_per_msg", "ms CPU/msg", LESS, 1 / 8),
    ("deliver 50 sessions x10", "deliveries_per_s", "deliveries/s", MORE, 8),
    ("deliver 50 sessions x10", "cpu_ms_per_msg", "ms CPU/msg", LESS, None),
    ("deliver 1 session", "deliveries_per_s", "msg/s", MORE, 3),
    ("deliver 1 session", "cpu_ms_per_msg", "ms CPU/msg", LESS, None),
    ("deliver 1 MB", "deliveries_per_s", "msg/s", MORE, 2),
    ("deliver 1 MB", "cpu_ms_per_msg", "ms CPU/msg", LESS, None),
    ("deliver emptied", "deliveries_per_s", "msg/s", MORE, None),
    ("deliver no delay", "deliveries_per_s", "msg/s", MORE, None),
    ("deliver no delay x10", "deliveries_per_s", "deliveries/s", MORE, None),
    ("relay one", "deliveries_per_s", "msg/s", MORE, 4),
    ("relay good", "deliveries_per_s", "msg/s", MORE, 4),
    ("relay swamp", "deliveries_per_s", "msg/s", MORE, None),
    ("relay swamp", "pace", "healthy: out/in", MORE, None),
    ("pop3 100000 warm", "connect_to_list_p50_ms", "ms to LIST", LESS, 1 / 5),
    ("pop3 100000 cold", "connect_to_list_p50_ms", "ms to LIST", LESS, 1 / 10),
    ("pop3 retr", "retr_per_s", "RETR/s", MORE, 2),
    ("pop3 retr", "cpu_ms_per_msg", "ms CPU/msg", LESS, None),
    ("pop3 list 1000", "sessions_per_s", "sessions/s", MORE, 10),
    ("login", "sessions_per_s", "logins/s", MORE, 20),
    ("tls full", "per_s", "handshakes/s", MORE, 1.5),
    ("tls resumed", "per_s", "handshakes/s", MORE, 1.5),
    ("web list", "ms", "ms", LESS, 1 / 10),
    ("web list", "cpu_ms_per_msg", "ms CPU/page", LESS, None),
    ("web subject", "ms", "ms", LESS, 1 / 10),
    ("web subject", "cpu_ms_per_msg", "ms CPU/page", LESS, None),
    ("web text", "ms", "ms", LESS, 1 / 10),
    ("web text", "cpu_ms_per_msg", "ms CPU/page", LESS, None),
    ("web rare", "ms", "ms", LESS, 1 / 10),
    ("idle smtp", "kb_each", "KB each", LESS, None),
    ("idle smtp", "kernel_kb_each", "KB kernel each", LESS, None),
    ("idle smtp", "probe_p99_ratio", "x p99 alone", LESS, None),
    ("idle pop3", "kb_each", "KB each", LESS, None),
    ("idle pop3", "kernel_kb_each", "KB kernel each", LESS, None),
]
BOUNDS = {
    ("relay swamp", "pace"): 0.9,
    ("idle smtp", "kb_each"): 25,
    ("idle smtp", "probe_p99_ratio"): 2,
    ("idle pop3", "kb_each"): 30,
}


def median(rows, target, what, figure):
    values = [r[figure] for r in rows
              if r["target"] == target and r["what"] == what and figure in r]
    return statistics.median(values) if values else None


def verdict(ours, peer, direction, factor, bound):
    """The columns ratio, target, reached."""
    ratio = "" if not peer else f"{ours / peer:.2f}"
    if bound is not None:
        met = ours >= bound if direction == MORE else ours <= bound
        return ratio, f"{direction} {bound:g}", "yes" if met else "NO"
    if factor is None or not peer:
        return ratio, "", ""
    met = ours >= factor * peer if direction == MORE else ours <= factor * peer
    text = f"{factor:g}" if factor >= 1 else f"1/{1 / factor:g}"
    return ratio, f"{direction} {text}", "yes" if met else "NO"


def main():
    rows = [json.loads(line) for name in sys.argv[1:]
            for line in open(name, encoding="utf-8") if line.startswith("{")]
    peers = sorted({r["target"] for r in rows} - {OURS})
    print("| measurement | figure | mailstead | peer | ratio | target | reached |")
    print("|---|---|---|---|---|---|---|")
    for what, figure, unit, direction, factor in TARGETS:
        ours = median(rows, OURS, what, figure)
        if ours is None:
            continue
        name, peer = next(((p, v) for p in peers
                           if (v := median(rows, p, what, figure)) is not None),
                          ("", None))
        ratio, target, reached = verdict(
            ours, peer, direction, factor, BOUNDS.get((what, figure)))
        theirs = "" if peer is None else f"{peer:.4g} ({name})"
        print(f"| {what} | {unit} | {ours:.4g} | {theirs} | {ratio} "
              f"| {target} | {reached} |")
    bad = sum(r.get("failed", 0) for r in rows)
    disturbed = [r.get("other", 0) for r in rows]
    print(f"\nfailed: {bad}; CPU used by others, in cores: median "
          f"{statistics.median(disturbed):.2f}, most {max(disturbed):.2f}")


if __name__ == "__main__":
    main()
