"""What honed and the process that runs the rules say to each other: lines of JSON over its stdin and stdout.

Where the process is, at which rule and record, is in a small file that both map: so whoever waits knows what to blame.
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
