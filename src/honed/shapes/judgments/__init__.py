"""Queries, documents, and which documents are right for a query."""
