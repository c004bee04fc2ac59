"""What runs where the answers are needed; never imports training, never imports torch by itself."""
