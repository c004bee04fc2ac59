"""What shapes have in common whose texts stand in classes: labelled texts, sentences of relations."""
