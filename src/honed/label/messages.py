"""The messages between honed and the process that runs the rules: lines of JSON over its stdin and stdout.

The numbers of the rule and the record at work are in a small file that both can read, so that the rule at which the
process hangs or dies is known.
"""

import struct

import msgspec

PLACE = struct.Struct("qq")  # rule, record
LOADING = -1  # as rule and record: it reads files or records
ABSTAIN = -1  # instead of a class number: the rule does not vote


class RulesLoaded(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the files: (name, class or "") of every rule, or the file that failed and its error."""

    rules: list[tuple[str, str]] = []
    failed: str = ""
    error: str = ""
    message: str = ""


class RuleFailure(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule did wrong, by numbers of rule and record; ``code`` is ``E_LF_...``."""

    rule: int
    row: int
    code: str
    message: str


class RuleAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to records: votes ``(n_rules, n_records)``, and the first failure of each rule that had one."""

    votes: list[list[int]]
    problems: list[RuleFailure]
