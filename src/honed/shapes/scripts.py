"""Scripts in the audit: which letters the base model's tokenizer knows nothing of, counted in a sample of the texts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from honed.artifacts.data import SIGNS, ScriptAudit, ScriptShare
from honed.core.json import Json
from honed.encode.bases import base_named
from honed.encode.wordpieces import ScriptCount, script_counts
from honed.evaluate.results import Finding
from honed.shapes.findings import finding

MULTILINGUAL = "e5-multilingual"  # what is proposed where letters are lost
_SAMPLE = 2_000  # records, each of a text or two
_MUCH, _COMMON = 0.2, 0.01  # of a script's letters that are lost, and of all letters that are of a script, to be told


def sampled_texts(texts: Iterable[str], n: int) -> list[str]:
    """Return at most 4,000 of the texts of ``n`` records, evenly spaced; of two texts of a record they take turns."""
    return list(islice(texts, 0, None, max(1, n // _SAMPLE) | 1))[: 2 * _SAMPLE]


def audit_scripts(base: str, folder: Path, texts: Sequence[str]) -> ScriptAudit | None:
    """Return how the tokenizer of a base model reads some texts; None without a fast tokenizer or without letters."""
    counts = script_counts(folder, texts)
    if not counts:
        return None
    return ScriptAudit(
        base=Path(base).name if base_named(base) is None else base,
        texts=len(texts),
        scripts={name: _share(count) for name, count in counts.items()},
    )


def _share(count: ScriptCount) -> ScriptShare:
    return ScriptShare(
        letters=count.letters,
        unknown=round(count.unknown / count.letters, 4),
        spelled=round(count.spelled / count.letters, 4),
        pieces_a_letter=round(count.pieces / count.letters, 3),
    )


def script_findings(audit: ScriptAudit) -> dict[str, Finding]:
    """Return the finding that the letters of some scripts are lost, with their number in the sample; else none."""
    everything = sum(share.letters for share in audit.scripts.values())
    samples, count = [], 0
    for name, share in audit.scripts.items():
        lost = share.unknown + (0.0 if name in SIGNS else share.spelled)
        if lost > _MUCH and share.letters >= _COMMON * everything:
            count += round(lost * share.letters)
            samples.append(
                f"{name}: of {share.letters} letters {audit.base} knows {100 * share.unknown:.0f} % not at all "
                f"and spells {100 * share.spelled:.0f} % letter by letter; take a multilingual model.base, such as "
                f"{MULTILINGUAL}"
            )
    return {"W_SCRIPT_UNKNOWN": finding(count, samples)} if count else {}


def lost_letters(counts: Mapping[str, ScriptCount]) -> float:
    """Return the share of all letters that a tokenizer does not know or spells letter by letter."""
    letters = sum(count.letters for count in counts.values())
    return sum(count.lost * count.letters for count in counts.values()) / letters if letters else 0.0


def with_scripts(audit: Mapping[str, Json], scripts: ScriptAudit | None) -> dict[str, Json]:
    """Return an audit with what is in it of scripts."""
    if scripts is None:
        return dict(audit)
    findings: Json = {**_findings(audit), **msgspec.to_builtins(script_findings(scripts))}
    return {**audit, "findings": findings, "scripts": msgspec.to_builtins(scripts)}


def _findings(audit: Mapping[str, Json]) -> Mapping[str, Json]:
    findings = audit["findings"]
    assert isinstance(findings, Mapping)
    return findings
