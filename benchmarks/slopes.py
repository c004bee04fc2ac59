"""How the time of every stage grows with the rows: made-up names at several sizes, each in a fresh process.

    python benchmarks/slopes.py 50000 150000 500000
    python benchmarks/slopes.py --until check 50000 150000 500000

Prints the CPU seconds of each stage at each size, the slope between the last two sizes (1: twice the rows take twice
the time), and the peak memory. 2,000 queries are measured at every size: of more than 25,000 a run measures a fixed
draw, so that evaluation grows with the documents alone. The base model is a table of token vectors (made of MiniLM's),
so that what is timed is not the encoder.
"""

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

CONFIG = """
[paths]
input = ["names.csv"]
[data]
shape = "aliases"
[data.columns]
id = "id"
label = "label"
alias = "alias"
[model]
base = "{base}"
[split]
[baselines]
[mine]
encoder = "base"
negatives = 2
[train]
epochs = {epochs}
batch_size = 256
evaluations = 1
[index]
[hybrid]
[answers]
[evaluate]
queries = 2000
"""


def static_base(folder: Path) -> Path:
    """Make a model of token vectors: MiniLM's word embeddings, averaged."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    from honed.encode.base_models import resolve
    from honed.encode.torch_encoder import load_model

    base = resolve("minilm").folder
    weights = load_model(base)[0].auto_model.embeddings.word_embeddings.weight.detach().cpu().numpy()
    module = StaticEmbedding(Tokenizer.from_file(str(base / "tokenizer.json")), embedding_weights=weights)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder), create_model_card=False)
    return folder


def one(n: int, base: Path, until: str | None) -> None:
    """Run one size and print the seconds of its stages as JSON."""
    import names

    from honed import Project

    folder = Path(tempfile.mkdtemp(prefix="honed-slopes-"))
    names.write(folder / "names.csv", n)
    (folder / "honed.toml").write_text(
        CONFIG.format(base=base.as_posix(), epochs=min(1.0, 25_000 / n)), encoding="utf-8"
    )
    took: dict[str, float] = {}

    def note(stage: str, state: str, _: float) -> None:
        took[stage] = time.process_time() - (took[stage] if state == "done" else 0)

    Project(folder, listener=note).run(until=until)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shutil.rmtree(folder)
    print(json.dumps({"stages": took, "peak_mb": round(peak)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[50_000, 150_000])
    parser.add_argument("--until", help="the last stage that is run")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the base, in the process of one size
    asked = parser.parse_args()
    sizes = asked.sizes
    if asked.one:
        one(sizes[0], asked.one, asked.until)
        return
    with tempfile.TemporaryDirectory() as folder:
        base = static_base(Path(folder) / "static")
        found = {}
        for n in sizes:
            command = [sys.executable, __file__, "--one", str(base), str(n)]
            command += ["--until", asked.until] if asked.until else []
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[n] = json.loads(done.stdout.splitlines()[-1])
            print(f"{n} rows: {sum(found[n]['stages'].values()):.0f} s, {found[n]['peak_mb']} MB", file=sys.stderr)
    print(f"{'stage':<14}" + "".join(f"{n:>12,}" for n in sizes) + f"{'slope':>8}")
    for stage in found[sizes[-1]]["stages"]:
        seconds = [found[n]["stages"][stage] for n in sizes]
        slope = math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2]) if len(sizes) > 1 else math.nan
        print(f"{stage:<14}" + "".join(f"{value:>10.1f} s" for value in seconds) + f"{slope:>8.2f}")
    print(f"{'peak MB':<14}" + "".join(f"{found[n]['peak_mb']:>12,}" for n in sizes))


if __name__ == "__main__":
    main()
