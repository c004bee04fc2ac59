"""Whether fine-tuning will help, estimated before it, and whether that was right."""

import msgspec

from honed.evaluate.results import Interval


class Expected(msgspec.Struct, kw_only=True):
    """The gain in R@1 that is expected: at least, by a linear map over the base model, and at most."""

    at_least: float
    linear_map: float
    at_most: float


class Headroom(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Whether fine-tuning is likely to help, in R@1 on dev; after training also the gain on test.

    ``likely`` is "likely", "unlikely" or "unclear"; ``right`` tells whether that was so (None: it was left open).
    """

    likely: str
    expected: Expected
    base: float
    lexical: float
    ceiling: float
    n_queries: int
    said: str
    realised: Interval | None = None
    right: bool | None | msgspec.UnsetType = msgspec.UNSET
    within_expected: bool | msgspec.UnsetType = msgspec.UNSET
    said_after: str = ""


def compared_with_gain(before: Headroom, gain: Interval) -> Headroom:
    """Return the estimate with the paired gain of the fine-tuned model on test."""
    expected, helped = before.expected, gain.low > 0
    right = {"likely": helped, "unlikely": not helped, "unclear": None}[before.likely]
    verdict_in_words = {True: "right", False: "wrong", None: "left open"}[right]
    return msgspec.structs.replace(
        before,
        realised=gain,
        right=right,
        within_expected=expected.at_least <= gain.mean <= expected.at_most,
        said_after=f"tuning gained {100 * gain.mean:+.1f} points on test ({100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f}); foretold were {100 * expected.at_least:+.1f} to "
        f"{100 * expected.at_most:+.1f}: {verdict_in_words}",
    )
