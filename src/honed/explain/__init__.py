"""Why two texts are close: what each word adds, checked by taking words away."""
