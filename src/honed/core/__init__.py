"""Records, protocols, errors, fingerprints and the artifact store; no machine-learning imports."""
