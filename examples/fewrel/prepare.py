"""Writes two tables from MTOP: text, intent and split; the tokenised further test rows are left out.

utterances.csv holds all rows, to be searched. own.csv is to be trained on, so that it leaves out what stands in a later
split too, but for capitals and spaces, and dev and test rows of intents that train has not.
"""

import csv
from pathlib import Path

import pyarrow.parquet as pq

from honed.core.text import fold

HERE = Path(__file__).parent
SPLITS = {"train": "train", "eval": "dev", "test": "test"}


def main() -> None:
    """Write the tables."""
    rows = pq.read_table(HERE / "data" / "mtop" / "mtop_en.parquet").to_pylist()
    found = [
        (f"m{number}", row["text"], row["intent"], SPLITS[row["split"]])
        for number, row in enumerate(rows)
        if row["split"] in SPLITS
    ]
    write("utterances.csv", found)
    last = {fold(text): split for split in SPLITS.values() for _, text, _, at in found if at == split}
    taught = {intent for _, _, intent, split in found if split == "train"}
    write("own.csv", [row for row in found if last[fold(row[1])] == row[3] and row[2] in taught])


def write(name: str, rows: list[tuple[str, str, str, str]]) -> None:
    """Write one table."""
    with (HERE / name).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "intent", "split"])
        table.writerows(rows)


if __name__ == "__main__":
    main()
