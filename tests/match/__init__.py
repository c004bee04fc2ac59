"""Tests of honed.match."""
