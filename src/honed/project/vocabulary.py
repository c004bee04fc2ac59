"""The model that is exported with the pieces that the catalogue needs, and what that means for other queries."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from honed.artifacts.index import IndexArtifact
from honed.core.optional import require
from honed.core.text import fold
from honed.encode.models import ExactModel
from honed.encode.vocabulary import VocabularyFacts
from honed.project.workspace import Workspace
from honed.stages.known_texts import in_both_roles, known_texts


def save_with_known_vocabulary(
    project: Workspace, index: IndexArtifact, queries: Sequence[str], folder: Path
) -> VocabularyFacts:
    """Save the model of an index with the vocabulary of all its texts and of those that it was taught.

    How other queries fare is measured with what the protocol lets a model know: of the ``queries`` that are not among
    it, the share that would be read in other pieces.
    """
    require("torch encoder")
    from honed.encode.pruned import prune_vocabulary, share_read_otherwise
    from honed.encode.torch_encoder import save_model

    encoder = ExactModel(folder=index.model_folder(), spec=index.spec()).load()
    taught = known_texts(project.runner.latest_inputs())
    folded = {fold(text) for text, _ in taught}
    unseen = [text for text in queries if fold(text) not in folded]
    changed = share_read_otherwise(encoder, taught, unseen)
    pruned, facts = prune_vocabulary(encoder, [*in_both_roles(index.texts()), *taught])
    save_model(pruned.model, pruned.spec, folder)
    return replace(facts, unseen=len(unseen), changed=round(changed, 5))
