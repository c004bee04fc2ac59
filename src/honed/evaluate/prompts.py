"""Whether a model would be better with other prompts, tried on a part of dev."""

import json

import msgspec

from honed.evaluate.results import Interval


class PromptPair(msgspec.Struct, kw_only=True, frozen=True):
    """The prompts of queries and documents, what they are, their score, and the paired difference to those in use."""

    title: str
    query: str
    document: str
    score: float
    difference: Interval | None = None

    def shown(self) -> str:
        """Return the two prompts in words."""
        query, document = (json.dumps(prompt, ensure_ascii=False) if prompt else "none" for prompt in self._pair())
        return f"{query} on both sides" if query == document else f"{query} for queries and {document} for documents"

    def settings(self) -> str:
        """Return the lines of ``[model]`` that ask for the prompts, as one."""
        pair = dict(zip(("query_prompt", "document_prompt"), self._pair(), strict=True))
        written = [f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in pair.items() if text]
        return ", ".join(['prompts = "none"', *written])

    def _pair(self) -> tuple[str, str]:
        return self.query, self.document


class PromptTrial(msgspec.Struct, kw_only=True, frozen=True):
    """What other prompts score on a sample of dev; ``better`` are those whose paired interval is above 0.

    The intervals hold together for all pairs that were tried (95 %, Bonferroni).
    """

    measure: str
    n_queries: int
    n_documents: int
    used: PromptPair
    tried: list[PromptPair]

    @property
    def better(self) -> PromptPair | None:
        """The best of the pairs that are surely better than those in use; None where there is none."""
        surely = [pair for pair in self.tried if pair.difference and pair.difference.low > 0]
        return max(surely, key=lambda pair: pair.score, default=None)

    def sentence(self) -> str:
        """Return the warning that other prompts are better; empty where none are."""
        better = self.better
        if better is None or better.difference is None:
            return ""
        gain = better.difference
        return (
            f"prompts: {better.shown()} gives {100 * gain.mean:+.1f} points of {self.measure} on dev "
            f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f}, {self.n_queries} queries) over {self.used.shown()}: "
            f"write {better.settings()} under [model]"
        )
