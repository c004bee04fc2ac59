"""Look-up over an index: known names, vectors, the hybrid, reranking, chances."""
