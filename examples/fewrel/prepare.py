"""Writes utterances.csv from MTOP: text, intent and split; the tokenised further test rows are left out."""

import csv
from pathlib import Path

import pyarrow.parquet as pq

HERE = Path(__file__).parent
SPLITS = {"train": "train", "eval": "dev", "test": "test"}


def main() -> None:
    """Write the table."""
    rows = pq.read_table(HERE / "data" / "mtop" / "mtop_en.parquet").to_pylist()
    with (HERE / "utterances.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "intent", "split"])
        for number, row in enumerate(rows):
            if row["split"] in SPLITS:
                table.writerow([f"m{number}", row["text"], row["intent"], SPLITS[row["split"]]])


if __name__ == "__main__":
    main()
