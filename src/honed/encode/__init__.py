"""Text to vectors: one file an encoder, all of them `honed.core.protocols.Encoder`."""
