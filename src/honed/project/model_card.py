"""The model card of an exported model: what it is, how it is used, what was measured and how."""

from honed.core.json import JsonObject
from honed.core.records import EncoderSpec
from honed.project.facts import ProjectFacts


def model_card(facts: ProjectFacts, training: JsonObject | None, spec: EncoderSpec) -> str:
    """Return a model card in Markdown with the Hub's front matter; ``training`` are the settings, None: not trained."""
    licence = facts.licences["base model"]
    front = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "tags:",
        "- sentence-transformers",
        "- feature-extraction",
        "- sentence-similarity",
        "- honed",
        *([f"base_model: {facts.base_model}"] if "/" in facts.base_model else []),
        *([f"license: {licence.lower()}"] if licence != "not stated" else []),
        "---",
    ]
    return "\n".join(
        [*front, "", f"# {facts.title}", "", *_use(facts, spec), *_measures(facts), *_training(training), ""]
    )


def _use(facts: ProjectFacts, spec: EncoderSpec) -> list[str]:
    return [
        f"A sentence-transformers model fine-tuned from `{facts.base_model}` with honed: {spec.dim} dimensions, "
        f"{spec.pooling} pooling, at most {spec.max_length} tokens, cosine similarity.",
        "",
        f"Licences: base model {facts.licences['base model']}; training data {facts.licences['data']}.",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("path/to/this/folder")',
        'queries = model.encode(["..."], prompt_name="query", normalize_embeddings=True)',
        'documents = model.encode(["..."], prompt_name="document", normalize_embeddings=True)',
        "scores = queries @ documents.T",
        "```",
        "",
        f"Prompts: query {spec.query_prompt!r}, document {spec.document_prompt!r}.",
    ]


def _measures(facts: ProjectFacts) -> list[str]:
    values = facts.measures
    if not values:
        return ["", "Nothing was measured at export."]
    note = (
        "of which training saw nothing"
        if values.protocol == "held-out"
        else "on pairs that training has seen: the model is asked what it was taught"
    )
    names = list(next(iter(values.systems.values())))
    lines = [
        "",
        f"## Measures, protocol {values.protocol}",
        "",
        f"{values.n_queries} queries, {note}; in percent, with 95 % intervals.",
        "",
        f"| system | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for system, measures in values.systems.items():
        cells = [
            f"{100 * value.mean:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})" for value in measures.values()
        ]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return lines


def _training(training: JsonObject | None) -> list[str]:
    if not training:
        return ["", "The base model was not changed."]
    settings = ", ".join(f"{name} {value}" for name, value in training.items())
    return ["", "## Training", "", f"Every co-positive of a batch is known to the loss; {settings}."]
