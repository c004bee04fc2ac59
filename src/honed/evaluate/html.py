"""The report as one HTML file: tables and plots, no script, no network, opens from disk."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_WIDTH, _LABEL, _BAR = 720, 250, 22
_FEW = 20


_COLOURS = ("#0b7a5d", "#c2410c", "#2563eb", "#a21caf", "#ca8a04", "#0891b2", "#be123c", "#4d7c0f")
_SHOWN = {"on_test": "test", "on_hand_labels": "hand labels"}


def environment() -> Environment:
    """Return where the pages come from; what they show is escaped."""
    environment = Environment(
        loader=PackageLoader("honed.evaluate", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.tests["ours"] = is_ours
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    return environment


def render_report(report: Mapping[str, Any]) -> str:
    """Return the report page for the content of ``report.json``."""
    first = next(iter(report["systems"][0]["measures"])) if report["systems"] else "R@1"
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report={
                "mining": None,
                "student": None,
                "answers": None,
                "latency": None,
                **report,
            },  # reports of other runs have neither
            first=first,
            bars=bars(report["systems"], first, report["ceiling"]),
            slice_names=_slice_names(report["systems"]),
            few=_FEW,
            curve=curve(report["training"]),
            chances=chances(report.get("mining")),
            story=story(report, first),
        )
    )


def render_labelling(labels: Mapping[str, Any], title: str) -> str:
    """Return the page of what ``honed label`` found, for the content of ``label.json``."""
    page = environment().get_template("labelling.html.j2")
    return page.render(report={**labels, "title": title}, **label_pictures(labels))


def render_similar(report: Mapping[str, Any], first: str) -> str:
    """Return the report page of the shape "labels"."""
    return (
        environment()
        .get_template("similar.html.j2")
        .render(
            report=report,
            first=first,
            bars=bars(report["systems"], first, None),
            slice_names=_slice_names(report["systems"]),
            few=_FEW,
            curve=curve(report["training"]),
            story=story(report, first),
            clouds=clouds(report["picture"]),
            legend=[
                {
                    "name": name,
                    "x": 30 + at * 680 // max(1, len(report["classes"])),
                    "colour": _COLOURS[at % len(_COLOURS)],
                }
                for at, name in enumerate(report["classes"])
            ],
            **label_pictures(report["labels"]),
        )
    )


def render_retrieval(report: Mapping[str, Any], first: str) -> str:
    """Return the report page of labelled texts that find each other."""
    return (
        environment()
        .get_template("retrieval.html.j2")
        .render(
            report=report,
            first=first,
            bars=bars(report["systems"], first, report["ceiling"]),
            slice_names=_slice_names(report["systems"]),
            few=_FEW,
            curve=curve(report["training"]),
            story=story(report, first),
            checks=checks((report["explained"] or {}).get("faithful", {})),
        )
    )


_ORDERS = {"attribution": _COLOURS[0], "attention": _COLOURS[1], "random": "var(--other)"}


def checks(faithful: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the geometry of deletion and insertion curves, one plot for each model and way."""
    found = []
    for name, ways in faithful.items():
        for way, each in ways.items():
            values = [value for order in _ORDERS for value in each["curve"][order]]
            low, high = min(values), max(values)
            span = (high - low) or 1.0
            lines = []
            for order, colour in _ORDERS.items():
                line = each["curve"][order]
                points = [
                    f"{40 + 290 * at / (len(line) - 1):.1f},{160 - 135 * (value - low) / span:.1f}"
                    for at, value in enumerate(line)
                ]
                lines.append({"points": " ".join(points), "colour": colour})
            found.append(
                {
                    "title": f"{name}, {way}",
                    "lines": lines,
                    "low": f"{low:.2f}",
                    "high": f"{high:.2f}",
                    "area": each["area"],
                    "against": each["against"]["attention"],
                    "colours": _ORDERS,
                }
            )
    return found


def label_pictures(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the geometry of accuracy over coverage, on test and on hand labels, with what stands beside it."""
    shown = [(part, name) for part, name in _SHOWN.items() if labels[part]]
    pictures = []
    for part, name in shown:
        points = [each for each in labels[part]["curve"] if each["coverage"] > 0]
        low = min([*(each["accuracy"]["low"] for each in points), 0.9])
        low = int(10 * low) / 10

        def height(share: float, low: float = low) -> float:
            return round(190 - 175 * (share - low) / (1 - low), 1)

        def across(share: float) -> float:
            return round(40 + 640 * share, 1)

        upper = [f"{across(each['coverage'])},{height(each['accuracy']['high'])}" for each in points]
        lower = [f"{across(each['coverage'])},{height(each['accuracy']['low'])}" for each in points]
        pictures.append(
            {
                "name": name,
                "points": " ".join(f"{across(each['coverage'])},{height(each['accuracy']['mean'])}" for each in points),
                "band": " ".join([*upper, *reversed(lower)]),
                "kept": across(labels[part]["kept"]["coverage"]),
                "ticks": [
                    {"y": height(low + at * (1 - low) / 4), "text": f"{100 * low + at * 25 * (1 - low):.0f}"}
                    for at in range(5)
                ],
                "confusion": labels[part]["confusion"],
            }
        )
    return {"shown": shown, "pictures": pictures}


def clouds(picture: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the geometry of scatter plots side by side: points ``[x, y, class]`` of each system, each in its range."""
    found = []
    for number, system in enumerate(picture):
        xs, ys = [[point[axis] for point in system["points"]] for axis in (0, 1)]
        left = 20 + number * 350
        spans = [(min(values), (max(values) - min(values)) or 1.0) for values in (xs, ys)]
        dots = [
            {
                "x": round(left + 320 * (x - spans[0][0]) / spans[0][1], 1),
                "y": round(25 + 305 * (y - spans[1][0]) / spans[1][1], 1),
                "colour": _COLOURS[int(each) % len(_COLOURS)],
            }
            for x, y, each in system["points"]
        ]
        found.append({"name": system["name"], "x": left, "dots": dots})
    return found


def is_ours(name: str) -> bool:
    """Tell whether a system is one that honed trained."""
    return name.startswith(("fine-tuned", "student", "hybrid, learned"))


def bars(systems: Sequence[Mapping[str, Any]], measure: str, ceiling: float | None) -> dict[str, Any]:
    """Return the geometry of a bar chart with intervals: one bar a system, 0 to 100 %."""
    scale = _WIDTH - _LABEL - 60
    rows = []
    for number, system in enumerate(systems):
        value = system["measures"][measure]
        rows.append(
            {
                "name": system["name"],
                "y": number * (_BAR + 8),
                "x": _LABEL,
                "width": round(value["mean"] * scale, 1),
                "low": round(_LABEL + value["low"] * scale, 1),
                "high": round(_LABEL + value["high"] * scale, 1),
                "text": f"{100 * value['mean']:.1f}",
                "ours": is_ours(system["name"]),
            }
        )
    return {
        "rows": rows,
        "height": len(rows) * (_BAR + 8) + 24,
        "width": _WIDTH,
        "bar": _BAR,
        "label": _LABEL,
        "ceiling": None if ceiling is None else round(_LABEL + ceiling * scale, 1),
        "ticks": [{"x": _LABEL + scale * share / 100, "text": share} for share in range(0, 101, 20)],
    }


def _slice_names(systems: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    slices = systems[0]["slices"] if systems else {}
    shown = [(name, found["n"]) for name, found in slices.items() if found["n"] >= _FEW]
    return sorted(shown, key=lambda each: -each[1])[:12]


def curve(training: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the geometry of the loss and dev curves over steps; each is scaled to its own range."""
    if not training or not training["loss"]:
        return None
    steps = max(1, training["steps"])
    lines = {}
    for name, key in (("loss", "loss"), ("dev", "score")):
        points = [(each["step"], each[key]) for each in training[name]]
        low, high = min(value for _, value in points), max(value for _, value in points)
        span = (high - low) or 1.0
        lines[name] = {
            "points": " ".join(f"{40 + 640 * x / steps:.1f},{150 - 130 * (y - low) / span:.1f}" for x, y in points),
            "low": f"{low:.3f}",
            "high": f"{high:.3f}",
        }
    return {**lines, "steps": steps, "best": 40 + 640 * training["best_step"] / steps}


def chances(mining: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the geometry of the calibration: the chance that a candidate is right, by its similarity."""
    if not mining or len(mining["curve"]) < 2 or mining["threshold"] is None:
        return None
    points = [(each["score"], each["chance"]) for each in mining["curve"]]
    low, high = float(points[0][0]), float(points[-1][0])
    span, top = (high - low) or 1.0, max(chance for _, chance in points) or 1.0

    def at(score: float) -> float:
        return 40 + 640 * (min(max(score, low), high) - low) / span

    return {
        "points": " ".join(f"{at(score):.1f},{150 - 130 * chance / top:.1f}" for score, chance in points),
        "threshold": round(at(mining["threshold"]), 1),
        "low": f"{low:.2f}",
        "high": f"{high:.2f}",
        "top": f"{100 * top:.1f}",
    }


def story(report: Mapping[str, Any], measure: str) -> list[str]:
    """Return what the numbers say, in sentences."""
    told = []
    for found in report["comparisons"]:
        if found["measure"] != measure:
            continue
        gain = found["difference"]
        word = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "not clearly different"
        told.append(
            f"{found['candidate']} against {found['reference']}: {100 * gain['mean']:+.1f} points of {measure} "
            f"(95 %: {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}, p = {found['p_value']:.4f}): {word}."
        )
    if report.get("headroom"):
        told.append(report["headroom"].get("said_after") or report["headroom"]["said"])
    tuned = next((each for each in report["systems"] if each["name"] == "fine-tuned"), None)
    if tuned:
        better = [
            each["name"]
            for each in report["systems"]
            if not is_ours(each["name"]) and each["measures"][measure]["mean"] > tuned["measures"][measure]["mean"]
        ]
        if better:
            slices = [
                name
                for name, found in tuned["slices"].items()
                if any(
                    each["slices"][name][measure]["mean"] > found[measure]["mean"] + 0.05
                    for each in report["systems"]
                    if each["name"] in better
                )
            ]
            where = f" It wins on: {', '.join(slices)}." if slices else ""
            told.append(f"Still ahead of the fine-tuned model in {measure}: {', '.join(better)}.{where}")
    if report.get("protocol") == "catalogue":
        told.append(
            "Protocol catalogue: the test pairs were trained on. These figures say how well the model repeats what it "
            "was taught, and nothing about new names; the dictionary shows what a plain lookup scores here."
        )
    return told
